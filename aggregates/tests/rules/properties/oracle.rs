//! The invariants, read from the events alone wherever that is possible.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::seconds_between;
use duban_aggregates::ids::{ClockNo, EmployeeId, OrderNo, UnitId};
use duban_aggregates::meta::Meta;
use duban_aggregates::ticket::custody::Holder;
use duban_aggregates::ticket::state::Ticket;
use duban_aggregates::ticket::verdict::{self, Finding};
use duban_aggregates::ticket::{Event, chain, clock, contact, gate, intake, order};
use duban_aggregates::words::{Answer, Gate, Stage};

/// What one command added: `was` is the ticket before it, `length` how many events there were.
pub(super) fn check_step(was: Option<&Ticket>, history: &[(Meta, Event)], length: usize) {
    let new = &history[length..];
    let merged =
        new.iter().any(|(_, event)| matches!(event, Event::Intake(intake::Event::MergeReceived { .. })));
    let mut dues: BTreeMap<ClockNo, Timestamp> = BTreeMap::new();
    for clock in was.iter().flat_map(|ticket| &ticket.clocks) {
        dues.insert(clock.start.clock, clock.start.due);
    }
    for (index, (meta, event)) in new.iter().enumerate() {
        match event {
            Event::Clock(clock::Event::Started(start)) => {
                assert!(dues.insert(start.clock, start.due).is_none(), "a clock starts once");
            }
            Event::Clock(
                clock::Event::Resumed { clock, due, .. } | clock::Event::Restated { clock, due, .. },
            ) => {
                let stored = dues.insert(*clock, *due).expect("a clock that started");
                assert!(merged || *due >= stored, "clock {clock} moved from {stored} to {due}");
            }
            Event::Chain(chain::Event::Closed { certificate }) => {
                assert_eq!(certificate.gates.len(), 5);
                for (held, gate) in certificate.gates.iter().zip(Gate::ALL) {
                    assert_eq!(held.gate, gate);
                    let nothing_to_carry_out =
                        matches!(gate, Gate::PenaltyCarriedOut | Gate::ResponsibilitySettled);
                    assert!(!held.proof.is_empty() || nothing_to_carry_out, "{gate:?} has no proof");
                    let never = matches!(gate, Gate::ProblemSolved | Gate::ResponsibilitySettled);
                    assert!(!(held.waived && never));
                }
                closed_as_it_should_be(&history[..length + index]);
            }
            _ => {}
        }
        assert!(meta.occurred_at <= meta.recorded_at, "nothing happens in the future: {event:?}");
    }
}

/// Gates 1 to 5 from the events alone.
fn closed_as_it_should_be(before: &[(Meta, Event)]) {
    let round =
        before.iter().rposition(|(_, event)| matches!(event, Event::Chain(chain::Event::RoundOpened { .. })));
    let this_round = &before[round.map_or(0, |at| at + 1)..];
    let reopened =
        before.iter().rposition(|(_, event)| matches!(event, Event::Chain(chain::Event::Reopened { .. })));
    let since_opening = &before[reopened.unwrap_or(0)..];
    let has = |events: &[(Meta, Event)], wanted: &dyn Fn(&Event) -> bool| {
        events.iter().any(|(_, event)| wanted(event))
    };
    let waived = |gate: Gate| {
        has(
            since_opening,
            &|event| matches!(event, Event::Gate(gate::Event::Waived { gate: waived, .. }) if *waived == gate),
        )
    };
    let passed = |event: &Event| match event {
        Event::Chain(chain::Event::FeedbackRecorded { answer, .. }) => *answer == Answer::Satisfied,
        Event::Chain(
            chain::Event::UnreachableSignedOff { .. }
            | chain::Event::FeedbackConcluded { .. }
            | chain::Event::DeclinedSignedOff { .. }
            | chain::Event::NobodyToAskSignedOff { .. },
        ) => true,
        _ => false,
    };
    assert!(has(this_round, &passed), "feedback passed in this round");
    for name in ["Dispatched", "Replied", "Inspected", "Reported", "Assessed"] {
        let found = has(this_round, &|event| match event {
            Event::Chain(event) => format!("{event:?}").starts_with(name),
            Event::Order(event) => format!("{event:?}").starts_with(name),
            _ => false,
        });
        assert!(found, "{name} in this round");
    }
    assert!(
        waived(Gate::CauseKnown)
            || has(before, &|event| match event {
                Event::Chain(chain::Event::Investigated { cause, .. }) => *cause != chain::Cause::NotYetKnown,
                Event::Order(order::Event::Replied { cause: Some(cause), .. }) =>
                    *cause != chain::Cause::NotYetKnown,
                _ => false,
            }),
        "a cause was recorded"
    );
    let (mut planned, mut done, mut none_needed, mut served) =
        (BTreeSet::new(), BTreeSet::new(), false, false);
    for (meta, event) in before {
        match event {
            Event::Gate(gate::Event::MeasurePlanned { measure, .. }) => drop(planned.insert(*measure)),
            Event::Gate(gate::Event::MeasureCarriedOut { measure, .. }) => drop(done.insert(*measure)),
            Event::Gate(gate::Event::MeasureFailed { measure, .. }) => {
                planned.remove(measure);
                done.remove(measure);
            }
            Event::Gate(gate::Event::NoMeasureNeeded { .. }) => none_needed = true,
            Event::Gate(gate::Event::MeasureServed { .. }) => served = true,
            Event::Gate(gate::Event::ServedActionFailed { .. }) => served = false,
            Event::Chain(chain::Event::Inspected { .. }) => none_needed |= meta.actor.id.as_str() == "rule",
            _ => {}
        }
    }
    let improved = served || (planned == done && (none_needed || !planned.is_empty()));
    assert!(improved || waived(Gate::ServiceImproved), "service improved");
    verdicts_settled(before, waived(Gate::PenaltyCarriedOut));
}

fn verdicts_settled(before: &[(Meta, Event)], waived: bool) {
    // The last verdict on each unit: whether it is final, and whether it owes a penalty.
    let mut numbers = BTreeMap::new();
    let mut standing: BTreeMap<UnitId, (bool, bool)> = BTreeMap::new();
    let mut owners = BTreeSet::new();
    let mut accepted = BTreeMap::new();
    for (_, event) in before {
        let mut set = |verdict, change: &dyn Fn(&mut (bool, bool))| {
            let unit: &UnitId = &numbers[verdict];
            standing.entry(unit.clone()).and_modify(change);
        };
        match event {
            Event::Chain(chain::Event::Assessed { verdicts, .. }) => {
                for new in verdicts {
                    let blameless = matches!(new.finding, Finding::NotAtFault { .. });
                    numbers.insert(new.verdict, new.unit.clone());
                    standing.insert(new.unit.clone(), (blameless, new.finding.has_penalty()));
                }
            }
            Event::Chain(
                chain::Event::Investigated { units, .. } | chain::Event::Inspected { units, .. },
            ) => {
                owners.extend(units.iter().map(|named| named.unit.clone()));
            }
            Event::Order(order::Event::Issued { order, unit, .. }) => {
                accepted.insert(*order, unit.clone());
            }
            Event::Order(order::Event::Accepted { order }) => drop(owners.insert(accepted[order].clone())),
            Event::Verdict(verdict::Event::BecameFinal { verdict }) => set(verdict, &|known| known.0 = true),
            Event::Verdict(verdict::Event::PenaltyCarriedOut { verdict, .. }) => {
                set(verdict, &|known| known.1 = false);
            }
            Event::Verdict(
                verdict::Event::AppealGranted { verdict, .. }
                | verdict::Event::ErratumRecorded { verdict, .. },
            ) => {
                set(verdict, &|known| known.1 = false);
            }
            _ => {}
        }
    }
    for unit in owners {
        assert!(standing.get(&unit).is_some_and(|(is_final, _)| *is_final), "a final verdict on {unit}");
    }
    assert!(waived || standing.values().all(|(_, owes)| !owes), "each penalty carried out");
}

/// What holds over the whole life.
pub(super) fn check_whole(ticket: &Ticket, history: &[(Meta, Event)]) {
    custody_adds_up(ticket, history);
    nobody_judged_their_own_work(history);
    one_verdict_a_clock(history);
    let count = |wanted: fn(&chain::Event) -> bool| {
        history.iter().filter(|(_, event)| matches!(event, Event::Chain(event) if wanted(event))).count()
    };
    let ends = count(is_end);
    let reopened = count(|event| matches!(event, chain::Event::Reopened { .. }));
    assert_eq!(1 + reopened - ends, usize::from(ticket.is_open()), "opened + reopened - ends = open");
    assert_eq!(
        (ticket.reopened, ticket.ends),
        (u32::try_from(reopened).unwrap(), u32::try_from(ends).unwrap())
    );
    if !ticket.is_open() {
        assert!(ticket.orders.iter().all(|order| !order.is_open()), "an end recalls open orders");
        let owed = ticket.receipts_owed();
        let left = |clock: &clock::Clock| {
            clock.is_running()
                && matches!(clock.start.subject, clock::Subject::Request(request) if owed.contains(&request))
        };
        let over = |clock: &clock::Clock| !clock.is_live() || left(clock);
        assert!(ticket.clocks.iter().all(over), "an end cancels clocks, but those of receipts that are owed");
        assert_eq!(ticket.custody.holder(), &Holder::Nobody);
        assert_eq!(ticket.pause, None);
    } else if ticket.stage != Stage::Close && !ticket.dormant {
        let live = |clock: &&clock::Clock| clock.is_live() || clock.is_breached();
        assert!(ticket.clocks.iter().any(|clock| live(&clock)), "an open ticket has its clocks");
    }
    for (before, after) in history.iter().zip(&history[1..]) {
        assert_eq!(before.0.revision + 1, after.0.revision);
        assert!(before.0.recorded_at <= after.0.recorded_at, "recorded time never decreases");
    }
    let ids: BTreeSet<_> = history.iter().map(|(meta, _)| meta.id).collect();
    assert_eq!(ids.len(), history.len(), "event ids are unique");
}

fn is_end(event: &chain::Event) -> bool {
    use chain::Event::{Closed, Merged, Rejected, Withdrawn};
    matches!(event, Closed { .. } | Withdrawn { .. } | Rejected { .. } | Merged { .. })
}

fn custody_adds_up(ticket: &Ticket, history: &[(Meta, Event)]) {
    let now = duban_sample_tickets::walker::after(ticket.last_recorded_at, 12_345);
    let mut open_since = Some(history[0].0.recorded_at);
    let mut open_seconds = 0;
    for (meta, event) in history {
        match event {
            Event::Chain(event) if is_end(event) => {
                open_seconds += seconds_between(open_since.take().unwrap(), meta.recorded_at);
            }
            Event::Chain(chain::Event::Reopened { .. }) => open_since = Some(meta.recorded_at),
            _ => {}
        }
    }
    open_seconds += open_since.map_or(0, |since| seconds_between(since, now));
    assert_eq!(ticket.custody.seconds(now).values().sum::<i64>(), open_seconds, "custody adds up");
}

fn nobody_judged_their_own_work(history: &[(Meta, Event)]) {
    let mut handled: BTreeSet<EmployeeId> = BTreeSet::new();
    let mut named: BTreeSet<(OrderNo, EmployeeId)> = BTreeSet::new();
    for (meta, event) in history {
        let judges = matches!(
            event,
            Event::Chain(
                chain::Event::Inspected { .. }
                    | chain::Event::Assessed { .. }
                    | chain::Event::UnreachableSignedOff { .. }
                    | chain::Event::DeclinedSignedOff { .. }
                    | chain::Event::NobodyToAskSignedOff { .. }
                    | chain::Event::NotProvidedConsented { .. }
                    | chain::Event::FeedbackConcluded { .. },
            ) | Event::Gate(gate::Event::Waived { .. } | gate::Event::MeasureFailed { .. })
                | Event::Order(order::Event::DoneByStruck { .. })
                | Event::Verdict(
                    verdict::Event::AppealGranted { .. }
                        | verdict::Event::AppealRefused { .. }
                        | verdict::Event::ErratumRecorded { .. },
                )
        );
        assert!(
            !(judges
                && (handled.contains(&meta.actor.id.folded())
                    || named.iter().any(|(_, person)| *person == meta.actor.id.folded()))),
            "{} judged own work: {event:?}",
            meta.actor.id
        );
        let handles = match event {
            Event::Intake(intake::Event::TakenIn(_)) | Event::Fault(_) | Event::Install(_) => true,
            Event::Contact(contact::Event::CustomerContacted { .. }) => true,
            Event::Chain(event) => matches!(
                event,
                chain::Event::Investigated { .. }
                    | chain::Event::Dispatched { .. }
                    | chain::Event::FeedbackRecorded { .. }
                    | chain::Event::ContactAttempted { .. }
                    | chain::Event::ReplySentBack { .. }
            ),
            Event::Order(order::Event::Replied { order, done_by, .. }) => {
                named.extend(done_by.iter().map(|person| (*order, person.folded())));
                true
            }
            Event::Order(order::Event::DoneByStruck { order, person, .. }) => {
                named.remove(&(*order, person.folded()));
                false
            }
            Event::Order(order::Event::Accepted { .. } | order::Event::Issued { .. }) => true,
            _ => false,
        };
        if handles && !meta.actor.role.is_system() {
            handled.insert(meta.actor.id.folded());
        }
    }
}

fn one_verdict_a_clock(history: &[(Meta, Event)]) {
    let mut verdicts: BTreeMap<ClockNo, bool> = BTreeMap::new();
    let mut withdrawn = BTreeSet::new();
    for (_, event) in history {
        let Event::Clock(event) = event else { continue };
        match event {
            clock::Event::Met { clock, .. } => {
                assert_eq!(verdicts.insert(*clock, false), None, "clock {clock} has two verdicts");
            }
            clock::Event::Breached { clock, .. } => {
                assert_eq!(verdicts.insert(*clock, true), None, "clock {clock} has two verdicts");
            }
            clock::Event::BreachWithdrawn { clock, .. } => {
                assert_eq!(verdicts.get(clock), Some(&true), "only a breach is withdrawn");
                assert!(withdrawn.insert(*clock), "a breach is withdrawn once");
            }
            clock::Event::Cancelled { clock }
            | clock::Event::Paused { clock }
            | clock::Event::Warned { clock, .. } => {
                assert_eq!(verdicts.get(clock), None, "a verdict is final: clock {clock} {event:?}");
            }
            _ => {}
        }
    }
}
