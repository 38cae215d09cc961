//! Stopping: say so, take nothing new, finish what is under way, and end in bounded time all the same.

use std::future::Future;
use std::io;
use std::time::Duration;

use duban_engine::drain::Drain;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// How the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything under way was finished.
    Finished,
    /// The time was up, or the operator asked a second time: what was under way was cut off. Nothing acknowledged is
    /// lost by that; a caller without an answer repeats its command id.
    Cut,
}

/// SIGTERM and SIGINT, each of them a request to stop.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them over. To be called before the server says that it is ready, so that no signal meets the default action.
    ///
    /// # Errors
    /// What the system says; also outside a runtime with I/O.
    pub fn take_over() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Completes at the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The next request to stop. Nobody left to ask is no request.
async fn next(asked: &mut mpsc::Receiver<()>) {
    if asked.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Runs `server` until it ends by itself, or until `asked` brings a request to stop: then health turns to NOT_SERVING for every one of
/// `services`, `drain` starts, and what is under way has `time_max` to finish. A second
/// request to stop cuts at once.
///
/// `server` must stop accepting when [`Drain::started`] completes:
/// `router.serve_with_incoming_shutdown(incoming, drain.started())`.
///
/// # Errors
/// What `server` fails with.
pub async fn run<E>(
    server: impl Future<Output = Result<(), E>>,
    mut asked: mpsc::Receiver<()>,
    drain: &Drain,
    health: &HealthReporter,
    services: &[&str],
    time_max: Duration,
) -> Result<Ended, E> {
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended.map(|()| Ended::Finished),
        () = next(&mut asked) => {}
    }
    tracing::info!(
        seconds_max = time_max.as_secs(),
        "stopping: taking nothing new, finishing what is under way"
    );
    for service in services {
        health.set_service_status(*service, ServingStatus::NotServing).await;
    }
    drain.start();
    tokio::select! {
        biased;
        ended = &mut server => return ended.map(|()| Ended::Finished),
        () = tokio::time::sleep(time_max) => {
            tracing::warn!("requests were still under way at the deadline and are cut off");
        }
        () = next(&mut asked) => {
            tracing::warn!("asked to stop a second time: requests under way are cut off");
        }
    }
    Ok(Ended::Cut)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::oneshot;

    use super::*;

    const TIME_MAX: Duration = Duration::from_secs(10);

    async fn stop<E>(
        server: impl Future<Output = Result<(), E>>,
        asked: mpsc::Receiver<()>,
        drain: &Drain,
    ) -> Result<Ended, E> {
        run(server, asked, drain, &HealthReporter::new(), &["", "duban.api.v1.DeskService"], TIME_MAX).await
    }

    /// Asked to stop so many times, at once.
    fn asked(times: usize) -> mpsc::Receiver<()> {
        let (ask, asked) = mpsc::channel(2);
        for _ in 0..times {
            ask.try_send(()).unwrap();
        }
        asked
    }

    #[tokio::test]
    async fn a_server_that_ends_by_itself_is_finished_and_its_failure_is_passed_on() {
        let drain = Drain::default();
        assert_eq!(stop(async { Ok::<_, ()>(()) }, asked(0), &drain).await, Ok(Ended::Finished));
        assert_eq!(stop(async { Err("bind") }, asked(0), &drain).await, Err("bind"));
        assert!(!drain.is_started());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_is_finished() {
        let drain = Drain::default();
        let started = drain.started();
        let server = async {
            started.await;
            tokio::time::sleep(Duration::from_secs(9)).await;
            Ok::<_, ()>(())
        };
        assert_eq!(stop(server, asked(1), &drain).await, Ok(Ended::Finished));
        assert!(drain.is_started());
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_finish_is_cut_at_the_deadline() {
        let before = tokio::time::Instant::now();
        let ended = stop(pending::<Result<(), ()>>(), asked(1), &Drain::default()).await;
        assert_eq!((ended, before.elapsed()), (Ok(Ended::Cut), TIME_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_request_cuts_at_once() {
        let before = tokio::time::Instant::now();
        let ended = stop(pending::<Result<(), ()>>(), asked(2), &Drain::default()).await;
        assert_eq!((ended, before.elapsed()), (Ok(Ended::Cut), Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn health_says_not_serving_before_the_server_stops_accepting() {
        use tonic_health::pb::{HealthCheckRequest, health_server::Health};
        let reporter = HealthReporter::new();
        reporter.set_service_status("desk", ServingStatus::Serving).await;
        let service = tonic_health::server::HealthService::from_health_reporter(reporter.clone());
        let drain = Drain::default();
        let started = drain.started();
        let (told, saw) = oneshot::channel();
        let server = async {
            started.await;
            let request = HealthCheckRequest { service: "desk".to_owned() };
            let answer = service.check(tonic::Request::new(request)).await.unwrap();
            told.send(answer.into_inner().status).unwrap();
            Ok::<_, ()>(())
        };
        run(server, asked(1), &drain, &reporter, &["desk"], TIME_MAX).await.unwrap();
        assert_eq!(saw.await.unwrap(), ServingStatus::NotServing as i32);
    }
}
