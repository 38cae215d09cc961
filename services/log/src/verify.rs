//! Reading everything again, and checking all that can be checked without a signed head from elsewhere.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::disk::{Access, Disk, RealDisk};
use crate::reader::beside;
use crate::segmented::format::{self, HEADER_BYTES, Record};
use crate::segmented::layout::{Last, Layout, Segment};
use crate::segmented::walk::{Contents, Raw, Walk};
use crate::tree::Frontier;
use crate::{Damage, Error, Head, Position, View, header};

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether everything is as it was written.
    pub ok: bool,
    /// Events in whole segments before any damage.
    pub events: u64,
    /// Groups in the same.
    pub groups: u64,
    /// Bytes in the same, headers of segments included.
    pub bytes: u64,
    /// Size and root of the tree over these events.
    pub head: Head,
    /// The first place that is not as it was written.
    pub damage: Option<Damage>,
    /// Where the log ends, and what lies there that is no whole group: nothing, a group that is being written or never was
    /// acknowledged, or what is left of one. Only a head that was kept elsewhere tells which. None where there is damage before.
    pub end: Option<Damage>,
}

/// How far a verification is, in bytes: done, and in all (an estimate, since the last segment may be used in part).
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Reads all of a log's directory again, on several threads: checksums, headers, dense revisions in every stream, size and root of the
/// tree in every commit, and index files against the segments that they are of. Takes no lock; a writer may be at work.
///
/// # Errors
/// [`Error::Io`]. Damage is no error but part of the report.
pub fn verify(dir: &Path, threads: usize, progress: Progress<'_>) -> Result<Report, Error> {
    let disk = RealDisk::open(dir).map_err(Error::io(format!("open {}", dir.display())))?;
    let disk: Arc<dyn Disk> = Arc::new(disk);
    verify_on(&disk, threads, progress)
}

/// Verifies the log on a given disk.
///
/// # Errors
/// As [`verify`].
pub fn verify_on(disk: &Arc<dyn Disk>, threads: usize, progress: Progress<'_>) -> Result<Report, Error> {
    let (mut seen, last) = beside(&**disk, |held| look(&**disk, held, threads, progress))?;
    let Seen { merge, broken, index, segments } = &mut seen;
    if let (None, Some(last)) = (&merge.error, last) {
        let n = segments.len() - 1;
        merge.report.end = Some(last.tail.unwrap_or_else(|| {
            segments[n].damage(last.contents.end, last.contents.frontier.size(), "the log ends here")
        }));
        merge.add(segments, n, Ok(last.contents));
    }
    let Merge { mut report, error, .. } = std::mem::take(merge);
    match error {
        None => {
            progress(report.bytes, report.bytes);
            report.end.get_or_insert_with(|| format::damage(0, 0, 0, "there is no segment"));
            report.damage = broken.take().map(|broken| {
                // What is there cannot say which event should be.
                Damage { position: Position::new(report.head.size), ..broken }
            });
        }
        Some(Error::Damaged(damage)) => report.damage = Some(damage),
        Some(error) => return Err(error),
    }
    // Events come first: what they are found by is made again from them.
    report.damage = report.damage.or(index.take());
    report.ok = report.damage.is_none();
    if !report.ok {
        report.end = None;
    }
    Ok(report)
}

/// All but the last segment, put together.
struct Seen {
    merge: Merge,
    /// What is wrong behind the segments that follow each other.
    broken: Option<Damage>,
    /// The first index file that is not as it was written.
    index: Option<Damage>,
    segments: Vec<Segment>,
}

fn look(
    disk: &dyn Disk,
    held: bool,
    threads: usize,
    progress: Progress<'_>,
) -> Result<(Seen, Option<Last>), Error> {
    let (Layout { segments, .. }, broken) = Layout::read_sound(disk, Access::Read, held)?;
    let mut total = 0;
    for segment in &segments {
        total += segment.file.len().map_err(Error::io(format!("read {}", segment.name())))?;
    }
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let merge = Mutex::new(Merge::default());
    let (last, index) = (Mutex::new(None), Mutex::new(None::<Damage>));
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(segment) = segments.get(n) else { return };
            let mut counted = 0;
            let mut step = |offset: u64| {
                if offset - counted >= 1 << 20 {
                    let done = done.fetch_add(offset - counted, Ordering::Relaxed) + (offset - counted);
                    counted = offset;
                    progress(done, total);
                }
            };
            let walked = match segments.get(n + 1) {
                Some(next) => segment.walk_sealed(&next.header, &mut step).and_then(|contents| {
                    if let Some(damage) = segment.check_index(disk, &next.header, &contents)? {
                        let mut worst = index.lock();
                        if worst.as_ref().is_none_or(|known| known.position > damage.position) {
                            *worst = Some(damage);
                        }
                    }
                    Ok(contents)
                }),
                None => match segment.walk_last(held, &mut step) {
                    Ok(found) => {
                        *last.lock() = Some(found);
                        return;
                    }
                    Err(error) => Err(error),
                },
            };
            if !merge.lock().add(&segments, n, walked) {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, segments.len().max(1)) {
            scope.spawn(work);
        }
    });
    let (merge, index) = (merge.into_inner(), index.into_inner());
    Ok((Seen { merge, broken, index, segments }, last.into_inner()))
}

/// Where an event's record starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace {
    /// Number of the segment.
    pub segment: u64,
    /// Byte in its file.
    pub offset: u64,
}

impl RecordPlace {
    /// File name of the segment.
    #[must_use]
    pub fn file(&self) -> String {
        format::segment_name(self.segment)
    }
}

/// Goes over the events below a position, in order, as far as they can be read, whatever lies behind them: what a damaged log holds
/// before its damage. Looks at no commit. Answers the first place that cannot be read, where there is one before.
///
/// # Errors
/// What `each` answers; [`Error::Io`].
pub fn scan_sound<E: From<Error>>(
    disk: &dyn Disk,
    below: u64,
    mut each: impl FnMut(&View<'_>, RecordPlace) -> Result<ControlFlow<()>, E>,
) -> Result<Option<Damage>, E> {
    let holder = disk.holder().map_err(Error::io(format!("see who holds {}", disk.name())))?;
    let (Layout { segments, .. }, broken) = Layout::read_sound(disk, Access::Read, holder.is_some())?;
    let mut position = 0;
    for (n, segment) in segments.iter().enumerate() {
        let end = segments.get(n + 1).map_or(below, |next| next.header.base().min(below));
        let mut walk = Walk::new(&*segment.file, HEADER_BYTES);
        position = segment.header.base();
        while position < end {
            let (offset, bytes) = match walk.raw().map_err(|e| segment.unreadable(e))? {
                Raw::Record { offset, bytes } => (offset, bytes),
                Raw::End { offset, .. } => {
                    return Ok(Some(segment.damage(offset, position, "events are missing")));
                }
                Raw::Bad { offset, reason } => return Ok(Some(segment.damage(offset, position, reason))),
            };
            let read = format::record(bytes, position).and_then(|record| match record {
                Record::Commit(_) => Ok(None),
                Record::Event(body) => header::decode(position, body).map(Some),
            });
            match read {
                Ok(None) => {}
                Ok(Some(view)) => {
                    position += 1;
                    let place = RecordPlace { segment: segment.header.ordinal, offset };
                    if each(&view, place)?.is_break() {
                        return Ok(None);
                    }
                }
                Err(reason) => return Ok(Some(segment.damage(offset, position, reason))),
            }
        }
    }
    Ok(broken.filter(|_| position < below))
}

impl Report {
    fn empty() -> Self {
        let head = Head::of(&Frontier::default());
        Self { ok: true, events: 0, groups: 0, bytes: 0, head, damage: None, end: None }
    }
}

/// Puts what was found in segments, which come in any order, together in theirs.
struct Merge {
    waiting: HashMap<usize, Result<Contents, Error>>,
    next: usize,
    /// Number of events of each stream so far.
    streams: HashMap<Box<str>, u64>,
    report: Report,
    error: Option<Error>,
}

impl Default for Merge {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            next: 0,
            streams: HashMap::new(),
            report: Report::empty(),
            error: None,
        }
    }
}

impl Merge {
    /// Takes a segment; answers whether to go on.
    fn add(&mut self, segments: &[Segment], n: usize, walked: Result<Contents, Error>) -> bool {
        self.waiting.insert(n, walked);
        while self.error.is_none()
            && let Some(walked) = self.waiting.remove(&self.next)
        {
            let segment = &segments[self.next];
            self.next += 1;
            if let Err(error) = walked.and_then(|contents| self.follow(segment, contents)) {
                self.error = Some(error);
            }
        }
        self.error.is_none()
    }

    fn follow(&mut self, segment: &Segment, contents: Contents) -> Result<(), Error> {
        let size = contents.frontier.size();
        for (name, run) in contents.streams {
            let count = self.streams.get(&name).copied().unwrap_or(0);
            if count != run.first_revision {
                let place = run.places.first().copied().unwrap_or(0);
                let offset = contents.offsets.get(place as usize).copied().unwrap_or(0);
                let reason =
                    format!("{name} goes on with revision {} instead of {count}", run.first_revision);
                return Err(segment.damage(offset.into(), contents.base + u64::from(place), reason).into());
            }
            self.streams.insert(name, count + run.places.len() as u64);
        }
        self.report.events = size;
        self.report.groups += contents.groups;
        self.report.bytes += contents.end;
        self.report.head = Head::of(&contents.frontier);
        Ok(())
    }
}
