//! Histories from a server, with its texts as far as the token's role may read them.

use std::path::Path;

use crate::departments::{CallError, Office, Tokens};
use duban_proto::api::v1 as api;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::state::{State, moments};
use super::{Bound, Entry, History, HistoryError, texts};
use crate::data;
use crate::failure::Failure;

/// Events asked for at a time.
const PAGE: u32 = 500;

/// Fields of an envelope around its payload.
const AROUND: [&str; 9] =
    ["id", "stream", "revision", "position", "type", "occurredAt", "recordedAt", "metadata", "tags"];

pub(super) fn read(server: &str, tokens: &Path, id: Uuid, bound: Bound) -> Result<History, Failure> {
    let tokens = Tokens::read(tokens).map_err(failed)?;
    data::runtime()?.block_on(ask(server, tokens, id, bound))
}

/// What cannot work however often it is asked is wrong use.
fn failed(error: CallError) -> Failure {
    match &error {
        CallError::Refused(status) if status.code() != tonic::Code::NotFound => Failure::broken(error),
        CallError::Stuck { .. } => Failure::broken(error),
        _ => Failure::misuse(error),
    }
}

async fn ask(server: &str, tokens: Tokens, id: Uuid, bound: Bound) -> Result<History, Failure> {
    let office = Office::connect(server, tokens).await.map_err(failed)?;
    let mut history = office.history().map_err(failed)?;
    let put =
        |at: Timestamp| prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() };
    let request = api::GetTicketRequest {
        ticket_id: id.to_string(),
        revision: bound.revision,
        known_at: bound.known_at.map(put),
        at: bound.at.map(put),
        ..Default::default()
    };
    let refused = |status: tonic::Status| failed(status.into());
    let ticket = history.get_ticket(request).await.map_err(refused)?.into_inner().ticket;
    let ticket = ticket.ok_or(HistoryError::Answer("it holds no ticket")).map_err(Failure::broken)?;
    let state = State::answered(&ticket).ok_or(HistoryError::Answer("it holds no summary"));
    let state = state.map_err(Failure::broken)?;
    let mut entries = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = api::ListEventsRequest {
            ticket_id: id.to_string(),
            page_size: PAGE,
            page_token,
            ..Default::default()
        };
        let page = history.list_events(request).await.map_err(refused)?.into_inner();
        for event in page.events {
            let entry = entry(event).map_err(Failure::broken)?;
            if bound.holds(entry.revision, entry.occurred_at, entry.recorded_at) {
                entries.push(entry);
            }
        }
        if page.next_page_token.is_empty() {
            let erased = ticket.customer.is_some_and(|customer| customer.erased);
            return Ok(History { entries, state, erased });
        }
        page_token = page.next_page_token;
    }
}

fn entry(from: api::HistoryEvent) -> Result<Entry, HistoryError> {
    let event = from.event.ok_or(HistoryError::Answer("an event is missing"))?;
    let (occurred_at, recorded_at) =
        moments(&event).ok_or(HistoryError::Answer("an event has no moments"))?;
    let json = duban_codec::to_json(&event).ok().and_then(|json| serde_json::from_str(&json).ok());
    let mut json: Value = json.ok_or(HistoryError::Answer("an event is no event of this version"))?;
    let payload = json.as_object_mut().and_then(|fields| {
        fields.iter_mut().find(|(name, _)| !AROUND.contains(&name.as_str())).map(|(_, payload)| payload)
    });
    if let Some(payload) = payload {
        for text in &from.texts {
            texts::put(payload, &text.path, text.text.as_deref());
        }
    }
    texts::open(&mut json, None);
    Ok(Entry { revision: event.revision, occurred_at, recorded_at, kind: event.r#type, json })
}

/// The payload of an envelope: its one field that every envelope has not.
pub(super) fn payload(json: &Value) -> Option<&Value> {
    json.as_object()?.iter().find(|(name, _)| !AROUND.contains(&name.as_str())).map(|(_, payload)| payload)
}
