//! The key store: a key per customer, wrapped by the master key. The second durable thing beside the log.
//!
//! What is sealed under a key lives exactly as long as the key does: a key is synced before its first use, and
//! erasing it makes the customer's texts unreadable in the log, read models, exports and later backups. Overwriting in
//! place reaches the bytes that the file system shows; what a copy-on-write disk keeps underneath, it cannot.
//!
//! One process writes at a time: the log's lock, taken before, covers this file too. Servers that share a log share the keys
//! beside it, in `remote.rs`.

pub mod backup;
mod check;
mod file;
mod master;
mod overwrite;
mod remote;
pub mod rotate;
mod transfer;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::hmac;
use duban_aggregates::ids::CustomerId;
use duban_log::Registers;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use uuid::Uuid;

pub use check::{CheckSummary, check};
use file::{Record, State};
pub use master::MasterKey;
use master::{Purpose, WRAPPED_LEN, random_key};
pub use overwrite::write_whole;
use remote::RemoteKeys;
pub use transfer::WrappedKeys;

use crate::own_ids::OwnIds;

const KEY_LEN: usize = 32;
const FILE_NAME: &str = "customers";
/// Unwrapped keys kept in memory, at most; about 1 KiB each.
const CACHED_MAX: usize = 16 * 1024;
/// New keys synced together, at most.
const BATCH_MAX: usize = 4096;

/// Why a key cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeysError {
    /// The key was erased, on purpose and for good.
    #[error("the key of customer {0} was erased")]
    Erased(CustomerId),
    /// No key was ever made for this customer.
    #[error("there is no key for customer {0}")]
    Unknown(CustomerId),
    /// A customer's key is there but does not unwrap: its bytes changed on disk.
    #[error("the key of customer {0} is damaged; restore the key file from a backup")]
    DamagedKey(CustomerId),
    /// A used part of the key file changed on disk.
    #[error("{path} is damaged at byte {offset}; restore it from a backup")]
    Damaged {
        /// The key file.
        path: PathBuf,
        /// Bytes from its start.
        offset: u64,
    },
    /// The file is something else, or of a later version.
    #[error("{path} is not a key file of this version")]
    NotAKeyFile {
        /// The file.
        path: PathBuf,
    },
    /// The master key is not the one that wrapped these keys.
    #[error("the master key given is not the one that wrapped the keys in {path}")]
    WrongMaster {
        /// The key file.
        path: PathBuf,
    },
    /// Keys exist, and the master key that wraps them does not.
    #[error(
        "{path} is gone and the keys beside it cannot be read without it; put it back or name it with --master-key"
    )]
    MasterMissing {
        /// Where it was expected.
        path: PathBuf,
    },
    /// The master key file holds something else.
    #[error("{path} does not hold a master key: 32 bytes in base64, as `openssl rand -base64 32` prints")]
    MasterMalformed {
        /// The master key file.
        path: PathBuf,
    },
    /// A rotation to the master key that is in use.
    #[error("the keys in {path} are wrapped under this master key already")]
    SameMaster {
        /// The key file.
        path: PathBuf,
    },
    /// A rotation needs a place for the new master key.
    #[error("the master key is kept in {path}: name another file for the new one with --new-master-key")]
    NewMasterUnnamed {
        /// Where the old one is kept.
        path: PathBuf,
    },
    /// The store was opened for reading.
    #[error("the key store is open for reading only")]
    ReadOnly,
    /// The disk is full; nothing was written, and a later try may succeed.
    #[error("no space left for a new key")]
    Full,
    /// Writing or syncing failed before, so what the disk holds is unknown until the store is opened again.
    #[error("the key file could not be written; no key is made until the server is restarted")]
    Broken,
    /// A file could not be read or written.
    #[error("{doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The keys that several servers share cannot be reached just now, or are not what was written.
    #[error("the keys beside the shared log cannot be used")]
    Remote(#[source] Arc<duban_log::Error>),
    /// Keys of another store are there, or one that was erased would come back.
    #[error("{place} holds other keys than those that were to be put there: nothing of them was changed")]
    OtherKeys {
        /// Where.
        place: String,
    },
    /// The operating system gave no randomness, or the cipher refused.
    #[error("the cryptographic library failed")]
    Crypto,
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> KeysError {
    KeysError::Io { doing, path: path.to_owned(), source: Arc::new(source) }
}

/// Syncs the directory that holds `path`: without it a new file's name may not survive a power loss.
fn sync_dir(path: &Path) -> Result<(), KeysError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| io_error("syncing", dir, e))
}

/// One customer's key, ready for use. Its memory is cleared when the last holder drops it.
pub(crate) struct CustomerKey(pub(crate) LessSafeKey);

/// Keys by customer, and the keyed hashes. Share it in an [`Arc`].
pub struct KeyStore {
    place: Place,
    index_key: hmac::Key,
}

/// Unwrapped keys in bounded memory; a scan over many customers does not drive out the busy ones.
type Cache = quick_cache::unsync::Cache<Uuid, Arc<CustomerKey>>;

/// Where keys are.
enum Place {
    /// In a file of this machine.
    Local(LocalKeys),
    /// In registers beside a log that several servers share.
    Remote(Box<RemoteKeys>),
}

/// The key file, and who writes it.
struct LocalKeys {
    shared: Arc<Shared>,
    /// None when open for reading.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    file: File,
    master: MasterKey,
    known: Mutex<Known>,
}

struct Known {
    slots: HashMap<Uuid, Slot>,
    cache: Cache,
    broken: bool,
}

#[derive(Clone, Copy)]
struct Slot {
    number: u64,
    erased: bool,
}

struct Job {
    customer: CustomerId,
    what: What,
}

enum What {
    Create(oneshot::Sender<Result<(), KeysError>>),
    Erase(oneshot::Sender<Result<bool, KeysError>>),
}

impl std::fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = match &self.place {
            Place::Local(local) => Some(&local.shared.path),
            Place::Remote(_) => None,
        };
        f.debug_struct("KeyStore").field("path", &path).finish_non_exhaustive()
    }
}

impl KeyStore {
    /// Opens the key store of the data directory `data` for one writer, making `data/keys` where there is none. The
    /// master key comes from `master_file`, else from `data/keys/master`.
    ///
    /// # Errors
    /// Any [`KeysError`] about files and the master key. A torn tail is no error: those keys were never used.
    pub fn open(data: &Path, master_file: Option<&Path>) -> Result<Self, KeysError> {
        let dir = data.join("keys");
        if !dir.exists() {
            fs::create_dir_all(&dir).map_err(|e| io_error("making", &dir, e))?;
            sync_dir(&dir)?;
        }
        rotate::recover(&dir)?;
        let master = MasterKey::load_or_generate(master_file, &dir)?;
        let (shared, index_key, next_slot) = Self::load(dir.join(FILE_NAME), master, true)?;
        let (jobs, queue) = mpsc::channel();
        let writer = Writer { shared: Arc::clone(&shared), next_slot };
        let thread = std::thread::Builder::new().name("duban-keys".to_owned());
        let thread = thread
            .spawn(move || writer.run(&queue))
            .map_err(|e| io_error("starting the writer of", &shared.path, e))?;
        let place = Place::Local(LocalKeys { shared, jobs: Some(jobs), writer: Some(thread) });
        Ok(Self { place, index_key })
    }

    /// Opens the keys that servers share beside one log. All of them have the same master key: from `master_file`, else from
    /// `data/keys/master`, which only the first of them all may make.
    ///
    /// # Errors
    /// [`KeysError::Remote`], and any about the master key.
    pub async fn open_remote(
        registers: Arc<dyn Registers>,
        data: &Path,
        master_file: Option<&Path>,
    ) -> Result<Self, KeysError> {
        let (remote, index_key) = RemoteKeys::open(registers, data, master_file).await?;
        Ok(Self { place: Place::Remote(Box::new(remote)), index_key })
    }

    /// Opens the key store beside a live server: it reads keys as of now, and changes nothing.
    ///
    /// # Errors
    /// Any [`KeysError`] about files and the master key; [`KeysError::Io`] when there is no key store.
    pub fn open_read_only(data: &Path, master_file: Option<&Path>) -> Result<Self, KeysError> {
        let dir = data.join("keys");
        let (keys, master) = rotate::current(&dir);
        let master = MasterKey::read(master_file.unwrap_or(&dir.join(master)))?;
        let (shared, index_key, _) = Self::load(dir.join(keys), master, false)?;
        Ok(Self { place: Place::Local(LocalKeys { shared, jobs: None, writer: None }), index_key })
    }

    fn load(
        path: PathBuf,
        master: MasterKey,
        writable: bool,
    ) -> Result<(Arc<Shared>, hmac::Key, u64), KeysError> {
        let (file, wrapped_index, survey) =
            file::open(&path, writable, || master.wrap(Purpose::Index, &*random_key()?))?;
        let index_key = master
            .unwrap(Purpose::Index, &wrapped_index)
            .ok_or_else(|| KeysError::WrongMaster { path: path.clone() })?;
        let slots = survey
            .entries
            .iter()
            .map(|(customer, number, erased)| {
                (Uuid::from_bytes(*customer), Slot { number: *number, erased: *erased })
            })
            .collect();
        let known = Mutex::new(Known { slots, cache: Cache::new(CACHED_MAX), broken: false });
        let index_key = hmac::Key::new(hmac::HMAC_SHA256, &*index_key);
        Ok((Arc::new(Shared { path, file, master, known }), index_key, survey.slots))
    }

    pub(crate) fn get(&self, customer: CustomerId) -> Result<Arc<CustomerKey>, KeysError> {
        match &self.place {
            Place::Local(local) => local.shared.get(customer),
            Place::Remote(remote) => remote.get(customer),
        }
    }

    /// The customer's key, made and synced first when there is none. New customers that arrive together share one
    /// sync.
    ///
    /// # Errors
    /// [`KeysError::Erased`] for an erased customer, whose key is never made again; [`KeysError::Full`],
    /// [`KeysError::Broken`], [`KeysError::ReadOnly`].
    pub(crate) async fn get_or_create(&self, customer: CustomerId) -> Result<Arc<CustomerKey>, KeysError> {
        let local = match &self.place {
            Place::Local(local) => local,
            Place::Remote(remote) => return remote.get_or_create(customer).await,
        };
        match local.shared.get(customer) {
            Err(KeysError::Unknown(_)) => {
                local.ask(customer, What::Create)?.await.map_err(|_| KeysError::Broken)??;
                local.shared.get(customer)
            }
            found => found,
        }
    }

    /// Makes keys for all of `customers` that have none, in few syncs. Blocks: for commands that work on a data
    /// directory, not for the server.
    ///
    /// # Errors
    /// As for one; the keys made before the first error stay.
    ///
    /// # Panics
    /// When called on an async runtime's thread.
    pub fn create_all(&self, customers: &[CustomerId]) -> Result<(), KeysError> {
        let local = match &self.place {
            Place::Local(local) => local,
            Place::Remote(remote) => return remote.create_all(customers),
        };
        let asked: Result<Vec<_>, _> =
            customers.iter().map(|customer| local.ask(*customer, What::Create)).collect();
        for answer in asked? {
            answer.blocking_recv().map_err(|_| KeysError::Broken)??;
        }
        Ok(())
    }

    /// Overwrites the customer's key and syncs. Answers whether there was one to erase; either way none is ever made
    /// for this customer again. A command under way that holds the key already may still seal with it; nobody can open
    /// what it sealed.
    ///
    /// # Errors
    /// [`KeysError::ReadOnly`], [`KeysError::Full`], [`KeysError::Broken`], [`KeysError::Io`]: the erasure may then be
    /// half done, and must be repeated.
    pub async fn erase(&self, customer: CustomerId) -> Result<bool, KeysError> {
        match &self.place {
            Place::Local(local) => local.ask(customer, What::Erase)?.await.map_err(|_| KeysError::Broken)?,
            Place::Remote(remote) => remote.erase(customer).await,
        }
    }

    /// The same 16 bytes for the same telephone number however it is written, meaningless without this store. It is
    /// how a number finds its customer.
    #[must_use]
    pub fn phone_hash(&self, phone: &str) -> [u8; 16] {
        self.keyed_hash(b"phone\0", normal_phone(phone).as_bytes())
    }

    /// A keyed fingerprint of a command, by which a command id on another command is told. Keyed because a command may
    /// hold little but a name, which an unkeyed hash would give away.
    #[must_use]
    pub fn fingerprint(&self, bytes: &[u8]) -> [u8; 16] {
        self.keyed_hash(b"command\0", bytes)
    }

    /// The ids of what happens by itself, which no caller can claim.
    #[must_use]
    pub fn own_ids(&self) -> OwnIds {
        OwnIds::of(&self.index_key)
    }

    /// What makes a resume token of a stream ours.
    #[must_use]
    pub fn stream_seal(&self, bytes: &[u8]) -> [u8; 16] {
        self.keyed_hash(b"stream\0", bytes)
    }

    fn keyed_hash(&self, domain: &[u8], bytes: &[u8]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.index_key);
        context.update(domain);
        context.update(bytes);
        let mut hash = [0; 16];
        hash.copy_from_slice(&context.sign().as_ref()[..16]);
        hash
    }
}

impl LocalKeys {
    fn ask<T>(
        &self,
        customer: CustomerId,
        what: impl FnOnce(oneshot::Sender<T>) -> What,
    ) -> Result<oneshot::Receiver<T>, KeysError> {
        let jobs = self.jobs.as_ref().ok_or(KeysError::ReadOnly)?;
        let (answer, answered) = oneshot::channel();
        jobs.send(Job { customer, what: what(answer) }).map_err(|_| KeysError::Broken)?;
        Ok(answered)
    }
}

impl Drop for LocalKeys {
    fn drop(&mut self) {
        // The writer ends when the queue closes; waiting for it leaves the file free for whoever opens it next.
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn get(&self, customer: CustomerId) -> Result<Arc<CustomerKey>, KeysError> {
        // The lock is held over the read, so that an erasure cannot slip between reading a key and caching it.
        let mut known = self.known.lock();
        let slot = *known.slots.get(&customer.0).ok_or(KeysError::Unknown(customer))?;
        if slot.erased {
            return Err(KeysError::Erased(customer));
        }
        if let Some(key) = known.cache.get(&customer.0).cloned() {
            return Ok(key);
        }
        let record = file::read(&self.file, slot.number).map_err(|e| io_error("reading", &self.path, e))?;
        let record = record.ok_or(KeysError::DamagedKey(customer))?;
        // A reader beside a live server learns of an erasure here.
        if record.state == State::Erased {
            return Err(KeysError::Erased(customer));
        }
        let key = self
            .master
            .unwrap(Purpose::Customer(customer.0.into_bytes()), &record.wrapped)
            .ok_or(KeysError::DamagedKey(customer))?;
        let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| KeysError::Crypto)?;
        let key = Arc::new(CustomerKey(LessSafeKey::new(key)));
        known.cache.insert(customer.0, Arc::clone(&key));
        Ok(key)
    }
}

/// The one thread that writes the key file.
struct Writer {
    shared: Arc<Shared>,
    next_slot: u64,
}

impl Writer {
    fn run(mut self, queue: &mpsc::Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut creating = Vec::new();
            // An erasure ends the batch, so that jobs take effect in the order in which they came.
            let mut job = Some(first);
            let mut erasing = None;
            while let Some(Job { customer, what }) = job.take() {
                match what {
                    What::Create(answer) => creating.push((customer, answer)),
                    What::Erase(answer) => erasing = Some((customer, answer)),
                }
                if erasing.is_none() && creating.len() < BATCH_MAX {
                    job = queue.try_recv().ok();
                }
            }
            let outcome = self.create(creating.iter().map(|(customer, _)| *customer));
            for (_, answer) in creating {
                let _ = answer.send(outcome.clone());
            }
            if let Some((customer, answer)) = erasing {
                let _ = answer.send(self.erase(customer));
            }
        }
    }

    fn create(&mut self, customers: impl Iterator<Item = CustomerId>) -> Result<(), KeysError> {
        let mut records = Vec::new();
        let mut made = HashMap::new();
        for customer in customers {
            // Whoever asked twice, or was served by an earlier batch, or is erased, needs no key; `get` tells them apart.
            if made.contains_key(&customer.0) || self.shared.known.lock().slots.contains_key(&customer.0) {
                continue;
            }
            let wrapped =
                self.shared.master.wrap(Purpose::Customer(customer.0.into_bytes()), &*random_key()?)?;
            let number = self.next_slot + made.len() as u64;
            made.insert(customer.0, Slot { number, erased: false });
            records.push(self.record(customer, State::Live, wrapped));
        }
        self.append(&records)?;
        self.shared.known.lock().slots.extend(made);
        Ok(())
    }

    fn erase(&mut self, customer: CustomerId) -> Result<bool, KeysError> {
        let slot = self.shared.known.lock().slots.get(&customer.0).copied();
        let Some(slot) = slot else {
            let number = self.next_slot;
            let tombstone = self.record(customer, State::Erased, [0; WRAPPED_LEN]);
            self.append(&[tombstone])?;
            self.shared.known.lock().slots.insert(customer.0, Slot { number, erased: true });
            return Ok(false);
        };
        {
            // Nobody reads the key from here on, even if overwriting it then fails.
            let mut known = self.shared.known.lock();
            known.cache.remove(&customer.0);
            known.slots.insert(customer.0, Slot { erased: true, ..slot });
        }
        // Repeated for one already erased: an earlier try may have failed half-way.
        file::erase(&self.shared.file, slot.number)
            .map_err(|e| io_error("erasing a key in", &self.shared.path, e))?;
        Ok(!slot.erased)
    }

    fn record(&self, customer: CustomerId, state: State, wrapped: [u8; WRAPPED_LEN]) -> Record {
        Record { customer: customer.0.into_bytes(), batch: self.next_slot, state, wrapped }
    }

    /// Writes a batch at the end and syncs it.
    fn append(&mut self, records: &[Record]) -> Result<(), KeysError> {
        use std::os::unix::fs::FileExt;
        if self.shared.known.lock().broken {
            return Err(KeysError::Broken);
        }
        if records.is_empty() {
            return Ok(());
        }
        let bytes: Vec<u8> = records.iter().flat_map(Record::encode).collect();
        let at = file::offset(self.next_slot);
        let file = &self.shared.file;
        if let Err(error) = file.write_all_at(&bytes, at) {
            // A full disk refuses whole pages at writing; what was taken is cut off again, and the next try is free.
            if error.kind() == io::ErrorKind::StorageFull && file.set_len(at).is_ok() {
                return Err(KeysError::Full);
            }
            return Err(self.broken(error));
        }
        // After a failed sync the pages may be dropped or on disk, and a second sync would answer success for nothing.
        file.sync_data().map_err(|error| self.broken(error))?;
        self.next_slot += records.len() as u64;
        Ok(())
    }

    fn broken(&self, error: io::Error) -> KeysError {
        self.shared.known.lock().broken = true;
        let path = &self.shared.path;
        tracing::error!(path = %path.display(), %error, "the key file cannot be written: no new customers until a restart");
        io_error("writing", path, error)
    }
}

/// The digits of a Chinese telephone number as dialled at home, else the text itself.
fn normal_phone(phone: &str) -> String {
    let compact: String = phone
        .chars()
        .filter_map(|c| match c {
            // Full-width digits come from Chinese input methods.
            '０'..='９' => char::from_u32(c as u32 - '０' as u32 + '0' as u32),
            '0'..='9' | '+' => Some(c),
            '＋' => Some('+'),
            _ => None,
        })
        .collect();
    let digits: String = compact.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() {
        return phone.trim().to_owned();
    }
    let is_mobile = |number: &str| number.len() == 11 && number.starts_with('1');
    let abroad = compact.strip_prefix("+86").or_else(|| compact.strip_prefix("0086"));
    match abroad.or_else(|| digits.strip_prefix("86").filter(|rest| is_mobile(rest))) {
        // A landline written with the country's code lacks the zero of its area code.
        Some(rest) if !is_mobile(rest) && !rest.starts_with('0') => format!("0{rest}"),
        Some(rest) => rest.to_owned(),
        None => digits,
    }
}

#[cfg(test)]
mod tests;
