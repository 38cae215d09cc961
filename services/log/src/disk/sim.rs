//! A disk in memory that behaves as badly as the contract of real ones allows: what was not synced may be lost, torn at any sector and
//! reordered by a power loss; space runs out; operations fail.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Access, Disk, File, Lock};

/// A sector is written whole or not at all; nothing larger is.
const SECTOR: usize = 512;

/// Pseudo-random numbers from a seed (SplitMix64), so that a failing case can be run again.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall the same for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }
}

/// A file's bytes as read now, and what a power loss may leave of them.
#[derive(Debug, Clone, Default)]
struct Node {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Contents that a sector had since the last sync, oldest first: a power loss leaves any of them.
    versions: HashMap<usize, Vec<Vec<u8>>>,
}

#[derive(Debug, Clone)]
enum Change {
    Link(String, u64),
    Unlink(String),
}

#[derive(Debug, Default)]
struct State {
    nodes: HashMap<u64, Node>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names since the last sync of the directory: a power loss keeps the first so many of them.
    changes: Vec<Change>,
    next_node: u64,
    locked: bool,
    capacity: u64,
    operations: u64,
    power_off_at: Option<u64>,
    fail_at: Option<u64>,
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
}

/// A disk in memory.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    syncs: Arc<AtomicU64>,
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
        let state = State { capacity: u64::MAX, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), syncs: Arc::new(AtomicU64::new(0)) }
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

    /// Syncs of files done so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
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
            nodes.insert(id, Node { durable: now.clone(), now, versions: HashMap::new() });
        }
        let fresh = State {
            nodes,
            durable_names: names.clone(),
            names,
            next_node: state.next_node,
            capacity: state.capacity,
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(fresh)), syncs: Arc::default() }
    }

    /// Flips bits of one byte of a file, durably.
    ///
    /// # Errors
    /// When there is no such file or byte.
    pub fn flip(&self, name: &str, offset: u64, mask: u8) -> io::Result<()> {
        let mut state = self.state.lock();
        let id = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let node = state.nodes.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        for bytes in [&mut node.now, &mut node.durable] {
            *bytes.get_mut(at).ok_or(io::ErrorKind::UnexpectedEof)? ^= mask;
        }
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    node: u64,
}

struct SimLock(SimDisk);

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.state.lock().locked = false;
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
        state.changes.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        let mut state = self.state.lock();
        if state.locked {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another log of this test"));
        }
        state.locked = true;
        Ok(Box::new(SimLock(self.clone())))
    }
}

impl SimFile {
    fn change(&self, f: impl FnOnce(&mut Node, u64, u64) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.disk.state.lock();
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
        let state = self.disk.state.lock();
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
        self.change(|node, used, capacity| {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let end = start + bytes.len();
            if end > node.now.len() {
                if used + (end - node.now.len()) as u64 > capacity {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                node.now.resize(end, 0);
            }
            node.now[start..end].copy_from_slice(bytes);
            for sector in start / SECTOR..end.div_ceil(SECTOR) {
                let range = sector * SECTOR..((sector + 1) * SECTOR).min(node.now.len());
                let version = node.now[range].to_vec();
                node.versions.entry(sector).or_default().push(version);
            }
            Ok(())
        })
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
        let node = state.nodes.get_mut(&self.node).ok_or(io::ErrorKind::NotFound)?;
        let touched = std::mem::take(&mut node.versions);
        node.durable.resize(node.now.len(), 0);
        for sector in touched.into_keys() {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(node.now.len());
            if range.start < range.end {
                node.durable[range.clone()].copy_from_slice(&node.now[range]);
            }
        }
        self.disk.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state.lock();
        Ok(state.nodes.get(&self.node).ok_or(io::ErrorKind::NotFound)?.now.len() as u64)
    }
}
