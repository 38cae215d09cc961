//! Orders 督办单 and 协办单: issued → accepted 签收 → replied (domain.md section 3, Orders).

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::ids::{EmployeeId, OrderNo, UnitId};
use crate::meta::Meta;
use crate::sealed::Sealed;
use crate::ticket::chain::Cause;
use crate::ticket::state::{self, Ticket};
use crate::words::{NotProvidedGround, Part, Stage};

mod decide;

pub(crate) use decide::{check_order, decide, issue, start_clock};

/// An order as dispatch asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Lead or assist.
    pub part: Part,
    /// To whom.
    pub unit: UnitId,
    /// What to do; required.
    pub task: Sealed,
    /// By when, where shorter than policy's.
    pub due: Option<Timestamp>,
}

/// A measure as a unit plans it: with owner and date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasurePlan {
    /// What will be done; required.
    pub text: Sealed,
    /// The unit that owns it.
    pub owner: UnitId,
    /// By when.
    pub due_on: Date,
}

/// A service that cannot be given 无法提供, as the lead replies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotProvided {
    /// On what ground.
    pub ground: NotProvidedGround,
    /// What proves it; required.
    pub evidence: Sealed,
    /// What was offered instead; required.
    pub offered: Sealed,
}

/// What happened to orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An order went out; its clock runs from here, not from acceptance.
    Issued {
        /// Its number.
        order: OrderNo,
        /// Lead or assist.
        part: Part,
        /// To whom.
        unit: UnitId,
        /// What to do.
        task: Sealed,
        /// The order it replaces, where it does.
        replaces: Option<OrderNo>,
    },
    /// 签收.
    Accepted {
        /// The order.
        order: OrderNo,
    },
    /// The unit replied. The lead's reply completes the round's.
    Replied {
        /// The order.
        order: OrderNo,
        /// How it was resolved.
        resolution: Sealed,
        /// The cause, as the unit found it.
        cause: Option<Cause>,
        /// Who did the work.
        done_by: Vec<EmployeeId>,
        /// The service cannot be given; absent where it was.
        not_provided: Option<NotProvided>,
    },
    /// A supervisor struck a name that a reply gives wrongly as one who did the work.
    DoneByStruck {
        /// The order replied to.
        order: OrderNo,
        /// Whose name.
        person: EmployeeId,
        /// Why.
        reason: Sealed,
    },
    /// 退单 asked.
    ReturnRequested {
        /// The order.
        order: OrderNo,
        /// Why.
        reason: Sealed,
    },
    /// Dispatch (or the supervisor) took the order back.
    ReturnGranted {
        /// The order.
        order: OrderNo,
    },
    /// The order stays where it is.
    ReturnRefused {
        /// The order.
        order: OrderNo,
        /// Why.
        reason: Sealed,
    },
    /// An assist ended unanswered.
    Released {
        /// The order.
        order: OrderNo,
        /// Why.
        reason: Sealed,
    },
    /// Dispatch took an order away, or the ticket ended.
    Recalled {
        /// The order.
        order: OrderNo,
        /// Why; absent where the ticket ended.
        reason: Option<Sealed>,
    },
    /// More time asked.
    ExtensionAsked {
        /// The order.
        order: OrderNo,
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: Sealed,
    },
    /// More time granted.
    ExtensionGranted {
        /// The order.
        order: OrderNo,
        /// The new due moment.
        until: Timestamp,
    },
    /// No more time.
    ExtensionRefused {
        /// The order.
        order: OrderNo,
        /// Why.
        reason: Sealed,
    },
    /// The lead waits for an assist; the assist's unit has the ticket until it replies.
    WaitingForAssist {
        /// The lead's order.
        order: OrderNo,
        /// The assist's order.
        assist: OrderNo,
    },
}

/// What may be asked of orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Accept an order.
    Accept {
        /// The order.
        order: OrderNo,
    },
    /// Reply to an order.
    Reply {
        /// The order.
        order: OrderNo,
        /// How it was resolved; required.
        resolution: Sealed,
        /// The cause, as the unit found it.
        cause: Option<Cause>,
        /// Measures, each with owner and date.
        measures: Vec<MeasurePlan>,
        /// Who did the work; at least one.
        done_by: Vec<EmployeeId>,
        /// The service cannot be given; the lead's word only.
        not_provided: Option<NotProvided>,
    },
    /// Strike a name that a reply gives wrongly (a supervisor who did no part).
    StrikeDoneBy {
        /// The order replied to.
        order: OrderNo,
        /// Whose name.
        person: EmployeeId,
        /// Why; required.
        reason: Sealed,
    },
    /// Ask to return an order.
    RequestReturn {
        /// The order.
        order: OrderNo,
        /// Why; required.
        reason: Sealed,
    },
    /// Grant a return. A lead's needs a new lead.
    GrantReturn {
        /// The order.
        order: OrderNo,
        /// The order that takes its place.
        replacement: Option<NewOrder>,
    },
    /// Refuse a return.
    RefuseReturn {
        /// The order.
        order: OrderNo,
        /// Why; required.
        reason: Sealed,
    },
    /// Add an assist.
    AddAssist {
        /// The order; an assist.
        order: NewOrder,
    },
    /// Release an assist.
    Release {
        /// The order.
        order: OrderNo,
        /// Why; required.
        reason: Sealed,
    },
    /// Recall or reassign an order. A lead's needs a new lead.
    Recall {
        /// The order.
        order: OrderNo,
        /// Why; required.
        reason: Sealed,
        /// The order that takes its place.
        replacement: Option<NewOrder>,
    },
    /// Ask for more time, before due.
    AskExtension {
        /// The order.
        order: OrderNo,
        /// Until when.
        until: Timestamp,
        /// Why; required.
        reason: Sealed,
    },
    /// Grant more time, before due.
    GrantExtension {
        /// The order.
        order: OrderNo,
        /// Until when; the moment asked for, where absent.
        until: Option<Timestamp>,
    },
    /// Refuse more time.
    RefuseExtension {
        /// The order.
        order: OrderNo,
        /// Why; required.
        reason: Sealed,
    },
    /// Say that the lead waits for an assist.
    WaitForAssist {
        /// The lead's order.
        order: OrderNo,
        /// The assist's order.
        assist: OrderNo,
    },
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Sent out.
    Issued,
    /// 签收.
    Accepted,
    /// Its return waits for an answer; its clock runs on.
    ReturnAsked,
    /// Answered.
    Replied,
    /// Its return was granted.
    Returned,
    /// Ended unanswered.
    Released,
    /// Taken away.
    Recalled,
}

/// An order as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its number inside the ticket.
    pub number: OrderNo,
    /// Lead or assist.
    pub part: Part,
    /// To whom.
    pub unit: UnitId,
    /// Where it stands.
    pub status: Status,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// The unit accepted it once, and so is involved.
    pub was_accepted: bool,
    /// The assist that the lead waits for.
    pub waits_for: Option<OrderNo>,
    /// More time was asked, until then.
    pub extension_asked: Option<Timestamp>,
    /// How often it was replied to.
    pub replies: u32,
    /// The round that it belongs to.
    pub round: u32,
    /// Which of its round's returns it asked last, from 1; 0 where it asked none.
    pub return_number: u32,
}

impl Order {
    /// It waits for its reply.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.status, Status::Issued | Status::Accepted | Status::ReturnAsked)
    }
}

pub(crate) fn apply(ticket: &mut Ticket, event: &Event, meta: &Meta) {
    match event {
        Event::Issued { order, part, unit, .. } => {
            ticket.orders.push(Order {
                number: *order,
                part: *part,
                unit: unit.clone(),
                status: Status::Issued,
                issued_at: meta.recorded_at,
                was_accepted: false,
                waits_for: None,
                extension_asked: None,
                replies: 0,
                round: ticket.round.number,
                return_number: 0,
            });
            if *part == Part::Lead {
                ticket.round.lead = Some(*order);
            }
            ticket.handled(meta);
        }
        Event::Accepted { order } => {
            change(ticket, *order, |order| {
                order.status = Status::Accepted;
                order.was_accepted = true;
            });
            ticket.handled(meta);
        }
        Event::Replied { order, cause, done_by, not_provided, .. } => {
            change(ticket, *order, |order| {
                order.status = Status::Replied;
                order.replies += 1;
            });
            match cause {
                Some(Cause::Known(_) | Cause::NewOrder) => ticket.cause = Some(meta.id),
                Some(Cause::NotYetKnown) | None => {}
            }
            for person in done_by {
                ticket.people.entry(person.folded()).or_default().named_by.insert(*order);
            }
            if ticket.round.lead == Some(*order) {
                ticket.round.reply = Some(meta.id);
                ticket.round.not_provided = not_provided.as_ref().map(|reply| state::NotProvided {
                    ground: reply.ground,
                    replied_at: meta.recorded_at,
                    consent: None,
                });
                ticket.complete(Stage::Reply);
            }
            ticket.handled(meta);
        }
        // A supervisor's word about what others did; it makes nobody a party to it.
        Event::DoneByStruck { order, person, .. } => {
            if let Some(part) = ticket.people.get_mut(&person.folded()) {
                part.named_by.remove(order);
            }
        }
        Event::ReturnRequested { order, .. } => {
            ticket.round.returns += 1;
            ticket.ever_returned = true;
            let number = ticket.round.returns;
            change(ticket, *order, |order| {
                order.status = Status::ReturnAsked;
                order.return_number = number;
            });
            ticket.handled(meta);
        }
        Event::ReturnGranted { order } => {
            change(ticket, *order, |order| order.status = Status::Returned);
            ticket.handled(meta);
        }
        Event::ReturnRefused { order, .. } => {
            change(ticket, *order, |order| order.status = Status::Issued);
            ticket.handled(meta);
        }
        Event::Released { order, .. } => {
            change(ticket, *order, |order| order.status = Status::Released);
            ticket.handled(meta);
        }
        Event::Recalled { order, .. } => {
            change(ticket, *order, |order| order.status = Status::Recalled);
            ticket.handled(meta);
        }
        Event::ExtensionAsked { order, until, .. } => {
            change(ticket, *order, |order| order.extension_asked = Some(*until));
            ticket.handled(meta);
        }
        Event::ExtensionGranted { order, .. } | Event::ExtensionRefused { order, .. } => {
            change(ticket, *order, |order| order.extension_asked = None);
            ticket.handled(meta);
        }
        Event::WaitingForAssist { order, assist } => {
            change(ticket, *order, |order| order.waits_for = Some(*assist));
            ticket.handled(meta);
        }
    }
}

fn change(ticket: &mut Ticket, order: OrderNo, change: impl FnOnce(&mut Order)) {
    if let Some(order) = ticket.order_mut(order) {
        change(order);
    }
}
