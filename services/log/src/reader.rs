//! Reading a log's directory without its lock, while a writer may be at work, up to the last group at the time of opening that is known
//! to be synced.
//!
//! Where somebody holds the lock, that is the last group that another follows, or that the holder says is synced: one that was only
//! written can be read, and a power loss may take it away. Where nobody does, it is the last whole group.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::disk::{Access, Disk, RealDisk};
use crate::segmented::format::{self, HEADER_BYTES, Record};
use crate::segmented::layout::{Last, Layout, Segment};
use crate::segmented::store::Store;
use crate::segmented::walk::{Contents, Raw, Walk};
use crate::tree::{Frontier, Hash};
use crate::{
    Contradiction, Direction, Error, Filter, Head, Page, Position, Recorded, StreamName, View, Witness,
    header,
};

/// A log's directory, open to read.
///
/// Scanning needs nothing but this. Reading by stream or position needs an index, which the first such call loads.
pub struct Reader {
    disk: Arc<dyn Disk>,
    segments: Vec<Segment>,
    head: Head,
    /// Byte after the last whole group, in the last segment.
    end: u64,
    index: Mutex<Index>,
}

enum Index {
    /// What the last segment holds, as found on opening.
    Unloaded(Option<Contents>),
    Loaded(Arc<Store>),
}

impl Reader {
    /// Opens a directory. Reads the last segment.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let disk = RealDisk::open(dir).map_err(Error::io(format!("open {}", dir.display())))?;
        Self::open_on(Arc::new(disk))
    }

    /// Opens the log on a given disk.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_on(disk: Arc<dyn Disk>) -> Result<Self, Error> {
        let (segments, last) = beside(&*disk, |held| {
            let Layout { segments, .. } = Layout::read(&*disk, Access::Read, held)?;
            let last = segments.last().map(|s| s.walk_last(held, &mut |_| ())).transpose()?;
            Ok((segments, last))
        })?;
        let last = last.map(|last| last.contents);
        let head =
            last.as_ref().map_or_else(|| Head::of(&Frontier::default()), |last| Head::of(&last.frontier));
        let end = last.as_ref().map_or(0, |contents| contents.end);
        Ok(Self { disk, segments, head, end, index: Mutex::new(Index::Unloaded(last)) })
    }

    /// The last group at the time of opening that is known to be synced.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Goes over all events in order, with their bytes where they lie. The answer of `each` may end it early.
    ///
    /// # Errors
    /// What `each` answers; [`Error::Damaged`], [`Error::Io`].
    pub fn scan<E: From<Error>>(
        &self,
        each: impl FnMut(&View<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        self.scan_part(0, 1, each)
    }

    /// Goes over the events of one of `parts` parts of the streams, in order. A stream lies in one part whole, see [`part_of`].
    ///
    /// Checksums of other parts' events are left to whoever scans those.
    ///
    /// # Errors
    /// What `each` answers; [`Error::Damaged`], [`Error::Io`].
    pub fn scan_part<E: From<Error>>(
        &self,
        part: usize,
        parts: usize,
        mut each: impl FnMut(&View<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        for (n, segment) in self.segments.iter().enumerate() {
            let mut walk = Walk::new(&*segment.file, HEADER_BYTES);
            let mut position = segment.header.base();
            let end = self.segments.get(n + 1).map_or(self.head.size, |s| s.header.base());
            while position < end {
                let raw = walk.raw().map_err(|e| segment.unreadable(e))?;
                let (offset, bytes) = match raw {
                    Raw::Record { offset, bytes } => (offset, bytes),
                    Raw::End { offset, .. } => {
                        return Err(E::from(segment.damage(offset, position, "events are missing").into()));
                    }
                    Raw::Bad { offset, reason } => {
                        return Err(E::from(segment.damage(offset, position, reason).into()));
                    }
                };
                let damaged = |reason: &str| Error::from(segment.damage(offset, position, reason));
                if !format::is_commit(bytes) {
                    // What is too short to have a name is bad: part 0 finds it out below.
                    let name = header::stream_of(&bytes[format::FRAME..]).unwrap_or_default();
                    if part_of_bytes(name, parts) != part {
                        position += 1;
                        continue;
                    }
                }
                match format::record(bytes, position).map_err(damaged)? {
                    Record::Commit(_) => {}
                    Record::Event(body) => {
                        let view = header::decode(position, body).map_err(damaged)?;
                        position += 1;
                        if each(&view)?.is_break() {
                            return Ok(());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Goes over all events on several threads, each with its own state and its own part of the streams; answers the states.
    ///
    /// # Errors
    /// The first that any thread meets, the others run to their end; [`Error::Damaged`], [`Error::Io`].
    pub fn scan_parallel<T: Send, E: From<Error> + Send>(
        &self,
        threads: usize,
        start: impl Fn(usize) -> T + Sync,
        each: impl Fn(&mut T, &View<'_>) -> Result<(), E> + Sync,
    ) -> Result<Vec<T>, E> {
        let parts = threads.max(1);
        let run = |part| {
            let mut state = start(part);
            self.scan_part(part, parts, |view| each(&mut state, view).map(ControlFlow::Continue))?;
            Ok(state)
        };
        let run = &run;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..parts).map(|part| scope.spawn(move || run(part))).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Result<T, E>>| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            // All are joined before the first error ends it: a panic must not be swallowed behind one.
            threads.into_iter().map(join).collect::<Vec<_>>().into_iter().collect()
        })
    }

    fn store(&self) -> Result<Arc<Store>, Error> {
        let mut index = self.index.lock();
        let last = match &mut *index {
            Index::Loaded(store) => return Ok(Arc::clone(store)),
            // Cloned, since loading may fail and be tried again.
            Index::Unloaded(last) => last.clone(),
        };
        let store = Arc::new(Store::load(&*self.disk, self.segments.clone(), last)?.store);
        *index = Index::Loaded(Arc::clone(&store));
        Ok(store)
    }

    /// As [`crate::EventLog::read_stream`].
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn read_stream(
        &self,
        stream: &StreamName,
        from_revision: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        Ok(self.store()?.read_stream(stream, from_revision, direction, limit, false)?.unwrap_or_default())
    }

    /// As [`crate::EventLog::read_all`].
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn read_all(
        &self,
        from: Option<Position>,
        direction: Direction,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, Error> {
        self.store()?.read_all(from, direction, filter, limit)
    }

    /// As [`crate::EventLog::root_at`].
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Damaged`], [`Error::Io`].
    pub fn root_at(&self, size: u64) -> Result<Hash, Error> {
        self.store()?.root_at(size)
    }

    /// What is known elsewhere and not here.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn contradictions(&self, witnesses: &[Witness]) -> Result<Vec<Contradiction>, Error> {
        self.store()?.contradictions(witnesses)
    }

    /// As [`crate::EventLog::inclusion_proof`].
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Damaged`], [`Error::Io`].
    pub fn inclusion_proof(&self, leaf: u64, size: u64) -> Result<Vec<Hash>, Error> {
        self.store()?.inclusion_proof(leaf, size)
    }

    /// The nodes beside these leaves, numbers ascending, by which [`tree::shared_root`] makes the root of the tree of this size.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless all leaves are below `size <= head().size`, [`Error::Damaged`], [`Error::Io`].
    pub fn shared_proof(&self, leaves: &[u64], size: u64) -> Result<Vec<Hash>, Error> {
        self.store()?.shared_proof(leaves, size)
    }

    /// As [`crate::EventLog::consistency_proof`].
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Damaged`], [`Error::Io`].
    pub fn consistency_proof(&self, old: u64, size: u64) -> Result<Vec<Hash>, Error> {
        self.store()?.consistency_proof(old, size)
    }
}

/// Looks at a log beside whoever may hold it, as such or, while nobody does, as its only user; then leaves out the last group where
/// it is not known to be synced.
pub(crate) fn beside<T>(
    disk: &dyn Disk,
    look: impl Fn(bool) -> Result<(T, Option<Last>), Error>,
) -> Result<(T, Option<Last>), Error> {
    let holder = || disk.holder().map_err(Error::io(format!("see who holds {}", disk.name())));
    let mut held = holder()?.is_some();
    loop {
        let seen = look(held);
        // Asked again after looking: what was seen then is synced if the holder says so now.
        match holder()? {
            Some(_) if !held => held = true,
            None => return seen,
            Some(holder) => {
                let (seen, mut last) = seen?;
                if let Some(last) = &mut last
                    && holder.synced.is_none_or(|synced| synced < last.contents.frontier.size())
                {
                    last.without_last_group();
                }
                return Ok((seen, last));
            }
        }
    }
}

/// Works through `parts` parts of the streams on all cores, a part at a time each; see [`Reader::scan_part`].
///
/// # Errors
/// The first that any thread meets. Parts that were begun are finished, no other is begun.
pub fn each_part<E: Send>(parts: usize, work: impl Fn(usize) -> Result<(), E> + Sync) -> Result<(), E> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(parts);
    let next = AtomicUsize::new(0);
    let run = || -> Result<(), E> {
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                return Ok(());
            }
            if let Err(error) = work(part) {
                next.store(parts, Ordering::Relaxed);
                return Err(error);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<(), E>>| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        // All are joined before the first error ends it: a panic must not be swallowed behind one.
        threads.into_iter().map(join).collect::<Vec<_>>().into_iter().collect()
    })
}

/// Which of `parts` parts a stream belongs to.
#[must_use]
pub fn part_of(stream: &str, parts: usize) -> usize {
    part_of_bytes(stream.as_bytes(), parts)
}

fn part_of_bytes(stream: &[u8], parts: usize) -> usize {
    if parts <= 1 {
        return 0;
    }
    // Names differ in a few hex digits, often the last: a checksum spreads them over all parts.
    crc32c::crc32c(stream) as usize % parts
}
