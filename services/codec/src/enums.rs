//! Closed lists of values: a new one on either side breaks the build here.

use duban_aggregates::words::{
    Answer, Channel, ClockKind, ContactReason, DueReason, FeedbackPassed, Gate, Ground, Kind, Milestone,
    NotProvidedGround, Outcome, Part, PauseCode, Product, ReceiptKind, ReopenCause, ReporterKind, Role,
    RoundCause, Rung, Segment, Settlement, Severity, Stage, Tier,
};
use duban_proto::event::v1 as pb;

use crate::error::{Malformed, Problem};
use crate::sample::{Gen, Sample};
use crate::wire::Wire;

macro_rules! enums {
    ($($type:ident $proto:ident { $($value:ident),* $(,)? })*) => {$(
        impl Wire for $type {
            type Field = i32;

            fn put(&self) -> i32 {
                let value = match self {
                    $(Self::$value => pb::$proto::$value,)*
                };
                value.into()
            }

            fn take(from: i32, field: &'static str) -> Result<Self, Malformed> {
                match pb::$proto::try_from(from) {
                    $(Ok(pb::$proto::$value) => Ok(Self::$value),)*
                    Ok(pb::$proto::Unspecified) => Err(Malformed::new(field, Problem::Missing)),
                    Err(_) => Err(Malformed::new(field, Problem::UnknownValue(from))),
                }
            }
        }

        impl Wire for Option<$type> {
            type Field = Option<i32>;

            fn put(&self) -> Option<i32> {
                self.as_ref().map(Wire::put)
            }

            fn take(from: Option<i32>, field: &'static str) -> Result<Self, Malformed> {
                from.map(|from| Wire::take(from, field)).transpose()
            }
        }

        impl Wire for Vec<$type> {
            type Field = Vec<i32>;

            fn put(&self) -> Vec<i32> {
                self.iter().map(Wire::put).collect()
            }

            fn take(from: Vec<i32>, field: &'static str) -> Result<Self, Malformed> {
                from.into_iter().map(|from| Wire::take(from, field)).collect()
            }
        }

        impl Sample for $type {
            fn sample(g: &mut Gen) -> Self {
                g.pick(&[$(Self::$value),*])
            }
        }
    )*};
}

enums! {
    Kind TicketKind { Complaint, Fault, Install }
    Channel Channel {
        Hotline1000, Hotline10000, Desk112, Desk114, Line170, Line180, Line189, Web, Counter,
        Employee, GmHotline, Police110, Consumer12315, Mayor12345, Miit12381, Media, Regulator,
    }
    Severity Severity { Minor, Major, Critical }
    Tier Tier { Gold, Silver, Standard }
    Segment Segment { Public, LargeAccount }
    Product Product { FixedLine, Broadband, Mobile, LeasedLine }
    Stage Stage { Investigate, Dispatch, Reply, Feedback, Inspect, Report, Assess, Close }
    Answer Answer { Satisfied, BasicallySatisfied, Dissatisfied, Declined }
    Ground Ground { BeyondLawOrContract, RemedyRefused, Abuse }
    RoundCause RoundCause { NotSatisfied, InspectionFailed, FactsLacking, Reopened, MatterReturned }
    ReopenCause ReopenCause { CustomerReturned, DrawFailed, AuditFinding }
    FeedbackPassed FeedbackPassed { Satisfied, Unreachable, Concluded, Declined, NobodyToAsk }
    NotProvidedGround NotProvidedGround {
        NoResources, CustomersOwnTerminal, CustomerGone, EntryRefused, ForceMajeure, AgainstTheLaw,
    }
    ReporterKind ReporterKind { OnBehalf, NonUser, Anonymous }
    Part OrderPart { Lead, Assist }
    ClockKind ClockKind {
        Stage, Order, Contact, Answer, Repair, Activation, Restore, Outside, Ticket, Closing,
        Appealable,
    }
    PauseCode PauseCode { Customer, ThirdParty, ForceMajeure, Resources }
    Rung Rung { Urge, Notice, Criticism, Listed, Interview }
    Gate Gate { CauseKnown, ProblemSolved, ServiceImproved, ResponsibilitySettled, PenaltyCarriedOut }
    ContactReason ContactReason { Urge, Supplement, Question, Callback }
    ReceiptKind ReceiptKind { Interim, Final, Supplementary }
    DueReason DueReason { LateInstall, LateRepair, Promise }
    Settlement Settlement { Paid, Credited }
    Milestone Milestone { Accepted, Surveyed, ResourcesAssigned, Visited, Activated }
    Outcome AppointmentOutcome { Kept, MissedByOperator, MissedByCustomer }
    Role Role {
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor,
        Auditor, Monitor, Observer, Administrator, Timer, Rule, Import,
    }
}
