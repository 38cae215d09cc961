//! What events say to clocks: the words of the table's columns, and the one reading of an event in these words.

use jiff::Timestamp;

use super::{Start, Subject};
use crate::ids::OrderNo;
use crate::ticket::intake::{self, Fact, OutsideRequest};
use crate::ticket::state::Ticket;
use crate::ticket::{self, chain, contact, fault, install, order};
use crate::words::{Answer, Milestone, ReceiptKind, RoundCause, Stage};

/// What starts, meets or cancels clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// Work on the ticket begins: at intake, with a reopening, with a department's first command on an import.
    Opened,
    /// An outside body handed its case over.
    HandedOver,
    /// A receipt is owed still when work begins again.
    StillOwed,
    /// The ticket came to a stage.
    StageEntered,
    /// The stage's department has done its part, whatever came of it.
    StageDone,
    /// The chain went back behind the stage, or entered it anew.
    StageLeft,
    /// An order went out, or its reply was sent back.
    OrderIssued,
    /// An order was replied to.
    OrderReplied,
    /// An order was released or recalled, or its return granted.
    OrderEnded,
    /// The desk or a unit talked with the customer.
    Talked,
    /// The customer answered, whatever the answer.
    Answered,
    /// Feedback passed.
    FeedbackPassed,
    /// It passed on a reply that the service cannot be given, to which a supervisor consented.
    NotProvided,
    /// The customer answered that they are dissatisfied.
    Dissatisfied,
    /// A round was opened.
    RoundOpened,
    /// It was opened after feedback had passed, which has to pass again.
    RoundRepeated,
    /// Service was up.
    ServiceUp,
    /// Arrears were paid.
    ArrearsPaid,
    /// The service was activated.
    Activated,
    /// A final or supplementary receipt was given.
    ReceiptGiven,
    /// The ticket was merged: the receipt is the other ticket's to give.
    HandedOn,
    /// The ticket was closed.
    Closed,
    /// It ended, in whatever way.
    Ended,
}

impl Trigger {
    /// As the table's columns say it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Opened => "intake or reopening",
            Self::HandedOver => "hand-over",
            Self::StillOwed => "reopening while a receipt is owed",
            Self::StageEntered => "stage entered",
            Self::StageDone => "stage done",
            Self::StageLeft => "way back behind the stage",
            Self::OrderIssued => "issued, or reply sent back",
            Self::OrderReplied => "reply",
            Self::OrderEnded => "released, recalled, return granted",
            Self::Talked => "talk with the customer",
            Self::Answered => "any answer of the customer",
            Self::FeedbackPassed => "feedback passed",
            Self::NotProvided => "told that it cannot be given",
            Self::Dissatisfied => "dissatisfied answer",
            Self::RoundOpened => "next round",
            Self::RoundRepeated => "next round after feedback had passed",
            Self::ServiceUp => "service up",
            Self::ArrearsPaid => "arrears paid",
            Self::Activated => "activated",
            Self::ReceiptGiven => "final receipt",
            Self::HandedOn => "merge",
            Self::Closed => "closed",
            Self::Ended => "end of the ticket",
        }
    }

    /// What a fact says, where clocks wait for it.
    #[must_use]
    pub fn of_fact(fact: &Fact) -> Option<Self> {
        match fact {
            Fact::Fault(fact) => Self::of_fault(fact),
            Fact::Install(fact) => Self::of_install(fact),
            Fact::Category { .. } => None,
        }
    }

    fn of_fault(fact: &fault::Fact) -> Option<Self> {
        match fact {
            fault::Fact::ServiceUp => Some(Self::ServiceUp),
            fault::Fact::ArrearsPaid { .. } => Some(Self::ArrearsPaid),
            fault::Fact::LineTested { .. }
            | fault::Fact::Repaired { .. }
            | fault::Fact::TerminalJudged { .. } => None,
        }
    }

    fn of_install(fact: &install::Fact) -> Option<Self> {
        match fact {
            install::Fact::MilestoneReached { milestone: Milestone::Activated } => Some(Self::Activated),
            install::Fact::MilestoneReached { .. } | install::Fact::AppointmentEnded { .. } => None,
        }
    }
}

/// A trigger, as an event gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Which.
    pub trigger: Trigger,
    /// What it is about: only clocks about the same hear it, but for the ticket's end, which all hear.
    pub subject: Subject,
    /// When it was given.
    pub at: Timestamp,
}

impl Signal {
    /// Whether a clock waits for this.
    #[must_use]
    pub fn meets(&self, clock: &Start) -> bool {
        clock.subject == self.subject && clock.kind.row().met_by.contains(&self.trigger)
    }

    /// Whether what a clock waits for will not come after this.
    #[must_use]
    pub fn cancels(&self, clock: &Start) -> bool {
        let concerned = clock.subject == self.subject || self.trigger == Trigger::Ended;
        concerned && clock.kind.row().cancelled_by.contains(&self.trigger)
    }

    fn about(subject: Subject, trigger: Trigger, at: Timestamp) -> Self {
        Self { trigger, subject, at }
    }

    fn ticket(trigger: Trigger, at: Timestamp) -> Self {
        Self::about(Subject::Ticket, trigger, at)
    }

    fn stage(stage: Stage, trigger: Trigger, at: Timestamp) -> Self {
        Self::about(Subject::Stage(stage), trigger, at)
    }

    fn order(order: OrderNo, trigger: Trigger, at: Timestamp) -> Self {
        Self::about(Subject::Order(order), trigger, at)
    }

    fn handed_over(request: &OutsideRequest) -> Self {
        Self::about(Subject::Request(request.request), Trigger::HandedOver, request.handed_over_at)
    }
}

/// What an event says to clocks, in the order in which they hear it. `ticket` is the ticket after it, `was` the stage before it,
/// `now` when it was recorded.
#[must_use]
pub fn signals(event: &ticket::Event, ticket: &Ticket, was: Option<Stage>, now: Timestamp) -> Vec<Signal> {
    let mut signals = match event {
        ticket::Event::Intake(event) => of_intake(event),
        ticket::Event::Contact(event) => of_contact(event, now),
        ticket::Event::Chain(event) => of_chain(event, ticket, now),
        ticket::Event::Order(event) => of_order(event, now),
        ticket::Event::Fault(fault::Event::FactRecorded { fact, occurred_at, .. }) => {
            match Trigger::of_fault(fact) {
                // What was up before the reopening is what the customer came back about.
                Some(Trigger::ServiceUp) if !ticket.fault.may_prove(*occurred_at) => Vec::new(),
                trigger => trigger.map(|trigger| Signal::ticket(trigger, *occurred_at)).into_iter().collect(),
            }
        }
        ticket::Event::Install(install::Event::FactRecorded { fact, occurred_at, .. }) => {
            let trigger = Trigger::of_install(fact);
            trigger.map(|trigger| Signal::ticket(trigger, *occurred_at)).into_iter().collect()
        }
        ticket::Event::Install(
            install::Event::AppointmentMade { .. } | install::Event::AppointmentRescheduled { .. },
        )
        | ticket::Event::Clock(_)
        | ticket::Event::Gate(_)
        | ticket::Event::Verdict(_)
        | ticket::Event::Money(_) => Vec::new(),
    };
    // A ticket that ended while it was investigated is reopened there, and is entered anew.
    let entered = matches!(event, ticket::Event::Chain(chain::Event::RoundOpened { .. }));
    if (was != Some(ticket.stage) || entered) && ticket.is_open() {
        signals.extend(was.map(|was| {
            let trigger = if ticket.stage > was { Trigger::StageDone } else { Trigger::StageLeft };
            Signal::stage(was, trigger, now)
        }));
        signals.extend(entered_stage(ticket, now));
    }
    signals
}

/// What an import says to its clocks when a department acts on it first: they start from now, so that none is late falsely.
pub(super) fn signals_on_waking(ticket: &Ticket, now: Timestamp) -> Vec<Signal> {
    let mut signals = again(ticket, now);
    signals.extend(entered_stage(ticket, now));
    signals
}

fn entered_stage(ticket: &Ticket, now: Timestamp) -> Option<Signal> {
    let stage = ticket.stage;
    stage.row().clock.then(|| Signal::stage(stage, Trigger::StageEntered, now))
}

/// Work begins again.
fn again(ticket: &Ticket, now: Timestamp) -> Vec<Signal> {
    let owed = ticket.requests.iter().filter(|request| request.is_owed());
    let owed =
        owed.map(|request| Signal::about(Subject::Request(request.outside.request), Trigger::StillOwed, now));
    std::iter::once(Signal::ticket(Trigger::Opened, now)).chain(owed).collect()
}

fn of_intake(event: &intake::Event) -> Vec<Signal> {
    match event {
        intake::Event::TakenIn(intake) => {
            let opened = Signal::ticket(Trigger::Opened, intake.taken_in_at);
            std::iter::once(opened).chain(intake.requests.iter().map(Signal::handed_over)).collect()
        }
        intake::Event::OutsideRequestAdded { request } => vec![Signal::handed_over(request)],
        // Also where it ended in between: an end leaves what an outside body waits for.
        intake::Event::MergeReceived { requests, .. } => requests.iter().map(Signal::handed_over).collect(),
        // What a corrected fact does to clocks has a file of its own, `correct.rs`.
        intake::Event::FactCorrected { .. }
        | intake::Event::Attached { .. }
        | intake::Event::FirstOwnerChanged { .. }
        | intake::Event::ProblemJoined { .. }
        | intake::Event::NoticeLinked { .. }
        | intake::Event::FindingFiled { .. } => Vec::new(),
    }
}

fn of_contact(event: &contact::Event, now: Timestamp) -> Vec<Signal> {
    match event {
        contact::Event::CustomerContacted { occurred_at, .. }
        | contact::Event::DelayNotified { occurred_at, .. } => {
            vec![Signal::ticket(Trigger::Talked, *occurred_at)]
        }
        contact::Event::ReceiptRecorded {
            request,
            kind: ReceiptKind::Final | ReceiptKind::Supplementary,
            ..
        } => {
            vec![Signal::about(Subject::Request(*request), Trigger::ReceiptGiven, now)]
        }
        contact::Event::ReceiptRecorded { kind: ReceiptKind::Interim, .. }
        | contact::Event::UrgeEscalated { .. } => Vec::new(),
    }
}

fn of_order(event: &order::Event, now: Timestamp) -> Vec<Signal> {
    match event {
        order::Event::Issued { order, .. } => vec![Signal::order(*order, Trigger::OrderIssued, now)],
        order::Event::Replied { order, .. } => vec![Signal::order(*order, Trigger::OrderReplied, now)],
        order::Event::Released { order, .. }
        | order::Event::Recalled { order, .. }
        | order::Event::ReturnGranted { order } => vec![Signal::order(*order, Trigger::OrderEnded, now)],
        order::Event::Accepted { .. }
        | order::Event::DoneByStruck { .. }
        | order::Event::ReturnRequested { .. }
        | order::Event::ReturnRefused { .. }
        | order::Event::ExtensionAsked { .. }
        | order::Event::ExtensionGranted { .. }
        | order::Event::ExtensionRefused { .. }
        | order::Event::WaitingForAssist { .. } => Vec::new(),
    }
}

fn of_chain(event: &chain::Event, ticket: &Ticket, now: Timestamp) -> Vec<Signal> {
    let ticket_wide = |trigger| Signal::ticket(trigger, now);
    match event {
        chain::Event::FeedbackRecorded { answer, .. } => {
            // Whatever the answer, the desk has done its part; so has an inspection that fails.
            let done = Signal::stage(Stage::Feedback, Trigger::StageDone, now);
            let heard = match answer {
                Answer::Satisfied => passed(ticket, now),
                // Who will not rate is signed off later.
                Answer::BasicallySatisfied | Answer::Declined => Vec::new(),
                Answer::Dissatisfied => vec![ticket_wide(Trigger::Dissatisfied)],
            };
            [ticket_wide(Trigger::Answered), done].into_iter().chain(heard).collect()
        }
        chain::Event::UnreachableSignedOff { .. }
        | chain::Event::DeclinedSignedOff { .. }
        | chain::Event::NobodyToAskSignedOff { .. }
        | chain::Event::FeedbackConcluded { .. } => passed(ticket, now),
        chain::Event::Inspected { .. } => vec![Signal::stage(Stage::Inspect, Trigger::StageDone, now)],
        chain::Event::Closed { .. } => vec![ticket_wide(Trigger::Closed), ticket_wide(Trigger::Ended)],
        chain::Event::Withdrawn { .. } | chain::Event::Rejected { .. } => vec![ticket_wide(Trigger::Ended)],
        chain::Event::Merged { .. } => {
            let requests = ticket.requests.iter().map(|request| request.outside.request);
            let handed_on =
                requests.map(|request| Signal::about(Subject::Request(request), Trigger::HandedOn, now));
            std::iter::once(ticket_wide(Trigger::Ended)).chain(handed_on).collect()
        }
        chain::Event::Reopened { .. } => again(ticket, now),
        chain::Event::RoundOpened { because, .. } => {
            let repeated = match because {
                RoundCause::InspectionFailed | RoundCause::FactsLacking | RoundCause::MatterReturned => {
                    Some(Trigger::RoundRepeated)
                }
                // Dissatisfaction leaves the ticket clock running; reopening has started it.
                RoundCause::NotSatisfied | RoundCause::Reopened => None,
            };
            std::iter::once(Trigger::RoundOpened).chain(repeated).map(ticket_wide).collect()
        }
        chain::Event::ReplySentBack { orders, .. } => {
            orders.iter().map(|order| Signal::order(*order, Trigger::OrderIssued, now)).collect()
        }
        chain::Event::Investigated { .. }
        | chain::Event::Dispatched { .. }
        | chain::Event::ContactAttempted { .. }
        | chain::Event::Reported { .. }
        | chain::Event::Assessed { .. }
        | chain::Event::NotProvidedConsented { .. }
        | chain::Event::RejectionConsented { .. } => Vec::new(),
    }
}

/// Feedback passed; on a service that cannot be given nobody waits any more.
fn passed(ticket: &Ticket, now: Timestamp) -> Vec<Signal> {
    let not_provided = ticket.round.not_provided_consented().map(|_| Trigger::NotProvided);
    std::iter::once(Trigger::FeedbackPassed)
        .chain(not_provided)
        .map(|trigger| Signal::ticket(trigger, now))
        .collect()
}
