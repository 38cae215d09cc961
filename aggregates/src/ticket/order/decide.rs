//! Decisions on orders (domain.md section 3, Orders).

use jiff::Timestamp;

use super::{Command, Event, NewOrder, NotProvided, Status};
use crate::calendar::{Target, deadline};
use crate::checks::{listed, named, people, required};
use crate::ids::{EmployeeId, OrderNo};
use crate::rejection::{Missing, Problem, Rejection};
use crate::sealed::Sealed;
use crate::ticket::chain::{Cause, check_cause};
use crate::ticket::clock::{self, Clock, Subject};
use crate::ticket::draft::Draft;
use crate::ticket::gate;
use crate::ticket::state::next_number;
use crate::words::{ClockKind, Kind, Part, Role, Stage};

pub(crate) fn decide(draft: &mut Draft<'_>, command: Command) -> Result<(), Rejection> {
    match command {
        Command::Accept { order } => accept(draft, order),
        Command::Reply { order, resolution, cause, measures, done_by, not_provided } => {
            listed("measures", &measures)?;
            let measures = measures.into_iter().map(|plan| gate::check_plan(draft, plan));
            let measures: Vec<_> = measures.collect::<Result<_, _>>()?;
            reply(draft, order, resolution, cause, done_by, not_provided)?;
            for plan in measures {
                gate::plan(draft, plan);
            }
            Ok(())
        }
        Command::StrikeDoneBy { order, person, reason } => strike_done_by(draft, order, person, reason),
        Command::RequestReturn { order, reason } => request_return(draft, order, reason),
        Command::GrantReturn { order, replacement } => grant_return(draft, order, replacement),
        Command::RefuseReturn { order, reason } => {
            required("reason", &reason)?;
            return_asked(draft, order)?;
            draft.push(Event::ReturnRefused { order, reason });
            Ok(())
        }
        Command::AddAssist { order } => {
            draft.at_stage(Stage::Reply)?;
            if order.part != Part::Assist {
                return Err(Rejection::invalid("order.part", Problem::Unfit("a round has one lead")));
            }
            check_new(draft, &order)?;
            issue(draft, order, None);
            Ok(())
        }
        Command::Release { order, reason } => release(draft, order, reason),
        Command::Recall { order, reason, replacement } => recall(draft, order, reason, replacement),
        Command::AskExtension { order, until, reason } => ask_extension(draft, order, until, reason),
        Command::GrantExtension { order, until } => grant_extension(draft, order, until),
        Command::RefuseExtension { order, reason } => {
            required("reason", &reason)?;
            draft.at_stage(Stage::Reply)?;
            let known = draft.order(order)?;
            if !known.is_open() {
                return Err(Rejection::OrderEnded { order });
            }
            if known.extension_asked.is_none() {
                return Err(Rejection::NoExtensionAsked { order });
            }
            draft.push(Event::ExtensionRefused { order, reason });
            Ok(())
        }
        Command::WaitForAssist { order, assist } => wait_for_assist(draft, order, assist),
    }
}

fn accept(draft: &mut Draft<'_>, order: OrderNo) -> Result<(), Rejection> {
    draft.at_stage(Stage::Reply)?;
    match draft.own_order(order)?.status {
        Status::Issued => draft.push(Event::Accepted { order }),
        Status::Accepted => {}
        Status::ReturnAsked => return Err(Rejection::ReturnPending { order }),
        Status::Replied | Status::Returned | Status::Released | Status::Recalled => {
            return Err(Rejection::OrderEnded { order });
        }
    }
    Ok(())
}

fn reply(
    draft: &mut Draft<'_>,
    order: OrderNo,
    resolution: Sealed,
    cause: Option<Cause>,
    done_by: Vec<EmployeeId>,
    not_provided: Option<NotProvided>,
) -> Result<(), Rejection> {
    draft.at_stage(Stage::Reply)?;
    let known = draft.own_order(order)?;
    required("resolution", &resolution)?;
    people("done_by", &done_by)?;
    if let Some(not_provided) = &not_provided {
        required("not_provided.evidence", &not_provided.evidence)?;
        required("not_provided.offered", &not_provided.offered)?;
        if known.part != Part::Lead {
            return Err(Rejection::WrongPart { order });
        }
    }
    cause.iter().try_for_each(|cause| check_cause(draft, cause))?;
    match known.status {
        Status::Accepted => {}
        Status::Issued => return Err(Rejection::OrderNotAccepted { order }),
        Status::ReturnAsked => return Err(Rejection::ReturnPending { order }),
        Status::Replied | Status::Returned | Status::Released | Status::Recalled => {
            return Err(Rejection::OrderEnded { order });
        }
    }
    if known.part == Part::Lead {
        lead_may_reply(draft, not_provided.is_some())?;
    }
    draft.push(Event::Replied { order, resolution, cause, done_by, not_provided });
    Ok(())
}

/// A wrong name keeps its bearer from judging; a supervisor who did no part strikes it.
fn strike_done_by(
    draft: &mut Draft<'_>,
    order: OrderNo,
    person: EmployeeId,
    reason: Sealed,
) -> Result<(), Rejection> {
    required("reason", &reason)?;
    named("person", person.as_str())?;
    draft.order(order)?;
    draft.no_part_at_all()?;
    let part = draft.ticket.people.get(&person.folded());
    if !part.is_some_and(|part| part.named_by.contains(&order)) {
        return Err(Rejection::NotNamed { order });
    }
    draft.push(Event::DoneByStruck { order, person, reason });
    Ok(())
}

/// The lead replies last, and with its facts, unless the service cannot be given.
fn lead_may_reply(draft: &Draft<'_>, not_provided: bool) -> Result<(), Rejection> {
    let open = draft.ticket.orders.iter().filter(|order| order.part == Part::Assist && order.is_open());
    let missing: Vec<_> = open.map(|order| Missing::AssistReply(order.number)).collect();
    if !missing.is_empty() {
        return Err(Rejection::AssistOrdersOpen { missing });
    }
    let missing = draft.ticket.service_missing();
    if !missing.is_empty() && !not_provided {
        return Err(Rejection::ReplyUnproved { missing });
    }
    Ok(())
}

fn request_return(draft: &mut Draft<'_>, order: OrderNo, reason: Sealed) -> Result<(), Rejection> {
    draft.at_stage(Stage::Reply)?;
    required("reason", &reason)?;
    let known = draft.own_order(order)?;
    match known.status {
        Status::Issued => {}
        Status::ReturnAsked => return Ok(()),
        Status::Accepted => return Err(Rejection::OrderAccepted { order }),
        Status::Replied | Status::Returned | Status::Released | Status::Recalled => {
            return Err(Rejection::OrderEnded { order });
        }
    }
    let constants = &draft.context.policy.constants;
    if draft.ticket.round.returns >= constants.returns_to_supervisor {
        return Err(Rejection::ReturnsExhausted);
    }
    let window = jiff::SignedDuration::from_hours(i64::from(constants.return_window_hours));
    let until = known.issued_at.saturating_add(window).unwrap_or(Timestamp::MAX);
    if draft.at() > until {
        return Err(Rejection::ReturnTooLate { until });
    }
    draft.push(Event::ReturnRequested { order, reason });
    Ok(())
}

/// The return waits for an answer, and the actor may give it: the round's third is a supervisor's to decide, and
/// after it there is none.
fn return_asked(draft: &Draft<'_>, order: OrderNo) -> Result<(), Rejection> {
    draft.at_stage(Stage::Reply)?;
    let known = draft.order(order)?;
    if known.status != Status::ReturnAsked {
        return Err(Rejection::NoReturnAsked { order });
    }
    let third = known.return_number >= draft.context.policy.constants.returns_to_supervisor;
    match (third, draft.context.actor.role) {
        (true, Role::Supervisor) | (false, Role::Dispatch) => Ok(()),
        (true, _) => {
            Err(Rejection::NotYours { whose: "a supervisor: it is the round's third return".into() })
        }
        (false, _) => Err(Rejection::NotYours { whose: "dispatch".into() }),
    }
}

fn grant_return(
    draft: &mut Draft<'_>,
    order: OrderNo,
    replacement: Option<NewOrder>,
) -> Result<(), Rejection> {
    return_asked(draft, order)?;
    let unit = &draft.order(order)?.unit;
    if replacement.as_ref().is_some_and(|new| new.unit == *unit) {
        return Err(Rejection::invalid("replacement.unit", Problem::Unfit("it returned the order")));
    }
    let replacement = successor(draft, order, replacement)?;
    draft.push(Event::ReturnGranted { order });
    if let Some(replacement) = replacement {
        issue(draft, replacement, Some(order));
    }
    Ok(())
}

/// A lead is taken away only with a new lead; an assist may have a new assist.
fn successor(
    draft: &Draft<'_>,
    order: OrderNo,
    replacement: Option<NewOrder>,
) -> Result<Option<NewOrder>, Rejection> {
    let known = draft.order(order)?;
    match (known.part, &replacement) {
        (Part::Lead, None) => return Err(Rejection::NewLeadNeeded),
        (part, Some(new)) if new.part != part => {
            return Err(Rejection::invalid("replacement.part", Problem::Unfit("it takes the other's part")));
        }
        _ => {}
    }
    if let Some(new) = &replacement {
        check_order(draft, new)?;
        let others = draft.ticket.orders.iter().filter(|other| other.number != order && other.is_open());
        if others.into_iter().any(|other| other.unit == new.unit) {
            return Err(Rejection::UnitHasOrder { unit: new.unit.clone() });
        }
    }
    Ok(replacement)
}

fn release(draft: &mut Draft<'_>, order: OrderNo, reason: Sealed) -> Result<(), Rejection> {
    draft.at_stage(Stage::Reply)?;
    required("reason", &reason)?;
    let known = draft.order(order)?;
    if known.part != Part::Assist {
        return Err(Rejection::WrongPart { order });
    }
    match known.status {
        Status::Released => Ok(()),
        _ if !known.is_open() => Err(Rejection::OrderEnded { order }),
        _ => {
            draft.push(Event::Released { order, reason });
            Ok(())
        }
    }
}

fn recall(
    draft: &mut Draft<'_>,
    order: OrderNo,
    reason: Sealed,
    replacement: Option<NewOrder>,
) -> Result<(), Rejection> {
    draft.at_stage(Stage::Reply)?;
    required("reason", &reason)?;
    if !draft.order(order)?.is_open() {
        return Err(Rejection::OrderEnded { order });
    }
    let replacement = successor(draft, order, replacement)?;
    draft.push(Event::Recalled { order, reason: Some(reason) });
    if let Some(replacement) = replacement {
        issue(draft, replacement, Some(order));
    }
    Ok(())
}

fn ask_extension(
    draft: &mut Draft<'_>,
    order: OrderNo,
    until: Timestamp,
    reason: Sealed,
) -> Result<(), Rejection> {
    draft.at_stage(Stage::Reply)?;
    required("reason", &reason)?;
    let known = draft.own_order(order)?;
    if !known.is_open() {
        return Err(Rejection::OrderEnded { order });
    }
    let asked_already = known.extension_asked == Some(until);
    extendable(draft, order, until)?;
    if asked_already {
        return Ok(());
    }
    draft.push(Event::ExtensionAsked { order, until, reason });
    Ok(())
}

fn grant_extension(draft: &mut Draft<'_>, order: OrderNo, until: Option<Timestamp>) -> Result<(), Rejection> {
    draft.at_stage(Stage::Reply)?;
    let known = draft.order(order)?;
    if !known.is_open() {
        return Err(Rejection::OrderEnded { order });
    }
    let asked = known.extension_asked.ok_or(Rejection::NoExtensionAsked { order })?;
    let until = until.unwrap_or(asked);
    let restated = clock::restated(extendable(draft, order, until)?, until);
    draft.push(Event::ExtensionGranted { order, until });
    draft.push(restated);
    Ok(())
}

/// The order's clock runs still, and the new moment passes no outside or statutory deadline.
fn extendable<'s>(draft: &'s Draft<'_>, order: OrderNo, until: Timestamp) -> Result<&'s Clock, Rejection> {
    let running =
        draft.ticket.clock(ClockKind::Order, Subject::Order(order)).filter(|clock| clock.is_running());
    let clock = running.ok_or(Rejection::PastDue { order })?;
    if until <= clock.start.due {
        return Err(Rejection::invalid(
            "until",
            Problem::Unfit("it must be later than the present due moment"),
        ));
    }
    match clock::outside_or_statutory(&draft.ticket) {
        Some(latest) if until > latest => Err(Rejection::PastOutsideDeadline { latest }),
        _ => Ok(clock),
    }
}

fn wait_for_assist(draft: &mut Draft<'_>, order: OrderNo, assist: OrderNo) -> Result<(), Rejection> {
    draft.at_stage(Stage::Reply)?;
    let lead = draft.own_order(order)?;
    if lead.part != Part::Lead {
        return Err(Rejection::WrongPart { order });
    }
    if !lead.is_open() {
        return Err(Rejection::OrderEnded { order });
    }
    let waits_already = lead.waits_for == Some(assist);
    let other = draft.order(assist)?;
    if other.part != Part::Assist {
        return Err(Rejection::WrongPart { order: assist });
    }
    if !other.is_open() {
        return Err(Rejection::OrderEnded { order: assist });
    }
    if !waits_already {
        draft.push(Event::WaitingForAssist { order, assist });
    }
    Ok(())
}

/// A new order on top of those that are open.
fn check_new(draft: &Draft<'_>, order: &NewOrder) -> Result<(), Rejection> {
    check_order(draft, order)?;
    if draft.ticket.orders.iter().any(|known| known.is_open() && known.unit == order.unit) {
        return Err(Rejection::UnitHasOrder { unit: order.unit.clone() });
    }
    Ok(())
}

/// An order is well-formed and not due later than policy says.
pub(crate) fn check_order(draft: &Draft<'_>, order: &NewOrder) -> Result<(), Rejection> {
    required("task", &order.task)?;
    draft.registered("unit", order.unit.as_str())?;
    let Some(due) = order.due else { return Ok(()) };
    let now = draft.at();
    if due <= now {
        return Err(Rejection::invalid("due", Problem::NotInFuture));
    }
    match policy_due(draft) {
        Some(latest) if due > latest => Err(Rejection::LongerThanPolicy { latest }),
        _ => Ok(()),
    }
}

fn policy_due(draft: &Draft<'_>) -> Option<Timestamp> {
    let entry = clock::entry(draft, ClockKind::Order, Subject::Ticket)?;
    Some(deadline(entry.target, draft.at(), entry.warn_percent, draft.context.calendar).due)
}

/// Issues an order and starts its clock.
pub(crate) fn issue(draft: &mut Draft<'_>, order: NewOrder, replaces: Option<OrderNo>) {
    let number = OrderNo(next_number(draft.ticket.orders.len()));
    let NewOrder { part, unit, task, due } = order;
    draft.push(Event::Issued { order: number, part, unit, task, replaces });
    start_clock(draft, number, due);
}

/// Starts an order's clock: dispatch's deadline, else policy's.
pub(crate) fn start_clock(draft: &mut Draft<'_>, order: OrderNo, due: Option<Timestamp>) {
    let now = draft.at();
    clock::start(draft, ClockKind::Order, Subject::Order(order), now, due.map(Target::Moment));
}

impl crate::ticket::state::Ticket {
    /// Whether a lead has replied in this round or a later one.
    #[must_use]
    pub fn lead_replied_since(&self, round: u32) -> bool {
        self.orders.iter().any(|order| order.part == Part::Lead && order.replies > 0 && order.round >= round)
    }

    /// What the lead's reply, and gate 2, still lack of the service's facts.
    #[must_use]
    pub fn service_missing(&self) -> Vec<Missing> {
        match self.kind() {
            // A service that cannot be given is not proved; a supervisor consented to that.
            _ if self.round.not_provided_consented().is_some() => Vec::new(),
            Kind::Complaint => Vec::new(),
            // A broken pole is nobody's service: there is nothing to test.
            Kind::Fault if self.intake.service.is_none() => Vec::new(),
            Kind::Fault => self.fault.missing(),
            Kind::Install if self.install.is_activated() => Vec::new(),
            Kind::Install => vec![Missing::Activation],
        }
    }
}
