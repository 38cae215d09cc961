//! Finding a customer by phone, and the order in which one customer's cases are taken in.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use duban_aggregates::ids::CustomerId;
use duban_projections::Customers;
use duban_vault::keys::KeysError;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use duban_engine::runner::RunError;

/// Phones and turns remembered, at most; what the read model knows is forgotten first.
const REMEMBERED_MAX: usize = 16 * 1024;

type PhoneHash = [u8; 16];
type Lock = Arc<tokio::sync::Mutex<()>>;

/// Customers of whom the read models do not know yet: two first calls of one phone at the same moment are one customer's.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    by_phone: Mutex<HashMap<PhoneHash, CustomerId>>,
    locks: Mutex<HashMap<CustomerId, Lock>>,
}

impl Strangers {
    /// The customer with this phone; else the one offered, else a new id, random and not derived from anything.
    pub(crate) fn find_or_make(
        &self,
        phone: PhoneHash,
        known: &Customers,
        offered: Option<CustomerId>,
    ) -> Result<CustomerId, RunError> {
        let mut by_phone = self.by_phone.lock();
        // Asked under the lock: what the read model learns meanwhile is an id that is remembered here.
        if let Some(customer) = known.by_phone(&phone)? {
            by_phone.remove(&phone);
            return Ok(customer);
        }
        if let Some(customer) = by_phone.get(&phone) {
            return Ok(*customer);
        }
        if by_phone.len() >= REMEMBERED_MAX {
            by_phone.retain(|phone, _| known.by_phone(phone).is_ok_and(|known| known.is_none()));
        }
        if by_phone.len() >= REMEMBERED_MAX {
            by_phone.clear();
        }
        let customer = match offered {
            Some(offered) => offered,
            None => random_id()?,
        };
        by_phone.insert(phone, customer);
        Ok(customer)
    }

    /// The customer with this phone, where somebody has it.
    pub(crate) fn find(&self, phone: &PhoneHash, known: &Customers) -> Result<Option<CustomerId>, RunError> {
        let by_phone = self.by_phone.lock();
        Ok(known.by_phone(phone)?.or_else(|| by_phone.get(phone).copied()))
    }

    /// After an erasure the phone is a stranger's.
    pub(crate) fn forget(&self, customer: CustomerId) {
        self.by_phone.lock().retain(|_, known| *known != customer);
    }

    /// One customer's cases are taken in one after the other, so that a second call finds the ticket of the first.
    pub(crate) async fn turn(&self, customer: CustomerId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock();
            if locks.len() >= REMEMBERED_MAX {
                locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            Arc::clone(locks.entry(customer).or_default())
        };
        lock.lock_owned().await
    }
}

fn random_id() -> Result<CustomerId, RunError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeysError::Crypto)?;
    Ok(CustomerId(uuid::Builder::from_random_bytes(bytes).into_uuid()))
}
