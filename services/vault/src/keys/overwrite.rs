//! Files written in place, so that no block that held a key is given free with the key still in it.

use std::io;

use duban_log::disk::{Access, Disk, File};

/// Bytes copied between two questions to the disk.
const COPIED_AT_ONCE: usize = 512 << 10;

/// Writes a file's bytes over another's, in its own blocks. Synced.
pub(super) fn copy_over(disk: &dyn Disk, from: &str, to: &str) -> io::Result<()> {
    let from = disk.open(from, Access::Read)?;
    let to = match disk.open(to, Access::Write) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => disk.open(to, Access::Create)?,
        opened => opened?,
    };
    let (len, mut at) = (from.len()?, 0);
    let mut buffer = vec![0; COPIED_AT_ONCE];
    while at < len {
        let n = from.read_at(&mut buffer, at)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_at(&buffer[..n], at)?;
        at += n as u64;
    }
    let rest = to.len()?.saturating_sub(len);
    if rest > 0 {
        zero(&*to, len, len + rest)?;
        to.sync()?;
        to.truncate(len)?;
    }
    to.sync()
}

/// Writes a file anew. Synced, but for its name.
///
/// # Errors
/// As the disk says.
pub fn write_whole(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = disk.open(name, Access::Create)?;
    file.write_at(bytes, 0)?;
    file.sync()
}

/// Overwrites a file and removes it.
pub(super) fn wipe(disk: &dyn Disk, name: &str) -> io::Result<()> {
    overwrite(&*disk.open(name, Access::Write)?)?;
    disk.remove(name)
}

/// Overwrites a file's bytes. Synced.
pub(super) fn overwrite(file: &dyn File) -> io::Result<()> {
    zero(file, 0, file.len()?)?;
    file.sync()
}

fn zero(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let zeros = [0; 64 << 10];
    let mut at = from;
    while at < to {
        let n = usize::try_from(to - at).unwrap_or(zeros.len()).min(zeros.len());
        file.write_at(&zeros[..n], at)?;
        at += n as u64;
    }
    Ok(())
}
