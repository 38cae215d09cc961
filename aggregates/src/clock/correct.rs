//! What a corrected fact does to clocks (domain.md section 3, Corrections): a stored deadline never becomes
//! earlier, a later one is restated, and a breach that proves false is withdrawn beside itself.

use jiff::Timestamp;

use super::run::{entry_of, restated};
use super::{Clock, ClockKind, Event, Status, Subject};
use crate::calendar::{self, Deadline, Target};
use crate::fault;
use crate::ids::ClockNo;
use crate::install::{self, Milestone};
use crate::intake::Fact;
use crate::steps::Steps;

pub(crate) fn follow(steps: &mut Steps<'_>, fact: &Fact, occurred_at: Timestamp) {
    match fact {
        Fact::Fault(fault::Fact::ServiceUp) => {
            withdraw_breaches(steps, ClockKind::Repair, occurred_at);
            withdraw_breaches(steps, ClockKind::Restore, occurred_at);
        }
        Fact::Install(install::Fact::MilestoneReached { milestone: Milestone::Activated }) => {
            withdraw_breaches(steps, ClockKind::Activation, occurred_at);
        }
        Fact::Fault(fault::Fact::ArrearsPaid { .. }) => paid_later(steps, occurred_at),
        Fact::Category { .. } => other_category(steps),
        Fact::Fault(
            fault::Fact::LineTested { .. }
            | fault::Fact::Repaired { .. }
            | fault::Fact::TerminalJudged { .. },
        )
        | Fact::Install(install::Fact::MilestoneReached { .. } | install::Fact::AppointmentEnded { .. }) => {}
    }
}

/// It happened in the clock's time after all.
fn withdraw_breaches(steps: &mut Steps<'_>, kind: ClockKind, at: Timestamp) {
    let on_time = |clock: &&Clock| {
        let start = &clock.start;
        start.kind == kind && clock.is_breached() && start.started_at <= at && at <= start.due
    };
    let clocks: Vec<ClockNo> =
        steps.ticket.clocks.iter().filter(on_time).map(|clock| clock.start.clock).collect();
    for clock in clocks {
        steps.push(Event::BreachWithdrawn { clock, at });
    }
}

/// Payment was later than recorded, and so is the moment by which service had to be back.
fn paid_later(steps: &mut Steps<'_>, paid_at: Timestamp) {
    let Some(clock) = steps.ticket.clock(ClockKind::Restore, Subject::Ticket) else { return };
    let start = &clock.start;
    let target = start.target;
    if matches!(target, Target::Moment(_)) {
        return;
    }
    let new = calendar::resume(target, paid_at, start.warn_percent, &clock.pauses, steps.context.calendar);
    match clock.status {
        Status::Running | Status::Paused { .. } => restate(steps, &[(start.clock, new)]),
        Status::Breached { withdrawn: false } => {
            let up = steps.ticket.fault.service_up.filter(|(up, _)| *up <= new.due);
            if let Some((at, _)) = up {
                let clock = start.clock;
                steps.push(Event::BreachWithdrawn { clock, at });
            }
        }
        Status::Breached { .. } | Status::Met { .. } | Status::Cancelled => {}
    }
}

/// The category chose the targets: each clock is stated again by the edition that started it.
fn other_category(steps: &mut Steps<'_>) {
    let mut later = Vec::new();
    for clock in steps.ticket.clocks.iter().filter(|clock| clock.is_live()) {
        let start = &clock.start;
        let subject = if start.kind == ClockKind::Order { Subject::Ticket } else { start.subject };
        let set_by_policy = !matches!(start.target, Target::Moment(_) | Target::Day(_));
        let edition = steps.context.policy.edition(&start.policy).filter(|_| set_by_policy);
        let entry = edition.and_then(|edition| entry_of(edition, &steps.ticket, start.kind, subject));
        if let Some(entry) = entry.filter(|entry| entry.target != start.target) {
            let calendar = steps.context.calendar;
            let new =
                calendar::resume(entry.target, start.started_at, start.warn_percent, &clock.pauses, calendar);
            later.push((start.clock, new));
        }
    }
    restate(steps, &later);
}

fn restate(steps: &mut Steps<'_>, new: &[(ClockNo, Deadline)]) {
    for (number, deadline) in new {
        let found = crate::state::index(number.0).and_then(|index| steps.ticket.clocks.get(index));
        if let Some(clock) = found.filter(|clock| deadline.due > clock.start.due) {
            let event = restated(clock, deadline.due);
            steps.push(event);
        }
    }
}
