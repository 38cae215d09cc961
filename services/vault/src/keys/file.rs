//! The key file's bytes: fixed records that never straddle a disk sector, and what a crash may have left of them.
//!
//! ```text
//! block   128 bytes   magic, version, crc, wrapped index key
//! record  128 bytes   length, crc of who, who (customer, first slot of its batch), state, crc of the key, wrapped key
//! ```
//!
//! A batch is written whole and synced before the next is written, and no key of a batch is used before that. So what
//! is wrong in the last batch was never used and may go; what is wrong before it was, and refuses to open.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crc32c::crc32c;

use super::master::WRAPPED_LEN;
use super::{KeysError, io_error, sync_dir};

pub(super) const RECORD_LEN: usize = 128;
const HEADER_LEN: u64 = RECORD_LEN as u64;
const MAGIC: &[u8; 8] = b"dubankey";
const VERSION: u32 = 1;

/// Four bits apart or more, so that no single flipped bit turns a key in use into one that is gone.
const LIVE: u8 = 0x0F;
const ERASED: u8 = 0xF0;
const VOID: u8 = 0x33;

const CUSTOMER: usize = 8;
const BATCH: usize = 24;
const STATE: usize = 32;
const KEY_CRC: usize = 36;
const KEY: usize = 40;
const KEY_END: usize = KEY + WRAPPED_LEN;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Live,
    Erased,
    /// Left by a crash and never used; kept so that no slot before a good one is unexplained.
    Void,
}

impl State {
    fn byte(self) -> u8 {
        match self {
            Self::Live => LIVE,
            Self::Erased => ERASED,
            Self::Void => VOID,
        }
    }
}

/// One slot of the file.
pub(super) struct Record {
    pub(super) customer: [u8; 16],
    /// The first slot of the batch it was written with.
    pub(super) batch: u64,
    pub(super) state: State,
    pub(super) wrapped: [u8; WRAPPED_LEN],
}

impl Record {
    pub(super) fn encode(&self) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        bytes[..4].copy_from_slice(&128u32.to_le_bytes());
        bytes[CUSTOMER..BATCH].copy_from_slice(&self.customer);
        bytes[BATCH..STATE].copy_from_slice(&self.batch.to_le_bytes());
        let crc = crc32c(&bytes[CUSTOMER..STATE]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes[STATE] = self.state.byte();
        bytes[KEY_CRC..KEY].copy_from_slice(&crc32c(&self.wrapped).to_le_bytes());
        bytes[KEY..KEY_END].copy_from_slice(&self.wrapped);
        bytes
    }

    /// None when the bytes are not a whole record.
    pub(super) fn decode(bytes: &[u8; RECORD_LEN]) -> Option<Self> {
        let u32_at = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).ok();
        if u32_at(0)? != 128 || u32_at(4)? != crc32c(&bytes[CUSTOMER..STATE]) {
            return None;
        }
        let wrapped: [u8; WRAPPED_LEN] = bytes[KEY..KEY_END].try_into().ok()?;
        let state = match bytes[STATE] {
            LIVE if u32_at(KEY_CRC)? == crc32c(&wrapped) => State::Live,
            // The state is written before the key is overwritten, so an erased key's bytes may be anything.
            ERASED => State::Erased,
            VOID => State::Void,
            _ => return None,
        };
        Some(Self {
            customer: bytes[CUSTOMER..BATCH].try_into().ok()?,
            batch: u64::from_le_bytes(bytes[BATCH..STATE].try_into().ok()?),
            state,
            wrapped,
        })
    }
}

/// What an opened file holds.
pub(super) struct Survey {
    /// Customer, slot, whether erased; in slot order.
    pub(super) entries: Vec<([u8; 16], u64, bool)>,
    /// How many slots are kept; the next record goes here.
    pub(super) slots: u64,
    /// Unreadable slots of the last batch with good ones after them.
    torn: Vec<u64>,
    /// Erased keys whose overwriting a crash cut short.
    unfinished: Vec<u64>,
}

/// Opens the file of `path`, or makes it with what `header` answers. Answers the wrapped index key too.
pub(super) fn open(
    path: &Path,
    writable: bool,
    header: impl FnOnce() -> Result<[u8; WRAPPED_LEN], KeysError>,
) -> Result<(File, [u8; WRAPPED_LEN], Survey), KeysError> {
    let opened = OpenOptions::new().read(true).write(writable).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound && writable => create(path, &header()?)?,
        Err(e) => return Err(io_error("opening", path, e)),
    };
    let mut reader = BufReader::with_capacity(1 << 20, &file);
    let wrapped = read_header(&mut reader, path)?;
    let survey = survey(&mut reader, path)?;
    if writable {
        repair(&file, path, &survey)?;
    }
    Ok((file, wrapped, survey))
}

/// Made under another name and renamed, so that a crash leaves either no file or a whole one.
fn create(path: &Path, wrapped: &[u8; WRAPPED_LEN]) -> Result<File, KeysError> {
    let block = header(wrapped);
    let making = path.with_extension("new");
    let make = || {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&making)?;
        file.write_all_at(&block, 0)?;
        file.sync_all()?;
        fs::rename(&making, path)?;
        Ok(file)
    };
    let file = make().map_err(|e| io_error("making", path, e))?;
    sync_dir(path)?;
    Ok(file)
}

/// The file's first block.
pub(super) fn header(wrapped: &[u8; WRAPPED_LEN]) -> [u8; RECORD_LEN] {
    let mut block = [0; RECORD_LEN];
    block[..8].copy_from_slice(MAGIC);
    block[8..12].copy_from_slice(&VERSION.to_le_bytes());
    block[12..16].copy_from_slice(&crc32c(wrapped).to_le_bytes());
    block[16..16 + WRAPPED_LEN].copy_from_slice(wrapped);
    block
}

pub(super) fn read_header(reader: &mut impl Read, path: &Path) -> Result<[u8; WRAPPED_LEN], KeysError> {
    let mut block = [0; RECORD_LEN];
    let not_ours = || KeysError::NotAKeyFile { path: path.to_owned() };
    reader.read_exact(&mut block).map_err(|e| match e.kind() {
        ErrorKind::UnexpectedEof => not_ours(),
        _ => io_error("reading", path, e),
    })?;
    decode_header(&block, path)
}

pub(super) fn decode_header(block: &[u8; RECORD_LEN], path: &Path) -> Result<[u8; WRAPPED_LEN], KeysError> {
    let not_ours = || KeysError::NotAKeyFile { path: path.to_owned() };
    if &block[..8] != MAGIC || block[8..12] != VERSION.to_le_bytes() {
        return Err(not_ours());
    }
    let wrapped: [u8; WRAPPED_LEN] = block[16..16 + WRAPPED_LEN].try_into().map_err(|_| not_ours())?;
    if block[12..16] != crc32c(&wrapped).to_le_bytes() {
        return Err(KeysError::Damaged { path: path.to_owned(), offset: 0 });
    }
    Ok(wrapped)
}

pub(super) fn survey(reader: &mut impl Read, path: &Path) -> Result<Survey, KeysError> {
    let mut found = Survey { entries: Vec::new(), slots: 0, torn: Vec::new(), unfinished: Vec::new() };
    let mut bad = Vec::new();
    let mut last_batch = 0;
    for slot in 0.. {
        let mut bytes = [0; RECORD_LEN];
        match reader.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => break,
            Err(e) => return Err(io_error("reading", path, e)),
        }
        let Some(record) = Record::decode(&bytes) else {
            bad.push(slot);
            continue;
        };
        last_batch = record.batch;
        found.slots = slot + 1;
        match record.state {
            State::Void => {}
            State::Live => found.entries.push((record.customer, slot, false)),
            State::Erased => {
                if record.wrapped != [0; WRAPPED_LEN] {
                    found.unfinished.push(slot);
                }
                found.entries.push((record.customer, slot, true));
            }
        }
    }
    found.torn = bad.into_iter().filter(|slot| *slot < found.slots).collect();
    if let Some(slot) = found.torn.iter().find(|slot| **slot < last_batch) {
        return Err(KeysError::Damaged { path: path.to_owned(), offset: offset(*slot) });
    }
    Ok(found)
}

fn repair(file: &File, path: &Path, survey: &Survey) -> Result<(), KeysError> {
    let length = file.metadata().map_err(|e| io_error("reading", path, e))?.len();
    let keep = offset(survey.slots);
    if length == keep && survey.torn.is_empty() && survey.unfinished.is_empty() {
        return Ok(());
    }
    tracing::warn!(
        path = %path.display(),
        tail_bytes = length.saturating_sub(keep),
        torn = survey.torn.len(),
        unfinished_erasures = survey.unfinished.len(),
        "the key file was cut short by a crash: keys that were never used are dropped"
    );
    let mend = || {
        file.set_len(keep)?;
        for slot in &survey.torn {
            let void =
                Record { customer: [0; 16], batch: *slot, state: State::Void, wrapped: [0; WRAPPED_LEN] };
            file.write_all_at(&void.encode(), offset(*slot))?;
        }
        for slot in &survey.unfinished {
            overwrite_key(file, *slot)?;
        }
        file.sync_all()
    };
    mend().map_err(|e| io_error("repairing", path, e))
}

/// Where a slot starts, in bytes from the file's start.
pub(super) fn offset(slot: u64) -> u64 {
    HEADER_LEN + slot * RECORD_LEN as u64
}

pub(super) fn read(file: &File, slot: u64) -> std::io::Result<Option<Record>> {
    let mut bytes = [0; RECORD_LEN];
    file.read_exact_at(&mut bytes, offset(slot))?;
    Ok(Record::decode(&bytes))
}

/// Makes a key unreadable for good: first the state, synced, then its bytes, synced. A crash between the two is
/// finished by the next opening, so a key is never half there.
pub(super) fn erase(file: &File, slot: u64) -> std::io::Result<()> {
    file.write_all_at(&[State::Erased.byte()], offset(slot) + STATE as u64)?;
    file.sync_data()?;
    overwrite_key(file, slot)?;
    file.sync_data()
}

fn overwrite_key(file: &File, slot: u64) -> std::io::Result<()> {
    file.write_all_at(&[0; KEY_END - KEY_CRC], offset(slot) + KEY_CRC as u64)
}
