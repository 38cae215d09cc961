//! Talking with the customer, and answering outside bodies (domain.md sections 2 and 3).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::RequestNo;
use crate::intake::Attachment;
use crate::sealed::Sealed;

/// Why the customer and the desk talked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactReason {
    /// 催单: the customer asks for speed.
    Urge,
    /// The customer adds something.
    Supplement,
    /// The customer asks how it stands.
    Question,
    /// We called the customer.
    Callback,
}

/// What a receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptKind {
    /// How it stands; owed is owed still.
    Interim,
    /// The answer.
    Final,
    /// The answer after a reopening.
    Supplementary,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call on an open ticket; never a second ticket.
    CustomerContacted {
        /// Why.
        reason: ContactReason,
        /// The customer urged through the general manager's hotline.
        gm_hotline: bool,
        /// What the customer said.
        said: Sealed,
        /// What we answered.
        answer: Option<Sealed>,
        /// The recording.
        recording: Option<Attachment>,
        /// When they talked.
        occurred_at: Timestamp,
    },
    /// A third urge, or one by the general manager's hotline, went to the supervisor.
    UrgeEscalated {
        /// How often the customer has urged.
        urges: u32,
    },
    /// The customer was told that the repair or install will be late.
    DelayNotified {
        /// The new expected moment.
        expected_at: Timestamp,
        /// Why it is late.
        reason: Sealed,
        /// The recording.
        recording: Option<Attachment>,
        /// When the customer was told.
        occurred_at: Timestamp,
    },
    /// An outside body was answered.
    ReceiptRecorded {
        /// Whose request.
        request: RequestNo,
        /// Interim, final or supplementary.
        kind: ReceiptKind,
        /// What it says.
        content: Sealed,
        /// The receipt's own number.
        reference: String,
    },
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Record a call on this ticket.
    ContactCustomer {
        /// Why.
        reason: ContactReason,
        /// Through the general manager's hotline.
        gm_hotline: bool,
        /// What the customer said.
        said: Sealed,
        /// What we answered.
        answer: Option<Sealed>,
        /// The recording.
        recording: Option<Attachment>,
        /// When; now, where absent.
        occurred_at: Option<Timestamp>,
    },
    /// Record that the customer was told of a delay.
    NotifyDelay {
        /// The new expected moment; in the future.
        expected_at: Timestamp,
        /// Why it is late; required.
        reason: Sealed,
        /// The recording.
        recording: Option<Attachment>,
        /// When; now, where absent.
        occurred_at: Option<Timestamp>,
    },
    /// Record a receipt.
    RecordReceipt {
        /// Whose request.
        request: RequestNo,
        /// Interim, final or supplementary.
        kind: ReceiptKind,
        /// What it says; required.
        content: Sealed,
        /// The receipt's own number; required.
        reference: String,
    },
}
