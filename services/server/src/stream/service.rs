//! `StreamService` by hand: its messages are sent as they were encoded once for everybody.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use duban_engine::runner::RunError;
use duban_proto::api::v1::{SubscribeRequest, subscribe_request::From};
use futures::Stream;
use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{NamedService, ServerStreamingService};
use tonic::{Code, Status};
use tower::Service;

use super::follow::Follower;
use super::token::{self, Unfit};
use super::{Streams, filter};
use crate::access::Grant;
use crate::grpc::refused;
use crate::grpc::{informed, later};

/// How long a stream says nothing: where the caller names no time, and between these.
const HEARTBEAT: Duration = Duration::from_secs(15);
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);
const HEARTBEAT_MAX: Duration = Duration::from_secs(300);

type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// The service, as the router takes it.
#[derive(Clone, Debug)]
pub struct StreamServer(Arc<Streams>);

impl StreamServer {
    /// The service over the streams of a server.
    #[must_use]
    pub fn new(streams: Arc<Streams>) -> Self {
        Self(streams)
    }
}

impl NamedService for StreamServer {
    const NAME: &'static str = "duban.api.v1.StreamService";
}

impl Service<Request<Body>> for StreamServer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let subscribe = Subscribe(Arc::clone(&self.0));
        Box::pin(async move {
            if request.uri().path() != "/duban.api.v1.StreamService/Subscribe" {
                return Ok(Status::unimplemented("StreamService has one method: Subscribe").into_http());
            }
            Ok(tonic::server::Grpc::new(Encoded).server_streaming(subscribe, request).await)
        })
    }
}

struct Subscribe(Arc<Streams>);

impl ServerStreamingService<SubscribeRequest> for Subscribe {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = BoxFuture<'static, Result<tonic::Response<Messages>, Status>>;

    fn call(&mut self, request: tonic::Request<SubscribeRequest>) -> Self::Future {
        let streams = Arc::clone(&self.0);
        Box::pin(async move {
            let messages: Messages = Box::pin(follower(streams, &request)?.messages());
            Ok(tonic::Response::new(messages))
        })
    }
}

fn follower(streams: Arc<Streams>, request: &tonic::Request<SubscribeRequest>) -> Result<Follower, Status> {
    let grant = Grant::of(request)?.clone();
    let asked = request.get_ref();
    let asked_filter = asked.filter.clone().unwrap_or_default();
    let wanted = filter::read(&asked_filter, &grant).map_err(refused)?;
    for unit in &asked_filter.units {
        grant.own(&unit.as_str().into())?;
    }
    let heartbeat = heartbeat(asked).map_err(refused)?;
    let after = match &asked.from {
        Some(From::Now(true)) => *streams.grown.borrow(),
        Some(From::Start(true)) => None,
        None | Some(From::Start(false) | From::Now(false)) => {
            return Err(refused(RunError::field(
                "from",
                "is required: set one of `start`, `now` and `token`",
            )));
        }
        Some(From::Token(token)) => {
            let unfit = |unfit: Unfit| RunError::field("token", unfit.problem());
            token::read(token, wanted.id, streams.sealer.keys()).map_err(unfit).map_err(refused)?
        }
    };
    if after > streams.log.head().position {
        let told = "the token stands beyond the end of the log: this log lost its end, or is an older copy"
            .to_owned();
        return Err(informed(Code::OutOfRange, told, "TOKEN_BEYOND_LOG", None));
    }
    let busy = || {
        later(
            Code::ResourceExhausted,
            "too many subscriptions are open: close some, or raise limits.subscriptions_max".to_owned(),
            "TOO_MANY_SUBSCRIPTIONS",
            Duration::from_secs(5),
        )
    };
    let place = Arc::clone(&streams.places).try_acquire_owned().map_err(|_| busy())?;
    let headers = request.metadata().clone().into_headers();
    Ok(Follower { streams, wanted, after, heartbeat, headers, _place: place, live: false })
}

fn heartbeat(asked: &SubscribeRequest) -> Result<Duration, RunError> {
    let Some(asked) = asked.heartbeat else { return Ok(HEARTBEAT) };
    let given =
        Duration::try_from(asked).ok().filter(|given| (HEARTBEAT_MIN..=HEARTBEAT_MAX).contains(given));
    given.ok_or_else(|| RunError::field("heartbeat", "lies outside of 1 s to 5 min"))
}

/// Requests are protobuf; answers are bytes that are protobuf already.
#[derive(Clone, Copy, Debug, Default)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = SubscribeRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        // Sent at once: a message does not wait for the next.
        BufferSettings::new(8 * 1024, 1)
    }
}

impl Decoder for Encoded {
    type Item = SubscribeRequest;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<SubscribeRequest>, Status> {
        duban_proto::codec::decode(buffer).map(Some)
    }
}
