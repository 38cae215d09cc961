//! Where every event lies, in memory, and reading by it. Writer and readers share it; only whole, durable groups are in it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::RwLock;

use super::format::{self, Header, Record};
use super::layout::Segment;
use super::walk::Contents;
use crate::disk::Disk;
use crate::hub::{Scanned, Source};
use crate::memory::proof_bounds;
use crate::tree::{self, Hash};
use crate::{
    Contradiction, Damage, Direction, Error, Filter, Head, Page, Position, READ_BYTES_MAX, Recorded,
    SignedHeads, StreamName, View, Witness, header,
};

/// Most events that one read of the disk takes in.
const BLOCK_EVENTS: u64 = 256;
/// Bytes after which one read of the disk ends; a single event may be larger.
const BLOCK_BYTES: u32 = 512 * 1024;
/// Most events that are looked at for one page or one delivery.
const LOOK_AT_MAX: u64 = 16 * 1024;
/// Bytes of events after which a page is full.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Events of a stream that are looked at together for a signed head.
const HEADS_PAGE: usize = 64;

/// A stream's positions, in five bytes each: a trillion events are enough, and half a million streams fit in memory.
#[derive(Default)]
struct Places(Vec<[u8; 5]>);

impl Places {
    fn push(&mut self, position: u64) {
        let [a, b, c, d, e, ..] = position.to_le_bytes();
        self.0.push([a, b, c, d, e]);
    }

    fn get(&self, revision: usize) -> Option<u64> {
        let &[a, b, c, d, e] = self.0.get(revision)?;
        Some(u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]))
    }
}

struct Part {
    segment: Arc<Segment>,
    offsets: Vec<u32>,
    /// Byte after the last whole group.
    end: u32,
}

struct Index {
    parts: Vec<Part>,
    streams: HashMap<StreamName, Places>,
    tiles: Vec<Hash>,
    head: Head,
}

impl Index {
    /// The part that holds a position of the log.
    fn part(&self, position: u64) -> Option<(&Part, usize)> {
        let after = self.parts.partition_point(|p| p.segment.header.base() <= position);
        let part = self.parts.get(after.checked_sub(1)?)?;
        let at = usize::try_from(position - part.segment.header.base()).ok()?;
        (at < part.offsets.len()).then_some((part, at))
    }

    fn bytes(part: &Part, from: usize, to: usize) -> (u32, u32) {
        (part.offsets[from], part.offsets.get(to).copied().unwrap_or(part.end))
    }

    fn add(&mut self, segment: &Arc<Segment>, contents: Contents) -> Result<(), Error> {
        for (name, run) in contents.streams {
            let name = StreamName::new(Arc::<str>::from(name))?;
            let places = self.streams.entry(name.clone()).or_default();
            if places.0.len() as u64 != run.first_revision {
                let (had, has) = (places.0.len(), run.first_revision);
                let reason = format!("{name} goes on with revision {has} instead of {had}");
                let first = run.places.first().copied().unwrap_or(0);
                let offset = contents.offsets.get(first as usize).copied().unwrap_or(0);
                return Err(segment.damage(offset.into(), contents.base + u64::from(first), reason).into());
            }
            places.0.reserve_exact(run.places.len());
            for place in run.places {
                places.push(contents.base + u64::from(place));
            }
        }
        self.tiles.extend(contents.tiles);
        let end = u32::try_from(contents.end).unwrap_or(u32::MAX);
        self.parts.push(Part { segment: Arc::clone(segment), offsets: contents.offsets, end });
        self.head = Head::of(&contents.frontier);
        Ok(())
    }
}

/// An event's place on the disk.
struct Place {
    position: u64,
    revision: u64,
    segment: Arc<Segment>,
    offset: u32,
    len: usize,
}

/// Events that lie next to each other, as bytes.
struct Block {
    segment: Arc<Segment>,
    first: u64,
    offsets: Vec<u32>,
    bytes: Vec<u8>,
}

impl Block {
    fn body(&self, n: usize) -> Result<&[u8], Error> {
        let start = (self.offsets[n] - self.offsets[0]) as usize;
        event(
            &self.segment,
            self.offsets[n],
            self.first + n as u64,
            self.bytes.get(start..).unwrap_or_default(),
        )
    }

    fn view(&self, n: usize) -> Result<View<'_>, Error> {
        let position = self.first + n as u64;
        header::decode(position, self.body(n)?)
            .map_err(|reason| self.segment.damage(self.offsets[n].into(), position, reason).into())
    }
}

impl Block {
    /// A name that is none is damage like any other.
    fn recorded(&self, n: usize, view: &View<'_>) -> Result<Recorded, Error> {
        view.to_recorded().map_err(|e| {
            self.segment.damage(self.offsets[n].into(), view.position.get(), e.to_string()).into()
        })
    }
}

/// Header and payload of the event at the beginning of these bytes.
fn event<'a>(segment: &Segment, offset: u32, position: u64, bytes: &'a [u8]) -> Result<&'a [u8], Error> {
    let reason = match format::record(bytes, position) {
        Ok(Record::Event(body)) => return Ok(body),
        Ok(Record::Commit(_)) => "there is a commit where an event should be",
        Err(reason) => reason,
    };
    Err(segment.damage(offset.into(), position, reason).into())
}

/// A group that was made durable.
pub(crate) struct Group<'a> {
    /// Stream and record's byte of each event.
    pub(crate) events: &'a [(StreamName, u32)],
    pub(crate) tiles: &'a [Hash],
    pub(crate) head: Head,
    pub(crate) end: u32,
}

/// The segment that is written on.
pub(crate) struct LastSegment {
    pub(crate) segment: Arc<Segment>,
    /// The tree after its last whole group.
    pub(crate) frontier: tree::Frontier,
    /// Bytes of that group; empty, at the end of the header, where there is none.
    pub(crate) group: Range<u64>,
}

/// A log's index as it was found, and what is to be done about it.
pub(crate) struct Loaded {
    pub(crate) store: Store,
    /// Sealed segments without a good index file, each with the header of the next.
    pub(crate) unindexed: Vec<(Arc<Segment>, Header)>,
    pub(crate) last: Option<LastSegment>,
    /// Bytes in use in all other segments.
    pub(crate) sealed_bytes: u64,
}

/// The index and the files that it points into.
pub(crate) struct Store(RwLock<Index>);

impl Store {
    /// Indexes all segments of a directory.
    ///
    /// `known` is what the last segment holds, if it was walked over already.
    pub(crate) fn load(
        disk: &dyn Disk,
        segments: Vec<Segment>,
        mut known: Option<Contents>,
    ) -> Result<Loaded, Error> {
        let head = Head::of(&tree::Frontier::default());
        let mut index = Index { parts: Vec::new(), streams: HashMap::new(), tiles: Vec::new(), head };
        let (mut unindexed, mut last, mut sealed_bytes) = (Vec::new(), None, 0);
        let mut segments = segments.into_iter().map(Arc::new).peekable();
        while let Some(segment) = segments.next() {
            let contents = if let Some(next) = segments.peek() {
                let (contents, indexed) = segment.sealed_contents(disk, &next.header)?;
                if !indexed {
                    unindexed.push((Arc::clone(&segment), next.header.clone()));
                }
                sealed_bytes += contents.end;
                contents
            } else {
                let contents = match known.take() {
                    Some(contents) => contents,
                    None => segment.walk_last(false, &mut |_| ())?.contents,
                };
                last = Some(LastSegment {
                    segment: Arc::clone(&segment),
                    frontier: contents.frontier.clone(),
                    group: contents.last_group_start()..contents.end,
                });
                contents
            };
            index.add(&segment, contents)?;
        }
        index.streams.shrink_to_fit();
        Ok(Loaded { store: Self(RwLock::new(index)), unindexed, last, sealed_bytes })
    }

    /// Whether there is no segment at all.
    pub(crate) fn is_unstarted(&self) -> bool {
        self.0.read().parts.is_empty()
    }

    /// How many events a read of a stream would answer.
    pub(crate) fn count(&self, stream: &StreamName, from: u64, direction: Direction, limit: usize) -> usize {
        let index = self.0.read();
        let count = index.streams.get(stream).map_or(0, |s| s.0.len());
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        match direction {
            Direction::Forward => count.saturating_sub(from).min(limit),
            Direction::Backward => count.min(from.saturating_add(1)).min(limit),
        }
    }

    pub(crate) fn head(&self) -> Head {
        self.0.read().head
    }

    pub(crate) fn last_revision(&self, stream: &StreamName) -> Option<u64> {
        self.0.read().streams.get(stream).and_then(|s| (s.0.len() as u64).checked_sub(1))
    }

    /// Adds a segment that was just started.
    pub(crate) fn start(&self, segment: Arc<Segment>) {
        let end = u32::try_from(format::HEADER_BYTES).unwrap_or(u32::MAX);
        self.0.write().parts.push(Part { segment, offsets: Vec::new(), end });
    }

    /// Shows a durable group to readers.
    pub(crate) fn publish(&self, group: &Group<'_>) {
        let mut index = self.0.write();
        for (position, (stream, offset)) in (index.head.size..).zip(group.events) {
            match index.streams.get_mut(stream) {
                Some(places) => places.push(position),
                None => index.streams.entry(stream.clone()).or_default().push(position),
            }
            if let Some(part) = index.parts.last_mut() {
                part.offsets.push(*offset);
                part.end = group.end;
            }
        }
        index.tiles.extend_from_slice(group.tiles);
        index.head = group.head;
    }

    /// Reads events next to each other out of `start..end`: as many as one read takes from the front, or from the back.
    fn block(&self, start: u64, end: u64, direction: Direction) -> Result<Option<Block>, Error> {
        let (segment, first, offsets, from, to) = {
            let index = self.0.read();
            let end = end.min(index.head.size);
            if start >= end {
                return Ok(None);
            }
            let edge = if direction == Direction::Forward { start } else { end - 1 };
            let Some((part, at)) = index.part(edge) else { return Ok(None) };
            let within = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            let (mut low, mut high) = (at, at + 1);
            let (count, limit) = (within(BLOCK_EVENTS.min(end - start)), BLOCK_BYTES);
            match direction {
                Direction::Forward => {
                    let last = part.offsets.len().min(low + count);
                    while high < last && Index::bytes(part, low, high + 1).1 - part.offsets[low] <= limit {
                        high += 1;
                    }
                }
                Direction::Backward => {
                    let first = (high).saturating_sub(count);
                    let until = Index::bytes(part, low, high).1;
                    while low > first && until - part.offsets[low - 1] <= limit {
                        low -= 1;
                    }
                }
            }
            let (from, to) = Index::bytes(part, low, high);
            let first = part.segment.header.base() + low as u64;
            (Arc::clone(&part.segment), first, part.offsets[low..high].to_vec(), from, to)
        };
        let mut bytes = vec![0; (to - from) as usize];
        let n = segment.read(&mut bytes, from.into())?;
        bytes.truncate(n);
        Ok(Some(Block { segment, first, offsets, bytes }))
    }

    pub(crate) fn read_all(
        &self,
        from: Option<Position>,
        direction: Direction,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, Error> {
        let size = self.head().size;
        let (mut start, mut end) = match direction {
            Direction::Forward => (from.map_or(0, |p| p.get().saturating_add(1)), size),
            Direction::Backward => (0, from.map_or(size, |p| p.get().min(size))),
        };
        let mut page = Page { events: Vec::new(), next: from, end: false };
        let (mut looked_at, mut weight) = (0, 0);
        'page: while page.events.len() < limit && looked_at < LOOK_AT_MAX && weight < PAGE_BYTES {
            let Some(block) = self.block(start, end, direction)? else { break };
            let count = block.offsets.len();
            looked_at += count as u64;
            for n in 0..count {
                let n = if direction == Direction::Forward { n } else { count - 1 - n };
                let view = block.view(n)?;
                page.next = Some(view.position);
                match direction {
                    Direction::Forward => start = view.position.get() + 1,
                    Direction::Backward => end = view.position.get(),
                }
                if filter.matches_parts(view.stream, view.kind, || view.tags()) {
                    let event = block.recorded(n, &view)?;
                    weight += event.weight();
                    page.events.push(event);
                    if page.events.len() >= limit || weight >= PAGE_BYTES {
                        break 'page;
                    }
                }
            }
        }
        page.end = start >= end;
        Ok(page)
    }

    fn places(&self, stream: &StreamName, from: u64, direction: Direction, limit: usize) -> Vec<Place> {
        let index = self.0.read();
        let Some(places) = index.streams.get(stream) else { return Vec::new() };
        let count = places.0.len();
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let place = |revision: usize| {
            let position = places.get(revision)?;
            let (part, at) = index.part(position)?;
            let (from, to) = Index::bytes(part, at, at + 1);
            let segment = Arc::clone(&part.segment);
            Some(Place {
                position,
                revision: revision as u64,
                segment,
                offset: from,
                len: (to - from) as usize,
            })
        };
        match direction {
            Direction::Forward => (from..count).take(limit).filter_map(place).collect(),
            Direction::Backward => {
                (0..count.min(from.saturating_add(1))).rev().take(limit).filter_map(place).collect()
            }
        }
    }

    /// Reads a stream. With `cached` it answers none when that would have to wait for the disk.
    pub(crate) fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
        direction: Direction,
        limit: usize,
        cached: bool,
    ) -> Result<Option<Vec<Recorded>>, Error> {
        let places = self.places(stream, from, direction, limit);
        let mut events = Vec::with_capacity(places.len().min(1024));
        let (mut bytes, mut taken) = (Vec::new(), 0);
        for Place { position, revision, segment, offset, len } in places {
            if taken >= READ_BYTES_MAX {
                break;
            }
            bytes.resize(len, 0);
            if cached {
                if !segment.file.read_cached(&mut bytes, offset.into()) {
                    return Ok(None);
                }
            } else {
                let n = segment.read(&mut bytes, offset.into())?;
                bytes.truncate(n);
            }
            let damaged = |reason: &str| Error::from(segment.damage(offset.into(), position, reason));
            let view =
                header::decode(position, event(&segment, offset, position, &bytes)?).map_err(damaged)?;
            if view.stream != stream.as_str() {
                return Err(damaged("the event is of another stream than the index says"));
            }
            if view.revision != revision {
                return Err(damaged("the event has another revision than the index says"));
            }
            let mut event = view.to_recorded().map_err(|e| damaged(&e.to_string()))?;
            // One name for all events of the answer.
            event.stream = stream.clone();
            taken += event.weight();
            events.push(event);
        }
        Ok(Some(events))
    }

    fn leaves(&self, start: u64, end: u64) -> Result<Vec<Hash>, Error> {
        let (mut at, mut leaves) = (start, Vec::new());
        while at < end {
            let Some(block) = self.block(at, end, Direction::Forward)? else {
                return Err(Error::invalid("tree size", "is beyond the log"));
            };
            for n in 0..block.offsets.len() {
                leaves.push(tree::leaf_hash(block.body(n)?));
            }
            at += block.offsets.len() as u64;
        }
        Ok(leaves)
    }

    fn subtree(&self, start: u64, end: u64) -> Result<Hash, Error> {
        let tile = |n| self.0.read().tiles.get(usize::try_from(n).ok()?).copied();
        tree::subtree(start, end, &tile, &|a, b| self.leaves(a, b))
    }

    pub(crate) fn root_at(&self, size: u64) -> Result<Hash, Error> {
        proof_bounds(size, size, self.head().size)?;
        self.subtree(0, size)
    }

    /// What witnesses know otherwise.
    pub(crate) fn contradictions(&self, witnesses: &[Witness]) -> Result<Vec<Contradiction>, Error> {
        let size = self.head().size;
        let mut found = Vec::new();
        for witness in witnesses {
            let here = if witness.size > size { None } else { Some(self.root_at(witness.size)?) };
            if here != Some(witness.root) {
                found.push(Contradiction { witness: witness.clone(), here });
            }
        }
        Ok(found)
    }

    /// The newest head that was signed into the log. Older ones say nothing that it does not say.
    fn newest_head(&self, heads: &SignedHeads) -> Result<Option<Witness>, Error> {
        let mut before = u64::MAX;
        loop {
            let page = self.read_stream(&heads.stream, before, Direction::Backward, HEADS_PAGE, false)?;
            let page = page.unwrap_or_default();
            for event in &page {
                match (heads.read)(event) {
                    Ok(None) => {}
                    Ok(Some(witness)) => return Ok(Some(witness)),
                    Err(reason) => return Err(self.damage_at(event.position.get(), reason).into()),
                }
            }
            match page.last().and_then(|event| event.revision.checked_sub(1)) {
                Some(revision) => before = revision,
                None => return Ok(None),
            }
        }
    }

    fn damage_at(&self, position: u64, reason: String) -> Damage {
        let index = self.0.read();
        match index.part(position) {
            Some((part, at)) => part.segment.damage(part.offsets[at].into(), position, reason),
            None => format::damage(0, 0, position, reason),
        }
    }

    /// Refuses a log of which more, or something else, is known.
    pub(crate) fn hold_against(
        &self,
        dir: &str,
        witnesses: &[Witness],
        heads: Option<&SignedHeads>,
    ) -> Result<(), Error> {
        let mut all = witnesses.to_vec();
        if let Some(heads) = heads {
            all.extend(self.newest_head(heads)?);
        }
        let contradictions = self.contradictions(&all)?;
        if contradictions.is_empty() {
            return Ok(());
        }
        Err(Error::Contradicted { dir: dir.to_owned(), head: self.head(), contradictions })
    }

    pub(crate) fn inclusion_proof(&self, leaf: u64, size: u64) -> Result<Vec<Hash>, Error> {
        proof_bounds(leaf.saturating_add(1), size, self.head().size)?;
        tree::inclusion(leaf, size, &|a, b| self.subtree(a, b))
    }

    pub(crate) fn shared_proof(&self, leaves: &[u64], size: u64) -> Result<Vec<Hash>, Error> {
        let ascending = leaves.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending {
            return Err(Error::invalid("leaves", "do not ascend"));
        }
        proof_bounds(leaves.last().map_or(0, |leaf| leaf.saturating_add(1)), size, self.head().size)?;
        tree::shared(leaves, size, &|a, b| self.subtree(a, b))
    }

    pub(crate) fn consistency_proof(&self, old: u64, size: u64) -> Result<Vec<Hash>, Error> {
        proof_bounds(old, size, self.head().size)?;
        tree::consistency(old, size, &|a, b| self.subtree(a, b))
    }
}

impl Source for Store {
    const BLOCKS: bool = true;

    fn run(&self, from: u64, filter: &Filter, events: usize, bytes: usize) -> Result<Scanned, Error> {
        let (mut run, mut weight) = (Scanned { events: Vec::new(), next: from }, 0);
        while run.next - from < LOOK_AT_MAX {
            let Some(block) = self.block(run.next, u64::MAX, Direction::Forward)? else { break };
            for n in 0..block.offsets.len() {
                let view = block.view(n)?;
                run.next += 1;
                if filter.matches_parts(view.stream, view.kind, || view.tags()) {
                    let event = block.recorded(n, &view)?;
                    weight += event.weight();
                    run.events.push(event);
                    if run.events.len() >= events || weight >= bytes {
                        return Ok(run);
                    }
                }
            }
        }
        Ok(run)
    }
}
