//! Kill the server again and again under load, and account for everything that it acknowledged.
//!
//! Clients send real commands and write down every answer. A command that was cut off is sent again with the same id, as
//! a department's system would. In the end nothing acknowledged may be lost, and nothing may have happened twice.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use duban_proto::api::v1::{CommandResponse, HistoryEvent};
use duban_proto::event::v1::TicketKind;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use crate::commands;
use crate::histories;
use crate::outside::{Served, data, run};
use crate::script::{Case, Make, way};
use crate::wire::{Sent, Wire, is_broken};
use duban_client::Refusal;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program under test.
    pub program: PathBuf,
    /// Where the server's directory is; it outlives every kill.
    pub directory: PathBuf,
    /// How often to kill.
    pub kills: u32,
    /// Clients at work at the same time.
    pub clients: u32,
    /// What the moments of the kills follow from.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Times the server was killed.
    pub kills: u32,
    /// Commands it acknowledged.
    pub acknowledged: u64,
    /// Commands that were cut off and sent again.
    pub sent_again: u64,
    /// Tickets.
    pub tickets: u64,
    /// Events in the log at the end.
    pub events: u64,
    /// Acknowledged and not there, or not where the answer said.
    pub lost: u64,
    /// WrappedKeys out more than once.
    pub twice: u64,
    /// Whether the log verified after the last kill.
    pub verified: bool,
    /// The longest restart, in milliseconds.
    pub restart_milliseconds_max: u64,
    /// As given.
    pub seed: u64,
    /// Everything that is wrong, in words.
    pub problems: Vec<String>,
}

/// An answer, and the command that it answered.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) sent: Sent,
    pub(crate) answer: CommandResponse,
}

/// What all clients share.
struct Shared {
    /// The server that is up; none while there is none.
    wire: watch::Receiver<Option<Wire>>,
    acknowledged: Mutex<Vec<Acknowledged>>,
    answers: watch::Sender<u64>,
    sent_again: AtomicU64,
    problems: Mutex<Vec<String>>,
    stop: AtomicBool,
}

/// Acknowledgements between a start and its kill: at least, and at most.
const BETWEEN_KILLS: std::ops::Range<u64> = 20..400;

/// A server that acknowledges nothing for this long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Tickets looked at after each restart; all of them are at the end.
const SAMPLE: usize = 25;

/// Carries out a plan.
pub async fn survive(plan: &Plan, progress: impl Fn(u32, u64)) -> Outcome {
    let mut random = SmallRng::seed_from_u64(plan.seed);
    let mut served = Served::start(&plan.program, &plan.directory).await;
    let (up, wire) = watch::channel(Some(served.wire().await));
    let shared = Arc::new(Shared {
        wire,
        acknowledged: Mutex::default(),
        answers: watch::Sender::new(0),
        sent_again: AtomicU64::new(0),
        problems: Mutex::default(),
        stop: AtomicBool::new(false),
    });
    let clients: Vec<_> = (0..plan.clients)
        .map(|number| tokio::spawn(client(Arc::clone(&shared), plan.seed, number)))
        .collect();

    let mut outcome = Outcome { seed: plan.seed, ..Outcome::default() };
    for _ in 0..plan.kills {
        let goal = *shared.answers.borrow() + random.random_range(BETWEEN_KILLS);
        let mut answers = shared.answers.subscribe();
        let reached = answers.wait_for(|count| *count >= goal);
        if tokio::time::timeout(SILENCE_MAX, reached).await.is_err() {
            shared.problems.lock().await.push("the server acknowledged nothing for a long time".into());
            break;
        }
        // Not the moment of an answer but any: inside a write, a sync, or between two.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..5_000))).await;
        let _ = up.send(None);
        served.kill().await;
        outcome.kills += 1;
        let begun = Instant::now();
        served.restart().await;
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        outcome.restart_milliseconds_max = outcome.restart_milliseconds_max.max(took);
        let wire = served.wire().await;
        check_sample(&shared, &wire, &mut random).await;
        let _ = up.send(Some(wire));
        progress(outcome.kills, *shared.answers.borrow());
    }

    shared.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("a client ends by itself");
    }
    let wire = served.wire().await;
    check_all(&shared, &wire, &mut outcome).await;
    outcome.events = histories::head(&wire).await.map_or(0, |head| head.size);
    drop(wire);
    // The last one is a kill too: what is verified is what a crash left.
    served.kill().await;
    outcome.verified = verify(&plan.program, &plan.directory, &mut outcome.problems).await;
    outcome.sent_again = shared.sent_again.load(Ordering::Relaxed);
    outcome.problems.append(&mut *shared.problems.lock().await);
    outcome
}

async fn verify(program: &Path, directory: &Path, problems: &mut Vec<String>) -> bool {
    let data = data(directory);
    let verified = run(program, ["verify".as_ref(), "--data".as_ref(), data.as_os_str()]).await;
    if !verified.ok() {
        problems.push(format!("verify: {} {}", verified.out, verified.said));
    }
    verified.ok()
}

/// Takes tickets in and walks them, one after the other, until it is told to stop.
async fn client(shared: Arc<Shared>, seed: u64, number: u32) {
    const KINDS: [TicketKind; 3] = [TicketKind::Complaint, TicketKind::Fault, TicketKind::Install];
    for round in 0_usize.. {
        let kind = KINDS[(round + number as usize) % KINDS.len()];
        let mut case = Case::new(&format!("survival-{seed}-{number}-{round}"), kind);
        let commands: Vec<Make> = std::iter::once(commands::take_in as Make)
            .chain([commands::contact as Make, commands::attach])
            .chain(way(kind).into_iter().flat_map(|(_, commands)| commands))
            .collect();
        for make in commands {
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
            let sent = make(&mut case);
            if !deliver(&shared, sent).await {
                return;
            }
        }
    }
}

/// Sends a command until it is answered. Whether it was carried out before its connection broke, nobody knows: so it is
/// sent again with the same id, and that is one command.
async fn deliver(shared: &Shared, sent: Sent) -> bool {
    let mut wires = shared.wire.clone();
    let mut again = false;
    loop {
        let Some(wire) = up(&mut wires).await else { return false };
        if again {
            shared.sent_again.fetch_add(1, Ordering::Relaxed);
        }
        match wire.send(&sent).await {
            Ok(answer) => {
                shared.acknowledged.lock().await.push(Acknowledged { sent, answer });
                shared.answers.send_modify(|count| *count += 1);
                return true;
            }
            Err(status) if is_broken(&status) => {
                again = true;
            }
            Err(status) => {
                let refusal = Refusal::from(&status);
                let problem = format!("{} of {} was refused: {refusal:?}", sent.method, sent.ticket);
                shared.problems.lock().await.push(problem);
                return false;
            }
        }
    }
}

/// The server that is up, as soon as one is; none where the harness is over.
async fn up(wires: &mut watch::Receiver<Option<Wire>>) -> Option<Wire> {
    let up = tokio::time::timeout(SILENCE_MAX, wires.wait_for(Option::is_some)).await;
    up.ok()?.ok()?.clone()
}

async fn check_sample(shared: &Shared, wire: &Wire, random: &mut SmallRng) {
    let acknowledged = shared.acknowledged.lock().await.clone();
    let sample: Vec<_> = acknowledged.choose_multiple(random, SAMPLE).collect();
    for one in sample {
        match histories::events(wire, &one.sent.ticket, &one.answer.position).await {
            Ok(events) => {
                if let Err(problem) = stands(one, &events) {
                    shared.problems.lock().await.push(format!("after a restart: {problem}"));
                }
            }
            Err(status) => {
                let problem = format!("after a restart: {} cannot be read: {status}", one.sent.ticket);
                shared.problems.lock().await.push(problem);
            }
        }
    }
}

/// The command behind an event.
fn command_of(event: &HistoryEvent) -> Option<Uuid> {
    let metadata = event.event.as_ref()?.metadata.as_ref()?;
    Uuid::from_slice(&metadata.command_id).ok()
}

/// What was acknowledged is there: at that revision and position, by that command.
pub(crate) fn stands(one: &Acknowledged, events: &[HistoryEvent]) -> Result<(), String> {
    let Acknowledged { sent, answer } = one;
    let what = format!("{} {} of {} at revision {}", sent.method, sent.command, sent.ticket, answer.revision);
    let found = events
        .iter()
        .find(|shown| shown.event.as_ref().is_some_and(|event| event.revision == answer.revision))
        .ok_or_else(|| format!("{what} is not there"))?;
    let command = command_of(found).map(|id| id.to_string()).unwrap_or_default();
    if command != sent.command {
        return Err(format!("{what} is there, but by command {command}"));
    }
    let position = found.event.as_ref().and_then(|event| event.position).map(|position| position.to_string());
    if position.as_ref().is_some_and(|position| *position != answer.position) {
        return Err(format!("{what} is at position {position:?} and not at {}", answer.position));
    }
    Ok(())
}

/// Every acknowledged command stands, and no command has happened twice.
async fn check_all(shared: &Shared, wire: &Wire, outcome: &mut Outcome) {
    let acknowledged = shared.acknowledged.lock().await.clone();
    outcome.acknowledged = u64::try_from(acknowledged.len()).unwrap_or(u64::MAX);
    let mut by_ticket: BTreeMap<String, Vec<Acknowledged>> = BTreeMap::new();
    for one in acknowledged {
        by_ticket.entry(one.sent.ticket.clone()).or_default().push(one);
    }
    outcome.tickets = u64::try_from(by_ticket.len()).unwrap_or(u64::MAX);
    let mut ids: HashSet<String> = HashSet::new();
    for (ticket, acknowledged) in by_ticket {
        let events = match histories::events(wire, &ticket, "").await {
            Ok(events) => events,
            Err(status) => {
                outcome.lost += u64::try_from(acknowledged.len()).unwrap_or(u64::MAX);
                outcome.problems.push(format!("{ticket} cannot be read: {status}"));
                continue;
            }
        };
        for one in &acknowledged {
            if let Err(problem) = stands(one, &events) {
                outcome.lost += 1;
                outcome.problems.push(problem);
            }
        }
        for problem in repeats(&ticket, &events, &mut ids) {
            outcome.twice += 1;
            outcome.problems.push(problem);
        }
    }
}

/// What happened more than once in a ticket: an event's id again, a gap, or a command whose events do not stand together.
pub(crate) fn repeats(ticket: &str, events: &[HistoryEvent], ids: &mut HashSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut last_of: HashMap<Uuid, usize> = HashMap::new();
    let mut types_of: HashMap<Uuid, Vec<String>> = HashMap::new();
    for (index, shown) in events.iter().enumerate() {
        let Some(event) = &shown.event else { continue };
        if event.revision != index as u64 {
            problems.push(format!("{ticket}: revision {} stands in place {index}", event.revision));
        }
        if !ids.insert(event.id.clone()) {
            problems.push(format!("{ticket}: event {} is there twice", event.id));
        }
        let Some(command) = command_of(shown) else { continue };
        if let Some(last) = last_of.insert(command, index)
            && last + 1 != index
        {
            problems.push(format!("{ticket}: command {command} acted at {last} and again at {index}"));
        }
        types_of.entry(command).or_default().push(event.r#type.clone());
    }
    for (command, types) in types_of {
        // A command's own event happens once; clocks follow it and may be several.
        let own =
            types.iter().filter(|name| !name.starts_with("clock.") && !name.starts_with("order.issued"));
        let mut seen = HashSet::new();
        for name in own {
            if !seen.insert(name) {
                problems.push(format!("{ticket}: command {command} wrote {name} twice"));
            }
        }
    }
    problems
}
