//! Writing foreign histories straight into a data directory: a stream a case, its steps in the order of their own times.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use duban_aggregates::actor::Actor;
use duban_aggregates::ids::{HistoryId, stream_event_id};
use duban_aggregates::imported::{self, Command, Event, History};
use duban_aggregates::meta::{Context, Meta};
use duban_aggregates::words::Role;
use duban_codec::Lineage;
use duban_engine::data_directory::{WritableDirectory, log_dir};
use duban_engine::runner::Rules;
use duban_engine::time::{Clock, SystemClock};
use duban_log::{
    BulkAppend, Direction, EventLog, Expected, NewEvent, Reader, Recorded, StreamName, TAG_VALUE_BYTES_MAX,
    append_in_order, last_recorded_at,
};
use jiff::Timestamp;

use super::error::ImportError;
use super::report::{ImportProgress, ImportReport, Tally};
use super::step_row::{StepMapping, StepRow, StepRows};
use super::ticket_row::RowError;
use super::write_tickets::{clock, runtime};

/// Cases that are decided and appended together.
const BATCH: usize = 256;

/// Bytes of one append; a long history takes several.
const APPEND_BYTES: usize = 256 * 1024;

/// A case of the source with its rows, in the order of their times.
struct SourceCase<'t> {
    history: HistoryId,
    rows: Vec<&'t StepRow>,
}

/// The cases of a table, in the order in which they begin in it.
fn cases(rows: &[StepRow]) -> Vec<SourceCase<'_>> {
    let mut places = HashMap::new();
    let mut cases: Vec<SourceCase<'_>> = Vec::new();
    for row in rows {
        let history = row.step.history;
        let place = *places.entry(history).or_insert_with(|| {
            cases.push(SourceCase { history, rows: Vec::new() });
            cases.len() - 1
        });
        cases[place].rows.push(row);
    }
    for case in &mut cases {
        case.rows.sort_by_key(|row| (row.step.occurred_at, row.line));
    }
    cases
}

/// What an import does with a case.
#[derive(Default)]
struct PlannedCase {
    /// What is there already.
    history: Option<History>,
    events: Vec<NewEvent>,
    known: u64,
    refused: Vec<(u64, RowError)>,
}

/// Decides the rows of a case that are not there yet, over what is there.
fn plan(
    case: &SourceCase<'_>,
    there: &[Recorded],
    now: Timestamp,
    rules: &Rules,
    fingerprint: &dyn Fn(&StepRow) -> [u8; 16],
) -> Result<PlannedCase, ImportError> {
    let mut planned = PlannedCase::default();
    for recorded in there {
        let meta = duban_projections::meta(recorded)?;
        let event = duban_codec::decode_imported(&recorded.kind, &recorded.payload)?;
        planned.history = imported::evolve(planned.history, &event, &meta);
    }
    let actor = Actor { id: "import".into(), role: Role::Import, unit: "import".into() };
    let mut after = planned.history.clone();
    for row in &case.rows {
        if after.as_ref().is_some_and(|history| history.commands.get(&row.command).is_some()) {
            planned.known += 1;
            continue;
        }
        let context = Context {
            at: now,
            actor: actor.clone(),
            command: row.command,
            fingerprint: fingerprint(row),
            policy: &rules.policy,
            calendar: &rules.calendar,
        };
        let events = match imported::decide(after.as_ref(), &context, Command::Record(row.step.clone())) {
            Ok(events) => events,
            Err(rejection) => {
                planned.refused.push((row.line, RowError::Refused(rejection)));
                continue;
            }
        };
        for (index, event) in (0..).zip(events) {
            let meta = Meta {
                id: stream_event_id(case.history.0, row.command, index),
                revision: after.as_ref().map_or(0, |history| history.revision + 1),
                recorded_at: now,
                occurred_at: row.step.occurred_at,
                actor: actor.clone(),
                command: row.command,
                fingerprint: context.fingerprint,
            };
            planned.events.push(stored(&event, &meta));
            after = imported::evolve(after, &event, &meta);
        }
    }
    Ok(planned)
}

/// A step as the log keeps it. No policy was in force where it happened.
fn stored(event: &Event, meta: &Meta) -> NewEvent {
    let (kind, payload) = duban_codec::encode_imported(event);
    let Event::HistoricStep(step) = event;
    let source = &step.source[..step.source.floor_char_boundary(TAG_VALUE_BYTES_MAX)];
    let mut tags = vec![(Arc::from("kind"), Arc::from("imported")), (Arc::from("source"), Arc::from(source))];
    if let Some(stage) = step.stage {
        tags.push((Arc::from("stage"), Arc::from(stage.name())));
    }
    NewEvent {
        id: meta.id.0,
        kind: Arc::from(kind),
        occurred_at: meta.occurred_at.as_microsecond(),
        recorded_at: meta.recorded_at.as_microsecond(),
        tags,
        metadata: duban_codec::encode_metadata(meta, &Lineage::default(), ""),
        payload: payload.into(),
    }
}

/// A case's events as appends that the log takes.
fn appends(case: &SourceCase<'_>, planned: PlannedCase) -> Result<Vec<BulkAppend>, ImportError> {
    let first = planned.history.map_or(0, |history| history.revision + 1);
    let mut appends: Vec<BulkAppend> = Vec::new();
    let mut bytes = 0;
    for (next, event) in (first..).zip(planned.events) {
        let size = event.payload.len() + event.metadata.len();
        match appends.last_mut() {
            Some(append) if bytes + size <= APPEND_BYTES => append.events.push(event),
            _ => {
                let stream = stream(case.history)?;
                let expected = Expected::after(next.checked_sub(1));
                appends.push(BulkAppend { stream, expected, events: vec![event] });
                bytes = 0;
            }
        }
        bytes += size;
    }
    Ok(appends)
}

fn stream(history: HistoryId) -> Result<StreamName, duban_log::Error> {
    StreamName::new(format!("imported-{history}"))
}

/// Checks all rows, and writes nothing: not even a directory.
pub(super) fn dry_run(
    data: &Path,
    table: StepRows,
    rules: &Rules,
    progress: ImportProgress<'_>,
) -> Result<ImportReport, ImportError> {
    let log = log_dir(data);
    let log = log.is_dir().then(|| Reader::open(&log)).transpose()?;
    let now = SystemClock::default().now();
    let cases = cases(&table.rows);
    let mut tally = begun(&table, cases.len());
    let (mut done, total) = (0, table.rows.len() as u64);
    for case in &cases {
        let there = match &log {
            Some(log) => whole(&stream(case.history)?, |name, from| {
                log.read_stream(name, from, Direction::Forward, usize::MAX)
            })?,
            None => Vec::new(),
        };
        let planned = plan(case, &there, now, rules, &|_| [0; 16])?;
        count(&mut tally, &planned);
        done += case.rows.len() as u64;
        progress(done, total);
    }
    Ok(tally.done(table.bad))
}

/// Takes all rows in whose steps are not there yet.
pub(super) fn write_histories(
    data: &Path,
    master_key: Option<&Path>,
    mapping: &StepMapping,
    table: StepRows,
    rules: &Rules,
    progress: ImportProgress<'_>,
) -> Result<ImportReport, ImportError> {
    let writer = WritableDirectory::open(data, master_key)?;
    let runtime = runtime()?;
    let clock = clock(runtime.block_on(last_recorded_at(&writer.log))?);
    let keys = writer.sealer.keys();
    let fingerprint = |row: &StepRow| {
        let request = format!("import\0{}\0{}", mapping.name, row.command);
        keys.fingerprint(request.as_bytes())
    };
    let cases = cases(&table.rows);
    let mut tally = begun(&table, cases.len());
    let (mut done, total) = (0, table.rows.len() as u64);
    for batch in cases.chunks(BATCH) {
        let mut fresh = Vec::with_capacity(batch.len());
        for case in batch {
            let stream = stream(case.history)?;
            let there = whole(&stream, |name, from| {
                runtime.block_on(writer.log.read_stream(name, from, Direction::Forward, usize::MAX))
            })?;
            let planned = plan(case, &there, clock.now(), rules, &fingerprint)?;
            count(&mut tally, &planned);
            fresh.extend(appends(case, planned)?);
            done += case.rows.len() as u64;
            progress(done, total);
        }
        runtime.block_on(append_in_order(&writer.log, fresh))?;
    }
    runtime.block_on(writer.log.close())?;
    Ok(tally.done(table.bad))
}

/// A whole stream, however much it holds.
fn whole(
    stream: &StreamName,
    read: impl Fn(&StreamName, u64) -> Result<Vec<Recorded>, duban_log::Error>,
) -> Result<Vec<Recorded>, duban_log::Error> {
    let mut events: Vec<Recorded> = Vec::new();
    loop {
        let answer = read(stream, events.len() as u64)?;
        let ended = duban_log::ends_stream(&answer, usize::MAX);
        events.extend(answer);
        if ended {
            return Ok(events);
        }
    }
}

fn begun(table: &StepRows, histories: usize) -> Tally {
    let mut tally = Tally::of(table.rows.len() + table.bad.len());
    tally.report.histories = Some(histories as u64);
    tally
}

fn count(tally: &mut Tally, planned: &PlannedCase) {
    tally.report.added += planned.events.len() as u64;
    tally.report.known += planned.known;
    for (line, error) in &planned.refused {
        tally.reject(*line, error);
    }
}
