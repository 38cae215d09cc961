//! Ends and reopening (domain.md section 3): opened + reopened − closed − withdrawn − rejected − merged = open.

use super::decide::open_round;
use super::{Command, Event, ReopenCause, RoundCause, Stage};
use crate::actor::Role;
use crate::ids::OrderNo;
use crate::order;
use crate::rejection::{Problem, Rejection};
use crate::sealed::Sealed;
use crate::state::End;
use crate::steps::{Steps, attachment, required};

pub(crate) fn decide(steps: &mut Steps<'_>, command: Command) -> Result<(), Rejection> {
    match command {
        Command::Withdraw { recording, reason } => {
            steps.open()?;
            if steps.context.actor.role == Role::Unit {
                return Err(Rejection::NotYours { whose: "the desk, on the customer's word".into() });
            }
            required("reason", &reason)?;
            attachment("recording.reference", &recording)?;
            recall_open_orders(steps);
            steps.push(Event::Withdrawn { recording, reason });
            Ok(())
        }
        Command::ConsentToRejection { reason } => {
            not_replied(steps)?;
            required("reason", &reason)?;
            steps.not_own_work()?;
            if !steps.ticket.rejection_consented {
                steps.push(Event::RejectionConsented { reason });
            }
            Ok(())
        }
        Command::Reject { referred_to, reason, recording } => {
            not_replied(steps)?;
            required("referred_to", &referred_to)?;
            required("reason", &reason)?;
            attachment("recording.reference", &recording)?;
            if !steps.ticket.rejection_consented {
                return Err(Rejection::ConsentMissing);
            }
            recall_open_orders(steps);
            steps.push(Event::Rejected { referred_to, reason, recording });
            Ok(())
        }
        Command::Merge { into, evidence } => {
            steps.open()?;
            let other = into != steps.ticket.id();
            if !(other && evidence.open && evidence.same_customer && evidence.same_service) {
                return Err(Rejection::CannotMerge);
            }
            recall_open_orders(steps);
            steps.push(Event::Merged { into });
            Ok(())
        }
        Command::Reopen { because, reason } => reopen(steps, because, reason),
        // `chain::decide` sends ends only.
        _ => Ok(()),
    }
}

fn not_replied(steps: &Steps<'_>) -> Result<(), Rejection> {
    steps.open()?;
    if steps.ticket.orders.iter().any(|order| order.replies > 0) {
        return Err(Rejection::AlreadyReplied);
    }
    Ok(())
}

/// Each end recalls the orders that are open.
fn recall_open_orders(steps: &mut Steps<'_>) {
    let open = steps.ticket.orders.iter().filter(|order| order.is_open());
    let open: Vec<OrderNo> = open.map(|order| order.number).collect();
    for order in open {
        steps.push(order::Event::Recalled { order, reason: None });
    }
}

fn reopen(steps: &mut Steps<'_>, because: ReopenCause, reason: Sealed) -> Result<(), Rejection> {
    required("reason", &reason)?;
    let Some(ended) = &steps.ticket.ended else { return Err(Rejection::TicketOpen) };
    if matches!(ended.how, End::Merged(_)) {
        return Err(Rejection::MergedForGood);
    }
    let role = steps.context.actor.role;
    match because {
        ReopenCause::AuditFinding => {
            if role != Role::Supervisor {
                return Err(Rejection::NotYours { whose: "a supervisor".into() });
            }
            if steps.ticket.finding.is_none() {
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
    let days = i64::from(steps.context.policy.constants.reopen_days);
    let late = steps.at().duration_since(ended.at) > jiff::SignedDuration::from_hours(24 * days);
    if late && because != ReopenCause::AuditFinding {
        return Err(Rejection::ReopenTooLate);
    }
    steps.push(Event::Reopened { because, reason });
    open_round(steps, Stage::Investigate, RoundCause::Reopened, None);
    Ok(())
}
