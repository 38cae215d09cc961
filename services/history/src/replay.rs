//! Every ticket folded again, on all cores, and what folding alone can show.
//!
//! What is checked: every event can be decoded; its id is the one that stream, command and index give; recorded moments never go back
//! inside a stream; custody adds up to the open time, to the second; a second fold, the read model's, comes to the same tickets, and
//! its counts add up; and the live read models hold what a new fold gives.

mod differences;
mod read_models;

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::{CommandId, TicketId, stream_event_id};
use duban_aggregates::meta::Meta;
use duban_aggregates::policy::Policy;
use duban_aggregates::ticket::{self, Ticket};
use duban_aggregates::words::Kind;
use duban_aggregates::{edition, office};
use duban_codec::CodecError;
use duban_log::{Reader, View, part_of};
use duban_projections::table::TableError;
use duban_projections::{Counts, FoldError, Projection, Stopped, TicketFold, Tickets, Undecodable};
use jiff::Timestamp;
use parking_lot::Mutex;
use uuid::Uuid;

pub use self::differences::Differences;
pub use self::read_models::{READ_MODELS, ReadModel, compare_on_disk, compare_with_lists, left_out};
use crate::read_only_log::{OnEventsRead, ReadOnlyLog};

/// Events that are folded at once: what they fold to lies in memory.
const EVENTS_AT_ONCE: u64 = 4_000_000;

/// Why nothing can be replayed. Differences are no error but what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] duban_log::Error),
    /// A read model cannot be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// No place to fold a read model.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A read model that was folded cannot be read.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// An event cannot be read.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
}

/// What all tickets fold to.
#[derive(Debug, Default)]
pub struct FoldedLog {
    /// Events decoded.
    pub events: u64,
    /// A digest of each ticket as its row in the read model shows it.
    pub tickets: HashMap<TicketId, u64>,
    /// What is wrong.
    pub differences: Differences,
    counts: Counts,
}

/// Folds all streams, part by part, each part on one core. A stream lies in one part whole, and a part is let go when it is done.
///
/// # Errors
/// [`ReplayError::Log`].
pub fn fold(reader: &Reader, progress: &(dyn Fn(u64) + Sync)) -> Result<FoldedLog, ReplayError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let rounds = usize::try_from(reader.head().size / EVENTS_AT_ONCE).unwrap_or(usize::MAX).saturating_add(1);
    let parts = threads.saturating_mul(rounds);
    let all = Mutex::new(FoldedLog::default());
    duban_log::each_part(parts, |part| -> Result<(), ReplayError> {
        let mut streams = StreamFolds::new(progress);
        reader.scan_part(part, parts, |view| {
            // Part 0 is handed every event whose stream cannot be named, which `take` reports.
            debug_assert!(part_of(view.stream, parts) == part || part == 0);
            streams.take(view);
            Ok::<_, duban_log::Error>(std::ops::ControlFlow::Continue(()))
        })?;
        let folded = streams.finish();
        all.lock().join(folded);
        Ok(())
    })?;
    Ok(all.into_inner())
}

impl FoldedLog {
    fn join(&mut self, other: Self) {
        self.events += other.events;
        self.tickets.extend(other.tickets);
        self.differences.join(other.differences);
        self.counts = self.counts.plus(other.counts);
    }
}

/// Streams of one part, while they are folded.
struct StreamFolds<'p> {
    by_id: HashMap<Uuid, StreamFold>,
    folded: FoldedLog,
    unreported: u64,
    progress: &'p (dyn Fn(u64) + Sync),
}

/// One stream, as far as it is folded.
#[derive(Default)]
struct StreamFold {
    ticket: Option<Ticket>,
    ends: u32,
    open: OpenTime,
    command: Option<(CommandId, u64)>,
    recorded_at: i64,
}

/// How long a ticket was open, in whole seconds.
#[derive(Default)]
struct OpenTime {
    since: Option<i64>,
    before: i64,
}

impl OpenTime {
    fn follow(&mut self, open: bool, second: i64) {
        match (self.since, open) {
            (None, true) => self.since = Some(second),
            (Some(since), false) => {
                self.before += second - since;
                self.since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    fn until(&self, second: i64) -> i64 {
        self.before + self.since.map_or(0, |since| second - since)
    }
}

/// Progress is told once for so many events.
const EVENTS_PER_REPORT: u64 = 1024;

impl<'p> StreamFolds<'p> {
    fn new(progress: &'p (dyn Fn(u64) + Sync)) -> Self {
        Self { by_id: HashMap::new(), folded: FoldedLog::default(), unreported: 0, progress }
    }

    fn take(&mut self, view: &View<'_>) {
        self.folded.events += 1;
        self.unreported += 1;
        if self.unreported == EVENTS_PER_REPORT {
            (self.progress)(std::mem::take(&mut self.unreported));
        }
        if let Err(why) = self.fold(view) {
            let View { stream, revision, kind, .. } = view;
            self.folded.differences.add(format!("event {revision} of {stream} ({kind}): {why}"));
        }
    }

    fn fold(&mut self, view: &View<'_>) -> Result<(), String> {
        let unnamed = || "its stream has no id".to_owned();
        let (prefix, id) = match view.stream {
            office::STREAM => (office::STREAM, office::ID),
            edition::STREAM => (edition::STREAM, edition::ID),
            stream => {
                let (prefix, id) = stream.split_once('-').ok_or_else(unnamed)?;
                (prefix, id.parse().map_err(|_| unnamed())?)
            }
        };
        let is_ticket =
            [Kind::Complaint, Kind::Fault, Kind::Install].iter().any(|kind| kind.name() == prefix);
        let undecodable = |error: CodecError| error.to_string();
        let meta = duban_codec::decode_meta(&duban_projections::viewed(view)).map_err(undecodable)?;
        let stream = self.by_id.entry(id).or_default();
        let checked = stream.check(id, view, &meta);
        match prefix {
            _ if is_ticket => {
                let event = duban_codec::decode_ticket(view.kind, view.payload).map_err(undecodable)?;
                stream.ticket = ticket::evolve(stream.ticket.take(), &event, &meta);
                stream.follow(&meta)?;
            }
            "problem" => drop(duban_codec::decode_problem(view.kind, view.payload).map_err(undecodable)?),
            "notice" => drop(duban_codec::decode_notice(view.kind, view.payload).map_err(undecodable)?),
            "customer" => drop(duban_codec::decode_customer(view.kind, view.payload).map_err(undecodable)?),
            "imported" => drop(duban_codec::decode_imported(view.kind, view.payload).map_err(undecodable)?),
            "emergency" => drop(duban_codec::decode_emergency(view.kind, view.payload).map_err(undecodable)?),
            edition::STREAM => {
                drop(duban_codec::decode_edition(view.kind, view.payload).map_err(undecodable)?);
            }
            office::STREAM => {
                let office::Event::DayClosed(_) =
                    duban_codec::decode_office(view.kind, view.payload).map_err(undecodable)?;
            }
            other => return Err(format!("no stream begins with {other:?}")),
        }
        checked
    }

    fn finish(mut self) -> FoldedLog {
        (self.progress)(self.unreported);
        for (id, stream) in self.by_id {
            let Some(ticket) = stream.ticket else { continue };
            let counts = Counts {
                opened: 1,
                reopened: ticket.reopened.into(),
                open: ticket.is_open().into(),
                rounds: ticket.round.number.into(),
                ..Counts::default()
            };
            self.folded.counts = self.folded.counts.plus(counts);
            if ticket.ends != ticket.reopened + u32::from(!ticket.is_open()) || ticket.ends != stream.ends {
                self.folded.differences.add(format!("ticket {id}: its ends, reopenings and state disagree"));
            }
            let custody: i64 = ticket.custody.seconds(ticket.last_recorded_at).values().sum();
            let open = stream.open.until(ticket.last_recorded_at.as_second());
            if custody != open {
                let difference =
                    format!("ticket {id}: custody adds up to {custody} s, and it was open for {open} s");
                self.folded.differences.add(difference);
            }
            self.folded.tickets.insert(TicketId(id), digest(&ticket));
        }
        self.folded
    }
}

impl StreamFold {
    fn check(&mut self, id: Uuid, view: &View<'_>, meta: &Meta) -> Result<(), String> {
        let first = match self.command {
            Some((command, first)) if command == meta.command => first,
            _ => meta.revision,
        };
        self.command = Some((meta.command, first));
        let index = u32::try_from(meta.revision - first).unwrap_or(u32::MAX);
        let expected = stream_event_id(id, meta.command, index);
        let earlier = std::mem::replace(&mut self.recorded_at, view.recorded_at);
        if meta.revision > 0 && view.recorded_at < earlier {
            return Err("it was recorded before the event before it".to_owned());
        }
        if expected != meta.id {
            return Err(format!("its id is not that of event {index} of its command"));
        }
        Ok(())
    }

    fn follow(&mut self, meta: &Meta) -> Result<(), String> {
        let Some(ticket) = &self.ticket else {
            return Err("the ticket does not begin with its intake".to_owned());
        };
        self.ends = self.ends.max(ticket.ends);
        self.open.follow(ticket.is_open(), meta.recorded_at.as_second());
        Ok(())
    }
}

/// What the read model shows of a ticket, in short.
fn digest(ticket: &Ticket) -> u64 {
    let parts = (ticket.kind(), ticket.stage, ticket.is_open(), ticket.round.number, ticket.revision);
    digest_of(parts, ticket.custody.holder().name(), &ticket.intake.category, ticket.intake.taken_in_at)
}

fn digest_of(parts: impl Hash, holder: &str, category: &str, taken_in_at: Timestamp) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    (holder, category, taken_in_at).hash(&mut hasher);
    hasher.finish()
}

/// Folds a second time, as the read model does, in the log's order, and compares.
///
/// # Errors
/// [`ReplayError`].
pub async fn compare_with_read_model(
    reader: &Arc<Reader>,
    (policy, calendar): (Arc<Policy>, Arc<Calendar>),
    folded: &mut FoldedLog,
    progress: OnEventsRead,
) -> Result<Tickets, ReplayError> {
    let fold = TicketFold::new(policy, calendar);
    let tickets = Projection::temporary(fold)?;
    tickets.follow(Arc::new(ReadOnlyLog::new(Arc::clone(reader), progress))).await;
    let counts = tickets.counts()?;
    let differences = &mut folded.differences;
    if !counts.add_up() {
        differences.add(format!("the read model's counts do not add up: {counts:?}"));
    }
    let (ours, theirs) = (folded.counts, counts);
    let same = (ours.opened, ours.reopened, ours.open) == (theirs.opened, theirs.reopened, theirs.open);
    if !same {
        differences.add(format!("the read model counts otherwise: {theirs:?} and not {ours:?}"));
    }
    for (id, digest) in &folded.tickets {
        let row = tickets.get(*id)?.map(|row| {
            let parts = (row.kind, row.stage, row.is_open(), row.round, row.revision);
            digest_of(parts, &row.holder, &row.category, row.taken_in_at)
        });
        match row {
            Some(row) if row == *digest => {}
            Some(_) => differences.add(format!("ticket {id}: the read model folds it otherwise")),
            None => differences.add(format!("ticket {id}: the read model does not have it")),
        }
    }
    Ok(tickets)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use duban_aggregates::sealed::Sealed;
    use duban_aggregates::ticket::Event;
    use duban_log::{EventLog, Expected, Options, SegmentedLog};
    use duban_projections::{ticket_stream, ticket_to_store};
    use duban_sample_tickets::walker::Walker;

    use super::*;

    /// What replaying a story finds after it was changed on its way to the log.
    #[track_caller]
    fn check(change: impl FnOnce(&mut Vec<(Meta, Event)>), wanted: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let mut walker = Walker::new(3);
        let customer = walker.customer();
        let seal = |text: &str| Sealed { customer, nonce: [0; 12], ciphertext: vec![0; text.len() + 16] };
        let mut history = walker.history(customer, &seal);
        assert!(history.len() > 8);
        change(&mut history);
        write(dir.path(), &history);
        let reader = Arc::new(Reader::open(dir.path()).unwrap());
        let mut folded = fold(&reader, &|_| ()).unwrap();
        if folded.differences.is_empty() {
            let rules = (Policy::cn_national(), Calendar::cn());
            let compared = compare_with_read_model(&reader, rules, &mut folded, Box::new(|_| ()));
            runtime().block_on(compared).unwrap();
        }
        let told = folded.differences.lines();
        assert_eq!(told.len(), wanted.len(), "{told:?}");
        assert!(told.iter().zip(wanted).all(|(told, part)| told.contains(part)), "{told:?}");
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn write(dir: &Path, history: &[(Meta, Event)]) {
        let events = history.iter().map(|(meta, event)| (meta, event));
        let (events, ticket) = ticket_to_store(events, &Policy::cn_national().version);
        let ticket = ticket.unwrap();
        let stream = ticket_stream(ticket.kind(), ticket.id()).unwrap();
        let log = SegmentedLog::open(dir, Options::default()).unwrap();
        runtime().block_on(log.append(&stream, Expected::NoStream, events)).unwrap();
        runtime().block_on(log.close()).unwrap();
    }

    #[test]
    fn a_story_as_it_was_decided_has_no_differences() {
        check(|_| (), &[]);
    }

    #[test]
    fn an_id_that_its_command_does_not_give_is_named() {
        check(|history| history[3].0.id.0 = Uuid::nil(), &["event 3 of"]);
    }

    #[test]
    fn a_moment_that_goes_back_is_named() {
        let back = |history: &mut Vec<(Meta, Event)>| {
            let first = history[0].0.recorded_at;
            history[1].0.recorded_at = first - jiff::SignedDuration::from_secs(60);
        };
        check(back, &["event 1 of"]);
    }
}
