//! Copies of a log's directory that somebody may be writing to, and the way back.
//!
//! A log only grows: what lies before the end of its last whole group is never written again. So a copy is taken segment by segment
//! up to that end, a later copy into the same directory adds to it, and one that is cut short, by a kill or a power loss, leaves whole what
//! the copy before it said of itself: that the first so many bytes of a file have such a checksum.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::disk::{Access, Disk, File};
use crate::segmented::format;
use crate::segmented::layout::Segment;
use crate::tree::Hash;
use crate::{Damage, Error, Head, Progress, Reader, verify_on};

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;

/// A segment as it was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its file's name.
    pub file: String,
    /// How much of the file is the copy, from its start, in bytes.
    pub bytes: u64,
    /// SHA-256 over these.
    pub sha256: Hash,
    /// Whether another segment followed, so that nothing is added to this one any more.
    pub sealed: bool,
}

/// A copy as it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What it holds.
    pub head: Head,
    /// Its segments, in order.
    pub pieces: Vec<Piece>,
}

/// What taking a copy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The copy.
    pub copy: Copy,
    /// Sealed segments that were there already, as their size and checksum say.
    pub kept_segments: u64,
    /// Bytes that were there already.
    pub kept_bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The directory holds more than the log has: another log's copy, or the log was cut.
    #[error(
        "{dir} holds a backup of {there} events and the log has {here}: it is another log, or one that was restored to an earlier day; back up to another directory"
    )]
    Ahead {
        /// The directory.
        dir: String,
        /// Events in the copy.
        there: u64,
        /// Events in the log.
        here: u64,
    },
    /// The directory's copy is no beginning of the log.
    #[error("{dir} holds a backup of another log: back up to another directory")]
    Another {
        /// The directory.
        dir: String,
    },
    /// The log or the copy cannot be read or written.
    #[error(transparent)]
    Log(#[from] Error),
}

/// Why a copy is not put back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The copy is not what it says of itself.
    #[error("the backup's log is not as it was written: {file}: {reason}")]
    Damaged {
        /// The file in which it shows.
        file: String,
        /// What is wrong with it.
        reason: String,
        /// The first place that is not as it was written, where one can be named.
        damage: Option<Damage>,
    },
    /// It cannot be read or written.
    #[error(transparent)]
    Log(#[from] Error),
}

fn io(what: &str, name: &str, disk: &dyn Disk) -> impl FnOnce(io::Error) -> Error + use<> {
    Error::io(format!("{what} {name} in {}", disk.name()))
}

/// Copies a log to a directory, beside whoever writes to the log. `before` is what the last whole copy in this directory said.
///
/// # Errors
/// [`BackupError`]; damage in the log is [`Error::Damaged`], and names the place. What `before` said holds still then.
pub fn backup_on(
    source: &Arc<dyn Disk>,
    to: &Arc<dyn Disk>,
    before: Option<&Copy>,
    progress: Progress<'_>,
) -> Result<Copied, BackupError> {
    let _alone = to.lock().map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { dir: to.name(), holder: e.to_string() },
        _ => io("lock", "the log", &**to)(e),
    })?;
    let reader = Reader::open_on(Arc::clone(source))?;
    if let Some(Copy { head, .. }) = before {
        let (dir, there, here) = (to.name(), head.size, reader.head().size);
        if there > here {
            return Err(BackupError::Ahead { dir, there, here });
        }
        if reader.root_at(there)? != head.root {
            return Err(BackupError::Another { dir });
        }
    }
    let segments = reader.segments();
    let mut total = 0;
    for segment in segments {
        total += segment.file.len().map_err(|e| segment.unreadable(e))?;
    }
    let mut copied = Copied {
        copy: Copy { head: reader.head(), pieces: Vec::new() },
        kept_segments: 0,
        kept_bytes: 0,
        written_bytes: 0,
    };
    let names = to.list().map_err(io("list", "the segments", &**to))?;
    let (mut done, mut renamed) = (0, false);
    for (n, segment) in segments.iter().enumerate() {
        let next = segments.get(n + 1);
        let name = segment.name();
        let access = if names.contains(&name) { Access::Write } else { Access::Create };
        renamed |= access == Access::Create;
        let file = to.open(&name, access).map_err(io("open", &name, &**to))?;
        let known = before.and_then(|before| before.pieces.iter().find(|piece| piece.file == name));
        let known = known.filter(|known| known.sealed && next.is_some());
        let kept = match known {
            Some(known) if still_there(segment, &*file, known).map_err(io("read", &name, &**to))? => {
                copied.kept_segments += 1;
                copied.kept_bytes += known.bytes;
                Some(known.clone())
            }
            Some(_) | None => None,
        };
        let piece = match kept {
            Some(piece) => piece,
            None => {
                // All of it is looked at before anything of it is copied: a backup of damage would be none.
                let bytes = match next {
                    Some(next) => segment.walk_sealed(&next.header, &mut |_| ())?.end,
                    None => reader.end(),
                };
                let (sha256, written) =
                    take(segment, &*file, &**to, bytes, &|at| progress(done + at, total))?;
                copied.written_bytes += written;
                copied.kept_bytes += bytes - written;
                Piece { file: name, bytes, sha256, sealed: next.is_some() }
            }
        };
        done += piece.bytes;
        progress(done, total);
        copied.copy.pieces.push(piece);
    }
    // What an earlier copy that was cut short left of another future of the log.
    for stray in names.iter().filter(|name| format::segment_ordinal(name).is_some()) {
        if copied.copy.pieces.iter().all(|piece| piece.file != *stray) {
            to.remove(stray).map_err(io("remove", stray, &**to))?;
            renamed = true;
        }
    }
    if renamed {
        to.sync_dir().map_err(io("sync", "the names", &**to))?;
    }
    progress(done, done);
    Ok(copied)
}

/// Whether a sealed segment's copy is as it was written, and of this segment: the header holds the tree over all before it.
fn still_there(segment: &Segment, copy: &dyn File, known: &Piece) -> io::Result<bool> {
    let (mut here, mut there) = ([0; format::HEADER_LEN], [0; format::HEADER_LEN]);
    let same = segment.file.read_at(&mut here, 0)? == copy.read_at(&mut there, 0)? && here == there;
    if !same || copy.len()? != known.bytes {
        return Ok(false);
    }
    Ok(checksum(copy, known.bytes)? == Some(known.sha256))
}

/// SHA-256 over a file's first bytes; none where it has not as many.
fn checksum(file: &dyn File, bytes: u64) -> io::Result<Option<Hash>> {
    let (mut hash, mut at, mut buffer) = (Sha256::new(), 0, vec![0; CHUNK]);
    while at < bytes {
        let want = chunk(bytes - at);
        let n = file.read_at(&mut buffer[..want], at)?;
        if n < want {
            return Ok(None);
        }
        hash.update(&buffer[..want]);
        at += want as u64;
    }
    Ok(Some(hash.finalize().into()))
}

fn chunk(rest: u64) -> usize {
    usize::try_from(rest).unwrap_or(CHUNK).min(CHUNK)
}

/// Copies a segment up to a place, writing only what is not there yet; answers its checksum and the bytes written. Synced.
fn take(
    segment: &Segment,
    copy: &dyn File,
    to: &dyn Disk,
    bytes: u64,
    progress: &dyn Fn(u64),
) -> Result<(Hash, u64), Error> {
    let name = segment.name();
    let (mut here, mut there) = (vec![0; CHUNK], vec![0; CHUNK]);
    let (mut hash, mut at, mut written) = (Sha256::new(), 0, 0);
    while at < bytes {
        let want = chunk(bytes - at);
        if segment.read(&mut here[..want], at)? < want {
            return Err(segment.damage(at, segment.header.base(), "the segment became shorter").into());
        }
        hash.update(&here[..want]);
        let n = copy.read_at(&mut there[..want], at).map_err(io("read", &name, to))?;
        let same = here.iter().zip(&there[..n]).take_while(|(here, there)| here == there).count();
        if same < want {
            copy.write_at(&here[same..want], at + same as u64).map_err(io("write", &name, to))?;
            written += (want - same) as u64;
        }
        at += want as u64;
        progress(at);
    }
    if copy.len().map_err(io("read", &name, to))? > bytes {
        copy.truncate(bytes).map_err(io("cut", &name, to))?;
        written = written.max(1);
    }
    // Also where nothing was written just now: a copy that was cut short may have left it unsynced.
    copy.sync().map_err(io("sync", &name, to))?;
    Ok((hash.finalize().into(), written))
}

/// Puts a copy into an empty directory and looks at all of it: every checksum while it is copied, then the whole log as
/// [`verify_on`] does, which must have the head that the copy says.
///
/// # Errors
/// [`RestoreError`]. What lies in the directory is not to be used then.
pub fn restore_on(
    from: &Arc<dyn Disk>,
    copy: &Copy,
    to: &Arc<dyn Disk>,
    threads: usize,
    progress: Progress<'_>,
) -> Result<(), RestoreError> {
    // Every byte is read twice: once to be copied, once to be verified.
    let copied: u64 = copy.pieces.iter().map(|piece| piece.bytes).sum();
    let (total, mut done) = (2 * copied, 0);
    for piece in &copy.pieces {
        if let Err(reason) = put(&**from, piece, &**to)? {
            let report = verify_on(from, threads, &|_, _| ())?;
            let file = piece.file.clone();
            return Err(RestoreError::Damaged { file, reason, damage: report.damage });
        }
        done += piece.bytes;
        progress(done, total);
    }
    to.sync_dir().map_err(io("sync", "the names", &**to))?;
    let verified = AtomicU64::new(0);
    let report = verify_on(to, threads, &|at, _| {
        verified.fetch_max(at, Ordering::Relaxed);
        progress(done + verified.load(Ordering::Relaxed).min(copied), total);
    })?;
    if let Some(damage) = report.damage {
        let (file, reason) = (damage.segment.clone(), damage.reason.clone());
        return Err(RestoreError::Damaged { file, reason, damage: Some(damage) });
    }
    if (report.head.size, report.head.root) != (copy.head.size, copy.head.root) {
        let (here, there) = (report.head.size, copy.head.size);
        let reason = format!("its {here} events are not the {there} that the backup says it holds");
        let file = report.end.as_ref().map_or_else(String::new, |end| end.segment.clone());
        return Err(RestoreError::Damaged { file, reason, damage: report.end });
    }
    progress(total, total);
    Ok(())
}

/// Copies one piece; answers what is wrong with it.
fn put(from: &dyn Disk, piece: &Piece, to: &dyn Disk) -> Result<Result<(), String>, Error> {
    let Piece { file: name, bytes, sha256, .. } = piece;
    if format::segment_ordinal(name).is_none() {
        return Ok(Err("the backup's list names it as a segment, which it is not".to_owned()));
    }
    let source = match from.open(name, Access::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Err("the file is missing".to_owned())),
        Err(e) => return Err(io("open", name, from)(e)),
    };
    let file = to.open(name, Access::Create).map_err(io("make", name, to))?;
    let (mut hash, mut at, mut buffer) = (Sha256::new(), 0, vec![0; CHUNK]);
    while at < *bytes {
        let want = chunk(bytes - at);
        let n = source.read_at(&mut buffer[..want], at).map_err(io("read", name, from))?;
        if n < want {
            let has = at + n as u64;
            return Ok(Err(format!("the file has {has} bytes, and {bytes} were written")));
        }
        hash.update(&buffer[..want]);
        file.write_at(&buffer[..want], at).map_err(io("write", name, to))?;
        at += want as u64;
    }
    file.sync().map_err(io("sync", name, to))?;
    let found: Hash = hash.finalize().into();
    Ok(if found == *sha256 {
        Ok(())
    } else {
        Err("its checksum is not the one it was written with".to_owned())
    })
}
