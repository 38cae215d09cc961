//! Walking over a segment's records, and what is learned from it: this is how open, verify, replay and index files read.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use super::format::{self, COMMIT_BYTES, Commit, FRAME, HEADER_BYTES, Header, Record};
use crate::disk::File;
use crate::tree::{self, Frontier, Hash};
use crate::{APPEND_BYTES_MAX, header};

const CHUNK: usize = 1 << 20;

/// Reads a segment front to back.
pub(crate) struct Walk<'f> {
    file: &'f dyn File,
    buffer: Vec<u8>,
    /// Byte in the file where the buffer starts.
    at: u64,
    /// The next record in the buffer.
    next: usize,
    filled: usize,
}

/// What lies at a place: the bytes of a whole record, not checked yet.
pub(crate) enum Raw<'a> {
    Record {
        offset: u64,
        bytes: &'a [u8],
    },
    /// Zeros, or the end of the file.
    End {
        offset: u64,
    },
    /// Something that cannot be a record.
    Bad {
        offset: u64,
        reason: &'static str,
    },
}

impl<'f> Walk<'f> {
    pub(crate) fn new(file: &'f dyn File, offset: u64) -> Self {
        Self { file, buffer: Vec::new(), at: offset, next: 0, filled: 0 }
    }

    /// Makes the next `want` bytes present, or as many as the file has.
    fn fill(&mut self, want: usize) -> io::Result<&[u8]> {
        if self.filled - self.next < want {
            self.buffer.copy_within(self.next..self.filled, 0);
            self.filled -= self.next;
            self.at += self.next as u64;
            self.next = 0;
            self.buffer.resize(want.max(CHUNK), 0);
            self.filled +=
                self.file.read_at(&mut self.buffer[self.filled..], self.at + self.filled as u64)?;
        }
        Ok(&self.buffer[self.next..self.filled.min(self.next + want)])
    }

    pub(crate) fn offset(&self) -> u64 {
        self.at + self.next as u64
    }

    pub(crate) fn raw(&mut self) -> io::Result<Raw<'_>> {
        let offset = self.offset();
        let frame = self.fill(FRAME)?;
        if frame.len() < FRAME || frame == [0; FRAME] {
            return Ok(Raw::End { offset });
        }
        let length = format::u32_at(frame, 0) as usize;
        if length == 0 || length > APPEND_BYTES_MAX {
            return Ok(Raw::Bad { offset, reason: "the record's length makes no sense" });
        }
        let whole = format::padded(length);
        if self.fill(whole)?.len() < whole {
            return Ok(Raw::Bad { offset, reason: "the record runs beyond the end of the segment" });
        }
        let start = self.next;
        self.next += whole;
        Ok(Raw::Record { offset, bytes: &self.buffer[start..start + whole] })
    }
}

/// A place where a walk could not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) offset: u64,
    pub(crate) position: u64,
    pub(crate) reason: String,
    /// Where the record ends if its length is right.
    pub(crate) record_end: Option<u64>,
}

/// A stream's events within a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first_revision: u64,
    /// Positions, counted from the segment's first.
    pub(crate) places: Vec<u32>,
}

/// What a segment holds, group by whole group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) base: u64,
    /// Byte of each event's record.
    pub(crate) offsets: Vec<u32>,
    pub(crate) streams: HashMap<Box<str>, Run>,
    /// Complete tiles of the tree that end in this segment.
    pub(crate) tiles: Vec<Hash>,
    /// The tree after the last whole group.
    pub(crate) frontier: Frontier,
    pub(crate) groups: u64,
    /// Byte after the last whole group.
    pub(crate) end: u64,
}

impl Contents {
    fn new(header: &Header) -> Self {
        Self {
            base: header.base(),
            offsets: Vec::new(),
            streams: HashMap::new(),
            tiles: Vec::new(),
            frontier: header.frontier.clone(),
            groups: 0,
            end: HEADER_BYTES,
        }
    }

    fn event(&mut self, offset: u64, position: u64, body: &[u8]) -> Result<(), String> {
        let view = header::decode(position, body)?;
        let place = u32::try_from(self.offsets.len()).map_err(|_| "the segment holds too many events")?;
        let offset = u32::try_from(offset).map_err(|_| "the segment is too long")?;
        match self.streams.get_mut(view.stream) {
            Some(run) => {
                let expected = run.first_revision + run.places.len() as u64;
                if view.revision != expected {
                    let (stream, revision) = (view.stream, view.revision);
                    return Err(format!("{stream} goes on with revision {revision} instead of {expected}"));
                }
                run.places.push(place);
            }
            None => {
                let run = Run { first_revision: view.revision, places: vec![place] };
                self.streams.insert(view.stream.into(), run);
            }
        }
        self.offsets.push(offset);
        Ok(())
    }

    fn commit(&mut self, commit: &Commit, leaves: &mut Vec<Hash>, end: u64) -> Result<(), String> {
        let (first, size) = (self.frontier.size(), self.frontier.size() + leaves.len() as u64);
        if leaves.is_empty() || commit.first != first || commit.size != size || commit.start != self.end {
            let (was_first, was_size) = (commit.first, commit.size);
            return Err(format!(
                "the commit is of events {was_first} to {was_size}, not of {first} to {size}"
            ));
        }
        let (mut grown, tiles) = (self.frontier.clone(), self.tiles.len());
        for leaf in leaves.drain(..) {
            self.tiles.extend(grown.push(leaf));
        }
        if grown.root() != commit.root {
            self.tiles.truncate(tiles);
            return Err("the root of the tree does not match the commit".to_owned());
        }
        self.frontier = grown;
        self.groups += 1;
        self.end = end;
        Ok(())
    }

    /// Forgets events that belong to no whole group.
    fn cut(&mut self) {
        let keep = usize::try_from(self.frontier.size() - self.base).unwrap_or(usize::MAX);
        self.offsets.truncate(keep);
        self.streams.retain(|_, run| {
            run.places.retain(|&p| (p as usize) < keep);
            !run.places.is_empty()
        });
    }

    /// Walks over all whole groups of a segment. Where it could not go on is judged by the caller: a torn tail, or damage.
    pub(crate) fn walk(
        file: &dyn File,
        header: &Header,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<(Self, Option<Bad>)> {
        let mut contents = Self::new(header);
        let mut walk = Walk::new(file, HEADER_BYTES);
        let mut leaves = Vec::new();
        let (offset, position, reason, record_end) = loop {
            let position = contents.frontier.size() + leaves.len() as u64;
            match walk.raw()? {
                Raw::End { .. } if leaves.is_empty() => return Ok((contents, None)),
                Raw::End { offset } => break (offset, position, "the group has no commit".to_owned(), None),
                Raw::Bad { offset, reason } => break (offset, position, reason.to_owned(), None),
                Raw::Record { offset, bytes } => {
                    let end = offset + bytes.len() as u64;
                    let done = match format::record(bytes, position) {
                        Ok(Record::Event(body)) => {
                            leaves.push(tree::leaf_hash(body));
                            contents.event(offset, position, body)
                        }
                        Ok(Record::Commit(commit)) => {
                            progress(end);
                            contents.commit(&commit, &mut leaves, end)
                        }
                        Err(reason) => Err(reason.to_owned()),
                    };
                    if let Err(reason) = done {
                        break (offset, position, reason, Some(end));
                    }
                }
            }
        };
        contents.cut();
        Ok((contents, Some(Bad { offset, position, reason, record_end })))
    }
}

/// What a bad record at the end of the last segment means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A group that was never acknowledged, cut short by a power loss or still being written.
    Torn,
    /// Bytes that were durable once are not what was written.
    Damaged,
}

/// Judges a bad record after the last whole group.
///
/// Group n+1 is never written before group n is synced. So a commit of a later group proves that this one was durable. Its own commit
/// proves nothing, since sectors reach the disk in any order; but where nothing of it is missing (space ahead is zeros, and a sector is
/// written whole or not at all), no power loss can have made it bad. `live` leaves that out: a writer's copy may be half way.
pub(crate) fn judge(file: &dyn File, contents: &Contents, bad: &Bad, live: bool) -> io::Result<Verdict> {
    let size = contents.frontier.size();
    let mut own_end = None;
    let mut at = contents.end;
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = file.read_at(&mut buffer, at)?;
        let chunk = &buffer[..n];
        if chunk.iter().any(|&b| b != 0) {
            for start in (0..n).step_by(8) {
                let Some(commit) = Commit::find(&chunk[start..]) else { continue };
                if commit.first > size {
                    return Ok(Verdict::Damaged);
                }
                if commit.first == size {
                    own_end = Some(at + (start + COMMIT_BYTES) as u64);
                }
            }
        }
        if n < CHUNK {
            break;
        }
        // The next chunk overlaps, so that no commit is missed that lies across the border.
        at += (CHUNK - COMMIT_BYTES.next_multiple_of(8)) as u64;
    }
    if live {
        return Ok(Verdict::Torn);
    }
    let Some(end) = own_end.or(bad.record_end) else { return Ok(Verdict::Torn) };
    Ok(if sector_missing(file, contents.end..end)? { Verdict::Torn } else { Verdict::Damaged })
}

/// Whether the part of any sector that lies in this range is all zeros, as space is before it is written.
fn sector_missing(file: &dyn File, range: Range<u64>) -> io::Result<bool> {
    const SECTOR: u64 = 512;
    let mut sector = [0; 512];
    let mut at = range.start;
    while at < range.end {
        let next = (at / SECTOR + 1) * SECTOR;
        let part = &mut sector[..usize::try_from(next.min(range.end) - at).unwrap_or(0)];
        if file.read_at(part, at)? < part.len() || part.iter().all(|&b| b == 0) {
            return Ok(true);
        }
        at = next;
    }
    Ok(false)
}

/// Writes zeros over whatever lies after the last whole group, so that it is never taken for something again.
pub(crate) fn erase_tail(file: &dyn File, from: u64) -> io::Result<bool> {
    let mut at = from;
    let mut erased = false;
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = file.read_at(&mut buffer, at)?;
        if buffer[..n].iter().any(|&b| b != 0) {
            buffer[..n].fill(0);
            file.write_at(&buffer[..n], at)?;
            erased = true;
        }
        if n < CHUNK {
            break;
        }
        at += n as u64;
    }
    if erased {
        file.sync()?;
    }
    Ok(erased)
}
