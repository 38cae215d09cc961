//! Bytes of a segment: a page of header, then groups of records, then zeros.
//!
//! A record is `length, CRC32C, body, padding to 8 bytes`. The body of an event is its [`crate::header`] and payload; a group ends with
//! a commit, whose body is marked by its first byte. The checksum covers the body, its length and its position, so that a record which
//! strays to another place is bad there. Integers are little-endian.

use crate::tree::{Frontier, Hash};
use crate::{Damage, Position};

/// Bytes before the first record.
pub(crate) const HEADER_BYTES: u64 = HEADER_LEN as u64;
/// The same as a length in memory.
pub(crate) const HEADER_LEN: usize = 4096;
/// A sector is written whole or not at all; nothing larger is.
pub(crate) const SECTOR: usize = 512;
/// Bytes of length and checksum.
pub(crate) const FRAME: usize = 8;
/// Bytes of a whole commit.
pub(crate) const COMMIT_BYTES: usize = FRAME + COMMIT_BODY;
/// Bytes of a commit's body.
pub(crate) const COMMIT_BODY: usize = 64;
const COMMIT_MARK: u8 = 0xC0;
const MAGIC: [u8; 8] = *b"dubanlog";
const VERSION: u32 = 1;

/// Whether bytes are zeros only; quicker than byte by byte.
pub(crate) fn is_zeros(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

/// A record's length with padding.
pub(crate) fn padded(body: usize) -> usize {
    FRAME + body.next_multiple_of(8)
}

/// What the position and the length add to a record's checksum. CRC is linear: the sum over the body can be taken before the position
/// is known.
pub(crate) fn seed(position: u64, length: u32) -> u32 {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&position.to_le_bytes());
    bytes[8..].copy_from_slice(&length.to_le_bytes());
    crc32c::crc32c(&bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Starts a record whose body is appended next; answers where it starts.
pub(crate) fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME]);
    start
}

/// Finishes a record with the checksum of its body alone; [`stamp`] makes it whole.
#[allow(clippy::cast_possible_truncation, reason = "an append is at most 1 MiB")]
pub(crate) fn finish(out: &mut Vec<u8>, start: usize) {
    let body = start + FRAME;
    let length = (out.len() - body) as u32;
    let crc = crc32c::crc32c(&out[body..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..body].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + padded(length as usize), 0);
}

/// Adds the position to a finished record's checksum.
pub(crate) fn stamp(record: &mut [u8], position: u64) {
    let crc = u32_at(record, 4) ^ seed(position, u32_at(record, 0));
    record[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// The end of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Position of the group's first event.
    pub(crate) first: u64,
    /// Number of events in the log with this group.
    pub(crate) size: u64,
    /// Root of the tree over them.
    pub(crate) root: Hash,
    /// Byte in the segment where the group starts.
    pub(crate) start: u64,
}

impl Commit {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = begin(out);
        out.extend_from_slice(&[COMMIT_MARK, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&self.start.to_le_bytes());
        out.extend_from_slice(&self.root);
        finish(out, start);
        stamp(&mut out[start..], self.size);
    }

    fn decode(body: &[u8]) -> Option<Self> {
        if body.len() != COMMIT_BODY || body[1..8] != [0; 7] {
            return None;
        }
        let mut root = [0; 32];
        root.copy_from_slice(&body[32..]);
        Some(Self { first: u64_at(body, 8), size: u64_at(body, 16), start: u64_at(body, 24), root })
    }

    /// The commit that starts at the beginning of these bytes, if a whole one does.
    pub(crate) fn find(bytes: &[u8]) -> Option<Self> {
        let record = bytes.get(..COMMIT_BYTES)?;
        if u32_at(record, 0) as usize != COMMIT_BODY || record[FRAME] != COMMIT_MARK {
            return None;
        }
        let commit = Self::decode(&record[FRAME..])?;
        let crc = crc32c::crc32c(&record[FRAME..]) ^ seed(commit.size, u32_at(record, 0));
        (crc == u32_at(record, 4)).then_some(commit)
    }
}

/// Whether a record that was not checked yet says that it is a commit.
pub(crate) fn is_commit(bytes: &[u8]) -> bool {
    bytes.get(FRAME) == Some(&COMMIT_MARK)
}

/// A record in a buffer.
#[derive(Debug)]
pub(crate) enum Record<'a> {
    /// An event's header and payload.
    Event(&'a [u8]),
    Commit(Commit),
}

/// Of all that may be wrong with a record, what a missing part of it can be the cause of.
pub(crate) const BAD_SUM: &str = "the checksum does not match";

/// Reads the record at the beginning of these bytes, which hold all of it, and checks it as the one with this position.
pub(crate) fn record(bytes: &[u8], position: u64) -> Result<Record<'_>, &'static str> {
    let length = u32_at(bytes, 0);
    let end = padded(length as usize);
    let body = bytes.get(FRAME..FRAME + length as usize).ok_or("the record is cut short")?;
    let padding = bytes.get(FRAME + length as usize..end).ok_or("the record is cut short")?;
    if crc32c::crc32c(body) ^ seed(position, length) != u32_at(bytes, 4) {
        return Err(BAD_SUM);
    }
    if padding.iter().any(|&b| b != 0) {
        return Err("the padding is not zero");
    }
    match body.first() {
        Some(&COMMIT_MARK) => Commit::decode(body).map(Record::Commit).ok_or("the commit makes no sense"),
        _ => Ok(Record::Event(body)),
    }
}

/// The first page of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) ordinal: u64,
    /// The tree over everything before this segment; its size is the position of the segment's first event.
    pub(crate) frontier: Frontier,
}

impl Header {
    pub(crate) fn base(&self) -> u64 {
        self.frontier.size()
    }

    #[allow(clippy::cast_possible_truncation, reason = "the header is one page")]
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(HEADER_BYTES as usize);
        page.extend_from_slice(&MAGIC);
        page.extend_from_slice(&[0; 4]);
        page.extend_from_slice(&VERSION.to_le_bytes());
        page.extend_from_slice(&self.ordinal.to_le_bytes());
        page.extend_from_slice(&self.base().to_le_bytes());
        for peak in self.frontier.peaks() {
            page.extend_from_slice(peak);
        }
        page.resize(HEADER_BYTES as usize, 0);
        let crc = crc32c::crc32c(&page[12..]);
        page[8..12].copy_from_slice(&crc.to_le_bytes());
        page
    }

    /// Whether a page that is no good header lacks a sector, as space that was never written does.
    pub(crate) fn is_missing(page: &[u8]) -> bool {
        if page.len() < HEADER_LEN {
            return page.iter().all(|&b| b == 0);
        }
        // Sectors without a peak are zeros in a good header, too.
        let used = 32 + 32 * u64_at(page, 24).count_ones() as usize;
        page[..used.next_multiple_of(SECTOR)].chunks(SECTOR).any(|sector| sector.iter().all(|&b| b == 0))
    }

    pub(crate) fn decode(page: &[u8]) -> Result<Self, &'static str> {
        if page.len() as u64 != HEADER_BYTES {
            return Err("the segment is shorter than its header");
        }
        if page[..8] != MAGIC {
            return Err("the segment's header has no magic number");
        }
        if crc32c::crc32c(&page[12..]) != u32_at(page, 8) {
            return Err("the checksum of the segment's header does not match");
        }
        if u32_at(page, 12) != VERSION {
            return Err("the segment has an unknown version");
        }
        let base = u64_at(page, 24);
        let hash = |n: usize| {
            let mut hash = [0; 32];
            hash.copy_from_slice(&page[32 + 32 * n..64 + 32 * n]);
            hash
        };
        let peaks = (0..base.count_ones() as usize).map(hash).collect();
        let frontier = Frontier::from_parts(base, peaks).ok_or("the segment's tree makes no sense")?;
        Ok(Self { ordinal: u64_at(page, 16), frontier })
    }
}

pub(crate) fn segment_name(ordinal: u64) -> String {
    format!("{ordinal:08}.seg")
}

pub(crate) fn index_name(ordinal: u64) -> String {
    format!("{ordinal:08}.idx")
}

/// The ordinal of a segment's file name, if it is one.
pub(crate) fn segment_ordinal(name: &str) -> Option<u64> {
    name.strip_suffix(".seg").filter(|n| n.len() >= 8).and_then(|n| n.parse().ok())
}

pub(crate) fn damage(ordinal: u64, offset: u64, position: u64, reason: impl Into<String>) -> Damage {
    Damage {
        segment: segment_name(ordinal),
        offset,
        position: Position::new(position),
        reason: reason.into(),
    }
}
