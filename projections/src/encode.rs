//! From what the rules decided to what the log keeps, where no runner is between.

use std::sync::Arc;

use duban_aggregates::meta::Meta;
use duban_aggregates::ticket::{self, Event, Ticket, order};
use duban_codec::Lineage;
use duban_log::NewEvent;

/// A ticket's events as the log keeps them, from its first on, and the ticket after them.
pub fn ticket_to_store<'e>(
    history: impl IntoIterator<Item = (&'e Meta, &'e Event)>,
    policy_version: &str,
) -> (Vec<NewEvent>, Option<Ticket>) {
    let mut ticket: Option<Ticket> = None;
    let mut events = Vec::new();
    for (meta, event) in history {
        ticket = ticket::evolve(ticket, event, meta);
        let (kind, payload) = duban_codec::encode_ticket(event);
        events.push(NewEvent {
            id: meta.id.0,
            kind: Arc::from(kind),
            occurred_at: meta.occurred_at.as_microsecond(),
            recorded_at: meta.recorded_at.as_microsecond(),
            tags: ticket.as_ref().map(|ticket| ticket_tags(ticket, event)).unwrap_or_default(),
            metadata: duban_codec::encode_metadata(meta, &Lineage::default(), policy_version),
            payload: payload.into(),
        });
    }
    (events, ticket)
}

/// The tags of a ticket's event, by the ticket after it: what streams filter on.
#[must_use]
pub fn ticket_tags(ticket: &Ticket, event: &Event) -> Vec<(Arc<str>, Arc<str>)> {
    let tag = |key: &str, value: &str| (Arc::from(key), Arc::from(fitting(value)));
    let mut tags = vec![
        tag("kind", ticket.kind().name()),
        tag("category", &ticket.intake.category),
        tag("province", &ticket.intake.area.province),
        tag("area", &ticket.intake.area.district),
        tag("stage", ticket.stage.name()),
    ];
    if let Some(unit) = event_unit(ticket, event) {
        tags.push(tag("unit", unit));
    }
    tags
}

/// What a tag has room for. Districts are whatever the desk typed, and no event is refused for its tags.
fn fitting(value: &str) -> &str {
    let mut end = value.len().min(duban_log::TAG_VALUE_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

/// The unit that an event is about.
fn event_unit<'t>(ticket: &'t Ticket, event: &'t Event) -> Option<&'t str> {
    match event {
        Event::Order(event) => {
            let number = match event {
                order::Event::Issued { order, .. }
                | order::Event::Accepted { order }
                | order::Event::Replied { order, .. }
                | order::Event::DoneByStruck { order, .. }
                | order::Event::ReturnRequested { order, .. }
                | order::Event::ReturnGranted { order }
                | order::Event::ReturnRefused { order, .. }
                | order::Event::Released { order, .. }
                | order::Event::Recalled { order, .. }
                | order::Event::ExtensionAsked { order, .. }
                | order::Event::ExtensionGranted { order, .. }
                | order::Event::ExtensionRefused { order, .. }
                | order::Event::WaitingForAssist { order, .. } => *order,
            };
            ticket.order(number).map(|order| order.unit.as_str())
        }
        _ => ticket.lead().map(|lead| lead.unit.as_str()),
    }
}
