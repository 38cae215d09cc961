//! How events move a ticket along the chain.

use super::{Attempt, Cause, Event, NamedUnit};
use crate::ids::EventId;
use crate::meta::Meta;
use crate::ticket::order::Status;
use crate::ticket::state::{End, Ended, Round, Ticket};
use crate::ticket::verdict;
use crate::words::{Answer, FeedbackPassed, Gate, ReopenCause, RoundCause, Stage};

pub(crate) fn apply(ticket: &mut Ticket, event: &Event, meta: &Meta) {
    match event {
        Event::Investigated { cause, units, .. } => {
            match cause {
                Cause::Known(_) | Cause::NewOrder => ticket.cause = Some(meta.id),
                // Findings hold until superseded, and "not yet known" supersedes nothing.
                Cause::NotYetKnown => {}
            }
            name(ticket, units, meta.id);
            ticket.handled(meta);
            ticket.complete(Stage::Investigate);
        }
        Event::Dispatched { .. } => {
            ticket.handled(meta);
            ticket.complete(Stage::Dispatch);
        }
        Event::FeedbackRecorded { answer, .. } => {
            ticket.contacted = true;
            ticket.round.answer = Some((*answer, meta.id));
            let less = matches!(answer, Answer::BasicallySatisfied | Answer::Dissatisfied);
            ticket.dissatisfied_rounds += u32::from(less);
            ticket.handled(meta);
            if *answer == Answer::Satisfied {
                pass(ticket, FeedbackPassed::Satisfied, meta.id);
            }
        }
        Event::ContactAttempted { .. } => {
            ticket.round.attempts.push(Attempt { at: meta.recorded_at, by: meta.actor.id.clone() });
            ticket.handled(meta);
        }
        Event::UnreachableSignedOff { .. } => {
            ticket.judged(meta);
            pass(ticket, FeedbackPassed::Unreachable, meta.id);
        }
        Event::DeclinedSignedOff { .. } => {
            ticket.judged(meta);
            pass(ticket, FeedbackPassed::Declined, meta.id);
        }
        Event::NobodyToAskSignedOff { .. } => {
            ticket.judged(meta);
            pass(ticket, FeedbackPassed::NobodyToAsk, meta.id);
        }
        Event::NotProvidedConsented { .. } => {
            if let Some(known) = &mut ticket.round.not_provided {
                known.consent = Some(meta.id);
            }
        }
        Event::FeedbackConcluded { .. } => {
            ticket.judged(meta);
            pass(ticket, FeedbackPassed::Concluded, meta.id);
        }
        Event::Inspected { judgements, units } => {
            name(ticket, units, meta.id);
            ticket.judged(meta);
            let holds = |gate: Gate| ticket.waived.contains_key(&gate);
            if judgements.iter().all(|judgement| judgement.passed || holds(judgement.gate)) {
                ticket.round.inspection = Some(meta.id);
                ticket.complete(Stage::Inspect);
            }
            if meta.actor.role == crate::words::Role::Rule && ticket.measures.is_empty() {
                // The standing rule's inspection says that routine work needs no measure.
                ticket.no_measure = ticket.no_measure.or(Some(meta.id));
            }
        }
        Event::Reported { .. } => {
            ticket.judged(meta);
            ticket.complete(Stage::Report);
        }
        Event::Assessed { verdicts, .. } => {
            for new in verdicts {
                verdict::give(ticket, new, meta);
            }
            ticket.judged(meta);
            ticket.complete(Stage::Assess);
        }
        Event::RoundOpened { round, stage, because, .. } => {
            ticket.round = Round::new(*round);
            ticket.stage = *stage;
            if *because == RoundCause::MatterReturned {
                ticket.fault.doubt(meta.recorded_at);
                ticket.handled(meta);
            }
        }
        Event::ReplySentBack { orders, .. } => {
            for order in orders {
                if let Some(order) = ticket.order_mut(*order) {
                    order.status = Status::Accepted;
                    order.waits_for = None;
                    order.extension_asked = None;
                }
            }
            ticket.round.reply = None;
            ticket.round.answer = None;
            ticket.round.not_provided = None;
            ticket.round.sent_back += 1;
            ticket.handled(meta);
            ticket.stage = Stage::Reply;
        }
        Event::Closed { .. } => {
            ticket.certificate = Some(meta.id);
            end(ticket, End::Closed, meta);
        }
        Event::Withdrawn { .. } => {
            ticket.handled(meta);
            end(ticket, End::Withdrawn, meta);
        }
        Event::Rejected { .. } => {
            ticket.handled(meta);
            end(ticket, End::Rejected, meta);
        }
        Event::Merged { into } => end(ticket, End::Merged(*into), meta),
        Event::RejectionConsented { .. } => ticket.rejection_consented = true,
        Event::Reopened { because, .. } => {
            ticket.ended = None;
            ticket.reopened += 1;
            ticket.opened_round = ticket.round.number + 1;
            match because {
                ReopenCause::CustomerReturned | ReopenCause::DrawFailed => {
                    ticket.fault.doubt(meta.recorded_at);
                }
                // A finding is about our work, not about the customer's line.
                ReopenCause::AuditFinding => {}
            }
            ticket.rejection_consented = false;
            ticket.finding = None;
            ticket.waived.clear();
            for request in ticket.requests.iter_mut().filter(|request| request.settled.is_some()) {
                request.supplement_owed = true;
            }
            ticket.handled(meta);
        }
    }
}

fn name(ticket: &mut Ticket, units: &[NamedUnit], by: EventId) {
    for named in units {
        ticket.named.entry(named.unit.clone()).or_insert(by);
    }
}

fn pass(ticket: &mut Ticket, how: FeedbackPassed, by: EventId) {
    ticket.round.passed = Some((how, by));
    ticket.complete(Stage::Feedback);
}

fn end(ticket: &mut Ticket, how: End, meta: &Meta) {
    ticket.ended = Some(Ended { how, at: meta.recorded_at });
    ticket.ends += 1;
    ticket.pause = None;
}
