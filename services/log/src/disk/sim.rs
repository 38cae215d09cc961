//! A disk in memory that behaves as badly as the contract of real ones allows, and worse.
//!
//! What was not synced may be lost, torn at any sector and reordered by a power loss; space runs out; operations fail, a sync so that
//! later ones know nothing of it; a process is killed and the machine goes on. That much every disk may do. One that breaks its promises
//! also loses a write that it said was synced, writes it elsewhere, makes zeros of a sector, or flips a bit.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Access, Disk, File, Holder, Identity, Lock};

pub use super::dice::Dice;

/// A sector is written whole or not at all; nothing larger is.
const SECTOR: usize = 512;

/// A file's bytes as read now, and what a power loss may leave of them.
#[derive(Debug, Clone, Default)]
struct Node {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Contents that a sector had since the last sync, oldest first: a power loss leaves any of them.
    versions: HashMap<usize, Vec<Vec<u8>>>,
}

impl Node {
    fn sector(&self, sector: usize) -> Range<usize> {
        sector * SECTOR..((sector + 1) * SECTOR).min(self.now.len())
    }

    /// Lets the drive have these sectors as they are now.
    fn keep(&mut self, sectors: impl IntoIterator<Item = usize>) {
        self.durable.resize(self.now.len(), 0);
        for sector in sectors {
            let range = self.sector(sector);
            if range.start < range.end {
                self.durable[range.clone()].copy_from_slice(&self.now[range]);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Link(String, u64),
    Unlink(String),
}

/// What a drive that breaks its promises does with a write, although it says otherwise at the next sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It is written nowhere.
    Lost,
    /// It is written somewhere else, whole sectors away or in another file.
    Misdirected,
}

#[derive(Debug, Clone, Default)]
struct State {
    nodes: HashMap<u64, Node>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names since the last sync of the directory: a power loss keeps the first so many of them.
    changes: Vec<Change>,
    next_node: u64,
    locked: bool,
    announced: Option<u64>,
    /// Whether the holder of the lock cannot say what is synced.
    mute: bool,
    capacity: u64,
    operations: u64,
    power_off_at: Option<u64>,
    fail_at: Option<u64>,
    syncs: u64,
    /// The sync that fails, and what of it the drive has all the same.
    forget_at: Option<(u64, Dice)>,
    writes: u64,
    /// The write that is not where it should be.
    break_at: Option<(u64, Broken, Dice)>,
    /// Where a write that was to be broken was.
    broken: Option<(String, Range<u64>)>,
    reads: u64,
    fail_reads: Range<u64>,
}

impl State {
    fn used(&self) -> u64 {
        self.nodes.values().map(|n| n.now.len() as u64).sum()
    }

    /// Counts a change of the disk, and lets it fail if its time has come.
    fn operate(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.power_off_at.is_some_and(|at| self.operations > at) {
            return Err(io::Error::other("the power is off"));
        }
        if self.fail_at.is_some_and(|at| self.operations > at) {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }

    /// Counts a sync; answers what the drive has of it although it fails, if its time has come.
    fn sync(&mut self) -> Option<Dice> {
        self.syncs += 1;
        let (at, dice) = self.forget_at.as_ref()?;
        if self.syncs <= *at {
            return None;
        }
        let dice = dice.clone();
        self.forget_at = None;
        Some(dice)
    }

    fn apply(names: &mut BTreeMap<String, u64>, change: &Change) {
        match change {
            Change::Link(name, node) => names.insert(name.clone(), *node),
            Change::Unlink(name) => names.remove(name),
        };
    }

    fn change(&mut self, change: Change) {
        Self::apply(&mut self.names, &change);
        self.changes.push(change);
    }

    fn name_of(&self, node: u64) -> String {
        self.names
            .iter()
            .find(|(_, known)| **known == node)
            .map_or_else(String::new, |(name, _)| name.clone())
    }

    /// A write that the drive says it has, and has not, or has elsewhere. What is read until the power goes is as it should be.
    fn betray(&mut self, id: u64, offset: u64, len: usize, broken: Broken, mut dice: Dice) {
        self.broken = Some((self.name_of(id), offset..offset + len as u64));
        let start = usize::try_from(offset).unwrap_or(0) / SECTOR;
        let Some(node) = self.nodes.get(&id) else { return };
        let end = (start * SECTOR + len.next_multiple_of(SECTOR) + SECTOR).min(node.now.len());
        let sectors = node.now[start * SECTOR..end].to_vec();
        if broken == Broken::Lost {
            return;
        }
        let mut places: Vec<_> = self.names.values().copied().collect();
        // Mostly in the same file, as with a bad bit in an address.
        places.extend([id; 3]);
        let target = places[usize::try_from(dice.below(places.len() as u64)).unwrap_or(0)];
        let Some(target) = self.nodes.get_mut(&target) else { return };
        let room = target.durable.len() / SECTOR;
        if room == 0 {
            return;
        }
        let at = usize::try_from(dice.below(room as u64)).unwrap_or(0) * SECTOR;
        let n = sectors.len().min(target.durable.len() - at);
        target.durable[at..at + n].copy_from_slice(&sectors[..n]);
    }
}

/// A disk in memory.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk without limits.
    #[must_use]
    pub fn new() -> Self {
        Self::of(State { capacity: u64::MAX, ..State::default() })
    }

    fn of(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Sets how many bytes all files together may have.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// Bytes that all files have now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// Changing operations done so far: writes, syncs, allocations, changes of names.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Syncs done so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Cuts the power after so many more changing operations: that one and all later ones fail. A write that is cut is still tossed.
    pub fn cut_power_after(&self, operations: u64) {
        let mut state = self.state.lock();
        state.power_off_at = Some(state.operations + operations);
    }

    /// Lets all changing operations fail with EIO after so many more.
    pub fn fail_after(&self, operations: u64) {
        let mut state = self.state.lock();
        state.fail_at = Some(state.operations + operations);
    }

    /// Lets the sync after so many more fail with EIO, once. As Linux does, the system then takes for written what the drive has
    /// only in part, or not at all: it is read as it was written, later syncs succeed, and a power loss takes it away.
    pub fn forget_sync_after(&self, syncs: u64, dice: &mut Dice) {
        let mut state = self.state.lock();
        state.forget_at = Some((state.syncs + syncs, Dice::new(dice.roll())));
    }

    /// Lets the drive break its promise for the write after so many more.
    pub fn break_write_after(&self, writes: u64, broken: Broken, dice: &mut Dice) {
        let mut state = self.state.lock();
        state.break_at = Some((state.writes + writes, broken, Dice::new(dice.roll())));
    }

    /// The write for which a promise was broken, if one was: file and bytes where it should be.
    #[must_use]
    pub fn broken(&self) -> Option<(String, Range<u64>)> {
        self.state.lock().broken.clone()
    }

    /// Lets so many reads fail with EIO, after so many more.
    pub fn fail_reads_after(&self, reads: u64, count: u64) {
        let mut state = self.state.lock();
        let from = state.reads + reads;
        state.fail_reads = from..from.saturating_add(count);
    }

    /// From now on the holder of the lock cannot say what is synced, as an older program does not.
    pub fn mute(&self) {
        let mut state = self.state.lock();
        (state.mute, state.announced) = (true, None);
    }

    /// What the disk holds when the power comes back: everything synced, and of the rest whatever the dice say, sector by sector.
    #[must_use]
    pub fn after_power_loss(&self, dice: &mut Dice) -> Self {
        let state = self.state.lock();
        let mut names = state.durable_names.clone();
        let kept = dice.below(state.changes.len() as u64 + 1);
        for change in state.changes.iter().zip(0..kept) {
            State::apply(&mut names, change.0);
        }
        // Sometimes the drive had written nearly all, sometimes nearly nothing.
        let luck = dice.below(101);
        let mut order: Vec<_> = state.nodes.keys().copied().collect();
        order.sort_unstable();
        let mut nodes = HashMap::new();
        for id in order {
            let node = &state.nodes[&id];
            let mut now = node.durable.clone();
            if node.now.len() != now.len() && dice.below(2) == 0 {
                now.resize(node.now.len(), 0);
            }
            let mut sectors: Vec<_> = node.versions.keys().copied().collect();
            sectors.sort_unstable();
            for sector in sectors {
                let versions = &node.versions[&sector];
                if dice.below(100) < luck {
                    let version = &versions[usize::try_from(dice.below(versions.len() as u64)).unwrap_or(0)];
                    let start = (sector * SECTOR).min(now.len());
                    let end = (start + version.len()).min(now.len());
                    now[start..end].copy_from_slice(&version[..end - start]);
                }
            }
            nodes.insert(id, now);
        }
        state.anew(names, nodes)
    }

    /// What the disk holds if the power goes now and nothing more reaches it.
    #[must_use]
    pub fn durable(&self) -> Self {
        let state = self.state.lock();
        let nodes = state.nodes.iter().map(|(id, node)| (*id, node.durable.clone())).collect();
        state.anew(state.durable_names.clone(), nodes)
    }

    /// The disk as the next process finds it when this one was killed and the machine goes on: everything is read as it was written,
    /// synced or not.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let state = self.state.lock().clone();
        Self::of(State {
            locked: false,
            announced: None,
            power_off_at: None,
            fail_at: None,
            forget_at: None,
            break_at: None,
            fail_reads: 0..0,
            ..state
        })
    }

    /// Flips bits of one byte of a file, durably.
    ///
    /// # Errors
    /// When there is no such file or byte.
    pub fn flip(&self, name: &str, offset: u64, mask: u8) -> io::Result<()> {
        self.harm(name, |bytes| {
            let at = usize::try_from(offset).map_err(io::Error::other)?;
            *bytes.get_mut(at).ok_or(io::ErrorKind::UnexpectedEof)? ^= mask;
            Ok(())
        })
    }

    /// Makes zeros of bytes of a file, durably.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn zero(&self, name: &str, range: Range<u64>) -> io::Result<()> {
        self.harm(name, |bytes| {
            let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
            let range = at(range.start)..at(range.end);
            bytes[range].fill(0);
            Ok(())
        })
    }

    fn harm(&self, name: &str, mut f: impl FnMut(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state.lock();
        let id = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let node = state.nodes.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        f(&mut node.now)?;
        f(&mut node.durable)
    }
}

impl State {
    /// The same disk in a machine that was just switched on.
    fn anew(&self, names: BTreeMap<String, u64>, nodes: HashMap<u64, Vec<u8>>) -> SimDisk {
        let node = |now: Vec<u8>| Node { durable: now.clone(), now, versions: HashMap::new() };
        SimDisk::of(Self {
            nodes: nodes.into_iter().map(|(id, now)| (id, node(now))).collect(),
            durable_names: names.clone(),
            names,
            next_node: self.next_node,
            capacity: self.capacity,
            broken: self.broken.clone(),
            ..Self::default()
        })
    }
}

struct SimFile {
    disk: SimDisk,
    node: u64,
}

struct SimLock(SimDisk);

impl Lock for SimLock {
    fn stands(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn leads_to(&self, name: &str) -> io::Result<Option<Identity>> {
        Ok(self.0.state.lock().names.get(name).map(|node| Identity(0, *node)))
    }

    fn announce(&self, synced: u64) -> io::Result<()> {
        let mut state = self.0.state.lock();
        if state.mute {
            return Err(io::ErrorKind::Unsupported.into());
        }
        state.announced = Some(synced);
        Ok(())
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        (state.locked, state.announced) = (false, None);
    }
}

impl Disk for SimDisk {
    fn name(&self) -> String {
        "the simulated disk".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state.lock().names.keys().cloned().collect())
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        let node = if access == Access::Create {
            state.operate()?;
            let node = state.next_node;
            state.next_node += 1;
            state.nodes.insert(node, Node::default());
            state.change(Change::Link(name.to_owned(), node));
            node
        } else {
            *state.names.get(name).ok_or(io::ErrorKind::NotFound)?
        };
        Ok(Arc::new(SimFile { disk: self.clone(), node }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operate()?;
        let node = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change(Change::Link(to.to_owned(), node));
        state.change(Change::Unlink(from.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operate()?;
        let node = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        state.change(Change::Unlink(name.to_owned()));
        // The bytes stay for the case that the power fails before the directory is synced, but take no space any more.
        if let Some(node) = state.nodes.get_mut(&node) {
            node.now = Vec::new();
        }
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operate()?;
        let forgotten = state.sync();
        let changes = std::mem::take(&mut state.changes);
        let kept = match forgotten.clone() {
            None => changes.len(),
            Some(mut dice) => usize::try_from(dice.below(changes.len() as u64 + 1)).unwrap_or(0),
        };
        for change in &changes[..kept] {
            State::apply(&mut state.durable_names, change);
        }
        forgotten.map_or(Ok(()), |_| Err(io::Error::from_raw_os_error(5)))
    }

    fn lock(&self) -> io::Result<Arc<dyn Lock>> {
        let mut state = self.state.lock();
        if state.locked {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another log of this test"));
        }
        state.locked = true;
        Ok(Arc::new(SimLock(self.clone())))
    }

    fn holder(&self) -> io::Result<Option<Holder>> {
        let state = self.state.lock();
        let synced = state.announced;
        Ok(state.locked.then(|| Holder { who: "another log of this test".to_owned(), synced }))
    }
}

impl SimFile {
    fn change(&self, f: impl FnOnce(&mut Node, u64, u64) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        self.change_in(&mut state, f)
    }

    fn change_in(
        &self,
        state: &mut State,
        f: impl FnOnce(&mut Node, u64, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let (used, capacity) = (state.used(), state.capacity);
        let operated = state.operate();
        // The operation that the power loss interrupts may have reached the platter: it is tossed like the unsynced ones before.
        let cut = state.power_off_at.is_some_and(|at| state.operations == at + 1);
        if operated.is_err() && !cut {
            return operated;
        }
        let node = state.nodes.get_mut(&self.node).ok_or(io::ErrorKind::NotFound)?;
        f(node, used, capacity)?;
        operated
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state.lock();
        state.reads += 1;
        if state.fail_reads.contains(&(state.reads - 1)) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let node = state.nodes.get(&self.node).ok_or(io::ErrorKind::NotFound)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(node.now.len());
        let n = buffer.len().min(node.now.len() - start);
        buffer[..n].copy_from_slice(&node.now[start..start + n]);
        Ok(n)
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> bool {
        // Odd places are cached, so that both ways of reading are tested.
        (offset / 8) % 2 == 1 && self.read_at(buffer, offset).is_ok_and(|n| n == buffer.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.writes += 1;
        let writes = state.writes;
        let broken = state.break_at.take_if(|(at, ..)| writes > *at);
        self.change_in(&mut state, |node, used, capacity| {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let end = start + bytes.len();
            if end > node.now.len() {
                if used + (end - node.now.len()) as u64 > capacity {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                node.now.resize(end, 0);
            }
            node.now[start..end].copy_from_slice(bytes);
            if broken.is_none() {
                for sector in start / SECTOR..end.div_ceil(SECTOR) {
                    let version = node.now[node.sector(sector)].to_vec();
                    node.versions.entry(sector).or_default().push(version);
                }
            }
            Ok(())
        })?;
        if let Some((_, broken, dice)) = broken {
            state.betray(self.node, offset, bytes.len(), broken, dice);
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.change(|node, used, capacity| {
            if used - node.now.len() as u64 + len > capacity {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let len = usize::try_from(len).map_err(io::Error::other)?;
            node.now.resize(len.max(node.now.len()), 0);
            Ok(())
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.change(|node, _, _| {
            node.now.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.operate()?;
        let forgotten = state.sync();
        let node = state.nodes.get_mut(&self.node).ok_or(io::ErrorKind::NotFound)?;
        let mut touched: Vec<_> = std::mem::take(&mut node.versions).into_keys().collect();
        match forgotten {
            None => {
                node.keep(touched);
                Ok(())
            }
            Some(mut dice) => {
                touched.sort_unstable();
                touched.retain(|_| dice.below(2) == 0);
                node.keep(touched);
                Err(io::Error::from_raw_os_error(5))
            }
        }
    }

    fn identity(&self) -> io::Result<Identity> {
        Ok(Identity(0, self.node))
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state.lock();
        Ok(state.nodes.get(&self.node).ok_or(io::ErrorKind::NotFound)?.now.len() as u64)
    }
}
