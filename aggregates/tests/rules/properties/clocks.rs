//! What meets and what cancels a clock, read from the events a second time, clock by clock: the table's oracle.

use jiff::Timestamp;

use duban_aggregates::meta::Meta;
use duban_aggregates::ticket::clock::trigger::signals;
use duban_aggregates::ticket::clock::{self, Start, Subject};
use duban_aggregates::ticket::{self, Event, Ticket, chain, contact, fault, install, order};
use duban_aggregates::words::{Answer, ClockKind, Milestone, ReceiptKind, Stage};

/// The table says of every event and every clock what the oracle says. How often a clock was met or cancelled.
pub(super) fn follow_the_oracle(history: &[(Meta, Event)]) -> usize {
    let mut ticket: Option<Ticket> = None;
    let mut starts: Vec<Start> = Vec::new();
    let mut said = 0;
    for (meta, event) in history {
        let was = ticket.as_ref().map(|ticket| ticket.stage);
        ticket = ticket::evolve(ticket, event, meta);
        let Some(ticket) = &ticket else { continue };
        let signals = signals(event, ticket, was, meta.recorded_at);
        for start in &starts {
            let met = signals.iter().find(|signal| signal.meets(start)).map(|signal| signal.at);
            assert_eq!(met, meets(start, meta, event, was, ticket), "{event:?} meets {start:?}");
            let cancelled = signals.iter().any(|signal| signal.cancels(start));
            assert_eq!(cancelled, cancels(start, event, was, ticket), "{event:?} cancels {start:?}");
            said += usize::from(met.is_some()) + usize::from(cancelled);
        }
        if let Event::Clock(clock::Event::Started(start)) = event {
            starts.push((**start).clone());
        }
    }
    said
}

/// Feedback passes by it.
fn passes(event: &Event) -> bool {
    match event {
        Event::Chain(chain::Event::FeedbackRecorded { answer, .. }) => *answer == Answer::Satisfied,
        Event::Chain(
            chain::Event::UnreachableSignedOff { .. }
            | chain::Event::FeedbackConcluded { .. }
            | chain::Event::DeclinedSignedOff { .. }
            | chain::Event::NobodyToAskSignedOff { .. },
        ) => true,
        _ => false,
    }
}

/// The moment at which an event gives a clock what it waits for.
fn meets(
    start: &Start,
    meta: &Meta,
    event: &Event,
    was: Option<Stage>,
    ticket: &Ticket,
) -> Option<Timestamp> {
    let now = meta.recorded_at;
    let passed = passes(event);
    let answered = matches!(event, Event::Chain(chain::Event::FeedbackRecorded { .. }));
    match (start.kind, start.subject) {
        (ClockKind::Stage, Subject::Stage(stage)) => {
            let done = match stage {
                // Whatever the answer or the judgement is, the department has done its part.
                Stage::Feedback => answered,
                Stage::Inspect => matches!(event, Event::Chain(chain::Event::Inspected { .. })),
                _ => false,
            };
            let advanced = was == Some(stage) && ticket.stage > stage && ticket.is_open();
            (done || advanced).then_some(now)
        }
        (ClockKind::Order, Subject::Order(number)) => {
            matches!(event, Event::Order(order::Event::Replied { order, .. }) if *order == number)
                .then_some(now)
        }
        (ClockKind::Outside, Subject::Request(number)) => {
            let receipt = |event: &contact::Event| {
                matches!(event, contact::Event::ReceiptRecorded { request, kind, .. }
                    if *request == number && *kind != ReceiptKind::Interim)
            };
            matches!(event, Event::Contact(event) if receipt(event)).then_some(now)
        }
        (ClockKind::Contact, _) => match event {
            Event::Contact(
                contact::Event::CustomerContacted { occurred_at, .. }
                | contact::Event::DelayNotified { occurred_at, .. },
            ) => Some(*occurred_at),
            _ => answered.then_some(now),
        },
        (ClockKind::Answer, _) => answered.then_some(now),
        (ClockKind::Repair | ClockKind::Restore, _) => match event {
            Event::Fault(fault::Event::FactRecorded {
                fact: fault::Fact::ServiceUp, occurred_at, ..
            }) => Some(*occurred_at).filter(|at| ticket.fault.may_prove(*at)),
            _ => None,
        },
        (ClockKind::Activation, _) => match event {
            Event::Install(install::Event::FactRecorded {
                fact: install::Fact::MilestoneReached { milestone: Milestone::Activated },
                occurred_at,
                ..
            }) => Some(*occurred_at),
            _ => None,
        },
        (ClockKind::Ticket | ClockKind::Appealable, _) => passed.then_some(now),
        (ClockKind::Closing, _) => matches!(event, Event::Chain(chain::Event::Closed { .. })).then_some(now),
        (ClockKind::Stage | ClockKind::Order | ClockKind::Outside, _) => None,
    }
}

/// What makes sure that a live clock's work will not come: the ticket's end, a way back, an order taken away.
fn cancels(start: &Start, event: &Event, was: Option<Stage>, ticket: &Ticket) -> bool {
    let ended = matches!(
        event,
        Event::Chain(
            chain::Event::Closed { .. }
                | chain::Event::Withdrawn { .. }
                | chain::Event::Rejected { .. }
                | chain::Event::Merged { .. }
        )
    );
    let round = matches!(event, Event::Chain(chain::Event::RoundOpened { .. }));
    let this = match (start.kind, start.subject) {
        (ClockKind::Stage, Subject::Stage(stage)) => {
            let left = ticket.stage < stage || (round && ticket.stage == stage);
            was == Some(stage) && left && ticket.is_open()
        }
        (ClockKind::Order, Subject::Order(number)) => matches!(
            event,
            Event::Order(
                order::Event::Released { order, .. }
                    | order::Event::Recalled { order, .. }
                    | order::Event::ReturnGranted { order }
            ) if *order == number
        ),
        (ClockKind::Closing, _) => round,
        // A service that cannot be given will not come.
        (ClockKind::Repair | ClockKind::Activation | ClockKind::Restore, _) => {
            passes(event) && ticket.round.not_provided_consented().is_some()
        }
        // Its receipt is owed after an end too; by the other ticket after a merge.
        (ClockKind::Outside, _) => return matches!(event, Event::Chain(chain::Event::Merged { .. })),
        (ClockKind::Appealable, _) => {
            matches!(event, Event::Chain(chain::Event::FeedbackRecorded { answer: Answer::Dissatisfied, .. }))
        }
        _ => false,
    };
    ended || this
}
