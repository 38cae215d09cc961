//! The key files as a backup takes them, beside whoever has them open, and how they come to lie in the backup.
//!
//! ```text
//! NAME        as the backup's list names it
//! NAME.next   written and synced before the list that names it; copied over NAME in place after it, then overwritten and removed
//! ```
//!
//! In place, because a key that was erased since the backup before must not stay behind in the backup's blocks either.

use std::io;
use std::path::Path;

use duban_log::disk::{Access, Disk};

use super::file::{self, RECORD_LEN, Record, State};
use super::overwrite::{copy_over, wipe, write_whole};
use super::rotate;
use super::{FILE_NAME, KeysError, io_error};

/// The public half of the key that signs heads.
const SIGNING_PUBLIC: &str = "signing.pub";
/// What is secret by itself: in a backup only where it is asked for.
pub const SECRETS: [&str; 2] = ["master", "signing.pem"];

/// How often the key file is read again where a writer is half way.
const LOOKS: u32 = 3;

/// One file of `keys`, for a backup.
pub struct KeyFile {
    /// Its name below `keys`, in the backup too.
    pub name: String,
    /// What it holds.
    pub bytes: zeroize::Zeroizing<Vec<u8>>,
}

/// The name under which a file's next bytes wait.
#[must_use]
pub fn staged_name(name: &str) -> String {
    format!("{name}.next")
}

/// Reads what a backup takes of the directory `keys`.
///
/// # Errors
/// [`KeysError::Io`], [`KeysError::Damaged`], [`KeysError::NotAKeyFile`].
pub fn read_for_backup(dir: &Path, with_secrets: bool) -> Result<Vec<KeyFile>, KeysError> {
    let mut files = Vec::new();
    let (customers, master) = rotate::current(dir);
    if dir.join(customers).exists() {
        files.push(KeyFile {
            name: FILE_NAME.to_owned(),
            bytes: customers_file(&dir.join(customers))?.into(),
        });
    }
    let secrets = SECRETS.iter().filter(|_| with_secrets);
    for name in std::iter::once(&SIGNING_PUBLIC).chain(secrets) {
        let path = dir.join(if *name == SECRETS[0] { master } else { name });
        match std::fs::read(&path) {
            Ok(bytes) => files.push(KeyFile { name: (*name).to_owned(), bytes: bytes.into() }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(io_error("reading", &path, e)),
        }
    }
    Ok(files)
}

/// The key file's bytes without what a crash or a writer has left half way: keys of the last batch were never used yet, and an
/// erasure that has begun is finished.
fn customers_file(path: &Path) -> Result<Vec<u8>, KeysError> {
    let mut looks = 0;
    loop {
        looks += 1;
        let bytes = std::fs::read(path).map_err(|e| io_error("reading", path, e))?;
        match mended(bytes, path) {
            // What is bad where a writer was at work is good at the next look.
            Err(KeysError::Damaged { .. }) if looks < LOOKS => {}
            other => return other,
        }
    }
}

fn mended(mut bytes: Vec<u8>, path: &Path) -> Result<Vec<u8>, KeysError> {
    let mut reader = bytes.as_slice();
    file::read_header(&mut reader, path)?;
    let survey = file::survey(&mut reader, path)?;
    let place = |slot: u64| usize::try_from(file::offset(slot)).unwrap_or(usize::MAX);
    bytes.truncate(place(survey.slots));
    for slot in 0..survey.slots {
        let Some(record) = bytes[place(slot)..].first_chunk_mut::<RECORD_LEN>() else { continue };
        let known = match Record::decode(record) {
            Some(known) if known.state == State::Live => continue,
            Some(known) => Record { wrapped: [0; 60], ..known },
            None => Record { customer: [0; 16], batch: slot, state: State::Void, wrapped: [0; 60] },
        };
        let mut whole = known.encode();
        if known.state == State::Erased {
            // As an erasure leaves it, checksum and all.
            whole[36..].fill(0);
        }
        *record = whole;
    }
    Ok(bytes)
}

/// Whether these bytes are a key file without damage; else where the damage is.
///
/// # Errors
/// [`KeysError::Damaged`], [`KeysError::NotAKeyFile`].
pub fn check_bytes(bytes: &[u8], path: &Path) -> Result<(), KeysError> {
    let mut reader = bytes;
    file::read_header(&mut reader, path)?;
    file::survey(&mut reader, path).map(|_| ())
}

/// Lays the files ready. Synced with their names.
///
/// # Errors
/// As the disk says.
pub fn stage(disk: &dyn Disk, files: &[KeyFile]) -> io::Result<()> {
    for file in files {
        write_whole(disk, &staged_name(&file.name), &file.bytes)?;
    }
    disk.sync_dir()
}

/// Puts the files that lie ready in their places, and overwrites and removes what is not named.
///
/// # Errors
/// As the disk says; it is then called again, with the same names.
pub fn commit(disk: &dyn Disk, names: &[String]) -> io::Result<()> {
    let there = disk.list()?;
    for name in names {
        let next = staged_name(name);
        if there.contains(&next) {
            copy_over(disk, &next, name)?;
        }
    }
    disk.sync_dir()?;
    for name in there {
        let ours = name.strip_suffix(".next").unwrap_or(&name);
        let known = [FILE_NAME, SIGNING_PUBLIC].contains(&ours) || SECRETS.contains(&ours);
        if known && !names.contains(&name) {
            wipe(disk, &name)?;
        }
    }
    disk.sync_dir()
}

/// Throws away what was laid ready and never named.
///
/// # Errors
/// As the disk says.
pub fn discard_staged(disk: &dyn Disk) -> io::Result<()> {
    for name in disk.list()?.iter().filter(|name| name.ends_with(".next")) {
        wipe(disk, name)?;
    }
    disk.sync_dir()
}

/// A file's bytes; none where there is no such file.
///
/// # Errors
/// As the disk says.
pub fn read_whole(disk: &dyn Disk, name: &str) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(name, Access::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    let n = file.read_at(&mut bytes, 0)?;
    bytes.truncate(n);
    Ok(Some(bytes))
}
