//! Health follows the background tasks: what cannot be answered while a task is down says so.

use std::sync::Arc;

use duban_engine::tasks::{Supervisor, Task, TaskState, TaskStates};
use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The server as a whole.
const WHOLE: &str = "";

/// What is not served while a task does not run. What is not named here goes on without it.
const NEEDS: &[(&str, &[Task])] = &[
    (WHOLE, &[Task::TicketView, Task::CustomerView]),
    ("duban.api.v1.DeskService", &[Task::TicketView, Task::CustomerView]),
    ("duban.api.v1.CustomerService", &[Task::TicketView, Task::CustomerView]),
    ("duban.api.v1.BoardService", &[Task::TicketView]),
    ("duban.api.v1.HistoryService", &[Task::TicketView]),
    ("duban.api.v1.AuditService", &[Task::ConformanceView]),
    ("duban.api.v1.StreamService", &[Task::Streams]),
];

/// Lets health follow the tasks until the server stops, which says of everything that it is not served.
pub(super) fn follow(tasks: &Supervisor, health: &HealthReporter) {
    let followed = Arc::new((tasks.watch(), health.clone()));
    tasks.spawn_until_drain(Task::Health, followed, |it| async move {
        let (states, health) = &*it;
        tell(states.clone(), health).await
    });
}

async fn tell(mut states: watch::Receiver<TaskStates>, health: &HealthReporter) -> Result<(), RecvError> {
    states.mark_changed();
    loop {
        states.changed().await?;
        let now = states.borrow_and_update().clone();
        for (service, needed) in NEEDS {
            health.set_service_status(*service, status(&now, needed)).await;
        }
    }
}

fn status(states: &TaskStates, needed: &[Task]) -> ServingStatus {
    // One that was not started is not needed.
    let runs = |task: &Task| states.get(task).is_none_or(TaskState::is_running);
    if needed.iter().all(runs) { ServingStatus::Serving } else { ServingStatus::NotServing }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use duban_engine::drain::Drain;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_server::Health;
    use tonic_health::server::HealthService;

    use super::*;
    use crate::serve::router;

    #[test]
    fn every_service_that_needs_a_task_is_one_that_is_served() {
        for (service, _) in NEEDS {
            assert!(router::SERVICES.contains(service), "{service}");
        }
    }

    async fn until(health: &HealthReporter, service: &str, wanted: ServingStatus) {
        let request = HealthCheckRequest { service: service.to_owned() };
        let service = HealthService::from_health_reporter(health.clone());
        let mut watched = service.watch(tonic::Request::new(request)).await.unwrap().into_inner();
        while let Some(answer) = tokio_stream::StreamExt::next(&mut watched).await {
            if answer.unwrap().status == wanted as i32 {
                return;
            }
        }
        panic!("health is told no more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_says_so_while_what_it_needs_is_down_and_when_it_is_back() {
        let (drain, health) = (Drain::default(), HealthReporter::new());
        let tasks = Supervisor::new(drain.clone());
        for service in router::SERVICES {
            health.set_service_status(*service, ServingStatus::Serving).await;
        }
        let broken = Arc::new(AtomicBool::new(true));
        tasks.spawn(Task::ConformanceView, {
            let (broken, drain) = (Arc::clone(&broken), drain.clone());
            move || {
                let (broken, drained) = (broken.load(Ordering::SeqCst), drain.started());
                async move {
                    if broken {
                        return Err("a row is gone".into());
                    }
                    drained.await;
                    Ok(())
                }
            }
        });
        follow(&tasks, &health);
        until(&health, "duban.api.v1.AuditService", ServingStatus::NotServing).await;
        until(&health, WHOLE, ServingStatus::Serving).await;
        broken.store(false, Ordering::SeqCst);
        until(&health, "duban.api.v1.AuditService", ServingStatus::Serving).await;
        drain.start();
    }
}
