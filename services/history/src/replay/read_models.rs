//! The live read models against a new fold: on disk row by row where no server runs, else ticket by ticket as the server's lists
//! show them.

use std::collections::HashMap;
use std::sync::Arc;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::TicketId;
use duban_aggregates::policy::Policy;
use duban_aggregates::ticket::{self, Ticket};
use duban_log::{Direction, Reader};
use duban_projections::{
    Compared, ConformanceFold, CustomerFold, Fold, Home, Kept, Row, TicketFold, Tickets, compare,
    ticket_streams,
};
use duban_proto::api::v1 as api;
use serde::Serialize;

use super::{Differences, ReplayError};
use crate::read_only_log::{OnEventsRead, ReadOnlyLog};
use crate::ticket_summary::ticket_summary;

/// The names of all read models.
pub const READ_MODELS: [&str; 3] = [TicketFold::NAME, CustomerFold::NAME, ConformanceFold::NAME];

/// Events read at a time.
const EVENTS: usize = 512;

/// A read model, compared or not.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ReadModel {
    /// Its name.
    pub name: String,
    /// Whether it was compared.
    pub compared: bool,
    /// Rows that were compared; beside a server its tickets.
    pub rows: u64,
    /// Rows that differ.
    pub differences: u64,
    /// Why it was not, or not whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl ReadModel {
    fn left_out(name: &str, why: &str) -> Self {
        Self { name: name.to_owned(), compared: false, rows: 0, differences: 0, why: Some(why.to_owned()) }
    }
}

/// All read models, none of them compared, and why.
#[must_use]
pub fn left_out(why: &str) -> Vec<ReadModel> {
    READ_MODELS.iter().map(|name| ReadModel::left_out(name, why)).collect()
}

/// Compares every row of every read model of a data directory with what a new fold of its log gives; changes nothing. The caller holds
/// the log's lock: a running server has the stores open, and has rows in its memory too.
///
/// # Errors
/// [`ReplayError::Fold`].
pub async fn compare_on_disk(
    home: &Home,
    (policy, calendar): (Arc<Policy>, Arc<Calendar>),
    reader: &Arc<Reader>,
    differences: &mut Differences,
    progress: &(dyn Fn(&'static str, u64, u64) + Sync),
    read: OnEventsRead,
) -> Result<Vec<ReadModel>, ReplayError> {
    let log = ReadOnlyLog::new(Arc::clone(reader), read);
    let tickets = || TicketFold::new(Arc::clone(&policy), Arc::clone(&calendar));
    let compared = [
        compare(tickets, home, reader, &log, progress).await?,
        compare(|| CustomerFold, home, reader, &log, progress).await?,
        compare(|| ConformanceFold, home, reader, &log, progress).await?,
    ];
    Ok(compared.into_iter().map(|compared| noted(compared, differences)).collect())
}

fn noted(compared: Compared, differences: &mut Differences) -> ReadModel {
    let Compared { name, found } = compared;
    match found {
        Ok(rows) => {
            for told in &rows.told {
                differences.add(format!("read model {name}: {told}"));
            }
            differences.add_unlisted(rows.differences - rows.told.len() as u64);
            let why = rows.reached.is_none().then(|| "it had read nothing yet".to_owned());
            ReadModel {
                name: name.to_owned(),
                compared: true,
                rows: rows.rows,
                differences: rows.differences,
                why,
            }
        }
        Err(unusable) => {
            let why = format!("{unusable}; it is built anew when a server starts");
            // One that was never made is no difference; one that holds what nobody wrote is.
            if matches!(unusable, duban_projections::table::Unusable::Damaged(_)) {
                differences.add(format!("read model {name}: {unusable}"));
            }
            ReadModel::left_out(name, &why)
        }
    }
}

/// Compares every ticket as a running server's lists show it, which have taken in everything that was read, with our fold of the
/// directory that it writes to. What was written since we folded is read through `reopen`.
///
/// # Errors
/// [`ReplayError`].
pub fn compare_with_lists(
    listed: Vec<api::TicketSummary>,
    ours: &Tickets,
    reopen: &dyn Fn() -> Result<Reader, duban_log::Error>,
    differences: &mut Differences,
    progress: &dyn Fn(u64),
) -> Result<Vec<ReadModel>, ReplayError> {
    let size = listed.len() as u64;
    let before = differences.count();
    let mut listed: HashMap<String, api::TicketSummary> =
        listed.into_iter().map(|row| (row.ticket_id.clone(), row)).collect();
    for id in ours.ids()? {
        match listed.remove(&id.to_string()) {
            None => differences.add(format!("ticket {id}: the server's list does not have it")),
            Some(theirs) => {
                let row = ours.get(id)?;
                let same = row.as_ref().map(ticket_summary).filter(|row| row.revision >= theirs.revision);
                let ours = match same {
                    Some(row) => Some(row),
                    None => as_of(&reopen()?, id, theirs.revision)?,
                };
                if ours.as_ref() != Some(&theirs) {
                    differences.add(format!("ticket {id}: the server's list shows it otherwise"));
                }
            }
        }
        progress(1);
    }
    // What is left was taken in while we folded.
    for (id, theirs) in listed {
        let known = id.parse().ok().map(TicketId);
        let ours = known.map(|id| as_of(&reopen()?, id, theirs.revision)).transpose()?.flatten();
        if ours.as_ref() != Some(&theirs) {
            differences.add(format!("ticket {id}: the server's list has it, and the log has it otherwise"));
        }
        progress(1);
    }
    let tickets = ReadModel {
        name: TicketFold::NAME.to_owned(),
        compared: true,
        rows: size,
        differences: differences.count() - before,
        why: Some("what its lists show; the rows themselves are in the server's hands".to_owned()),
    };
    let others = READ_MODELS.iter().filter(|name| **name != TicketFold::NAME);
    let why = "a running server answers none of its rows";
    Ok([tickets].into_iter().chain(others.map(|name| ReadModel::left_out(name, why))).collect())
}

/// A ticket's row after an event that was written since we folded.
fn as_of(reader: &Reader, id: TicketId, revision: u64) -> Result<Option<api::TicketSummary>, ReplayError> {
    let mut folded: Option<Ticket> = None;
    for stream in ticket_streams(id)? {
        let mut from = 0;
        loop {
            let page = reader.read_stream(&stream, from, Direction::Forward, EVENTS)?;
            for event in page.iter().filter(|event| event.revision <= revision) {
                let happened = duban_projections::ticket_event(event)?;
                let meta = duban_projections::meta(event)?;
                folded = ticket::evolve(folded, &happened, &meta);
            }
            match page.last() {
                Some(last) if last.revision < revision => from = last.revision + 1,
                _ => break,
            }
        }
    }
    Ok(folded.map(|ticket| ticket_summary(&Row::of(&ticket, Kept::NEW, None))))
}
