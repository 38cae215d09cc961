//! The live read models against a new fold: on disk row by row where no server runs, else ticket by ticket as the server's lists
//! show them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use duban_aggregates::ids::TicketId;
use duban_aggregates::intake::Kind;
use duban_aggregates::ticket::{self, Ticket};
use duban_log::disk::{Disk, RealDisk};
use duban_log::{Direction, Reader};
use duban_projections::{Compared, Kept, Row, Tickets};
use duban_proto::api::v1 as api;
use duban_server::history::summary;
use duban_server::views;
use serde::Serialize;

use super::Differences;
use crate::data;
use crate::departments::{CallError, Office, Tokens};
use crate::failure::Failure;
use crate::output::Progress;
use crate::progress::Bars;
use crate::readonly::ReadOnlyLog;

/// Tickets asked for at a time.
const PAGE: u32 = 1_000;

/// Events read at a time.
const EVENTS: usize = 512;

/// A read model, compared or not.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct ReadModel {
    pub(super) name: String,
    /// Whether it was compared.
    pub(super) compared: bool,
    /// Rows that were compared; beside a server its tickets.
    pub(super) rows: u64,
    pub(super) differences: u64,
    /// Why it was not, or not whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
}

impl ReadModel {
    fn left_out(name: &str, why: String) -> Self {
        Self { name: name.to_owned(), compared: false, rows: 0, differences: 0, why: Some(why) }
    }
}

/// Compares every row on disk. A running server has the store open, and its rows are in its memory too: then nothing is.
pub(super) fn on_disk(
    data: &Path,
    reader: &Arc<Reader>,
    differences: &mut Differences,
) -> Result<Vec<ReadModel>, Failure> {
    let disk = RealDisk::open(&data::existing_log_dir(data)?).map_err(Failure::broken)?;
    let _lock = match disk.lock() {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            let why = "somebody has the directory open: name the server with --server and --tokens";
            return Ok(views::NAMES.iter().map(|name| ReadModel::left_out(name, why.to_owned())).collect());
        }
        Err(error) => return Err(Failure::broken(error)),
    };
    let rules = data::rules_of(reader)?;
    let bars = Bars::default();
    let log = ReadOnlyLog::new(Arc::clone(reader), Progress::new("read models", "events", 0));
    let told = |name, done, total| bars.show(name, done, total);
    let compared = data::runtime()?.block_on(views::compare(data, &rules, reader, &log, &told));
    let compared = compared.map_err(Failure::broken)?;
    Ok(compared.into_iter().map(|compared| told_of(compared, differences)).collect())
}

fn told_of(compared: Compared, differences: &mut Differences) -> ReadModel {
    let Compared { name, found } = compared;
    match found {
        Ok(rows) => {
            for told in &rows.told {
                differences.add(format!("read model {name}: {told}"));
            }
            differences.more(rows.differences - rows.told.len() as u64);
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
            ReadModel::left_out(name, why)
        }
    }
}

/// Compares every ticket as a running server's lists show it with our fold of the directory that it writes to.
pub(super) fn of_server(
    (server, tokens): (&str, &Path),
    data: &Path,
    reader: &Reader,
    ours: &Tickets,
    differences: &mut Differences,
) -> Result<Vec<ReadModel>, Failure> {
    let listed = data::runtime()?.block_on(listed(server, tokens, reader))?;
    let size = listed.len() as u64;
    let progress = Progress::new("tickets", "tickets", size);
    let before = differences.count();
    let mut listed: HashMap<String, api::TicketSummary> =
        listed.into_iter().map(|row| (row.ticket_id.clone(), row)).collect();
    for id in ours.ids().map_err(Failure::broken)? {
        match listed.remove(&id.to_string()) {
            None => differences.add(format!("ticket {id}: the server's list does not have it")),
            Some(theirs) => {
                let row = ours.get(id).map_err(Failure::broken)?;
                let same = row.as_ref().map(summary).filter(|row| row.revision >= theirs.revision);
                let ours = match same {
                    Some(row) => Some(row),
                    None => as_of(data, id, theirs.revision)?,
                };
                if ours.as_ref() != Some(&theirs) {
                    differences.add(format!("ticket {id}: the server's list shows it otherwise"));
                }
            }
        }
        progress.add(1);
    }
    // What is left was taken in while we folded.
    for (id, theirs) in listed {
        let known = id.parse().ok().map(TicketId);
        let ours = known.map(|id| as_of(data, id, theirs.revision)).transpose()?.flatten();
        if ours.as_ref() != Some(&theirs) {
            differences.add(format!("ticket {id}: the server's list has it, and the log has it otherwise"));
        }
        progress.add(1);
    }
    let tickets = ReadModel {
        name: "tickets".to_owned(),
        compared: true,
        rows: size,
        differences: differences.count() - before,
        why: Some("what its lists show; the rows themselves are in the server's hands".to_owned()),
    };
    let others = views::NAMES.iter().filter(|name| **name != "tickets");
    let why = || "a running server answers none of its rows".to_owned();
    Ok([tickets].into_iter().chain(others.map(|name| ReadModel::left_out(name, why()))).collect())
}

/// Every ticket in the server's list, which has taken in everything that we have read.
async fn listed(server: &str, tokens: &Path, reader: &Reader) -> Result<Vec<api::TicketSummary>, Failure> {
    let failed = |error: CallError| match error {
        CallError::Refused(_) | CallError::Stuck { .. } => Failure::broken(error),
        other => Failure::misuse(other),
    };
    let tokens = Tokens::read(tokens).map_err(failed)?;
    let office = Office::connect(server, tokens).await.map_err(failed)?;
    let mut history = office.history().map_err(failed)?;
    let head = reader.head().position;
    let min_position = head.map(|position| position.to_string()).unwrap_or_default();
    let (mut tickets, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = api::ListTicketsRequest {
            min_position: min_position.clone(),
            page_size: PAGE,
            page_token,
            ..Default::default()
        };
        let page = history.list_tickets(request).await.map_err(|status| failed(status.into()))?.into_inner();
        tickets.extend(page.tickets);
        if page.next_page_token.is_empty() {
            return Ok(tickets);
        }
        page_token = page.next_page_token;
    }
}

/// A ticket's row after an event that was written since we folded.
fn as_of(data: &Path, id: TicketId, revision: u64) -> Result<Option<api::TicketSummary>, Failure> {
    let reader = data::reader(data)?;
    let mut folded: Option<Ticket> = None;
    for kind in [Kind::Complaint, Kind::Fault, Kind::Install] {
        let stream = data::ticket_stream(kind, id)?;
        let mut from = 0;
        loop {
            let page = reader.read_stream(&stream, from, Direction::Forward, EVENTS)?;
            for event in page.iter().filter(|event| event.revision <= revision) {
                let happened = duban_projections::ticket_event(event).map_err(Failure::broken)?;
                let meta = duban_projections::meta(event).map_err(Failure::broken)?;
                folded = ticket::evolve(folded, &happened, &meta);
            }
            match page.last() {
                Some(last) if page.len() == EVENTS && last.revision < revision => from = last.revision + 1,
                _ => break,
            }
        }
    }
    Ok(folded.map(|ticket| summary(&Row::of(&ticket, Kept::NEW, None))))
}
