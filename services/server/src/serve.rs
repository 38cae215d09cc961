//! The whole server, put together: opened, served, stopped. The command line, the demo and the tests start the same one.

mod router;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use duban_aggregates::actor::Actor;
use duban_codec::types;
use duban_engine::cluster::{self, SharedLog};
use duban_engine::days::Days;
use duban_engine::drain::Drain;
use duban_engine::lease::{self, Lease};
use duban_engine::reactions::Reactions;
use duban_engine::rules::{self, RulesError};
use duban_engine::runner::{Bounds, Rules, Runner};
use duban_engine::sidecar::{Sidecar, SidecarHost};
use duban_engine::time::{Clock, Floored, SystemClock};
use duban_engine::timers::Timers;
use duban_engine::views::{PROGRESS_EVERY, Progress, ToldInTheLog, Views};
use duban_log::{Direction, EventLog, Filter, Options, Position, Registers, SegmentedLog};
use duban_projections::FoldError;
use duban_vault::erasures;
use duban_vault::keys::{KeyStore, KeysError};
use duban_vault::seal::Sealer;
use duban_vault::signing::{SigningError, SigningKey};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic_health::server::HealthReporter;

use crate::config::{Config, Identity};
use crate::grpc::Api;
use crate::identity::{IdentityError, TokenIssuer, Verifier};
use crate::shutdown::{self, Ended};
use crate::stream::{StreamServer, Streams};
use crate::tls::TlsError;

/// How long a throw-away token is valid.
const TOKEN_VALID_FOR: Duration = Duration::from_hours(24);

/// Why the server does not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory cannot be made.
    #[error("cannot make the data directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The log cannot be opened or read.
    #[error("the log cannot be opened")]
    Log(#[from] duban_log::Error),
    /// The read models can neither be opened nor built.
    #[error("the read models cannot be built")]
    Views(#[from] FoldError),
    /// There are no rules to work by.
    #[error("the policy or calendar cannot be used")]
    Rules(#[from] RulesError),
    /// The key store cannot be opened.
    #[error("the key store cannot be opened")]
    Keys(#[from] KeysError),
    /// The key that signs the days' heads cannot be had.
    #[error("the days' heads cannot be signed")]
    Signing(#[from] SigningError),
    /// Callers cannot be proved.
    #[error("callers cannot be proved")]
    Identity(#[from] IdentityError),
    /// TLS cannot be had.
    #[error("TLS cannot be served")]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Signals cannot be taken over.
    #[error("cannot take over signals")]
    Signals(#[source] std::io::Error),
    /// Serving failed.
    #[error("serving failed")]
    Serve(#[source] tonic::transport::Error),
    /// The table of methods contradicts itself.
    #[error("the table of methods contradicts itself")]
    Access(#[from] crate::access::TableError),
    /// The descriptors of the services cannot be served.
    #[error("reflection cannot be served")]
    Reflection(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A task of the server ended badly.
    #[error("a part of the server ended badly")]
    Task(#[from] tokio::task::JoinError),
    /// Tokens are made in development only.
    #[error("this server makes no tokens: your identity provider does")]
    NoTokens,
}

/// How to start a server.
pub struct Server;

impl Server {
    /// Opens the data directory, catches up, and serves; ready when it returns.
    ///
    /// `clock` is what tickets run on: the machine's, or one that is moved by hand. It is held at the last recorded moment
    /// until it has passed it. Tokens run on the machine's clock in any case.
    ///
    /// # Errors
    /// [`ServeError`] says what is in the way.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Running, ServeError> {
        Self::start_telling(config, clock, Arc::new(ToldInTheLog::default())).await
    }

    /// The same; `progress` is told how far a read model is that has to be built anew.
    ///
    /// # Errors
    /// [`ServeError`] says what is in the way.
    pub async fn start_telling(
        config: Config,
        clock: Arc<dyn Clock>,
        progress: Arc<dyn Progress>,
    ) -> Result<Running, ServeError> {
        Self::start_beside(config, clock, progress, None).await
    }

    /// The same, with something beside it: it has its turn before the timers, runs from ready on, and ends before the log is closed.
    ///
    /// # Errors
    /// [`ServeError`] says what is in the way.
    pub async fn start_beside(
        config: Config,
        clock: Arc<dyn Clock>,
        progress: Arc<dyn Progress>,
        beside: Option<Arc<dyn Sidecar>>,
    ) -> Result<Running, ServeError> {
        let opened = match &config.store.url {
            Some(url) => open_on(&config, cluster::connect(url.reveal()).await?).await?,
            None => open(&config).await?,
        };
        Self::start_over(config, clock, progress, beside, opened).await
    }

    /// Starts one of several servers over a log that they share. Each has a data directory of its own, for its read models.
    ///
    /// # Errors
    /// [`ServeError`] says what is in the way.
    pub async fn start_on(
        config: Config,
        clock: Arc<dyn Clock>,
        shared: SharedLog,
    ) -> Result<Running, ServeError> {
        let opened = open_on(&config, shared).await?;
        Self::start_over(config, clock, Arc::new(ToldInTheLog::default()), None, opened).await
    }

    async fn start_over(
        config: Config,
        clock: Arc<dyn Clock>,
        progress: Arc<dyn Progress>,
        beside: Option<Arc<dyn Sidecar>>,
        opened: Opened,
    ) -> Result<Running, ServeError> {
        let Opened { log, sealer, signing, registers } = opened;
        let floor = last_recorded_at(&*log).await?;
        let clock: Arc<dyn Clock> = Arc::new(Floored { clock, floor });
        let bounds = Bounds {
            in_flight_max: config.limits.commands_in_flight_max,
            queued_max: config.limits.commands_queued_max,
            ..Bounds::default()
        };
        let wanted = rules::wanted(&config.policies, rules::read(&*log).await?.as_ref())?;
        let runner =
            Runner::new(Arc::clone(&log), clock, wanted.rules.clone(), sealer.keys().own_ids(), bounds);
        let runner = Arc::new(if registers.is_some() { runner.beside_others() } else { runner });
        let declared = rules::recall_emergencies(&runner).await?;
        let afar = registers.is_some().then(|| log.head().position);
        let views = open_views(&config, runner.rules().clone(), progress, afar).await?;
        let following = tokio::spawn(follow(views.clone(), Arc::clone(&log)));
        views.caught_up(&*log).await;

        let drain = Drain::default();
        let (lease, leasing) = take_lease(registers.as_ref(), &drain).await?;
        let erasing =
            tokio::spawn(erase(registers.is_some(), Arc::clone(&log), sealer.clone(), drain.clone()));
        // Before anything is written today, and so that whoever asks first finds the days closed.
        let days = Arc::new(Days::new(Arc::clone(&runner), signing));
        if lease.is_held() {
            days.catch_up().await;
        }
        wanted.put_into_force(&runner).await?;
        let hearing = tokio::spawn(hear(registers.is_some(), Arc::clone(&runner), declared, drain.clone()));
        let closing = tokio::spawn(close_days(Arc::clone(&days), Arc::clone(&lease), drain.clone()));

        let reactions = Reactions::open(&config.data, Arc::clone(&runner), sealer.clone()).await;
        let reactions = match &registers {
            Some(registers) => reactions.together(Arc::clone(registers)),
            None => reactions,
        };
        let reactions = Arc::new(reactions);
        let reacting = tokio::spawn(react(Arc::clone(&reactions), Arc::clone(&lease), drain.clone()));

        let host = SidecarHost { runner: Arc::clone(&runner), sealer: sealer.clone(), drain: drain.clone() };
        if let Some(beside) = &beside {
            beside.leads(lease.is_held());
            beside.before_timers(&host).await;
        }

        let timers = Arc::new(Timers::new(Arc::clone(&runner), Arc::clone(&views.tickets)));
        if lease.is_held() {
            timers.catch_up().await;
        }
        let ticking = tokio::spawn(tick(Arc::clone(&timers), Arc::clone(&lease), drain.clone()));

        let (verifier, issuer) = identity(&config)?;
        let verifier = Arc::new(verifier);
        let streams = Arc::new(Streams::new(
            Arc::clone(&log),
            sealer.clone(),
            Arc::clone(&verifier),
            config.limits.subscriptions_max,
            drain.clone(),
        ));
        let streaming = tokio::spawn(watch(Arc::clone(&streams)));
        let api = Api::new(Arc::clone(&runner), &views, sealer);
        let listener = listen(config.listen).await?;
        let addr =
            listener.local_addr().map_err(|source| ServeError::Listen { address: config.listen, source })?;
        let health = HealthReporter::new();
        let serving = router::serve(
            &config,
            api,
            verifier,
            StreamServer::new(streams),
            &health,
            listener,
            drain.clone(),
        )
        .await?;
        let (stop, asked) = mpsc::channel(2);
        let time_max = config.limits.drain();
        let served = tokio::spawn({
            let drain = drain.clone();
            async move { shutdown::run(serving, asked, &drain, &health, router::SERVICES, time_max).await }
        });
        let running_beside = tokio::spawn(run_beside(beside, Arc::clone(&lease), host));
        Ok(Running {
            addr,
            issuer,
            stop,
            drain,
            signals: None,
            served,
            following,
            reacting,
            reactions,
            ticking,
            streaming,
            closing,
            running_beside,
            erasing,
            hearing,
            leasing,
            lease,
            timers,
            days,
            runner,
            views,
        })
    }
}

/// A server that serves.
pub struct Running {
    addr: SocketAddr,
    issuer: Option<TokenIssuer>,
    stop: mpsc::Sender<()>,
    drain: Drain,
    signals: Option<mpsc::Receiver<()>>,
    served: JoinHandle<Result<Ended, tonic::transport::Error>>,
    following: JoinHandle<()>,
    reacting: JoinHandle<()>,
    reactions: Arc<Reactions>,
    ticking: JoinHandle<()>,
    streaming: JoinHandle<()>,
    closing: JoinHandle<()>,
    running_beside: JoinHandle<()>,
    erasing: JoinHandle<()>,
    hearing: JoinHandle<()>,
    leasing: JoinHandle<()>,
    lease: Arc<Lease>,
    timers: Arc<Timers>,
    days: Arc<Days>,
    runner: Arc<Runner>,
    views: Views,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A token that proves an actor, valid for a day. Development only.
    ///
    /// # Errors
    /// [`ServeError::NoTokens`] where an identity provider proves callers.
    pub fn mint(&self, actor: &Actor) -> Result<String, ServeError> {
        let issuer = self.issuer.as_ref().ok_or(ServeError::NoTokens)?;
        Ok(issuer.mint(actor, SystemClock::default().now(), TOKEN_VALID_FOR)?.text)
    }

    /// The runner below the services, for what runs in the same process.
    #[must_use]
    pub fn runner(&self) -> &Arc<Runner> {
        &self.runner
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

    /// Waits until what is due has happened, every day that is over is closed, every event of the log has been reacted to, and every read model has taken in
    /// what that wrote.
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

    /// Stops: takes nothing new, finishes what is under way, closes the log.
    ///
    /// # Errors
    /// What serving failed with.
    pub async fn stop(self) -> Result<(), ServeError> {
        // Nobody listens where it has ended by itself, and then there is nothing to stop.
        let _ = self.stop.send(()).await;
        self.ended().await.map(|_| ())
    }

    /// Takes over SIGTERM and SIGINT from here on. A process calls it before it says that it is ready, so that no signal
    /// meets the default action.
    ///
    /// # Errors
    /// [`ServeError::Signals`].
    pub fn heed_signals(&mut self) -> Result<(), ServeError> {
        self.signals = Some(shutdown::signals().map_err(ServeError::Signals)?);
        Ok(())
    }

    /// Serves until SIGTERM or SIGINT, then stops; a second signal cuts off what is under way.
    ///
    /// # Errors
    /// What serving failed with.
    pub async fn until_told_to_stop(mut self) -> Result<Ended, ServeError> {
        let mut signals = match self.signals.take() {
            Some(signals) => signals,
            None => shutdown::signals().map_err(ServeError::Signals)?,
        };
        let stop = self.stop.clone();
        let passing_on = tokio::spawn(async move {
            while let Some(()) = signals.recv().await {
                if stop.send(()).await.is_err() {
                    return;
                }
            }
        });
        let ended = self.ended().await;
        passing_on.abort();
        ended
    }

    async fn ended(self) -> Result<Ended, ServeError> {
        let ended = self.served.await;
        self.drain.start();
        self.reacting.await?;
        self.ticking.await?;
        self.closing.await?;
        self.streaming.await?;
        self.running_beside.await?;
        self.erasing.await?;
        self.hearing.await?;
        self.leasing.await?;
        // After the last append was answered: whoever was cut off is told that the log is closed.
        self.runner.log().close().await?;
        self.following.await?;
        ended?.map_err(ServeError::Serve)
    }
}

struct Opened {
    log: Arc<dyn EventLog>,
    sealer: Sealer,
    signing: SigningKey,
    /// None where this server is alone with its log.
    registers: Option<Arc<dyn Registers>>,
}

/// The log first: its lock covers the keys too.
async fn open(config: &Config) -> Result<Opened, ServeError> {
    let (data, master) = (config.data.clone(), config.master_key.clone());
    let signing = config.signing_key.clone();
    let opening = move || {
        std::fs::create_dir_all(&data)
            .map_err(|source| ServeError::Directory { path: data.clone(), source })?;
        let log = SegmentedLog::open(&data.join("log"), Options::default())?;
        let keys = KeyStore::open(&data, master.as_deref().map(Path::new))?;
        let signing = SigningKey::load_or_make(&data, signing.as_deref())?;
        told_key(&signing);
        Ok(Opened { log: Arc::new(log), sealer: Sealer::new(Arc::new(keys)), signing, registers: None })
    };
    tokio::task::spawn_blocking(opening).await?
}

async fn open_on(config: &Config, shared: SharedLog) -> Result<Opened, ServeError> {
    let data = &config.data;
    std::fs::create_dir_all(data).map_err(|source| ServeError::Directory { path: data.clone(), source })?;
    let SharedLog { log, registers } = shared;
    let keys = KeyStore::open_remote(Arc::clone(&registers), data, config.master_key.as_deref()).await?;
    let signing = SigningKey::load_or_make(data, config.signing_key.as_deref())?;
    if config.signing_key.is_none() {
        tracing::warn!(
            "each server signs days' heads with a key of its own: give all of them one, as keys.signing, or keep every public key"
        );
    }
    told_key(&signing);
    Ok(Opened { log, sealer: Sealer::new(Arc::new(keys)), signing, registers: Some(registers) })
}

fn told_key(signing: &SigningKey) {
    let id = signing.public().id();
    tracing::info!(key = %duban_aggregates::office::hex(&id), "days' heads are signed by this key");
}

/// Contends for the lease from here on, and has looked once when it returns.
async fn take_lease(
    registers: Option<&Arc<dyn Registers>>,
    drain: &Drain,
) -> Result<(Arc<Lease>, JoinHandle<()>), ServeError> {
    let lease = match registers {
        None => Lease::always(),
        Some(registers) => {
            let mut id = [0; 16];
            SystemRandom::new().fill(&mut id).map_err(|_| KeysError::Crypto)?;
            let me = uuid::Builder::from_random_bytes(id).into_uuid();
            Lease::among(Arc::clone(registers), me, lease::LASTS)?
        }
    };
    let lease = Arc::new(lease);
    let (told, looked) = oneshot::channel();
    let running = tokio::spawn({
        let (lease, drain) = (Arc::clone(&lease), drain.clone());
        async move {
            // Nobody listens where the start was given up.
            let tell = || {
                let _ = told.send(());
            };
            lease.run(drain, tell).await;
        }
    });
    // It looks within as long as a lease lasts, whatever comes of it.
    let _ = looked.await;
    Ok((lease, running))
}

async fn last_recorded_at(log: &dyn EventLog) -> Result<Timestamp, ServeError> {
    let page = log.read_all(None, Direction::Backward, &Filter::all(), 1).await?;
    let last = page.events.first().map_or(0, |event| event.recorded_at);
    Ok(Timestamp::from_microsecond(last).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// `afar` is where a log ends that is no directory here.
async fn open_views(
    config: &Config,
    rules: Rules,
    progress: Arc<dyn Progress>,
    afar: Option<Option<Position>>,
) -> Result<Views, ServeError> {
    let data = config.data.clone();
    let told = move |name, done, total| progress.built(name, done, total);
    let opening = move || match afar {
        Some(log_end) => Views::open_afar(&data, &rules, log_end),
        None => Views::open(&data, &rules, &told),
    };
    Ok(tokio::task::spawn_blocking(opening).await??)
}

async fn follow(views: Views, log: Arc<dyn EventLog>) {
    views.follow(log).await;
}

async fn watch(streams: Arc<Streams>) {
    streams.watch().await;
}

async fn tick(timers: Arc<Timers>, lease: Arc<Lease>, drain: Drain) {
    lease.while_held(&drain, || timers.run(drain.clone())).await;
}

async fn close_days(days: Arc<Days>, lease: Arc<Lease>, drain: Drain) {
    lease.while_held(&drain, || days.run(drain.clone())).await;
}

async fn react(reactions: Arc<Reactions>, lease: Arc<Lease>, drain: Drain) {
    lease.while_held(&drain, || reactions.run(drain.clone())).await;
}

/// Only where others may erase what is kept here.
async fn hear(shared: bool, runner: Arc<Runner>, after: Option<Position>, drain: Drain) {
    if shared {
        rules::hear_emergencies(&runner, after, &drain).await;
    }
}

async fn erase(shared: bool, log: Arc<dyn EventLog>, sealer: Sealer, drain: Drain) {
    if shared {
        erasures::follow(&*log, types::CUSTOMER_ERASED, &sealer, drain.started()).await;
    }
}

async fn run_beside(beside: Option<Arc<dyn Sidecar>>, lease: Arc<Lease>, host: SidecarHost) {
    let Some(beside) = beside else { return };
    let mut held = lease.held();
    let telling = async {
        loop {
            beside.leads(*held.borrow_and_update());
            if held.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = beside.run(host) => {}
        () = telling => {}
    }
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
