//! `duban migrate`: a whole log from a data directory to a cluster, or back, event by event as it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duban_aggregates::ids::CustomerId;
use duban_aggregates::ticket::{self, intake};
use duban_codec::types;
use duban_history::proof::signed_head::HeadJson;
use duban_log::{
    APPEND_BYTES_MAX, Direction, EventLog, Expected, Filter, NewEvent, Options, Recorded, Registers,
    SegmentedLog,
};
use duban_server::config::Url;
use duban_vault::keys::WrappedKeys;
use serde::Serialize;

use crate::afar::{self, is_afar};
use crate::args::Output;
use crate::data::{self, Append};
use crate::failure::{Done, Failure};
use crate::output::{self, Progress, count};

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban migrate --from ./data --to esdb://one:2113,two:2113,three:2113\n  duban migrate --from esdb://one:2113,two:2113,three:2113 --to ./data\n\nEvery event is written with its id, times, tags and revision, in the order of the log, so that size and root are the same there; they are\ncompared at the end. Customers' keys go along, wrapped as they are: the master key is the same on both sides, and is not copied, nor\nis the key that signs the days' heads. Nothing else may write to either side meanwhile. A migration that was stopped goes on where it was.\nExit status: 0 both logs are the same, 1 they are not, 2 wrong use.\nJSON: {\"ok\", \"events\", \"copied\", \"keys\", \"keys_erased\", \"from\": {\"size\", \"root\"}, \"to\": {\"size\", \"root\"}, \"problems\": [\"…\"]}"
)]
pub(crate) struct Args {
    /// Where the log is: a data directory, or esdb://HOST:PORT,… of a cluster
    #[arg(long, value_name = "DIR|URL")]
    from: String,
    /// Where it goes, which holds nothing yet, or a beginning of it
    #[arg(long, value_name = "DIR|URL")]
    to: String,
}

#[derive(Serialize)]
struct Answer {
    ok: bool,
    events: u64,
    copied: u64,
    keys: u64,
    keys_erased: u64,
    from: HeadJson,
    to: HeadJson,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

/// Why there is nothing to migrate.
#[derive(Debug, thiserror::Error)]
enum MigrateError {
    /// The same twice, or two directories.
    #[error("--from and --to must be a data directory and a cluster (esdb://…), one each")]
    NotOneEach,
    /// The target is no beginning of the source.
    #[error(
        "{0} holds {1} events that are not the first of {2}: name a place that holds nothing, or a beginning of it"
    )]
    OtherLog(String, u64, String),
}

/// One side of it.
struct Side {
    name: String,
    log: Arc<dyn EventLog>,
    keys: Keys,
}

enum Keys {
    In(PathBuf),
    Beside(Arc<dyn Registers>),
}

impl Side {
    /// A directory is locked: nobody else writes to it.
    async fn open(name: &str, may_make: bool) -> Result<Self, Failure> {
        if is_afar(name) {
            let ground = afar::connect(name).await?;
            return Ok(Self {
                name: Url::from(name.to_owned()).to_string(),
                log: ground.log,
                keys: Keys::Beside(ground.registers),
            });
        }
        let dir = Path::new(name);
        let log = if may_make {
            std::fs::create_dir_all(dir).map_err(Failure::misuse)?;
            data::log_dir(dir)
        } else {
            data::existing_log_dir(dir)?
        };
        let log = Arc::new(SegmentedLog::open(&log, Options::default())?);
        Ok(Self { name: name.to_owned(), log, keys: Keys::In(dir.to_owned()) })
    }
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    if is_afar(&args.from) == is_afar(&args.to) {
        return Err(Failure::misuse(MigrateError::NotOneEach));
    }
    let answer = afar::runtime()?.block_on(async {
        let from = Side::open(&args.from, false).await?;
        let to = Side::open(&args.to, true).await?;
        let answer = migrate(&from, &to).await;
        from.log.close().await?;
        to.log.close().await?;
        answer
    })?;
    match output {
        Output::Json => output::json(&answer)?,
        Output::Text => {
            output::text(&format!(
                "{} events, {} of them copied now; {} keys, {} erased",
                count(answer.events),
                count(answer.copied),
                count(answer.keys),
                count(answer.keys_erased)
            ))?;
            output::text(&format!("from: head {} {}", answer.from.size, answer.from.root))?;
            output::text(&format!("to:   head {} {}", answer.to.size, answer.to.root))?;
            for problem in &answer.problems {
                output::text(problem)?;
            }
            output::text(if answer.ok { "ok" } else { "not ok" })?;
        }
    }
    Ok(Done::holds(answer.ok))
}

async fn migrate(from: &Side, to: &Side) -> Result<Answer, Failure> {
    let (source, there) = (from.log.head(), to.log.head());
    let other = || MigrateError::OtherLog(to.name.clone(), there.size, from.name.clone());
    if there.size > source.size || from.log.root_at(there.size).await? != there.root {
        return Err(Failure::misuse(other()));
    }
    let progress = Progress::new("migrate", "events", source.size);
    progress.add(there.size);
    // Keys first: what is sealed is never there without its key, wherever this stops.
    let customers = match from.keys {
        Keys::In(_) => Vec::new(),
        Keys::Beside(_) => customers(&*from.log).await?,
    };
    let (keys, keys_erased) = carry_keys(&from.keys, &to.keys, &customers).await?;
    let mut copy =
        Copying { log: &*to.log, wait: matches!(to.keys, Keys::Beside(_)), skip: there.size, at: 0 };
    let mut after = None;
    loop {
        let page = from.log.read_all(after, Direction::Forward, &Filter::all(), READ_EVENTS).await?;
        after = page.next.or(after);
        copy.page(page.events, &progress).await?;
        if page.end {
            break;
        }
    }
    drop(progress);
    let copied = copy.at - there.size;
    let (source, target) = (from.log.head(), to.log.head());
    let mut problems = Vec::new();
    if copy.at != source.size {
        problems
            .push(format!("{} has gone on meanwhile: run it again, with nobody writing there", from.name));
    }
    if (source.size, source.root) != (target.size, target.root) {
        problems.push("the two logs are not the same".to_owned());
    }
    Ok(Answer {
        ok: problems.is_empty(),
        events: target.size,
        copied,
        keys,
        keys_erased,
        from: source.into(),
        to: target.into(),
        problems,
    })
}

/// Events read at a time.
const READ_EVENTS: usize = 1_024;

/// Events of one stream that are written together, at the most, and their bytes.
const TOGETHER: usize = 64;
const TOGETHER_BYTES: usize = APPEND_BYTES_MAX / 4;

struct Copying<'l> {
    log: &'l dyn EventLog,
    /// Whether each append must be answered before the next is sent, since the engine keeps no order between two that are under way.
    wait: bool,
    /// Events that are there already.
    skip: u64,
    /// Events that are there.
    at: u64,
}

impl Copying<'_> {
    async fn page(&mut self, events: Vec<Recorded>, progress: &Progress) -> Result<(), Failure> {
        let (mut appends, mut bytes): (Vec<Append>, _) = (Vec::new(), 0);
        for event in events {
            self.at += 1;
            if self.at <= self.skip {
                continue;
            }
            let (stream, revision) = (event.stream.clone(), event.revision);
            let event = new(event);
            let weight = event.payload.len() + event.metadata.len();
            bytes += weight;
            match appends.last_mut() {
                Some(last)
                    if last.stream == stream
                        && last.events.len() < TOGETHER
                        && bytes <= TOGETHER_BYTES
                        && last.expected.next_revision() + last.events.len() as u64 == revision =>
                {
                    last.events.push(event);
                }
                _ => {
                    bytes = weight;
                    let expected = Expected::after(revision.checked_sub(1));
                    appends.push(Append { stream, expected, events: vec![event] });
                }
            }
        }
        if self.wait {
            for Append { stream, expected, events } in appends {
                let more = events.len() as u64;
                self.log.append(&stream, expected, events).await?;
                progress.add(more);
            }
            return Ok(());
        }
        let more = appends.iter().map(|append| append.events.len() as u64).sum();
        data::append_in_order(self.log, appends).await?;
        progress.add(more);
        Ok(())
    }
}

fn new(event: Recorded) -> NewEvent {
    let Recorded { id, kind, occurred_at, recorded_at, tags, metadata, payload, .. } = event;
    NewEvent { id, kind, occurred_at, recorded_at, tags, metadata, payload }
}

/// Everybody whose key there may be: who has a stream, and whoever a ticket was taken in for.
async fn customers(log: &dyn EventLog) -> Result<Vec<CustomerId>, Failure> {
    let mut customers = std::collections::BTreeSet::new();
    let mut after = None;
    loop {
        let page = log.read_all(after, Direction::Forward, &Filter::all(), READ_EVENTS).await?;
        after = page.next.or(after);
        for event in &page.events {
            let by_stream = event.stream.as_str().strip_prefix("customer-").and_then(|id| id.parse().ok());
            customers.extend(by_stream.map(CustomerId));
            if &*event.kind == types::TICKET_TAKEN_IN
                && let ticket::Event::Intake(intake::Event::TakenIn(intake)) =
                    duban_projections::ticket_event(event).map_err(Failure::broken)?
            {
                customers.insert(intake.person());
                customers.extend(intake.reporter.as_ref().map(|reporter| reporter.id));
            }
        }
        if page.end {
            return Ok(customers.into_iter().collect());
        }
    }
}

async fn carry_keys(from: &Keys, to: &Keys, customers: &[CustomerId]) -> Result<(u64, u64), Failure> {
    let carried = match from {
        Keys::In(data) => WrappedKeys::from_directory(data),
        Keys::Beside(registers) => WrappedKeys::from_registers(registers, customers).await,
    };
    let carried = carried.map_err(Failure::broken)?;
    let (keys, erased) = carried.counts();
    let progress = Progress::new("keys", "keys", keys + erased);
    match to {
        Keys::In(data) => carried.to_directory(data),
        Keys::Beside(registers) => carried.to_registers(registers, &|| progress.add(1)).await,
    }
    .map_err(Failure::misuse)?;
    Ok((keys, erased))
}
