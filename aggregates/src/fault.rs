//! What only faults 障碍 have: line tests, repair, service up, the customer's own terminal, payment of arrears.

use jiff::Timestamp;

use crate::sealed::Sealed;

/// A fact about a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The 112 line tester's result.
    LineTested {
        /// Whether the line is sound.
        passed: bool,
        /// The tester's own number for the test.
        reference: String,
        /// What was measured.
        result: Sealed,
    },
    /// The repair was made.
    Repaired {
        /// What was done.
        work: Sealed,
    },
    /// The customer's service is up.
    ServiceUp,
    /// Whether the customer's own terminal was the cause.
    TerminalJudged {
        /// It was.
        customers_own: bool,
    },
    /// The arrears were paid; service must be restored within 48 hours.
    ArrearsPaid {
        /// The payment's own number.
        reference: String,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A fact was recorded.
    FactRecorded {
        /// The fact.
        fact: Fact,
        /// When it happened.
        occurred_at: Timestamp,
        /// What proves an earlier moment.
        evidence: Option<Sealed>,
    },
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Record a fact.
    RecordFact {
        /// The fact.
        fact: Fact,
        /// When it happened; now, where absent.
        occurred_at: Option<Timestamp>,
        /// What proves an earlier moment; required for one.
        evidence: Option<Sealed>,
    },
}
