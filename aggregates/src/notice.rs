//! Cut-over notices 割接通知: planned work, linked to the faults that it explains (domain.md section 8).

use jiff::Timestamp;

use crate::ids::{NoticeId, TicketId, UnitId};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A notice was published.
    Published {
        /// Its id.
        notice: NoticeId,
        /// The unit that works.
        unit: UnitId,
        /// Where; district or county.
        area: String,
        /// What is done; no personal data.
        work: String,
        /// From when.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// A fault is explained by it.
    FaultLinked {
        /// The fault's ticket.
        ticket: TicketId,
    },
    /// The work takes longer.
    Extended {
        /// The new end.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// The work is over.
    Ended,
    /// The work will not be done.
    Withdrawn {
        /// Why.
        reason: String,
    },
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Publish a notice.
    Publish {
        /// Its id.
        notice: NoticeId,
        /// The unit that works, as the register has it.
        unit: UnitId,
        /// Where; required.
        area: String,
        /// What is done; required.
        work: String,
        /// From when.
        from: Timestamp,
        /// Until when; later.
        until: Timestamp,
    },
    /// Link a fault.
    LinkFault {
        /// The fault's ticket.
        ticket: TicketId,
    },
    /// Say that it takes longer.
    Extend {
        /// The new end; later than the present one.
        until: Timestamp,
        /// Why; required.
        reason: String,
    },
    /// Say that it is over.
    End,
    /// Withdraw it before it begins.
    Withdraw {
        /// Why; required.
        reason: String,
    },
}
