//! Several servers over one fake KurrentDB cluster whose leader changes again and again, under load, while time flies: everything that was
//! acknowledged is accounted for, and what happens by itself happens once.
//!
//! Clients send each command to whichever server; what is not answered goes to another one with the same id, as behind a load balancer.
//! Tickets that nobody works on fall due all the time. Now and then every server does what fell due, as one would that was paused
//! and believes that it has the lease still.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use duban_engine::cluster;
use duban_fake_kurrentdb::{Cluster, Config};
use duban_proto::event::v1::TicketKind;
use futures::future::join_all;
use prost::Message;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use tokio::sync::Mutex;
use tonic::Code;

use crate::commands;
use crate::histories::{self, Histories};
use crate::inside::Inside;
use crate::script::{Case, Make, way};
use crate::survival::{Acknowledged, repeats, stands};
use crate::wire::{Sent, Wire, is_broken};
use duban_client::Refusal;

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Servers.
    pub servers: usize,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Clients at work at the same time.
    pub clients: u32,
    /// For how long.
    pub time: Duration,
    /// How often the leader changes.
    pub switch_every: Duration,
    /// What everything random follows from.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Times the cluster's leader was changed.
    pub switches: u32,
    /// Commands that were acknowledged.
    pub acknowledged: u64,
    /// Commands that were not answered, and sent again.
    pub sent_again: u64,
    /// Commands that the rules refused, since time went on too far.
    pub refused: u64,
    /// Tickets.
    pub tickets: u64,
    /// Events in the log at the end.
    pub events: u64,
    /// Of these, events of tickets that happened by themselves.
    pub by_timer: u64,
    /// Days closed.
    pub days: u64,
    /// Acknowledged and not there, or not where the answer said.
    pub lost: u64,
    /// Happened more than once.
    pub twice: u64,
    /// Whether all servers say the same of everything, size and root of the log among it.
    pub agreed: bool,
    /// The longest time in which no command was acknowledged, in milliseconds.
    pub silence_milliseconds_max: u64,
    /// As given.
    pub seed: u64,
    /// Everything that is wrong, in words.
    pub problems: Vec<String>,
}

/// What the clients share.
struct Shared {
    wires: Vec<Wire>,
    acknowledged: Mutex<Vec<Acknowledged>>,
    answers: AtomicU64,
    sent_again: AtomicU64,
    refused: AtomicU64,
    problems: Mutex<Vec<String>>,
    stop: AtomicBool,
}

/// How far the servers' clock goes at each step, and how long a step takes.
const STEP: Duration = Duration::from_secs(240);
const STEP_TAKES: Duration = Duration::from_millis(100);

/// A command that is answered by nobody for this long is a problem.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Tickets that nobody works on, for each client.
const IDLE: u32 = 2;

/// So many servers on a cluster, each connected by itself, on one clock.
pub async fn servers(cluster: &Cluster, count: usize) -> Vec<Inside> {
    let mut servers: Vec<Inside> = Vec::new();
    for _ in 0..count {
        let ground = cluster::connect(&cluster.url()).await.expect("a cluster that is there is connected to");
        let server = Inside::beside(&ground, servers.first()).await;
        servers.push(server);
    }
    servers
}

/// Waits until all of them have done what is to be done and seen what the others did.
pub async fn settled(servers: &[Inside]) {
    loop {
        join_all(servers.iter().map(|server| server.running().settled())).await;
        let heads: BTreeSet<u64> = servers.iter().map(|server| server.log().head().size).collect();
        // What is on its way to one of them wakes it again.
        if heads.len() == 1 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Carries out a plan.
pub async fn together(plan: &Plan, progress: impl Fn(u32, u64)) -> Outcome {
    let config = Config {
        nodes: plan.nodes,
        seed: plan.seed,
        replication: Duration::from_micros(200)..Duration::from_millis(3),
        ..Config::default()
    };
    let cluster = Cluster::start(config).await.expect("there are ports for a fake cluster");
    let servers = servers(&cluster, plan.servers).await;
    let wires = join_all(servers.iter().map(Inside::wire)).await;
    let shared = Arc::new(Shared {
        wires,
        acknowledged: Mutex::default(),
        answers: AtomicU64::new(0),
        sent_again: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        problems: Mutex::default(),
        stop: AtomicBool::new(false),
    });
    let clients: Vec<_> = (0..plan.clients)
        .map(|number| tokio::spawn(client(Arc::clone(&shared), plan.seed, number)))
        .collect();
    let mut outcome = Outcome { seed: plan.seed, ..Outcome::default() };
    tokio::select! {
        () = time_flies(&servers) => {}
        () = all_take_themselves_for_the_holder(&servers, plan.switch_every) => {}
        () = switch(plan, &cluster, &shared, &mut outcome, &progress) => {}
    }
    shared.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("a client ends by itself");
    }
    settled(&servers).await;
    check(&servers, &shared, &mut outcome).await;
    outcome.problems.extend(cluster.audit());
    for server in servers {
        server.stop().await;
    }
    outcome
}

async fn switch(
    plan: &Plan,
    cluster: &Cluster,
    shared: &Shared,
    outcome: &mut Outcome,
    progress: &impl Fn(u32, u64),
) {
    let begun = Instant::now();
    let (mut seen, mut since) = (0, Instant::now());
    let mut next = begun + plan.switch_every;
    while begun.elapsed() < plan.time {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let answers = shared.answers.load(Ordering::Relaxed);
        if answers > seen {
            (seen, since) = (answers, Instant::now());
        }
        let silence = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        outcome.silence_milliseconds_max = outcome.silence_milliseconds_max.max(silence);
        if Instant::now() >= next {
            next += plan.switch_every;
            cluster.switch_leader().await;
            outcome.switches += 1;
            progress(outcome.switches, answers);
        }
    }
}

async fn time_flies(servers: &[Inside]) {
    loop {
        tokio::time::sleep(STEP_TAKES).await;
        servers[0].clock().advance(STEP);
    }
}

async fn all_take_themselves_for_the_holder(servers: &[Inside], every: Duration) {
    loop {
        tokio::time::sleep(every * 3 / 4).await;
        join_all(servers.iter().map(|server| server.running().timers().catch_up())).await;
        join_all(servers.iter().map(|server| server.running().days().catch_up())).await;
    }
}

/// Takes tickets in and walks them, one after the other, until it is told to stop.
async fn client(shared: Arc<Shared>, seed: u64, number: u32) {
    const KINDS: [TicketKind; 3] = [TicketKind::Complaint, TicketKind::Fault, TicketKind::Install];
    let mut random = SmallRng::seed_from_u64(seed ^ u64::from(number));
    for idle in 0..IDLE {
        let mut case = Case::new(&format!("together-{seed}-{number}-idle-{idle}"), KINDS[idle as usize % 3]);
        let sent = commands::take_in(&mut case);
        deliver(&shared, sent, &mut random).await;
    }
    for round in 0_usize.. {
        let kind = KINDS[(round + number as usize) % KINDS.len()];
        let mut case = Case::new(&format!("together-{seed}-{number}-{round}"), kind);
        let commands = std::iter::once(commands::take_in as Make)
            .chain([commands::contact as Make, commands::attach])
            .chain(way(kind).into_iter().flat_map(|(_, commands)| commands));
        for make in commands {
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
            let sent = make(&mut case);
            if !deliver(&shared, sent, &mut random).await {
                break;
            }
        }
    }
}

/// Sends a command until it is answered, each time to whichever server.
async fn deliver(shared: &Shared, sent: Sent, random: &mut SmallRng) -> bool {
    let begun = Instant::now();
    loop {
        let wire = shared.wires.choose(random).expect("there are servers");
        let status = match wire.send(&sent).await {
            Ok(answer) => {
                shared.acknowledged.lock().await.push(Acknowledged { sent, answer });
                shared.answers.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            Err(status) => status,
        };
        let again = is_broken(&status) || matches!(status.code(), Code::Aborted | Code::ResourceExhausted);
        if again && begun.elapsed() < SILENCE_MAX {
            shared.sent_again.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(random.random_range(1..20))).await;
            continue;
        }
        if status.code() == Code::FailedPrecondition {
            shared.refused.fetch_add(1, Ordering::Relaxed);
        } else {
            let refusal = Refusal::from(&status);
            let problem = format!("{} of {} was refused: {refusal:?}", sent.method, sent.ticket);
            shared.problems.lock().await.push(problem);
        }
        return false;
    }
}

/// What every server says is compared, and everything that was acknowledged is looked for.
async fn check(servers: &[Inside], shared: &Shared, outcome: &mut Outcome) {
    let mut accounts: Vec<Histories> = Vec::new();
    for wire in &shared.wires {
        match histories::all(wire, "").await {
            Ok(account) => accounts.push(account),
            Err(status) => outcome.problems.push(format!("histories cannot be read: {status}")),
        }
    }
    let Some(account) = accounts.first() else { return };
    let heads: Vec<_> = servers.iter().map(|server| server.log().head()).collect();
    outcome.agreed = accounts.len() == servers.len()
        && accounts.iter().all(|other| other == account)
        && heads.iter().all(|head| head == &heads[0]);
    outcome.events = heads[0].size;
    outcome.tickets = account.len() as u64;
    let acknowledged = shared.acknowledged.lock().await.clone();
    outcome.acknowledged = acknowledged.len() as u64;
    outcome.sent_again = shared.sent_again.load(Ordering::Relaxed);
    outcome.refused = shared.refused.load(Ordering::Relaxed);
    outcome.problems.append(&mut *shared.problems.lock().await);
    for one in &acknowledged {
        let stood =
            account.get(&one.sent.ticket).map_or(Err("it is nowhere".to_owned()), |it| stands(one, it));
        if let Err(problem) = stood {
            outcome.lost += 1;
            outcome.problems.push(problem);
        }
    }
    let mut ids = HashSet::new();
    for (ticket, events) in account {
        for problem in repeats(ticket, events, &mut ids) {
            outcome.twice += 1;
            outcome.problems.push(problem);
        }
        // A clock warns, breaches and climbs a rung once, by whichever command.
        let mut by_timer: BTreeMap<(String, Vec<u8>), u32> = BTreeMap::new();
        for event in events.iter().filter_map(|shown| shown.event.as_ref()) {
            if event.metadata.as_ref().is_some_and(|metadata| metadata.actor_id == "timer") {
                let bare =
                    duban_proto::event::v1::Event { payload: event.payload.clone(), ..Default::default() };
                *by_timer.entry((event.r#type.clone(), bare.encode_to_vec())).or_default() += 1;
                outcome.by_timer += 1;
            }
        }
        for ((kind, _), times) in by_timer.into_iter().filter(|(_, times)| *times > 1) {
            outcome.twice += 1;
            outcome.problems.push(format!("{ticket}: {kind} happened by itself {times} times"));
        }
    }
    outcome.days = days(servers, outcome).await;
}

/// Every day is closed once, in order.
async fn days(servers: &[Inside], outcome: &mut Outcome) -> u64 {
    let office = duban_log::StreamName::new(duban_aggregates::office::STREAM).expect("a stream's name");
    let read = servers[0].log().read_stream(&office, 0, duban_log::Direction::Forward, usize::MAX).await;
    let mut last = None;
    let closed = read.expect("the log can be read");
    for event in &closed {
        let duban_aggregates::office::Event::DayClosed(signed) =
            duban_codec::decode_office(&event.kind, &event.payload).expect("the office's events are known");
        if last >= Some(signed.head.day) {
            outcome.twice += 1;
            outcome.problems.push(format!("{} is closed again", signed.head.day));
        }
        let root = servers[0].log().root_at(signed.head.size).await;
        if root.ok() != Some(signed.head.root) {
            outcome.problems.push(format!("the head of {} is not what the log was", signed.head.day));
        }
        last = Some(signed.head.day);
    }
    closed.len() as u64
}
