//! The five gates 五不放过, the measures behind the third, and the certificate (domain.md section 6).

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::chain::FeedbackPassed;
use crate::ids::{EventId, MeasureNo, ProblemId, UnitId};
use crate::order::MeasurePlan;
use crate::sealed::Sealed;

/// One of five conditions without which a ticket never closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// 原因不明不放过: a recorded cause.
    CauseKnown,
    /// 问题不解决不放过: feedback passed, service proved, dues paid.
    ProblemSolved,
    /// 服务不改善不放过: a measure carried out, or none needed.
    ServiceImproved,
    /// 责任不查清不放过: final verdicts for all involved units.
    ResponsibilitySettled,
    /// 处罚不落实不放过: each penalty carried out.
    PenaltyCarriedOut,
}

impl Gate {
    /// The five, in order.
    pub const ALL: [Self; 5] = [
        Self::CauseKnown,
        Self::ProblemSolved,
        Self::ServiceImproved,
        Self::ResponsibilitySettled,
        Self::PenaltyCarriedOut,
    ];

    /// The gate's name as it stands in errors and lists.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CauseKnown => "cause_known",
            Self::ProblemSolved => "problem_solved",
            Self::ServiceImproved => "service_improved",
            Self::ResponsibilitySettled => "responsibility_settled",
            Self::PenaltyCarriedOut => "penalty_carried_out",
        }
    }
}

/// How a gate stood when the ticket closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The gate.
    pub gate: Gate,
    /// A supervisor waived it.
    pub waived: bool,
    /// The events that prove it.
    pub proof: Vec<EventId>,
}

/// What a closed ticket shows: each gate and the events that prove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The round that passed.
    pub round: u32,
    /// How feedback was passed.
    pub feedback: FeedbackPassed,
    /// The five gates in order.
    pub gates: Vec<Held>,
    /// The certificate it supersedes was issued by this event.
    pub supersedes: Option<EventId>,
}

/// What happened to gates and measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A measure was planned.
    MeasurePlanned {
        /// Its number.
        measure: MeasureNo,
        /// What will be done.
        text: Sealed,
        /// The unit that owns it.
        owner: UnitId,
        /// By when.
        due_on: Date,
    },
    /// A measure was carried out.
    MeasureCarriedOut {
        /// The measure.
        measure: MeasureNo,
        /// What proves it.
        evidence: Sealed,
    },
    /// No measure is needed.
    NoMeasureNeeded {
        /// Why.
        reason: Sealed,
    },
    /// A problem's corrective action serves this ticket.
    MeasureServed {
        /// The problem.
        problem: ProblemId,
        /// The problem's event that proves the action.
        action: EventId,
    },
    /// A supervisor waived a gate: 1, 3 or 5.
    Waived {
        /// The gate.
        gate: Gate,
        /// Why.
        reason: Sealed,
    },
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Plan a measure.
    PlanMeasure {
        /// The plan.
        plan: MeasurePlan,
    },
    /// Record that a measure was carried out.
    CarryOutMeasure {
        /// The measure.
        measure: MeasureNo,
        /// What proves it; required.
        evidence: Sealed,
    },
    /// Say that no measure is needed.
    NoMeasureNeeded {
        /// Why; required.
        reason: Sealed,
    },
    /// A problem's corrective action was carried out (a reaction).
    ServeMeasure {
        /// The problem; the ticket joined it.
        problem: ProblemId,
        /// The problem's event that proves the action.
        action: EventId,
    },
    /// Waive gate 1, 3 or 5.
    Waive {
        /// The gate.
        gate: Gate,
        /// Why; required.
        reason: Sealed,
    },
}
