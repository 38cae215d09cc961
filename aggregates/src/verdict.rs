//! Verdicts, appeals and penalties (domain.md section 7).

use crate::ids::{EventId, UnitId, VerdictNo};
use crate::sealed::Sealed;

/// What assessment found about a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The unit is at fault.
    AtFault {
        /// The rule of the assessment rule set 考核办法.
        rule: String,
        /// Points deducted.
        points: u32,
        /// Money deducted, in fen.
        penalty_fen: u64,
        /// The events that the deduction points at.
        because: Vec<EventId>,
        /// In words.
        reason: Sealed,
    },
    /// The unit is not at fault.
    NotAtFault {
        /// Why.
        reason: Sealed,
    },
}

impl Finding {
    /// Whether anything has to be carried out.
    #[must_use]
    pub fn has_penalty(&self) -> bool {
        matches!(self, Self::AtFault { points, penalty_fen, .. } if *points > 0 || *penalty_fen > 0)
    }
}

/// What happened to verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The unit accepts.
    Accepted {
        /// The verdict.
        verdict: VerdictNo,
    },
    /// The unit appeals.
    Appealed {
        /// The verdict.
        verdict: VerdictNo,
        /// Why.
        grounds: Sealed,
    },
    /// Another assessor granted the appeal: the verdict is reversed.
    AppealGranted {
        /// The verdict.
        verdict: VerdictNo,
        /// Why.
        reason: Sealed,
    },
    /// Another assessor refused the appeal.
    AppealRefused {
        /// The verdict.
        verdict: VerdictNo,
        /// Why.
        reason: Sealed,
    },
    /// Accepted, decided, or 5 working days passed without an appeal.
    BecameFinal {
        /// The verdict.
        verdict: VerdictNo,
    },
    /// Points when final, money when the payroll reference is recorded.
    PenaltyCarriedOut {
        /// The verdict.
        verdict: VerdictNo,
        /// The payroll reference, for money.
        payroll_reference: Option<String>,
    },
    /// A reversal after closing: the certificate gets an erratum and stays closed.
    ErratumRecorded {
        /// The verdict.
        verdict: VerdictNo,
        /// Why.
        reason: Sealed,
    },
}

/// What may be asked of verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Accept a verdict (the unit's supervisor or member).
    Accept {
        /// The verdict.
        verdict: VerdictNo,
    },
    /// Appeal a verdict within 5 working days.
    Appeal {
        /// The verdict.
        verdict: VerdictNo,
        /// Why; required.
        grounds: Sealed,
    },
    /// Decide an appeal.
    DecideAppeal {
        /// The verdict.
        verdict: VerdictNo,
        /// Granted reverses the verdict.
        granted: bool,
        /// Why; required.
        reason: Sealed,
    },
    /// Record that a penalty was carried out.
    CarryOutPenalty {
        /// The verdict.
        verdict: VerdictNo,
        /// The payroll reference; required for money.
        payroll_reference: String,
    },
    /// Reverse a final verdict, also after closing.
    Reverse {
        /// The verdict.
        verdict: VerdictNo,
        /// Why; required.
        reason: Sealed,
    },
}

/// A unit and why it is involved; for errors and lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Involved {
    /// The unit or department.
    pub unit: UnitId,
}
