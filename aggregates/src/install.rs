//! What only installs 装移机 have: fees, promise, milestones. Appointments are here too; faults may have them.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::ids::AppointmentNo;
use crate::sealed::Sealed;

/// What the customer ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Fees collected, in fen.
    pub fees_fen: u64,
    /// The date promised to the customer.
    pub promised_on: Option<Date>,
}

/// The way of an install; each follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Milestone {
    /// The order was accepted.
    Accepted,
    /// The place was surveyed.
    Surveyed,
    /// Line and ports were assigned.
    ResourcesAssigned,
    /// A technician was there.
    Visited,
    /// The service works.
    Activated,
}

/// What came of an appointment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Kept.
    Kept,
    /// Missed by the operator: penalty.
    MissedByOperator,
    /// Missed by the customer: the clocks that honour it pause.
    MissedByCustomer,
}

/// A fact about an install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A milestone was reached.
    MilestoneReached {
        /// Which.
        milestone: Milestone,
    },
    /// What came of an appointment.
    AppointmentEnded {
        /// Which.
        appointment: AppointmentNo,
        /// What came of it.
        outcome: Outcome,
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
    /// The customer chose a slot.
    AppointmentMade {
        /// Its number.
        appointment: AppointmentNo,
        /// The slot's begin.
        from: Timestamp,
        /// The slot's end.
        until: Timestamp,
    },
    /// The customer chose another slot.
    AppointmentRescheduled {
        /// Which.
        appointment: AppointmentNo,
        /// The new slot's begin.
        from: Timestamp,
        /// The new slot's end.
        until: Timestamp,
        /// Why.
        reason: Sealed,
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
        /// What proves an earlier moment; required for one, and for a missed appointment.
        evidence: Option<Sealed>,
    },
    /// Make an appointment; the slot lies in the future.
    MakeAppointment {
        /// The slot's begin.
        from: Timestamp,
        /// The slot's end.
        until: Timestamp,
    },
    /// Move an appointment, also a missed one.
    Reschedule {
        /// Which.
        appointment: AppointmentNo,
        /// The new slot's begin.
        from: Timestamp,
        /// The new slot's end.
        until: Timestamp,
        /// Why; required.
        reason: Sealed,
    },
}
