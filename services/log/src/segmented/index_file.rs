//! The index file of a sealed segment: what a walk over the segment finds, kept so that open need not walk.
//!
//! It can be lost or damaged at any time: it is then made again. What it says is held against the headers of its segment and of the next
//! one: every event has one place and belongs to one stream, and its tiles and the tree before it make the tree after it.

use std::collections::HashMap;
use std::io;

use super::format::{self, HEADER_BYTES, Header, u32_at, u64_at};
use super::walk::{Contents, StreamRun};
use crate::Error;
use crate::disk::{Access, Disk};
use crate::tree::Hash;

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
    let (groups, end) = (u64_at(bytes, 40), u64_at(bytes, 32));
    let fits = |&offset: &u32| {
        offset.is_multiple_of(8) && u64::from(offset) >= HEADER_BYTES && u64::from(offset) < end
    };
    if end < HEADER_BYTES || !offsets.iter().all(fits) || !offsets.is_sorted_by(|a, b| a < b) {
        return Err("its places make no sense");
    }
    let tile = |input: &mut Input<'_>| input.take(32).and_then(|b| b.try_into().ok());
    let tiles = (0..tiles).map(|_| tile(&mut input)).collect::<Option<Vec<Hash>>>().ok_or(short)?;
    if header.frontier.with_tiles(&tiles) != next.frontier.in_tiles() {
        return Err("its tiles do not make the tree of the next segment");
    }
    let mut runs = HashMap::with_capacity(streams as usize);
    let mut owned = vec![false; count as usize];
    for _ in 0..streams {
        let len = input.take(1).ok_or(short)?[0];
        let name =
            std::str::from_utf8(input.take(len.into()).ok_or(short)?).map_err(|_| "a name is not UTF-8")?;
        let first_revision = u64_at(input.take(8).ok_or(short)?, 0);
        let places = u32_at(input.take(4).ok_or(short)?, 0);
        let places = input.u32s(places).ok_or(short)?;
        for &place in &places {
            let owned = owned.get_mut(place as usize).ok_or("a place is beyond the segment")?;
            if std::mem::replace(owned, true) {
                return Err("an event belongs to two streams");
            }
        }
        if !places.is_sorted() || runs.insert(name.into(), StreamRun { first_revision, places }).is_some() {
            return Err("its streams make no sense");
        }
    }
    if !owned.into_iter().all(|owned| owned) {
        return Err("an event belongs to no stream");
    }
    if !input.0.is_empty() {
        return Err("there is something behind it");
    }
    Ok(Contents::indexed(base, offsets, runs, tiles, next.frontier.clone(), (groups, end)))
}

/// Reads an index file; none when there is none. An inner error says why it is of no use.
#[allow(clippy::type_complexity, reason = "the disk, the file and its content can each be wrong by itself")]
pub(crate) fn load(
    disk: &dyn Disk,
    header: &Header,
    next: &Header,
) -> io::Result<Option<Result<Contents, &'static str>>> {
    let file = match disk.open(&format::index_name(header.ordinal), Access::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    let n = file.read_at(&mut bytes, 0)?;
    Ok(Some(decode(&bytes[..n], header, next)))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::layout::Layout;
    use super::*;
    use crate::contract::{fill, stream};
    use crate::disk::sim::SimDisk;
    use crate::{Direction, EventLog, Options, SegmentedLog, verify_on};

    async fn log() -> SimDisk {
        let disk = SimDisk::new();
        let options =
            Options { segment_bytes_min: 256 << 10, segment_bytes_max: 256 << 10, ..Options::default() };
        let log = open(&disk, &options);
        fill(&log, 2_000).await;
        drop(log);
        made_again(&disk);
        disk
    }

    /// Opens the log until its index files, which are made behind its back, are whole.
    fn made_again(disk: &SimDisk) {
        let log = open(disk, &Options::default());
        let segments = Layout::read(disk, Access::Read, true).unwrap().segments;
        for pair in segments.windows(2) {
            while !matches!(load(disk, &pair[0].header, &pair[1].header), Ok(Some(Ok(_)))) {
                std::thread::yield_now();
            }
        }
        drop(log);
    }

    fn open(disk: &SimDisk, options: &Options) -> SegmentedLog {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        SegmentedLog::open_on(&disk, options.clone()).unwrap()
    }

    /// Changes what the first index file says, with a good checksum.
    fn change(disk: &SimDisk, change: impl FnOnce(&mut Contents)) -> Result<Contents, &'static str> {
        let segments = Layout::read(disk, Access::Read, false).unwrap().segments;
        let (header, next) = (&segments[0].header, &segments[1].header);
        let mut contents = load(disk, header, next).unwrap().unwrap().unwrap();
        change(&mut contents);
        store(disk, header, &contents).unwrap();
        load(disk, header, next).unwrap().unwrap()
    }

    fn report(disk: &SimDisk) -> crate::Report {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        verify_on(&disk, 2, &|_, _| ()).unwrap()
    }

    #[tokio::test]
    async fn whatever_an_index_file_says_otherwise_than_its_segment_is_found_on_loading_or_on_reading_and_by_verify()
     {
        let whole = log().await;
        assert!(report(&whole).ok);
        type Change = fn(&mut Contents);
        let on_loading: [(&str, Change); 6] = [
            ("a tile", |it| it.tiles[1][7] ^= 1),
            ("a tile less", |it| it.tiles.truncate(1)),
            ("a place less", |it| it.streams.values_mut().for_each(|run| run.places.truncate(3))),
            ("a place twice", |it| {
                let mut runs = it.streams.values_mut();
                let place = runs.next().unwrap().places[0];
                runs.next().unwrap().places[0] = place;
            }),
            ("an offset", |it| it.offsets[3] += 4),
            ("offsets that change places", |it| it.offsets.swap(3, 4)),
        ];
        for (what, edit) in on_loading {
            let disk = whole.after_kill();
            assert!(change(&disk, edit).is_err(), "{what}");
            let damage = report(&disk).damage.unwrap();
            assert_eq!(damage.segment, "00000000.idx", "{what}");
            made_again(&disk);
            assert!(report(&disk).ok, "{what}");
        }
        let on_reading: [(&str, Change); 2] = [
            ("two streams' places", |it| {
                let mut runs = it.streams.values_mut();
                let (one, two) = (runs.next().unwrap(), runs.next().unwrap());
                std::mem::swap(&mut one.places, &mut two.places);
            }),
            ("an offset that is another record's", |it| {
                let places = it.streams[&Box::from("complaint-0")].places.clone();
                it.offsets[places[0] as usize] += 8;
            }),
        ];
        for (what, edit) in on_reading {
            let disk = whole.after_kill();
            assert!(change(&disk, edit).is_ok(), "{what}");
            assert_eq!(report(&disk).damage.unwrap().segment, "00000000.idx", "{what}");
            let Ok(log) = SegmentedLog::open_on(&(Arc::new(disk) as Arc<dyn Disk>), Options::default())
            else {
                continue;
            };
            let mut refused = 0;
            for name in ["complaint-0", "complaint-2", "complaint-4", "fault-1", "fault-3"] {
                let read = log.read_stream(&stream(name), 0, Direction::Forward, usize::MAX).await;
                refused += usize::from(matches!(read, Err(Error::Damaged(_))));
            }
            assert!(refused > 0, "{what}");
        }
    }

    #[tokio::test]
    async fn every_flipped_bit_of_an_index_file_is_found_by_verify() {
        let whole = log().await;
        let name = format::index_name(0);
        let len = whole.open(&name, Access::Read).unwrap().len().unwrap();
        for at in (0..len).step_by(97) {
            let disk = whole.after_kill();
            disk.flip(&name, at, 1 << (at % 8)).unwrap();
            let report = report(&disk);
            assert!(!report.ok && report.events == 2_000, "{at}: {report:?}");
            assert_eq!(report.damage.unwrap().segment, name);
        }
    }
}
