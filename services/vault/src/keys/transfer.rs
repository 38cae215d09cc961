//! Keys on their way between a data directory and the registers beside a shared log: wrapped as they are, so that the master key is
//! not needed on the way, and is the same on both sides.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use duban_aggregates::ids::CustomerId;
use duban_log::{Error, Expected, Register, Registers, StreamName};
use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use super::file::{self, Record, State};
use super::master::WRAPPED_LEN;
use super::{FILE_NAME, KeysError, io_error, sync_dir};

/// The register of the key behind the keyed hashes.
pub(super) const INDEX: &str = "duban-index-key";

/// Registers asked at once.
const AT_ONCE: usize = 32;

pub(super) type Wrapped = [u8; WRAPPED_LEN];

/// All keys of a place.
pub struct WrappedKeys {
    index: Option<Wrapped>,
    /// None where it was erased.
    customers: Vec<(CustomerId, Option<Wrapped>)>,
}

impl WrappedKeys {
    /// How many keys there are, and how many were erased.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let erased = self.customers.iter().filter(|(_, key)| key.is_none()).count() as u64;
        (self.customers.len() as u64 - erased, erased)
    }

    /// The keys in a data directory; none where there is no key store.
    ///
    /// # Errors
    /// Any [`KeysError`] about files.
    pub fn from_directory(data: &Path) -> Result<Self, KeysError> {
        let path = data.join("keys").join(FILE_NAME);
        if !path.exists() {
            return Ok(Self { index: None, customers: Vec::new() });
        }
        let (file, index, survey) = file::open(&path, false, || Err(KeysError::ReadOnly))?;
        let mut customers = Vec::with_capacity(survey.entries.len());
        for (customer, slot, erased) in survey.entries {
            let customer = CustomerId(Uuid::from_bytes(customer));
            let record = file::read(&file, slot).map_err(|e| io_error("reading", &path, e))?;
            let record = record.ok_or(KeysError::DamagedKey(customer))?;
            customers.push((customer, (!erased).then_some(record.wrapped)));
        }
        Ok(Self { index: Some(index), customers })
    }

    /// Puts the keys into a data directory, beside those of them that are there.
    ///
    /// # Errors
    /// [`KeysError::OtherKeys`] where another key stands in a place; any [`KeysError`] about files.
    pub fn to_directory(&self, data: &Path) -> Result<(), KeysError> {
        let Some(index) = self.index else { return Ok(()) };
        let dir = data.join("keys");
        fs::create_dir_all(&dir).map_err(|e| io_error("making", &dir, e))?;
        sync_dir(&dir)?;
        let path = dir.join(FILE_NAME);
        let other = || KeysError::OtherKeys { place: path.display().to_string() };
        let (file, found, survey) = file::open(&path, true, || Ok(index))?;
        if found != index {
            return Err(other());
        }
        let there: HashMap<_, _> =
            survey.entries.iter().map(|(customer, slot, erased)| (*customer, (*slot, *erased))).collect();
        let mut new = Vec::new();
        for (customer, key) in &self.customers {
            let id = customer.0.into_bytes();
            match (there.get(&id), key) {
                (None, _) => new.push((id, *key)),
                (Some((_, true)), None) => {}
                (Some((slot, false)), None) => {
                    file::erase(&file, *slot).map_err(|e| io_error("erasing a key in", &path, e))?;
                }
                (Some((_, true)), Some(_)) => return Err(other()),
                (Some((slot, false)), Some(key)) => {
                    let record = file::read(&file, *slot).map_err(|e| io_error("reading", &path, e))?;
                    if record.is_none_or(|record| record.wrapped != *key) {
                        return Err(other());
                    }
                }
            }
        }
        let record = |(customer, key): ([u8; 16], Option<Wrapped>)| {
            let state = if key.is_some() { State::Live } else { State::Erased };
            Record { customer, batch: survey.slots, state, wrapped: key.unwrap_or([0; WRAPPED_LEN]) }.encode()
        };
        let bytes: Vec<u8> = new.into_iter().flat_map(record).collect();
        let write = || {
            file.write_all_at(&bytes, file::offset(survey.slots))?;
            file.sync_all()
        };
        write().map_err(|e| io_error("writing", &path, e))
    }

    /// The keys of these customers in registers.
    ///
    /// # Errors
    /// [`KeysError::Remote`], [`KeysError::DamagedKey`].
    pub async fn from_registers(
        registers: &Arc<dyn Registers>,
        customers: &[CustomerId],
    ) -> Result<Self, KeysError> {
        let index = match registers.read(&register_name(INDEX)?).await.map_err(register_error)? {
            Register::Holds { value, .. } => Some(decode_register(&value).ok_or(KeysError::Crypto)?),
            Register::Empty | Register::Erased => None,
        };
        let read = customers.iter().map(|customer| async move {
            Ok::<_, KeysError>(
                match registers.read(&register_of(*customer)?).await.map_err(register_error)? {
                    Register::Empty => None,
                    Register::Erased => Some((*customer, None)),
                    Register::Holds { value, .. } => Some((
                        *customer,
                        Some(decode_register(&value).ok_or(KeysError::DamagedKey(*customer))?),
                    )),
                },
            )
        });
        let read: Vec<_> = read.collect();
        let found: Vec<Option<_>> = futures::stream::iter(read).buffered(AT_ONCE).try_collect().await?;
        Ok(Self { index, customers: found.into_iter().flatten().collect() })
    }

    /// Puts the keys into registers, beside those of them that are there; `done` is told of each.
    ///
    /// # Errors
    /// [`KeysError::OtherKeys`] where another key stands in a place; [`KeysError::Remote`].
    pub async fn to_registers(
        &self,
        registers: &Arc<dyn Registers>,
        done: &(dyn Fn() + Sync),
    ) -> Result<(), KeysError> {
        let Some(index) = self.index else { return Ok(()) };
        put(registers, register_name(INDEX)?, Some(index)).await?;
        let put = self.customers.iter().map(|(customer, key)| async move {
            put(registers, register_of(*customer)?, *key).await?;
            done();
            Ok::<_, KeysError>(())
        });
        let put: Vec<_> = put.collect();
        futures::stream::iter(put).buffer_unordered(AT_ONCE).try_collect().await
    }
}

async fn put(
    registers: &Arc<dyn Registers>,
    name: StreamName,
    key: Option<Wrapped>,
) -> Result<(), KeysError> {
    let other = || KeysError::OtherKeys { place: name.to_string() };
    match (registers.read(&name).await.map_err(register_error)?, key) {
        (Register::Erased, None) => Ok(()),
        (Register::Erased, Some(_)) => Err(other()),
        (_, None) => registers.erase(&name).await.map(drop).map_err(register_error),
        (Register::Empty, Some(key)) => registers
            .write(&name, Expected::NoStream, encode_register(&key))
            .await
            .map(drop)
            .map_err(register_error),
        (Register::Holds { value, .. }, Some(key)) if decode_register(&value) == Some(key) => Ok(()),
        (Register::Holds { .. }, Some(_)) => Err(other()),
    }
}

pub(super) fn register_error(error: Error) -> KeysError {
    KeysError::Remote(Arc::new(error))
}

pub(super) fn register_name(name: &str) -> Result<StreamName, KeysError> {
    StreamName::new(name).map_err(register_error)
}

/// The register of a customer's key.
pub(super) fn register_of(customer: CustomerId) -> Result<StreamName, KeysError> {
    register_name(&format!("duban-key-{customer}"))
}

/// A wrapped key as a register keeps it: JSON text.
pub(super) fn encode_register(key: &Wrapped) -> bytes::Bytes {
    format!("\"{}\"", STANDARD.encode(key)).into()
}

/// The wrapped key that a register keeps; none where it is something else.
pub(super) fn decode_register(value: &[u8]) -> Option<Wrapped> {
    let text: String = serde_json::from_slice(value).ok()?;
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use duban_log::MemoryRegisters;

    use super::super::KeyStore;
    use super::*;

    fn customer(n: u128) -> CustomerId {
        CustomerId(Uuid::from_u128(n))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_open_the_same_after_they_were_carried_there_and_back_and_erased_ones_stay_so() {
        let (here, back) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = KeyStore::open(here.path(), None).unwrap();
        for n in 1..=3 {
            store.get_or_create(customer(n)).await.unwrap();
        }
        store.erase(customer(3)).await.unwrap();
        let hash = store.phone_hash("13900001234");
        drop(store);
        let registers: Arc<dyn Registers> = Arc::new(MemoryRegisters::default());
        let carried = WrappedKeys::from_directory(here.path()).unwrap();
        assert_eq!(carried.counts(), (2, 1));
        // Twice, as after a stop in the middle.
        for _ in 0..2 {
            carried.to_registers(&registers, &|| ()).await.unwrap();
        }
        let all: Vec<_> = (1..=4).map(customer).collect();
        let again = WrappedKeys::from_registers(&registers, &all).await.unwrap();
        assert_eq!(again.counts(), (2, 1));
        for _ in 0..2 {
            again.to_directory(back.path()).unwrap();
        }
        let master = here.path().join("keys/master");
        let remote = KeyStore::open_remote(registers, back.path(), Some(&master)).await.unwrap();
        let store = KeyStore::open(back.path(), Some(&master)).unwrap();
        for keys in [&remote, &store] {
            assert_eq!(keys.phone_hash("13900001234"), hash);
            assert!(keys.get(customer(1)).is_ok() && keys.get(customer(2)).is_ok());
            assert!(matches!(keys.get(customer(3)), Err(KeysError::Erased(_))));
            assert!(matches!(keys.get(customer(4)), Err(KeysError::Unknown(_))));
        }
    }

    #[tokio::test]
    async fn keys_of_another_store_are_never_written_over() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in [&one, &two] {
            let store = KeyStore::open(dir.path(), None).unwrap();
            store.get_or_create(customer(1)).await.unwrap();
        }
        let registers: Arc<dyn Registers> = Arc::new(MemoryRegisters::default());
        WrappedKeys::from_directory(one.path()).unwrap().to_registers(&registers, &|| ()).await.unwrap();
        let other = WrappedKeys::from_directory(two.path()).unwrap();
        let refused = other.to_registers(&registers, &|| ()).await.unwrap_err();
        assert!(matches!(refused, KeysError::OtherKeys { .. }), "{refused}");
        let refused = other.to_directory(one.path()).unwrap_err();
        assert!(matches!(refused, KeysError::OtherKeys { .. }), "{refused}");
    }
}
