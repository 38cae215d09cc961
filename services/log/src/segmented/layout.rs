//! Which segments a directory holds, and up to where each is whole.

use std::sync::Arc;

use super::format::{self, COMMIT_BYTES, Commit, HEADER_BYTES, HEADER_LEN, Header};
use super::index_file;
use super::walk::{self, Contents, Verdict};
use crate::disk::{Access, Disk, File};
use crate::{Damage, Error};

/// A segment that was started.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) header: Header,
    pub(crate) file: Arc<dyn File>,
}

impl Segment {
    pub(crate) fn name(&self) -> String {
        format::segment_name(self.header.ordinal)
    }

    pub(crate) fn damage(&self, offset: u64, position: u64, reason: impl Into<String>) -> Damage {
        format::damage(self.header.ordinal, offset, position, reason)
    }

    /// Not [`Error::io`] with a text made ahead: this is asked for with every record.
    #[cold]
    pub(crate) fn unreadable(&self, source: std::io::Error) -> Error {
        Error::Io { doing: format!("read {}", self.name()), source }
    }

    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.file.read_at(buffer, offset).map_err(|e| self.unreadable(e))
    }

    /// Walks over a segment that another follows: all of it must be whole.
    pub(crate) fn walk_sealed(
        &self,
        next: &Header,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Contents, Error> {
        let (contents, bad) = Contents::walk(&*self.file, &self.header, progress)
            .map_err(Error::io(format!("read {}", self.name())))?;
        if let Some(bad) = bad {
            return Err(self.damage(bad.offset, bad.position, bad.reason).into());
        }
        if contents.frontier != next.frontier {
            let (size, next) = (contents.frontier.size(), next.base());
            let reason = if size == next {
                "the next segment starts with another tree".to_owned()
            } else {
                format!("ends before event {size}, but the next segment starts at {next}")
            };
            return Err(self.damage(contents.end, size, reason).into());
        }
        Ok(contents)
    }

    /// Checks that nothing lies behind the last group of a segment that another follows.
    pub(crate) fn check_rest(&self, contents: &Contents) -> Result<(), Error> {
        let (mut at, mut buffer) = (contents.end, vec![0; 1 << 20]);
        loop {
            let n = self.read(&mut buffer, at)?;
            if let Some(stray) = buffer[..n].iter().position(|&b| b != 0) {
                let reason = "there is something behind the last group";
                return Err(self.damage(at + stray as u64, contents.frontier.size(), reason).into());
            }
            if n < buffer.len() {
                return Ok(());
            }
            at += n as u64;
        }
    }

    /// Walks over the last segment up to its last whole group.
    pub(crate) fn walk_last(&self, live: bool, progress: &mut dyn FnMut(u64)) -> Result<Contents, Error> {
        Ok(self.walk_last_and_tail(live, progress)?.0)
    }

    /// The same; answers also what lies behind that group and is no whole one, where there is something.
    pub(crate) fn walk_last_and_tail(
        &self,
        live: bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Contents, Option<Damage>), Error> {
        let reading = || Error::io(format!("read {}", self.name()));
        let mut before = None;
        loop {
            let (contents, bad) = Contents::walk(&*self.file, &self.header, progress).map_err(reading())?;
            let Some(bad) = bad else { return Ok((contents, None)) };
            match walk::judge(&*self.file, &contents, &bad, live).map_err(reading())? {
                Verdict::Torn => {
                    if !live {
                        tracing::warn!(
                            segment = self.name(),
                            offset = bad.offset,
                            position = bad.position,
                            reason = bad.reason,
                            "a group that was never acknowledged is cut off the end of the log"
                        );
                    }
                    return Ok((contents, Some(self.damage(bad.offset, bad.position, bad.reason))));
                }
                // A live writer may have finished this group and the next between our two looks. A commit after it means that
                // it is there by now, so if it is still bad, it is.
                Verdict::Damaged if live && before.as_ref() != Some(&bad) => before = Some(bad),
                Verdict::Damaged => {
                    return Err(self.damage(bad.offset, bad.position, bad.reason).into());
                }
            }
        }
    }

    /// What a segment holds that another follows: from its index file, or by walking over it.
    pub(crate) fn sealed_contents(&self, disk: &dyn Disk, next: &Header) -> Result<(Contents, bool), Error> {
        match index_file::load(disk, &self.header, next) {
            Ok(Some(contents)) if self.ends_with(&contents)? => return Ok((contents, true)),
            Ok(None) => {}
            Ok(Some(_)) => tracing::warn!(
                segment = self.name(),
                "the index file does not fit its segment: it is made again"
            ),
            Err(reason) => {
                tracing::warn!(segment = self.name(), reason, "the index file is damaged: it is made again");
            }
        }
        Ok((self.walk_sealed(next, &mut |_| ())?, false))
    }

    fn ends_with(&self, contents: &Contents) -> Result<bool, Error> {
        let Some(at) = contents.end.checked_sub(COMMIT_BYTES as u64) else { return Ok(false) };
        let mut bytes = [0; COMMIT_BYTES];
        if self.read(&mut bytes, at)? < COMMIT_BYTES {
            return Ok(false);
        }
        let size = contents.base + contents.offsets.len() as u64;
        Ok(Commit::find(&bytes).is_some_and(|c| c.size == size))
    }
}

/// A directory's segments in order, and the names of files that were made ahead and never started.
pub(crate) struct Layout {
    pub(crate) segments: Vec<Segment>,
    pub(crate) unstarted: Vec<(u64, String)>,
}

impl Layout {
    pub(crate) fn read(disk: &dyn Disk, access: Access) -> Result<Self, Error> {
        match Self::read_sound(disk, access)? {
            (layout, None) => Ok(layout),
            (_, Some(damage)) => Err(damage.into()),
        }
    }

    /// Reads as far as segments follow each other as they must; answers what is wrong behind those.
    pub(crate) fn read_sound(disk: &dyn Disk, access: Access) -> Result<(Self, Option<Damage>), Error> {
        let names = disk.list().map_err(Error::io(format!("list {}", disk.name())))?;
        let mut ordinals: Vec<_> =
            names.into_iter().filter_map(|n| format::segment_ordinal(&n).map(|o| (o, n))).collect();
        ordinals.sort_unstable();
        let mut layout = Self { segments: Vec::new(), unstarted: Vec::new() };
        for (ordinal, name) in ordinals {
            let file = disk.open(&name, access).map_err(Error::io(format!("open {name}")))?;
            let reading = |e| Error::io(format!("read {name}"))(e);
            let header = || {
                let mut page = [0; HEADER_LEN];
                let n = file.read_at(&mut page, 0)?;
                Ok(Header::decode(&page[..n]))
            };
            let mut found = header().map_err(reading)?;
            if found.is_err() && Self::holds_group(&*file).map_err(reading)? {
                // A live writer may have started it between our two looks. The header is durable before any group, so by now it is
                // there.
                found = header().map_err(reading)?;
                if let Err(reason) = found {
                    let position = layout.segments.last().map_or(0, |s| s.header.base());
                    return Ok((layout, Some(format::damage(ordinal, 0, position, reason))));
                }
            }
            match found {
                Ok(header) => {
                    if let Err(damage) = layout.follow(ordinal, &header) {
                        return Ok((layout, Some(damage)));
                    }
                    layout.segments.push(Segment { header, file });
                }
                Err(_) => layout.unstarted.push((ordinal, name)),
            }
        }
        Ok((layout, None))
    }

    /// Checks that a segment may follow those found before.
    fn follow(&self, ordinal: u64, header: &Header) -> Result<(), Damage> {
        let broken = |reason: String| Err(format::damage(ordinal, 0, header.base(), reason));
        if header.ordinal != ordinal {
            return broken(format!("the segment's header is that of segment {}", header.ordinal));
        }
        if let Some((unstarted, _)) = self.unstarted.first() {
            return Err(format::damage(*unstarted, 0, header.base(), "the segment's header is not readable"));
        }
        let expected = self.segments.last().map_or(0, |s| s.header.ordinal + 1);
        if ordinal != expected {
            return Err(format::damage(expected, 0, header.base(), "the segment is missing"));
        }
        let base = self.segments.last().map_or(0, |s| s.header.base());
        if header.base() < base || (ordinal == 0 && header.base() != 0) {
            return broken(format!(
                "the segment starts at position {}, before the one before it",
                header.base()
            ));
        }
        Ok(())
    }

    /// Whether a segment without a readable header has a group at its beginning, so that it was started once.
    fn holds_group(file: &dyn File) -> std::io::Result<bool> {
        let mut bytes = vec![0; 4 << 20];
        let n = file.read_at(&mut bytes, HEADER_BYTES)?;
        Ok(bytes[..n].iter().any(|&b| b != 0)
            && (0..n).step_by(8).any(|at| Commit::find(&bytes[at..n]).is_some()))
    }
}
