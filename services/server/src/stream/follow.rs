//! One subscriber's way through the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use duban_log::Position;
use duban_proto::api::v1::{StreamNews, SubscribeResponse};
use futures::Stream;
use http::HeaderMap;
use prost::Message;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::filter::Wanted;
use super::{Streams, token};
use crate::grpc::later;
use crate::grpc::refused;

/// Pages in a row in which nothing passed, before the subscriber is told where it is.
const PASSED_OVER_PAGES: u32 = 8;

/// Where a subscriber stands. It is asked for the next message when its connection has room for one.
pub(super) struct Follower {
    pub(super) streams: Arc<Streams>,
    pub(super) wanted: Wanted,
    pub(super) after: Option<Position>,
    pub(super) heartbeat: Duration,
    /// The caller's proof, looked at again with every heartbeat.
    pub(super) headers: HeaderMap,
    /// Its place among the subscribers.
    pub(super) _place: OwnedSemaphorePermit,
    pub(super) live: bool,
}

impl Follower {
    /// Its messages, as they are sent. The last item may be the reason why it ended.
    pub(super) fn messages(self) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
        futures::stream::unfold(Some(self), |follower| async {
            let mut follower = follower?;
            match follower.next().await {
                Ok(message) => Some((Ok(message), Some(follower))),
                Err(status) => Some((Err(status), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<Bytes, Status> {
        let beat = Instant::now() + self.heartbeat;
        let mut grown = self.streams.grown.subscribe();
        let drain = self.streams.drain.clone();
        let mut passed_over = 0;
        loop {
            if drain.is_started() {
                return Err(stopping());
            }
            let head = *grown.borrow_and_update();
            if self.after >= head {
                if !self.live {
                    self.live = true;
                    return Ok(self.news(StreamNews::CaughtUp));
                }
                tokio::select! {
                    () = drain.started() => return Err(stopping()),
                    () = tokio::time::sleep_until(beat) => return self.beat(),
                    changed = grown.changed() => if changed.is_err() { return Err(stopping()) },
                }
                continue;
            }
            let wanted = &self.wanted;
            let batch =
                self.streams.batches.after(self.after, &wanted.filter, wanted.id).await.map_err(refused)?;
            if self.live && !batch.end && !batch.events.is_empty() {
                self.live = false;
                return Ok(self.news(StreamNews::FellBehind));
            }
            self.after = batch.next;
            if !batch.events.is_empty() {
                return Ok(self.message(&batch.events));
            }
            passed_over += 1;
            if !self.live && passed_over == PASSED_OVER_PAGES {
                return Ok(self.news(StreamNews::Checkpoint));
            }
            if Instant::now() >= beat {
                return self.beat();
            }
        }
    }

    fn beat(&self) -> Result<Bytes, Status> {
        self.streams.verifier.authenticate(&self.headers).map_err(Status::from)?;
        Ok(self.news(StreamNews::Heartbeat))
    }

    fn token(&self) -> String {
        token::of(self.after, self.wanted.id, self.streams.sealer.keys())
    }

    fn news(&self, news: StreamNews) -> Bytes {
        let message = SubscribeResponse { events: Vec::new(), token: self.token(), news: news.into() };
        Bytes::from(message.encode_to_vec())
    }

    /// A message is the concatenation of its fields.
    fn message(&self, events: &Bytes) -> Bytes {
        let rest = SubscribeResponse { events: Vec::new(), token: self.token(), news: 0 };
        let mut bytes = Vec::with_capacity(events.len() + rest.encoded_len());
        bytes.extend_from_slice(events);
        bytes.extend_from_slice(&rest.encode_to_vec());
        Bytes::from(bytes)
    }
}

fn stopping() -> Status {
    let told = "the server is stopping: subscribe again with the last token".to_owned();
    later(Code::Unavailable, told, "SERVER_STOPPING", Duration::from_millis(200))
}
