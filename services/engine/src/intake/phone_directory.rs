//! Which customer has which phone.

use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use duban_aggregates::ids::CustomerId;
use duban_projections::Customers;
use duban_vault::keys::KeysError;
use quick_cache::sync::Cache;

use crate::runner::RunError;

/// New customers remembered until the read model knows them, at most.
const NEW_MAX: usize = 16 * 1024;

/// The keyed hash of a telephone number.
pub type PhoneHash = [u8; 16];

/// Customers by phone: those that the read model knows, and those that it does not know yet. Two first calls of one phone at the same
/// moment are one customer's.
pub struct PhoneDirectory {
    known: Arc<Customers>,
    new: Cache<PhoneHash, CustomerId>,
}

impl PhoneDirectory {
    /// A directory over a read model.
    #[must_use]
    pub fn new(known: Arc<Customers>) -> Self {
        Self { known, new: Cache::new(NEW_MAX) }
    }

    /// The customer with this phone; else the one offered, else a new id, random and not derived from anything.
    ///
    /// # Errors
    /// [`RunError::View`], [`RunError::Keys`].
    pub fn find_or_add(&self, phone: PhoneHash, offered: Option<CustomerId>) -> Result<CustomerId, RunError> {
        // Asked first. Whom it does not know yet was remembered before the event that tells it was written.
        if let Some(customer) = self.known.by_phone(&phone)? {
            return Ok(customer);
        }
        self.new.get_or_insert_with(&phone, || offered.map_or_else(random_id, Ok))
    }

    /// The customer with this phone, where somebody has it.
    ///
    /// # Errors
    /// [`RunError::View`].
    pub fn find(&self, phone: &PhoneHash) -> Result<Option<CustomerId>, RunError> {
        Ok(self.known.by_phone(phone)?.or_else(|| self.new.get(phone)))
    }

    /// After an erasure the phone is nobody's.
    pub fn forget(&self, customer: CustomerId) {
        self.new.retain(|_, known| *known != customer);
    }
}

fn random_id() -> Result<CustomerId, RunError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeysError::Crypto)?;
    Ok(CustomerId(uuid::Builder::from_random_bytes(bytes).into_uuid()))
}

#[cfg(test)]
mod tests {
    use duban_projections::{CustomerFold, Projection};
    use uuid::Uuid;

    use super::*;

    fn directory() -> PhoneDirectory {
        PhoneDirectory::new(Arc::new(Projection::temporary(CustomerFold).unwrap()))
    }

    #[test]
    fn a_phone_has_one_customer_whoever_asks_first_and_whatever_id_is_offered() {
        let directory = directory();
        assert_eq!(directory.find(&[1; 16]).unwrap(), None);
        let made = directory.find_or_add([1; 16], None).unwrap();
        let offered = CustomerId(Uuid::from_u128(7));
        assert_eq!(directory.find_or_add([1; 16], Some(offered)).unwrap(), made);
        assert_eq!(directory.find_or_add([2; 16], Some(offered)).unwrap(), offered);
        assert_eq!(directory.find(&[1; 16]).unwrap(), Some(made));
        assert_ne!(directory.find_or_add([3; 16], None).unwrap(), made, "ids are random");
    }

    #[test]
    fn after_an_erasure_the_phone_is_nobodys() {
        let directory = directory();
        let (gone, kept) =
            (directory.find_or_add([1; 16], None).unwrap(), directory.find_or_add([2; 16], None).unwrap());
        directory.forget(gone);
        assert_eq!(directory.find(&[1; 16]).unwrap(), None);
        assert_eq!(directory.find(&[2; 16]).unwrap(), Some(kept));
    }
}
