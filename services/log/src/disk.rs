//! The only way to a file: a directory behind a trait, so that tests can put a disk underneath that loses, tears, reorders and fails.

use std::io;
use std::sync::Arc;

mod dice;
mod real;
pub mod sim;

pub use real::RealDisk;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// A new file, to read and write; one of that name is emptied.
    Create,
}

/// A directory of files without subdirectories.
pub trait Disk: Send + Sync + 'static {
    /// What to call the directory in messages.
    fn name(&self) -> String;

    /// Names of all files.
    ///
    /// # Errors
    /// As the operating system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file.
    ///
    /// # Errors
    /// As the operating system says.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>>;

    /// Renames a file over any of the new name, at once.
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the operating system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names durable: which files there are, not what is in them.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the writer's lock until the answer is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] with the holder's description when it is taken; else as the operating system says.
    fn lock(&self) -> io::Result<Arc<dyn Lock>>;

    /// Who holds the lock, if anybody does.
    ///
    /// # Errors
    /// As the operating system says.
    fn holder(&self) -> io::Result<Option<Holder>>;
}

/// Who holds a directory's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// What the holder calls itself.
    pub who: String,
    /// How many events the holder says are synced; none where it has not said so.
    pub synced: Option<u64>,
}

/// What a file is, whatever it is called: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(pub u64, pub u64);

/// A lock that is held. It is on the directory itself: names in it, and its own, can be taken away under whoever holds it.
pub trait Lock: Send + Sync {
    /// Whether the directory's name still leads to the directory that was locked.
    ///
    /// # Errors
    /// As the operating system says.
    fn stands(&self) -> io::Result<bool>;

    /// Where a name in the directory leads now, by way of the directory's own name; none where nothing is there.
    ///
    /// # Errors
    /// As the operating system says.
    fn leads_to(&self, name: &str) -> io::Result<Option<Identity>>;

    /// Tells readers beside the holder how many events are synced. Nothing needs to be durable: it counts as long as the lock is held.
    ///
    /// # Errors
    /// As the operating system says.
    fn announce(&self, synced: u64) -> io::Result<()>;
}

/// A file, read and written at given places.
pub trait File: Send + Sync {
    /// Reads until the buffer is full or the file ends; answers how many bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Fills the buffer if that needs no waiting for the device; answers whether it did.
    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> bool;

    /// Writes all of it.
    ///
    /// # Errors
    /// As the operating system says; any part may have been written then.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Claims space for a file of this length, which it then has.
    ///
    /// # Errors
    /// As the operating system says, above all that there is no space.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Cuts the file to this length.
    ///
    /// # Errors
    /// As the operating system says.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes what was written durable, and as much metadata as reading it needs.
    ///
    /// # Errors
    /// As the operating system says. What was written is lost then, or not: nobody knows, and trying again proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// What the file is, whatever it is called.
    ///
    /// # Errors
    /// As the operating system says.
    fn identity(&self) -> io::Result<Identity>;

    /// Length in bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether the length is 0.
    ///
    /// # Errors
    /// As [`File::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Whether an error says that there is no space left.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
