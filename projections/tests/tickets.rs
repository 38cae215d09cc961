//! The list of tickets over seeded histories: it says what folding each history says, however it was fed.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::TicketId;
use duban_aggregates::intake::Kind;
use duban_aggregates::policy::Policy;
use duban_aggregates::sample::Walker;
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::{self, Ticket};
use duban_codec::Lineage;
use duban_log::{EventLog, Expected, MemoryLog, NewEvent, Position, StreamName};
use duban_projections::{Counts, Order, Row, Stopped, Tickets};

const PATIENCE: Duration = Duration::from_secs(20);

/// Appends seeded histories, an event of each in turn, and answers the tickets as they end up.
async fn write(log: &MemoryLog, tickets: u32) -> BTreeMap<TicketId, Ticket> {
    let mut walker = Walker::new(7);
    let mut histories = Vec::new();
    for _ in 0..tickets {
        let customer = walker.customer();
        let seal = move |text: &str| {
            // Only its length matters here.
            Sealed { customer, nonce: [0; 12], ciphertext: vec![1; text.len() + 16] }
        };
        let history = walker.history(customer, &seal);
        histories.push((None::<Ticket>, history.into_iter()));
    }
    let mut more = true;
    while more {
        more = false;
        for (ticket, history) in &mut histories {
            let Some((meta, event)) = history.next() else { continue };
            more = true;
            *ticket = ticket::evolve(ticket.take(), &event, &meta);
            let folded = ticket.as_ref().unwrap();
            let stream = StreamName::new(format!("{}-{}", folded.kind().name(), folded.id())).unwrap();
            let (kind, payload) = duban_codec::encode_ticket(&event);
            let stored = NewEvent {
                id: meta.id.0,
                kind: kind.into(),
                occurred_at: meta.occurred_at.as_microsecond(),
                recorded_at: meta.recorded_at.as_microsecond(),
                tags: Vec::new(),
                metadata: duban_codec::encode_metadata(&meta, &Lineage::default(), ""),
                payload: payload.into(),
            };
            let expected = Expected::after(meta.revision.checked_sub(1));
            log.append(&stream, expected, vec![stored]).await.unwrap();
        }
    }
    histories.into_iter().filter_map(|(ticket, _)| ticket).map(|ticket| (ticket.id(), ticket)).collect()
}

fn follow(log: &Arc<MemoryLog>) -> Arc<Tickets> {
    let tickets = Arc::new(Tickets::new(Policy::cn_national(), Calendar::cn()));
    let (reader, log) = (Arc::clone(&tickets), Arc::clone(log) as Arc<dyn EventLog>);
    tokio::spawn(async move { reader.follow(log).await });
    tickets
}

fn all(tickets: &Tickets) -> Vec<Row> {
    tickets.list(&|_| true, Order::OldestFirst, None, usize::MAX).0
}

#[tokio::test]
async fn rows_and_counts_are_what_folding_each_history_says_live_and_rebuilt() {
    let log = Arc::new(MemoryLog::new());
    let live = follow(&log);
    let folded = write(&log, 60).await;
    let head = log.head().position.unwrap();
    live.wait_for(head, PATIENCE).await.unwrap();
    let rebuilt = follow(&log);
    rebuilt.wait_for(head, PATIENCE).await.unwrap();

    assert_eq!(all(&live).len(), folded.len());
    for row in all(&live) {
        assert_eq!(row, Row::of(&folded[&row.ticket]));
    }
    assert_eq!(all(&live), all(&rebuilt));
    let Counts { open, opened, .. } = live.counts();
    assert!(live.counts().add_up(), "{:?}", live.counts());
    assert_eq!(live.counts(), rebuilt.counts());
    assert_eq!(opened, u64::try_from(folded.len()).unwrap());
    assert_eq!(open, u64::try_from(folded.values().filter(|ticket| ticket.is_open()).count()).unwrap());
    let rounds: u64 = folded.values().map(|ticket| u64::from(ticket.round.number)).sum();
    assert_eq!(live.counts().rounds, rounds);
}

#[tokio::test]
async fn pages_join_to_the_whole_in_both_orders_and_matters_are_found() {
    let log = Arc::new(MemoryLog::new());
    let folded = write(&log, 25).await;
    let tickets = follow(&log);
    tickets.wait_for(log.head().position.unwrap(), PATIENCE).await.unwrap();
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let whole = tickets.list(&|row| row.kind != Kind::Install, order, None, usize::MAX).0;
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = tickets.list(&|row| row.kind != Kind::Install, order, after, 3);
            paged.extend(page);
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(paged, whole);
    }
    for ticket in folded.values() {
        let (customer, service) = (ticket.intake.customer.id, ticket.intake.service.number_hash);
        let found = tickets.same_matter(customer, service, &ticket.intake.category);
        assert!(found.iter().any(|row| row.ticket == ticket.id()));
        assert!(tickets.of_customer(customer).iter().any(|row| row.ticket == ticket.id()));
    }
}

#[tokio::test]
async fn a_poisoned_event_stops_the_list_and_whoever_waits_is_told_at_once() {
    let log = Arc::new(MemoryLog::new());
    let folded = write(&log, 2).await;
    let ticket = folded.values().next().unwrap();
    let poison = NewEvent {
        id: ticket.intake_event.0,
        kind: "chain.dissolved.v1".into(),
        occurred_at: 0,
        recorded_at: 0,
        tags: Vec::new(),
        metadata: Vec::new().into(),
        payload: Vec::new().into(),
    };
    let stream = StreamName::new(format!("{}-{}", ticket.kind().name(), ticket.id())).unwrap();
    log.append(&stream, Expected::Revision(ticket.revision), vec![poison]).await.unwrap();
    let tickets = follow(&log);
    let told = tickets.wait_for(Position::new(u64::MAX), Duration::from_secs(600)).await.unwrap_err();
    assert!(matches!(told, Stopped::Poisoned(_)), "{told}");
    assert!(told.to_string().contains("the ticket list stopped"));
}
