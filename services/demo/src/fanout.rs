//! Many subscribers on one server: does everybody get every event, in order, once, and does the writer go on?
//!
//! `duban bench fanout` runs it large, the tests run it small. Everything is real: a server with a segmented log, and
//! subscribers over loopback gRPC.

mod reader;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use duban_aggregates::actor::Actor;
use duban_aggregates::ids::{CommandId, stream_event_id};
use duban_aggregates::meta::Meta;
use duban_aggregates::problem;
use duban_aggregates::words::Role;
use duban_client::{ClientError, TokenHolder, Tokens};
use duban_codec::Lineage;
use duban_engine::time::SystemClock;
use duban_log::{EventLog, Expected, NewEvent, StreamName};
use duban_server::config::{Config, File, Flags};
use duban_server::serve::{Running, Server};
use futures::StreamExt;
use jiff::Timestamp;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use tokio::sync::{Barrier, watch};
use tokio::time::Instant;
use uuid::Uuid;

use self::reader::{Reader, Seen};

/// Streams written to at once; each append carries this many events.
const WRITERS: usize = 64;
const EVENTS_AN_APPEND: u64 = 8;

/// Subscribers on one connection. A stalled one has a connection of its own: what it does not read fills the
/// connection's window.
const ON_A_CONNECTION: usize = 64;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct FanoutPlan {
    /// Subscribers, the stalled ones among them.
    pub subscribers: usize,
    /// Subscribers that read nothing until everything is written.
    pub stalled: usize,
    /// Events that everybody gets.
    pub events: u64,
    /// How often a subscriber that is not stalled goes away at a random point and comes back, at the most.
    pub disconnects_max: u32,
    /// Where it goes away follows from this.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FanoutReport {
    /// Everybody got every event, in order, once.
    pub ok: bool,
    /// As planned.
    pub subscribers: usize,
    /// As planned.
    pub stalled: usize,
    /// As planned.
    pub events: u64,
    /// As planned.
    pub seed: u64,
    /// Events received, over all subscribers.
    pub delivered: u64,
    /// Events delivered in a second, over all subscribers.
    pub delivered_per_second: u64,
    /// Connections given up and taken up again with a token.
    pub resumed: u64,
    /// Positions that did not follow on the one before.
    pub gaps: u64,
    /// Positions that came twice.
    pub copies: u64,
    /// Subscribers whose events were not those of the log.
    pub different: u64,
    /// Times that a subscriber was told that it fell behind.
    pub fell_behind: u64,
    /// Stalled subscribers that had read nothing when everything was written.
    pub still_stalled: u64,
    /// Events appended in a second by the same writers with nobody subscribed.
    pub appended_per_second_alone: u64,
    /// The same with the stalled subscribers alone.
    pub appended_per_second_with_stalled: u64,
    /// The same with everybody.
    pub appended_per_second_with_all: u64,
    /// The 99th percentile of an append's time with nobody subscribed, in microseconds.
    pub append_p99_us_alone: u64,
    /// The same with everybody.
    pub append_p99_us_with_all: u64,
}

/// Why it could not be run.
#[derive(Debug, thiserror::Error)]
pub enum FanoutError {
    /// The server.
    #[error("the server: {0}")]
    Server(String),
    /// A subscriber.
    #[error("a subscriber: {0}")]
    Subscriber(String),
    /// A subscriber's connection.
    #[error("a subscriber's connection")]
    Connection(#[from] ClientError),
    /// The log.
    #[error(transparent)]
    Log(#[from] duban_log::Error),
    /// A part of it ended badly.
    #[error("a part of the run ended badly")]
    Task(#[from] tokio::task::JoinError),
}

/// Runs it in a directory; `progress` is told how many events were delivered, of how many.
///
/// # Errors
/// [`FanoutError`]; subscribers that miss something are in the report instead.
pub async fn run(
    dir: &Path,
    plan: FanoutPlan,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<FanoutReport, FanoutError> {
    let server = start(dir).await?;
    let log = Arc::clone(server.runner().log());
    let (alone, p99_alone) = write(&log, plan.events / 4, plan.seed).await?;

    let live = plan.subscribers.saturating_sub(plan.stalled);
    let url = format!("http://{}", server.addr());
    let tokens = monitor(&server)?;
    let (written, done) = watch::channel(None::<u64>);
    let first = log.head().size;
    let delivered = Arc::new(AtomicU64::new(0));

    let stalled = subscribe(&url, &tokens, plan.stalled, 1, first, &delivered).await?;
    let (with_stalled, _) = write(&log, plan.events / 4, plan.seed.wrapping_add(1)).await?;
    let both = plan.events / 4 / EVENTS_AN_APPEND * EVENTS_AN_APPEND;
    let live_first = log.head().size;
    let following = subscribe(&url, &tokens, live, ON_A_CONNECTION, live_first, &delivered).await?;

    let began = Instant::now();
    let everybody_is_there = Arc::new(Barrier::new(live + 1));
    let mut reading = tokio::task::JoinSet::new();
    for (number, reader) in following.into_iter().enumerate() {
        let mut rng = SmallRng::seed_from_u64(plan.seed ^ (number as u64).wrapping_mul(0x9E37_79B9));
        let breaks =
            (0..rng.random_range(0..=plan.disconnects_max)).map(|_| rng.random_range(0..plan.events));
        let (there, done) = (Arc::clone(&everybody_is_there), done.clone());
        let breaks: Vec<u64> = breaks.collect();
        reading.spawn(async move { reader.follow(breaks, Some(there), done).await });
    }
    everybody_is_there.wait().await;
    let (with_all, p99_with_all) = write(&log, plan.events, plan.seed.wrapping_add(2)).await?;
    let head = log.head().size;
    written.send_replace(Some(head));

    let still_stalled = stalled.iter().filter(|reader| reader.seen().events == 0).count() as u64;
    for reader in stalled {
        let done = done.clone();
        reading.spawn(async move { reader.follow(Vec::new(), None, done).await });
    }
    let expected = (head - live_first) * live as u64 + (head - first) * plan.stalled as u64;
    let mut all: Vec<Seen> = Vec::with_capacity(plan.subscribers);
    let mut beat = tokio::time::interval(Duration::from_millis(250));
    while !reading.is_empty() {
        tokio::select! {
            _ = beat.tick() => progress(delivered.load(Ordering::Relaxed), expected),
            Some(seen) = reading.join_next() => all.push(seen?.map_err(FanoutError::Subscriber)?),
        }
    }
    let took = began.elapsed();
    progress(delivered.load(Ordering::Relaxed), expected);
    let truth = [reader::truth(&*log, live_first).await?, reader::truth(&*log, first).await?];
    server.stop().await.map_err(|error| FanoutError::Server(error.to_string()))?;

    let different = all.iter().filter(|seen| !truth.contains(&(seen.events, seen.hash))).count() as u64;
    let sum = |part: fn(&Seen) -> u64| all.iter().map(part).sum::<u64>();
    let (gaps, copies) = (sum(|seen| seen.gaps), sum(|seen| seen.copies));
    let whole = all.len() == plan.subscribers && head - first >= plan.events + both;
    Ok(FanoutReport {
        ok: whole && gaps == 0 && copies == 0 && different == 0 && still_stalled == plan.stalled as u64,
        subscribers: plan.subscribers,
        stalled: plan.stalled,
        events: plan.events,
        seed: plan.seed,
        delivered: sum(|seen| seen.events),
        delivered_per_second: per_second(sum(|seen| seen.events), took),
        resumed: sum(|seen| seen.resumed),
        gaps,
        copies,
        different,
        fell_behind: sum(|seen| seen.fell_behind),
        still_stalled,
        appended_per_second_alone: alone,
        appended_per_second_with_stalled: with_stalled,
        appended_per_second_with_all: with_all,
        append_p99_us_alone: p99_alone,
        append_p99_us_with_all: p99_with_all,
    })
}

async fn start(dir: &Path) -> Result<Running, FanoutError> {
    let flags = Flags {
        data: Some(dir.to_owned()),
        listen: Some(([127, 0, 0, 1], 0).into()),
        dev: true,
        ..Flags::default()
    };
    let server = |error: String| FanoutError::Server(error);
    let config = Config::resolve(File::default(), flags).map_err(|error| server(error.to_string()))?;
    let started = Server::new(config, Arc::new(SystemClock::default())).start().await;
    started.map_err(|error| server(error.to_string()))
}

fn monitor(server: &Running) -> Result<Tokens, FanoutError> {
    let failed = |error: &dyn std::fmt::Display| FanoutError::Server(error.to_string());
    let actor = Actor { id: "monitor-1".into(), role: Role::Monitor, unit: "monitor".into() };
    let token = server.mint(&actor).map_err(|error| failed(&error))?;
    let mut tokens = Tokens::default();
    tokens.add(TokenHolder::new("monitor", "monitor"), &token).map_err(|error| failed(&error))?;
    Ok(tokens)
}

async fn subscribe(
    url: &str,
    tokens: &Tokens,
    count: usize,
    on_a_connection: usize,
    first: u64,
    delivered: &Arc<AtomicU64>,
) -> Result<Vec<Reader>, FanoutError> {
    let mut readers = Vec::with_capacity(count);
    let mut channel = None;
    for number in 0..count {
        if number % on_a_connection == 0 || channel.is_none() {
            channel = Some(reader::connect(url, tokens).await?);
        }
        let Some(channel) = &channel else { continue };
        let reader = Reader::subscribe(channel.clone(), first, Arc::clone(delivered)).await;
        readers.push(reader.map_err(FanoutError::Subscriber)?);
    }
    Ok(readers)
}

/// Appends so many events from many writers, and answers how many a second, and the 99th percentile of an append's time.
async fn write(log: &Arc<dyn EventLog>, events: u64, seed: u64) -> Result<(u64, u64), FanoutError> {
    let appends = (events / EVENTS_AN_APPEND).max(1);
    let began = Instant::now();
    let writer = |writer: usize| {
        let log = Arc::clone(log);
        let mine = appends / WRITERS as u64 + u64::from((writer as u64) < appends % WRITERS as u64);
        async move {
            let stream_id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{seed}-{writer}").as_bytes());
            let stream = StreamName::new(format!("problem-{stream_id}"))?;
            let mut times = Vec::new();
            let mut last = None;
            for number in 0..mine {
                let at = Instant::now();
                let appended = log.append(&stream, Expected::after(last), made(stream_id, number)).await?;
                last = Some(appended.last_revision);
                times.push(u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            Ok::<_, duban_log::Error>(times)
        }
    };
    let mut writing = futures::stream::iter((0..WRITERS).map(writer)).buffer_unordered(WRITERS);
    let mut times = Vec::new();
    while let Some(more) = writing.next().await {
        times.extend(more?);
    }
    let took = began.elapsed();
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or(0);
    Ok((per_second(appends * EVENTS_AN_APPEND, took), p99))
}

/// Real events of about 390 bytes, to which nothing reacts.
fn made(stream: Uuid, number: u64) -> Vec<NewEvent> {
    let command = Uuid::new_v5(&stream, &number.to_be_bytes());
    let event = |index: u32| {
        let cause = format!(
            "{number}/{index}：光缆接头盒进水，衰耗逐日升高，雨后明显；同路由三处接头一并更换并加装防水。"
        );
        let (kind, payload) = duban_codec::encode_problem(&problem::Event::CauseFound { cause });
        let at = Timestamp::from_second(1_790_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
        let meta = Meta {
            id: stream_event_id(stream, CommandId(command), index),
            revision: number * EVENTS_AN_APPEND + u64::from(index),
            recorded_at: at,
            occurred_at: at,
            actor: Actor {
                id: "investigation-1".into(),
                role: Role::Investigation,
                unit: "investigation".into(),
            },
            command: CommandId(command),
            fingerprint: *command.as_bytes(),
        };
        NewEvent {
            id: meta.id.0,
            kind: kind.into(),
            occurred_at: at.as_microsecond(),
            recorded_at: at.as_microsecond(),
            tags: vec![("kind".into(), "problem".into())],
            metadata: duban_codec::encode_metadata(&meta, &Lineage::default(), "bench"),
            payload: payload.into(),
        }
    };
    (0..8).map(event).collect()
}

fn per_second(count: u64, took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    u64::try_from(u128::from(count) * 1_000_000 / u128::from(micros)).unwrap_or(u64::MAX)
}
