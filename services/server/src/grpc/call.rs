//! Two answers that the gRPC library gives under another code: a request that is no protobuf of its message, invalid UTF-8
//! among it, is the caller's mistake (INVALID_ARGUMENT, not INTERNAL), and a deadline that passed is DEADLINE_EXCEEDED.
//!
//! The codec says what it could not decode, and why. What else is INTERNAL and no [`Fault`] of ours, the library says of a request
//! that is not one whole message: it ended early, was compressed in a way that nobody agreed on, or there was none.

use std::error::Error as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use duban_engine::runner::FieldProblem;
use duban_proto::codec::MalformedMessage;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::error::{Fault, bad_request};

const TIMEOUT: &str = "grpc-timeout";

const TOO_LATE: &str =
    "the deadline passed; a command may have been written: repeat it with the same id to know";

/// The library looks at the same header and answers CANCELLED: this is a little before it.
const EARLIER_MAX: Duration = Duration::from_millis(5);

/// Puts the right code on requests that cannot be read, and ends those whose deadline passes.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallLayer;

impl<S> Layer<S> for CallLayer {
    type Service = Call<S>;

    fn layer(&self, inner: S) -> Call<S> {
        Call { inner }
    }
}

/// See [`CallLayer`].
#[derive(Clone, Debug)]
pub struct Call<S> {
    inner: S,
}

impl<S, B, R: Default> Service<Request<B>> for Call<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let deadline = request.headers().get(TIMEOUT).and_then(|value| value.to_str().ok()).and_then(timeout);
        Answer { inner: self.inner.call(request), deadline: deadline.map(sleep) }
    }
}

pin_project! {
    /// The answer of [`Call`].
    pub struct Answer<F> {
        #[pin]
        inner: F,
        #[pin]
        deadline: Option<Sleep>,
    }
}

impl<F, R: Default, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = match this.inner.poll(cx) {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                let Some(deadline) = this.deadline.as_pin_mut() else { return Poll::Pending };
                ready!(deadline.poll(cx));
                return Poll::Ready(Ok(Status::deadline_exceeded(TOO_LATE).into_http()));
            }
        };
        Poll::Ready(answer.map(|response| match response.extensions().get().and_then(renamed) {
            Some(status) => status.into_http(),
            None => response,
        }))
    }
}

fn renamed(status: &Status) -> Option<Status> {
    if status.code() != Code::Internal {
        return None;
    }
    let source = status.source();
    if let Some(MalformedMessage { field, problem }) = source.and_then(|source| source.downcast_ref()) {
        return Some(bad_request(&[FieldProblem { field: field.clone(), problem: problem.clone() }]));
    }
    if source.is_some_and(<dyn std::error::Error>::is::<Fault>) {
        return None;
    }
    let problem = "is not one whole message".to_owned();
    Some(bad_request(&[FieldProblem { field: "request".to_owned(), problem }]))
}

/// `grpc-timeout`: up to eight digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    let asked = match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    Some(asked.saturating_sub((asked / 20).min(EARLIER_MAX)))
}

#[cfg(test)]
mod tests {
    use duban_proto::api::v1::TakeInRequest;
    use prost::Message;

    use super::*;
    use crate::grpc::error::fault;

    #[test]
    fn a_deadline_is_read_in_every_unit_and_comes_a_little_early() {
        assert_eq!(timeout("100S"), Some(Duration::from_millis(99_995)));
        assert_eq!(timeout("20m"), Some(Duration::from_millis(19)));
        assert_eq!(timeout("1H"), Some(Duration::from_secs(3600) - EARLIER_MAX));
        assert_eq!(timeout("2M"), Some(Duration::from_secs(120) - EARLIER_MAX));
        assert_eq!(timeout("20u"), Some(Duration::from_micros(19)));
        assert_eq!(timeout("20n"), Some(Duration::from_nanos(19)));
        for wrong in ["", "S", "5", "5X", "123456789S", "-1S"] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_request_that_cannot_be_read_names_its_field() {
        let mut request =
            TakeInRequest { description: "xx".to_owned(), ..TakeInRequest::default() }.encode_to_vec();
        let at = request.windows(2).position(|two| two == b"xx").unwrap();
        request[at] = 0xff;
        let undecodable = duban_proto::codec::decode::<TakeInRequest>(request.as_slice()).unwrap_err();
        let status = renamed(&undecodable).unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with("description "), "{}", status.message());
    }

    #[test]
    fn what_the_library_says_of_no_request_is_the_callers_and_a_fault_of_ours_is_not() {
        let status = renamed(&Status::internal("Missing request message.")).unwrap();
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, "request is not one whole message")
        );
        assert!(renamed(&fault("the request carries no proven identity")).is_none());
        assert!(renamed(&Status::unavailable("later")).is_none());
    }
}
