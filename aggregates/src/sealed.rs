//! Personal data and free text, encrypted from their first event on (domain.md section 10).

use std::fmt;

use crate::ids::CustomerId;

/// A text under its customer's key. The rules carry it and never open it; erasing the key makes it unreadable.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Whose key opens it.
    pub customer: CustomerId,
    /// 96 random bits, never repeated under one key.
    pub nonce: [u8; 12],
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

impl Sealed {
    /// Whether the plain text was empty: nothing but the 16-byte tag.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ciphertext.len() <= 16
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes for {})", self.ciphertext.len(), self.customer)
    }
}
