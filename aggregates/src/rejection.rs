//! Why a command was refused: a closed enum, each variant a fact.

use std::fmt;

use jiff::Timestamp;

use crate::ids::{
    AppointmentNo, ClockNo, DueNo, EscalationNo, EventId, MeasureNo, OrderNo, RequestNo, TicketId, UnitId,
    VerdictNo,
};
use crate::words::{Gate, Stage};

/// What kind of refusal it is; the server maps each to one status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A rule stands against it.
    Rule,
    /// The input itself is wrong.
    Invalid,
    /// It is somebody else's to do.
    NotYours,
    /// What it names does not exist.
    Unknown,
}

/// One thing that is missing before a command can succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The stage's completing event, which the department owes.
    Completion(Stage, &'static str),
    /// A new round: the stage has been passed in this one.
    NewRound,
    /// An assist's reply, or its release.
    AssistReply(OrderNo),
    /// A final (after a reopening: supplementary) receipt.
    Receipt(RequestNo),
    /// A recorded cause.
    Cause,
    /// `service up`.
    ServiceUp,
    /// A passing line test after the last failing one.
    PassingTest,
    /// The milestone `activated`.
    Activation,
    /// The survey and the assignment of resources.
    SurveyAndResources,
    /// Feedback that passed.
    Feedback,
    /// A measure with owner and date, or "none needed".
    Measure,
    /// A planned measure is not carried out yet.
    MeasureCarriedOut(MeasureNo),
    /// A unit without a verdict.
    Verdict(UnitId),
    /// A verdict that is not final yet.
    FinalVerdict(VerdictNo),
    /// A penalty not carried out yet.
    Penalty(VerdictNo),
    /// Money the customer does not have yet.
    Settlement(DueNo),
    /// More attempts to reach the customer, two hours apart.
    Attempts(u32),
    /// An attempt on a second day.
    SecondDay,
    /// An inspection's judgement of a gate.
    Judgement(Gate),
    /// The end of a customer's ticket.
    EndOf(TicketId),
    /// A receipt that is owed on a customer's ticket.
    ReceiptOn(TicketId, RequestNo),
    /// Money that a customer does not have yet from a ticket.
    SettlementOn(TicketId, DueNo),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completion(stage, department) => {
                write!(f, "{} to be completed by {department}", stage.name())
            }
            Self::NewRound => f.write_str("a new round"),
            Self::AssistReply(order) => write!(f, "the reply or release of assist order {order}"),
            Self::Receipt(request) => write!(f, "the final receipt for outside request {request}"),
            Self::Cause => f.write_str("a recorded cause"),
            Self::ServiceUp => f.write_str("service up"),
            Self::PassingTest => f.write_str("a passing line test"),
            Self::Activation => f.write_str("the milestone activated"),
            Self::SurveyAndResources => f.write_str("the milestones surveyed and resources assigned"),
            Self::Feedback => f.write_str("feedback that passed"),
            Self::Measure => f.write_str("a measure with owner and date, or none needed"),
            Self::MeasureCarriedOut(measure) => write!(f, "measure {measure} to be carried out"),
            Self::Verdict(unit) => write!(f, "a verdict for {unit}"),
            Self::FinalVerdict(verdict) => write!(f, "verdict {verdict} to become final"),
            Self::Penalty(verdict) => write!(f, "the penalty of verdict {verdict} to be carried out"),
            Self::Settlement(due) => write!(f, "due {due} to be paid or credited"),
            Self::Attempts(count) => {
                write!(f, "{count} more attempts to reach the customer, two hours apart")
            }
            Self::SecondDay => f.write_str("an attempt on a second day"),
            Self::Judgement(gate) => write!(f, "a judgement of gate {}", gate.name()),
            Self::EndOf(ticket) => write!(f, "the end of ticket {ticket}"),
            Self::ReceiptOn(ticket, request) => {
                write!(f, "the final receipt for outside request {request} of ticket {ticket}")
            }
            Self::SettlementOn(ticket, due) => {
                write!(f, "due {due} of ticket {ticket} to be paid or credited")
            }
        }
    }
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Required and empty.
    #[error("is required")]
    Required,
    /// Longer than allowed.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// More elements than allowed.
    #[error("has more than {0} elements")]
    TooMany(usize),
    /// Not in the policy's register.
    #[error("is not in the register: {0}")]
    NotRegistered(String),
    /// Given twice.
    #[error("is given twice: {0}")]
    Twice(String),
    /// Later than now.
    #[error("lies in the future")]
    InFuture,
    /// Earlier than now.
    #[error("does not lie in the future")]
    NotInFuture,
    /// Earlier than the ticket's intake.
    #[error("lies before the intake")]
    BeforeIntake,
    /// An earlier moment needs evidence.
    #[error("needs evidence, as it lies in the past")]
    NeedsEvidence,
    /// Exactly one lead order is needed.
    #[error("must name exactly one lead")]
    OneLead,
    /// A policy or calendar that cannot be used, and why.
    #[error("cannot be used: {0}")]
    Unusable(String),
    /// Not allowed for this ticket's kind, or in this place.
    #[error("does not fit: {0}")]
    Unfit(&'static str),
}

macro_rules! rejections {
    ($($(#[$doc:meta])* $name:ident $({ $($(#[$fdoc:meta])* $field:ident: $type:ty),* $(,)? })? => $class:ident, $code:literal, $text:literal;)*) => {
        /// Why a command was refused.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum Rejection {
            $($(#[$doc])* #[error($text)] $name $({ $($(#[$fdoc])* $field: $type),* })?,)*
        }

        impl Rejection {
            /// A constant name for programs, as `ErrorInfo.reason` carries it.
            #[must_use]
            pub fn reason(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $code,)*
                }
            }

            /// What kind of refusal it is.
            #[must_use]
            pub fn class(&self) -> Class {
                match self {
                    $(Self::$name { .. } => Class::$class,)*
                }
            }

            /// Every reason there is, for documentation and tests.
            pub const REASONS: &[&'static str] = &[$($code),*];
        }
    };
}

rejections! {
    /// No ticket with this id.
    TicketUnknown => Unknown, "TICKET_UNKNOWN", "there is no such ticket";
    /// The id is taken.
    TicketExists => Rule, "TICKET_EXISTS", "a ticket with this id exists already";
    /// The customer has an open ticket on the same service and category.
    OpenTicketExists {
        /// Which; a call on it is `ContactCustomer`.
        ticket: TicketId,
    } => Rule, "OPEN_TICKET_EXISTS", "ticket {ticket} of the same customer, service and category is open: record the call there";
    /// A ticket that ended within 30 days is about the same.
    ReopenInstead {
        /// Which.
        ticket: TicketId,
    } => Rule, "REOPEN_INSTEAD", "ticket {ticket} on the same ended within 30 days: reopen it";
    /// A field is wrong.
    Invalid {
        /// Its name in the request.
        field: &'static str,
        /// What is wrong.
        problem: Problem,
    } => Invalid, "INVALID_FIELD", "{field} {problem}";
    /// The ticket's stage does not allow it.
    OutOfTurn {
        /// The stage now.
        now: Stage,
        /// The stage needed.
        needed: Stage,
        /// What is missing until then.
        missing: Vec<Missing>,
    } => Rule, "OUT_OF_TURN", "the ticket is at another stage";
    /// The ticket has ended.
    TicketEnded => Rule, "TICKET_ENDED", "the ticket has ended";
    /// The ticket is open.
    TicketOpen => Rule, "TICKET_OPEN", "the ticket is open";
    /// Somebody else's to do.
    NotYours {
        /// Whose it is.
        whose: String,
    } => NotYours, "NOT_YOURS", "this is for {whose}";
    /// Nobody judges their own work.
    OwnWork => NotYours, "OWN_WORK", "nobody inspects, assesses, waives or signs off work that they did";
    /// No such order.
    UnknownOrder {
        /// The number.
        order: OrderNo,
    } => Unknown, "UNKNOWN_ORDER", "there is no order {order}";
    /// The order is not a lead's or not an assist's.
    WrongPart {
        /// The number.
        order: OrderNo,
    } => Rule, "WRONG_PART", "order {order} plays the other part";
    /// The order is over.
    OrderEnded {
        /// The number.
        order: OrderNo,
    } => Rule, "ORDER_ENDED", "order {order} has ended";
    /// The order was not accepted yet.
    OrderNotAccepted {
        /// The number.
        order: OrderNo,
    } => Rule, "ORDER_NOT_ACCEPTED", "order {order} has not been accepted";
    /// The order was accepted and cannot be returned any more.
    OrderAccepted {
        /// The number.
        order: OrderNo,
    } => Rule, "ORDER_ACCEPTED", "order {order} was accepted";
    /// The lead replies last.
    AssistOrdersOpen {
        /// What is missing.
        missing: Vec<Missing>,
    } => Rule, "ASSIST_ORDERS_OPEN", "the lead replies last, and assist orders are open";
    /// The unit has such an order already.
    UnitHasOrder {
        /// The unit.
        unit: UnitId,
    } => Rule, "UNIT_HAS_ORDER", "{unit} has an open order on this ticket";
    /// The reply lacks its facts.
    ReplyUnproved {
        /// What is missing.
        missing: Vec<Missing>,
    } => Rule, "REPLY_UNPROVED", "the reply lacks its facts";
    /// The time for returning is over.
    ReturnTooLate {
        /// It ended then.
        until: Timestamp,
    } => Rule, "RETURN_TOO_LATE", "orders could be returned until {until}";
    /// A third return was decided; there is no fourth.
    ReturnsExhausted => Rule, "RETURNS_EXHAUSTED", "the round's third return was decided finally";
    /// No return is asked.
    NoReturnAsked {
        /// The number.
        order: OrderNo,
    } => Rule, "NO_RETURN_ASKED", "no return of order {order} is asked";
    /// A return is asked and unanswered.
    ReturnPending {
        /// The number.
        order: OrderNo,
    } => Rule, "RETURN_PENDING", "the return of order {order} is unanswered";
    /// A lead needs a successor in the same command.
    NewLeadNeeded => Rule, "NEW_LEAD_NEEDED", "a lead is taken away only with a new lead in the same command";
    /// Longer than policy allows.
    LongerThanPolicy {
        /// The latest moment.
        latest: Timestamp,
    } => Rule, "LONGER_THAN_POLICY", "the deadline may be shorter than policy's, never longer: at the latest {latest}";
    /// The order's due moment has passed.
    PastDue {
        /// The number.
        order: OrderNo,
    } => Rule, "PAST_DUE", "order {order} is past due";
    /// An extension would pass an outside or statutory deadline.
    PastOutsideDeadline {
        /// The latest moment.
        latest: Timestamp,
    } => Rule, "PAST_OUTSIDE_DEADLINE", "an extension never passes an outside or statutory deadline: at the latest {latest}";
    /// No extension is asked.
    NoExtensionAsked {
        /// The number.
        order: OrderNo,
    } => Rule, "NO_EXTENSION_ASKED", "no extension of order {order} is asked";
    /// Feedback on this ground needs two rounds that ended less than satisfied.
    TooFewDissatisfiedRounds {
        /// How many there are.
        rounds: u32,
    } => Rule, "TOO_FEW_DISSATISFIED_ROUNDS", "two rounds that ended less than satisfied are needed, there are {rounds}";
    /// The customer did not decline to rate.
    NotDeclined => Rule, "NOT_DECLINED", "the round's last answer is not that the customer will not rate";
    /// The reporter can be asked.
    SomebodyToAsk => Rule, "SOMEBODY_TO_ASK", "the reporter is known and can be asked";
    /// The lead did not reply that the service cannot be given.
    ServiceProvided => Rule, "SERVICE_PROVIDED", "the lead did not reply that the service cannot be given";
    /// No reply to the order names this person.
    NotNamed {
        /// The order.
        order: OrderNo,
    } => Rule, "NOT_NAMED", "no reply to order {order} names this person";
    /// The customer may still be reached.
    AttemptsMissing {
        /// What is missing.
        missing: Vec<Missing>,
    } => Rule, "ATTEMPTS_MISSING", "not enough attempts to reach the customer";
    /// The inspector judged a gate as passed against the record.
    GateUnproved {
        /// The gate.
        gate: Gate,
        /// What is missing.
        missing: Vec<Missing>,
    } => Rule, "GATE_UNPROVED", "the record does not show what the gate asks for";
    /// Gates are open.
    GatesOpen {
        /// What is missing.
        missing: Vec<Missing>,
    } => Rule, "GATES_OPEN", "the five gates do not hold yet";
    /// Gates 2 and 4 are never waived.
    NeverWaived {
        /// The gate.
        gate: Gate,
    } => Rule, "NEVER_WAIVED", "this gate is never waived";
    /// Final receipts are owed.
    ReceiptsOwed {
        /// What is missing.
        missing: Vec<Missing>,
    } => Rule, "RECEIPTS_OWED", "final receipts are owed";
    /// No such request.
    UnknownRequest {
        /// The number.
        request: RequestNo,
    } => Unknown, "UNKNOWN_REQUEST", "there is no outside request {request}";
    /// The final receipt needs a reply.
    NoReplyYet => Rule, "NO_REPLY_YET", "a final receipt comes after a reply";
    /// A supplementary receipt is owed only after a reopening.
    NoSupplementOwed => Rule, "NO_SUPPLEMENT_OWED", "a supplementary receipt is owed only after a reopening";
    /// Involved units lack verdicts.
    VerdictsMissing {
        /// What is missing.
        missing: Vec<Missing>,
    } => Rule, "VERDICTS_MISSING", "every involved unit needs a verdict";
    /// The unit is not involved.
    NotInvolved {
        /// The unit.
        unit: UnitId,
    } => Rule, "NOT_INVOLVED", "{unit} is not involved";
    /// Every deduction and every due points at events of its own ticket.
    ForeignEvent {
        /// The event that is none.
        event: EventId,
    } => Rule, "FOREIGN_EVENT", "event {event} is none of this ticket's: a verdict and a due point at what happened on it";
    /// A penalty carried out is never repeated.
    PenaltyAlreadyCarriedOut {
        /// The verdict to confirm.
        verdict: VerdictNo,
    } => Rule, "PENALTY_ALREADY_CARRIED_OUT", "the penalty of verdict {verdict} was carried out: confirm it instead";
    /// No such verdict.
    UnknownVerdict {
        /// The number.
        verdict: VerdictNo,
    } => Unknown, "UNKNOWN_VERDICT", "there is no verdict {verdict}";
    /// The verdict is final.
    VerdictFinal {
        /// The number.
        verdict: VerdictNo,
    } => Rule, "VERDICT_FINAL", "verdict {verdict} is final";
    /// The verdict is not final.
    VerdictNotFinal {
        /// The number.
        verdict: VerdictNo,
    } => Rule, "VERDICT_NOT_FINAL", "verdict {verdict} is not final";
    /// The verdict was reversed or superseded.
    VerdictGone {
        /// The number.
        verdict: VerdictNo,
    } => Rule, "VERDICT_GONE", "verdict {verdict} was reversed or superseded";
    /// An appeal waits for its decision.
    AppealPending {
        /// The number.
        verdict: VerdictNo,
    } => Rule, "APPEAL_PENDING", "the appeal against verdict {verdict} is undecided";
    /// No appeal waits.
    NoAppeal {
        /// The number.
        verdict: VerdictNo,
    } => Rule, "NO_APPEAL", "there is no undecided appeal against verdict {verdict}";
    /// Nothing to carry out, or to reverse.
    NoPenalty {
        /// The number.
        verdict: VerdictNo,
    } => Rule, "NO_PENALTY", "verdict {verdict} carries no such penalty";
    /// No such measure.
    UnknownMeasure {
        /// The number.
        measure: MeasureNo,
    } => Unknown, "UNKNOWN_MEASURE", "there is no measure {measure}";
    /// The measure failed.
    MeasureFailed {
        /// The number.
        measure: MeasureNo,
    } => Rule, "MEASURE_FAILED", "measure {measure} failed: plan another";
    /// The problem is closed.
    ProblemClosed => Rule, "PROBLEM_CLOSED", "a ticket joins only an open problem";
    /// The ticket did not join the problem.
    NotInProblem => Rule, "NOT_IN_PROBLEM", "the ticket did not join this problem";
    /// It is in another problem.
    InAnotherProblem => Rule, "IN_ANOTHER_PROBLEM", "the ticket is in another problem";
    /// Money is owed to customers only.
    NoCustomer => Rule, "NO_CUSTOMER", "the case has no customer, and money is owed to customers only";
    /// No such due.
    UnknownDue {
        /// The number.
        due: DueNo,
    } => Unknown, "UNKNOWN_DUE", "there is no due {due}";
    /// The due is not approved.
    DueNotApproved {
        /// The number.
        due: DueNo,
    } => Rule, "DUE_NOT_APPROVED", "due {due} is not approved";
    /// The due was cancelled.
    DueCancelled {
        /// The number.
        due: DueNo,
    } => Rule, "DUE_CANCELLED", "due {due} was cancelled";
    /// The customer has the money.
    DueSettled {
        /// The number.
        due: DueNo,
    } => Rule, "DUE_SETTLED", "due {due} was paid or credited";
    /// The ticket is paused.
    AlreadyPaused => Rule, "ALREADY_PAUSED", "the ticket is paused: pauses are not nested";
    /// The chain stands still while the ticket is paused.
    TicketPaused => Rule, "TICKET_PAUSED", "the ticket is paused: resume it first";
    /// The ticket is not paused.
    NotPaused => Rule, "NOT_PAUSED", "the ticket is not paused";
    /// No running clock honours the code.
    NoClockHonours => Rule, "NO_CLOCK_HONOURS", "no running clock honours this pause code";
    /// Too late to pause.
    PauseAfterBreach {
        /// The breached clock.
        clock: ClockNo,
    } => Rule, "PAUSE_AFTER_BREACH", "clock {clock} has breached: it is too late to pause";
    /// No such clock.
    UnknownClock {
        /// The number.
        clock: ClockNo,
    } => Unknown, "UNKNOWN_CLOCK", "there is no clock {clock}";
    /// The clock has not breached.
    NotBreached {
        /// The number.
        clock: ClockNo,
    } => Rule, "NOT_BREACHED", "clock {clock} has not breached";
    /// No such escalation.
    UnknownEscalation {
        /// The number.
        escalation: EscalationNo,
    } => Unknown, "UNKNOWN_ESCALATION", "there is no proposed escalation {escalation}";
    /// Issued or declined already.
    EscalationDecided {
        /// The number.
        escalation: EscalationNo,
    } => Rule, "ESCALATION_DECIDED", "escalation {escalation} was decided";
    /// A fact that only faults, or only installs, have.
    WrongKind => Rule, "WRONG_KIND", "tickets of this kind have no such fact";
    /// Milestones come in order.
    MilestoneOutOfOrder => Rule, "MILESTONE_OUT_OF_ORDER", "an earlier milestone is missing";
    /// No such appointment.
    UnknownAppointment {
        /// The number.
        appointment: AppointmentNo,
    } => Unknown, "UNKNOWN_APPOINTMENT", "there is no appointment {appointment}";
    /// Kept already.
    AppointmentEnded {
        /// The number.
        appointment: AppointmentNo,
    } => Rule, "APPOINTMENT_ENDED", "appointment {appointment} has its outcome";
    /// The event named is no fact of this ticket.
    NoSuchFact => Unknown, "NO_SUCH_FACT", "the event named is no fact of this ticket";
    /// The certificate rests on it.
    CertificateRestsOnIt => Rule, "CERTIFICATE_RESTS_ON_IT", "a certificate rests on this: reopen the ticket first";
    /// A supervisor has to consent first.
    ConsentMissing => Rule, "CONSENT_MISSING", "a supervisor has to consent first";
    /// A reply was given.
    AlreadyReplied => Rule, "ALREADY_REPLIED", "a reply was given: the ticket cannot be rejected as not ours";
    /// The other ticket cannot take this one over.
    CannotMerge => Rule, "CANNOT_MERGE", "merge needs another open ticket of the same customer and service";
    /// The ticket was merged itself: what is handed over goes on with it.
    MergedOn {
        /// The ticket that goes on.
        into: TicketId,
    } => Rule, "MERGED_ON", "the ticket was merged into {into}: hand it over there";
    /// Merged tickets are not reopened.
    MergedForGood => Rule, "MERGED_FOR_GOOD", "a merged ticket is not reopened: the other ticket goes on";
    /// More than 30 days ago.
    ReopenTooLate => Rule, "REOPEN_TOO_LATE", "the ticket ended more than 30 days ago: take in a new, linked one";
    /// No finding was filed.
    NoFinding => Rule, "NO_FINDING", "no auditor's finding was filed";
    /// The standing rule covers routine tickets only.
    NotRoutine => Rule, "NOT_ROUTINE", "the standing rule covers routine faults and installs only";
    /// Only 110 and declared mass outages are dispatched by the desk.
    NotUrgent => Rule, "NOT_URGENT", "the desk dispatches 110 cases and declared mass outages only";
    /// The stream exists already.
    AlreadyExists => Rule, "ALREADY_EXISTS", "it exists already";
    /// The stream does not exist.
    DoesNotExist => Unknown, "DOES_NOT_EXIST", "it does not exist";
    /// It is over.
    AlreadyEnded => Rule, "ALREADY_ENDED", "it is over";
    /// No corrective action is planned.
    ActionMissing => Rule, "ACTION_MISSING", "no corrective action is planned";
    /// The planned work has begun.
    WorkBegun => Rule, "WORK_BEGUN", "the work has begun: say that it is over instead";
    /// The corrective action was not carried out.
    ActionOpen => Rule, "ACTION_OPEN", "the corrective action was not carried out";
    /// The customer has open tickets, receipts or dues.
    CustomerHasOpenCases {
        /// What is open.
        missing: Vec<Missing>,
    } => Rule, "CUSTOMER_HAS_OPEN_CASES", "erasure waits while a ticket, receipt or due is open";
}

impl Rejection {
    /// A wrong field.
    #[must_use]
    pub fn invalid(field: &'static str, problem: Problem) -> Self {
        Self::Invalid { field, problem }
    }

    /// The stage that the command needs, where that is why it was refused.
    #[must_use]
    pub fn stage_needed(&self) -> Option<Stage> {
        match self {
            Self::OutOfTurn { needed, .. } => Some(*needed),
            Self::GatesOpen { .. } => Some(Stage::Close),
            _ => None,
        }
    }

    /// What is missing, where the refusal can say.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        match self {
            Self::OutOfTurn { missing, .. }
            | Self::AssistOrdersOpen { missing }
            | Self::ReplyUnproved { missing }
            | Self::AttemptsMissing { missing }
            | Self::GateUnproved { missing, .. }
            | Self::GatesOpen { missing }
            | Self::ReceiptsOwed { missing }
            | Self::VerdictsMissing { missing }
            | Self::CustomerHasOpenCases { missing } => missing,
            _ => &[],
        }
    }
}
