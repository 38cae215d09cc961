//! Two answers that the gRPC library gives under another code: a request that is no protobuf of its message, invalid UTF-8
//! among it, is the caller's mistake (INVALID_ARGUMENT, not INTERNAL), and a deadline that passed is DEADLINE_EXCEEDED.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use duban_engine::runner::FieldProblem;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::error::bad_request;

/// What the library's message begins with.
const UNDECODABLE: &str = "failed to decode Protobuf message: ";

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

/// What else tonic says of bytes that are no request.
const NO_REQUEST: [&str; 3] =
    ["Missing request message", "Unexpected EOF decoding stream", "protocol error: received message with"];

fn renamed(status: &Status) -> Option<Status> {
    let internal = status.code() == Code::Internal;
    if internal && NO_REQUEST.iter().any(|said| status.message().starts_with(said)) {
        let problem = "is not one whole message".to_owned();
        return Some(bad_request(&[FieldProblem { field: "request".to_owned(), problem }]));
    }
    let said = status.message().strip_prefix(UNDECODABLE).filter(|_| status.code() == Code::Internal)?;
    // `Message.field: what is wrong`, the outermost message first.
    let (path, problem) = said.split_once(": ").unwrap_or(("request", said));
    let field = path.split_once('.').map_or(path, |(_, field)| field);
    Some(bad_request(&[FieldProblem { field: field.to_owned(), problem: problem.to_owned() }]))
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
    use super::*;

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
        let library = Status::internal(format!(
            "{UNDECODABLE}TakeInRequest.description: invalid string value: data is not UTF-8 encoded"
        ));
        let status = renamed(&library).unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with("description "), "{}", status.message());
        assert!(renamed(&Status::internal("something else")).is_none());
    }
}
