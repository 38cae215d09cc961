//! How a ticket begins, and what is known about it from outside the chain (domain.md section 2).

use jiff::Timestamp;

use crate::area::Area;
use crate::ids::{CustomerId, EmployeeId, EventId, NoticeId, ProblemId, RequestNo, TicketId, UnitId};
use crate::policy;
use crate::sealed::Sealed;
use crate::ticket::{fault, install};
use crate::words::{Channel, ClockKind, Kind, Product, ReporterKind, Segment, Severity, Tier};

mod decide;

pub use decide::begin;
pub(crate) use decide::{apply, decide, take_in};

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

/// Who brought the case, where that is not the customer for themself. Feedback goes to the reporter, money and account data to
/// the customer only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporter {
    /// Random id, as a customer's; where there is no customer, the ticket's texts are sealed under its key.
    pub id: CustomerId,
    /// On the customer's behalf, a non-user, or anonymous.
    pub kind: ReporterKind,
    /// Who it is; nobody, where anonymous.
    pub known: Option<KnownReporter>,
    /// What the reporter is to the customer, where it is on the customer's behalf.
    pub relation: Option<Sealed>,
    /// The customer's authority in writing, where there is one.
    pub authority: Option<Attachment>,
}

/// A reporter who can be named, and asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownReporter {
    /// Sealed name.
    pub name: Sealed,
    /// Sealed phone number.
    pub phone: Sealed,
    /// Keyed hash of the phone number.
    pub phone_hash: [u8; 16],
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
    /// The customer; a non-user's or an anonymous reporter's case may have none.
    pub customer: Option<Customer>,
    /// The service; a non-user's or an anonymous reporter's case may have none.
    pub service: Option<Service>,
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
    /// Who brought it; absent where it is the customer.
    pub reporter: Option<Reporter>,
}

/// A person with a key of their own, as a stream of theirs begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// Random id.
    pub id: CustomerId,
    /// Keyed hash of the phone number.
    pub phone_hash: [u8; 16],
    /// Tier.
    pub tier: Tier,
    /// Segment.
    pub segment: Segment,
}

impl Intake {
    /// The person whose key seals the ticket's texts: the customer, else the reporter.
    #[must_use]
    pub fn person(&self) -> CustomerId {
        let reporter = self.reporter.as_ref().map(|reporter| reporter.id);
        self.customer.as_ref().map(|customer| customer.id).or(reporter).unwrap_or(CustomerId::NOBODY)
    }

    /// The person by whom the desk finds the case again, with the keyed hash of the phone; none where there is nobody to name.
    #[must_use]
    pub fn person_with_phone(&self) -> Option<(CustomerId, [u8; 16])> {
        match (&self.customer, &self.reporter) {
            (Some(customer), _) => Some((customer.id, customer.phone_hash)),
            (None, Some(reporter)) => reporter.known.as_ref().map(|known| (reporter.id, known.phone_hash)),
            (None, None) => None,
        }
    }

    /// Everybody with a key of their own whom the case is of: the customer, and a reporter who can be named.
    #[must_use]
    pub fn people(&self) -> Vec<Person> {
        let customer = self.customer.iter().map(|it| Person {
            id: it.id,
            phone_hash: it.phone_hash,
            tier: it.tier,
            segment: it.segment,
        });
        let reporter = self.reporter.iter().filter_map(|it| it.known.as_ref().map(|known| (it.id, known)));
        let reporter = reporter.filter(|(id, _)| self.customer.as_ref().is_none_or(|it| it.id != *id));
        let reporter = reporter.map(|(id, known)| Person {
            id,
            phone_hash: known.phone_hash,
            tier: Tier::Standard,
            segment: Segment::Public,
        });
        customer.chain(reporter).collect()
    }

    /// The customer's tier; everybody else's without one.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.customer.as_ref().map_or(Tier::Standard, |customer| customer.tier)
    }

    /// The customer's segment; the public's without one.
    #[must_use]
    pub fn segment(&self) -> Segment {
        self.customer.as_ref().map_or(Segment::Public, |customer| customer.segment)
    }

    /// The keyed hash of the service's number; zeros without a service.
    #[must_use]
    pub fn number_hash(&self) -> [u8; 16] {
        self.service.as_ref().map_or([0; 16], |service| service.number_hash)
    }

    /// Somebody can be told the outcome and asked.
    #[must_use]
    pub fn somebody_to_ask(&self) -> bool {
        self.reporter.as_ref().is_none_or(|reporter| reporter.kind != ReporterKind::Anonymous)
    }
}

impl<'a> policy::Subject<'a> {
    /// The facts of a ticket as it was taken in.
    pub fn of(intake: &'a Intake) -> Self {
        Self {
            kind: intake.kind,
            channel: intake.channel,
            tier: intake.tier(),
            segment: intake.segment(),
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
        /// Evidence: the problem is open.
        open: bool,
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
