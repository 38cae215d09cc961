//! Ends and reopening (domain.md section 3): opened + reopened − closed − withdrawn − rejected − merged = open.

use super::decide::open_round;
use super::{Command, Event};
use crate::checks::required;
use crate::ids::OrderNo;
use crate::rejection::{Problem, Rejection};
use crate::sealed::Sealed;
use crate::ticket::draft::{Draft, attachment};
use crate::ticket::order;
use crate::ticket::state::End;
use crate::words::{ReopenCause, Role, RoundCause, Stage};

pub(crate) fn decide(draft: &mut Draft<'_>, command: Command) -> Result<(), Rejection> {
    match command {
        Command::Withdraw { recording, reason } => {
            draft.open()?;
            if draft.context.actor.role == Role::Unit {
                return Err(Rejection::NotYours { whose: "the desk, on the customer's word".into() });
            }
            required("reason", &reason)?;
            attachment("recording.reference", &recording)?;
            recall_open_orders(draft);
            draft.push(Event::Withdrawn { recording, reason });
            Ok(())
        }
        Command::ConsentToRejection { reason } => {
            not_replied(draft)?;
            required("reason", &reason)?;
            draft.not_own_work()?;
            if !draft.ticket.rejection_consented {
                draft.push(Event::RejectionConsented { reason });
            }
            Ok(())
        }
        Command::Reject { referred_to, reason, recording } => {
            not_replied(draft)?;
            required("referred_to", &referred_to)?;
            required("reason", &reason)?;
            attachment("recording.reference", &recording)?;
            if !draft.ticket.rejection_consented {
                return Err(Rejection::ConsentMissing);
            }
            recall_open_orders(draft);
            draft.push(Event::Rejected { referred_to, reason, recording });
            Ok(())
        }
        Command::Merge { into, evidence } => {
            draft.open()?;
            let other = into != draft.ticket.id();
            if !(other && evidence.open && evidence.same_customer && evidence.same_service) {
                return Err(Rejection::CannotMerge);
            }
            recall_open_orders(draft);
            draft.push(Event::Merged { into });
            Ok(())
        }
        Command::Reopen { because, reason } => reopen(draft, because, reason),
        // `chain::decide` sends ends only.
        _ => Ok(()),
    }
}

fn not_replied(draft: &Draft<'_>) -> Result<(), Rejection> {
    draft.open()?;
    if draft.ticket.orders.iter().any(|order| order.replies > 0) {
        return Err(Rejection::AlreadyReplied);
    }
    Ok(())
}

/// Each end recalls the orders that are open.
fn recall_open_orders(draft: &mut Draft<'_>) {
    let open = draft.ticket.orders.iter().filter(|order| order.is_open());
    let open: Vec<OrderNo> = open.map(|order| order.number).collect();
    for order in open {
        draft.push(order::Event::Recalled { order, reason: None });
    }
}

fn reopen(draft: &mut Draft<'_>, because: ReopenCause, reason: Sealed) -> Result<(), Rejection> {
    required("reason", &reason)?;
    let Some(ended) = &draft.ticket.ended else { return Err(Rejection::TicketOpen) };
    if matches!(ended.how, End::Merged(_)) {
        return Err(Rejection::MergedForGood);
    }
    let role = draft.context.actor.role;
    match because {
        ReopenCause::AuditFinding => {
            if role != Role::Supervisor {
                return Err(Rejection::NotYours { whose: "a supervisor".into() });
            }
            if draft.ticket.finding.is_none() {
                return Err(Rejection::NoFinding);
            }
        }
        ReopenCause::CustomerReturned => {
            if role == Role::Supervisor {
                return Err(Rejection::invalid(
                    "because",
                    Problem::Unfit("a supervisor reopens on a finding"),
                ));
            }
        }
        ReopenCause::DrawFailed if role.is_system() => {}
        ReopenCause::DrawFailed => {
            return Err(Rejection::NotYours { whose: "the daily draw, whose call-back failed".into() });
        }
    }
    let days = i64::from(draft.context.policy.constants.reopen_days);
    let late = draft.at().duration_since(ended.at) > jiff::SignedDuration::from_hours(24 * days);
    if late && because != ReopenCause::AuditFinding {
        return Err(Rejection::ReopenTooLate);
    }
    draft.push(Event::Reopened { because, reason });
    open_round(draft, Stage::Investigate, RoundCause::Reopened, None);
    Ok(())
}
