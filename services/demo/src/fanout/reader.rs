//! A subscriber that checks what it gets, cheaply enough that a thousand of them fit beside the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};
use duban_client::{AuthorizedChannel, Client, ClientError, ConnectOptions, Tokens};
use duban_codec::to_event;
use duban_log::{Direction, EventLog, Filter, Position};
use duban_projections::stored;
use duban_proto::api::v1::{StreamNews, SubscribeRequest, subscribe_request::From};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use tokio::sync::{Barrier, watch};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status, Streaming};

/// What a subscriber has seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) events: u64,
    /// Over all bytes of all events, in order.
    pub(super) hash: u32,
    pub(super) gaps: u64,
    pub(super) copies: u64,
    pub(super) resumed: u64,
    pub(super) fell_behind: u64,
    /// The next position that is expected.
    next: u64,
}

impl Seen {
    fn take(&mut self, event: &[u8]) -> Result<(), String> {
        let position = position(event)?;
        self.gaps += u64::from(position > self.next);
        self.copies += u64::from(position < self.next);
        self.next = position + 1;
        self.events += 1;
        self.hash = crc32c::crc32c_append(self.hash, event);
        Ok(())
    }
}

/// A subscriber.
pub(super) struct Reader {
    channel: AuthorizedChannel,
    token: String,
    stream: Streaming<Bytes>,
    seen: Seen,
    delivered: Arc<AtomicU64>,
}

pub(super) async fn connect(url: &str, tokens: &Tokens) -> Result<AuthorizedChannel, ClientError> {
    let options = ConnectOptions::new(url).windows_bytes(16 << 20, 256 << 10);
    Client::connect(&options, tokens.clone()).await?.channel("monitor", "monitor")
}

impl Reader {
    /// Subscribes from now on, and reads up to the first message, which says so.
    pub(super) async fn subscribe(
        channel: AuthorizedChannel,
        first: u64,
        delivered: Arc<AtomicU64>,
    ) -> Result<Self, String> {
        let stream = open(&channel, From::Now(true)).await.map_err(|status| status.to_string())?;
        let seen = Seen { next: first, ..Seen::default() };
        let mut reader = Self { channel, token: String::new(), stream, seen, delivered };
        match reader.message().await? {
            StreamNews::CaughtUp => Ok(reader),
            other => Err(format!("a stream from now on began with {other:?}")),
        }
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Reads until everything that was written is there, going away after each of `breaks` events and coming back.
    pub(super) async fn follow(
        mut self,
        mut breaks: Vec<u64>,
        there: Option<Arc<Barrier>>,
        mut written: watch::Receiver<Option<u64>>,
    ) -> Result<Seen, String> {
        breaks.sort_unstable_by(|one, other| other.cmp(one));
        if let Some(there) = there {
            there.wait().await;
        }
        loop {
            if written.borrow_and_update().is_some_and(|head| self.seen.next >= head) {
                return Ok(self.seen);
            }
            tokio::select! {
                message = self.message() => { message?; }
                // Everything may have been read before it was known to be all.
                _ = written.changed() => {}
            }
            if breaks.last().is_some_and(|at| self.seen.events > *at) {
                while breaks.last().is_some_and(|at| self.seen.events > *at) {
                    breaks.pop();
                }
                let again = open(&self.channel, From::Token(self.token.clone())).await;
                self.stream = again.map_err(|status| status.to_string())?;
                self.seen.resumed += 1;
            }
        }
    }

    /// Reads one message.
    async fn message(&mut self) -> Result<StreamNews, String> {
        let message = self.stream.message().await.map_err(|status| status.to_string())?;
        let mut bytes = message.ok_or("the stream ended")?;
        let mut news = StreamNews::Unspecified;
        let (mut events, malformed) = (0, |error: prost::DecodeError| error.to_string());
        while bytes.has_remaining() {
            let (field, wire) = decode_key(&mut bytes).map_err(malformed)?;
            match field {
                1 => {
                    let event = piece(&mut bytes)?;
                    self.seen.take(&event)?;
                    events += 1;
                }
                2 => {
                    let token = String::from_utf8(piece(&mut bytes)?.to_vec());
                    self.token = token.map_err(|error| error.to_string())?;
                }
                3 => {
                    let raw = decode_varint(&mut bytes).map_err(malformed)?;
                    news = i32::try_from(raw)
                        .ok()
                        .and_then(|raw| StreamNews::try_from(raw).ok())
                        .unwrap_or(news);
                }
                _ => skip_field(wire, field, &mut bytes, DecodeContext::default()).map_err(malformed)?,
            }
        }
        self.delivered.fetch_add(events, Ordering::Relaxed);
        self.seen.fell_behind += u64::from(news == StreamNews::FellBehind);
        Ok(news)
    }
}

/// A field with a length.
fn piece(bytes: &mut Bytes) -> Result<Bytes, String> {
    let length = decode_varint(bytes).map_err(|error| error.to_string())?;
    let length = usize::try_from(length).map_err(|error| error.to_string())?;
    if bytes.remaining() < length {
        return Err("a message is shorter than it says".to_owned());
    }
    Ok(bytes.split_to(length))
}

/// An event's position: field 4 of `Event`.
fn position(mut event: &[u8]) -> Result<u64, String> {
    let malformed = |error: prost::DecodeError| error.to_string();
    while event.has_remaining() {
        let (field, wire) = decode_key(&mut event).map_err(malformed)?;
        if field == 4 && wire == WireType::Varint {
            return decode_varint(&mut event).map_err(malformed);
        }
        skip_field(wire, field, &mut event, DecodeContext::default()).map_err(malformed)?;
    }
    Err("an event has no position".to_owned())
}

/// What everybody has to see from a position on: how many events, and their hash.
pub(super) async fn truth(log: &dyn EventLog, first: u64) -> Result<(u64, u32), duban_log::Error> {
    let (mut events, mut hash) = (0, 0);
    let mut after = first.checked_sub(1).map(Position::new);
    loop {
        let page = log.read_all(after, Direction::Forward, &Filter::all(), 512).await?;
        for event in &page.events {
            let Ok(public) = to_event(&stored(event)) else { continue };
            hash = crc32c::crc32c_append(hash, &public.encode_to_vec());
            events += 1;
        }
        if page.end {
            return Ok((events, hash));
        }
        after = page.next;
    }
}

async fn open(channel: &AuthorizedChannel, from: From) -> Result<Streaming<Bytes>, Status> {
    let request = SubscribeRequest { from: Some(from), filter: None, heartbeat: None };
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await?;
    let path = http::uri::PathAndQuery::from_static("/duban.api.v1.StreamService/Subscribe");
    grpc.server_streaming(Request::new(request), path, Raw).await.map(tonic::Response::into_inner)
}

/// Messages as they come over the wire.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = SubscribeRequest;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = SubscribeRequest;
    type Error = Status;

    fn encode(&mut self, item: SubscribeRequest, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.encoded_len());
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
