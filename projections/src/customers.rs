//! Whose phone is this?

use std::ops::ControlFlow;

use async_trait::async_trait;
use duban_aggregates::customer;
use duban_aggregates::ids::CustomerId;
use duban_aggregates::ticket::{self, intake};
use duban_codec::StoredEvent;
use duban_log::{EventLog, Reader, Recorded};
use uuid::Uuid;

use crate::Undecodable;
use crate::decode::{customer_event, customer_named, stored, ticket_event_of, ticket_named, viewed};
use crate::projection::{Fold, FoldError, Projection, Stopped, Taken};
use crate::table::{self, Changes, Key, Table, TableError};

/// Customers by phone.
const BY_PHONE: u8 = b'p';
/// Phones by customer: what an erasure has to find.
const PHONES: u8 = b'c';

/// Events of a rebuild that are told together.
const TOLD_AT: u64 = 1_024;

/// The read model of customers' phones, by their keyed hashes.
pub type Customers = Projection<CustomerFold>;

type PhoneHash = [u8; 16];

impl Customers {
    /// Who has this phone. After an erasure nobody has it.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn by_phone(&self, phone_hash: &PhoneHash) -> Result<Option<CustomerId>, Stopped> {
        self.ask(|table| table.get(&by_phone(phone_hash))?.as_deref().map(read_customer).transpose())
    }
}

/// What an event says about a phone.
enum Said {
    /// This customer has it, unless somebody had it before.
    Has(CustomerId, PhoneHash),
    /// This customer's phones are strangers'.
    Erased(CustomerId),
}

/// How customers' and tickets' first events say whose phone it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct CustomerFold;

#[async_trait]
impl Fold for CustomerFold {
    const NAME: &'static str = "customers";
    const VERSION: u32 = 1;

    fn rules(&self) -> String {
        "none".to_owned()
    }

    async fn take(&self, table: &Table, _: &dyn EventLog, events: &[Recorded]) -> Taken {
        let mut taken = Taken::default();
        for event in events {
            let changed = said(&stored(event))
                .map_err(FoldError::from)
                .and_then(|said| Ok(change(table, said.as_ref())?));
            match changed {
                Ok(changes) => table.change(changes),
                Err(error) => return Taken { error: Some(error), ..taken },
            }
            taken.events += 1;
        }
        taken
    }

    /// On one core: who was first follows from the order of the whole log.
    fn rebuild(&self, table: &Table, reader: &Reader, read: &(dyn Fn(u64) + Sync)) -> Result<(), FoldError> {
        let mut untold = 0;
        reader.scan(|view| {
            untold += 1;
            if untold == TOLD_AT {
                read(std::mem::take(&mut untold));
            }
            if ticket_named(view.stream).is_none_or(|_| view.revision == 0) {
                table.fill(change(table, said(&viewed(view))?.as_ref())?)?;
            }
            Ok::<_, FoldError>(ControlFlow::Continue(()))
        })?;
        read(untold);
        Ok(())
    }
}

fn said(event: &StoredEvent<'_>) -> Result<Option<Said>, Undecodable> {
    if let Some(customer) = customer_named(event.stream) {
        return Ok(match customer_event(event)? {
            customer::Event::Registered { phone_hash, .. } => Some(Said::Has(customer, phone_hash)),
            customer::Event::Erased { .. } => Some(Said::Erased(customer)),
            customer::Event::TierChanged { .. }
            | customer::Event::TicketOpened { .. }
            | customer::Event::TicketEnded { .. } => None,
        });
    }
    if event.revision > 0 || ticket_named(event.stream).is_none() {
        return Ok(None);
    }
    // A ticket may be its customer's first event.
    Ok(match ticket_event_of(event)? {
        ticket::Event::Intake(intake::Event::TakenIn(intake)) => {
            intake.person_with_phone().map(|(person, phone_hash)| Said::Has(person, phone_hash))
        }
        _ => None,
    })
}

fn change(table: &Table, said: Option<&Said>) -> Result<Changes, TableError> {
    let mut changes = Changes::new();
    match said {
        Some(&Said::Has(customer, phone_hash)) => {
            let key = by_phone(&phone_hash);
            if table.get(&key)?.is_none() {
                changes.insert(key, Some(customer.0.as_bytes().to_vec()));
                changes.insert([&phones(customer)[..], &phone_hash].concat(), Some(Vec::new()));
            }
        }
        Some(&Said::Erased(customer)) => {
            let of_theirs = phones(customer);
            for (key, _) in table.page(&of_theirs, &table::end_of(&of_theirs), false, usize::MAX)? {
                changes.insert([&[BY_PHONE], &key[of_theirs.len()..]].concat(), None);
                changes.insert(key, None);
            }
        }
        None => {}
    }
    Ok(changes)
}

fn by_phone(phone_hash: &PhoneHash) -> Key {
    [&[BY_PHONE], &phone_hash[..]].concat()
}

fn phones(customer: CustomerId) -> Key {
    [&[PHONES], &customer.0.as_bytes()[..]].concat()
}

fn read_customer(bytes: &[u8]) -> Result<CustomerId, TableError> {
    Uuid::from_slice(bytes).map(CustomerId).map_err(|error| TableError::Row(error.to_string()))
}
