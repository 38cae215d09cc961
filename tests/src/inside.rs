//! A server in this process, on a clock that is moved by hand, over a directory that outlives its restarts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use duban_aggregates::actor::Actor;
use duban_aggregates::policy::Policy;
use duban_aggregates::words::Role;
use duban_engine::cluster::SharedLog;
use duban_engine::rules::PolicyConfig;
use duban_engine::time::{Clock, VirtualClock};
use duban_log::EventLog;
use duban_server::config::{Config, File, Flags};
use duban_server::serve::{Running, ServeError, Server};
use jiff::Timestamp;
use tempfile::TempDir;

use crate::histories;
use crate::wire::Wire;
use duban_client::{TokenHolder, Tokens};

/// A Monday morning in Shanghai, far from holidays.
const BEGIN: &str = "2026-03-02T01:00:00Z";

/// After everything that is generated has happened, in a year whose holidays are published.
const LATE: &str = "2026-12-01T01:00:00Z";

/// Every role that a caller may have, each in a unit of its own.
pub const ROLES: &[(&str, &str)] = &[
    ("desk", "desk"),
    ("investigation", "investigation"),
    ("dispatch", "dispatch"),
    ("unit", "access-network"),
    ("inspection", "inspection"),
    ("reporting", "reporting"),
    ("assessment", "assessment"),
    ("supervisor", "supervision"),
    ("auditor", "audit"),
    ("monitor", "monitor"),
    ("observer", "observer"),
    ("administrator", "administrator"),
    ("import", "import"),
];

/// A server in this process.
pub struct Inside {
    running: Running,
    clock: VirtualClock,
    tokens: Tokens,
    directory: TempDir,
}

impl Inside {
    /// Starts one over an empty directory.
    pub async fn start() -> Self {
        let begin: Timestamp = BEGIN.parse().expect("a moment");
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        Self::over(directory, VirtualClock::new(begin)).await
    }

    /// Starts one of several over a log that they share, on one clock, with read models of its own. The first makes the master key
    /// that the others are given.
    pub async fn beside(ground: &SharedLog, first: Option<&Self>) -> Self {
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        let clock = match first {
            Some(first) => first.clock.clone(),
            None => VirtualClock::new(BEGIN.parse().expect("a moment")),
        };
        if let Some(first) = first {
            let keys = directory.path().join("data/keys");
            std::fs::create_dir_all(&keys).expect("the directory of a test can be written");
            for key in ["master", "signing.pem"] {
                let from = first.directory.path().join("data/keys").join(key);
                std::fs::copy(from, keys.join(key)).expect("the first server has made its keys");
            }
        }
        Self::begin(directory, clock, Some(ground), PolicyConfig::default()).await.expect("the server starts")
    }

    /// Starts one over a data directory that was written before, long after everything in it happened.
    pub async fn over_prepared(prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        prepare(&directory.path().join("data"));
        Self::over(directory, VirtualClock::new(LATE.parse().expect("a moment"))).await
    }

    async fn over(directory: TempDir, clock: VirtualClock) -> Self {
        Self::begin(directory, clock, None, PolicyConfig::default()).await.expect("the server starts")
    }

    async fn begin(
        directory: TempDir,
        clock: VirtualClock,
        ground: Option<&SharedLog>,
        policies: PolicyConfig,
    ) -> Result<Self, ServeError> {
        let flags = Flags {
            data: Some(directory.path().join("data")),
            listen: Some(([127, 0, 0, 1], 0).into()),
            dev: true,
            virtual_clock: true,
            policies,
            ..Flags::default()
        };
        let config =
            Config::resolve(File::default(), flags).expect("the harness's configuration may be served");
        let shown: Arc<dyn Clock> = Arc::new(clock.clone());
        let server = Server::new(config, shown);
        let server = match ground {
            Some(ground) => server.over(ground.clone()),
            None => server,
        };
        let running = server.start().await?;
        let tokens = everybody(&running);
        Ok(Self { running, clock, tokens, directory })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.running.addr())
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The log below it, to write what no caller would.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn EventLog> {
        self.running.runner().log()
    }

    /// The server itself.
    #[must_use]
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &VirtualClock {
        &self.clock
    }

    /// What its clock shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A connection.
    pub async fn wire(&self) -> Wire {
        Wire::connect(&self.url(), self.tokens.clone()).await.expect("a server that is ready answers")
    }

    /// Everybody's tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Somebody's token.
    #[must_use]
    pub fn token(&self, who: &TokenHolder) -> &str {
        self.tokens.text(who).unwrap_or_else(|| panic!("there is no token for {who:?}"))
    }

    /// The usual person of a role.
    #[must_use]
    pub fn who(&self, role: &str) -> TokenHolder {
        let (role, unit) =
            ROLES.iter().find(|(known, _)| *known == role).expect("a role that callers may have");
        TokenHolder::new(role, unit)
    }

    /// A well-signed token that claims one of the server's own identities.
    #[must_use]
    pub fn reserved(&self, role: &str) -> String {
        mint(&self.running, role, role)
    }

    /// How many events the log holds, once everything has been reacted to.
    pub async fn size(&self) -> u64 {
        self.running.settled().await;
        let wire = self.wire().await;
        histories::head(&wire).await.expect("an auditor may ask for the head").size
    }

    /// Stops it in good order and starts it again over the same directory.
    pub async fn restart(self) -> Self {
        self.restart_later(Duration::ZERO).await
    }

    /// The same, with time passing while it is down.
    pub async fn restart_later(self, down: Duration) -> Self {
        let Self { running, clock, tokens: _, directory } = self;
        running.stop().await.expect("the server stops");
        clock.advance(down);
        Self::over(directory, clock).await
    }

    /// The same, with time passing, and a policy or calendar that its operator configures.
    ///
    /// # Errors
    /// What the server does not start with.
    pub async fn restart_under(self, down: Duration, policies: PolicyConfig) -> Result<Self, ServeError> {
        let Self { running, clock, tokens: _, directory } = self;
        running.stop().await.expect("the server stops");
        clock.advance(down);
        Self::begin(directory, clock, None, policies).await
    }

    /// Starts one over an empty directory with what its operator configures.
    ///
    /// # Errors
    /// What the server does not start with.
    pub async fn start_under(policies: PolicyConfig) -> Result<Self, ServeError> {
        let begin: Timestamp = BEGIN.parse().expect("a moment");
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        Self::begin(directory, VirtualClock::new(begin), None, policies).await
    }

    /// The same, with something done to its directory while it is down.
    pub async fn restart_after(self, meanwhile: impl FnOnce()) -> Self {
        let Self { running, clock, tokens: _, directory } = self;
        running.stop().await.expect("the server stops");
        meanwhile();
        Self::over(directory, clock).await
    }

    /// Stops it in good order.
    pub async fn stop(self) {
        self.running.stop().await.expect("the server stops");
    }

    /// Stops it in good order, and looks at its directory before that is gone.
    pub async fn stop_and(self, look: impl FnOnce(&Path)) {
        let Self { running, clock: _, tokens: _, directory } = self;
        running.stop().await.expect("the server stops");
        look(directory.path());
    }
}

fn everybody(running: &Running) -> Tokens {
    let policy = Policy::cn_national();
    let units: Vec<String> = policy.units().map(|unit| unit.id.as_str().to_owned()).collect();
    let members = units.iter().map(|unit| TokenHolder::unit(unit));
    let supervisors = units.iter().map(|unit| TokenHolder::new("supervisor", unit));
    let departments = ROLES.iter().map(|(role, unit)| TokenHolder::new(role, unit));
    let mut tokens = Tokens::default();
    for who in departments.chain(members).chain(supervisors) {
        let token = mint(running, &who.role, &who.unit);
        tokens.add(who, &token).expect("a token is plain ASCII");
    }
    tokens
}

/// Every role in every unit is a person of its own: nobody judges their own work by accident.
fn mint(running: &Running, role: &str, unit: &str) -> String {
    let id = format!("{role}-{unit}");
    let actor = Actor { id: id.as_str().into(), role: role_of(role), unit: unit.into() };
    running.mint(&actor).expect("a development server makes tokens")
}

fn role_of(name: &str) -> Role {
    let named = |role: &&Role| duban_server::identity::role_name(**role) == name;
    *Role::ALL.iter().find(named).expect("a role of the domain")
}
