//! The index file of a sealed segment: what a walk over the segment finds, kept so that open need not walk.
//!
//! It can be lost or damaged at any time: it is then made again.

use std::collections::HashMap;

use super::format::{self, HEADER_BYTES, Header, u32_at, u64_at};
use super::walk::{Contents, Run};
use crate::Error;
use crate::disk::{Access, Disk};

const MAGIC: [u8; 8] = *b"dubanidx";
const VERSION: u32 = 1;

#[allow(clippy::cast_possible_truncation, reason = "a segment is at most 1 GiB, so all counts fit")]
fn encode(header: &Header, contents: &Contents) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&header.ordinal.to_le_bytes());
    out.extend_from_slice(&contents.base.to_le_bytes());
    out.extend_from_slice(&contents.end.to_le_bytes());
    out.extend_from_slice(&contents.groups.to_le_bytes());
    out.extend_from_slice(&(contents.offsets.len() as u32).to_le_bytes());
    out.extend_from_slice(&(contents.streams.len() as u32).to_le_bytes());
    out.extend_from_slice(&(contents.tiles.len() as u32).to_le_bytes());
    for offset in &contents.offsets {
        out.extend_from_slice(&offset.to_le_bytes());
    }
    for tile in &contents.tiles {
        out.extend_from_slice(tile);
    }
    for (name, run) in &contents.streams {
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&run.first_revision.to_le_bytes());
        out.extend_from_slice(&(run.places.len() as u32).to_le_bytes());
        for place in &run.places {
            out.extend_from_slice(&place.to_le_bytes());
        }
    }
    let crc = crc32c::crc32c(&out[12..]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    out
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32s(&mut self, n: u32) -> Option<Vec<u32>> {
        let bytes = self.take((n as usize).checked_mul(4)?)?;
        Some(bytes.chunks_exact(4).map(|b| u32_at(b, 0)).collect())
    }
}

fn decode(bytes: &[u8], header: &Header, next: &Header) -> Result<Contents, &'static str> {
    const FIXED: usize = 60;
    if bytes.len() < FIXED || bytes[..8] != MAGIC || u32_at(bytes, 12) != VERSION {
        return Err("not an index file of this version");
    }
    if crc32c::crc32c(&bytes[12..]) != u32_at(bytes, 8) {
        return Err("the checksum does not match");
    }
    let (count, streams, tiles) = (u32_at(bytes, 48), u32_at(bytes, 52), u32_at(bytes, 56));
    let base = u64_at(bytes, 24);
    if u64_at(bytes, 16) != header.ordinal || base != header.base() || base + u64::from(count) != next.base()
    {
        return Err("it belongs to another segment");
    }
    let short = "it is cut short";
    let mut input = Input(&bytes[FIXED..]);
    let offsets = input.u32s(count).ok_or(short)?;
    let tile = |input: &mut Input<'_>| input.take(32).and_then(|b| b.try_into().ok());
    let tiles = (0..tiles).map(|_| tile(&mut input)).collect::<Option<_>>().ok_or(short)?;
    let mut runs = HashMap::with_capacity(streams as usize);
    for _ in 0..streams {
        let len = input.take(1).ok_or(short)?[0];
        let name =
            std::str::from_utf8(input.take(len.into()).ok_or(short)?).map_err(|_| "a name is not UTF-8")?;
        let first_revision = u64_at(input.take(8).ok_or(short)?, 0);
        let places = u32_at(input.take(4).ok_or(short)?, 0);
        let places = input.u32s(places).ok_or(short)?;
        if places.iter().any(|&p| p >= count) {
            return Err("a place is beyond the segment");
        }
        runs.insert(name.into(), Run { first_revision, places });
    }
    Ok(Contents {
        base,
        offsets,
        streams: runs,
        tiles,
        frontier: next.frontier.clone(),
        groups: u64_at(bytes, 40),
        end: u64_at(bytes, 32).max(HEADER_BYTES),
    })
}

/// Reads an index file; none when there is none. An error says why it is of no use.
pub(crate) fn load(disk: &dyn Disk, header: &Header, next: &Header) -> Result<Option<Contents>, String> {
    let file = match disk.open(&format::index_name(header.ordinal), Access::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    let len = file.len().map_err(|e| e.to_string())?;
    let mut bytes = vec![0; usize::try_from(len).map_err(|e| e.to_string())?];
    let n = file.read_at(&mut bytes, 0).map_err(|e| e.to_string())?;
    Ok(Some(decode(&bytes[..n], header, next)?))
}

/// Writes an index file, whole or not at all.
pub(crate) fn store(disk: &dyn Disk, header: &Header, contents: &Contents) -> Result<(), Error> {
    let name = format::index_name(header.ordinal);
    let scratch = format!("{name}.new");
    let write = || {
        let file = disk.open(&scratch, Access::Create)?;
        file.write_at(&encode(header, contents), 0)?;
        // Synced before it gets its name: a name in front of nothing would only cost a walk, but a loud one.
        file.sync()?;
        disk.rename(&scratch, &name)?;
        disk.sync_dir()
    };
    write().map_err(Error::io(format!("write {name}")))
}
