//! Money owed to customers, in fen: accrued → approved → paid or credited (domain.md section 7).

use serde::{Deserialize, Serialize};

use crate::ids::{DueNo, EventId};

/// Why money is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DueReason {
    /// 条例 31: 1 % of the fees for each calendar day late.
    LateInstall,
    /// 条例 32: the rent of each begun day of the outage.
    LateRepair,
    /// The operator's own promise.
    Promise,
}

/// How money reached the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// Paid out.
    Paid,
    /// Credited to the next bill.
    Credited,
}

/// What happened to dues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Money is owed.
    Accrued {
        /// Its number.
        due: DueNo,
        /// Why.
        reason: DueReason,
        /// How much, in fen.
        amount_fen: u64,
        /// The events it rests on.
        because: Vec<EventId>,
    },
    /// Assessment approved it.
    Approved {
        /// Which.
        due: DueNo,
    },
    /// The customer has it.
    Settled {
        /// Which.
        due: DueNo,
        /// Paid or credited.
        settlement: Settlement,
        /// The payment's own number.
        reference: String,
    },
}

/// What may be asked of dues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Record that money is owed.
    Accrue {
        /// Why.
        reason: DueReason,
        /// How much, in fen; more than nothing.
        amount_fen: u64,
        /// The events it rests on; at least one of this ticket's.
        because: Vec<EventId>,
    },
    /// Approve.
    Approve {
        /// Which.
        due: DueNo,
    },
    /// Record that the customer has it.
    Settle {
        /// Which.
        due: DueNo,
        /// Paid or credited.
        settlement: Settlement,
        /// The payment's own number; required.
        reference: String,
    },
}
