//! Clocks follow what happens: each event is read as signals, and each signal does to clocks what the table's rows say.

use jiff::Timestamp;

use super::run::Clock;
use super::table::{About, ClockRow, SetBy, StartRule, TABLE};
use super::trigger::{Signal, signals, signals_on_waking};
use super::{Event, Start, Status, Subject, correct};
use crate::calendar::{self, Deadline, Target, deadline};
use crate::ids::ClockNo;
use crate::policy::{self, Policy};
use crate::ticket::draft::Draft;
use crate::ticket::state::{Ticket, next_number};
use crate::ticket::{self, intake};
use crate::words::{ClockKind, Stage};

/// An imported ticket's clocks start with a department's first command, from now, so that none is late falsely.
pub(crate) fn wake(draft: &mut Draft<'_>) {
    for signal in signals_on_waking(&draft.ticket, draft.at()) {
        hear(draft, signal);
    }
}

/// Lets the clocks follow an event. `was` is the stage before it.
pub(crate) fn follow(draft: &mut Draft<'_>, event: &ticket::Event, was: Option<Stage>) {
    if draft.ticket.dormant {
        return;
    }
    for signal in signals(event, &draft.ticket, was, draft.at()) {
        hear(draft, signal);
    }
    match event {
        ticket::Event::Intake(intake::Event::MergeReceived { deadlines, .. }) if draft.ticket.is_open() => {
            // Orders, stages and requests have deadlines of their own on either ticket.
            for taken in deadlines.iter().filter(|taken| taken.clock.row().about == About::Ticket) {
                take_over(draft, taken.clock, taken.due);
            }
        }
        ticket::Event::Intake(intake::Event::FactCorrected { fact, occurred_at, .. }) => {
            correct::follow(draft, fact, *occurred_at);
        }
        _ => {}
    }
}

/// Does what the rows say of a signal: what it meets, what it cancels, what it starts.
fn hear(draft: &mut Draft<'_>, signal: Signal) {
    let Signal { trigger, subject, at } = signal;
    // Looked at before a clock is cancelled whose place another takes.
    let ticket = &draft.ticket;
    let starts = TABLE.iter().flat_map(|row| row.starts.iter().map(move |rule| (row, *rule)));
    let starts =
        starts.filter(|(row, rule)| rule.on == trigger && rule.when.holds(ticket, row.kind, subject));
    let starts: Vec<(&ClockRow, StartRule)> = starts.collect();
    for row in TABLE.iter().filter(|row| row.met_by.contains(&trigger)) {
        meet(draft, row.kind, subject, at);
    }
    cancel(draft, signal);
    for (row, rule) in starts {
        begin(draft, row, rule, signal);
    }
}

/// Starts a clock as a rule of its row says.
fn begin(draft: &mut Draft<'_>, row: &ClockRow, rule: StartRule, signal: Signal) {
    let Signal { subject, at, .. } = signal;
    let bodys = || match subject {
        Subject::Request(request) => draft.ticket.request(request)?.outside.due,
        Subject::Ticket | Subject::Stage(_) | Subject::Order(_) => None,
    };
    let target = match rule.set_by {
        // The decision that issues the order starts its clock.
        SetBy::Dispatch => return,
        SetBy::Policy => None,
        SetBy::Promise => {
            let promised = draft.ticket.intake.install.and_then(|order| order.promised_on);
            let promised = promised.filter(|day| *day >= calendar::local_date(at));
            entry(draft, row.kind, subject).map(|entry| entry.target_for(promised))
        }
        SetBy::Body => bodys().map(Target::Moment),
        SetBy::BodyAhead => bodys().filter(|due| *due > at).map(Target::Moment),
        SetBy::AtOnce => Some(Target::Moment(at)),
    };
    start(draft, row.kind, subject, at, target);
    if let Some(already) = row.already.and_then(|already| already(&draft.ticket, at)) {
        meet(draft, row.kind, subject, already);
    }
}

/// The policy that sets a ticket's clocks: the one in force, but for a ticket that was taken in under an emergency's, which
/// keeps that one to its end.
pub(crate) fn policy_of<'p>(policy: &'p Policy, ticket: &Ticket) -> &'p Policy {
    let first = ticket.clocks.first().and_then(|clock| policy.edition(&clock.start.policy));
    first.filter(|edition| edition.emergency).unwrap_or(policy)
}

/// The entry for a clock of this ticket.
pub(crate) fn entry<'p>(draft: &Draft<'p>, kind: ClockKind, subject: Subject) -> Option<&'p policy::Entry> {
    entry_of(policy_of(draft.context.policy, &draft.ticket), &draft.ticket, kind, subject)
}

/// The entry that an edition has for a clock of a ticket.
#[must_use]
pub fn entry_of<'p>(
    policy: &'p Policy,
    ticket: &Ticket,
    kind: ClockKind,
    subject: Subject,
) -> Option<&'p policy::Entry> {
    let mut of = policy::Subject::of(&ticket.intake);
    let stage = match subject {
        Subject::Stage(stage) => Some(stage),
        Subject::Request(request) => {
            // An outside body's clock follows the body, not the channel of the ticket.
            of.channel = ticket.request(request).map_or(of.channel, |request| request.outside.body);
            None
        }
        Subject::Ticket | Subject::Order(_) => None,
    };
    policy.lookup(kind, stage, &of)
}

/// Starts a clock under the policy in force, or under a target that somebody promised or set.
pub fn start(
    draft: &mut Draft<'_>,
    kind: ClockKind,
    subject: Subject,
    from: Timestamp,
    target: Option<Target>,
) {
    let entry = entry(draft, kind, subject);
    let Some(target) = target.or_else(|| entry.map(|entry| entry.target)) else { return };
    let warn_percent = entry.map_or(calendar::WARN_PERCENT, |entry| entry.warn_percent);
    let Deadline { due, warn_at, provisional } = deadline(target, from, warn_percent, draft.context.calendar);
    let clock = ClockNo(next_number(draft.ticket.clocks.len()));
    let pauses = entry.map(|entry| entry.pauses.clone()).unwrap_or_default();
    // A clock that starts while the ticket stands still stands still with it.
    let paused = draft.ticket.pause.as_ref().is_some_and(|pause| pauses.contains(&pause.code));
    let event = Event::Started(Box::new(Start {
        clock,
        kind,
        subject,
        started_at: from,
        due,
        warn_at,
        target,
        warn_percent,
        pauses,
        article: entry.and_then(|entry| entry.article.clone()),
        provisional,
        policy: policy_of(draft.context.policy, &draft.ticket).version.clone(),
        calendar: draft.context.calendar.version.clone(),
    }));
    draft.push(event);
    if paused {
        draft.push(Event::Paused { clock });
    }
}

/// A clock's new due moment, warned at the same share of the time from its start.
#[must_use]
pub fn restated(clock: &Clock, due: Timestamp) -> Event {
    let start = &clock.start;
    let span = due.duration_since(start.started_at).as_secs().max(0);
    let share = span * i64::from(start.warn_percent.min(100)) / 100;
    let warn_at = Timestamp::from_second(start.started_at.as_second() + share).unwrap_or(due).min(due);
    Event::Restated { clock: start.clock, due, warn_at, provisional: false, calendar: None }
}

/// The latest moment that no outside or statutory deadline forbids.
pub(crate) fn outside_or_statutory(ticket: &Ticket) -> Option<Timestamp> {
    let binding = |clock: &&Clock| {
        clock.is_live() && (clock.start.kind == ClockKind::Outside || clock.start.article.is_some())
    };
    ticket.clocks.iter().filter(binding).map(|clock| clock.start.due).min()
}

/// Meets the live clock of this kind, or withdraws its breach where the fact proves on time.
fn meet(draft: &mut Draft<'_>, kind: ClockKind, subject: Subject, at: Timestamp) {
    let Some(clock) = draft.ticket.clocks.iter().rev().find(|clock| clock.is(kind, subject)) else { return };
    let number = clock.start.clock;
    let on_time = at <= clock.start.due;
    match clock.status {
        Status::Running if on_time => draft.push(Event::Met { clock: number, at }),
        // It stood still, so it is not late; a clock that stands still meets no deadline it could miss.
        Status::Paused { .. } => draft.push(Event::Met { clock: number, at }),
        Status::Running => draft.push(Event::Breached { clock: number, due: clock.start.due }),
        Status::Breached { withdrawn: false } if on_time => {
            draft.push(Event::BreachWithdrawn { clock: number, at });
        }
        Status::Breached { .. } | Status::Met { .. } | Status::Cancelled => {}
    }
}

/// Cancels the live clocks whose work will not come.
fn cancel(draft: &mut Draft<'_>, signal: Signal) {
    let live = draft.ticket.clocks.iter().filter(|clock| clock.is_live() && signal.cancels(&clock.start));
    let numbers: Vec<_> = live.map(|clock| clock.start.clock).collect();
    for clock in numbers {
        draft.push(Event::Cancelled { clock });
    }
}

/// Moves a live clock's due moment forward to an earlier one that a merged ticket had; starts one that only it had.
fn take_over(draft: &mut Draft<'_>, kind: ClockKind, due: Timestamp) {
    let now = draft.at();
    match draft.ticket.clock(kind, Subject::Ticket) {
        Some(clock) if clock.is_live() && due < clock.start.due => {
            let event = restated(clock, due);
            draft.push(event);
        }
        Some(_) => {}
        None if due > now => start(draft, kind, Subject::Ticket, now, Some(Target::Moment(due))),
        None => {}
    }
}
