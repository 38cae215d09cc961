//! A channel with an identity, a deadline for every call, and the patience to send the same again.

use std::task::{Context, Poll};
use std::time::Duration;

use backon::Retryable;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status, TimeoutExpired};
use tower::{Service, ServiceExt};

use crate::{Bearer, RetryPolicy, retry};

/// Methods whose answers have no end.
const STREAMED: [&str; 1] = ["/duban.api.v1.StreamService/Subscribe"];

/// A channel with an identity, which every generated client takes.
#[derive(Clone, Debug)]
pub struct AuthorizedChannel {
    channel: Channel,
    bearer: Bearer,
    deadline: Duration,
    retry: RetryPolicy,
}

impl AuthorizedChannel {
    pub(crate) fn new(channel: Channel, bearer: Bearer, deadline: Duration, retry: RetryPolicy) -> Self {
        Self { channel, bearer, deadline, retry }
    }

    /// The same, with another choice of what is sent again.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let until = Instant::now() + self.deadline;
        let (mut head, body) = request.into_parts();
        let (name, value) = self.bearer.header();
        head.headers.insert(name, value);
        let body = body.collect().await?.to_bytes();
        let wait = |status: &Status, delay: Option<Duration>| {
            let delay = delay?.max(retry::asked_for(status).unwrap_or_default());
            (Instant::now() + delay < until).then_some(delay)
        };
        (|| attempt(&self.channel, &head, body.clone(), until))
            .retry(self.retry.backoff())
            .when(|status| retry::passes(status, &body))
            .adjust(wait)
            .await
    }
}

impl Service<Request<Body>> for AuthorizedChannel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // Each attempt waits for the channel itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

async fn attempt(
    channel: &Channel,
    head: &http::request::Parts,
    body: Bytes,
    until: Instant,
) -> Result<Response<Body>, Status> {
    let streamed = STREAMED.contains(&head.uri.path());
    let mut request = Request::new(Body::new(Full::new(body)));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers.clone();
    *request.extensions_mut() = head.extensions.clone();
    if !streamed && !head.headers.contains_key("grpc-timeout") {
        request.headers_mut().insert("grpc-timeout", timeout(until.duration_since(Instant::now())));
    }
    let answering = async {
        let mut channel = channel.clone();
        let channel = channel.ready().await.map_err(|error| lost(&error))?;
        let answer = channel.call(request).await.map_err(|error| lost(&error))?;
        refused(answer.headers())?;
        if streamed {
            return Ok(answer);
        }
        // Read here to its end, so that a connection that breaks in the middle is tried again too.
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| lost(&error))?;
        if let Some(trailers) = body.trailers() {
            refused(trailers)?;
        }
        Ok(Response::from_parts(head, Body::new(body)))
    };
    tokio::time::timeout_at(until, answering).await.map_err(|_| expired())?
}

fn expired() -> Status {
    Status::deadline_exceeded("the server did not answer before the deadline")
}

/// What the server says of the call, where it is anything but done.
fn refused(headers: &http::HeaderMap) -> Result<(), Status> {
    match Status::from_header_map(headers) {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => Ok(()),
    }
}

/// Whatever became of the call: the connection to the server is gone, or never came to be.
fn lost(error: &(dyn std::error::Error + 'static)) -> Status {
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // The channel looks at a clock of its own.
        if error.is::<TimeoutExpired>() {
            return expired();
        }
        let more = error.to_string();
        if !why.contains(&more) {
            why = format!("{why}: {more}");
        }
        source = error.source();
    }
    Status::unavailable(format!("the connection to the server is lost: {why}"))
}

/// As the header `grpc-timeout` has it; rounded up, since it is this side that gives up.
fn timeout(left: Duration) -> HeaderValue {
    // Eight digits at the most.
    let millis = (left.as_millis() + 1).min(99_999_999);
    HeaderValue::try_from(format!("{millis}m")).unwrap_or(HeaderValue::from_static("30S"))
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_streaming_method_of_the_contract_is_known_as_one() {
        let set = FileDescriptorSet::decode(duban_proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut streamed = Vec::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    assert!(!method.client_streaming(), "{} is collected before it is sent", method.name());
                    if method.server_streaming() {
                        streamed.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                    }
                }
            }
        }
        assert_eq!(streamed, STREAMED);
    }

    #[test]
    fn a_deadline_is_told_in_eight_digits() {
        assert_eq!(timeout(Duration::from_secs(30)), "30001m");
        assert_eq!(timeout(Duration::from_secs(10_000_000)), "99999999m");
    }
}
