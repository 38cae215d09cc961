//! `duban demo`: a server in a directory of its own, on a virtual clock, and the departments acting through gRPC.

mod city;
mod monitor;
mod scene;
mod show;
mod trace1;
mod trace2;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duban_aggregates::actor::Actor;
use duban_aggregates::words::Role;
use duban_client::{Client, ClientError, ConnectOptions, TokenHolder, Tokens};
use duban_engine::time::VirtualClock;
use duban_history::proof::signed_head::HeadJson;
use duban_proto::api::v1 as api;
use duban_server::config::{Config, File, Flags};
use duban_server::identity::role_name;
use duban_server::serve::{Running, Server};
use serde::Serialize;

use self::monitor::Monitor;
use self::scene::{Scene, Tally, shanghai};
use crate::identities::development_identities;
use crate::walk::WalkError;

/// When the demo's world begins.
const BEGIN: &str = "2026-03-01T08:00:00";

/// What was off.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A step did not come out as the rules say.
    #[error("{scene}, step {step}: {problem}")]
    Unexpected {
        /// Where.
        scene: &'static str,
        /// Which step.
        step: u64,
        /// What.
        problem: String,
    },
    /// A call failed.
    #[error(transparent)]
    Call(#[from] ClientError),
    /// A ticket was not walked to its end.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The server did not start or stop.
    #[error("the demo's server: {0}")]
    Server(String),
    /// The clock cannot be moved so.
    #[error("the demo's clock: {0}")]
    Clock(String),
    /// The directory cannot be used.
    #[error("{path} cannot be used")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The log is not as it was written.
    #[error("the log does not verify: {0}")]
    Verify(String),
    /// A subscriber was not told what happened, or not once.
    #[error("the monitor's stream: {0}")]
    Stream(String),
    /// Personal data stands in the clear.
    #[error("{what} stands in the clear in {path}")]
    InTheClear {
        /// What.
        what: String,
        /// Where.
        path: PathBuf,
    },
}

impl From<tonic::Status> for DemoError {
    fn from(status: tonic::Status) -> Self {
        Self::Call(status.into())
    }
}

/// What the demo did.
#[derive(Clone, Debug, Serialize)]
pub struct DemoOutcome {
    /// Everything came out as the rules say.
    pub ok: bool,
    /// Tickets.
    pub tickets: u64,
    /// Events in the log.
    pub events: u64,
    /// Tickets closed with a certificate.
    pub closed: u64,
    /// Rounds of all tickets together.
    pub rounds: u64,
    /// Commands carried out.
    pub commands: u64,
    /// Refusals that came as the rules say.
    pub refusals_checked: u64,
    /// Events that the monitor was told, cut off three times: all of them, in order, each once.
    pub watched: u64,
    /// The log's head.
    pub head: HeadJson,
}

/// The demo's server and everybody who calls it.
struct World {
    running: Running,
    client: Client,
    second_assessor: Client,
}

impl World {
    async fn start(data: &Path, clock: &VirtualClock) -> Result<Self, DemoError> {
        let failed = |error: &dyn std::fmt::Display| DemoError::Server(error.to_string());
        let flags = Flags {
            data: Some(data.to_owned()),
            listen: Some(([127, 0, 0, 1], 0).into()),
            dev: true,
            virtual_clock: true,
            ..Flags::default()
        };
        let config = Config::resolve(File::default(), flags).map_err(|error| failed(&error))?;
        let running =
            Server::new(config, Arc::new(clock.clone())).start().await.map_err(|error| failed(&error))?;
        let url = format!("http://{}", running.addr());
        let tokens = tokens_of(&running, "1", &development_identities(), Tokens::default())?;
        let assessment = [(Role::Assessment, "assessment".to_owned())];
        let others = tokens_of(&running, "2", &assessment, tokens.clone())?;
        let client = Client::connect(&ConnectOptions::new(url), tokens).await?;
        let second_assessor = client.with_tokens(others);
        Ok(Self { running, client, second_assessor })
    }

    async fn stop(self) -> Result<(), DemoError> {
        self.running.settled().await;
        self.running.stop().await.map(drop).map_err(|error| DemoError::Server(error.to_string()))
    }
}

/// A token for each of these people.
fn tokens_of(
    running: &Running,
    person: &str,
    who: &[(Role, String)],
    mut tokens: Tokens,
) -> Result<Tokens, DemoError> {
    for (role, unit) in who {
        let id = format!("{}-{unit}-{person}", role_name(*role));
        let actor = Actor { id: id.as_str().into(), role: *role, unit: unit.as_str().into() };
        let token = running.mint(&actor).map_err(|error| DemoError::Server(error.to_string()))?;
        tokens
            .add(TokenHolder::new(role_name(*role), unit), &token)
            .map_err(|error| DemoError::Server(error.to_string()))?;
    }
    Ok(tokens)
}

/// Plays the demo in an empty directory and checks what it left there.
///
/// # Errors
/// [`DemoError`] where anything is off.
pub async fn demo(data: &Path, say: &mut dyn FnMut(&str)) -> Result<DemoOutcome, DemoError> {
    let clock = VirtualClock::new(shanghai(BEGIN)?);
    let mut world = World::start(data, &clock).await?;
    let mut tally = Tally::default();

    say("trace 1: broadband down at a rural gold customer");
    let client = world.client.clone();
    let mut first = Scene::new(&client, &clock, "trace 1");
    trace1::play(&mut first).await?;
    add(&mut tally, first.tally);
    let first_ticket = first.ticket.clone();

    say("an SLA monitor subscribes from the start, and is cut off after its first message");
    let mut monitor = Monitor::from_start(&world)?;
    monitor.message().await?;
    monitor.cut_off();

    say("trace 2: a 12315 complaint about a missed install visit");
    let mut install = Scene::new(&client, &clock, "trace 2, the install");
    trace2::missed_visit(&mut install).await?;
    add(&mut tally, install.tally);
    let mut second = Scene::new(&client, &clock, "trace 2");
    trace2::handed_over(&mut second, &install.ticket).await?;
    monitor.resume(&world)?;
    monitor.catch_up().await?;
    let limit = trace2::Limit::of(&second).await?;
    second.until(trace2::AFTER_THE_WARNING)?;
    world.running.settled().await;
    let warned = monitor.until(|event| limit.is_warned_by(event)).await?;
    say(&format!("  the monitor is told: {}", limit.told(&warned)));
    limit.warned(&second, &warned).await?;
    monitor.cut_off();

    say("  the server stops before 12315's deadline, and is started a second after it");
    world.stop().await?;
    second.until(trace2::JUST_TOO_LATE)?;
    world = World::start(data, &clock).await?;
    let client = world.client.clone();
    second.client = &client;
    let breach = limit.breached_while_down(&second).await?;
    monitor.resume(&world)?;
    let told = monitor.until(|event| limit.is_breached_by(event)).await?;
    say(&format!("  the monitor goes on after its token, and is told: {}", limit.told(&told)));
    second.expect(
        told == breach,
        "the monitor is told the breach that stood there when the server was ready",
    )?;
    monitor.cut_off();
    trace2::late_reply(&mut second, &limit).await?;
    trace2::play(&mut second, &world.second_assessor).await?;
    add(&mut tally, second.tally);

    say("a week of a small city");
    let city = city::play(&world.client, &clock, |_, _| {}).await?;
    add(&mut tally, city);

    // What is on disk is what was told: the same histories after a restart.
    let before = show::events(&world.client, &first_ticket, "").await?;
    world.stop().await?;
    world = World::start(data, &clock).await?;
    let after = show::events(&world.client, &first_ticket, "").await?;
    if before != after {
        return Err(DemoError::Verify("a history differs after a restart".into()));
    }

    let tickets = world.client.tickets(api::TicketFilter::default()).await?;
    let open: Vec<_> = tickets.iter().filter(|row| row.state() == api::TicketState::Open).cloned().collect();
    let told = world.client.ticket(&first_ticket, "").await?;
    say("\nthe board: open tickets by stage");
    say(&show::board(&open));
    say(&format!("trace 1's history, ticket {first_ticket}"));
    say(&show::history(&after));
    say("custody 在手时长");
    say(&show::custody(&told));
    say("certificate 五不放过");
    say(&show::certificate(&told));
    world.running.settled().await;
    let head = world.client.history()?.get_head(api::GetHeadRequest::default()).await?.into_inner();
    monitor.resume(&world)?;
    let watched = monitor.has_missed_nothing(&world, head.size).await?;
    world.stop().await?;

    let head = HeadJson { size: head.size, root: hex(&head.root) };
    let events = verified(data, &head)?;
    nothing_in_the_clear(data)?;
    let closed = tickets.iter().filter(|row| row.state() == api::TicketState::Closed).count();
    Ok(DemoOutcome {
        ok: true,
        tickets: count(tickets.len()),
        events,
        closed: count(closed),
        rounds: tickets.iter().map(|row| u64::from(row.round)).sum(),
        commands: tally.commands,
        refusals_checked: tally.refusals_checked,
        watched,
        head,
    })
}

fn add(tally: &mut Tally, more: Tally) {
    tally.commands += more.commands;
    tally.refusals_checked += more.refusals_checked;
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the log again, whole, and compares it with the head the server told.
fn verified(data: &Path, head: &HeadJson) -> Result<u64, DemoError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let report = duban_log::verify(&data.join("log"), threads, &|_, _| {})
        .map_err(|error| DemoError::Verify(error.to_string()))?;
    if let Some(damage) = report.damage {
        return Err(DemoError::Verify(damage.to_string()));
    }
    let found = HeadJson { size: report.head.size, root: hex(&report.head.root) };
    if found != *head {
        return Err(DemoError::Verify(format!("the server told {head:?}, and the disk has {found:?}")));
    }
    Ok(report.events)
}

/// No name or phone number of the demo's customers is found as bytes anywhere.
fn nothing_in_the_clear(data: &Path) -> Result<(), DemoError> {
    let mut secrets: Vec<String> =
        [trace1::NAME, trace1::PHONE, trace2::NAME, trace2::PHONE].map(str::to_owned).to_vec();
    for number in 0..city::customers() {
        secrets.push(city::name(number));
        secrets.push(city::phone(number));
    }
    search(data, &secrets)
}

fn search(directory: &Path, secrets: &[String]) -> Result<(), DemoError> {
    let failed = |source| DemoError::Directory { path: directory.to_owned(), source };
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            search(&path, secrets)?;
            continue;
        }
        let bytes =
            std::fs::read(&path).map_err(|source| DemoError::Directory { path: path.clone(), source })?;
        // Segments are zero-filled ahead: what was never written holds nothing.
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for secret in secrets {
            if memchr::memmem::find(&bytes[..written], secret.as_bytes()).is_some() {
                return Err(DemoError::InTheClear { what: secret.clone(), path });
            }
        }
    }
    Ok(())
}
