//! How a ticket begins, and what is known about it from outside the chain (domain.md section 2).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::ClockKind;
use crate::ids::{CustomerId, EmployeeId, EventId, NoticeId, ProblemId, RequestNo, TicketId, UnitId};
use crate::sealed::Sealed;
use crate::{fault, install};

mod decide;

pub(crate) use decide::{apply, begin, decide, take_in};

/// What kind of case a ticket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 投诉.
    Complaint,
    /// 障碍申告.
    Fault,
    /// 装移机.
    Install,
}

impl Kind {
    /// The stream prefix and the topic name of this kind.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complaint => "complaint",
            Self::Fault => "fault",
            Self::Install => "install",
        }
    }
}

/// Where the case came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// 1000, the business hotline for large accounts.
    Hotline1000,
    /// 10000, the unified service hotline.
    Hotline10000,
    /// 112, fault reports.
    Desk112,
    /// 114, directory enquiries (outsourced).
    Desk114,
    /// 170, billing enquiries.
    Line170,
    /// 180, complaints.
    Line180,
    /// 189, business enquiries.
    Line189,
    /// The web site.
    Web,
    /// A counter in a shop.
    Counter,
    /// Any employee.
    Employee,
    /// 总经理热线.
    GmHotline,
    /// 110, the police.
    Police110,
    /// 12315, consumer protection.
    Consumer12315,
    /// 12345, the mayor's line.
    Mayor12345,
    /// 12381, the ministry's line.
    Miit12381,
    /// Press, radio, television.
    Media,
    /// The regulator.
    Regulator,
}

/// How urgent the case is to its customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// An inconvenience.
    Minor,
    /// Service impaired.
    Major,
    /// Service lost, or danger.
    Critical,
}

/// The customer's service tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Shorter targets.
    Gold,
    /// Between gold and standard.
    Silver,
    /// Everybody else.
    Standard,
}

/// The customer's segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// 公众客户.
    Public,
    /// 大客户, served through the green channel 绿色通道.
    LargeAccount,
}

/// What service the case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// Fixed line telephone.
    FixedLine,
    /// Broadband access.
    Broadband,
    /// Mobile.
    Mobile,
    /// Leased line.
    LeasedLine,
}

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

/// Where the service is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// Province, as policies name it (`henan`).
    pub province: String,
    /// City.
    pub city: String,
    /// District or county.
    pub district: String,
    /// Rural areas have longer statutory limits.
    pub rural: bool,
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
