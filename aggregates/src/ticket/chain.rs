//! The closed loop 闭环: investigate → dispatch → reply → feedback → inspect → report → assess → end
//! (domain.md section 3). No stage is skipped.

use jiff::Timestamp;

use crate::ids::{EmployeeId, OrderNo, TicketId, UnitId, VerdictNo};
use crate::sealed::Sealed;
use crate::ticket::gate::Certificate;
use crate::ticket::intake::Attachment;
use crate::ticket::order::NewOrder;
use crate::ticket::verdict::Finding;
use crate::words::{Answer, Gate, Ground, ReopenCause, RoundCause, Stage};

mod decide;
mod ends;
mod fold;
pub mod table;

pub(crate) use decide::{check_cause, decide};
pub(crate) use fold::apply;

/// Why a fault or complaint arose, as far as the chain must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Known, and recorded.
    Known(Sealed),
    /// "Not yet known" 尚未查明.
    NotYetKnown,
    /// An install's cause: a new order.
    NewOrder,
}

/// A unit named as involved, by findings or by inspection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedUnit {
    /// The unit.
    pub unit: UnitId,
    /// What for.
    pub reason: Sealed,
}

/// The inspector's judgement of one gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Cause, solution or improvement.
    pub gate: Gate,
    /// Whether it holds.
    pub passed: bool,
    /// What the judgement rests on.
    pub evidence: Sealed,
}

/// What happened on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Findings; completes investigate.
    Investigated {
        /// The cause.
        cause: Cause,
        /// What was found.
        facts: Sealed,
        /// Units named as involved.
        units: Vec<NamedUnit>,
    },
    /// One lead and any assists were sent out; completes dispatch. Each order's `Issued` follows.
    Dispatched {
        /// The lead order 主办单.
        lead: OrderNo,
        /// Assist orders 协办单.
        assists: Vec<OrderNo>,
    },
    /// The customer was told and answered.
    FeedbackRecorded {
        /// The answer.
        answer: Answer,
        /// The customer's words.
        words: Sealed,
        /// The recording.
        recording: Option<Attachment>,
    },
    /// The customer was called and not reached.
    ContactAttempted {
        /// The recording of the attempt.
        recording: Attachment,
    },
    /// A supervisor signed off that the customer is unreachable; passes feedback, never as satisfied.
    UnreachableSignedOff {
        /// The supervisor's reason.
        reason: Sealed,
    },
    /// A supervisor signed off that a customer who was reached will not rate 未评价; passes feedback, never as satisfied.
    DeclinedSignedOff {
        /// The supervisor's reason.
        reason: Sealed,
    },
    /// A supervisor signed off that there is nobody to ask: an anonymous reporter; passes feedback, never as satisfied.
    NobodyToAskSignedOff {
        /// The supervisor's reason.
        reason: Sealed,
    },
    /// A supervisor consented to the lead's reply that the service cannot be given 无法提供; the customer is told next.
    NotProvidedConsented {
        /// The supervisor's reason.
        reason: Sealed,
    },
    /// A supervisor concluded a never-satisfied ticket; passes feedback as dissatisfied.
    FeedbackConcluded {
        /// The ground.
        ground: Ground,
        /// What the customer was offered.
        offer: Sealed,
        /// Proof that the appeal route 申诉 was explained.
        appeal_explained: Attachment,
    },
    /// Gates 1 to 3 were judged. All passed or waived: the report is next.
    Inspected {
        /// One judgement a gate.
        judgements: Vec<Judgement>,
        /// Units named as involved.
        units: Vec<NamedUnit>,
    },
    /// Reported to the named level; completes report.
    Reported {
        /// The level, for instance `city`.
        level: String,
        /// What was reported.
        summary: Sealed,
        /// The report's own number.
        reference: String,
    },
    /// Every involved unit has its verdict; completes assess.
    Assessed {
        /// New verdicts.
        verdicts: Vec<NewVerdict>,
        /// Earlier verdicts that stand.
        confirmed: Vec<VerdictNo>,
    },
    /// The next round begins.
    RoundOpened {
        /// Its number, from 1.
        round: u32,
        /// Investigate or dispatch.
        stage: Stage,
        /// Why.
        because: RoundCause,
        /// In words.
        reason: Option<Sealed>,
    },
    /// Before feedback the desk sent replies back: same round, new order clocks.
    ReplySentBack {
        /// The lead's order, and assists named with it.
        orders: Vec<OrderNo>,
        /// What is missing.
        reason: Sealed,
    },
    /// The five gates hold: the ticket is closed, with its certificate.
    Closed {
        /// Each gate and the events that prove it.
        certificate: Certificate,
    },
    /// The customer withdrew the case.
    Withdrawn {
        /// The customer's recorded word.
        recording: Attachment,
        /// Why.
        reason: Sealed,
    },
    /// Not ours; the customer was told where to turn.
    Rejected {
        /// Where to.
        referred_to: Sealed,
        /// Why.
        reason: Sealed,
        /// The recording of telling the customer.
        recording: Attachment,
    },
    /// A supervisor consented to rejecting the ticket as not ours.
    RejectionConsented {
        /// Why.
        reason: Sealed,
    },
    /// Merged into an open ticket of the same customer and service.
    Merged {
        /// The ticket that goes on.
        into: TicketId,
    },
    /// The ticket goes on in a new round.
    Reopened {
        /// Why.
        because: ReopenCause,
        /// In words.
        reason: Sealed,
    },
}

/// A verdict as assessment gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVerdict {
    /// Its number inside the ticket.
    pub verdict: VerdictNo,
    /// On whom.
    pub unit: UnitId,
    /// What was found.
    pub finding: Finding,
}

/// What may be asked of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Record findings.
    Investigate {
        /// The cause.
        cause: Cause,
        /// What was found; required.
        facts: Sealed,
        /// Units named.
        units: Vec<NamedUnit>,
    },
    /// Send out one lead and any assists.
    Dispatch {
        /// The orders, exactly one lead.
        orders: Vec<NewOrder>,
    },
    /// 110 and mass outages: the desk records findings and dispatch itself, as two events.
    DispatchUrgent {
        /// What is known.
        facts: Sealed,
        /// The orders, exactly one lead.
        orders: Vec<NewOrder>,
    },
    /// Record the customer's answer.
    RecordFeedback {
        /// The answer.
        answer: Answer,
        /// The customer's words; required.
        words: Sealed,
        /// The recording.
        recording: Option<Attachment>,
        /// Whether the next round opens at investigate, where the answer is not satisfied.
        investigate_again: bool,
    },
    /// Record that the customer was called and not reached.
    AttemptContact {
        /// The recording; required.
        recording: Attachment,
    },
    /// Sign off that the customer is unreachable.
    SignOffUnreachable {
        /// Why; required.
        reason: Sealed,
    },
    /// Sign off that a customer who was reached will not rate.
    SignOffDeclined {
        /// Why; required.
        reason: Sealed,
    },
    /// Sign off that there is nobody to ask.
    SignOffNobodyToAsk {
        /// Why; required.
        reason: Sealed,
    },
    /// Consent to the lead's reply that the service cannot be given.
    ConsentToNotProvided {
        /// Why; required.
        reason: Sealed,
    },
    /// Conclude a never-satisfied ticket.
    ConcludeFeedback {
        /// The ground.
        ground: Ground,
        /// What the customer was offered; required.
        offer: Sealed,
        /// Proof that the appeal route was explained.
        appeal_explained: Attachment,
    },
    /// Judge gates 1 to 3.
    Inspect {
        /// One judgement a gate.
        judgements: Vec<Judgement>,
        /// Units named as involved.
        units: Vec<NamedUnit>,
    },
    /// Report.
    Report {
        /// The level; required.
        level: String,
        /// What is reported; required.
        summary: Sealed,
        /// The report's own number; required.
        reference: String,
    },
    /// Give verdicts.
    Assess {
        /// New verdicts, a unit once.
        verdicts: Vec<(UnitId, Finding)>,
        /// Earlier verdicts that stand.
        confirmed: Vec<VerdictNo>,
    },
    /// Assessment lacks facts: back to investigate.
    RequestFacts {
        /// Which; required.
        reason: Sealed,
    },
    /// The matter returned after feedback had passed, and before the end: open the next round.
    OpenNextRound {
        /// Investigate or dispatch.
        stage: Stage,
        /// What happened; required.
        reason: Sealed,
    },
    /// Send replies back before feedback.
    SendReplyBack {
        /// Assists named with the lead.
        assists: Vec<OrderNo>,
        /// What is missing; required.
        reason: Sealed,
    },
    /// Close, when the five gates hold.
    Close,
    /// Withdraw on the customer's word.
    Withdraw {
        /// The customer's recorded word.
        recording: Attachment,
        /// Why; required.
        reason: Sealed,
    },
    /// Consent to rejecting the ticket as not ours (a supervisor).
    ConsentToRejection {
        /// Why; required.
        reason: Sealed,
    },
    /// Reject as not ours.
    Reject {
        /// Where the customer was told to turn; required.
        referred_to: Sealed,
        /// Why; required.
        reason: Sealed,
        /// The recording of telling the customer.
        recording: Attachment,
    },
    /// Merge into an open ticket.
    Merge {
        /// The ticket that goes on.
        into: TicketId,
        /// Evidence: what is known of that ticket.
        evidence: MergeEvidence,
    },
    /// Reopen.
    Reopen {
        /// Why.
        because: ReopenCause,
        /// In words; required.
        reason: Sealed,
    },
}

/// What the runner read about the ticket that takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeEvidence {
    /// It is open.
    pub open: bool,
    /// It has the same customer.
    pub same_customer: bool,
    /// It is about the same service.
    pub same_service: bool,
}

/// An attempt to reach the customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) at: Timestamp,
    pub(crate) by: EmployeeId,
}
