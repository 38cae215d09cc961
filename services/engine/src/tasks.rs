//! Every background task of a server, under one supervisor: none runs beside it, and none ends unnoticed (design.md section 4).
//!
//! What a task does, what is missing while it is down, and what its failure means is said in one table, [`Task::row`]. A failure is an
//! error, a panic, or an end before the server stops: it is logged once, shows in [`Supervisor::watch`], from which health follows,
//! and then the task begins again after a pause, or the server stops.

mod table;

use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::table::{EndsWith, OnFailure, Row, Task};
use crate::drain::Drain;
use crate::retry::doubling;

/// Between a task's failure and its next beginning; each failure in a row waits twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A task that has run for so long since it began again, or as long as the pause before, runs again; what fails then is a new failure.
const STEADY_AFTER: Duration = Duration::from_secs(1);

/// Why a task ended before the server stopped.
pub type TaskError = Box<dyn Error + Send + Sync>;

/// How a task stands.
#[derive(Clone, Debug)]
pub enum TaskState {
    /// It runs.
    Running,
    /// It failed, and waits to begin again or has just begun.
    Restarting {
        /// When it failed first.
        since: Instant,
        /// How often it has failed since.
        failures: u32,
        /// Why it failed last.
        reason: Arc<str>,
    },
    /// It failed for good: the server stops, or was stopping already.
    Failed {
        /// Why.
        reason: Arc<str>,
    },
    /// It ended because the server stops.
    Ended,
}

impl TaskState {
    /// Whether what the task does is being done.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running)
    }
}

/// How all tasks stand that were started.
pub type TaskStates = BTreeMap<Task, TaskState>;

/// A task whose failure stops the server.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} failed: {reason}", task.row().name)]
pub struct FatalFailure {
    /// Which.
    pub task: Task,
    /// Why.
    pub reason: Arc<str>,
}

/// Starts tasks, begins them again, and knows how they stand. Clones are handles on the same one.
#[derive(Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

struct Shared {
    drain: Drain,
    states: watch::Sender<TaskStates>,
    fatal: watch::Sender<Option<FatalFailure>>,
    handles: Mutex<Vec<(Task, JoinHandle<()>)>>,
}

impl Supervisor {
    /// A supervisor of no tasks yet. When `drain` starts, tasks end by themselves and none begins again.
    #[must_use]
    pub fn new(drain: Drain) -> Self {
        let (states, fatal) = (watch::Sender::default(), watch::Sender::default());
        Self { shared: Arc::new(Shared { drain, states, fatal, handles: Mutex::default() }) }
    }

    /// Starts a task. `run` is called again each time that it begins again, and goes on where it was.
    pub fn spawn<F>(&self, task: Task, run: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        self.shared.set(task, TaskState::Running);
        let shared = Arc::clone(&self.shared);
        let handle = tokio::spawn(async move { shared.supervise(task, run).await });
        self.shared.handles.lock().push((task, handle));
    }

    /// Starts a task that knows nothing of the server's stop: it is given up then, whatever it is at.
    pub fn spawn_until_drain<T, E, F>(&self, task: Task, what: Arc<T>, run: fn(Arc<T>) -> F)
    where
        T: Send + Sync + 'static,
        E: Into<TaskError>,
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let drain = self.shared.drain.clone();
        self.spawn(task, move || {
            let (drained, running) = (drain.started(), run(Arc::clone(&what)));
            async move {
                tokio::select! {
                    () = drained => Ok(()),
                    ended = running => ended.map_err(Into::into),
                }
            }
        });
    }

    /// How the tasks stand, as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<TaskStates> {
        self.shared.states.subscribe()
    }

    /// How a task stands; none where it was not started.
    #[must_use]
    pub fn state(&self, task: Task) -> Option<TaskState> {
        self.shared.states.borrow().get(&task).cloned()
    }

    /// Completes when a task has failed whose failure stops the server.
    pub async fn failed(&self) -> FatalFailure {
        let mut fatal = self.shared.fatal.subscribe();
        loop {
            if let Some(failure) = fatal.borrow_and_update().clone() {
                return failure;
            }
            // The sender lives as long as `self`.
            if fatal.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The failure that stops the server, where there was one.
    #[must_use]
    pub fn failure(&self) -> Option<FatalFailure> {
        self.shared.fatal.borrow().clone()
    }

    /// Waits until every task has ended that ends with this.
    pub async fn ended(&self, with: EndsWith) {
        let theirs: Vec<_> = {
            let mut handles = self.shared.handles.lock();
            handles.extract_if(.., |(task, _)| task.row().ends_with == with).collect()
        };
        for (task, handle) in theirs {
            // What the task does cannot panic here: that is caught where it runs.
            if let Err(error) = handle.await {
                tracing::error!(task = task.row().name, %error, "the supervision of a task ended badly");
            }
        }
    }
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("states", &*self.shared.states.borrow()).finish_non_exhaustive()
    }
}

impl Shared {
    fn set(&self, task: Task, state: TaskState) {
        self.states.send_modify(|states| {
            states.insert(task, state);
        });
    }

    async fn supervise<F>(&self, task: Task, mut run: impl FnMut() -> F + Send)
    where
        F: Future<Output = Result<(), TaskError>> + Send,
    {
        let Row { name, on_failure, .. } = task.row();
        let fresh = || doubling(PAUSE_FIRST, PAUSE_MAX).build();
        let (mut failing, mut pauses, mut paused) = (None, fresh(), Duration::ZERO);
        loop {
            let reason = {
                // Also the call itself is caught, where it panics before there is a future.
                let attempt = AssertUnwindSafe(async { run().await }).catch_unwind();
                tokio::pin!(attempt);
                let ended = if failing.is_none() {
                    attempt.await
                } else {
                    tokio::select! {
                        biased;
                        ended = &mut attempt => ended,
                        () = tokio::time::sleep(STEADY_AFTER.max(paused)) => {
                            failing = None;
                            pauses = fresh();
                            self.set(task, TaskState::Running);
                            tracing::info!(task = name, "a task that had failed runs again");
                            attempt.await
                        }
                    }
                };
                match ended {
                    Ok(Ok(())) if self.drain.is_started() => return self.set(task, TaskState::Ended),
                    Ok(Ok(())) => "it ended although the server goes on".to_owned(),
                    Ok(Err(error)) => with_causes(&*error),
                    Err(panic) => format!("it panicked: {}", panic_message(&*panic)),
                }
            };
            let reason: Arc<str> = reason.into();
            if on_failure == OnFailure::StopServer || self.drain.is_started() {
                tracing::error!(task = name, %reason, "a task failed");
                self.set(task, TaskState::Failed { reason: Arc::clone(&reason) });
                if on_failure == OnFailure::StopServer {
                    self.fatal.send_if_modified(|fatal| {
                        let first = fatal.is_none();
                        fatal.get_or_insert(FatalFailure { task, reason });
                        first
                    });
                }
                return;
            }
            let (since, failures) =
                failing.map_or((Instant::now(), 1), |(since, failures)| (since, failures + 1));
            failing = Some((since, failures));
            paused = pauses.next().unwrap_or(PAUSE_MAX);
            let pause_ms = u64::try_from(paused.as_millis()).unwrap_or(u64::MAX);
            tracing::error!(task = name, %reason, failures, pause_ms, "a task failed and begins again after a pause");
            self.set(task, TaskState::Restarting { since, failures, reason });
            tokio::select! {
                () = self.drain.started() => return self.set(task, TaskState::Ended),
                () = tokio::time::sleep(paused) => {}
            }
        }
    }
}

/// An error and what it came from, on one line.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests;
