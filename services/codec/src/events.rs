//! The table of stored types: name, message, domain event. The one place to add an event; a new variant of a domain event,
//! or a new message of the proto, breaks the build here.

use duban_aggregates::ticket::{
    self, chain, clock, contact, fault, gate, install, intake, money, order, verdict,
};
use duban_aggregates::{customer, edition, emergency, imported, notice, office, problem};
use duban_proto::event::v1 as pb;
use duban_proto::event::v1::event::Payload;
use prost::Message as _;

use crate::error::{CodecError, Malformed};
use crate::sample::{Gen, Sample};
use crate::upcast::{self, UPCASTS};
use crate::wire::{Message, Wire};

/// A domain event that is stored: those of tickets, problems, notices, customers, the office, policies, emergencies and foreign
/// histories.
pub trait Stored: Sized {
    /// The stored types of this stream's events.
    const TYPES: &'static [&'static str];

    /// The stored type and bytes.
    fn encode(&self) -> (&'static str, Vec<u8>);

    /// Reads stored bytes of a stored type, also of an earlier one that has an upcast.
    ///
    /// # Errors
    /// An unknown type, an unknown field, or bytes that are none of ours.
    fn decode(kind: &str, payload: &[u8]) -> Result<Self, CodecError>;

    /// A sample of a stored type, for tests; none for another stream's.
    fn sample(kind: &str, g: &mut Gen) -> Option<Self>;
}

/// Reads a message and refuses what re-writing it would lose: an unknown field is dropped by protobuf, so what was
/// understood is shorter than what was stored.
pub(crate) fn message<M: prost::Message + Default>(
    kind: &'static str,
    bytes: &[u8],
) -> Result<M, CodecError> {
    let message = M::decode(bytes).map_err(|source| CodecError::Undecodable { kind: kind.into(), source })?;
    let understood = message.encoded_len();
    if understood == bytes.len() {
        Ok(message)
    } else {
        Err(CodecError::UnknownField { kind: kind.into(), stored: bytes.len(), understood })
    }
}

/// Fields bound by references, to a message.
macro_rules! to_message {
    ($message:ident { $($field:ident),* }) => { pb::$message { $($field: Wire::put($field)),* } };
    ($message:ident ($whole:ident)) => { Message::put($whole) };
}

/// A message, to whatever `$shape` makes of its fields.
macro_rules! from_message {
    ($from:ident, $message:ident { $($field:ident),* } $shape:expr) => {{
        let pb::$message { $($field),* } = $from;
        $(let $field = Wire::take($field, stringify!($field))?;)*
        Ok($shape)
    }};
    ($from:ident, $message:ident ($whole:ident) $shape:expr) => {{
        let $whole = Message::take($from)?;
        Ok($shape)
    }};
}

/// Samples of the fields, to whatever `$shape` makes of them.
macro_rules! from_samples {
    ($g:ident, { $($field:ident),* } $shape:expr) => {{
        $(let $field = Sample::sample($g);)*
        $shape
    }};
    ($g:ident, ($whole:ident) $shape:expr) => {{
        let $whole = Sample::sample($g);
        $shape
    }};
}

macro_rules! events {
    ($($stream:ident { $($constant:ident $name:literal $message:ident $fields:tt [$($shape:tt)*];)* })*) => {
        /// Stored type names. They never change: a change of meaning is a new name and an upcast.
        pub mod types {
            $($(
                #[doc = concat!("`", $name, "`")]
                pub const $constant: &str = $name;
            )*)*

            /// Every stored type.
            pub const ALL: &[&str] = &[$($($constant),*),*];
        }

        $(
            impl Stored for $stream::Event {
                const TYPES: &'static [&'static str] = &[$($name),*];

                fn encode(&self) -> (&'static str, Vec<u8>) {
                    match self {
                        $($($shape)* => {
                            let message: pb::$message = to_message!($message $fields);
                            ($name, message.encode_to_vec())
                        })*
                    }
                }

                fn decode(kind: &str, payload: &[u8]) -> Result<Self, CodecError> {
                    match kind {
                        $($name => {
                            let read = |from: pb::$message| -> Result<Self, Malformed> {
                                from_message!(from, $message $fields $($shape)*)
                            };
                            read(message($name, payload)?)
                                .map_err(|malformed| CodecError::Malformed { kind: $name.into(), malformed })
                        })*
                        _ => {
                            let (kind, payload) = upcast::apply(UPCASTS, kind, payload)?;
                            Self::decode(kind, &payload)
                        }
                    }
                }

                fn sample(kind: &str, g: &mut Gen) -> Option<Self> {
                    match kind {
                        $($name => Some(from_samples!(g, $fields $($shape)*)),)*
                        _ => None,
                    }
                }
            }
        )*

        /// The payload of an envelope from stored bytes, without looking into it further.
        ///
        /// # Errors
        /// An unknown type, an unknown field, or bytes that are none of ours.
        pub fn payload(kind: &str, bytes: &[u8]) -> Result<Payload, CodecError> {
            match kind {
                $($($name => Ok(Payload::$message(message::<pb::$message>($name, bytes)?.into())),)*)*
                _ => Err(CodecError::UnknownType(kind.to_owned())),
            }
        }

        /// The stored type and bytes of an envelope's payload.
        #[must_use]
        pub fn stored_payload(payload: &Payload) -> (&'static str, Vec<u8>) {
            match payload {
                $($(Payload::$message(message) => ($name, message.encode_to_vec()),)*)*
            }
        }
    };
}

// Row: constant, stored type, message { its fields } [the domain event made of them].
events! {
    ticket {
        TICKET_TAKEN_IN "ticket.taken_in.v1" TicketTakenIn (intake)
            [ticket::Event::Intake(intake::Event::TakenIn(intake))];
        TICKET_OUTSIDE_REQUEST_ADDED "ticket.outside_request_added.v1" TicketOutsideRequestAdded { request }
            [ticket::Event::Intake(intake::Event::OutsideRequestAdded { request })];
        TICKET_ATTACHED "ticket.attached.v1" TicketAttached { attachment }
            [ticket::Event::Intake(intake::Event::Attached { attachment })];
        TICKET_FIRST_OWNER_CHANGED "ticket.first_owner_changed.v1" TicketFirstOwnerChanged { to, reason }
            [ticket::Event::Intake(intake::Event::FirstOwnerChanged { to, reason })];
        TICKET_FACT_CORRECTED "ticket.fact_corrected.v1" TicketFactCorrected
            { corrects, fact, occurred_at, reason }
            [ticket::Event::Intake(intake::Event::FactCorrected { corrects, fact, occurred_at, reason })];
        TICKET_MERGE_RECEIVED "ticket.merge_received.v1" TicketMergeReceived { from, requests, deadlines }
            [ticket::Event::Intake(intake::Event::MergeReceived { from, requests, deadlines })];
        TICKET_PROBLEM_JOINED "ticket.problem_joined.v1" TicketProblemJoined { problem }
            [ticket::Event::Intake(intake::Event::ProblemJoined { problem })];
        TICKET_NOTICE_LINKED "ticket.notice_linked.v1" TicketNoticeLinked { notice }
            [ticket::Event::Intake(intake::Event::NoticeLinked { notice })];
        TICKET_FINDING_FILED "ticket.finding_filed.v1" TicketFindingFiled { finding }
            [ticket::Event::Intake(intake::Event::FindingFiled { finding })];
        TICKET_CUSTOMER_CONTACTED "ticket.customer_contacted.v1" TicketCustomerContacted
            { reason, gm_hotline, said, answer, recording, occurred_at }
            [ticket::Event::Contact(contact::Event::CustomerContacted {
                reason, gm_hotline, said, answer, recording, occurred_at
            })];
        TICKET_URGE_ESCALATED "ticket.urge_escalated.v1" TicketUrgeEscalated { urges }
            [ticket::Event::Contact(contact::Event::UrgeEscalated { urges })];
        TICKET_DELAY_NOTIFIED "ticket.delay_notified.v1" TicketDelayNotified
            { expected_at, reason, recording, occurred_at }
            [ticket::Event::Contact(contact::Event::DelayNotified {
                expected_at, reason, recording, occurred_at
            })];
        TICKET_RECEIPT_RECORDED "ticket.receipt_recorded.v1" TicketReceiptRecorded
            { request, kind, content, reference }
            [ticket::Event::Contact(contact::Event::ReceiptRecorded { request, kind, content, reference })];
        CHAIN_INVESTIGATED "chain.investigated.v1" ChainInvestigated { cause, facts, units }
            [ticket::Event::Chain(chain::Event::Investigated { cause, facts, units })];
        CHAIN_DISPATCHED "chain.dispatched.v1" ChainDispatched { lead, assists }
            [ticket::Event::Chain(chain::Event::Dispatched { lead, assists })];
        CHAIN_FEEDBACK_RECORDED "chain.feedback_recorded.v1" ChainFeedbackRecorded
            { answer, words, recording }
            [ticket::Event::Chain(chain::Event::FeedbackRecorded { answer, words, recording })];
        CHAIN_CONTACT_ATTEMPTED "chain.contact_attempted.v1" ChainContactAttempted { recording }
            [ticket::Event::Chain(chain::Event::ContactAttempted { recording })];
        CHAIN_UNREACHABLE_SIGNED_OFF "chain.unreachable_signed_off.v1" ChainUnreachableSignedOff { reason }
            [ticket::Event::Chain(chain::Event::UnreachableSignedOff { reason })];
        CHAIN_DECLINED_SIGNED_OFF "chain.declined_signed_off.v1" ChainDeclinedSignedOff { reason }
            [ticket::Event::Chain(chain::Event::DeclinedSignedOff { reason })];
        CHAIN_NOBODY_TO_ASK_SIGNED_OFF "chain.nobody_to_ask_signed_off.v1" ChainNobodyToAskSignedOff { reason }
            [ticket::Event::Chain(chain::Event::NobodyToAskSignedOff { reason })];
        CHAIN_NOT_PROVIDED_CONSENTED "chain.not_provided_consented.v1" ChainNotProvidedConsented { reason }
            [ticket::Event::Chain(chain::Event::NotProvidedConsented { reason })];
        CHAIN_FEEDBACK_CONCLUDED "chain.feedback_concluded.v1" ChainFeedbackConcluded
            { ground, offer, appeal_explained }
            [ticket::Event::Chain(chain::Event::FeedbackConcluded { ground, offer, appeal_explained })];
        CHAIN_INSPECTED "chain.inspected.v1" ChainInspected { judgements, units }
            [ticket::Event::Chain(chain::Event::Inspected { judgements, units })];
        CHAIN_REPORTED "chain.reported.v1" ChainReported { level, summary, reference }
            [ticket::Event::Chain(chain::Event::Reported { level, summary, reference })];
        CHAIN_ASSESSED "chain.assessed.v1" ChainAssessed { verdicts, confirmed }
            [ticket::Event::Chain(chain::Event::Assessed { verdicts, confirmed })];
        CHAIN_ROUND_OPENED "chain.round_opened.v1" ChainRoundOpened { round, stage, because, reason }
            [ticket::Event::Chain(chain::Event::RoundOpened { round, stage, because, reason })];
        CHAIN_REPLY_SENT_BACK "chain.reply_sent_back.v1" ChainReplySentBack { orders, reason }
            [ticket::Event::Chain(chain::Event::ReplySentBack { orders, reason })];
        CHAIN_CLOSED "chain.closed.v1" ChainClosed { certificate }
            [ticket::Event::Chain(chain::Event::Closed { certificate })];
        CHAIN_WITHDRAWN "chain.withdrawn.v1" ChainWithdrawn { recording, reason }
            [ticket::Event::Chain(chain::Event::Withdrawn { recording, reason })];
        CHAIN_REJECTED "chain.rejected.v1" ChainRejected { referred_to, reason, recording }
            [ticket::Event::Chain(chain::Event::Rejected { referred_to, reason, recording })];
        CHAIN_REJECTION_CONSENTED "chain.rejection_consented.v1" ChainRejectionConsented { reason }
            [ticket::Event::Chain(chain::Event::RejectionConsented { reason })];
        CHAIN_MERGED "chain.merged.v1" ChainMerged { into }
            [ticket::Event::Chain(chain::Event::Merged { into })];
        CHAIN_REOPENED "chain.reopened.v1" ChainReopened { because, reason }
            [ticket::Event::Chain(chain::Event::Reopened { because, reason })];
        ORDER_ISSUED "order.issued.v1" OrderIssued { order, part, unit, task, replaces }
            [ticket::Event::Order(order::Event::Issued { order, part, unit, task, replaces })];
        ORDER_ACCEPTED "order.accepted.v1" OrderAccepted { order }
            [ticket::Event::Order(order::Event::Accepted { order })];
        ORDER_REPLIED "order.replied.v1" OrderReplied
            { order, resolution, cause, done_by, not_provided }
            [ticket::Event::Order(order::Event::Replied { order, resolution, cause, done_by, not_provided })];
        ORDER_DONE_BY_STRUCK "order.done_by_struck.v1" OrderDoneByStruck { order, person, reason }
            [ticket::Event::Order(order::Event::DoneByStruck { order, person, reason })];
        ORDER_RETURN_REQUESTED "order.return_requested.v1" OrderReturnRequested { order, reason }
            [ticket::Event::Order(order::Event::ReturnRequested { order, reason })];
        ORDER_RETURN_GRANTED "order.return_granted.v1" OrderReturnGranted { order }
            [ticket::Event::Order(order::Event::ReturnGranted { order })];
        ORDER_RETURN_REFUSED "order.return_refused.v1" OrderReturnRefused { order, reason }
            [ticket::Event::Order(order::Event::ReturnRefused { order, reason })];
        ORDER_RELEASED "order.released.v1" OrderReleased { order, reason }
            [ticket::Event::Order(order::Event::Released { order, reason })];
        ORDER_RECALLED "order.recalled.v1" OrderRecalled { order, reason }
            [ticket::Event::Order(order::Event::Recalled { order, reason })];
        ORDER_EXTENSION_ASKED "order.extension_asked.v1" OrderExtensionAsked { order, until, reason }
            [ticket::Event::Order(order::Event::ExtensionAsked { order, until, reason })];
        ORDER_EXTENSION_GRANTED "order.extension_granted.v1" OrderExtensionGranted { order, until }
            [ticket::Event::Order(order::Event::ExtensionGranted { order, until })];
        ORDER_EXTENSION_REFUSED "order.extension_refused.v1" OrderExtensionRefused { order, reason }
            [ticket::Event::Order(order::Event::ExtensionRefused { order, reason })];
        ORDER_WAITING_FOR_ASSIST "order.waiting_for_assist.v1" OrderWaitingForAssist { order, assist }
            [ticket::Event::Order(order::Event::WaitingForAssist { order, assist })];
        CLOCK_STARTED "clock.started.v1" ClockStarted (start)
            [ticket::Event::Clock(clock::Event::Started(start))];
        CLOCK_WARNED "clock.warned.v1" ClockWarned { clock, at }
            [ticket::Event::Clock(clock::Event::Warned { clock, at })];
        CLOCK_MET "clock.met.v1" ClockMet { clock, at } [ticket::Event::Clock(clock::Event::Met { clock, at })];
        CLOCK_BREACHED "clock.breached.v1" ClockBreached { clock, due }
            [ticket::Event::Clock(clock::Event::Breached { clock, due })];
        CLOCK_BREACH_WITHDRAWN "clock.breach_withdrawn.v1" ClockBreachWithdrawn { clock, at }
            [ticket::Event::Clock(clock::Event::BreachWithdrawn { clock, at })];
        CLOCK_CANCELLED "clock.cancelled.v1" ClockCancelled { clock }
            [ticket::Event::Clock(clock::Event::Cancelled { clock })];
        CLOCK_PAUSED "clock.paused.v1" ClockPaused { clock }
            [ticket::Event::Clock(clock::Event::Paused { clock })];
        CLOCK_RESUMED "clock.resumed.v1" ClockResumed { clock, at, due, warn_at, provisional }
            [ticket::Event::Clock(clock::Event::Resumed { clock, at, due, warn_at, provisional })];
        CLOCK_RESTATED "clock.restated.v1" ClockRestated { clock, due, warn_at, provisional, calendar }
            [ticket::Event::Clock(clock::Event::Restated { clock, due, warn_at, provisional, calendar })];
        CLOCK_TICKET_PAUSED "clock.ticket_paused.v1" ClockTicketPaused
            { code, evidence, attachment, resume_by }
            [ticket::Event::Clock(clock::Event::TicketPaused { code, evidence, attachment, resume_by })];
        CLOCK_TICKET_RESUMED "clock.ticket_resumed.v1" ClockTicketResumed { at, by_itself }
            [ticket::Event::Clock(clock::Event::TicketResumed { at, by_itself })];
        CLOCK_URGED "clock.urged.v1" ClockUrged { order, words }
            [ticket::Event::Clock(clock::Event::Urged { order, words })];
        CLOCK_ESCALATED "clock.escalated.v1" ClockEscalated { clock, rung, at }
            [ticket::Event::Clock(clock::Event::Escalated { clock, rung, at })];
        CLOCK_ESCALATION_PROPOSED "clock.escalation_proposed.v1" ClockEscalationProposed
            { escalation, clock, rung, at }
            [ticket::Event::Clock(clock::Event::EscalationProposed { escalation, clock, rung, at })];
        CLOCK_ESCALATION_ISSUED "clock.escalation_issued.v1" ClockEscalationIssued { escalation, words }
            [ticket::Event::Clock(clock::Event::EscalationIssued { escalation, words })];
        CLOCK_ESCALATION_DECLINED "clock.escalation_declined.v1" ClockEscalationDeclined
            { escalation, reason }
            [ticket::Event::Clock(clock::Event::EscalationDeclined { escalation, reason })];
        GATE_MEASURE_PLANNED "gate.measure_planned.v1" GateMeasurePlanned { measure, text, owner, due_on }
            [ticket::Event::Gate(gate::Event::MeasurePlanned { measure, text, owner, due_on })];
        GATE_MEASURE_CARRIED_OUT "gate.measure_carried_out.v1" GateMeasureCarriedOut { measure, evidence }
            [ticket::Event::Gate(gate::Event::MeasureCarriedOut { measure, evidence })];
        GATE_NO_MEASURE_NEEDED "gate.no_measure_needed.v1" GateNoMeasureNeeded { reason }
            [ticket::Event::Gate(gate::Event::NoMeasureNeeded { reason })];
        GATE_MEASURE_SERVED "gate.measure_served.v1" GateMeasureServed { problem, action }
            [ticket::Event::Gate(gate::Event::MeasureServed { problem, action })];
        GATE_MEASURE_FAILED "gate.measure_failed.v1" GateMeasureFailed { measure, finding }
            [ticket::Event::Gate(gate::Event::MeasureFailed { measure, finding })];
        GATE_SERVED_ACTION_FAILED "gate.served_action_failed.v1" GateServedActionFailed { problem, failure }
            [ticket::Event::Gate(gate::Event::ServedActionFailed { problem, failure })];
        GATE_WAIVED "gate.waived.v1" GateWaived { gate, reason }
            [ticket::Event::Gate(gate::Event::Waived { gate, reason })];
        VERDICT_ACCEPTED "verdict.accepted.v1" VerdictAccepted { verdict }
            [ticket::Event::Verdict(verdict::Event::Accepted { verdict })];
        VERDICT_APPEALED "verdict.appealed.v1" VerdictAppealed { verdict, grounds }
            [ticket::Event::Verdict(verdict::Event::Appealed { verdict, grounds })];
        VERDICT_APPEAL_GRANTED "verdict.appeal_granted.v1" VerdictAppealGranted { verdict, reason }
            [ticket::Event::Verdict(verdict::Event::AppealGranted { verdict, reason })];
        VERDICT_APPEAL_REFUSED "verdict.appeal_refused.v1" VerdictAppealRefused { verdict, reason }
            [ticket::Event::Verdict(verdict::Event::AppealRefused { verdict, reason })];
        VERDICT_BECAME_FINAL "verdict.became_final.v1" VerdictBecameFinal { verdict }
            [ticket::Event::Verdict(verdict::Event::BecameFinal { verdict })];
        VERDICT_PENALTY_CARRIED_OUT "verdict.penalty_carried_out.v1" VerdictPenaltyCarriedOut
            { verdict, payroll_reference }
            [ticket::Event::Verdict(verdict::Event::PenaltyCarriedOut { verdict, payroll_reference })];
        VERDICT_ERRATUM_RECORDED "verdict.erratum_recorded.v1" VerdictErratumRecorded { verdict, reason }
            [ticket::Event::Verdict(verdict::Event::ErratumRecorded { verdict, reason })];
        MONEY_ACCRUED "money.accrued.v1" MoneyAccrued { due, reason, amount_fen, because }
            [ticket::Event::Money(money::Event::Accrued { due, reason, amount_fen, because })];
        MONEY_APPROVED "money.approved.v1" MoneyApproved { due }
            [ticket::Event::Money(money::Event::Approved { due })];
        MONEY_SETTLED "money.settled.v1" MoneySettled { due, settlement, reference }
            [ticket::Event::Money(money::Event::Settled { due, settlement, reference })];
        MONEY_CANCELLED "money.cancelled.v1" MoneyCancelled { due, reason }
            [ticket::Event::Money(money::Event::Cancelled { due, reason })];
        FAULT_LINE_TESTED "fault.line_tested.v1" FaultLineTested
            { passed, reference, result, occurred_at, evidence }
            [ticket::Event::Fault(fault::Event::FactRecorded {
                fact: fault::Fact::LineTested { passed, reference, result }, occurred_at, evidence
            })];
        FAULT_REPAIRED "fault.repaired.v1" FaultRepaired { work, occurred_at, evidence }
            [ticket::Event::Fault(fault::Event::FactRecorded {
                fact: fault::Fact::Repaired { work }, occurred_at, evidence
            })];
        FAULT_SERVICE_UP "fault.service_up.v1" FaultServiceUp { occurred_at, evidence }
            [ticket::Event::Fault(fault::Event::FactRecorded {
                fact: fault::Fact::ServiceUp, occurred_at, evidence
            })];
        FAULT_TERMINAL_JUDGED "fault.terminal_judged.v1" FaultTerminalJudged
            { customers_own, occurred_at, evidence }
            [ticket::Event::Fault(fault::Event::FactRecorded {
                fact: fault::Fact::TerminalJudged { customers_own }, occurred_at, evidence
            })];
        FAULT_ARREARS_PAID "fault.arrears_paid.v1" FaultArrearsPaid { reference, occurred_at, evidence }
            [ticket::Event::Fault(fault::Event::FactRecorded {
                fact: fault::Fact::ArrearsPaid { reference }, occurred_at, evidence
            })];
        INSTALL_MILESTONE_REACHED "install.milestone_reached.v1" InstallMilestoneReached
            { milestone, occurred_at, evidence }
            [ticket::Event::Install(install::Event::FactRecorded {
                fact: install::Fact::MilestoneReached { milestone }, occurred_at, evidence
            })];
        INSTALL_APPOINTMENT_ENDED "install.appointment_ended.v1" InstallAppointmentEnded
            { appointment, outcome, occurred_at, evidence }
            [ticket::Event::Install(install::Event::FactRecorded {
                fact: install::Fact::AppointmentEnded { appointment, outcome }, occurred_at, evidence
            })];
        INSTALL_APPOINTMENT_MADE "install.appointment_made.v1" InstallAppointmentMade
            { appointment, from, until }
            [ticket::Event::Install(install::Event::AppointmentMade { appointment, from, until })];
        INSTALL_APPOINTMENT_RESCHEDULED "install.appointment_rescheduled.v1" InstallAppointmentRescheduled
            { appointment, from, until, reason }
            [ticket::Event::Install(install::Event::AppointmentRescheduled {
                appointment, from, until, reason
            })];
    }
    problem {
        PROBLEM_OPENED "problem.opened.v1" ProblemOpened { problem, title, category, owner }
            [problem::Event::Opened { problem, title, category, owner }];
        PROBLEM_TICKET_JOINED "problem.ticket_joined.v1" ProblemTicketJoined { ticket }
            [problem::Event::TicketJoined { ticket }];
        PROBLEM_CAUSE_FOUND "problem.cause_found.v1" ProblemCauseFound { cause }
            [problem::Event::CauseFound { cause }];
        PROBLEM_ACTION_PLANNED "problem.action_planned.v1" ProblemActionPlanned { action, owner, due_on }
            [problem::Event::ActionPlanned { action, owner, due_on }];
        PROBLEM_ACTION_CARRIED_OUT "problem.action_carried_out.v1" ProblemActionCarriedOut { evidence }
            [problem::Event::ActionCarriedOut { evidence }];
        PROBLEM_ACTION_FAILED "problem.action_failed.v1" ProblemActionFailed { finding, because }
            [problem::Event::ActionFailed { finding, because }];
        PROBLEM_CLOSED "problem.closed.v1" ProblemClosed {} [problem::Event::Closed];
    }
    notice {
        NOTICE_PUBLISHED "notice.published.v1" NoticePublished { notice, unit, area, work, from, until }
            [notice::Event::Published { notice, unit, area, work, from, until }];
        NOTICE_FAULT_LINKED "notice.fault_linked.v1" NoticeFaultLinked { ticket }
            [notice::Event::FaultLinked { ticket }];
        NOTICE_EXTENDED "notice.extended.v1" NoticeExtended { until, reason }
            [notice::Event::Extended { until, reason }];
        NOTICE_ENDED "notice.ended.v1" NoticeEnded {} [notice::Event::Ended];
        NOTICE_WITHDRAWN "notice.withdrawn.v1" NoticeWithdrawn { reason } [notice::Event::Withdrawn { reason }];
    }
    customer {
        CUSTOMER_REGISTERED "customer.registered.v1" CustomerRegistered
            { customer, phone_hash, tier, segment }
            [customer::Event::Registered { customer, phone_hash, tier, segment }];
        CUSTOMER_TIER_CHANGED "customer.tier_changed.v1" CustomerTierChanged { tier, segment, reason }
            [customer::Event::TierChanged { tier, segment, reason }];
        CUSTOMER_TICKET_OPENED "customer.ticket_opened.v1" CustomerTicketOpened { ticket }
            [customer::Event::TicketOpened { ticket }];
        CUSTOMER_TICKET_ENDED "customer.ticket_ended.v1" CustomerTicketEnded { ticket }
            [customer::Event::TicketEnded { ticket }];
        CUSTOMER_ERASED "customer.erased.v1" CustomerErased { reason } [customer::Event::Erased { reason }];
    }
    office {
        OFFICE_DAY_CLOSED "office.day_closed.v1" OfficeDayClosed (head) [office::Event::DayClosed(head)];
    }
    edition {
        POLICY_REGISTERED "policy.registered.v1" PolicyRegistered { version, title, emergency, text }
            [edition::Event::Registered { version, title, emergency, text }];
        POLICY_CAME_INTO_FORCE "policy.came_into_force.v1" PolicyCameIntoForce { version }
            [edition::Event::CameIntoForce { version }];
        POLICY_CALENDAR_CAME_INTO_FORCE "policy.calendar_came_into_force.v1" PolicyCalendarCameIntoForce
            { version, text }
            [edition::Event::CalendarCameIntoForce { version, text }];
    }
    emergency {
        EMERGENCY_DECLARED "emergency.declared.v1" EmergencyDeclared { emergency, policy, place, reason }
            [emergency::Event::Declared { emergency, policy, place, reason }];
        EMERGENCY_ENDED "emergency.ended.v1" EmergencyEnded { reason } [emergency::Event::Ended { reason }];
    }
    imported {
        IMPORTED_HISTORIC_STEP "imported.historic_step.v1" ImportedHistoricStep (step)
            [imported::Event::HistoricStep(step)];
    }
}
