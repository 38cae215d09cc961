//! Histories from a data directory, beside whoever writes to it.

use std::path::Path;

use duban_aggregates::ids::TicketId;
use duban_aggregates::intake::Kind;
use duban_aggregates::ticket::{self, Ticket};
use duban_log::{Direction, Reader, Recorded};
use duban_server::seal::Sealer;
use duban_server::time::{Clock, SystemClock};
use serde_json::Value;
use uuid::Uuid;

use super::state::{State, moments};
use super::{Bound, Entry, History, HistoryError, texts};
use crate::data;
use crate::failure::Failure;

/// Events read at a time.
const PAGE: usize = 512;

pub(super) fn read(
    data: &Path,
    master_key: Option<&Path>,
    id: Uuid,
    bound: Bound,
) -> Result<History, Failure> {
    let reader = data::reader(data)?;
    let sealer = data::opener(data, master_key)?;
    let events = events(&reader, id)?;
    if events.is_empty() {
        return Err(Failure::misuse(HistoryError::NoTicket(id)));
    }
    let mut entries = Vec::new();
    let mut folded: Option<Ticket> = None;
    for event in &events {
        let undecodable = |source| {
            Failure::broken(HistoryError::Undecodable { ticket: id, revision: event.revision, source })
        };
        let entry = entry(event, sealer.as_ref()).map_err(undecodable)?;
        if bound.holds(entry.revision, entry.occurred_at, entry.recorded_at) {
            let decoded = duban_codec::decode_ticket(&event.kind, &event.payload).map_err(undecodable)?;
            let meta = duban_codec::decode_meta(&duban_projections::stored(event)).map_err(undecodable)?;
            folded = ticket::evolve(folded, &decoded, &meta);
            entries.push(entry);
        }
    }
    let nothing = || Failure::misuse(HistoryError::Nothing(id));
    let ticket = folded.ok_or_else(nothing)?;
    let last = ticket.last_recorded_at;
    let now = match bound {
        Bound { revision: Some(_), .. } => last,
        Bound { at: Some(at), .. } | Bound { known_at: Some(at), .. } => at,
        // A log written under a virtual clock may be ahead of this machine.
        Bound { revision: None, at: None, known_at: None } => SystemClock::starting_at(last).now(),
    };
    let erased = sealer.is_some_and(|sealer| sealer.is_erased(ticket.intake.customer.id));
    Ok(History { entries, state: State::of(&ticket, now), erased })
}

fn events(reader: &Reader, id: Uuid) -> Result<Vec<Recorded>, Failure> {
    let mut events = Vec::new();
    for kind in [Kind::Complaint, Kind::Fault, Kind::Install] {
        let stream = data::ticket_stream(kind, TicketId(id))?;
        loop {
            let page = reader.read_stream(&stream, events.len() as u64, Direction::Forward, PAGE)?;
            let more = page.len() == PAGE;
            events.extend(page);
            if !more {
                break;
            }
        }
        if !events.is_empty() {
            break;
        }
    }
    Ok(events)
}

fn entry(event: &Recorded, sealer: Option<&Sealer>) -> Result<Entry, duban_codec::CodecError> {
    let envelope = duban_codec::to_event(&duban_projections::stored(event))?;
    let (occurred_at, recorded_at) = moments(&envelope).unwrap_or_default();
    // The codec has just written it.
    let mut json: Value = serde_json::from_str(&duban_codec::to_json(&envelope)?).unwrap_or_default();
    texts::open(&mut json, sealer);
    Ok(Entry { revision: event.revision, occurred_at, recorded_at, kind: event.kind.to_string(), json })
}
