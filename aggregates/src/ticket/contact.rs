//! Talking with the customer, and answering outside bodies (domain.md sections 2 and 3).

use jiff::Timestamp;

use crate::checks::{bounded, named, required};
use crate::ids::{EventId, RequestNo};
use crate::meta::Meta;
use crate::rejection::{Problem, Rejection};
use crate::sealed::Sealed;
use crate::ticket::draft::{Draft, attachment};
use crate::ticket::intake::{Attachment, OutsideRequest};
use crate::ticket::state::{End, Ticket, index};
use crate::words::{ContactReason, Kind, ReceiptKind};

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

/// An outside request and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The request.
    pub outside: OutsideRequest,
    /// The event of its final receipt.
    pub settled: Option<EventId>,
    /// A reopening owes a supplementary receipt.
    pub supplement_owed: bool,
}

impl Request {
    pub(crate) fn new(outside: OutsideRequest) -> Self {
        Self { outside, settled: None, supplement_owed: false }
    }

    /// An answer is owed.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.settled.is_none() || self.supplement_owed
    }
}

impl Event {
    pub(crate) fn occurred_at(&self) -> Option<Timestamp> {
        match self {
            Self::CustomerContacted { occurred_at, .. } | Self::DelayNotified { occurred_at, .. } => {
                Some(*occurred_at)
            }
            Self::UrgeEscalated { .. } | Self::ReceiptRecorded { .. } => None,
        }
    }
}

pub(crate) fn apply(ticket: &mut Ticket, event: &Event, meta: &Meta) {
    match event {
        Event::CustomerContacted { reason, .. } => {
            ticket.contacted = true;
            ticket.urges += u32::from(*reason == ContactReason::Urge);
            ticket.handled(meta);
        }
        Event::UrgeEscalated { .. } => {}
        Event::DelayNotified { .. } => {
            ticket.contacted = true;
            ticket.delays_notified += 1;
            ticket.handled(meta);
        }
        Event::ReceiptRecorded { request, kind, .. } => {
            ticket.handled(meta);
            let found = index(request.0).and_then(|index| ticket.requests.get_mut(index));
            if let Some(request) = found {
                match kind {
                    ReceiptKind::Interim => {}
                    ReceiptKind::Final => request.settled = Some(meta.id),
                    ReceiptKind::Supplementary => request.supplement_owed = false,
                }
            }
        }
    }
}

pub(crate) fn decide(draft: &mut Draft<'_>, command: Command) -> Result<(), Rejection> {
    match command {
        Command::ContactCustomer { reason, gm_hotline, said, answer, recording, occurred_at } => {
            draft.open()?;
            required("said", &said)?;
            answer.iter().try_for_each(|answer| bounded("answer", answer))?;
            recording.iter().try_for_each(|recording| attachment("recording.reference", recording))?;
            let occurred_at = draft.fact_time(occurred_at, recording.is_some())?;
            let urge = reason == ContactReason::Urge;
            if gm_hotline && !urge {
                return Err(Rejection::invalid("gm_hotline", Problem::Unfit("only an urge has it")));
            }
            draft.push(Event::CustomerContacted { reason, gm_hotline, said, answer, recording, occurred_at });
            let urges = draft.ticket.urges;
            if urge && (gm_hotline || urges == draft.context.policy.constants.urges_to_supervisor) {
                draft.push(Event::UrgeEscalated { urges });
            }
        }
        Command::NotifyDelay { expected_at, reason, recording, occurred_at } => {
            draft.open()?;
            required("reason", &reason)?;
            recording.iter().try_for_each(|recording| attachment("recording.reference", recording))?;
            if draft.ticket.kind() == Kind::Complaint {
                return Err(Rejection::WrongKind);
            }
            let occurred_at = draft.fact_time(occurred_at, recording.is_some())?;
            if expected_at <= occurred_at {
                return Err(Rejection::invalid("expected_at", Problem::NotInFuture));
            }
            draft.push(Event::DelayNotified { expected_at, reason, recording, occurred_at });
        }
        // Owed is owed: receipts are recorded after the end too.
        Command::RecordReceipt { request, kind, content, reference } => {
            required("content", &content)?;
            named("reference", &reference)?;
            let known = draft.ticket.request(request).ok_or(Rejection::UnknownRequest { request })?;
            // A merged ticket's receipts are the other ticket's to give.
            if draft.ticket.ended.as_ref().is_some_and(|ended| matches!(ended.how, End::Merged(_))) {
                return Err(Rejection::TicketEnded);
            }
            // After an end no reply will come any more, and the body still waits for its answer.
            let ended = !draft.ticket.is_open();
            let replied = ended || draft.ticket.lead_replied_since(1);
            let replied_again = ended || draft.ticket.lead_replied_since(draft.ticket.opened_round);
            match kind {
                ReceiptKind::Interim => {}
                ReceiptKind::Final if !replied => return Err(Rejection::NoReplyYet),
                ReceiptKind::Final if known.settled.is_some() => return Ok(()),
                ReceiptKind::Final => {}
                ReceiptKind::Supplementary if !known.supplement_owed => {
                    return Err(Rejection::NoSupplementOwed);
                }
                ReceiptKind::Supplementary if !replied_again => return Err(Rejection::NoReplyYet),
                ReceiptKind::Supplementary => {}
            }
            draft.push(Event::ReceiptRecorded { request, kind, content, reference });
        }
    }
    Ok(())
}
