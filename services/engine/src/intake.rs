//! Taking cases in, and what must not happen to a customer at the same time: who the customer is, which of his tickets a case might
//! belong to, whether two tickets may merge, and the erasure of his key.

mod merge;
mod phone_directory;

use std::sync::Arc;

use duban_aggregates::customer::{self, Customer, ErasureEvidence};
use duban_aggregates::ids::{CustomerId, DueNo, TicketId};
use duban_aggregates::rejection::Missing;
use duban_aggregates::ticket::intake::{self, Intake};
use duban_aggregates::ticket::state::End;
use duban_aggregates::ticket::{self, Ticket, chain};
use duban_aggregates::words::{Segment, Tier};
use duban_log::Position;
use duban_projections::Stopped;
use duban_vault::seal::{CustomerSealer, Sealer};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::OwnedMutexGuard;

use self::merge::{MergeSide, merge_evidence};
pub use self::phone_directory::{PhoneDirectory, PhoneHash};
use crate::locks::KeyedLocks;
use crate::runner::{Answer, Ask, RunError, Runner};
use crate::views::{PATIENCE, Views};

/// Customers whose turns are remembered beside those that are somebody's now.
const TURNS_MAX: usize = 16 * 1024;

/// Whose case it is, and what it is about, as the caller says.
#[derive(Clone, Copy, Debug)]
pub struct Matter<'r> {
    /// The customer, where there is one.
    pub customer: Option<NamedCustomer<'r>>,
    /// The reporter, where that is somebody else.
    pub reporter: Option<NamedReporter<'r>>,
    /// The number of the service.
    pub service_number: &'r str,
    /// The category.
    pub category: &'r str,
}

/// A customer as the desk names one.
#[derive(Clone, Copy, Debug)]
pub struct NamedCustomer<'r> {
    /// The id, where the desk knows it.
    pub id: Option<CustomerId>,
    /// The telephone number.
    pub phone: &'r str,
}

/// A reporter who is not the customer.
#[derive(Clone, Copy, Debug)]
pub struct NamedReporter<'r> {
    /// The telephone number; none where the reporter cannot be named.
    pub phone: Option<&'r str>,
}

/// A person whose texts a case carries.
#[derive(Clone, Copy, Debug)]
pub struct Person<'k> {
    /// Who.
    pub id: CustomerId,
    /// What seals the texts; none while a request is only looked at, before anybody has a key for it.
    pub sealer: Option<&'k CustomerSealer>,
}

impl Person<'_> {
    /// Nobody yet.
    const NOBODY: Self = Self { id: CustomerId::NOBODY, sealer: None };
}

/// Takes cases in. One for the whole server: one customer's cases are taken in one after the other.
pub struct CaseIntake {
    runner: Arc<Runner>,
    views: Views,
    sealer: Sealer,
    phones: PhoneDirectory,
    turns: KeyedLocks<CustomerId, ()>,
}

/// Tickets of the same customer, service and category.
#[derive(Clone, Copy, Default)]
struct Twins {
    open: Option<TicketId>,
    reopenable: Option<TicketId>,
}

impl CaseIntake {
    /// Takes cases in through a runner.
    #[must_use]
    pub fn new(runner: Arc<Runner>, views: Views, sealer: Sealer) -> Self {
        let phones = PhoneDirectory::new(Arc::clone(&views.customers));
        Self { runner, views, sealer, phones, turns: KeyedLocks::new(TURNS_MAX) }
    }

    /// Takes a case in: begins a ticket, and may begin a customer. `draft` makes the case from the request, for its person and its
    /// reporter; it is called first without keys, since a request that cannot be read makes no person and no key.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn take_in(
        &self,
        ticket: TicketId,
        ask: &Ask,
        matter: Matter<'_>,
        draft: impl Fn(Person<'_>, Person<'_>, Timestamp) -> Result<Intake, RunError> + Send + Sync,
    ) -> Result<Answer, RunError> {
        draft(Person::NOBODY, Person::NOBODY, self.runner.clock().now())?;
        let reporter = matter.reporter.map(|named| self.reporter(named, ask)).transpose()?;
        let customer = matter.customer.map(|named| self.customer(named)).transpose()?;
        let person = customer.or(reporter).ok_or_else(|| RunError::field("customer", "is required"))?;
        let _turn = self.turn(person).await;
        let twins = match customer {
            Some(customer) => self.twins(customer, matter).await?,
            None => Twins::default(),
        };
        // Before the event: what is sealed lives as long as the key does.
        let sealer = self.sealer.customer(person).await?;
        let theirs = self.sealer.customer(reporter.unwrap_or(person)).await?;
        let make = |_: Option<&Ticket>, now| {
            let of = |sealer| Person { id: CustomerSealer::customer(sealer), sealer: Some(sealer) };
            let intake = Box::new(draft(of(&sealer), of(&theirs), now)?);
            let Twins { open: open_twin, reopenable: reopenable_twin } = twins;
            Ok(ticket::Command::Intake(intake::Command::TakeIn { intake, open_twin, reopenable_twin }))
        };
        let answer = self.runner.run(ticket.0, ask, make).await?;
        // The next call of this customer, who waits for his turn, finds this ticket.
        self.settle(answer.position).await;
        Ok(answer)
    }

    /// Registers a customer by phone. A phone has one customer, whatever id the caller would give it; answers whose it is.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn register(
        &self,
        ask: &Ask,
        phone: &str,
        offered: Option<CustomerId>,
        (tier, segment): (Tier, Segment),
    ) -> Result<(CustomerId, Answer), RunError> {
        let phone_hash = self.sealer.keys().phone_hash(phone);
        let customer = self.phones.find_or_add(phone_hash, offered)?;
        let make =
            |_: Option<&Customer>, _| Ok(customer::Command::Register { customer, phone_hash, tier, segment });
        let answer = self.runner.run(customer.0, ask, make).await?;
        // A key before the first text, so that a later erasure has something to erase.
        self.sealer.customer(customer).await?;
        self.settle(answer.position).await;
        Ok((customer, answer))
    }

    /// Merges a ticket into another one.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn merge(&self, ticket: TicketId, ask: &Ask, into: TicketId) -> Result<Answer, RunError> {
        // Tickets that merge have one customer: in their turn two of them never take each other over.
        let _turn = self.turn_of(into).await?;
        let target = self.runner.view(into.0, |target: Option<&Ticket>| target.map(MergeSide::of)).await?;
        let merge = |ticket: &Ticket| {
            let evidence = merge_evidence(&MergeSide::of(ticket), into, target.as_ref());
            Ok(chain::Command::Merge { into, evidence })
        };
        self.runner.ticket(ticket, ask, merge).await
    }

    /// Erases a customer's key, where nothing of the customer's is open any more.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn erase(&self, customer: CustomerId, ask: &Ask, reason: &str) -> Result<Answer, RunError> {
        // While a case is taken in, its key is in use.
        let _turn = self.turn(customer).await;
        if let Some(head) = self.runner.log().head().position {
            self.taken_in(head).await?;
        }
        let evidence = self.erasure_evidence(customer).await?;
        let make = |_: Option<&Customer>, _| {
            Ok(customer::Command::Erase { reason: reason.to_owned(), evidence: evidence.clone() })
        };
        let answer = self.runner.run(customer.0, ask, make).await?;
        // Repeated by a repeat of the command: the event says that it was asked for, the key store that it was done.
        self.sealer.keys().erase(customer).await?;
        self.settle(answer.position).await;
        self.phones.forget(customer);
        Ok(answer)
    }

    /// The turn of a ticket's customer; none where there is no such ticket. While it is held no key of his is erased, and no other case
    /// of his comes in.
    ///
    /// # Errors
    /// [`RunError::Unavailable`] and [`RunError::Corrupt`].
    pub async fn turn_of(&self, ticket: TicketId) -> Result<Option<OwnedMutexGuard<()>>, RunError> {
        let person = |ticket: Option<&Ticket>| ticket.map(|ticket| ticket.intake.person());
        match self.runner.view(ticket.0, person).await? {
            Some(person) => Ok(Some(self.turn(person).await)),
            None => Ok(None),
        }
    }

    async fn turn(&self, customer: CustomerId) -> OwnedMutexGuard<()> {
        self.turns.of(&customer).lock_owned().await
    }

    /// The reporter by phone; one who cannot be named gets an id that a repeat of the command finds again.
    fn reporter(&self, named: NamedReporter<'_>, ask: &Ask) -> Result<CustomerId, RunError> {
        match named.phone.filter(|phone| !phone.trim().is_empty()) {
            Some(phone) => self.phones.find_or_add(self.sealer.keys().phone_hash(phone), None),
            None => {
                let secret = self.sealer.keys().fingerprint(ask.command.0.as_bytes());
                Ok(CustomerId(uuid::Builder::from_random_bytes(secret).into_uuid()))
            }
        }
    }

    /// The customer by id where the desk knows it, else by phone. A phone has one customer.
    fn customer(&self, named: NamedCustomer<'_>) -> Result<CustomerId, RunError> {
        let phone = self.sealer.keys().phone_hash(named.phone);
        let Some(id) = named.id else { return self.phones.find_or_add(phone, None) };
        match self.phones.find(&phone)? {
            Some(other) if other != id => {
                Err(RunError::field("customer.customer_id", "is not the customer with this phone"))
            }
            Some(_) | None => Ok(id),
        }
    }

    /// Tickets of the same customer, service and category: one that is open, one that ought to be reopened. The read model
    /// names them, the tickets themselves say how they stand.
    async fn twins(&self, customer: CustomerId, matter: Matter<'_>) -> Result<Twins, RunError> {
        let number_hash = self.sealer.keys().phone_hash(matter.service_number);
        let since = self.reopenable_since();
        let mut twins = Twins::default();
        for row in self.views.tickets.same_matter(customer, number_hash, matter.category)? {
            let see = |ticket: Option<&Ticket>| ticket.map(|ticket| ticket.ended.clone());
            match self.runner.view(row.ticket.0, see).await? {
                Some(None) => twins.open = Some(row.ticket),
                Some(Some(ended)) if ended.at >= since && !matches!(ended.how, End::Merged(_)) => {
                    twins.reopenable = Some(row.ticket);
                }
                Some(Some(_)) | None => {}
            }
        }
        Ok(twins)
    }

    fn reopenable_since(&self) -> Timestamp {
        let days = i64::from(self.runner.rules().policy.constants.reopen_days);
        let now = self.runner.clock().now();
        now.saturating_sub(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MIN)
    }

    /// An ended ticket whose reaction is under way is open still as far as the customer's stream knows; this asks the
    /// tickets themselves.
    async fn erasure_evidence(&self, customer: CustomerId) -> Result<ErasureEvidence, RunError> {
        let mut evidence = ErasureEvidence::default();
        for row in self.views.tickets.of_customer(customer)? {
            let open = |ticket: Option<&Ticket>| ticket.map(still_open);
            let open = self.runner.view(row.ticket.0, open).await?.unwrap_or_default();
            if !open.contains(&Missing::EndOf(row.ticket)) {
                evidence.ended.insert(row.ticket);
            }
            evidence.open.extend(open);
        }
        Ok(evidence)
    }

    /// Waits until the lists have taken in what was just written.
    async fn settle(&self, position: Position) {
        // Whoever reads with `min_position` waits for himself and is told.
        let _ = self.taken_in(position).await;
    }

    async fn taken_in(&self, position: Position) -> Result<(), Stopped> {
        self.views.lists_have(position, PATIENCE).await
    }
}

impl std::fmt::Debug for CaseIntake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaseIntake").finish_non_exhaustive()
    }
}

/// What a ticket still has open that an erasure waits for.
fn still_open(ticket: &Ticket) -> Vec<Missing> {
    let id = ticket.id();
    let end = ticket.is_open().then_some(Missing::EndOf(id));
    let receipts = ticket.receipts_owed().into_iter().map(|request| Missing::ReceiptOn(id, request));
    let dues = (1..).zip(&ticket.dues).filter(|(_, due)| due.is_owed());
    end.into_iter()
        .chain(receipts)
        .chain(dues.map(|(due, _)| Missing::SettlementOn(id, DueNo(due))))
        .collect()
}
