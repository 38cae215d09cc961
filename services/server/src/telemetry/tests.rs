use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tower::{ServiceExt, service_fn};
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// Collects log lines as JSON.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The lines that one request leaves when the service answers `answer` and the caller reads `frames` of it.
async fn lines(answer: Response<tonic::body::Body>, frames: usize) -> Vec<serde_json::Value> {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    {
        let _guard = tracing::subscriber::set_default(subscriber);
        let answer = Mutex::new(Some(answer));
        let service = RequestLayer.layer(service_fn(|_: Request<()>| {
            Span::current().record("role", "desk");
            let answer = answer.lock().take().unwrap();
            async { Ok::<_, Infallible>(answer) }
        }));
        let request = Request::builder().uri("http://x/duban.api.v1.DeskService/Open").body(()).unwrap();
        let mut body = Box::pin(service.oneshot(request).await.unwrap().into_body());
        for _ in 0..frames {
            std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
        }
    }
    let bytes = lines.0.lock().clone();
    String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn line(answer: Response<tonic::body::Body>, frames: usize) -> serde_json::Value {
    let mut lines = lines(answer, frames).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

/// A body of one message and trailers with this status.
struct Answer(u8, Status);

impl Body for Answer {
    type Data = tonic::codegen::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        self.0 += 1;
        Poll::Ready(match self.0 {
            1 => Some(Ok(Frame::data(Self::Data::from_static(b"message")))),
            2 => {
                let mut trailers = HeaderMap::new();
                self.1.add_header(&mut trailers).unwrap();
                Some(Ok(Frame::trailers(trailers)))
            }
            _ => None,
        })
    }
}

fn answer(status: Status) -> Response<tonic::body::Body> {
    Response::new(tonic::body::Body::new(Answer(0, status)))
}

#[tokio::test]
async fn an_answer_leaves_one_quiet_line_with_method_role_code_and_latency() {
    let line = line(answer(Status::ok("")), 3).await;
    assert_eq!(line["level"], "DEBUG");
    assert_eq!(line["span"]["method"], "/duban.api.v1.DeskService/Open");
    assert_eq!(line["span"]["role"], "desk");
    assert_eq!(line["span"]["code"], "Ok");
    assert!(line["span"]["latency_us"].is_u64());
}

#[tokio::test]
async fn a_callers_mistake_is_information() {
    let line = line(Status::failed_precondition("still in reply").into_http(), 1).await;
    assert_eq!((&line["level"], &line["span"]["code"]), (&"INFO".into(), &"FailedPrecondition".into()));
    assert_eq!(line["fields"]["reason"], "still in reply");
}

#[tokio::test]
async fn what_a_caller_sent_stays_out_of_the_line_of_its_refusal() {
    let refused =
        crate::grpc::refused(duban_engine::runner::RunError::field("category", "names no category: 王小明"));
    let line = line(refused.into_http(), 1).await;
    assert_eq!(line["fields"]["reason"], "INVALID_FIELD: category");
    assert!(!line.to_string().contains("王小明"), "{line}");
}

#[tokio::test]
async fn a_fault_is_one_error_with_its_causes() {
    let mut status = Status::internal("the ticket cannot be read");
    status.set_source(Arc::new(io::Error::other(io::Error::other("bad sector"))));
    let line = line(status.into_http(), 1).await;
    assert_eq!(line["level"], "ERROR");
    assert!(line["fields"]["cause"].as_str().unwrap().contains("bad sector"));
}

#[tokio::test]
async fn a_stream_is_logged_by_the_status_at_its_end() {
    let line = line(answer(Status::unavailable("stopping")), 3).await;
    assert_eq!((&line["level"], &line["span"]["code"]), (&"WARN".into(), &"Unavailable".into()));
}

#[tokio::test]
async fn a_caller_that_goes_away_is_information() {
    let line = line(answer(Status::ok("")), 1).await;
    assert_eq!((&line["level"], &line["span"]["code"]), (&"INFO".into(), &"Cancelled".into()));
}

#[test]
fn levels_and_filters_are_understood_and_others_refused() {
    for good in ["info", "debug", "info,duban_server=trace"] {
        filter(good).unwrap();
    }
    assert!(matches!(filter("loud=very=much"), Err(TelemetryError::Level { .. })));
}
