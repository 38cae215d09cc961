//! Everything behind the edge, put together in the order in which it must start, and stopped in the order in which it must end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use duban_codec::types;
use duban_log::{Direction, EventLog, Filter, Position, Registers};
use duban_projections::{Fold, FoldError, Projection};
use duban_vault::erasures::ErasureFollower;
use duban_vault::keys::KeysError;
use duban_vault::seal::Sealer;
use jiff::Timestamp;

use crate::days::Days;
use crate::drain::Drain;
use crate::emergencies::EmergencyFollower;
use crate::intake::CaseIntake;
use crate::lease::{self, Lease};
use crate::reactions::Reactions;
use crate::rules::{self, PolicyConfig, RulesError};
use crate::runner::{Bounds, Rules, RunError, Runner};
use crate::sidecar::{Sidecar, SidecarHost};
use crate::storage::Storage;
use crate::tasks::{EndsWith, Supervisor, Task, TaskError};
use crate::time::{Clock, Floored};
use crate::timers::Timers;
use crate::views::{PROGRESS_EVERY, Progress, Views};

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[from] duban_log::Error),
    /// The read models can neither be opened nor built.
    #[error("the read models cannot be built")]
    Views(#[from] FoldError),
    /// There are no rules to work by.
    #[error("the policy or calendar cannot be used")]
    Rules(#[from] RulesError),
    /// No randomness for an id of this server's own.
    #[error("this server has no id of its own")]
    Keys(#[from] KeysError),
    /// Opening the read models ended badly.
    #[error("opening the read models ended badly")]
    Panicked(#[from] tokio::task::JoinError),
}

impl From<RunError> for EngineError {
    fn from(error: RunError) -> Self {
        Self::Rules(error.into())
    }
}

/// How to start an engine.
pub struct EngineConfig {
    /// Where its read models live.
    pub data: PathBuf,
    /// What is to be in force.
    pub policies: PolicyConfig,
    /// How much the runner takes on.
    pub bounds: Bounds,
}

/// An engine that runs.
pub struct Engine {
    drain: Drain,
    tasks: Supervisor,
    sealer: Sealer,
    runner: Arc<Runner>,
    intake: Arc<CaseIntake>,
    views: Views,
    lease: Arc<Lease>,
    days: Arc<Days>,
    reactions: Arc<Reactions>,
    timers: Arc<Timers>,
    sidecar: Option<Arc<dyn Sidecar>>,
}

impl Engine {
    /// Catches up with the log and with what should have happened while no server was there, and starts what happens by itself.
    ///
    /// The clock is held at the last recorded moment until it has passed it.
    ///
    /// # Errors
    /// [`EngineError`]; everything that was started has ended then.
    pub async fn start(
        storage: Storage,
        config: EngineConfig,
        clock: Arc<dyn Clock>,
        progress: Arc<dyn Progress>,
        sidecar: Option<Arc<dyn Sidecar>>,
    ) -> Result<Self, EngineError> {
        let drain = Drain::default();
        let tasks = Supervisor::new(drain.clone());
        let log = Arc::clone(&storage.log);
        let started =
            Self::start_under(tasks.clone(), drain.clone(), storage, config, clock, progress, sidecar).await;
        if started.is_err() {
            stop(&drain, &tasks, &*log).await?;
        }
        started
    }

    async fn start_under(
        tasks: Supervisor,
        drain: Drain,
        storage: Storage,
        config: EngineConfig,
        clock: Arc<dyn Clock>,
        progress: Arc<dyn Progress>,
        sidecar: Option<Arc<dyn Sidecar>>,
    ) -> Result<Self, EngineError> {
        let Storage { log, sealer, signing, registers } = storage;
        let EngineConfig { data, policies, bounds } = config;
        let floor = last_recorded_at(&*log).await?;
        let clock: Arc<dyn Clock> = Arc::new(Floored { clock, floor });
        let wanted = rules::wanted(&policies, rules::read(&*log).await?.as_ref())?;
        let runner =
            Runner::new(Arc::clone(&log), clock, wanted.rules.clone(), sealer.keys().own_ids(), bounds);
        let runner = Arc::new(if registers.is_some() { runner.beside_others() } else { runner });
        let emergencies = EmergencyFollower::open(Arc::clone(&runner)).await?;
        let log_end = registers.is_some().then(|| log.head().position);
        let views = open_views(&data, runner.rules().clone(), progress, log_end).await?;
        follow_with(&tasks, Task::TicketView, &views.tickets, &log);
        follow_with(&tasks, Task::CustomerView, &views.customers, &log);
        follow_with(&tasks, Task::ConformanceView, &views.conformance, &log);
        views.caught_up(&*log).await;

        let lease = contend(&tasks, registers.as_ref(), &drain).await?;
        if registers.is_some() {
            let erasures = Arc::new(ErasureFollower::from_now_on(
                Arc::clone(&log),
                sealer.clone(),
                types::CUSTOMER_ERASED,
            ));
            tasks.spawn_until_drain(Task::Erasures, erasures, |it| async move { it.run().await });
        }
        // Before anything is written today, and so that whoever asks first finds the days closed.
        let days = Arc::new(Days::new(Arc::clone(&runner), signing));
        if lease.is_held() {
            days.catch_up().await;
        }
        wanted.put_into_force(&runner).await?;
        if registers.is_some() {
            let emergencies = Arc::new(emergencies);
            tasks.spawn_until_drain(Task::Emergencies, emergencies, |it| async move { it.run().await });
        }
        spawn_leased(&tasks, Task::Days, &lease, &drain, &days, |days, drain| async move {
            days.run(drain).await
        });

        let reactions = Reactions::open(&data, Arc::clone(&runner), sealer.clone()).await;
        let reactions = Arc::new(match registers {
            Some(registers) => reactions.shared(registers),
            None => reactions,
        });
        spawn_leased(&tasks, Task::Reactions, &lease, &drain, &reactions, |reactions, drain| async move {
            reactions.run(drain).await
        });

        let timers = Arc::new(Timers::new(Arc::clone(&runner), Arc::clone(&views.tickets)));
        let intake = CaseIntake::new(Arc::clone(&runner), views.clone(), sealer.clone());
        let intake = Arc::new(intake);
        let engine =
            Self { drain, tasks, sealer, runner, intake, views, lease, days, reactions, timers, sidecar };
        if let Some(sidecar) = &engine.sidecar {
            sidecar.leads(engine.lease.is_held());
            sidecar.before_timers(&engine.host()).await;
        }
        if engine.lease.is_held() {
            engine.timers.catch_up().await;
        }
        spawn_leased(
            &engine.tasks,
            Task::Timers,
            &engine.lease,
            &engine.drain,
            &engine.timers,
            |timers, drain| async move { timers.run(drain).await },
        );
        Ok(engine)
    }

    /// Starts what runs beside the server, which is ready.
    pub fn start_sidecar(&self) {
        let Some(sidecar) = &self.sidecar else { return };
        sidecar.start(&self.host());
        let (sidecar, lease, drain) = (Arc::clone(sidecar), Arc::clone(&self.lease), self.drain.clone());
        self.tasks.spawn(Task::SidecarLead, move || {
            let (sidecar, mut held, drained) = (Arc::clone(&sidecar), lease.held(), drain.started());
            async move {
                tokio::pin!(drained);
                loop {
                    sidecar.leads(*held.borrow_and_update());
                    tokio::select! {
                        () = &mut drained => return Ok(()),
                        changed = held.changed() => changed?,
                    }
                }
            }
        });
    }

    fn host(&self) -> SidecarHost {
        SidecarHost {
            runner: Arc::clone(&self.runner),
            sealer: self.sealer.clone(),
            drain: self.drain.clone(),
            tasks: self.tasks.clone(),
        }
    }

    /// The word that the server stops.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// The background tasks.
    #[must_use]
    pub fn tasks(&self) -> &Supervisor {
        &self.tasks
    }

    /// The customers' keys.
    #[must_use]
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// What takes commands.
    #[must_use]
    pub fn runner(&self) -> &Arc<Runner> {
        &self.runner
    }

    /// What takes cases in.
    #[must_use]
    pub fn intake(&self) -> &Arc<CaseIntake> {
        &self.intake
    }

    /// The read models.
    #[must_use]
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// What happens by itself.
    #[must_use]
    pub fn timers(&self) -> &Arc<Timers> {
        &self.timers
    }

    /// The office's days.
    #[must_use]
    pub fn days(&self) -> &Arc<Days> {
        &self.days
    }

    /// Who of several servers does what needs one only; a server that is alone always does.
    #[must_use]
    pub fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// Waits until what is due has happened, every day that is over is closed, every event of the log has been reacted to, and every
    /// read model has taken in what that wrote.
    ///
    /// Of what another server has the lease for, it waits for nothing but what is in the log already.
    pub async fn settled(&self) {
        loop {
            let held = self.lease.is_held();
            if held {
                self.timers.idle().await;
                self.days.idle().await;
            }
            let Some(head) = self.runner.log().head().position else { return };
            if held {
                self.reactions.reached(head).await;
            }
            // It has stopped, or it gets there.
            let _ = self.views.wait_for(head, PROGRESS_EVERY).await;
            let idle = !held || self.timers.is_idle();
            if self.runner.log().head().position == Some(head) && idle {
                return;
            }
        }
    }

    /// Ends every task, closes the log, and lets the read models take in the rest.
    ///
    /// # Errors
    /// Where the log cannot be closed.
    pub async fn stop(&self) -> Result<(), duban_log::Error> {
        stop(&self.drain, &self.tasks, &**self.runner.log()).await
    }
}

async fn stop(drain: &Drain, tasks: &Supervisor, log: &dyn EventLog) -> Result<(), duban_log::Error> {
    drain.start();
    tasks.ended(EndsWith::Drain).await;
    // After the last append was answered: whoever was cut off is told that the log is closed.
    log.close().await?;
    tasks.ended(EndsWith::Log).await;
    Ok(())
}

/// A task that is done by one of several servers.
fn spawn_leased<T, E, F>(
    tasks: &Supervisor,
    task: Task,
    lease: &Arc<Lease>,
    drain: &Drain,
    what: &Arc<T>,
    run: fn(Arc<T>, Drain) -> F,
) where
    T: Send + Sync + 'static,
    E: Into<TaskError> + Send,
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    let (lease, drain, what) = (Arc::clone(lease), drain.clone(), Arc::clone(what));
    tasks.spawn(task, move || {
        let (lease, drain, what) = (Arc::clone(&lease), drain.clone(), Arc::clone(&what));
        async move {
            lease.while_held(&drain, || run(Arc::clone(&what), drain.clone())).await.map_err(Into::into)
        }
    });
}

fn follow_with<F: Fold>(tasks: &Supervisor, task: Task, view: &Arc<Projection<F>>, log: &Arc<dyn EventLog>) {
    let (view, log) = (Arc::clone(view), Arc::clone(log));
    tasks.spawn(task, move || {
        let (view, log) = (Arc::clone(&view), Arc::clone(&log));
        async move { view.follow_until_stopped(log).await.map_err(Into::into) }
    });
}

/// Contends for the lease from here on, and has looked once when it returns.
async fn contend(
    tasks: &Supervisor,
    registers: Option<&Arc<dyn Registers>>,
    drain: &Drain,
) -> Result<Arc<Lease>, EngineError> {
    let Some(registers) = registers else { return Ok(Arc::new(Lease::always())) };
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).map_err(|_| KeysError::Crypto)?;
    let me = uuid::Builder::from_random_bytes(id).into_uuid();
    let lease = Arc::new(Lease::among(Arc::clone(registers), me, lease::LASTS)?);
    let (contending, drain) = (Arc::clone(&lease), drain.clone());
    tasks.spawn(Task::Lease, move || {
        let (lease, drain) = (Arc::clone(&contending), drain.clone());
        async move {
            lease.run(drain).await;
            Ok(())
        }
    });
    // It looks within as long as a lease lasts, whatever comes of it.
    lease.looked_at().await;
    Ok(lease)
}

async fn last_recorded_at(log: &dyn EventLog) -> Result<Timestamp, EngineError> {
    let page = log.read_all(None, Direction::Backward, &Filter::all(), 1).await?;
    let last = page.events.first().map_or(0, |event| event.recorded_at);
    Ok(Timestamp::from_microsecond(last).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// `log_end` is where a log ends that is no directory here.
async fn open_views(
    data: &Path,
    rules: Rules,
    progress: Arc<dyn Progress>,
    log_end: Option<Option<Position>>,
) -> Result<Views, EngineError> {
    let data = data.to_owned();
    let built = move |name, done, total| progress.built(name, done, total);
    let opening = move || match log_end {
        Some(log_end) => Views::open_afar(&data, &rules, log_end),
        None => Views::open(&data, &rules, &built),
    };
    Ok(tokio::task::spawn_blocking(opening).await??)
}
