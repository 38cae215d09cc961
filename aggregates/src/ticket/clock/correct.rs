//! What a corrected fact does to clocks (domain.md section 3, Corrections): a stored deadline never becomes
//! earlier, a later one is restated, and a breach that proves false is withdrawn beside itself.

use jiff::Timestamp;

use super::follow::{entry_of, restated};
use super::table::TABLE;
use super::{Clock, Event, Status, Subject, Trigger};
use crate::calendar::{self, Deadline, Target};
use crate::ids::ClockNo;
use crate::ticket::draft::Draft;
use crate::ticket::intake::Fact;
use crate::ticket::{fault, install};
use crate::words::ClockKind;

pub(crate) fn follow(draft: &mut Draft<'_>, fact: &Fact, occurred_at: Timestamp) {
    let trigger = Trigger::of_fact(fact);
    let waiting = TABLE.iter().filter(|row| trigger.is_some_and(|trigger| row.met_by.contains(&trigger)));
    for row in waiting {
        withdraw_breaches(draft, row.kind, occurred_at);
    }
    match fact {
        Fact::Fault(fault::Fact::ArrearsPaid { .. }) => paid_later(draft, occurred_at),
        Fact::Category { .. } => other_category(draft),
        Fact::Fault(
            fault::Fact::ServiceUp
            | fault::Fact::LineTested { .. }
            | fault::Fact::Repaired { .. }
            | fault::Fact::TerminalJudged { .. },
        )
        | Fact::Install(install::Fact::MilestoneReached { .. } | install::Fact::AppointmentEnded { .. }) => {}
    }
}

/// It happened in the clock's time after all.
fn withdraw_breaches(draft: &mut Draft<'_>, kind: ClockKind, at: Timestamp) {
    let on_time = |clock: &&Clock| {
        let start = &clock.start;
        start.kind == kind && clock.is_breached() && start.started_at <= at && at <= start.due
    };
    let clocks: Vec<ClockNo> =
        draft.ticket.clocks.iter().filter(on_time).map(|clock| clock.start.clock).collect();
    for clock in clocks {
        draft.push(Event::BreachWithdrawn { clock, at });
    }
}

/// Payment was later than recorded, and so is the moment by which service had to be back.
fn paid_later(draft: &mut Draft<'_>, paid_at: Timestamp) {
    let Some(clock) = draft.ticket.clock(ClockKind::Restore, Subject::Ticket) else { return };
    let start = &clock.start;
    let target = start.target;
    if matches!(target, Target::Moment(_)) {
        return;
    }
    let new = calendar::resume(target, paid_at, start.warn_percent, &clock.pauses, draft.context.calendar);
    match clock.status {
        Status::Running | Status::Paused { .. } => restate(draft, &[(start.clock, new)]),
        Status::Breached { withdrawn: false } => {
            let up = draft.ticket.fault.service_up.filter(|(up, _)| *up <= new.due);
            if let Some((at, _)) = up {
                let clock = start.clock;
                draft.push(Event::BreachWithdrawn { clock, at });
            }
        }
        Status::Breached { .. } | Status::Met { .. } | Status::Cancelled => {}
    }
}

/// The category chose the targets: each clock is stated again by the edition that started it.
fn other_category(draft: &mut Draft<'_>) {
    let mut later = Vec::new();
    for clock in draft.ticket.clocks.iter().filter(|clock| clock.is_live()) {
        let start = &clock.start;
        let subject = if start.kind == ClockKind::Order { Subject::Ticket } else { start.subject };
        let set_by_policy = !matches!(start.target, Target::Moment(_) | Target::Day(_));
        let edition = draft.context.policy.edition(&start.policy).filter(|_| set_by_policy);
        let entry = edition.and_then(|edition| entry_of(edition, &draft.ticket, start.kind, subject));
        if let Some(entry) = entry.filter(|entry| entry.target != start.target) {
            let calendar = draft.context.calendar;
            let new =
                calendar::resume(entry.target, start.started_at, start.warn_percent, &clock.pauses, calendar);
            later.push((start.clock, new));
        }
    }
    restate(draft, &later);
}

fn restate(draft: &mut Draft<'_>, new: &[(ClockNo, Deadline)]) {
    for (number, deadline) in new {
        let found = draft.ticket.clock_instance(*number);
        if let Some(clock) = found.filter(|clock| deadline.due > clock.start.due) {
            let event = restated(clock, deadline.due);
            draft.push(event);
        }
    }
}
