//! Log lines and request spans. Customers' data never reaches them; employees appear by role.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::{Layer, Service};
use tracing::{Span, field};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// The variable that goes before the configured level.
pub const LEVEL_VARIABLE: &str = "DUBAN_LOG";

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is no level and no filter.
    #[error("`{given}` is not a log level or filter: say error, warn, info, debug or trace")]
    Level {
        /// What was given.
        given: String,
        /// What the parser said.
        source: tracing_subscriber::filter::ParseError,
    },
}

/// Sends log lines to standard error, for standard output belongs to answers. Where a subscriber is set already, as in
/// tests, it stays.
///
/// # Errors
/// [`TelemetryError::Level`] when the level cannot be understood.
pub fn init(log: &Log) -> Result<(), TelemetryError> {
    let given = std::env::var(LEVEL_VARIABLE).unwrap_or_else(|_| log.level.clone());
    let filter = filter(&given)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match log.format {
        LogFormat::Text => {
            use std::io::IsTerminal;
            lines.with_ansi(std::io::stderr().is_terminal()).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}

fn filter(given: &str) -> Result<EnvFilter, TelemetryError> {
    let refuse = |source| TelemetryError::Level { given: given.to_owned(), source };
    EnvFilter::builder().parse(given).map_err(refuse)
}

/// How loud a request's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loudness {
    /// It went well: thousands a second.
    Debug,
    /// The caller's doing, or gone away.
    Info,
    /// The server could not just now.
    Warn,
    /// The server's fault.
    Error,
}

fn loudness(code: Code) -> Loudness {
    match code {
        Code::Ok => Loudness::Debug,
        Code::Cancelled
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => Loudness::Info,
        Code::ResourceExhausted | Code::Unavailable => Loudness::Warn,
        Code::Unknown | Code::Internal | Code::DataLoss => Loudness::Error,
    }
}

/// Gives every request a span (method, role, status code, latency) and one line at its end. This is the only place that
/// logs a fault: services attach its causes to the [`Status`] with `set_source` and say nothing themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestLayer;

impl<S> Layer<S> for RequestLayer {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner }
    }
}

/// See [`RequestLayer`].
#[derive(Clone, Debug)]
pub struct Observed<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Observed<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<ObservedBody<R>>;
    type Error = S::Error;
    type Future = ObservedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = tracing::info_span!(
            "request",
            method = request.uri().path(),
            role = field::Empty,
            code = field::Empty,
            latency_us = field::Empty,
        );
        let ending = Ending { span, began: Instant::now(), logged: false };
        let inner = ending.span.in_scope(|| self.inner.call(request));
        ObservedFuture { inner, ending: Some(ending) }
    }
}

/// A request under way. Dropped before its end, it logs that the caller went away.
struct Ending {
    span: Span,
    began: Instant,
    logged: bool,
}

impl Ending {
    fn log(&mut self, code: Code, reason: &str, cause: &str) {
        if std::mem::replace(&mut self.logged, true) {
            return;
        }
        let latency_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.span.record("code", field::debug(code));
        self.span.record("latency_us", latency_us);
        self.span.in_scope(|| match loudness(code) {
            Loudness::Debug => tracing::debug!("answered"),
            Loudness::Info => tracing::info!(reason, "refused"),
            Loudness::Warn => tracing::warn!(reason, cause, "not now"),
            Loudness::Error => tracing::error!(reason, cause, "failed"),
        });
    }

    /// Logs the end if these headers or trailers hold a status. `whole` is the status itself where the answer carries
    /// it; headers carry no causes.
    fn log_status(&mut self, headers: &HeaderMap, whole: Option<&Status>) {
        if let Some(status) = Status::from_header_map(headers) {
            self.log(status.code(), &said(&status), &whole.map(causes).unwrap_or_default());
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.log(Code::Internal, "the service panicked", "");
        } else {
            self.log(Code::Cancelled, "the caller went away before the end", "");
        }
    }
}

/// What a line says of a status: the reason and the fields by name. A refusal's message may repeat what the caller sent,
/// so that it goes to the caller alone; a status without a reason is the transport's own.
fn said(status: &Status) -> String {
    let details = status.get_error_details();
    let Some(info) = details.error_info() else { return status.message().to_owned() };
    let violations = details.bad_request().map_or(&[][..], |bad| &bad.field_violations);
    let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    if fields.is_empty() { info.reason.clone() } else { format!("{}: {}", info.reason, fields.join(", ")) }
}

/// All causes of a status, outermost first.
fn causes(status: &Status) -> String {
    let mut text = String::new();
    let mut next = status.source();
    while let Some(cause) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

pin_project! {
    /// The answer of [`Observed`].
    pub struct ObservedFuture<F> {
        #[pin]
        inner: F,
        ending: Option<Ending>,
    }
}

impl<F, R, E> Future for ObservedFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<ObservedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = match this.ending.as_ref() {
            Some(ending) => {
                let _entered = ending.span.enter();
                ready!(this.inner.poll(cx))
            }
            None => ready!(this.inner.poll(cx)),
        };
        let mut ending = this.ending.take();
        Poll::Ready(match answer {
            Ok(response) => {
                // A refusal comes as headers alone.
                if let Some(ending) = &mut ending {
                    ending.log_status(response.headers(), response.extensions().get());
                }
                Ok(response.map(|inner| ObservedBody { inner, ending }))
            }
            Err(error) => {
                if let Some(ending) = &mut ending {
                    ending.log(Code::Internal, "the service answered nothing", "");
                }
                Err(error)
            }
        })
    }
}

pin_project! {
    /// The body of an answer, watched to its end: a stream's status comes last.
    pub struct ObservedBody<R> {
        #[pin]
        inner: R,
        ending: Option<Ending>,
    }
}

impl<R: Body> Body for ObservedBody<R> {
    type Data = R::Data;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let frame = match this.ending.as_ref() {
            Some(ending) => {
                let _entered = ending.span.enter();
                ready!(this.inner.poll_frame(cx))
            }
            None => ready!(this.inner.poll_frame(cx)),
        };
        if let Some(ending) = this.ending.as_mut() {
            match &frame {
                Some(Ok(frame)) => {
                    if let Some(trailers) = frame.trailers_ref() {
                        ending.log_status(trailers, None);
                    }
                }
                Some(Err(_)) => ending.log(Code::Internal, "the answer broke off", ""),
                None => ending.log(Code::Ok, "", ""),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;
