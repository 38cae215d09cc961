//! The log on disk: segments of records, written by one thread in groups.
//!
//! A group is one write and one sync. It ends with a commit that carries the root of the tree, never spans segments, and the next one
//! is not written before it is durable. So there is at most one group that is not whole, at the very end, and it was never acknowledged.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};

pub(crate) mod format;
mod index_file;
pub(crate) mod layout;
mod planted;
mod recover;
mod reserve;
pub(crate) mod store;
mod survey;
pub(crate) mod walk;
mod writer;

use self::format::{COMMIT_BYTES, HEADER_BYTES, Header};
use self::layout::{Layout, Segment};
pub use self::planted::Planted;
use self::reserve::{Reserver, Watch};
use self::store::{LastSegment, Store};
use self::writer::{Current, Request, Writer};
use crate::disk::{Access, Disk, RealDisk};
use crate::hub::{Bounds, Hub};
use crate::memory::check_append;
use crate::tree::{Frontier, Hash};
use crate::{
    APPEND_BYTES_MAX, Appended, Direction, Error, EventLog, Expected, Filter, Head, NewEvent, Page, Position,
    Recorded, SignedHeads, StreamName, Subscription, Witness,
};

/// What is called when the disk fails under a group. In production it does not return.
pub type Fatal = Arc<dyn Fn(&Error) + Send + Sync>;

/// Most events of a stream that are read on the caller's thread when they are cached.
const INLINE_EVENTS: usize = 64;

/// How a segmented log behaves.
#[derive(Clone)]
pub struct Options {
    /// Length of the first segments, in bytes.
    pub segment_bytes_min: u64,
    /// Length that segments grow to with the log, in bytes; at most 1 GiB.
    pub segment_bytes_max: u64,
    /// Bytes after which a group takes no further append.
    pub group_bytes_max: usize,
    /// Appends that may wait for the writer; further ones wait to be queued.
    pub queue_max: usize,
    /// Bytes that these may have together, as they are stored; further ones wait to be queued, and are not encoded before.
    pub queue_bytes_max: usize,
    /// Events kept in memory for subscribers that follow the log.
    pub live_events_max: usize,
    /// Called when writing or syncing reserved space fails: what is durable is unknown then, so the process must end. The default
    /// logs the error and aborts. Where it returns, as in tests, nothing is acknowledged any more.
    pub fatal: Fatal,
    /// What is known of the log elsewhere. A log that is shorter, or has another root, is not opened.
    pub witnesses: Vec<Witness>,
    /// How the log's own signed heads are found. A log that is not what the newest says is not opened.
    pub heads: Option<SignedHeads>,
    /// A fault that is planted for the harness of crashes to find; without the feature `planted` it does nothing.
    #[doc(hidden)]
    pub planted: Option<Planted>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes_min: 4 << 20,
            segment_bytes_max: 256 << 20,
            group_bytes_max: 1 << 20,
            queue_max: 4096,
            queue_bytes_max: 64 << 20,
            live_events_max: 16 * 1024,
            fatal: Arc::new(|error| {
                tracing::error!(%error, source = ?std::error::Error::source(error), "the disk of the log failed: aborting");
                std::process::abort();
            }),
            witnesses: Vec::new(),
            heads: None,
            planted: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("segment_bytes_max", &self.segment_bytes_max).finish_non_exhaustive()
    }
}

impl Options {
    /// Length of the next segment: a sixteenth of the log, so that neither a small log wastes space nor a large one has many files.
    fn segment_len(&self, log_bytes: u64) -> u64 {
        let max = self.segment_bytes_max.min(1 << 30);
        let min = self.segment_bytes_min.max(2 * HEADER_BYTES).min(max);
        (log_bytes / 16).next_power_of_two().clamp(min, max)
    }

    /// Most bytes that one group has.
    pub(crate) fn reach(&self) -> u64 {
        // An earlier run may have made larger ones: at least as large as they are by default.
        (self.group_bytes_max.max(1 << 20) + APPEND_BYTES_MAX + COMMIT_BYTES) as u64
    }
}

/// The log on disk.
pub struct SegmentedLog {
    store: Arc<Store>,
    hub: Arc<Hub>,
    queue: Mutex<Option<mpsc::Sender<Request>>>,
    /// A permit for each byte that may be queued.
    room: Arc<Semaphore>,
    room_max: usize,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl SegmentedLog {
    /// Opens the log in a directory to write, or makes one. Reads at least the last segment: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process writes to it, [`Error::Damaged`] when what was durable is not what was written,
    /// [`Error::Contradicted`] when a witness or a signed head knows more or otherwise, [`Error::Full`] when there is no space for the first segment, [`Error::Io`].
    pub fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let disk = RealDisk::create(dir).map_err(Error::io(format!("open {}", dir.display())))?;
        let disk: Arc<dyn Disk> = Arc::new(disk);
        Self::open_on(&disk, options)
    }

    /// Opens the log on a given disk.
    ///
    /// # Errors
    /// As [`SegmentedLog::open`].
    pub fn open_on(disk: &Arc<dyn Disk>, options: Options) -> Result<Self, Error> {
        let lock = disk.lock().map_err(|e| match e.kind() {
            std::io::ErrorKind::WouldBlock => Error::Locked { dir: disk.name(), holder: e.to_string() },
            _ => Error::io(format!("lock {}", disk.name()))(e),
        })?;
        let layout = Layout::read(&**disk, Access::Write, false)?;
        let mut known = None;
        if options.has(Planted::ZerosAreTheEnd)
            && let Some(last) = layout.segments.last()
        {
            let walked = walk::Contents::walk(&*last.file, &last.header, &mut |_| ());
            let (contents, stop) = walked.map_err(|e| last.unreadable(e))?;
            known = (stop.ending == walk::Ending::Border).then_some(contents);
        }
        let loaded = Store::load(&**disk, layout.segments, known)?;
        loaded.store.hold_against(&disk.name(), &options.witnesses, options.heads.as_ref())?;
        // Nothing is changed before all of it is found good.
        for (_, name) in &layout.unstarted {
            // Made ahead by an earlier run: whether all of its zeros are durable, nobody knows.
            disk.remove(name).map_err(Error::io(format!("remove {name}")))?;
        }
        disk.sync_dir().map_err(Error::io(format!("sync the names in {}", disk.name())))?;
        let reserver =
            Reserver::start(Arc::clone(disk), Watch::new(Arc::clone(&lock), Fatal::clone(&options.fatal)))?;
        let (current, frontier) = match loaded.last {
            Some(LastSegment { segment, frontier, group }) => {
                let doing = || Error::io(format!("write the end of {} again", segment.name()));
                survey::settle(&segment, group.clone(), &options).map_err(doing())?;
                let len = segment.file.len().map_err(doing())?;
                (Current::new(Arc::clone(&segment), group.end, len).map_err(doing())?, frontier)
            }
            None => Self::first_segment(&reserver, &options)?,
        };
        if loaded.store.is_unstarted() {
            loaded.store.start(Arc::clone(&current.segment));
        }
        let next = current.segment.header.ordinal + 1;
        reserver.want(next, options.segment_len(loaded.sealed_bytes));
        reserver.used(current.offset);
        for (segment, next) in loaded.unindexed {
            reserver.sealed(segment, next, None);
        }
        let store = Arc::new(loaded.store);
        let bounds = Bounds { events: options.live_events_max, ..Bounds::default() };
        let hub = Arc::new(Hub::new(frontier.size(), bounds));
        let (sender, queue) = mpsc::channel(options.queue_max.max(1));
        let room_max = options.queue_bytes_max.clamp(1, Semaphore::MAX_PERMITS);
        let sealed_bytes = loaded.sealed_bytes;
        let (store_, hub_) = (Arc::clone(&store), Arc::clone(&hub));
        let mut writer = Writer {
            store: store_,
            hub: hub_,
            reserver,
            options,
            current,
            frontier,
            sealed_bytes,
            lock,
            silent: false,
        };
        writer.announce(writer.frontier.size());
        let writer = std::thread::Builder::new()
            .name("log-write".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(Error::io("start the thread that writes"))?;
        let room = Arc::new(Semaphore::new(room_max));
        let (queue, writer) = (Mutex::new(Some(sender)), Mutex::new(Some(writer)));
        Ok(Self { store, hub, queue, room, room_max, writer })
    }

    fn first_segment(reserver: &Reserver, options: &Options) -> Result<(Current, Frontier), Error> {
        let spare = reserver.take(0, options.segment_len(0)).ok_or(Error::Full)?;
        let header = Header { ordinal: 0, frontier: Frontier::default() };
        let starting = || Error::io("start the first segment");
        spare.file.write_at(&header.encode(), 0).map_err(starting())?;
        spare.file.sync().map_err(starting())?;
        let segment = Arc::new(Segment { header, file: spare.file });
        let current = Current::new(segment, HEADER_BYTES, spare.len).map_err(starting())?;
        Ok((current, Frontier::default()))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || read(&store))
            .await
            .map_err(|e| Error::io("read the log")(std::io::Error::other(e)))?
    }
}

impl Drop for SegmentedLog {
    /// Waits for the writer, so that the lock is free and everything handed over is written when this returns.
    fn drop(&mut self) {
        *self.queue.get_mut() = None;
        if let Some(writer) = self.writer.get_mut().take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes the log panicked");
        }
    }
}

#[async_trait]
impl EventLog for SegmentedLog {
    async fn append(
        &self,
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, Error> {
        let queue = self.queue.lock().clone().ok_or(Error::Closed)?;
        let bytes = check_append(stream, &events)?;
        // An append larger than all the room there is takes all of it.
        let permits = u32::try_from(bytes.min(self.room_max)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| Error::Closed)?;
        let (request, answer) = Request::new(stream, expected, events, bytes, room);
        queue.send(request).await.map_err(|_| Error::Closed)?;
        // Not held while waiting for the answer: the writer ends when all senders are gone.
        drop(queue);
        answer.await.map_err(|_| Error::Closed)?
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from_revision: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        // Most streams are short and in the page cache: handing them to another thread would cost more than reading them.
        if self.store.count(stream, from_revision, direction, limit) <= INLINE_EVENTS
            && let Some(events) = self.store.read_stream(stream, from_revision, direction, limit, true)?
        {
            return Ok(events);
        }
        let stream = stream.clone();
        self.blocking(move |store| {
            let events = store.read_stream(&stream, from_revision, direction, limit, false)?;
            Ok(events.unwrap_or_default())
        })
        .await
    }

    async fn read_all(
        &self,
        from: Option<Position>,
        direction: Direction,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, Error> {
        let filter = filter.clone();
        self.blocking(move |store| store.read_all(from, direction, &filter, limit)).await
    }

    async fn subscribe(&self, after: Option<Position>, filter: Filter) -> Result<Subscription, Error> {
        self.hub.subscribe(Arc::clone(&self.store), after, filter)
    }

    fn head(&self) -> Head {
        self.store.head()
    }

    async fn root_at(&self, size: u64) -> Result<Hash, Error> {
        self.blocking(move |store| store.root_at(size)).await
    }

    async fn inclusion_proof(&self, leaf: u64, size: u64) -> Result<Vec<Hash>, Error> {
        self.blocking(move |store| store.inclusion_proof(leaf, size)).await
    }

    async fn consistency_proof(&self, old: u64, size: u64) -> Result<Vec<Hash>, Error> {
        self.blocking(move |store| store.consistency_proof(old, size)).await
    }

    async fn close(&self) -> Result<(), Error> {
        *self.queue.lock() = None;
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            let joined = tokio::task::spawn_blocking(move || writer.join().is_err()).await;
            if joined.unwrap_or(true) {
                tracing::error!("the thread that writes the log panicked");
            }
        }
        Ok(())
    }
}
