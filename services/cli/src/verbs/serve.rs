//! `duban serve`: the server, until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use duban_aggregates::actor::Actor;
use duban_client::{TokenHolder, Tokens};
use duban_demo::identities::development_identities;
use duban_engine::EngineError;
use duban_engine::rules::PolicyConfig;
use duban_engine::sidecar::Sidecar;
use duban_engine::storage::StorageError;
use duban_engine::time::{Clock, SystemClock};
use duban_kafka::Kafka;
use duban_server::config::{Config, Flags, Identity, LogFormat};
use duban_server::identity::role_name;
use duban_server::serve::{Running, ServeError, Server};

use crate::args::Output;
use crate::failure::{Done, Failure};
use crate::output;
use crate::progress::Bars;

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban serve --dev --data ./data --tokens ./tokens\n  duban serve --config /etc/duban/duban.toml\n  duban serve --config /etc/duban/duban.toml --log esdb://one:2113,two:2113,three:2113\n  duban serve --dev --data ./data --policy cn-henan-1 --calendar calendar-2027.toml\n\nServers over one --log share its tickets, and any of them takes any command; each has a data directory of its own, for its read models,\nand all have the same --master-key and --signing-key. What needs one only, timers among it, one of them does at a time.\n\nPrints `ready ADDR` on stdout when it serves. With --dev a throw-away key signs a token a role, which are printed as\n`token ROLE UNIT TOKEN` after it (and kept in FILE with --tokens).\nExit status: 0 stopped as asked, 1 it could not go on, 2 wrong use."
)]
pub(crate) struct Args {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The cluster that holds the log, which several servers share: esdb://HOST:PORT,…; without it the log is in the data directory
    #[arg(long, value_name = "URL")]
    log: Option<String>,
    /// Address and port
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Development: loopback only, a throw-away signing key, ready tokens
    #[arg(long)]
    dev: bool,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The master key's file, where it is not kept in the data directory
    #[arg(long, value_name = "FILE")]
    master_key: Option<PathBuf>,
    /// The file of the key that signs the days' heads, where it is not kept in the data directory
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// Development: keep the tokens in this file, one `ROLE UNIT TOKEN` a line, readable by its owner only
    #[arg(long, value_name = "FILE", requires = "dev")]
    tokens: Option<PathBuf>,
    /// The policy to put into force: a file, or the version of one that ships (cn-national-1, cn-henan-1, ...)
    #[arg(long, value_name = "FILE|VERSION")]
    policy: Option<PathBuf>,
    /// A policy that emergencies may name; may be given several times
    #[arg(long, value_name = "FILE|VERSION")]
    emergency_policy: Vec<PathBuf>,
    /// A calendar over the one that ships, for instance of a year published since; may be given several times
    #[arg(long, value_name = "FILE")]
    calendar: Vec<PathBuf>,
    /// Log level, or a filter like `info,duban_server=debug`
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Log lines as JSON
    #[arg(long)]
    log_json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args, _output: Output) -> Result<Done, Failure> {
    let flags = Flags {
        config: args.config.clone(),
        data: args.data.clone(),
        listen: args.listen,
        dev: args.dev,
        virtual_clock: false,
        master_key: args.master_key.clone(),
        signing_key: args.signing_key.clone(),
        log_url: args.log.clone(),
        policies: PolicyConfig {
            in_force: args.policy.clone(),
            emergencies: args.emergency_policy.clone(),
            calendars: args.calendar.clone(),
        },
        log_level: args.log_level.clone(),
        log_format: args.log_json.then_some(LogFormat::Json),
    };
    let config = Config::load(flags).map_err(Failure::misuse)?;
    duban_server::telemetry::init(&config.log).map_err(Failure::misuse)?;
    let dev = config.identity == Identity::Dev;
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::broken)?;
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let kafka = config.kafka.clone().map(Kafka::new);
        let sidecar = kafka.map(|kafka| kafka as Arc<dyn Sidecar>);
        let server = Server::new(config, clock).progress(Arc::new(Bars::default())).sidecar(sidecar);
        let mut running = server.start().await.map_err(|error| match error {
            ServeError::Log(error)
            | ServeError::Storage(StorageError::Log(error))
            | ServeError::Engine(EngineError::Log(error)) => error.into(),
            ServeError::Engine(EngineError::Rules(error)) => Failure::misuse(error),
            other => Failure::broken(other),
        })?;
        running.heed_signals().map_err(Failure::broken)?;
        let tokens = if dev { tokens(&running)? } else { Tokens::default() };
        if let Some(file) = &args.tokens {
            tokens.write(file).map_err(Failure::misuse)?;
        }
        output::text(&format!("ready {}", running.addr()))?;
        if args.tokens.is_none() {
            for (TokenHolder { role, unit }, token) in tokens.iter() {
                output::text(&format!("token {role} {unit} {token}"))?;
            }
        }
        running.until_told_to_stop().await.map_err(Failure::broken)?;
        Ok(Done::Ok)
    })
}

/// One token a role; members and supervisors one a unit.
fn tokens(running: &Running) -> Result<Tokens, Failure> {
    let mut tokens = Tokens::default();
    for (role, unit) in development_identities() {
        let id = format!("{}-{unit}", role_name(role));
        let actor = Actor { id: id.as_str().into(), role, unit: unit.as_str().into() };
        let token = running.mint(&actor).map_err(Failure::broken)?;
        tokens.add(TokenHolder::new(role_name(role), &unit), &token).map_err(Failure::broken)?;
    }
    Ok(tokens)
}
