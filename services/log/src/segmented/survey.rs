//! Looking at what lies behind the last whole group, for [`super::recover`] to decide; and doing what it decided.

use std::io;
use std::ops::Range;

use super::Options;
use super::format::{self, COMMIT_BYTES, Commit, FRAME, HEADER_BYTES, SECTOR};
use super::layout::Segment;
use super::planted::Planted;
use super::recover::{Behind, Groups};
use super::walk::{Contents, Ending, Stop};
use crate::APPEND_BYTES_MAX;
use crate::disk::File;

const CHUNK: usize = 1 << 20;

/// Ends of groups in a part of a file.
struct Ends {
    groups: Groups,
    /// Byte after the group that should be next, if its end is there.
    next: Option<u64>,
    /// From the first byte that is not zero to the last.
    written: Option<Range<u64>>,
}

/// Goes over a file from a place on. `next` says where the next group should start, and with which position.
fn ends(file: &dyn File, from: u64, next: Option<(u64, u64)>) -> io::Result<Ends> {
    let mut ends = Ends { groups: Groups::None, next: None, written: None };
    let (mut at, mut buffer) = (from, vec![0; CHUNK]);
    loop {
        let n = file.read_at(&mut buffer, at)?;
        let chunk = &buffer[..n];
        if !format::is_zeros(chunk) {
            let place = |found: Option<usize>| at + found.unwrap_or(0) as u64;
            let first = place(chunk.iter().position(|&b| b != 0));
            let last = place(chunk.iter().rposition(|&b| b != 0)) + 1;
            ends.written = Some(ends.written.map_or(first, |written| written.start)..last);
            for start in (0..n).step_by(8) {
                let Some(commit) = Commit::find(&chunk[start..]) else { continue };
                let found = match next {
                    Some((start, size)) if commit.first == size && commit.start == start => Groups::Next,
                    Some((_, size)) if commit.first > size => Groups::Later,
                    Some(_) => Groups::Stray,
                    // Under a header that is not good nobody knows what should be there.
                    None => Groups::Later,
                };
                ends.groups = ends.groups.max(found);
                if found == Groups::Next {
                    ends.next = Some(at + (start + COMMIT_BYTES) as u64);
                }
            }
        }
        if n < CHUNK {
            return Ok(ends);
        }
        // The next chunk overlaps, so that no commit is missed that lies across the border.
        at += (CHUNK - COMMIT_BYTES.next_multiple_of(8)) as u64;
    }
}

/// What lies behind the last whole group of a segment with a good header.
pub(crate) fn behind(file: &dyn File, contents: &Contents, stop: &Stop) -> io::Result<(Behind, Groups)> {
    let size = contents.frontier.size();
    let Ends { mut groups, next, written } = ends(file, stop.offset, Some((contents.end, size)))?;
    // What lies behind the group's own end is none of its parts.
    let within = |end: u64| stop.offset..next.map_or(end, |next| next.min(end));
    let behind = match stop.ending {
        Ending::Border if written.is_none() => Behind::Zeros,
        Ending::Border | Ending::Gap => {
            let sector = (stop.offset / SECTOR as u64 + 1) * SECTOR as u64;
            if lacks_sector(file, within(sector))? { Behind::Missing } else { Behind::Wrong }
        }
        Ending::Sum { record_end } => {
            if lacks_sector(file, within(record_end))? {
                Behind::Missing
            } else {
                Behind::Wrong
            }
        }
        Ending::Nonsense => Behind::Wrong,
    };
    if stop.ending == Ending::Border
        && let Some(written) = written
        && begins_within(file, size, contents.end, written)?
    {
        groups = groups.max(Groups::Stray);
    }
    Ok((behind, groups))
}

/// Whether groups stand in a file whose header is not good.
pub(crate) fn under_no_header(file: &dyn File) -> io::Result<(Behind, Groups)> {
    let Ends { groups, written, .. } = ends(file, HEADER_BYTES, None)?;
    Ok((if written.is_some() { Behind::Wrong } else { Behind::Zeros }, groups))
}

/// Whether the part of any sector that lies in this range is all zeros, as space is before it is written.
fn lacks_sector(file: &dyn File, range: Range<u64>) -> io::Result<bool> {
    let mut sector = [0; SECTOR];
    let mut at = range.start;
    while at < range.end {
        let next = ((at / SECTOR as u64 + 1) * SECTOR as u64).min(range.end);
        let part = &mut sector[..usize::try_from(next - at).unwrap_or(0)];
        if file.read_at(part, at)? == part.len() && format::is_zeros(part) {
            return Ok(true);
        }
        at = next;
    }
    Ok(false)
}

/// Whether the group that should start at `place` with an event of this position starts elsewhere, whole sectors away: a write that
/// went to the wrong place. Of a group that was torn only parts can be there, each in its place.
fn begins_within(file: &dyn File, position: u64, place: u64, written: Range<u64>) -> io::Result<bool> {
    let sectors = written.start.saturating_sub(place).div_ceil(SECTOR as u64).max(1);
    let mut at = place + sectors * SECTOR as u64;
    let mut bytes = Vec::new();
    while at < written.end {
        let mut frame = [0; FRAME + 1];
        let length = if file.read_at(&mut frame, at)? == frame.len() { format::u32_at(&frame, 0) } else { 0 };
        if length > 0 && length as usize <= APPEND_BYTES_MAX && !format::is_commit(&frame) {
            bytes.resize(format::padded(length as usize), 0);
            if file.read_at(&mut bytes, at)? == bytes.len() && format::record(&bytes, position).is_ok() {
                return Ok(true);
            }
        }
        at += SECTOR as u64;
    }
    Ok(false)
}

/// Makes durable what was found: writes the header and the last whole group again, and zeros behind it, and syncs. That it can be read
/// proves nothing: whoever wrote it may have been killed before its sync, or the sync may have failed, after which the system takes the
/// pages for clean. Zeros are written over as much as a group may have, and over whatever else is not zero, so that what is left of a torn
/// group is never taken for something again.
pub(crate) fn settle(segment: &Segment, group: Range<u64>, options: &Options) -> io::Result<()> {
    let file = &*segment.file;
    if options.has(Planted::PublishedBeforeSync) {
        return erase(file, group.end, 0);
    }
    file.write_at(&segment.header.encode(), 0)?;
    let mut buffer = vec![0; CHUNK];
    let mut at = group.start;
    while at < group.end {
        let want = usize::try_from(group.end - at).unwrap_or(CHUNK).min(CHUNK);
        let n = file.read_at(&mut buffer[..want], at)?;
        if n < want {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(&buffer[..n], at)?;
        at += n as u64;
    }
    if !options.has(Planted::TornTailKept) {
        erase(file, group.end, group.end.saturating_add(options.reach()))?;
    }
    file.sync()
}

/// Writes zeros from a place on: over everything up to another, and behind that over whatever is not zero.
pub(crate) fn erase(file: &dyn File, from: u64, everything_to: u64) -> io::Result<()> {
    let (mut at, mut buffer) = (from, vec![0; CHUNK]);
    loop {
        let n = file.read_at(&mut buffer, at)?;
        if at < everything_to || !format::is_zeros(&buffer[..n]) {
            buffer[..n].fill(0);
            file.write_at(&buffer[..n], at)?;
        }
        if n < CHUNK {
            return Ok(());
        }
        at += n as u64;
    }
}
