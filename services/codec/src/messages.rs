//! What several events carry: domain structs and their messages, field by field. A new field on either side breaks the
//! build here.

use duban_aggregates::area::Area;
use duban_aggregates::calendar::Target;
use duban_aggregates::emergency::Place;
use duban_aggregates::ids::{AppointmentNo, OrderNo, RequestNo};
use duban_aggregates::imported::{Attribute, Step};
use duban_aggregates::office::{DayHead, SignedHead};
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::chain::{Cause, Judgement, NamedUnit, NewVerdict};
use duban_aggregates::ticket::clock::{Start, Subject};
use duban_aggregates::ticket::fault;
use duban_aggregates::ticket::gate::{Certificate, Held};
use duban_aggregates::ticket::install::{self, Order as InstallOrder};
use duban_aggregates::ticket::intake::{
    Attachment, Customer, Fact, FirstOwner, Intake, KnownReporter, OutsideRequest, Reporter, Service, Source,
    TakenOver,
};
use duban_aggregates::ticket::order::NotProvided;
use duban_aggregates::ticket::verdict::Finding;
use duban_aggregates::words::Milestone;
use duban_proto::event::v1 as pb;
use jiff::civil::Time;
use uuid::Uuid;

use crate::error::{Malformed, Problem};
use crate::sample::{Gen, Sample};
use crate::wire::{Message, Wire, message_fields};

macro_rules! messages {
    ($($type:ident $proto:ident { $($field:ident),* $(,)? })*) => {$(
        impl Message for $type {
            type Proto = pb::$proto;

            fn put(&self) -> pb::$proto {
                let Self { $($field),* } = self;
                pb::$proto { $($field: Wire::put($field)),* }
            }

            fn take(from: pb::$proto) -> Result<Self, Malformed> {
                let pb::$proto { $($field),* } = from;
                Ok(Self { $($field: Wire::take($field, stringify!($field))?),* })
            }
        }

        impl Sample for $type {
            fn sample(g: &mut Gen) -> Self {
                Self { $($field: Sample::sample(g)),* }
            }
        }
    )*};
}

messages! {
    Intake TicketTakenIn {
        ticket, kind, channel, category, severity, description, remedy, happened_at, taken_in_at, first_owner, customer,
        service, area, requests, attachments, mass_outage, linked, install, source, reporter,
    }
    Start ClockStarted {
        clock, kind, subject, started_at, due, warn_at, target, warn_percent, pauses, article, provisional, policy,
        calendar,
    }
    Attachment Attachment { reference, sha256 }
    OutsideRequest OutsideRequest { request, body, number, handed_over_at, due }
    FirstOwner FirstOwner { employee, department }
    Customer Customer { id, name, phone, phone_hash, address, tier, segment }
    Reporter Reporter { id, kind, known, relation, authority }
    KnownReporter KnownReporter { name, phone, phone_hash }
    NotProvided NotProvided { ground, evidence, offered }
    Service Service { number, number_hash, product, monthly_rent_fen }
    Area Area { province, city, district, rural }
    Source Source { name, row_key, status }
    InstallOrder InstallOrder { fees_fen, promised_on }
    TakenOver TakenOver { clock, due }
    NamedUnit NamedUnit { unit, reason }
    Judgement Judgement { gate, passed, evidence }
    NewVerdict NewVerdict { verdict, unit, finding }
    Held GateHeld { gate, waived, proof }
    Certificate Certificate { round, feedback, gates, supersedes, not_provided }
    Place EmergencyPlace { province, city, district }
    Step ImportedHistoricStep {
        history, source, case, activity, occurred_at, stage, resource, transition, attributes,
    }
    Attribute ImportedAttribute { name, value }
}

message_fields! {
    Attachment, OutsideRequest, FirstOwner, Customer, Service, Area, Source, InstallOrder, TakenOver, NamedUnit, Judgement,
    NewVerdict, Held, Certificate, Place, Attribute, Reporter, KnownReporter, NotProvided, Sealed, Cause, Finding, Subject, Target, Fact,
}

impl Message for Sealed {
    type Proto = pb::Sealed;

    fn put(&self) -> pb::Sealed {
        pb::Sealed {
            customer: self.customer.0.as_bytes().to_vec(),
            nonce: self.nonce.to_vec(),
            ciphertext: self.ciphertext.clone(),
        }
    }

    fn take(from: pb::Sealed) -> Result<Self, Malformed> {
        let customer = Wire::take(from.customer, "customer")?;
        Ok(Self {
            customer: duban_aggregates::ids::CustomerId(Uuid::from_bytes(customer)),
            nonce: Wire::take(from.nonce, "nonce")?,
            ciphertext: from.ciphertext,
        })
    }
}

impl Message for SignedHead {
    type Proto = pb::OfficeDayClosed;

    fn put(&self) -> pb::OfficeDayClosed {
        let Self { head: DayHead { day, size, root, streams, streams_root }, key, signature } = self;
        pb::OfficeDayClosed {
            day: Wire::put(day),
            size: *size,
            root: root.to_vec(),
            streams: *streams,
            streams_root: streams_root.to_vec(),
            key: key.to_vec(),
            signature: signature.to_vec(),
        }
    }

    fn take(from: pb::OfficeDayClosed) -> Result<Self, Malformed> {
        let pb::OfficeDayClosed { day, size, root, streams, streams_root, key, signature } = from;
        let head = DayHead {
            day: Wire::take(day, "day")?,
            size,
            root: Wire::take(root, "root")?,
            streams,
            streams_root: Wire::take(streams_root, "streams_root")?,
        };
        Ok(Self { head, key: Wire::take(key, "key")?, signature: Wire::take(signature, "signature")? })
    }
}

impl Message for Cause {
    type Proto = pb::Cause;

    fn put(&self) -> pb::Cause {
        let (kind, text) = match self {
            Self::Known(text) => (pb::CauseKind::Known, Some(Message::put(text))),
            Self::NotYetKnown => (pb::CauseKind::NotYetKnown, None),
            Self::NewOrder => (pb::CauseKind::NewOrder, None),
        };
        pb::Cause { kind: kind.into(), text }
    }

    fn take(from: pb::Cause) -> Result<Self, Malformed> {
        let cause = match pb::CauseKind::try_from(from.kind) {
            Ok(pb::CauseKind::Known) => return Wire::take(from.text, "text").map(Self::Known),
            Ok(pb::CauseKind::NotYetKnown) => Self::NotYetKnown,
            Ok(pb::CauseKind::NewOrder) => Self::NewOrder,
            Ok(pb::CauseKind::Unspecified) => return Err(Malformed::new("kind", Problem::Missing)),
            Err(_) => return Err(Malformed::new("kind", Problem::UnknownValue(from.kind))),
        };
        if from.text.is_some() { Err(Malformed::new("text", Problem::Unwanted)) } else { Ok(cause) }
    }
}

impl Message for Finding {
    type Proto = pb::Finding;

    fn put(&self) -> pb::Finding {
        let finding = match self {
            Self::AtFault { rule, points, penalty_fen, because, reason } => {
                pb::finding::Finding::AtFault(pb::AtFault {
                    rule: Wire::put(rule),
                    points: *points,
                    penalty_fen: *penalty_fen,
                    because: Wire::put(because),
                    reason: Wire::put(reason),
                })
            }
            Self::NotAtFault { reason } => {
                pb::finding::Finding::NotAtFault(pb::NotAtFault { reason: Wire::put(reason) })
            }
        };
        pb::Finding { finding: Some(finding) }
    }

    fn take(from: pb::Finding) -> Result<Self, Malformed> {
        match from.finding.ok_or_else(|| Malformed::new("finding", Problem::Missing))? {
            pb::finding::Finding::AtFault(pb::AtFault { rule, points, penalty_fen, because, reason }) => {
                let because = Wire::take(because, "because")?;
                Ok(Self::AtFault {
                    rule,
                    points,
                    penalty_fen,
                    because,
                    reason: Wire::take(reason, "reason")?,
                })
            }
            pb::finding::Finding::NotAtFault(pb::NotAtFault { reason }) => {
                Ok(Self::NotAtFault { reason: Wire::take(reason, "reason")? })
            }
        }
    }
}

impl Message for Subject {
    type Proto = pb::Subject;

    fn put(&self) -> pb::Subject {
        use pb::subject::Subject as To;
        let subject = match self {
            Self::Ticket => To::Ticket(pb::WholeTicket {}),
            Self::Stage(stage) => To::Stage(stage.put()),
            Self::Order(order) => To::Order(order.0),
            Self::Request(request) => To::Request(request.0),
        };
        pb::Subject { subject: Some(subject) }
    }

    fn take(from: pb::Subject) -> Result<Self, Malformed> {
        use pb::subject::Subject as To;
        Ok(match from.subject.ok_or_else(|| Malformed::new("subject", Problem::Missing))? {
            To::Ticket(pb::WholeTicket {}) => Self::Ticket,
            To::Stage(stage) => Self::Stage(Wire::take(stage, "stage")?),
            To::Order(order) => Self::Order(OrderNo(order)),
            To::Request(request) => Self::Request(RequestNo(request)),
        })
    }
}

impl Message for Target {
    type Proto = pb::Target;

    fn put(&self) -> pb::Target {
        use pb::target::Target as To;
        let target = match self {
            Self::Minutes(count) => To::Minutes(*count),
            Self::Hours(count) => To::Hours(*count),
            Self::CalendarDays(count) => To::CalendarDays(*count),
            Self::WorkingDays(count) => To::WorkingDays(*count),
            Self::SameDayElseHours { by, else_hours } => To::SameDayElseHours(pb::SameDayElseHours {
                by_seconds: seconds_of_day(*by),
                else_hours: *else_hours,
            }),
            Self::Day(day) => To::Day(Wire::put(day)),
            Self::Moment(at) => To::Moment(prost_moment(*at)),
        };
        pb::Target { target: Some(target) }
    }

    fn take(from: pb::Target) -> Result<Self, Malformed> {
        use pb::target::Target as To;
        Ok(match from.target.ok_or_else(|| Malformed::new("target", Problem::Missing))? {
            To::Minutes(count) => Self::Minutes(count),
            To::Hours(count) => Self::Hours(count),
            To::CalendarDays(count) => Self::CalendarDays(count),
            To::WorkingDays(count) => Self::WorkingDays(count),
            To::SameDayElseHours(pb::SameDayElseHours { by_seconds, else_hours }) => {
                Self::SameDayElseHours { by: time_of_day(by_seconds)?, else_hours }
            }
            To::Day(day) => Self::Day(Wire::take(day, "day")?),
            To::Moment(at) => Self::Moment(Wire::take(Some(at), "moment")?),
        })
    }
}

fn prost_moment(at: jiff::Timestamp) -> prost_types::Timestamp {
    // Writing a moment always gives one.
    Wire::put(&at).unwrap_or_default()
}

/// Policies know whole seconds.
fn seconds_of_day(time: Time) -> u32 {
    let part = |part: i8| u32::from(part.unsigned_abs());
    part(time.hour()) * 3600 + part(time.minute()) * 60 + part(time.second())
}

fn time_of_day(seconds: u32) -> Result<Time, Malformed> {
    let malformed = || Malformed::new("by_seconds", Problem::NotATime);
    let part = |part: u32| i8::try_from(part).map_err(|_| malformed());
    let (hour, minute, second) = (part(seconds / 3600)?, part(seconds / 60 % 60)?, part(seconds % 60)?);
    Time::new(hour, minute, second, 0).map_err(|_| malformed())
}

impl Message for Fact {
    type Proto = pb::Fact;

    fn put(&self) -> pb::Fact {
        use pb::fact::Fact as To;
        let fact = match self {
            Self::Fault(fault::Fact::LineTested { passed, reference, result }) => {
                To::LineTested(pb::LineTest {
                    passed: *passed,
                    reference: reference.clone(),
                    result: Wire::put(result),
                })
            }
            Self::Fault(fault::Fact::Repaired { work }) => To::Repaired(pb::Repair { work: Wire::put(work) }),
            Self::Fault(fault::Fact::ServiceUp) => To::ServiceUp(pb::ServiceUp {}),
            Self::Fault(fault::Fact::TerminalJudged { customers_own }) => {
                To::TerminalJudged(pb::TerminalJudgement { customers_own: *customers_own })
            }
            Self::Fault(fault::Fact::ArrearsPaid { reference }) => {
                To::ArrearsPaid(pb::ArrearsPayment { reference: reference.clone() })
            }
            Self::Install(install::Fact::MilestoneReached { milestone }) => {
                To::MilestoneReached(milestone.put())
            }
            Self::Install(install::Fact::AppointmentEnded { appointment, outcome }) => {
                To::AppointmentEnded(pb::AppointmentEnd {
                    appointment: appointment.0,
                    outcome: outcome.put(),
                })
            }
            Self::Category { category } => To::Category(category.clone()),
        };
        pb::Fact { fact: Some(fact) }
    }

    fn take(from: pb::Fact) -> Result<Self, Malformed> {
        use pb::fact::Fact as To;
        Ok(match from.fact.ok_or_else(|| Malformed::new("fact", Problem::Missing))? {
            To::LineTested(pb::LineTest { passed, reference, result }) => {
                let result = Wire::take(result, "result")?;
                Self::Fault(fault::Fact::LineTested { passed, reference, result })
            }
            To::Repaired(pb::Repair { work }) => {
                Self::Fault(fault::Fact::Repaired { work: Wire::take(work, "work")? })
            }
            To::ServiceUp(pb::ServiceUp {}) => Self::Fault(fault::Fact::ServiceUp),
            To::TerminalJudged(pb::TerminalJudgement { customers_own }) => {
                Self::Fault(fault::Fact::TerminalJudged { customers_own })
            }
            To::ArrearsPaid(pb::ArrearsPayment { reference }) => {
                Self::Fault(fault::Fact::ArrearsPaid { reference })
            }
            To::MilestoneReached(milestone) => {
                let milestone: Milestone = Wire::take(milestone, "milestone_reached")?;
                Self::Install(install::Fact::MilestoneReached { milestone })
            }
            To::AppointmentEnded(pb::AppointmentEnd { appointment, outcome }) => {
                let outcome = Wire::take(outcome, "outcome")?;
                let appointment = AppointmentNo(appointment);
                Self::Install(install::Fact::AppointmentEnded { appointment, outcome })
            }
            To::Category(category) => Self::Category { category },
        })
    }
}
