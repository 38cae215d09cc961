//! How a ticket begins, and what is known about it from outside the chain (domain.md section 2).

use jiff::Timestamp;

use crate::ids::{CustomerId, EmployeeId, EventId, NoticeId, ProblemId, RequestNo, TicketId, UnitId};
use crate::policy;
use crate::sealed::Sealed;
use crate::ticket::{fault, install};
use crate::words::ClockKind;

// Where this was before; until every user names where it is.
pub use crate::area::Area;
pub use crate::words::{Channel, Kind, Product, Segment, Severity, Tier};

mod decide;

pub(crate) use decide::{apply, begin, decide, take_in};

/// The customer as the ticket carries them; name, phone and address are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// Random id; keys hang on it.
    pub id: CustomerId,
    /// Sealed name.
    pub name: Sealed,
    /// Sealed phone number.
    pub phone: Sealed,
    /// Keyed hash of the phone number, by which the customer is found again.
    pub phone_hash: [u8; 16],
    /// Sealed address.
    pub address: Option<Sealed>,
    /// Service tier.
    pub tier: Tier,
    /// Public customer or large account.
    pub segment: Segment,
}

/// The service the case is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Sealed service number.
    pub number: Sealed,
    /// Keyed hash of the number, by which tickets on the same service are matched.
    pub number_hash: [u8; 16],
    /// Product.
    pub product: Product,
    /// Monthly rent in fen.
    pub monthly_rent_fen: u64,
}

/// 首问责任人, the employee who first took the ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstOwner {
    /// Employee number.
    pub employee: EmployeeId,
    /// Their department.
    pub department: UnitId,
}

/// A recording or document, kept elsewhere and pinned here by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Where the other system keeps it.
    pub reference: String,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// What an outside body handed over; a receipt 回执 is owed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideRequest {
    /// Its number inside the ticket.
    pub request: RequestNo,
    /// The body's channel (110, 12315, 12345, 12381, media, regulator).
    pub body: Channel,
    /// The body's own number for the case.
    pub number: String,
    /// When it was handed over.
    pub handed_over_at: Timestamp,
    /// The body's deadline, where it set one.
    pub due: Option<Timestamp>,
}

/// Where an imported ticket came from. Its status in the source is kept as a fact, nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name of the mapping.
    pub name: String,
    /// The row's key in the source.
    pub row_key: String,
    /// The status the source gave it.
    pub status: String,
}

/// Everything known when a ticket is taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intake {
    /// The ticket's id.
    pub ticket: TicketId,
    /// Complaint, fault or install.
    pub kind: Kind,
    /// Where it came in.
    pub channel: Channel,
    /// Category path, `fault.broadband.down`.
    pub category: String,
    /// Urgency.
    pub severity: Severity,
    /// What the customer says, sealed.
    pub description: Sealed,
    /// What the customer asks for, sealed.
    pub remedy: Option<Sealed>,
    /// When it happened.
    pub happened_at: Timestamp,
    /// When the ticket was taken in; only an import may give an earlier moment than its recording.
    pub taken_in_at: Timestamp,
    /// First owner.
    pub first_owner: FirstOwner,
    /// The customer.
    pub customer: Customer,
    /// The service.
    pub service: Service,
    /// The area.
    pub area: Area,
    /// Outside bodies' requests, numbered from 1.
    pub requests: Vec<OutsideRequest>,
    /// Recordings and documents.
    pub attachments: Vec<Attachment>,
    /// Part of a declared mass outage: the desk dispatches at once.
    pub mass_outage: bool,
    /// An earlier ticket this one continues.
    pub linked: Option<TicketId>,
    /// Install only: fees and promise.
    pub install: Option<install::Order>,
    /// Imports only.
    pub source: Option<Source>,
}

impl<'a> policy::Subject<'a> {
    /// The facts of a ticket as it was taken in.
    pub fn of(intake: &'a Intake) -> Self {
        Self {
            kind: intake.kind,
            channel: intake.channel,
            tier: intake.customer.tier,
            segment: intake.customer.segment,
            province: &intake.area.province,
            rural: intake.area.rural,
            category: &intake.category,
            mass_outage: intake.mass_outage,
        }
    }
}

/// A fact that may be corrected (domain.md section 3, Corrections).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A fact about a fault.
    Fault(fault::Fact),
    /// A fact about an install.
    Install(install::Fact),
    /// The category, as it should have been.
    Category {
        /// Category path.
        category: String,
    },
}

/// A deadline taken over from a merged ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// Which clock.
    pub clock: ClockKind,
    /// The earlier due moment.
    pub due: Timestamp,
}

/// What happened around the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The ticket begins; round 1 opens at investigate.
    TakenIn(Box<Intake>),
    /// Another outside body handed the same case over.
    OutsideRequestAdded {
        /// The request.
        request: OutsideRequest,
    },
    /// A recording or document was added.
    Attached {
        /// The attachment.
        attachment: Attachment,
    },
    /// 首问责任人 was replaced.
    FirstOwnerChanged {
        /// Who it is from now on.
        to: FirstOwner,
        /// Why.
        reason: Sealed,
    },
    /// A fact was corrected by a new event that names the old.
    FactCorrected {
        /// The event whose fact was wrong.
        corrects: EventId,
        /// The fact as it is.
        fact: Fact,
        /// When it really happened.
        occurred_at: Timestamp,
        /// Why.
        reason: Sealed,
    },
    /// Another ticket of the same customer and service was merged into this one.
    MergeReceived {
        /// The merged ticket.
        from: TicketId,
        /// Its requests, renumbered here.
        requests: Vec<OutsideRequest>,
        /// Its deadlines that are earlier than ours.
        deadlines: Vec<TakenOver>,
    },
    /// The ticket joined a problem.
    ProblemJoined {
        /// The problem.
        problem: ProblemId,
    },
    /// A cut-over notice explains this fault.
    NoticeLinked {
        /// The notice.
        notice: NoticeId,
    },
    /// An auditor filed a finding.
    FindingFiled {
        /// What the auditor found.
        finding: Sealed,
    },
}

/// What may be asked around the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take a ticket in.
    TakeIn {
        /// Everything known; requests are numbered in their order.
        intake: Box<Intake>,
        /// Evidence: an open ticket of the same customer, service and category, where one is known.
        open_twin: Option<TicketId>,
        /// Evidence: a ticket that ended within 30 days and ought to be reopened, where one is known.
        reopenable_twin: Option<TicketId>,
    },
    /// Add an outside body's request; its number is given by the ticket.
    AddOutsideRequest {
        /// The body.
        body: Channel,
        /// Its own number.
        number: String,
        /// When it was handed over; now, where absent.
        handed_over_at: Option<Timestamp>,
        /// Its deadline.
        due: Option<Timestamp>,
    },
    /// Add a recording or document.
    Attach {
        /// The attachment.
        attachment: Attachment,
    },
    /// Replace the first owner.
    ChangeFirstOwner {
        /// Who it is from now on.
        to: FirstOwner,
        /// Why; required.
        reason: Sealed,
    },
    /// Correct a fact.
    CorrectFact {
        /// The event whose fact was wrong.
        corrects: EventId,
        /// The fact as it is.
        fact: Fact,
        /// When it really happened.
        occurred_at: Option<Timestamp>,
        /// Why; required.
        reason: Sealed,
    },
    /// Take over what a merged ticket leaves (a reaction, not an API call).
    ReceiveMerge {
        /// The merged ticket.
        from: TicketId,
        /// Its requests without a final receipt.
        requests: Vec<OutsideRequest>,
        /// Its running deadlines.
        deadlines: Vec<TakenOver>,
    },
    /// Join a problem.
    JoinProblem {
        /// The problem.
        problem: ProblemId,
    },
    /// Link a cut-over notice.
    LinkNotice {
        /// The notice.
        notice: NoticeId,
    },
    /// File an auditor's finding.
    FileFinding {
        /// What was found; required.
        finding: Sealed,
    },
}
