//! From a ticket's events to its row, its places in the indexes and its share of the sums.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::TicketId;
use duban_aggregates::policy::Policy;
use duban_aggregates::ticket::clock::next_step;
use duban_aggregates::ticket::{self, Ticket};
use duban_log::{Direction, EventLog, Reader, Recorded};
use parking_lot::Mutex;

use super::counts::Counts;
use super::keys;
use super::row::{Kept, Milestones, Row};
use crate::decode::{happened, stored, ticket_named, viewed};
use crate::projection::{Fold, FoldError, Taken};
use crate::table::{Changes, Table, TableError};
use crate::ticket_of;

/// Open tickets that are kept folded; others are folded again from the log when something happens to them.
const FOLDED_MAX: usize = 32 * 1024;

/// Events whose tickets are folded at once on one core of a rebuild.
const EVENTS_AT_ONCE: u64 = 400_000;

/// Events of a rebuild that are told together.
const TOLD_AT: u64 = 1_024;

/// A ticket and its row as they were after the last event.
struct Known {
    ticket: Ticket,
    row: Row,
}

/// A ticket that a delivery is about.
struct Touched {
    before: Option<Row>,
    ticket: Option<Ticket>,
    kept: Kept,
}

impl Touched {
    const NEW: Self = Self { before: None, ticket: None, kept: Kept::NEW };
}

/// What the rules fold tickets to.
pub struct TicketFold {
    policy: Arc<Policy>,
    calendar: Arc<Calendar>,
    folded: Mutex<HashMap<TicketId, Known>>,
}

impl TicketFold {
    /// What happens by itself, and when, follows from the policy's constants and the calendar.
    #[must_use]
    pub fn new(policy: Arc<Policy>, calendar: Arc<Calendar>) -> Self {
        Self { policy, calendar, folded: Mutex::default() }
    }

    fn row(&self, ticket: &Ticket, kept: Kept) -> Row {
        Row::of(ticket, kept, next_step(ticket, &self.policy, &self.calendar))
    }

    /// A ticket as it was before an event.
    async fn before(
        &self,
        table: &Table,
        log: &dyn EventLog,
        event: &Recorded,
        id: TicketId,
    ) -> Result<Touched, FoldError> {
        if let Some(Known { ticket, row }) = self.folded.lock().remove(&id) {
            return Ok(Touched { kept: row.kept, before: Some(row), ticket: Some(ticket) });
        }
        if event.revision == 0 {
            return Ok(Touched::NEW);
        }
        let ticket = reread(log, event).await?;
        let before = table.get(&keys::row(id))?.map(|bytes| read_row(&bytes)).transpose()?;
        let kept = before.as_ref().map_or(Kept::NEW, |row| row.kept);
        Ok(Touched { before, ticket, kept })
    }

    async fn fold(
        &self,
        touched: &mut HashMap<TicketId, Touched>,
        table: &Table,
        log: &dyn EventLog,
        event: &Recorded,
    ) -> Result<(), FoldError> {
        let Some(id) = ticket_of(event) else { return Ok(()) };
        // First, since what cannot be read must leave everything before it as it was.
        let (happened, meta) = happened(&stored(event))?;
        let mut it = match touched.remove(&id) {
            Some(it) => it,
            None => self.before(table, log, event, id).await?,
        };
        let milestones = it.ticket.as_ref().map(Milestones::of);
        it.ticket = ticket::evolve(it.ticket, &happened, &meta);
        if let Some(ticket) = &it.ticket {
            it.kept.follow(milestones, ticket);
        }
        touched.insert(id, it);
        Ok(())
    }

    /// Changes the rows of what was touched, all at once.
    fn put(&self, table: &Table, touched: HashMap<TicketId, Touched>) -> Result<(), TableError> {
        let mut changes = Changes::new();
        let mut sums = Sums::default();
        let mut open = Vec::new();
        for (id, Touched { before, ticket, kept }) in touched {
            let Some(ticket) = ticket else { continue };
            let row = self.row(&ticket, kept);
            if let Some(before) = &before {
                changes.extend(keys::index(before).into_iter().map(|(key, _)| (key, None)));
                sums.take_away(before);
            }
            changes.extend(entries(&row)?);
            sums.add(&row);
            if row.is_open() {
                open.push((id, Known { ticket, row }));
            }
        }
        sums.put(table, &mut changes)?;
        table.change(changes);
        let mut folded = self.folded.lock();
        if folded.len() + open.len() > FOLDED_MAX {
            // Any half will do: what is asked for again is folded again.
            let mut keep = false;
            folded.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        folded.extend(open);
        Ok(())
    }
}

#[async_trait]
impl Fold for TicketFold {
    const NAME: &'static str = "tickets";
    const VERSION: u32 = 1;

    fn key_name(key: &[u8]) -> String {
        let kind = key.first().map_or(' ', |kind| char::from(*kind));
        match keys::ticket_of(key) {
            Some(ticket) => format!("row {kind} of ticket {ticket}"),
            None => format!("row {kind} of sums and counts"),
        }
    }

    fn rules(&self) -> String {
        let (version, known) = (&self.policy.version, self.policy.versions().join(" "));
        format!("policy {version} of {known}, calendar {}", self.calendar.version)
    }

    async fn take(&self, table: &Table, log: &dyn EventLog, events: &[Recorded]) -> Taken {
        let mut touched = HashMap::new();
        let mut taken = Taken::default();
        for event in events {
            if let Err(error) = self.fold(&mut touched, table, log, event).await {
                taken.error = Some(error);
                break;
            }
            taken.events += 1;
        }
        match self.put(table, touched) {
            Ok(()) => taken,
            Err(error) => Taken { events: 0, error: Some(error.into()) },
        }
    }

    fn rebuild(&self, table: &Table, reader: &Reader, read: &(dyn Fn(u64) + Sync)) -> Result<(), FoldError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let rounds = usize::try_from(reader.head().size / EVENTS_AT_ONCE).unwrap_or(usize::MAX);
        let parts = cores.max(rounds.saturating_add(1));
        let sums = Mutex::new(Sums::default());
        duban_log::each_part(parts, |part| {
            let of_part = self.rebuild_part(table, reader, (part, parts), read)?;
            sums.lock().join(&of_part);
            Ok::<_, FoldError>(())
        })?;
        let mut changes = Changes::new();
        sums.into_inner().put(table, &mut changes)?;
        table.change(changes);
        Ok(())
    }
}

impl TicketFold {
    fn rebuild_part(
        &self,
        table: &Table,
        reader: &Reader,
        (part, parts): (usize, usize),
        read: &(dyn Fn(u64) + Sync),
    ) -> Result<Sums, FoldError> {
        let mut tickets: HashMap<TicketId, (Option<Ticket>, Kept)> = HashMap::new();
        let mut untold = 0;
        reader.scan_part(part, parts, |view| {
            untold += 1;
            if untold == TOLD_AT {
                read(std::mem::take(&mut untold));
            }
            if let Some(id) = ticket_named(view.stream) {
                let (ticket, kept) = tickets.entry(id).or_insert((None, Kept::NEW));
                let milestones = ticket.as_ref().map(Milestones::of);
                let (happened, meta) = happened(&viewed(view))?;
                *ticket = ticket::evolve(ticket.take(), &happened, &meta);
                if let Some(ticket) = ticket {
                    kept.follow(milestones, ticket);
                }
            }
            Ok::<_, FoldError>(ControlFlow::Continue(()))
        })?;
        read(untold);
        let mut sums = Sums::default();
        for (ticket, kept) in tickets.into_values() {
            let Some(ticket) = ticket else { continue };
            let row = self.row(&ticket, kept);
            sums.add(&row);
            table.fill(entries(&row)?)?;
        }
        Ok(sums)
    }
}

/// A row and its places in the indexes.
fn entries(row: &Row) -> Result<Changes, TableError> {
    let value = serde_json::to_vec(row).map_err(|error| TableError::Row(error.to_string()))?;
    let mut entries: Changes = keys::index(row).into_iter().map(|(key, value)| (key, Some(value))).collect();
    entries.insert(keys::row(row.ticket), Some(value));
    Ok(entries)
}

pub(super) fn read_row(bytes: &[u8]) -> Result<Row, TableError> {
    serde_json::from_slice(bytes).map_err(|error| TableError::Row(error.to_string()))
}

/// What tickets add to the sums, and what they no longer add.
#[derive(Default)]
struct Sums {
    added: Counts,
    taken_away: Counts,
    /// Whole seconds by holder; what is taken away is negative.
    custody: BTreeMap<String, i64>,
}

impl Sums {
    fn add(&mut self, row: &Row) {
        self.added = self.added.plus(Counts::of(row));
        for (holder, seconds) in &row.held_seconds {
            *self.custody.entry(holder.clone()).or_default() += seconds;
        }
    }

    fn take_away(&mut self, row: &Row) {
        self.taken_away = self.taken_away.plus(Counts::of(row));
        for (holder, seconds) in &row.held_seconds {
            *self.custody.entry(holder.clone()).or_default() -= seconds;
        }
    }

    fn join(&mut self, other: &Self) {
        self.added = self.added.plus(other.added);
        self.taken_away = self.taken_away.plus(other.taken_away);
        for (holder, seconds) in &other.custody {
            *self.custody.entry(holder.clone()).or_default() += seconds;
        }
    }

    /// Changes the sums that are stored.
    fn put(self, table: &Table, changes: &mut Changes) -> Result<(), TableError> {
        let counts = read_counts(table)?.plus(self.added).minus(self.taken_away);
        let counts = serde_json::to_vec(&counts).map_err(|error| TableError::Row(error.to_string()))?;
        changes.insert(keys::COUNTS.to_vec(), Some(counts));
        for (holder, more) in self.custody.into_iter().filter(|(_, more)| *more != 0) {
            let key = keys::custody(&holder);
            let seconds = table.get(&key)?.as_deref().map_or(Ok(0), read_seconds)? + more;
            changes.insert(key, Some(seconds.to_be_bytes().to_vec()));
        }
        Ok(())
    }
}

pub(super) fn read_counts(table: &Table) -> Result<Counts, TableError> {
    let Some(bytes) = table.get(keys::COUNTS)? else { return Ok(Counts::default()) };
    serde_json::from_slice(&bytes).map_err(|error| TableError::Row(error.to_string()))
}

pub(super) fn read_seconds(bytes: &[u8]) -> Result<i64, TableError> {
    let bytes = bytes.try_into().map_err(|_| TableError::Row("a sum has eight bytes".to_owned()))?;
    Ok(i64::from_be_bytes(bytes))
}

/// Folds a ticket again, up to the event before this one.
async fn reread(log: &dyn EventLog, event: &Recorded) -> Result<Option<Ticket>, FoldError> {
    const PAGE: usize = 512;
    let mut ticket = None;
    let mut from = 0;
    while from < event.revision {
        let limit = usize::try_from(event.revision - from).map_or(PAGE, |left| left.min(PAGE));
        let page = log.read_stream(&event.stream, from, Direction::Forward, limit).await?;
        if page.is_empty() {
            break;
        }
        for recorded in &page {
            from = recorded.revision + 1;
            let (happened, meta) = happened(&stored(recorded))?;
            ticket = ticket::evolve(ticket, &happened, &meta);
        }
    }
    Ok(ticket)
}
