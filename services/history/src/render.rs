//! Answers about a ticket's history, for programs and for people: the same whether a server gave them or a directory.

mod custody_bar;
mod event;
mod explanation;
mod lines;
mod state;

use duban_proto::api::v1 as api;
use serde_json::Value;
use uuid::Uuid;

pub use self::event::EventEntry;
use self::event::entries;
use self::explanation::{Explained, Explanation};
pub use self::lines::{SHANGHAI, local};
use self::state::TicketState;
use crate::as_of::AsOf;

/// An answer that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer cannot be read: {0}")]
pub struct UnreadableAnswer(&'static str);

/// An answer, ready to be printed.
#[derive(Clone, Debug)]
pub struct Rendered {
    entries: Vec<EventEntry>,
    json: Value,
    lines: Vec<String>,
    /// Whether what was explained comes out again as it is stored; true of what is no explanation.
    pub agrees: bool,
}

impl Rendered {
    /// Every event as an object, then the rest as one.
    #[must_use]
    pub fn json_lines(&self) -> Vec<Value> {
        self.entries.iter().map(EventEntry::line).chain([self.json.clone()]).collect()
    }

    /// Every event, an empty line, then the rest; for a customer whose texts may have been erased.
    #[must_use]
    pub fn text_lines(&self, erased: bool) -> Vec<String> {
        let events = lines::event_lines(&self.entries, erased).into_iter();
        events.chain([String::new()]).chain(self.lines.iter().cloned()).collect()
    }
}

/// A ticket as it stood, and those of its events that count for it.
///
/// # Errors
/// [`UnreadableAnswer`].
pub fn history(
    ticket: &api::Ticket,
    events: Vec<api::HistoryEvent>,
    as_of: AsOf,
) -> Result<Rendered, UnreadableAnswer> {
    let known = revisions(&events);
    let mut entries = entries(events, &known)?;
    entries.retain(|entry| {
        as_of.revision.is_none_or(|last| entry.revision <= last)
            && as_of.at.is_none_or(|at| entry.occurred_at <= at)
            && as_of.known_at.is_none_or(|at| entry.recorded_at <= at)
    });
    let state = TicketState::of(ticket).ok_or(UnreadableAnswer("it holds no summary"))?;
    let lines = lines::state_lines(&state);
    let json = serde_json::json!({ "state": state });
    Ok(Rendered { entries, json, lines, agrees: true })
}

/// What lies between two moments. `events` are all of the ticket's.
///
/// # Errors
/// [`UnreadableAnswer`].
pub fn difference(
    mut answer: api::DiffTicketResponse,
    events: &[api::HistoryEvent],
) -> Result<Rendered, UnreadableAnswer> {
    let entries = entries(std::mem::take(&mut answer.events), &revisions(events))?;
    let json = explanation::difference_json(&answer);
    let lines = explanation::difference_lines(&answer);
    Ok(Rendered { entries, json, lines, agrees: true })
}

/// What a clock's verdict rests on. `events` are all of the ticket's.
///
/// # Errors
/// [`UnreadableAnswer`].
pub fn explained_clock(
    answer: api::ExplainClockResponse,
    events: &[api::HistoryEvent],
) -> Result<Rendered, UnreadableAnswer> {
    explained(Explanation::Clock(answer), events)
}

/// What a verdict on a unit rests on. `events` are all of the ticket's.
///
/// # Errors
/// [`UnreadableAnswer`].
pub fn explained_verdict(
    answer: api::ExplainVerdictResponse,
    events: &[api::HistoryEvent],
) -> Result<Rendered, UnreadableAnswer> {
    explained(Explanation::Verdict(answer), events)
}

fn explained(answer: Explanation, events: &[api::HistoryEvent]) -> Result<Rendered, UnreadableAnswer> {
    let explained = Explained::read(answer, &revisions(events))?;
    let (json, lines, agrees) = (explained.json(), explanation::lines(&explained), explained.agrees());
    Ok(Rendered { entries: explained.entries, json, lines, agrees })
}

/// Events by their ids.
fn revisions(events: &[api::HistoryEvent]) -> Vec<(Uuid, u64)> {
    let events = events.iter().filter_map(|event| event.event.as_ref());
    events.filter_map(|event| Some((event.id.parse().ok()?, event.revision))).collect()
}
