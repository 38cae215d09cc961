//! A ticket in a list, as answers say it.

use duban_aggregates::ticket::state::End;
use duban_codec::Wire;
use duban_projections::Row;
use duban_proto::api::v1 as api;

/// A ticket in a list.
#[must_use]
pub fn ticket_summary(row: &Row) -> api::TicketSummary {
    api::TicketSummary {
        ticket_id: row.ticket.to_string(),
        revision: row.revision,
        kind: row.kind.put(),
        channel: row.channel.put(),
        category: row.category.clone(),
        severity: row.severity.put(),
        taken_in_at: row.taken_in_at.put(),
        state: ticket_state(row.ended.as_ref()).into(),
        stage: row.stage.put(),
        round: row.round,
        holder: row.holder.clone(),
        next_due: row.next_due.put(),
        breaches: row.breaches,
        paused: row.paused,
        area: row.area.put(),
        ended_at: row.ended_at.put(),
    }
}

/// Whether a ticket is open, or how it ended, as answers say it.
#[must_use]
pub fn ticket_state(ended: Option<&End>) -> api::TicketState {
    match ended {
        None => api::TicketState::Open,
        Some(End::Closed) => api::TicketState::Closed,
        Some(End::Withdrawn) => api::TicketState::Withdrawn,
        Some(End::Rejected) => api::TicketState::Rejected,
        Some(End::Merged(_)) => api::TicketState::Merged,
    }
}
