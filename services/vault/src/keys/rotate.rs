//! Another master key: every customer's key is wrapped anew, so that the old master key opens nothing any more.
//!
//! ```text
//! customers.rotating   being written: thrown away by the next opening
//! customers.rotated    whole and synced: from its name on the new master key counts; copied over `customers` in place, by the next
//!                      opening where a crash came between, and then overwritten and removed
//! master.rotated       what becomes of `master` then: the new key, or nothing where it is kept elsewhere
//! ```
//!
//! In place, because what is wrapped under the old master key must not stay behind in blocks that a file system gave free: a key
//! that is erased later would live on there.

use std::io;
use std::path::Path;

use duban_aggregates::ids::CustomerId;
use duban_log::disk::{Access, Disk, File, RealDisk};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::file::{self, RECORD_LEN, Record, State};
use super::master::{MasterKey, Purpose};
use super::overwrite::{copy_over, overwrite, wipe, write_whole};
use super::{FILE_NAME, KeyStore, KeysError, io_error};

const ROTATING: &str = "customers.rotating";
const ROTATED: &str = "customers.rotated";
const MASTER: &str = "master";
const NEXT_MASTER: &str = "master.rotated";

/// Records that are wrapped between two words about progress.
const BATCH: usize = 4096;

/// What a rotation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RotationSummary {
    /// Keys that were wrapped anew.
    pub keys: u64,
    /// Customers whose keys are erased, and stay so.
    pub erased: u64,
}

/// How far it is: records done, and in all.
pub type ProgressFn<'a> = &'a dyn Fn(u64, u64);

/// What becomes of the master key that lies beside the keys.
enum OwnMaster {
    /// There is none there, before and after.
    Elsewhere,
    /// The new one takes its place: its file's text.
    Replaced(Zeroizing<String>),
    /// The new one is kept elsewhere.
    Removed,
}

/// Wraps the keys of a data directory that nobody has open under another master key: that in `new_master`, which is made where
/// there is no such file; else, where the old one lies in the directory, a new one in its place.
///
/// A crash at any moment leaves a store that opens with the old master key, or with the new one, and holds every key.
///
/// # Errors
/// [`KeysError`]; the store then opens as before, or, after an error in the last step, with the new master key.
pub fn rotate(
    data: &Path,
    old_master: Option<&Path>,
    new_master: Option<&Path>,
    progress: ProgressFn<'_>,
) -> Result<RotationSummary, KeysError> {
    let dir = data.join("keys");
    let path = dir.join(FILE_NAME);
    let disk = disk_of(&dir)?;
    finish(&disk, &dir)?;
    if !path.exists() {
        return Err(io_error("opening", &path, io::ErrorKind::NotFound.into()));
    }
    // Mends what a crash left, and proves that the old master key is the right one.
    drop(KeyStore::open(data, old_master)?);
    let old = MasterKey::load_or_generate(old_master, &dir)?;
    let (new, own) = match (new_master, old_master) {
        (Some(file), _) => {
            let new = if file.exists() { MasterKey::read(file)? } else { MasterKey::generate(file)? };
            (new, if old_master.is_some() { OwnMaster::Elsewhere } else { OwnMaster::Removed })
        }
        (None, None) => {
            let (new, text) = MasterKey::fresh()?;
            (new, OwnMaster::Replaced(text))
        }
        (None, Some(file)) => return Err(KeysError::NewMasterUnnamed { path: file.to_owned() }),
    };
    let rotated = rotate_on(&disk, &dir, (&old, &new), &own, progress)?;
    tracing::info!(keys = rotated.keys, path = %path.display(), "customers' keys are wrapped under another master key");
    Ok(rotated)
}

/// Finishes or throws away a rotation that was cut short; to be called before the store is opened to write.
pub(super) fn recover(dir: &Path) -> Result<(), KeysError> {
    finish(&disk_of(dir)?, dir)
}

/// Names of the key file and the master key that count now: what a reader opens that may finish nothing.
pub(super) fn current(dir: &Path) -> (&'static str, &'static str) {
    if !dir.join(ROTATED).exists() {
        return (FILE_NAME, MASTER);
    }
    let next = std::fs::metadata(dir.join(NEXT_MASTER)).is_ok_and(|next| next.len() > 0);
    (ROTATED, if next { NEXT_MASTER } else { MASTER })
}

fn disk_of(dir: &Path) -> Result<RealDisk, KeysError> {
    RealDisk::open(dir).map(RealDisk::private).map_err(|e| io_error("opening", dir, e))
}

fn rotate_on(
    disk: &dyn Disk,
    dir: &Path,
    masters: (&MasterKey, &MasterKey),
    own: &OwnMaster,
    progress: ProgressFn<'_>,
) -> Result<RotationSummary, KeysError> {
    let rotated = wrap_anew(disk, dir, masters, progress)?;
    let doing = |e| io_error("preparing", &dir.join(NEXT_MASTER), e);
    match own {
        OwnMaster::Elsewhere => {}
        OwnMaster::Replaced(text) => write_whole(disk, NEXT_MASTER, text.as_bytes()).map_err(doing)?,
        OwnMaster::Removed => write_whole(disk, NEXT_MASTER, b"").map_err(doing)?,
    }
    let commit = || {
        // Every name is durable before the one that makes them count.
        disk.sync_dir()?;
        disk.rename(ROTATING, ROTATED)?;
        disk.sync_dir()
    };
    commit().map_err(|e| io_error("writing", &dir.join(ROTATED), e))?;
    finish(disk, dir)?;
    Ok(rotated)
}

fn wrap_anew(
    disk: &dyn Disk,
    dir: &Path,
    (old, new): (&MasterKey, &MasterKey),
    progress: ProgressFn<'_>,
) -> Result<RotationSummary, KeysError> {
    let path = dir.join(FILE_NAME);
    let reading = |e| io_error("reading", &path, e);
    let writing = |e| io_error("writing", &dir.join(ROTATING), e);
    let from = disk.open(FILE_NAME, Access::Read).map_err(reading)?;
    let to = disk.open(ROTATING, Access::Create).map_err(writing)?;
    let mut block = [0; RECORD_LEN];
    read_exactly(&*from, &mut block, 0).map_err(reading)?;
    let wrapped = file::decode_header(&block, &path)?;
    if new.unwrap(Purpose::Index, &wrapped).is_some() {
        return Err(KeysError::SameMaster { path });
    }
    let index =
        old.unwrap(Purpose::Index, &wrapped).ok_or_else(|| KeysError::WrongMaster { path: path.clone() })?;
    to.write_at(&file::header(&new.wrap(Purpose::Index, &index)?), 0).map_err(writing)?;

    let mut rotated = RotationSummary::default();
    let slots = (from.len().map_err(reading)? - file::offset(0)) / RECORD_LEN as u64;
    let mut buffer = vec![0; BATCH * RECORD_LEN];
    let mut slot = 0;
    while slot < slots {
        let count = usize::try_from(slots - slot).unwrap_or(BATCH).min(BATCH);
        let records = &mut buffer[..count * RECORD_LEN];
        read_exactly(&*from, records, file::offset(slot)).map_err(reading)?;
        for (number, bytes) in (slot..).zip(records.as_chunks_mut::<RECORD_LEN>().0) {
            let damaged = || KeysError::Damaged { path: path.clone(), offset: file::offset(number) };
            let record = Record::decode(bytes).ok_or_else(damaged)?;
            match record.state {
                State::Live => rotated.keys += 1,
                State::Erased => rotated.erased += 1,
                State::Void => {}
            }
            if record.state == State::Live {
                let purpose = Purpose::Customer(record.customer);
                let customer = CustomerId(Uuid::from_bytes(record.customer));
                let key = old.unwrap(purpose, &record.wrapped).ok_or(KeysError::DamagedKey(customer))?;
                *bytes = Record { wrapped: new.wrap(purpose, &key)?, ..record }.encode();
            }
        }
        to.write_at(records, file::offset(slot)).map_err(writing)?;
        slot += count as u64;
        progress(slot, slots);
    }
    to.sync().map_err(writing)?;
    Ok(rotated)
}

/// Brings a rotation that counts already to its end, and throws away one that does not count yet.
fn finish(disk: &dyn Disk, dir: &Path) -> Result<(), KeysError> {
    let finish = || {
        let names = disk.list()?;
        let there = |name: &str| names.iter().any(|known| known == name);
        if there(ROTATED) {
            copy_over(disk, ROTATED, FILE_NAME)?;
            if there(NEXT_MASTER) {
                take_over_master(disk, there(MASTER))?;
            }
            disk.sync_dir()?;
            // Under this name it would not be copied again, half overwritten as it soon is.
            disk.rename(ROTATED, ROTATING)?;
            disk.sync_dir()?;
            wipe(disk, ROTATING)?;
            return disk.sync_dir();
        }
        let left: Vec<_> = [ROTATING, NEXT_MASTER].into_iter().filter(|name| there(name)).collect();
        for name in &left {
            wipe(disk, name)?;
        }
        if left.is_empty() { Ok(()) } else { disk.sync_dir() }
    };
    finish().map_err(|e| io_error("finishing the rotation of", &dir.join(FILE_NAME), e))
}

fn take_over_master(disk: &dyn Disk, there: bool) -> io::Result<()> {
    if disk.open(NEXT_MASTER, Access::Read)?.is_empty()? {
        if there {
            wipe(disk, MASTER)?;
        }
        return disk.remove(NEXT_MASTER);
    }
    if there {
        overwrite(&*disk.open(MASTER, Access::Write)?)?;
    }
    disk.rename(NEXT_MASTER, MASTER)
}

fn read_exactly(file: &dyn File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    if file.read_at(buffer, at)? < buffer.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
