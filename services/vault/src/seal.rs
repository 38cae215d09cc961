//! Sealing personal data and free text under the customer's key, and opening it for those who may read it.

use std::sync::Arc;

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use duban_aggregates::ids::CustomerId;
use duban_aggregates::sealed::Sealed;

use crate::keys::{CustomerKey, KeyStore, KeysError};

/// Why a text cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unreadable {
    /// The customer's key was erased or never reached this store; nobody can read the text any more.
    #[error("the text was erased with its customer's key")]
    Erased,
    /// The bytes, or the key, are not those that were written.
    #[error("the sealed text is damaged")]
    Damaged,
    /// The key store could not be read just now.
    #[error("the key store could not be read")]
    Store(#[source] KeysError),
}

/// Seals and opens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sealer {
    keys: Arc<KeyStore>,
}

/// Seals texts of one customer, whose key is there and synced.
pub struct CustomerSealer {
    customer: CustomerId,
    key: Arc<CustomerKey>,
}

impl Sealer {
    /// A sealer over the keys of `keys`.
    #[must_use]
    pub fn new(keys: Arc<KeyStore>) -> Self {
        Self { keys }
    }

    /// The key store below, for hashes and erasure.
    #[must_use]
    pub fn keys(&self) -> &KeyStore {
        &self.keys
    }

    /// Everything needed to seal this customer's texts. A new customer's key is made and synced first, which may wait
    /// for the disk; for a known one it is immediate.
    ///
    /// # Errors
    /// As [`KeyStore`] has them; [`KeysError::Erased`] for an erased customer.
    pub async fn customer(&self, customer: CustomerId) -> Result<CustomerSealer, KeysError> {
        let key = self.keys.get_or_create(customer).await?;
        Ok(CustomerSealer { customer, key })
    }

    /// The same for a customer whose key exists, without waiting.
    ///
    /// # Errors
    /// As [`KeyStore`] has them; [`KeysError::Unknown`] when there is no key yet.
    pub fn known_customer(&self, customer: CustomerId) -> Result<CustomerSealer, KeysError> {
        Ok(CustomerSealer { customer, key: self.keys.get(customer)? })
    }

    /// Whether a customer's key was erased, so that none of the customer's texts opens any more.
    #[must_use]
    pub fn is_erased(&self, customer: CustomerId) -> bool {
        matches!(self.keys.get(customer), Err(KeysError::Erased(_)))
    }

    /// The plain text.
    ///
    /// # Errors
    /// [`Unreadable`] tells an erased text from a damaged one.
    pub fn open(&self, sealed: &Sealed) -> Result<String, Unreadable> {
        let key = self.keys.get(sealed.customer).map_err(|error| match error {
            KeysError::Erased(_) | KeysError::Unknown(_) => Unreadable::Erased,
            KeysError::DamagedKey(_) => Unreadable::Damaged,
            other => Unreadable::Store(other),
        })?;
        let mut bytes = sealed.ciphertext.clone();
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let plain =
            key.0.open_in_place(nonce, aad(sealed.customer), &mut bytes).map_err(|_| Unreadable::Damaged)?;
        let length = plain.len();
        bytes.truncate(length);
        String::from_utf8(bytes).map_err(|_| Unreadable::Damaged)
    }
}

impl CustomerSealer {
    /// Whose texts this seals.
    #[must_use]
    pub fn customer(&self) -> CustomerId {
        self.customer
    }

    /// Seals one text under a fresh nonce.
    ///
    /// # Errors
    /// [`KeysError::Crypto`] when the operating system gives no randomness.
    pub fn seal(&self, text: &str) -> Result<Sealed, KeysError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| KeysError::Crypto)?;
        let mut ciphertext = Vec::with_capacity(text.len() + 16);
        ciphertext.extend_from_slice(text.as_bytes());
        self.key
            .0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                aad(self.customer),
                &mut ciphertext,
            )
            .map_err(|_| KeysError::Crypto)?;
        Ok(Sealed { customer: self.customer, nonce, ciphertext })
    }
}

impl std::fmt::Debug for CustomerSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CustomerSealer({})", self.customer)
    }
}

/// Binds a text to its customer. It is not bound to its field: an event may carry another's text on (a correction, a
/// certificate), and readers that walk events generically open what they find. The log's tree proves the place.
fn aad(customer: CustomerId) -> Aad<[u8; 32]> {
    let mut bytes = *b"duban.sealed.v1\0................";
    bytes[16..].copy_from_slice(customer.0.as_bytes());
    Aad::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const NAME: &str = "欧阳测试";
    const PHONE: &str = "13900001234";

    fn customer(n: u128) -> CustomerId {
        CustomerId(Uuid::from_u128(n))
    }

    fn sealer(dir: &tempfile::TempDir) -> Sealer {
        Sealer::new(Arc::new(KeyStore::open(dir.path(), None).unwrap()))
    }

    #[tokio::test]
    async fn what_was_sealed_opens_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = sealer(&dir).customer(customer(1)).await.unwrap().seal(NAME).unwrap();
        assert_eq!(sealer(&dir).open(&sealed).unwrap(), NAME);
    }

    #[tokio::test]
    async fn an_empty_text_is_seen_to_be_empty_and_the_same_text_never_looks_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let sealer = sealer(&dir).customer(customer(1)).await.unwrap();
        assert!(sealer.seal("").unwrap().is_empty());
        assert_ne!(sealer.seal(NAME).unwrap().ciphertext, sealer.seal(NAME).unwrap().ciphertext);
    }

    #[tokio::test]
    async fn an_erased_key_makes_its_texts_unreadable_and_leaves_others() {
        let dir = tempfile::tempdir().unwrap();
        let (gone, kept) = {
            let sealer = sealer(&dir);
            let gone = sealer.customer(customer(1)).await.unwrap().seal(NAME).unwrap();
            let kept = sealer.customer(customer(2)).await.unwrap().seal(PHONE).unwrap();
            assert!(sealer.keys().erase(customer(1)).await.unwrap());
            assert!(matches!(sealer.open(&gone), Err(Unreadable::Erased)));
            assert!(matches!(sealer.customer(customer(1)).await, Err(KeysError::Erased(_))));
            (gone, kept)
        };
        let sealer = sealer(&dir);
        assert!(matches!(sealer.open(&gone), Err(Unreadable::Erased)));
        assert_eq!(sealer.open(&kept).unwrap(), PHONE);
    }

    #[tokio::test]
    async fn a_changed_byte_or_another_customer_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let sealer = sealer(&dir);
        let sealed = sealer.customer(customer(1)).await.unwrap().seal(NAME).unwrap();
        sealer.customer(customer(2)).await.unwrap();
        for at in 0..sealed.ciphertext.len() {
            let mut changed = sealed.clone();
            changed.ciphertext[at] ^= 1;
            assert!(matches!(sealer.open(&changed), Err(Unreadable::Damaged)));
        }
        let swapped = Sealed { customer: customer(2), ..sealed.clone() };
        assert!(matches!(sealer.open(&swapped), Err(Unreadable::Damaged)));
        let stub = Sealed { ciphertext: vec![1, 2, 3], ..sealed };
        assert!(matches!(sealer.open(&stub), Err(Unreadable::Damaged)));
    }

    #[tokio::test]
    async fn a_text_without_a_key_here_reads_as_erased() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealed = sealer(&elsewhere).customer(customer(1)).await.unwrap().seal(NAME).unwrap();
        assert!(matches!(sealer(&dir).open(&sealed), Err(Unreadable::Erased)));
    }

    #[tokio::test]
    async fn no_plain_text_reaches_the_sealed_bytes_or_the_key_files() {
        let dir = tempfile::tempdir().unwrap();
        let sealer = sealer(&dir);
        let seal = sealer.customer(customer(1)).await.unwrap();
        let mut written: Vec<u8> =
            [NAME, PHONE].iter().flat_map(|text| seal.seal(text).unwrap().ciphertext).collect();
        written.extend(sealer.keys().phone_hash(PHONE));
        for entry in std::fs::read_dir(dir.path().join("keys")).unwrap() {
            written.extend(std::fs::read(entry.unwrap().path()).unwrap());
        }
        for text in [NAME, PHONE] {
            assert!(!written.windows(text.len()).any(|window| window == text.as_bytes()));
        }
    }
}
