//! The whole server, put together: opened, served, stopped. The command line, the demo and the tests start the same one.

mod error;
mod health;
mod router;
mod running;

use std::net::SocketAddr;
use std::sync::Arc;

use duban_engine::cluster::{self, SharedLog};
use duban_engine::runner::Bounds;
use duban_engine::sidecar::Sidecar;
use duban_engine::storage::{Places, Storage};
use duban_engine::tasks::{Supervisor, Task};
use duban_engine::time::{Clock, SystemClock};
use duban_engine::views::{Progress, ToldInTheLog};
use duban_engine::{Engine, EngineConfig};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tonic_health::server::HealthReporter;

pub use self::error::ServeError;
pub use self::running::Running;
use crate::config::{Config, Identity};
use crate::grpc::Api;
use crate::identity::{TokenIssuer, Verifier};
use crate::shutdown::{self, Ended};
use crate::stream::{StreamServer, Streams};

/// How to start a server.
pub struct Server {
    config: Config,
    clock: Arc<dyn Clock>,
    progress: Arc<dyn Progress>,
    sidecar: Option<Arc<dyn Sidecar>>,
    shared: Option<SharedLog>,
}

impl Server {
    /// A server of a configuration.
    ///
    /// `clock` is what tickets run on: the machine's, or one that is moved by hand. Tokens run on the machine's clock in any case.
    #[must_use]
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Self {
        Self { config, clock, progress: Arc::new(ToldInTheLog::default()), sidecar: None, shared: None }
    }

    /// The same; `progress` is told how far a read model is that has to be built anew.
    #[must_use]
    pub fn progress(self, progress: Arc<dyn Progress>) -> Self {
        Self { progress, ..self }
    }

    /// The same, with something beside it: it has its turn before the timers, runs from ready on, and ends before the log is closed.
    #[must_use]
    pub fn sidecar(self, sidecar: Option<Arc<dyn Sidecar>>) -> Self {
        Self { sidecar, ..self }
    }

    /// The same, one of several servers over a log that they share. Each has a data directory of its own, for its read models.
    #[must_use]
    pub fn over(self, shared: SharedLog) -> Self {
        Self { shared: Some(shared), ..self }
    }

    /// Opens the data directory, catches up, and serves; ready when it returns.
    ///
    /// # Errors
    /// [`ServeError`] says what is in the way.
    pub async fn start(self) -> Result<Running, ServeError> {
        let Self { config, clock, progress, sidecar, shared } = self;
        let storage = open(&config, shared).await?;
        let engine = EngineConfig {
            data: config.data.clone(),
            policies: config.policies.clone(),
            bounds: Bounds {
                in_flight_max: config.limits.commands_in_flight_max,
                queued_max: config.limits.commands_queued_max,
                ..Bounds::default()
            },
        };
        let engine = Engine::start(storage, engine, clock, progress, sidecar).await?;
        match serve(&config, &engine).await {
            Ok(serving) => {
                engine.start_sidecar();
                Ok(Running::new(engine, serving))
            }
            Err(error) => {
                engine.stop().await?;
                Err(error)
            }
        }
    }
}

async fn open(config: &Config, shared: Option<SharedLog>) -> Result<Storage, ServeError> {
    let places = Places {
        data: config.data.clone(),
        master_key: config.master_key.clone(),
        signing_key: config.signing_key.clone(),
    };
    let shared = match (shared, &config.store.url) {
        (None, Some(url)) => Some(cluster::connect(url.reveal()).await?),
        (shared, _) => shared,
    };
    Ok(match shared {
        Some(shared) => Storage::open_on(&places, shared).await?,
        None => Storage::open(&places).await?,
    })
}

/// The edge of a server, once it accepts connections.
struct Serving {
    addr: SocketAddr,
    issuer: Option<TokenIssuer>,
    /// Asks it to stop; a second time, at once.
    stop: mpsc::Sender<()>,
    ended: oneshot::Receiver<Ended>,
}

async fn serve(config: &Config, engine: &Engine) -> Result<Serving, ServeError> {
    let (drain, tasks) = (engine.drain().clone(), engine.tasks());
    let (verifier, issuer) = identity(config)?;
    let verifier = Arc::new(verifier);
    let streams = Arc::new(Streams::new(
        Arc::clone(engine.runner().log()),
        engine.sealer().clone(),
        Arc::clone(&verifier),
        config.limits.subscriptions_max,
        drain.clone(),
    ));
    let listener = listen(config.listen).await?;
    let addr =
        listener.local_addr().map_err(|source| ServeError::Listen { address: config.listen, source })?;
    let health = HealthReporter::new();
    let api = Api::new(engine);
    let stream_server = StreamServer::new(Arc::clone(&streams));
    let serving =
        router::serve(config, api, verifier, stream_server, &health, listener, drain.clone()).await?;
    tasks.spawn_until_drain(Task::Streams, streams, |streams| async move { streams.watch().await });
    health::follow(tasks, &health);

    let (stop, asked) = mpsc::channel(2);
    let (tell, ended) = oneshot::channel();
    let time_max = config.limits.drain();
    spawn_once(tasks, Task::Serving, async move {
        let outcome = shutdown::run(serving, asked, &drain, &health, router::SERVICES, time_max).await?;
        // Whoever started the server may have dropped it.
        let _ = tell.send(outcome);
        Ok(())
    });
    Ok(Serving { addr, issuer, stop, ended })
}

/// A task that cannot begin again, whose failure stops the server.
fn spawn_once(
    tasks: &Supervisor,
    task: Task,
    run: impl Future<Output = Result<(), duban_engine::tasks::TaskError>> + Send + 'static,
) {
    let mut run = Some(run);
    tasks.spawn(task, move || {
        let run = run.take();
        async move {
            match run {
                Some(run) => run.await,
                None => Err("it cannot begin again".into()),
            }
        }
    });
}

/// Who proves callers, and who makes tokens in development.
fn identity(config: &Config) -> Result<(Verifier, Option<TokenIssuer>), ServeError> {
    let clock = Arc::new(SystemClock::default());
    match &config.identity {
        Identity::Dev => {
            let issuer = TokenIssuer::throw_away()?;
            Ok((issuer.verifier(clock), Some(issuer)))
        }
        Identity::Provider(auth) => {
            Ok((Verifier::from_file(&auth.public_key, auth.expected(), clock)?, None))
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}
