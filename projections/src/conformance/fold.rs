//! From events to checked histories, their indexes, and the counts.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use async_trait::async_trait;
use duban_aggregates::imported;
use duban_aggregates::words::Stage;
use duban_codec::{StoredEvent, types};
use duban_log::{Direction, EventLog, Reader, Recorded};
use parking_lot::Mutex;
use uuid::Uuid;

use super::check::Check;
use super::{History, Pattern, keys};
use crate::Undecodable;
use crate::decode::{happened, imported_event, imported_named, stored, ticket_named, viewed};
use crate::projection::{Fold, FoldError, Taken};
use crate::table::{Changes, Table, TableError};

/// Events whose histories are checked at once on one core of a rebuild.
const EVENTS_AT_ONCE: u64 = 1_000_000;

/// Events of a rebuild that are told together.
const TOLD_AT: u64 = 1_024;

/// Steps of a foreign history that are read together.
const PAGE: usize = 512;

/// How histories are held against the chain.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConformanceFold;

/// Which history a stream is.
enum Named {
    Ours(Uuid),
    Foreign(Uuid),
}

fn named(stream: &str) -> Option<Named> {
    ticket_named(stream)
        .map(|ticket| Named::Ours(ticket.0))
        .or_else(|| imported_named(stream).map(|history| Named::Foreign(history.0)))
}

/// Whether a ticket's event may bear on the chain. Of what it leaves out nothing is even decoded.
fn bears(kind: &str) -> bool {
    kind.starts_with("chain.") || kind.starts_with("order.") || kind == types::GATE_WAIVED
}

/// A history of ours before its first event.
fn ours(stream: &str, id: Uuid) -> History {
    let origin = stream.split('-').next().unwrap_or(stream).to_owned();
    History { stream: stream.to_owned(), id, origin, case: None, latest: None, check: Check::default() }
}

/// What is compared of a step of a foreign history.
struct Step {
    at: i64,
    revision: u64,
    stage: Option<Stage>,
    resource: Option<String>,
}

/// A step, and what it says of its history.
fn step(event: &StoredEvent<'_>, id: Uuid) -> Result<(Step, History), Undecodable> {
    let imported::Event::HistoricStep(step) = imported_event(event)?;
    let history = History {
        stream: event.stream.to_owned(),
        id,
        origin: format!("imported/{}", step.source),
        case: Some(step.case),
        latest: None,
        check: Check::default(),
    };
    let (stage, resource) = (step.stage, step.resource);
    Ok((Step { at: event.occurred_at, revision: event.revision, stage, resource }, history))
}

impl History {
    fn follow(&mut self, step: &Step) {
        if let Some(stage) = step.stage {
            self.check.follow_step(stage, step.resource.as_deref(), step.revision);
        }
        self.latest = self.latest.max(Some(step.at));
    }

    /// Checks all steps, in the order of their moments; of one moment, as they were recorded.
    fn follow_all(&mut self, mut steps: Vec<Step>) {
        steps.sort_by_key(|step| (step.at, step.revision));
        (self.check, self.latest) = (Check::default(), None);
        steps.iter().for_each(|step| self.follow(step));
    }
}

/// A history that a delivery is about.
struct Touched {
    before: Option<History>,
    now: History,
}

impl ConformanceFold {
    async fn fold(
        touched: &mut HashMap<Uuid, Touched>,
        table: &Table,
        log: &dyn EventLog,
        event: &Recorded,
    ) -> Result<(), FoldError> {
        let read = stored(event);
        let known = |id| match touched.get(&id) {
            Some(touched) => Ok(Some(touched.now.clone())),
            None => table.get(&keys::row(id))?.map(|bytes| read_row(&bytes)).transpose(),
        };
        let (id, now) = match named(read.stream) {
            None => return Ok(()),
            Some(Named::Ours(_)) if event.revision > 0 && !bears(read.kind) => return Ok(()),
            Some(Named::Ours(id)) => {
                let mut history = known(id)?.unwrap_or_else(|| ours(read.stream, id));
                if bears(read.kind) {
                    let (happened, meta) = happened(&read)?;
                    history.check.follow(&happened, &meta);
                }
                (id, history)
            }
            Some(Named::Foreign(id)) => {
                let (step, begun) = step(&read, id)?;
                let mut history = known(id)?.unwrap_or(begun);
                if history.latest.is_some_and(|latest| step.at < latest) {
                    history.follow_all(steps(log, event, id).await?);
                } else {
                    history.follow(&step);
                }
                (id, history)
            }
        };
        match touched.get_mut(&id) {
            Some(touched) => touched.now = now,
            None => {
                let before = table.get(&keys::row(id))?.map(|bytes| read_row(&bytes)).transpose()?;
                touched.insert(id, Touched { before, now });
            }
        }
        Ok(())
    }

    fn put(table: &Table, touched: HashMap<Uuid, Touched>) -> Result<(), TableError> {
        let mut changes = Changes::new();
        let mut counts = Counts::default();
        for (_, Touched { before, now }) in touched {
            if before.as_ref() == Some(&now) {
                continue;
            }
            if let Some(before) = &before {
                changes.extend(index(before).into_iter().map(|key| (key, None)));
                counts.add(before, -1);
            }
            changes.extend(entries(&now)?);
            counts.add(&now, 1);
        }
        counts.put(table, &mut changes)?;
        table.change(changes);
        Ok(())
    }

    fn rebuild_part(
        table: &Table,
        reader: &Reader,
        (part, parts): (usize, usize),
        read: &(dyn Fn(u64) + Sync),
    ) -> Result<Counts, FoldError> {
        let mut histories: HashMap<Uuid, (History, Vec<Step>)> = HashMap::new();
        let mut untold = 0;
        reader.scan_part(part, parts, |view| {
            untold += 1;
            if untold == TOLD_AT {
                read(std::mem::take(&mut untold));
            }
            let event = viewed(view);
            match named(view.stream) {
                Some(Named::Ours(id)) if view.revision == 0 || bears(view.kind) => {
                    let (history, _) =
                        histories.entry(id).or_insert_with(|| (ours(view.stream, id), Vec::new()));
                    if bears(view.kind) {
                        let (happened, meta) = happened(&event)?;
                        history.check.follow(&happened, &meta);
                    }
                }
                Some(Named::Foreign(id)) => {
                    let (step, begun) = step(&event, id)?;
                    histories.entry(id).or_insert((begun, Vec::new())).1.push(step);
                }
                Some(Named::Ours(_)) | None => {}
            }
            Ok::<_, FoldError>(ControlFlow::Continue(()))
        })?;
        read(untold);
        let mut counts = Counts::default();
        for (mut history, steps) in histories.into_values() {
            if !steps.is_empty() {
                history.follow_all(steps);
            }
            counts.add(&history, 1);
            table.fill(entries(&history)?)?;
        }
        Ok(counts)
    }
}

#[async_trait]
impl Fold for ConformanceFold {
    const NAME: &'static str = "conformance";
    const VERSION: u32 = 2;

    fn rules(&self) -> String {
        "none".to_owned()
    }

    async fn take(&self, table: &Table, log: &dyn EventLog, events: &[Recorded]) -> Taken {
        let mut touched = HashMap::new();
        let mut taken = Taken::default();
        for event in events {
            if let Err(error) = Self::fold(&mut touched, table, log, event).await {
                taken.error = Some(error);
                break;
            }
            taken.events += 1;
        }
        match Self::put(table, touched) {
            Ok(()) => taken,
            Err(error) => Taken { events: 0, error: Some(error.into()) },
        }
    }

    fn rebuild(&self, table: &Table, reader: &Reader, read: &(dyn Fn(u64) + Sync)) -> Result<(), FoldError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let rounds = usize::try_from(reader.head().size / EVENTS_AT_ONCE).unwrap_or(usize::MAX);
        let parts = cores.max(rounds.saturating_add(1));
        let counts = Mutex::new(Counts::default());
        duban_log::each_part(parts, |part| {
            let of_part = Self::rebuild_part(table, reader, (part, parts), read)?;
            counts.lock().join(of_part);
            Ok::<_, FoldError>(())
        })?;
        let mut changes = Changes::new();
        counts.into_inner().put(table, &mut changes)?;
        table.change(changes);
        Ok(())
    }
}

/// The steps of a foreign history up to an event, which is included.
async fn steps(log: &dyn EventLog, until: &Recorded, id: Uuid) -> Result<Vec<Step>, FoldError> {
    let mut steps = Vec::new();
    let mut from = 0;
    while from <= until.revision {
        let limit = usize::try_from(until.revision - from + 1).map_or(PAGE, |left| left.min(PAGE));
        let page = log.read_stream(&until.stream, from, Direction::Forward, limit).await?;
        let Some(last) = page.last() else { break };
        from = last.revision + 1;
        for recorded in &page {
            steps.push(step(&stored(recorded), id)?.0);
        }
    }
    Ok(steps)
}

/// Where a history stands in the indexes.
fn index(history: &History) -> Vec<keys::Key> {
    let pattern = history.pattern();
    if pattern.conforms() {
        return Vec::new();
    }
    let mut in_pattern = keys::in_pattern(&pattern.to_string());
    in_pattern.extend(history.id.as_bytes());
    vec![keys::deviating(history.id), in_pattern]
}

/// A row and its places in the indexes.
fn entries(history: &History) -> Result<Changes, TableError> {
    let value = serde_json::to_vec(history).map_err(|error| TableError::Row(error.to_string()))?;
    let mut entries: Changes = index(history).into_iter().map(|key| (key, Some(Vec::new()))).collect();
    entries.insert(keys::row(history.id), Some(value));
    Ok(entries)
}

pub(super) fn read_row(bytes: &[u8]) -> Result<History, TableError> {
    serde_json::from_slice(bytes).map_err(|error| TableError::Row(error.to_string()))
}

pub(super) fn read_count(bytes: &[u8]) -> Result<u64, TableError> {
    let bytes = bytes.try_into().map_err(|_| TableError::Row("a count has eight bytes".to_owned()))?;
    Ok(u64::from_be_bytes(bytes))
}

/// How many histories of an origin begin or are in which pattern, more or less than before.
#[derive(Default)]
struct Counts(BTreeMap<keys::Key, i64>);

impl Counts {
    fn add(&mut self, history: &History, one: i64) {
        let pattern: Pattern = history.pattern();
        for key in
            [keys::count(&history.origin, None), keys::count(&history.origin, Some(&pattern.to_string()))]
        {
            *self.0.entry(key).or_default() += one;
        }
    }

    fn join(&mut self, other: Self) {
        for (key, more) in other.0 {
            *self.0.entry(key).or_default() += more;
        }
    }

    /// Changes the counts that are stored. One that comes to nothing goes, so that a table built anew is the same.
    fn put(self, table: &Table, changes: &mut Changes) -> Result<(), TableError> {
        for (key, more) in self.0.into_iter().filter(|(_, more)| *more != 0) {
            let before = table.get(&key)?.as_deref().map_or(Ok(0), read_count)?;
            let now = before.checked_add_signed(more).unwrap_or(0);
            changes.insert(key, (now > 0).then(|| now.to_be_bytes().to_vec()));
        }
        Ok(())
    }
}
