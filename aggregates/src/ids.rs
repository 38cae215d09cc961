//! Newtype identifiers. Numbers count from 1 inside their ticket, so people can say "order 3".

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

uuid_ids! {
    /// A ticket 工单; its events are one stream.
    TicketId;
    /// A customer; random, never derived from the phone number.
    CustomerId;
    /// The caller's id for one command; the ticket remembers it, so a repeat changes nothing.
    CommandId;
    /// An event's id, UUIDv5 of stream, command and index.
    EventId;
    /// A problem: the common cause behind several customers' tickets.
    ProblemId;
    /// A cut-over notice 割接通知.
    NoticeId;
    /// An emergency 应急.
    EmergencyId;
    /// A foreign history: a case of another system.
    HistoryId;
}

impl CustomerId {
    /// Nobody: what a case would have that names neither a customer nor a reporter.
    pub const NOBODY: Self = Self(Uuid::nil());
}

text_ids! {
    /// An employee's number.
    EmployeeId;
    /// A responsible unit, a department or a contractor, as the policy's register names it.
    UnitId;
}

impl EmployeeId {
    /// The number as it is compared: typed with other spaces or in other letters it is the same person's.
    #[must_use]
    pub fn folded(&self) -> Self {
        Self(self.0.trim().to_lowercase())
    }

    /// Whether both are the same person's.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }
}

numbers! {
    /// An order 督办单 or 协办单 of its ticket.
    OrderNo;
    /// An outside body's request, for which receipts 回执 are owed.
    RequestNo;
    /// A clock instance 时限.
    ClockNo;
    /// A verdict on one unit.
    VerdictNo;
    /// A measure that improves the service.
    MeasureNo;
    /// Money owed to the customer.
    DueNo;
    /// An appointment for a visit.
    AppointmentNo;
    /// A proposed step of the escalation ladder.
    EscalationNo;
}

/// The id of the `index`-th event that a command adds to a stream: the same however often it is decided.
#[must_use]
pub fn stream_event_id(stream: Uuid, command: CommandId, index: u32) -> EventId {
    let mut name = [0; 20];
    name[..16].copy_from_slice(command.0.as_bytes());
    name[16..].copy_from_slice(&index.to_be_bytes());
    EventId(Uuid::new_v5(&stream, &name))
}
