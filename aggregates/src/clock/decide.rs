//! Pausing, resuming, urging and the ladder's decisions.

use jiff::Timestamp;

use super::{Clock, Command, Event, PauseCode, Status, Subject, due};
use crate::actor::Role;
use crate::calendar::{self, Deadline};
use crate::custody::Holder;
use crate::ids::{ClockNo, EscalationNo};
use crate::intake::Attachment;
use crate::rejection::{Problem, Rejection};
use crate::sealed::Sealed;
use crate::state::{index, next_number};
use crate::steps::{Steps, required};

pub(crate) fn decide(steps: &mut Steps<'_>, command: Command) -> Result<(), Rejection> {
    match command {
        Command::Pause { code, evidence, attachment, resume_by } => {
            steps.open()?;
            required("evidence", &evidence)?;
            attachment
                .iter()
                .try_for_each(|document| crate::steps::attachment("attachment.reference", document))?;
            not_the_holder(steps)?;
            pause(steps, code, evidence, attachment, resume_by)
        }
        Command::Resume => {
            steps.open()?;
            if steps.ticket.pause.is_none() {
                return Err(Rejection::NotPaused);
            }
            let now = steps.at();
            resume(steps, now, false);
            Ok(())
        }
        Command::Urge { order, words } => {
            steps.open()?;
            required("words", &words)?;
            if !steps.order(order)?.is_open() {
                return Err(Rejection::OrderEnded { order });
            }
            steps.push(Event::Urged { order, words });
            Ok(())
        }
        Command::ProposeEscalation { clock, rung } => {
            steps.open()?;
            if matches!(rung, super::Rung::Urge | super::Rung::Notice) {
                return Err(Rejection::invalid("rung", Problem::Unfit("it needs no supervisor's decision")));
            }
            let found = index(clock.0).and_then(|index| steps.ticket.clocks.get(index));
            if !found.ok_or(Rejection::UnknownClock { clock })?.is_breached() {
                return Err(Rejection::NotBreached { clock });
            }
            let proposed = |known: &super::Escalation| known.clock == clock && known.rung == rung;
            if steps.ticket.escalations.iter().any(proposed) {
                return Ok(());
            }
            let escalation = EscalationNo(next_number(steps.ticket.escalations.len()));
            let at = steps.at();
            steps.push(Event::EscalationProposed { escalation, clock, rung, at });
            Ok(())
        }
        Command::IssueEscalation { escalation, words } => {
            required("words", &words)?;
            if undecided(steps, escalation, true)? {
                steps.push(Event::EscalationIssued { escalation, words });
            }
            Ok(())
        }
        Command::DeclineEscalation { escalation, reason } => {
            required("reason", &reason)?;
            if undecided(steps, escalation, false)? {
                steps.push(Event::EscalationDeclined { escalation, reason });
            }
            Ok(())
        }
        // What fell due was added when the decision began.
        Command::Tick(_) => Ok(()),
    }
}

/// Whether the proposal still waits. Deciding it the same way again holds already; the other way is refused.
fn undecided(steps: &Steps<'_>, escalation: EscalationNo, issue: bool) -> Result<bool, Rejection> {
    let found = index(escalation.0).and_then(|index| steps.ticket.escalations.get(index));
    match found.ok_or(Rejection::UnknownEscalation { escalation })?.issued {
        None => Ok(true),
        Some(issued) if issued == issue => Ok(false),
        Some(_) => Err(Rejection::EscalationDecided { escalation }),
    }
}

/// Desk and dispatch pause, but never the one whose time it would stop.
fn not_the_holder(steps: &Steps<'_>) -> Result<(), Rejection> {
    let actor = &steps.context.actor;
    let department = match actor.role {
        Role::Desk => Some("desk"),
        Role::Dispatch => Some("dispatch"),
        _ if actor.role.is_system() => None,
        _ => return Err(Rejection::NotYours { whose: "desk or dispatch".into() }),
    };
    match steps.ticket.custody.holder() {
        Holder::Unit(unit) if *unit == actor.unit || Some(unit.as_str()) == department => {
            Err(Rejection::NotYours { whose: "desk or dispatch, whichever does not hold the ticket".into() })
        }
        _ => Ok(()),
    }
}

/// Pauses the ticket and every running clock that honours the code.
pub(crate) fn pause(
    steps: &mut Steps<'_>,
    code: PauseCode,
    evidence: Sealed,
    attachment: Option<Attachment>,
    resume_by: Option<Timestamp>,
) -> Result<(), Rejection> {
    if steps.ticket.pause.is_some() {
        return Err(Rejection::AlreadyPaused);
    }
    let now = steps.at();
    let honours = |clock: &&Clock| clock.start.pauses.contains(&code);
    if let Some(late) = steps.ticket.clocks.iter().filter(honours).find(|clock| {
        clock.is_breached()
            && due::outstanding(&steps.ticket, clock)
            && !matches!(clock.start.subject, Subject::Request(_))
    }) {
        return Err(Rejection::PauseAfterBreach { clock: late.start.clock });
    }
    let running = steps.ticket.clocks.iter().filter(|clock| clock.is_running()).filter(honours);
    let clocks: Vec<ClockNo> = running.map(|clock| clock.start.clock).collect();
    if clocks.is_empty() {
        return Err(Rejection::NoClockHonours);
    }
    let days = steps.context.policy.constants.resume_by_working_days;
    let resume_by = resume_by.unwrap_or_else(|| steps.context.calendar.working_days_after(now, days));
    if resume_by <= now {
        return Err(Rejection::invalid("resume_by", Problem::NotInFuture));
    }
    steps.push(Event::TicketPaused { code, evidence, attachment, resume_by });
    for clock in clocks {
        steps.push(Event::Paused { clock });
    }
    Ok(())
}

/// Ends the pause: each clock stores a new due moment under the versions it started with.
pub(crate) fn resume(steps: &mut Steps<'_>, at: Timestamp, by_itself: bool) {
    steps.push(Event::TicketResumed { at, by_itself });
    let mut resumed = Vec::new();
    for clock in &steps.ticket.clocks {
        let Status::Paused { since } = clock.status else { continue };
        let start = &clock.start;
        let mut pauses = clock.pauses.clone();
        pauses.push(calendar::Pause { paused_at: since, resumed_at: at });
        let Deadline { due, warn_at, provisional } = calendar::resume(
            start.target,
            start.started_at,
            start.warn_percent,
            &pauses,
            steps.context.calendar,
        );
        resumed.push(Event::Resumed { clock: start.clock, at, due, warn_at, provisional });
    }
    for event in resumed {
        steps.push(event);
    }
}
