//! What happens on a ticket by itself, and when: warnings, breaches, the ladder, pauses that end, verdicts that become
//! final, deadlines that a published year makes certain (domain.md section 4).
//!
//! [`next_steps`] lists it for whoever has to be there in time; a decision lets everything happen that is due by its
//! moment, in the order of the moments, before the command itself is looked at.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::run::Clock;
use super::{Event, Subject};
use crate::calendar::{self, Calendar, Deadline};
use crate::ids::{ClockNo, EscalationNo, VerdictNo};
use crate::policy::Policy;
use crate::ticket::draft::Draft;
use crate::ticket::order::Order;
use crate::ticket::state::{Ticket, next_number};
use crate::ticket::verdict;
use crate::words::Rung;

/// Something that happens by itself. At one moment steps happen in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A year was published that made a deadline provisional: it is stated again.
    Restate(ClockNo),
    /// A clock's warning falls.
    Warn(ClockNo),
    /// A clock's due moment has passed.
    Breach(ClockNo),
    /// The ladder climbs.
    Rung(ClockNo, Rung),
    /// Nobody appealed against a verdict in time.
    Final(VerdictNo),
    /// The pause ends.
    Resume,
}

/// A step and its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DueStep {
    /// From this moment on it has happened. Exactly at due is on time: a breach is one microsecond after its due moment.
    pub from: Timestamp,
    /// What happens.
    pub step: Step,
}

/// The smallest difference that recorded moments have.
const TICK: SignedDuration = SignedDuration::from_micros(1);

fn after(at: Timestamp) -> Timestamp {
    at.checked_add(TICK).unwrap_or(at)
}

/// Everything that will happen on a ticket by itself if nobody acts, as far as it is known now; in no particular order.
pub fn next_steps<'t>(
    ticket: &'t Ticket,
    policy: &'t Policy,
    calendar: &'t Calendar,
) -> impl Iterator<Item = DueStep> + 't {
    let clocks = ticket.clocks.iter().flat_map(move |clock| of_clock(ticket, clock, policy, calendar));
    let pause = ticket.pause.as_ref().filter(|_| ticket.is_open());
    let resume = pause.map(|pause| DueStep { from: pause.resume_by, step: Step::Resume });
    let window = policy.constants.appeal_working_days;
    let verdicts = ticket.verdicts.iter().filter(|verdict| verdict.awaits_appeal());
    let verdicts = verdicts.map(move |verdict| DueStep {
        from: after(calendar.working_days_after(verdict.given_at, window)),
        step: Step::Final(verdict.number),
    });
    clocks.chain(resume).chain(verdicts)
}

/// The first of [`next_steps`].
pub fn next_step(ticket: &Ticket, policy: &Policy, calendar: &Calendar) -> Option<DueStep> {
    next_steps(ticket, policy, calendar).min()
}

fn of_clock(
    ticket: &Ticket,
    clock: &Clock,
    policy: &Policy,
    calendar: &Calendar,
) -> impl Iterator<Item = DueStep> + use<> {
    let start = &clock.start;
    let number = start.clock;
    let running = clock.is_running();
    let restate = (running && certain(clock, calendar).is_some())
        .then_some(DueStep { from: Timestamp::MIN, step: Step::Restate(number) });
    let warn = (running && !clock.warned && start.warn_at < start.due)
        .then_some(DueStep { from: start.warn_at, step: Step::Warn(number) });
    let breach = running.then(|| DueStep { from: after(start.due), step: Step::Breach(number) });
    let rung = next_rung(ticket, clock, policy, calendar)
        .map(|(from, rung)| DueStep { from, step: Step::Rung(number, rung) });
    [restate, warn, breach, rung].into_iter().flatten()
}

/// The deadline of a provisional clock, where the calendar has come to know the days that it runs through.
fn certain(clock: &Clock, calendar: &Calendar) -> Option<Deadline> {
    let start = &clock.start;
    if !start.provisional || start.calendar == calendar.version {
        return None;
    }
    let new = calendar::resume(start.target, start.started_at, start.warn_percent, &clock.pauses, calendar);
    (!new.provisional).then_some(new)
}

/// The next rung of a clock's ladder and its moment.
fn next_rung(
    ticket: &Ticket,
    clock: &Clock,
    policy: &Policy,
    calendar: &Calendar,
) -> Option<(Timestamp, Rung)> {
    let start = &clock.start;
    if !start.has_ladder() {
        return None;
    }
    if clock.is_running() {
        return (clock.warned && clock.climbed.is_none()).then_some((start.warn_at, Rung::Urge));
    }
    if !clock.is_breached() || !outstanding(ticket, clock) {
        return None;
    }
    let constants = &policy.edition(&start.policy).unwrap_or(policy).constants;
    if clock.climbed < Some(Rung::Notice) {
        return Some((calendar.next_working_day_at(start.due, constants.notice_at), Rung::Notice));
    }
    let proposed =
        |rung| ticket.escalations.iter().any(|known| known.clock == start.clock && known.rung == rung);
    let rungs = [Rung::Criticism, Rung::Listed, Rung::Interview];
    let (rung, days) =
        rungs.into_iter().zip(constants.ladder_working_days).find(|(rung, _)| !proposed(*rung))?;
    Some((calendar.working_days_after_due(start.due, days), rung))
}

/// Whether what a breached clock waited for is still to be done.
pub(super) fn outstanding(ticket: &Ticket, clock: &Clock) -> bool {
    let start = &clock.start;
    let latest = ticket.clock(start.kind, start.subject).is_some_and(|last| last.start.clock == start.clock);
    let current = match start.subject {
        Subject::Stage(stage) => stage == ticket.stage,
        Subject::Order(order) => ticket.order(order).is_some_and(Order::is_open),
        Subject::Ticket => true,
        // An end leaves what an outside body waits for.
        Subject::Request(request) => return latest && ticket.receipts_owed().contains(&request),
    };
    latest && current && ticket.is_open()
}

/// Lets everything happen that is due by now, in the order of its moments.
pub(crate) fn fall_due(draft: &mut Draft<'_>) {
    let (policy, calendar, now) = (draft.context.policy, draft.context.calendar, draft.at());
    loop {
        let due = next_step(&draft.ticket, policy, calendar).filter(|due| due.from <= now);
        let Some(DueStep { from, step }) = due else { return };
        match step {
            Step::Resume => super::decide::resume(draft, from, true),
            Step::Final(verdict) => verdict::become_final(draft, verdict),
            Step::Restate(number) | Step::Warn(number) | Step::Breach(number) | Step::Rung(number, _) => {
                let clock = draft.ticket.clock_instance(number);
                let Some(event) = clock.and_then(|clock| happens(&draft.ticket, clock, step, from, calendar))
                else {
                    return;
                };
                draft.push(event);
            }
        }
    }
}

fn happens(
    ticket: &Ticket,
    clock: &Clock,
    step: Step,
    from: Timestamp,
    calendar: &Calendar,
) -> Option<Event> {
    let number = clock.start.clock;
    Some(match step {
        Step::Restate(_) => {
            let Deadline { due, warn_at, .. } = certain(clock, calendar)?;
            // A working weekend may have made it earlier: what was promised as the last moment stays.
            let (due, warn_at) =
                if due < clock.start.due { (clock.start.due, clock.start.warn_at) } else { (due, warn_at) };
            let calendar = Some(calendar.version.clone());
            Event::Restated { clock: number, due, warn_at, provisional: false, calendar }
        }
        Step::Warn(_) => Event::Warned { clock: number, at: from },
        Step::Breach(_) => Event::Breached { clock: number, due: clock.start.due },
        Step::Rung(_, rung @ (Rung::Urge | Rung::Notice)) => {
            Event::Escalated { clock: number, rung, at: from }
        }
        Step::Rung(_, rung) => {
            let escalation = EscalationNo(next_number(ticket.escalations.len()));
            Event::EscalationProposed { escalation, clock: number, rung, at: from }
        }
        Step::Final(_) | Step::Resume => return None,
    })
}
