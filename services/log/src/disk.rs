//! The only way to a file: a directory behind a trait, so that tests can put a disk underneath that loses, tears, reorders and fails.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub mod sim;

/// Name of the file that a writer locks.
const LOCK: &str = "lock";

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
    fn lock(&self) -> io::Result<Box<dyn Lock>>;
}

/// A lock that is held.
pub trait Lock: Send + Sync {}

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

/// A directory of the operating system.
#[derive(Debug)]
pub struct RealDisk {
    dir: PathBuf,
    /// Permissions of files that are made.
    mode: u32,
}

impl RealDisk {
    /// A directory that exists.
    ///
    /// # Errors
    /// As the operating system says when there is no such directory.
    pub fn open(dir: &Path) -> io::Result<Self> {
        if !fs::metadata(dir)?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok(Self { dir: dir.to_owned(), mode: 0o666 })
    }

    /// The same, with every file that is made for its owner alone: keys.
    #[must_use]
    pub fn private(self) -> Self {
        Self { mode: 0o600, ..self }
    }

    /// A directory that is made if it is missing, durably.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn create(dir: &Path) -> io::Result<Self> {
        let mut missing = Vec::new();
        let mut at = dir;
        while !at.as_os_str().is_empty() && !at.exists() {
            missing.push(at);
            let Some(parent) = at.parent() else { break };
            at = parent;
        }
        fs::create_dir_all(dir)?;
        for made in missing {
            // The name of a new directory lives in its parent, which forgets it in a power loss unless synced.
            let parent = made.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::File::open(parent)?.sync_all()?;
        }
        Self::open(dir)
    }
}

impl Disk for RealDisk {
    fn name(&self) -> String {
        self.dir.display().to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        // A name that is not UTF-8 is none of ours.
        fs::read_dir(&self.dir)?
            .filter_map(|e| e.map(|e| e.file_name().into_string().ok()).transpose())
            .collect()
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(access != Access::Read);
        if access == Access::Create {
            options.create(true).truncate(true).mode(self.mode);
        }
        Ok(Arc::new(RealFile(options.open(self.dir.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        fs::File::open(&self.dir)?.sync_all()
    }

    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        let path = self.dir.join(LOCK);
        let mut file =
            fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                let holder = holder.trim();
                let holder = if holder.is_empty() { "another process" } else { holder };
                return Err(io::Error::new(io::ErrorKind::WouldBlock, holder));
            }
            Err(fs::TryLockError::Error(e)) => return Err(e),
        }
        // Only for the message above: the lock is the operating system's, and goes with the process.
        file.set_len(0)?;
        writeln!(file, "process {}", std::process::id())?;
        Ok(Box::new(RealLock { _file: file }))
    }
}

struct RealLock {
    _file: fs::File,
}

impl Lock for RealLock {}

struct RealFile(fs::File);

impl File for RealFile {
    fn read_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<usize> {
        let mut total = 0;
        while !buffer.is_empty() {
            match self.0.read_at(buffer, offset) {
                Ok(0) => break,
                Ok(n) => {
                    total += n;
                    offset += n as u64;
                    buffer = &mut buffer[n..];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(total)
    }

    #[cfg(target_os = "linux")]
    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> bool {
        // A file system that does not know the flag, or whose pages are gone, says so: the caller then reads where it may wait.
        let want = buffer.len();
        let mut slices = [io::IoSliceMut::new(buffer)];
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        rustix::io::preadv2(&self.0, &mut slices, offset, flags).is_ok_and(|n| n == want)
    }

    #[cfg(not(target_os = "linux"))]
    fn read_cached(&self, _: &mut [u8], _: u64) -> bool {
        false
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, len) {
            // Writing zeros claims the space as well, only slower.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.0.set_len(len),
            other => other.map_err(io::Error::from),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
