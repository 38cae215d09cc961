//! Pausing, resuming, urging and the ladder's decisions.

use jiff::Timestamp;

use super::{Clock, Command, Event, Status, due};
use crate::calendar::{self, Deadline};
use crate::checks::required;
use crate::ids::{ClockNo, EscalationNo};
use crate::rejection::{Problem, Rejection};
use crate::sealed::Sealed;
use crate::ticket::custody::Holder;
use crate::ticket::draft::Draft;
use crate::ticket::intake::Attachment;
use crate::ticket::state::{index, next_number};
use crate::words::{PauseCode, Role};

pub(crate) fn decide(draft: &mut Draft<'_>, command: Command) -> Result<(), Rejection> {
    match command {
        Command::Pause { code, evidence, attachment, resume_by } => {
            draft.open()?;
            required("evidence", &evidence)?;
            attachment.iter().try_for_each(|document| {
                crate::ticket::draft::attachment("attachment.reference", document)
            })?;
            not_the_holder(draft)?;
            pause(draft, code, evidence, attachment, resume_by)
        }
        Command::Resume => {
            draft.open()?;
            if draft.ticket.pause.is_none() {
                return Err(Rejection::NotPaused);
            }
            let now = draft.at();
            resume(draft, now, false);
            Ok(())
        }
        Command::Urge { order, words } => {
            draft.open()?;
            required("words", &words)?;
            if !draft.order(order)?.is_open() {
                return Err(Rejection::OrderEnded { order });
            }
            draft.push(Event::Urged { order, words });
            Ok(())
        }
        Command::ProposeEscalation { clock, rung } => {
            draft.open()?;
            if matches!(rung, super::Rung::Urge | super::Rung::Notice) {
                return Err(Rejection::invalid("rung", Problem::Unfit("it needs no supervisor's decision")));
            }
            let found = draft.ticket.clock_instance(clock);
            if !found.ok_or(Rejection::UnknownClock { clock })?.is_breached() {
                return Err(Rejection::NotBreached { clock });
            }
            let proposed = |known: &super::Escalation| known.clock == clock && known.rung == rung;
            if draft.ticket.escalations.iter().any(proposed) {
                return Ok(());
            }
            let escalation = EscalationNo(next_number(draft.ticket.escalations.len()));
            let at = draft.at();
            draft.push(Event::EscalationProposed { escalation, clock, rung, at });
            Ok(())
        }
        Command::IssueEscalation { escalation, words } => {
            required("words", &words)?;
            if undecided(draft, escalation, true)? {
                draft.push(Event::EscalationIssued { escalation, words });
            }
            Ok(())
        }
        Command::DeclineEscalation { escalation, reason } => {
            required("reason", &reason)?;
            if undecided(draft, escalation, false)? {
                draft.push(Event::EscalationDeclined { escalation, reason });
            }
            Ok(())
        }
        // What fell due was added when the decision began.
        Command::Tick(_) => Ok(()),
    }
}

/// Whether the proposal still waits. Deciding it the same way again holds already; the other way is refused.
fn undecided(draft: &Draft<'_>, escalation: EscalationNo, issue: bool) -> Result<bool, Rejection> {
    let found = index(escalation.0).and_then(|index| draft.ticket.escalations.get(index));
    match found.ok_or(Rejection::UnknownEscalation { escalation })?.issued {
        None => Ok(true),
        Some(issued) if issued == issue => Ok(false),
        Some(_) => Err(Rejection::EscalationDecided { escalation }),
    }
}

/// Desk and dispatch pause, but never the one whose time it would stop.
fn not_the_holder(draft: &Draft<'_>) -> Result<(), Rejection> {
    let actor = &draft.context.actor;
    let department = match actor.role {
        Role::Desk => Some("desk"),
        Role::Dispatch => Some("dispatch"),
        _ if actor.role.is_system() => None,
        _ => return Err(Rejection::NotYours { whose: "desk or dispatch".into() }),
    };
    match draft.ticket.custody.holder() {
        Holder::Unit(unit) if *unit == actor.unit || Some(unit.as_str()) == department => {
            Err(Rejection::NotYours { whose: "desk or dispatch, whichever does not hold the ticket".into() })
        }
        _ => Ok(()),
    }
}

/// Pauses the ticket and every running clock that honours the code.
pub(crate) fn pause(
    draft: &mut Draft<'_>,
    code: PauseCode,
    evidence: Sealed,
    attachment: Option<Attachment>,
    resume_by: Option<Timestamp>,
) -> Result<(), Rejection> {
    if draft.ticket.pause.is_some() {
        return Err(Rejection::AlreadyPaused);
    }
    let now = draft.at();
    let honours = |clock: &&Clock| clock.start.pauses.contains(&code);
    if let Some(late) = draft.ticket.clocks.iter().filter(honours).find(|clock| {
        clock.is_breached() && clock.start.breach_bars_pause() && due::outstanding(&draft.ticket, clock)
    }) {
        return Err(Rejection::PauseAfterBreach { clock: late.start.clock });
    }
    let running = draft.ticket.clocks.iter().filter(|clock| clock.is_running()).filter(honours);
    let clocks: Vec<ClockNo> = running.map(|clock| clock.start.clock).collect();
    if clocks.is_empty() {
        return Err(Rejection::NoClockHonours);
    }
    let days = draft.context.policy.constants.resume_by_working_days;
    let resume_by = resume_by.unwrap_or_else(|| draft.context.calendar.working_days_after(now, days));
    if resume_by <= now {
        return Err(Rejection::invalid("resume_by", Problem::NotInFuture));
    }
    draft.push(Event::TicketPaused { code, evidence, attachment, resume_by });
    for clock in clocks {
        draft.push(Event::Paused { clock });
    }
    Ok(())
}

/// Ends the pause: each clock stores a new due moment under the versions it started with.
pub fn resume(draft: &mut Draft<'_>, at: Timestamp, by_itself: bool) {
    draft.push(Event::TicketResumed { at, by_itself });
    let mut resumed = Vec::new();
    for clock in &draft.ticket.clocks {
        let Status::Paused { since } = clock.status else { continue };
        let start = &clock.start;
        let mut pauses = clock.pauses.clone();
        pauses.push(calendar::Pause { paused_at: since, resumed_at: at });
        let Deadline { due, warn_at, provisional } = calendar::resume(
            start.target,
            start.started_at,
            start.warn_percent,
            &pauses,
            draft.context.calendar,
        );
        resumed.push(Event::Resumed { clock: start.clock, at, due, warn_at, provisional });
    }
    for event in resumed {
        draft.push(event);
    }
}
