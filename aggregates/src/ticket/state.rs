//! What a ticket is, folded from its events.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{
    AppointmentNo, ClockNo, DueNo, EmployeeId, EventId, NoticeId, OrderNo, ProblemId, RequestNo, TicketId,
    UnitId, VerdictNo,
};
use crate::memory::Memory;
use crate::meta::Meta;
use crate::ticket::chain::Attempt;
use crate::ticket::clock::{Clock, Escalation, Pause};
use crate::ticket::contact::Request;
use crate::ticket::custody::Custody;
use crate::ticket::fault::FaultState;
use crate::ticket::gate::Measure;
use crate::ticket::install::InstallState;
use crate::ticket::intake::{FirstOwner, Intake};
use crate::ticket::money::Due;
use crate::ticket::order::Order;
use crate::ticket::verdict::Verdict;
use crate::words::{Answer, FeedbackPassed, Gate, Kind, Milestone, NotProvidedGround, Outcome, Role, Stage};

/// How a ticket ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Closed with a certificate.
    Closed,
    /// Withdrawn by the customer.
    Withdrawn,
    /// Rejected as not ours.
    Rejected,
    /// Merged into another ticket.
    Merged(TicketId),
}

/// A ticket's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub how: End,
    /// When it was recorded.
    pub at: Timestamp,
}

/// The round that is open, or was open at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Its number, from 1.
    pub number: u32,
    /// The lead order.
    pub lead: Option<OrderNo>,
    /// Returns asked in this round.
    pub returns: u32,
    /// How often the desk sent the lead's reply back in this round.
    pub sent_back: u32,
    /// The last answer given in this round.
    pub answer: Option<(Answer, EventId)>,
    /// How feedback was passed, and by which event.
    pub passed: Option<(FeedbackPassed, EventId)>,
    /// The lead's reply.
    pub reply: Option<EventId>,
    /// The inspection that passed.
    pub inspection: Option<EventId>,
    /// The lead replied that the service cannot be given 无法提供.
    pub not_provided: Option<NotProvided>,
    pub(crate) attempts: Vec<Attempt>,
}

impl Part {
    /// Did some of the work, by an act or by a reply's word.
    #[must_use]
    pub fn handled(&self) -> bool {
        self.acted || !self.named_by.is_empty()
    }
}

impl Round {
    /// How often the customer was called and not reached in this round.
    #[must_use]
    pub fn attempts_made(&self) -> usize {
        self.attempts.len()
    }

    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            lead: None,
            returns: 0,
            sent_back: 0,
            answer: None,
            passed: None,
            reply: None,
            inspection: None,
            not_provided: None,
            attempts: Vec::new(),
        }
    }

    /// The service cannot be given, and a supervisor consented to that.
    #[must_use]
    pub fn not_provided_consented(&self) -> Option<&NotProvided> {
        self.not_provided.as_ref().filter(|known| known.consent.is_some())
    }
}

/// A lead's reply that the service cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotProvided {
    /// On what ground.
    pub ground: NotProvidedGround,
    /// When it was replied; dues stop here.
    pub replied_at: Timestamp,
    /// The supervisor's consent.
    pub consent: Option<EventId>,
}

/// What a person did on a ticket; nobody judges their own work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Took in, investigated, dispatched, replied, recorded facts or feedback, called the customer, paused it.
    pub acted: bool,
    /// Orders whose replies name this person as one who did the work, and nobody struck the name.
    pub named_by: BTreeSet<OrderNo>,
    /// Inspected, reported, assessed or signed off. A waiver is no part in the work.
    pub judged: bool,
}

/// Which fact an event recorded: a correction puts the same fact right, never another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FactKind {
    Category,
    LineTested,
    Repaired,
    ServiceUp,
    TerminalJudged,
    ArrearsPaid,
    Milestone(Milestone),
    Appointment(AppointmentNo, Outcome),
}

impl FactKind {
    /// Whether a fact of this kind may take the place of the other.
    pub(crate) fn corrects(self, other: Self) -> bool {
        match (self, other) {
            (Self::Appointment(one, _), Self::Appointment(two, _)) => one == two,
            _ => self == other,
        }
    }
}

/// A fact as it stands: what it is about, and who recorded it, which decides who may correct it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactRecord {
    pub(crate) unit: UnitId,
    pub(crate) role: Role,
    pub(crate) kind: FactKind,
    pub(crate) occurred_at: Timestamp,
}

/// A ticket, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// What was known at intake; category and first owner as they are now.
    pub intake: Box<Intake>,
    /// The intake's event.
    pub intake_event: EventId,
    /// The last event's revision.
    pub revision: u64,
    /// The last event's recorded moment.
    pub last_recorded_at: Timestamp,
    /// The first event's recorded moment.
    pub first_recorded_at: Timestamp,
    /// Where the ticket stands on the chain.
    pub stage: Stage,
    /// The end, while it has one.
    pub ended: Option<Ended>,
    /// How often it was reopened.
    pub reopened: u32,
    /// The round with which it was opened, or last reopened.
    pub opened_round: u32,
    /// How often it ended.
    pub ends: u32,
    /// The round.
    pub round: Round,
    /// Rounds that ended less than satisfied: 不满意, and 基本满意 too.
    pub dissatisfied_rounds: u32,
    /// Every order ever issued.
    pub orders: Vec<Order>,
    /// Every clock instance.
    pub clocks: Vec<Clock>,
    /// Imported, and no department has acted yet: no clock runs.
    pub dormant: bool,
    /// The pause, while there is one.
    pub pause: Option<Pause>,
    /// Custody.
    pub custody: Custody,
    /// Who did what, by their folded numbers.
    pub people: BTreeMap<EmployeeId, Part>,
    /// The event that recorded a known cause.
    pub cause: Option<EventId>,
    /// Units named by findings or inspection, and the naming event.
    pub named: BTreeMap<UnitId, EventId>,
    /// Outside requests and their receipts.
    pub requests: Vec<Request>,
    /// How often the customer urged.
    pub urges: u32,
    /// Whether the first talk with the customer has happened.
    pub contacted: bool,
    /// Moments at which the customer was told of a delay.
    pub delays_notified: u32,
    /// Verdicts.
    pub verdicts: Vec<Verdict>,
    /// Measures.
    pub measures: Vec<Measure>,
    /// The event that says that no measure is needed.
    pub no_measure: Option<EventId>,
    /// The event by which a problem's action serves this ticket.
    pub served: Option<EventId>,
    /// Waived gates and the waiving events.
    pub waived: BTreeMap<Gate, EventId>,
    /// Dues.
    pub dues: Vec<Due>,
    /// Proposed escalations.
    pub escalations: Vec<Escalation>,
    /// Fault facts.
    pub fault: FaultState,
    /// Install facts and appointments.
    pub install: InstallState,
    /// The event that holds the latest certificate.
    pub certificate: Option<EventId>,
    /// A supervisor consented to rejecting it as not ours.
    pub rejection_consented: bool,
    /// The problem it joined.
    pub problem: Option<ProblemId>,
    /// Notices that explain it.
    pub notices: BTreeSet<NoticeId>,
    /// Tickets merged into this one.
    pub merged_from: BTreeSet<TicketId>,
    /// An auditor's finding, not yet answered by a reopening.
    pub finding: Option<EventId>,
    /// Any return was asked, in any round.
    pub ever_returned: bool,
    /// Facts and who recorded them.
    pub facts: BTreeMap<EventId, FactRecord>,
    /// Commands and what they did.
    pub commands: Memory,
}

impl Ticket {
    /// The ticket's id.
    #[must_use]
    pub fn id(&self) -> TicketId {
        self.intake.ticket
    }

    /// Complaint, fault or install.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.intake.kind
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// The first owner 首问责任人.
    #[must_use]
    pub fn first_owner(&self) -> &FirstOwner {
        &self.intake.first_owner
    }

    /// The round's lead order.
    #[must_use]
    pub fn lead(&self) -> Option<&Order> {
        self.round.lead.and_then(|order| self.order(order))
    }

    /// An order by number.
    #[must_use]
    pub fn order(&self, order: OrderNo) -> Option<&Order> {
        self.orders.get(index(order.0)?)
    }

    pub(crate) fn order_mut(&mut self, order: OrderNo) -> Option<&mut Order> {
        self.orders.get_mut(index(order.0)?)
    }

    /// An outside request by number.
    #[must_use]
    pub fn request(&self, request: RequestNo) -> Option<&Request> {
        self.requests.get(index(request.0)?)
    }

    /// A clock by number.
    #[must_use]
    pub fn clock_instance(&self, clock: ClockNo) -> Option<&Clock> {
        self.clocks.get(index(clock.0)?)
    }

    /// A verdict by number.
    #[must_use]
    pub fn verdict(&self, verdict: VerdictNo) -> Option<&Verdict> {
        self.verdicts.get(index(verdict.0)?)
    }

    /// A due by number.
    #[must_use]
    pub fn due(&self, due: DueNo) -> Option<&Due> {
        self.dues.get(index(due.0)?)
    }

    /// Whether 110 handed it over or it is part of a declared mass outage.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        use crate::words::Channel::Police110;
        self.intake.mass_outage
            || self.intake.channel == Police110
            || self.requests.iter().any(|request| request.outside.body == Police110)
    }

    /// Whether the standing rule may inspect, report and assess it (domain.md section 3, Routine).
    #[must_use]
    pub fn is_routine(&self) -> bool {
        let satisfied = matches!(self.round.passed, Some((FeedbackPassed::Satisfied, _)));
        self.kind() != Kind::Complaint
            && self.round.not_provided.is_none()
            && self.round.number == 1
            && satisfied
            && !self.ever_returned
            && !self.install.any_missed()
            && !self.clocks.iter().any(Clock::is_breached)
    }

    /// Units and departments that need a verdict (domain.md section 3, Involved units).
    #[must_use]
    pub fn involved(&self) -> BTreeSet<UnitId> {
        let holders = self.orders.iter().filter(|order| order.was_accepted).map(|order| order.unit.clone());
        let late = self.clocks.iter().filter(|clock| clock.is_breached()).filter_map(Clock::department);
        self.named.keys().cloned().chain(holders).chain(late.map(UnitId::from)).collect()
    }
}

/// The index of something numbered from 1.
pub(crate) fn index(number: u32) -> Option<usize> {
    usize::try_from(number).ok()?.checked_sub(1)
}

/// The number of the next element of a list that is numbered from 1.
pub(crate) fn next_number(length: usize) -> u32 {
    u32::try_from(length).map_or(u32::MAX, |length| length.saturating_add(1))
}

impl Ticket {
    /// Notes that the event's actor handled the ticket.
    pub(crate) fn handled(&mut self, meta: &Meta) {
        if !meta.actor.role.is_system() {
            self.people.entry(meta.actor.id.folded()).or_default().acted = true;
        }
    }

    /// Notes that the event's actor judged the ticket.
    pub(crate) fn judged(&mut self, meta: &Meta) {
        if !meta.actor.role.is_system() {
            self.people.entry(meta.actor.id.folded()).or_default().judged = true;
        }
    }

    /// The stage is completed: the ticket goes on to the one after it.
    pub(crate) fn complete(&mut self, stage: Stage) {
        self.stage = stage.row().next.unwrap_or(stage);
    }

    /// Notes a fact that may be corrected.
    pub(crate) fn fact(&mut self, kind: FactKind, meta: &Meta) {
        let record = FactRecord {
            unit: meta.actor.unit.clone(),
            role: meta.actor.role,
            kind,
            occurred_at: meta.occurred_at,
        };
        self.facts.insert(meta.id, record);
        self.handled(meta);
    }
}
