//! A directory of the operating system.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backon::{BlockingRetryable, ConstantBuilder};

use super::{Access, Disk, File, Holder, Identity, Lock};

/// Name of the file that says who holds the directory. An older program locks it, and not the directory.
const LOCK: &str = "lock";
/// Bytes of the line that says who holds it.
const WHO: usize = 64;
/// How often a lock that is taken is tried again.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(10);

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
        let missing = dir.ancestors().take_while(|at| !at.as_os_str().is_empty() && !at.exists()).count();
        fs::create_dir_all(dir)?;
        // The name of a directory lives in its parent, which forgets it in a power loss unless synced. Whoever made one that is there may
        // have been killed before that: its name, and that of the directory around it, are synced as well.
        for (n, made) in dir.ancestors().take(missing.max(2)).enumerate() {
            let Some(parent) = made.parent() else { break };
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            match fs::File::open(parent).and_then(|parent| parent.sync_all()) {
                Ok(()) => {}
                // Whoever may not read there has not made this either.
                Err(e) if n >= missing && e.kind() == io::ErrorKind::PermissionDenied => {}
                Err(e) => return Err(e),
            }
            if parent == Path::new(".") {
                break;
            }
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

    fn lock(&self) -> io::Result<Arc<dyn Lock>> {
        let dir = fs::File::open(&self.dir)?;
        let path = self.dir.join(LOCK);
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        // Readers look for a holder by taking the lock for a moment, together with each other.
        let pauses = ConstantBuilder::default().with_delay(PAUSE).with_max_times(ATTEMPTS);
        (|| try_lock(&dir).and_then(|()| try_lock(&file)))
            .retry(pauses)
            .when(|error| matches!(error, fs::TryLockError::WouldBlock))
            .call()
            .map_err(|error| match error {
                fs::TryLockError::WouldBlock => io::Error::new(io::ErrorKind::WouldBlock, said(&file).who),
                fs::TryLockError::Error(e) => e,
            })?;
        // Only for messages and for readers: the lock is the operating system's, and goes with the process.
        file.set_len(0)?;
        let who = format!("process {}", std::process::id());
        file.write_all_at(format!("{who:<width$}\n", width = WHO - 1).as_bytes(), 0)?;
        let lock = RealLock { identity: identity(&dir.metadata()?), path: self.dir.clone(), _dir: dir, file };
        if !lock.stands()? {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the directory was taken away meanwhile"));
        }
        Ok(Arc::new(lock))
    }

    fn holder(&self) -> io::Result<Option<Holder>> {
        let dir = fs::File::open(&self.dir)?;
        let file = match fs::File::open(self.dir.join(LOCK)) {
            Ok(file) => Some(file),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => None,
            Err(e) => return Err(e),
        };
        for handle in [Some(&dir), file.as_ref()].into_iter().flatten() {
            match handle.try_lock_shared() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => {
                    let nobody = || Holder { who: NOBODY_KNOWS.to_owned(), synced: None };
                    return Ok(Some(file.as_ref().map_or_else(nobody, said)));
                }
                Err(fs::TryLockError::Error(e)) => return Err(e),
            }
        }
        Ok(None)
    }
}

const NOBODY_KNOWS: &str = "another process";

/// Takes one of the two locks. A file system that locks no directories has the other one still.
fn try_lock(file: &fs::File) -> Result<(), fs::TryLockError> {
    match file.try_lock() {
        Err(fs::TryLockError::Error(e))
            if matches!(e.raw_os_error(), Some(code) if UNLOCKABLE.contains(&code))
                && file.metadata().is_ok_and(|it| it.is_dir()) =>
        {
            Ok(())
        }
        other => other,
    }
}

const UNLOCKABLE: [i32; 3] = [
    rustix::io::Errno::BADF.raw_os_error(),
    rustix::io::Errno::OPNOTSUPP.raw_os_error(),
    rustix::io::Errno::NOLCK.raw_os_error(),
];

/// What a lock's file says of its holder.
fn said(file: &fs::File) -> Holder {
    let mut bytes = [0; WHO + 12];
    let n = file.read_at(&mut bytes, 0).unwrap_or_default();
    let who = String::from_utf8_lossy(&bytes[..n.min(WHO)]);
    let who = who.lines().next().unwrap_or_default().trim();
    let who = if who.is_empty() { NOBODY_KNOWS } else { who };
    let synced = bytes[..n].get(WHO..).and_then(|said| {
        let (size, sum) = said.split_first_chunk::<8>()?;
        // It may just be written over.
        (sum == crc32c::crc32c(size).to_le_bytes()).then(|| u64::from_le_bytes(*size))
    });
    Holder { who: who.to_owned(), synced }
}

fn identity(metadata: &fs::Metadata) -> Identity {
    Identity(metadata.dev(), metadata.ino())
}

struct RealLock {
    /// Holds the lock.
    _dir: fs::File,
    path: PathBuf,
    identity: Identity,
    /// Holds an older program's lock, and says who holds them.
    file: fs::File,
}

impl RealLock {
    fn look(path: &Path) -> io::Result<Option<Identity>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(identity(&metadata))),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl Lock for RealLock {
    fn stands(&self) -> io::Result<bool> {
        Ok(Self::look(&self.path)? == Some(self.identity))
    }

    fn leads_to(&self, name: &str) -> io::Result<Option<Identity>> {
        Self::look(&self.path.join(name))
    }

    fn announce(&self, synced: u64) -> io::Result<()> {
        let mut said = [0; 12];
        said[..8].copy_from_slice(&synced.to_le_bytes());
        said[8..].copy_from_slice(&crc32c::crc32c(&synced.to_le_bytes()).to_le_bytes());
        self.file.write_all_at(&said, WHO as u64)
    }
}

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

    fn identity(&self) -> io::Result<Identity> {
        Ok(identity(&self.0.metadata()?))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
