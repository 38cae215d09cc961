//! What somebody who has the disk, this program and time could do to a log: for tests and measurements of what finds it out.
//!
//! Three degrees of skill: bytes alone; the groups that were touched made good again, checksums, size and root; everything behind
//! them made good as well, revisions, roots and segments' headers, so that the log agrees with itself and only a signed head does not.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::Error;
use crate::disk::sim::Dice;
use crate::disk::{Access, Disk, File, Holder, Identity, Lock};
use crate::segmented::format::{self, Commit, HEADER_BYTES, HEADER_LEN, Header, Record};
use crate::segmented::layout::Layout;
use crate::segmented::walk::{Raw, Walk};
use crate::tree::{self, Frontier};

/// A log's files in memory, to read. Copies share what neither changes.
#[derive(Debug, Clone, Default)]
pub struct Files(BTreeMap<String, Arc<Vec<u8>>>);

impl Files {
    /// Takes a copy of a directory's segments.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn copy(disk: &dyn Disk) -> Result<Self, Error> {
        let copy = || {
            let mut files = BTreeMap::new();
            for name in disk.list()?.into_iter().filter(|name| format::segment_ordinal(name).is_some()) {
                let file = disk.open(&name, Access::Read)?;
                let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
                let n = file.read_at(&mut bytes, 0)?;
                bytes.truncate(n);
                files.insert(name, Arc::new(bytes));
            }
            Ok(Self(files))
        };
        copy().map_err(Error::io(format!("copy {}", disk.name())))
    }

    fn bytes(&mut self, segment: u64) -> &mut Vec<u8> {
        Arc::make_mut(self.0.entry(format::segment_name(segment)).or_default())
    }
}

impl Disk for Files {
    fn name(&self) -> String {
        "a copy in memory".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        match self.0.get(name) {
            Some(bytes) if access == Access::Read => Ok(Arc::new(Bytes(Arc::clone(bytes)))),
            Some(_) => Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem)),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<Arc<dyn Lock>> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }

    fn holder(&self) -> io::Result<Option<Holder>> {
        Ok(None)
    }
}

struct Bytes(Arc<Vec<u8>>);

impl File for Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let there = self.0.get(from..).unwrap_or_default();
        let n = there.len().min(buffer.len());
        buffer[..n].copy_from_slice(&there[..n]);
        Ok(n)
    }

    fn read_cached(&self, _: &mut [u8], _: u64) -> bool {
        false
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn identity(&self) -> io::Result<Identity> {
        Ok(Identity(0, 0))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// Ways to tamper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// One bit of one byte is another.
    Flip,
    /// An event is taken out.
    Drop,
    /// Two events change places.
    Swap,
    /// The log is cut off, with or without the segments behind the cut.
    Truncate,
    /// An event's payload is another.
    Rewrite,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Flip, Self::Drop, Self::Swap, Self::Truncate, Self::Rewrite];
}

/// How much is made good again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skill {
    /// Nothing.
    Bytes,
    /// Checksums, size and root of the groups that were touched.
    Groups,
    /// Everything to the end of the log.
    Everything,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tampering {
    /// How.
    pub way: Way,
    /// How well.
    pub skill: Skill,
    /// Position of the first event that is not what and where it was; where a commit, a header or what lies behind the last group was
    /// touched, of the next one.
    pub position: u64,
    /// File and byte of the record that no longer fits, where that is one.
    pub place: Option<(String, u64)>,
}

/// A group as it lies in its segment.
#[derive(Debug, Clone)]
struct Group {
    segment: u64,
    first: u64,
    /// Bytes in the file, commit included.
    range: Range<usize>,
    /// Byte of each event's record.
    events: Vec<usize>,
    commit: usize,
    /// The tree before it.
    before: Frontier,
    bodies: Vec<Vec<u8>>,
}

impl Group {
    fn end(&self) -> u64 {
        self.first + self.bodies.len() as u64
    }
}

/// A log that will be tampered with: what lies where.
#[derive(Debug, Clone)]
pub struct Target {
    files: Files,
    groups: Vec<Group>,
}

impl Target {
    /// Looks at a log that is whole.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn new(files: Files) -> Result<Self, Error> {
        let (mut groups, mut frontier) = (Vec::new(), Frontier::default());
        for segment in Layout::read(&files, Access::Read, false)?.segments {
            let mut walk = Walk::new(&*segment.file, HEADER_BYTES);
            let mut group: Option<Group> = None;
            loop {
                let position = frontier.size();
                let (offset, bytes) = match walk.raw().map_err(|e| segment.unreadable(e))? {
                    Raw::Record { offset, bytes } => (at(offset), bytes),
                    Raw::End { .. } => break,
                    Raw::Bad { offset, reason } => {
                        return Err(segment.damage(offset, position, reason).into());
                    }
                };
                let damaged = |reason: &str| Error::from(segment.damage(offset as u64, position, reason));
                let open = group.get_or_insert_with(|| Group {
                    segment: segment.header.ordinal,
                    first: position,
                    range: offset..offset,
                    events: Vec::new(),
                    commit: offset,
                    before: frontier.clone(),
                    bodies: Vec::new(),
                });
                open.range.end = offset + bytes.len();
                match format::record(bytes, position).map_err(damaged)? {
                    Record::Event(body) => {
                        open.events.push(offset);
                        open.bodies.push(body.to_vec());
                        frontier.push(tree::leaf_hash(body));
                    }
                    Record::Commit(_) => {
                        open.commit = offset;
                        groups.extend(group.take());
                    }
                }
            }
        }
        Ok(Self { files, groups })
    }

    /// The files as they are.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Where each group lies: file and bytes, and how many events there are with it.
    #[must_use]
    pub fn groups(&self) -> Vec<(String, Range<u64>, u64)> {
        let range = |group: &Group| group.range.start as u64..group.range.end as u64;
        let place = |group: &Group| (format::segment_name(group.segment), range(group), group.end());
        self.groups.iter().map(place).collect()
    }

    /// Tampers with a copy, somewhere among the first `below` events, of which the log has more than two.
    #[must_use]
    pub fn tampered(&self, way: Way, skill: Skill, below: u64, dice: &mut Dice) -> (Files, Tampering) {
        let below = below.min(self.groups.last().map_or(0, Group::end));
        match way {
            Way::Flip => self.flip(below, dice),
            Way::Truncate => self.truncate(below, dice),
            Way::Drop => {
                let victim = dice.below(below);
                self.change(way, skill, victim, None, |groups| {
                    let (group, event) = find(groups, victim);
                    drop(groups[group].remove(event));
                })
            }
            Way::Swap => {
                let (one, two) = (dice.below(below), dice.below(below - 1));
                let (one, two) = if two >= one { (one, two + 1) } else { (two, one) };
                self.change(way, skill, one, Some(two), |groups| {
                    let ((a, b), (c, d)) = (find(groups, one), find(groups, two));
                    let taken = std::mem::take(&mut groups[a][b]);
                    let other = std::mem::replace(&mut groups[c][d], taken);
                    groups[a][b] = other;
                })
            }
            Way::Rewrite => {
                let (victim, byte, bit) = (dice.below(below), dice.roll(), dice.below(8));
                self.change(way, skill, victim, None, |groups| {
                    let (group, event) = find(groups, victim);
                    let body = &mut groups[group][event];
                    // Of an event without a payload the last byte of what surrounds it.
                    let payload =
                        crate::header::decode(victim, body).map_or(0, |view| view.payload.len()).max(1);
                    let at = body.len() - 1 - at(byte % payload as u64);
                    body[at] ^= 1 << bit;
                })
            }
        }
    }

    fn group_of(&self, position: u64) -> (usize, &Group) {
        let n = self.groups.partition_point(|group| group.end() <= position);
        (n, &self.groups[n])
    }

    /// A place in the bytes that `below` events need: record, commit or header, as it is to be found again.
    fn somewhere(&self, below: u64, dice: &mut Dice) -> (u64, usize, u64, u64) {
        let needed = &self.groups[..=self.group_of(below - 1).0];
        let headers = needed.last().map_or(0, |group| group.segment) + 1;
        let total = headers * HEADER_BYTES + needed.iter().map(|group| group.range.len() as u64).sum::<u64>();
        let mut byte = dice.below(total);
        if byte < headers * HEADER_BYTES {
            let segment = byte / HEADER_BYTES;
            let base =
                self.groups.iter().find(|group| group.segment == segment).map_or(0, |group| group.first);
            return (segment, at(byte % HEADER_BYTES), base, 0);
        }
        byte -= headers * HEADER_BYTES;
        for group in needed {
            if byte >= group.range.len() as u64 {
                byte -= group.range.len() as u64;
                continue;
            }
            let byte = group.range.start + at(byte);
            let event = group.events.partition_point(|&start| start <= byte) - 1;
            let (position, start) = if byte >= group.commit {
                (group.end(), group.commit)
            } else {
                (group.first + event as u64, group.events[event])
            };
            return (group.segment, byte, position, start as u64);
        }
        unreachable!("the byte lies in one of the groups")
    }

    fn flip(&self, below: u64, dice: &mut Dice) -> (Files, Tampering) {
        let (segment, byte, position, start) = self.somewhere(below, dice);
        let mut files = self.files.clone();
        files.bytes(segment)[byte] ^= 1 << dice.below(8);
        let place = Some((format::segment_name(segment), start));
        (files, Tampering { way: Way::Flip, skill: Skill::Bytes, position, place })
    }

    fn truncate(&self, below: u64, dice: &mut Dice) -> (Files, Tampering) {
        let (segment, byte, position, _) = self.somewhere(below, dice);
        let mut files = self.files.clone();
        files.bytes(segment).truncate(byte);
        if dice.below(2) == 0 {
            let name = format::segment_name(segment);
            files.0.retain(|known, _| *known <= name);
        }
        (files, Tampering { way: Way::Truncate, skill: Skill::Bytes, position, place: None })
    }

    fn change(
        &self,
        way: Way,
        skill: Skill,
        one: u64,
        two: Option<u64>,
        edit: impl FnOnce(&mut Vec<Vec<Vec<u8>>>),
    ) -> (Files, Tampering) {
        let mut bodies: Vec<_> = self.groups.iter().map(|group| group.bodies.clone()).collect();
        edit(&mut bodies);
        let touched: Vec<_> =
            [Some(one), two].into_iter().flatten().map(|event| self.group_of(event).0).collect();
        let (group, lies) = self.group_of(one);
        let place = (format::segment_name(lies.segment), lies.events[at(one - lies.first)] as u64);
        let files = match skill {
            Skill::Bytes => self.raw(&bodies, &touched),
            Skill::Groups => self.made_good(&bodies, &touched),
            Skill::Everything => self.made_anew(bodies),
        };
        let place = (skill == Skill::Bytes).then_some(place);
        debug_assert!(group < self.groups.len());
        (files, Tampering { way, skill, position: one, place })
    }

    /// Records keep the frames that they had: of an event that is another, or stands elsewhere, nothing is made good.
    fn raw(&self, bodies: &[Vec<Vec<u8>>], touched: &[usize]) -> Files {
        // Events by their id, which nothing here changes.
        let id = |body: &[u8]| body[12..28].to_vec();
        let mut frames = HashMap::new();
        for group in touched.iter().map(|&n| &self.groups[n]) {
            let file = &self.files.0[&format::segment_name(group.segment)];
            for (body, &start) in group.bodies.iter().zip(&group.events) {
                frames.insert(id(body), &file[start..start + format::FRAME]);
            }
        }
        self.with_groups(touched, |n, group| {
            let mut out = Vec::new();
            for body in &bodies[n] {
                let start = out.len();
                out.extend_from_slice(frames[&id(body)]);
                out.extend_from_slice(body);
                out.resize(start + format::padded(body.len()), 0);
            }
            out.extend_from_slice(
                &self.files.0[&format::segment_name(group.segment)][group.commit..group.range.end],
            );
            out
        })
    }

    /// The groups that were touched are good again, each for itself.
    fn made_good(&self, bodies: &[Vec<Vec<u8>>], touched: &[usize]) -> Files {
        self.with_groups(touched, |n, group| {
            let mut frontier = group.before.clone();
            let mut out = Vec::new();
            encode_group(&bodies[n], &mut frontier, group.range.start as u64, &mut out);
            out
        })
    }

    /// Puts other bytes where groups lie; what follows in the segment moves.
    fn with_groups(&self, touched: &[usize], encode: impl Fn(usize, &Group) -> Vec<u8>) -> Files {
        let mut files = self.files.clone();
        let mut touched = touched.to_vec();
        touched.sort_unstable();
        touched.dedup();
        // From behind, so that what lies before stays where it is.
        for n in touched.into_iter().rev() {
            let group = &self.groups[n];
            let bytes = files.bytes(group.segment);
            let length = bytes.len();
            bytes.splice(group.range.clone(), encode(n, group));
            if bytes.len() < length {
                bytes.resize(length, 0);
            }
        }
        files
    }

    /// The whole log is written again as if it had always been so.
    fn made_anew(&self, mut bodies: Vec<Vec<Vec<u8>>>) -> Files {
        let mut revisions: HashMap<Vec<u8>, u64> = HashMap::new();
        for body in bodies.iter_mut().flatten() {
            let name = crate::header::stream_of(body).unwrap_or_default().to_vec();
            let next = revisions.entry(name).or_default();
            crate::header::renumber(body, *next);
            *next += 1;
        }
        let (mut files, mut frontier) = (self.files.clone(), Frontier::default());
        let mut started = None;
        for (group, bodies) in self.groups.iter().zip(&bodies) {
            let bytes = files.bytes(group.segment);
            if started != Some(group.segment) {
                started = Some(group.segment);
                bytes.truncate(HEADER_LEN);
                bytes[..]
                    .copy_from_slice(&Header { ordinal: group.segment, frontier: frontier.clone() }.encode());
            }
            let start = bytes.len() as u64;
            encode_group(bodies, &mut frontier, start, bytes);
        }
        files
    }
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Where an event stands among groups.
fn find(groups: &[Vec<Vec<u8>>], position: u64) -> (usize, usize) {
    let mut left = at(position);
    for (n, group) in groups.iter().enumerate() {
        if left < group.len() {
            return (n, left);
        }
        left -= group.len();
    }
    unreachable!("the event lies in one of the groups")
}

/// Writes a group as the log does; none where it holds nothing any more.
fn encode_group(bodies: &[Vec<u8>], frontier: &mut Frontier, start: u64, out: &mut Vec<u8>) {
    let first = frontier.size();
    for body in bodies {
        let record = format::begin(out);
        out.extend_from_slice(body);
        format::finish(out, record);
        format::stamp(&mut out[record..], frontier.size());
        frontier.push(tree::leaf_hash(body));
    }
    if !bodies.is_empty() {
        Commit { first, size: frontier.size(), root: frontier.root(), start }.encode(out);
    }
}
