//! Walking over a segment's records, and what is learned from it: this is how open, verify, replay and index files read.

use std::collections::HashMap;
use std::io;

use super::format::{self, Commit, FRAME, HEADER_BYTES, Header, Record};
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
        /// Whether it is the end of the file.
        file_ends: bool,
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
        if frame.iter().all(|&b| b == 0) {
            return Ok(Raw::End { offset, file_ends: frame.len() < FRAME });
        }
        if frame.len() < FRAME {
            return Ok(Raw::Bad { offset, reason: "the record is cut short" });
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
        if format::is_commit(&self.buffer[start..start + whole]) && length != format::COMMIT_BODY {
            return Ok(Raw::Bad { offset, reason: "the commit's length makes no sense" });
        }
        self.next += whole;
        Ok(Raw::Record { offset, bytes: &self.buffer[start..start + whole] })
    }
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Where a group ends, with zeros or with the file.
    Border,
    /// Within a group, with zeros.
    Gap,
    /// With a record whose checksum is not that of its bytes. It ends here if its length is right.
    Sum { record_end: u64 },
    /// With what no missing sector explains: a length or a content that makes no sense, or the end of the file within a group.
    Nonsense,
}

/// Where a walk ended, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) offset: u64,
    pub(crate) position: u64,
    pub(crate) ending: Ending,
    pub(crate) reason: String,
}

/// A stream's events within a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamRun {
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
    pub(crate) streams: HashMap<Box<str>, StreamRun>,
    /// Complete tiles of the tree that end in this segment.
    pub(crate) tiles: Vec<Hash>,
    /// The tree after the last whole group.
    pub(crate) frontier: Frontier,
    pub(crate) groups: u64,
    /// Byte after the last whole group.
    pub(crate) end: u64,
    /// How it was before the last whole group. Index files do not say.
    before: Option<Before>,
}

/// What a segment holds without its last group.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Before {
    frontier: Frontier,
    tiles: usize,
    end: u64,
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
            before: None,
        }
    }

    /// From what an index file says.
    pub(crate) fn indexed(
        base: u64,
        offsets: Vec<u32>,
        streams: HashMap<Box<str>, StreamRun>,
        tiles: Vec<Hash>,
        frontier: Frontier,
        (groups, end): (u64, u64),
    ) -> Self {
        Self { base, offsets, streams, tiles, frontier, groups, end, before: None }
    }

    /// Whether both say the same of a segment.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        (self.base, self.groups, self.end) == (other.base, other.groups, other.end)
            && self.frontier == other.frontier
            && self.tiles == other.tiles
            && self.offsets == other.offsets
            && self.streams == other.streams
    }

    /// Byte where the last whole group starts; the end where there is none.
    pub(crate) fn last_group_start(&self) -> u64 {
        self.before.as_ref().map_or(self.end, |before| before.end)
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
                let run = StreamRun { first_revision: view.revision, places: vec![place] };
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
        let frontier = std::mem::replace(&mut self.frontier, grown);
        self.before = Some(Before { frontier, tiles, end: self.end });
        self.groups += 1;
        self.end = end;
        Ok(())
    }

    /// Forgets the last whole group; answers whether there is one.
    pub(crate) fn without_last_group(&mut self) -> bool {
        let Some(Before { frontier, tiles, end }) = self.before.take() else { return false };
        self.frontier = frontier;
        self.tiles.truncate(tiles);
        self.groups -= 1;
        self.end = end;
        self.cut();
        true
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

    /// Walks over all whole groups of a segment. What the place where it ended means is for [`super::recover`] to say.
    pub(crate) fn walk(
        file: &dyn File,
        header: &Header,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<(Self, Stop)> {
        let mut contents = Self::new(header);
        let mut walk = Walk::new(file, HEADER_BYTES);
        let mut leaves = Vec::new();
        let stop = loop {
            let position = contents.frontier.size() + leaves.len() as u64;
            let stop =
                |offset, ending, reason: &str| Stop { offset, position, ending, reason: reason.to_owned() };
            match walk.raw()? {
                Raw::End { offset, .. } if leaves.is_empty() => {
                    break stop(offset, Ending::Border, "there is no group");
                }
                Raw::End { offset, file_ends: true } => {
                    break stop(offset, Ending::Nonsense, "the segment ends within a group");
                }
                Raw::End { offset, file_ends: false } => {
                    break stop(offset, Ending::Gap, "there are zeros within a group");
                }
                Raw::Bad { offset, reason } => break stop(offset, Ending::Nonsense, reason),
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
                        Err(reason) => {
                            let summed = reason == format::BAD_SUM;
                            let ending =
                                if summed { Ending::Sum { record_end: end } } else { Ending::Nonsense };
                            break stop(offset, ending, reason);
                        }
                    };
                    if let Err(reason) = done {
                        break stop(offset, Ending::Nonsense, &reason);
                    }
                }
            }
        };
        contents.cut();
        Ok((contents, stop))
    }
}
