//! Space ahead of the writer: the next segment is claimed at once and filled with zeros as the writer goes on, twice as fast as it, so
//! that it is ready when half of the current one is used. Overwriting zeros needs no metadata in a sync; filling unpaced stalls the
//! writer's syncs by 100 ms. The same thread makes index files of sealed segments, which are not urgent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::format::{self, HEADER_BYTES, Header};
use super::layout::Segment;
use super::{Fatal, index_file};
use crate::Error;
use crate::disk::{Access, Disk, File, Lock};

const CHUNK: u64 = 1 << 20;
/// How often it is looked whether the directory is still there while nothing is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A segment's file full of durable zeros under a durable name.
pub(crate) struct Spare {
    pub(crate) ordinal: u64,
    pub(crate) file: Arc<dyn File>,
    pub(crate) len: u64,
}

/// A sealed segment whose index file is missing.
struct Sealed {
    segment: Arc<Segment>,
    next: Header,
    /// Byte after its last group, if the file may be cut there.
    end: Option<u64>,
}

#[derive(Default)]
struct State {
    /// The spare to make: ordinal and length.
    wanted: Option<(u64, u64)>,
    ready: Option<Spare>,
    /// Bytes of the current segment that the writer has used.
    used: u64,
    /// Whether the writer waits.
    hurry: bool,
    /// Why the last attempt failed; the next one starts when the writer asks again.
    failed: Option<Error>,
    sealed: VecDeque<Sealed>,
    stop: bool,
}

/// What this thread looks at while it has nothing to do.
pub(crate) struct Watch {
    lock: Arc<dyn Lock>,
    fatal: Fatal,
    /// Whether it was found missing, and that was said.
    lost: bool,
}

impl Watch {
    pub(crate) fn new(lock: Arc<dyn Lock>, fatal: Fatal) -> Self {
        Self { lock, fatal, lost: false }
    }
}

impl Watch {
    /// Looks whether the directory is still the one that was opened; if not, the process must end: it would serve, and acknowledge, what
    /// nobody finds again. The writer looks by itself, at every group: this is for a log to which nothing is written.
    fn look(&mut self) {
        if self.lost {
            return;
        }
        let reason = match self.lock.stands() {
            Ok(true) => return,
            Ok(false) => std::io::Error::new(std::io::ErrorKind::NotFound, "it was taken away or replaced"),
            Err(error) => error,
        };
        self.lost = true;
        (self.fatal)(&Error::io("find the log's directory where it was")(reason));
    }
}

struct Shared {
    disk: Arc<dyn Disk>,
    watch: Mutex<Watch>,
    state: Mutex<State>,
    changed: Condvar,
}

/// The thread that works ahead.
pub(crate) struct Reserver {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Reserver {
    pub(crate) fn start(disk: Arc<dyn Disk>, watch: Watch) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            disk,
            watch: Mutex::new(watch),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let thread = thread::Builder::new()
            .name("log-reserve".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.run()
            })
            .map_err(Error::io("start the thread that reserves space"))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks for a segment of this length, without waiting.
    pub(crate) fn want(&self, ordinal: u64, len: u64) {
        let mut state = self.shared.state.lock();
        state.wanted = Some((ordinal, len));
        state.used = 0;
        state.failed = None;
        self.shared.changed.notify_all();
    }

    /// Tells how far the writer is in the current segment.
    pub(crate) fn used(&self, used: u64) {
        let mut state = self.shared.state.lock();
        let step = state.used / (CHUNK / 2) != used / (CHUNK / 2);
        state.used = used;
        if step {
            self.shared.changed.notify_all();
        }
    }

    /// Waits for the segment that was asked for. None when there is no space for it, which was tried just now.
    pub(crate) fn take(&self, ordinal: u64, len: u64) -> Option<Spare> {
        let mut state = self.shared.state.lock();
        if state.ready.as_ref().is_some_and(|s| s.len < len) {
            state.ready = None;
        }
        if state.ready.is_none() {
            let len = state.wanted.map_or(len, |w| w.1.max(len));
            state.wanted = Some((ordinal, len));
            state.failed = None;
            state.hurry = true;
            self.shared.changed.notify_all();
            while state.ready.is_none() && state.failed.is_none() && !state.stop {
                self.shared.changed.wait(&mut state);
            }
            state.hurry = false;
        }
        state.ready.take()
    }

    /// Leaves a sealed segment for its index file to be made.
    pub(crate) fn sealed(&self, segment: Arc<Segment>, next: Header, end: Option<u64>) {
        self.shared.state.lock().sealed.push_back(Sealed { segment, next, end });
        self.shared.changed.notify_all();
    }
}

impl Drop for Reserver {
    fn drop(&mut self) {
        self.shared.state.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that reserves space panicked");
        }
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let mut state = self.state.lock();
            if state.stop {
                return;
            }
            if let Some((ordinal, len)) =
                state.wanted.filter(|_| state.ready.is_none() && state.failed.is_none())
            {
                drop(state);
                let made = self.make(ordinal, len);
                let mut state = self.state.lock();
                match made {
                    // The writer may have asked for a longer one meanwhile: then this one is made again.
                    Ok(Some(spare)) if state.wanted == Some((ordinal, len)) => {
                        state.wanted = None;
                        state.ready = Some(spare);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, source = ?std::error::Error::source(&error), "no space can be reserved: writes are refused once the current segment is full");
                        state.failed = Some(error);
                    }
                }
                self.changed.notify_all();
            } else {
                self.wait(&mut state);
            }
        }
    }

    /// Makes an index file, or waits for something to do.
    fn wait(&self, state: &mut MutexGuard<'_, State>) {
        if let Some(sealed) = state.sealed.pop_front() {
            MutexGuard::unlocked(state, || match self.index(&sealed) {
                Ok(()) => {}
                Err(Error::Damaged(damage)) => {
                    tracing::error!(%damage, "the segment that was just written is damaged: it has no index file, and events in it cannot be read");
                }
                Err(error) => {
                    tracing::warn!(%error, source = ?std::error::Error::source(&error), "an index file cannot be made: opening will take longer");
                }
            });
        } else if self.changed.wait_for(state, LOOK_EVERY).timed_out() {
            MutexGuard::unlocked(state, || self.watch.lock().look());
        }
    }

    /// Makes a spare; none when it is not wanted any more.
    fn make(&self, ordinal: u64, len: u64) -> Result<Option<Spare>, Error> {
        let name = format::segment_name(ordinal);
        let reserving = || Error::io(format!("reserve {name}"));
        let file = self.disk.open(&name, Access::Create).map_err(reserving())?;
        let filled = file.allocate(len).and_then(|()| {
            let filled = self.fill(&*file, ordinal, len)?;
            // A segment must not be started under a name that a power loss takes away. After a failure it is made anew, name and all: that a
            // second sync succeeds says nothing of what the first should have written.
            self.disk.sync_dir()?;
            Ok(filled)
        });
        match filled {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => {
                // What was claimed is given back, so that a full disk does not stay full because of us.
                let removed = self.disk.remove(&name);
                if let Err(error) = removed {
                    tracing::warn!(%error, name, "space that was reserved in part cannot be given back");
                }
                return Err(reserving()(error));
            }
        }
        Ok(Some(Spare { ordinal, file, len }))
    }

    fn fill(&self, file: &dyn File, ordinal: u64, len: u64) -> std::io::Result<bool> {
        let zeros = vec![0; usize::try_from(CHUNK.min(len)).map_err(std::io::Error::other)?];
        let mut at = 0;
        while at < len {
            let mut state = self.state.lock();
            while !state.stop && !state.hurry && at > state.used.saturating_mul(2) {
                self.wait(&mut state);
            }
            if state.stop || state.wanted != Some((ordinal, len)) {
                return Ok(false);
            }
            drop(state);
            let n = CHUNK.min(len - at);
            file.write_at(&zeros[..usize::try_from(n).unwrap_or(0)], at)?;
            // Chunk by chunk, so that never much is dirty: the writer's sync may have to wait for it.
            file.sync()?;
            at += n;
        }
        Ok(true)
    }

    fn index(&self, sealed: &Sealed) -> Result<(), Error> {
        let Sealed { segment, next, end } = sealed;
        if let Some(end) = end {
            // Space behind the last group is given back; losing this in a power loss costs nothing else.
            segment
                .file
                .truncate((*end).max(HEADER_BYTES))
                .map_err(Error::io(format!("cut {}", segment.name())))?;
        }
        let contents = segment.walk_sealed(next, &mut |_| ())?;
        index_file::store(&*self.disk, &segment.header, &contents)
    }
}
