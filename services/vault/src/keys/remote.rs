//! Keys that servers share beside one log: a register a customer, each wrapped by the master key that all of them have.
//!
//! An unwrapped key is kept in bounded memory. An erasure goes to the register, which is gone for good, and every server hears of it
//! from the log: the event `customer.erased.v1` makes each erase again and forget what it kept.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::hmac;
use duban_aggregates::ids::CustomerId;
use duban_log::{Error, Expected, Register, Registers};
use futures::{FutureExt, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
use uuid::Uuid;

use super::master::{Purpose, random_key};
use super::transfer::{INDEX, decode_register, encode_register, register_error, register_name, register_of};
use super::{CACHED_MAX, Cache, CustomerKey, KeysError, MasterKey};

/// Registers written at once where many keys are made.
const AT_ONCE: usize = 64;

/// Tries to write a register that others write too.
const ATTEMPTS: u32 = 5;

pub(super) struct RemoteKeys {
    registers: Arc<dyn Registers>,
    master: MasterKey,
    known: Mutex<Known>,
    runtime: Handle,
}

struct Known {
    cache: Cache,
    /// Customers whose erasure this server has heard of: what is read at the same time must not be kept.
    erased: HashSet<Uuid>,
}

impl RemoteKeys {
    pub(super) async fn open(
        registers: Arc<dyn Registers>,
        data: &Path,
        master_file: Option<&Path>,
    ) -> Result<(Self, hmac::Key), KeysError> {
        let name = register_name(INDEX)?;
        let dir = data.join("keys");
        let mut found = registers.read(&name).await.map_err(register_error)?;
        let master = if found == Register::Empty {
            std::fs::create_dir_all(&dir).map_err(|e| super::io_error("making", &dir, e))?;
            MasterKey::load_or_generate(master_file, &dir)?
        } else {
            let path = master_file.map_or_else(|| dir.join("master"), Path::to_owned);
            // Another master could unwrap nothing of what the others have wrapped.
            if master_file.is_none() && !path.exists() {
                return Err(KeysError::MasterMissing { path });
            }
            MasterKey::read(&path)?
        };
        if found == Register::Empty {
            let wrapped = master.wrap(Purpose::Index, &*random_key()?)?;
            match registers.write(&name, Expected::NoStream, encode_register(&wrapped)).await {
                // Written, or somebody else was faster: what is there now counts for all.
                Ok(_) | Err(Error::WrongExpected { .. }) => {}
                Err(error) => return Err(register_error(error)),
            }
            found = registers.read(&name).await.map_err(register_error)?;
        }
        let wrong = || KeysError::WrongMaster { path: INDEX.into() };
        let Register::Holds { value, .. } = found else { return Err(wrong()) };
        let wrapped = decode_register(&value).ok_or_else(wrong)?;
        let index_key = master.unwrap(Purpose::Index, &wrapped).ok_or_else(wrong)?;
        let index_key = hmac::Key::new(hmac::HMAC_SHA256, &*index_key);
        let known = Mutex::new(Known { cache: Cache::new(CACHED_MAX), erased: HashSet::new() });
        Ok((Self { registers, master, known, runtime: Handle::current() }, index_key))
    }

    /// A key that is kept here is there at once; another one is waited for, which blocks the thread for one question to the
    /// cluster.
    pub(super) fn get(&self, customer: CustomerId) -> Result<Arc<CustomerKey>, KeysError> {
        if let Some(kept) = self.kept(customer) {
            return kept;
        }
        self.wait(self.fetch(customer))
    }

    pub(super) async fn get_or_create(&self, customer: CustomerId) -> Result<Arc<CustomerKey>, KeysError> {
        if let Some(kept) = self.kept(customer) {
            return kept;
        }
        let name = register_of(customer)?;
        for _ in 0..ATTEMPTS {
            match self.fetch(customer).await {
                Err(KeysError::Unknown(_)) => {}
                found => return found,
            }
            let wrapped = self.master.wrap(Purpose::Customer(customer.0.into_bytes()), &*random_key()?)?;
            match self.registers.write(&name, Expected::NoStream, encode_register(&wrapped)).await {
                // What is there is read again before it is used, also where it was written here: an answer that got lost may
                // have been another's.
                Ok(_) | Err(Error::WrongExpected { .. }) => {}
                Err(error) => return Err(register_error(error)),
            }
        }
        self.fetch(customer).await
    }

    pub(super) fn create_all(&self, customers: &[CustomerId]) -> Result<(), KeysError> {
        self.wait(async {
            let making =
                customers.iter().map(|customer| self.get_or_create(*customer).map(|made| made.map(drop)));
            futures::stream::iter(making).buffer_unordered(AT_ONCE).try_collect::<()>().await
        })
    }

    pub(super) async fn erase(&self, customer: CustomerId) -> Result<bool, KeysError> {
        {
            let mut known = self.known.lock();
            known.erased.insert(customer.0);
            known.cache.remove(&customer.0);
        }
        self.registers.erase(&register_of(customer)?).await.map_err(register_error)
    }

    fn kept(&self, customer: CustomerId) -> Option<Result<Arc<CustomerKey>, KeysError>> {
        let known = self.known.lock();
        if known.erased.contains(&customer.0) {
            return Some(Err(KeysError::Erased(customer)));
        }
        known.cache.get(&customer.0).cloned().map(Ok)
    }

    async fn fetch(&self, customer: CustomerId) -> Result<Arc<CustomerKey>, KeysError> {
        let value = match self.registers.read(&register_of(customer)?).await.map_err(register_error)? {
            Register::Empty => return Err(KeysError::Unknown(customer)),
            Register::Erased => return Err(KeysError::Erased(customer)),
            Register::Holds { value, .. } => value,
        };
        let damaged = || KeysError::DamagedKey(customer);
        let wrapped = decode_register(&value).ok_or_else(damaged)?;
        let key =
            self.master.unwrap(Purpose::Customer(customer.0.into_bytes()), &wrapped).ok_or_else(damaged)?;
        let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| KeysError::Crypto)?;
        let key = Arc::new(CustomerKey(LessSafeKey::new(key)));
        let mut known = self.known.lock();
        if known.erased.contains(&customer.0) {
            return Err(KeysError::Erased(customer));
        }
        known.cache.insert(customer.0, Arc::clone(&key));
        Ok(key)
    }

    /// Waits on whatever thread it is called. A runtime of one thread cannot wait for itself: there only what is answered at once
    /// is answered.
    fn wait<T>(&self, work: impl Future<Output = Result<T, KeysError>>) -> Result<T, KeysError> {
        match Handle::try_current().map(|here| here.runtime_flavor()) {
            Ok(RuntimeFlavor::CurrentThread) => work.now_or_never().unwrap_or_else(|| {
                let reason = "cannot be waited for on a runtime of one thread".to_owned();
                Err(register_error(Error::Invalid { what: "a key", reason }))
            }),
            Ok(_) => tokio::task::block_in_place(|| self.runtime.block_on(work)),
            Err(_) => self.runtime.block_on(work),
        }
    }
}

#[cfg(test)]
mod tests {
    use duban_log::MemoryRegisters;

    use super::super::KeyStore;
    use super::*;

    const PHONE: &str = "13900001234";

    fn customer(n: u128) -> CustomerId {
        CustomerId(Uuid::from_u128(n))
    }

    /// The directory of a server that was given the master key of another.
    fn beside(first: &Path) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("keys")).unwrap();
        std::fs::copy(first.join("keys/master"), dir.path().join("keys/master")).unwrap();
        dir
    }

    async fn open(registers: &Arc<MemoryRegisters>, data: &Path) -> Result<KeyStore, KeysError> {
        KeyStore::open_remote(Arc::clone(registers) as Arc<dyn Registers>, data, None).await
    }

    fn sealed_with(key: &CustomerKey) -> Vec<u8> {
        let mut bytes = b"text".to_vec();
        let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key([0; 12]);
        key.0.seal_in_place_append_tag(nonce, aws_lc_rs::aead::Aad::empty(), &mut bytes).unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_key_made_by_one_server_is_the_same_key_on_all_and_so_are_hashes() {
        let registers = Arc::new(MemoryRegisters::default());
        let dir = tempfile::tempdir().unwrap();
        let one = open(&registers, dir.path()).await.unwrap();
        let other_dir = beside(dir.path());
        let two = open(&registers, other_dir.path()).await.unwrap();
        assert!(matches!(two.get(customer(1)), Err(KeysError::Unknown(_))));
        let (made, also) = tokio::join!(one.get_or_create(customer(1)), two.get_or_create(customer(1)));
        assert_eq!(sealed_with(&made.unwrap()), sealed_with(&also.unwrap()));
        one.create_all(&[customer(2), customer(3)]).unwrap();
        assert_eq!(sealed_with(&one.get(customer(2)).unwrap()), sealed_with(&two.get(customer(2)).unwrap()));
        assert_eq!(one.phone_hash(PHONE), two.phone_hash(PHONE));
        assert_eq!(one.fingerprint(b"x"), two.fingerprint(b"x"));
    }

    #[tokio::test]
    async fn an_erased_key_is_gone_for_good_and_a_server_that_kept_it_forgets_it_when_it_hears_of_it() {
        let registers = Arc::new(MemoryRegisters::default());
        let dir = tempfile::tempdir().unwrap();
        let one = open(&registers, dir.path()).await.unwrap();
        let two = open(&registers, beside(dir.path()).path()).await.unwrap();
        one.get_or_create(customer(1)).await.unwrap();
        two.get(customer(1)).unwrap();
        assert!(one.erase(customer(1)).await.unwrap());
        // What the event makes the other do.
        assert!(!two.erase(customer(1)).await.unwrap());
        let late = open(&registers, beside(dir.path()).path()).await.unwrap();
        for keys in [&one, &two, &late] {
            assert!(matches!(keys.get(customer(1)), Err(KeysError::Erased(_))));
            assert!(matches!(keys.get_or_create(customer(1)).await, Err(KeysError::Erased(_))));
        }
        // Also one that never had a key.
        late.erase(customer(9)).await.unwrap();
        assert!(matches!(one.get_or_create(customer(9)).await, Err(KeysError::Erased(_))));
    }

    #[tokio::test]
    async fn a_server_with_another_master_key_or_none_is_refused() {
        let registers = Arc::new(MemoryRegisters::default());
        let dir = tempfile::tempdir().unwrap();
        open(&registers, dir.path()).await.unwrap();
        let without = tempfile::tempdir().unwrap();
        let refused = open(&registers, without.path()).await.unwrap_err();
        assert!(matches!(refused, KeysError::MasterMissing { .. }), "{refused}");
        let elsewhere = Arc::new(MemoryRegisters::default());
        open(&elsewhere, without.path()).await.unwrap();
        let refused = open(&registers, without.path()).await.unwrap_err();
        assert!(matches!(refused, KeysError::WrongMaster { .. }), "{refused}");
    }
}
