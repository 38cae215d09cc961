//! Everything that happened, as a reader gets it: to compare with what was read before, and to count.

use std::collections::BTreeMap;

use duban_proto::api::v1 as api;
use tonic::Status;

use crate::wire::Wire;
use duban_client::TokenHolder;

/// Events of tickets, by ticket.
pub type Histories = BTreeMap<String, Vec<api::HistoryEvent>>;

/// The largest page there is.
const PAGE: u32 = 1_000;

/// TokenHolder reads: an auditor reads everything.
#[must_use]
pub fn auditor() -> TokenHolder {
    TokenHolder::new("auditor", "audit")
}

/// All events of a ticket, oldest first.
///
/// # Errors
/// The server's status.
pub async fn events(wire: &Wire, ticket: &str, min_position: &str) -> Result<Vec<api::HistoryEvent>, Status> {
    let mut events = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = api::ListEventsRequest {
            ticket_id: ticket.to_owned(),
            min_position: min_position.to_owned(),
            page_size: PAGE,
            page_token,
        };
        let page: api::ListEventsResponse =
            wire.ask("HistoryService/ListEvents", &auditor(), &request).await?;
        events.extend(page.events);
        if page.next_page_token.is_empty() {
            return Ok(events);
        }
        page_token = page.next_page_token;
    }
}

/// All tickets, oldest first.
///
/// # Errors
/// The server's status.
pub async fn tickets(wire: &Wire, min_position: &str) -> Result<Vec<api::TicketSummary>, Status> {
    tickets_that(wire, api::TicketFilter::default(), min_position).await
}

/// All tickets that pass a filter, oldest first.
///
/// # Errors
/// The server's status.
pub async fn tickets_that(
    wire: &Wire,
    filter: api::TicketFilter,
    min_position: &str,
) -> Result<Vec<api::TicketSummary>, Status> {
    let mut tickets = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = api::ListTicketsRequest {
            filter: Some(filter.clone()),
            min_position: min_position.to_owned(),
            page_size: PAGE,
            page_token,
            order_by: String::new(),
            with_total: false,
        };
        let page: api::ListTicketsResponse =
            wire.ask("HistoryService/ListTickets", &auditor(), &request).await?;
        tickets.extend(page.tickets);
        if page.next_page_token.is_empty() {
            return Ok(tickets);
        }
        page_token = page.next_page_token;
    }
}

/// The histories of all tickets.
///
/// # Errors
/// The server's status.
pub async fn all(wire: &Wire, min_position: &str) -> Result<Histories, Status> {
    let mut histories = Histories::new();
    for ticket in tickets(wire, min_position).await? {
        let events = events(wire, &ticket.ticket_id, min_position).await?;
        histories.insert(ticket.ticket_id, events);
    }
    Ok(histories)
}

/// The log's last position, its size and the root of its tree.
///
/// # Errors
/// The server's status.
pub async fn head(wire: &Wire) -> Result<api::GetHeadResponse, Status> {
    wire.ask("HistoryService/GetHead", &auditor(), &api::GetHeadRequest::default()).await
}

/// How often each type of event happened.
#[must_use]
pub fn types(histories: &Histories) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for event in histories.values().flatten().filter_map(|event| event.event.as_ref()) {
        *counts.entry(event.r#type.clone()).or_default() += 1;
    }
    counts
}
