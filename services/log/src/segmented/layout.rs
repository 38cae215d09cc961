//! Which segments a directory holds, and up to where each is whole.

use std::sync::Arc;

use super::format::{self, COMMIT_BYTES, Commit, HEADER_LEN, Header};
use super::recover::{self, Decision, Facts, Page};
use super::walk::{Contents, Stop};
use super::{index_file, survey};
use crate::disk::{Access, Disk, File};
use crate::{Damage, Error, Position};

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

    /// Walks over a segment that another follows: all of it must be whole, and nothing behind it.
    pub(crate) fn walk_sealed(
        &self,
        next: &Header,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Contents, Error> {
        let (contents, stop) =
            Contents::walk(&*self.file, &self.header, progress).map_err(|e| self.unreadable(e))?;
        let (behind, groups) =
            survey::behind(&*self.file, &contents, &stop).map_err(|e| self.unreadable(e))?;
        let facts = Facts { header: Page::Good, followed: true, held: false, behind, groups };
        if let (Decision::Refuse, because) = recover::decide(facts) {
            return Err(self.refused(&stop, because).into());
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

    fn refused(&self, stop: &Stop, because: &str) -> Damage {
        self.damage(stop.offset, stop.position, format!("{}: {because}", stop.reason))
    }

    /// Walks over the last segment up to its last whole group. `held`: somebody else may be writing to it.
    pub(crate) fn walk_last(&self, held: bool, progress: &mut dyn FnMut(u64)) -> Result<Last, Error> {
        let mut before = None;
        loop {
            let (contents, stop) =
                Contents::walk(&*self.file, &self.header, progress).map_err(|e| self.unreadable(e))?;
            let (behind, groups) =
                survey::behind(&*self.file, &contents, &stop).map_err(|e| self.unreadable(e))?;
            let facts = Facts { header: Page::Good, followed: false, held, behind, groups };
            match recover::decide(facts) {
                (Decision::Refuse, because) => {
                    // A live writer may have finished this group and the next between our two looks. A commit after it means that
                    // it is there by now, so if it is still bad, it is.
                    if !held || before.as_ref() == Some(&stop) {
                        return Err(self.refused(&stop, because).into());
                    }
                    before = Some(stop);
                }
                (Decision::Cut, because) => {
                    tracing::warn!(
                        segment = self.name(),
                        offset = stop.offset,
                        position = stop.position,
                        reason = stop.reason,
                        because,
                        "what lies behind the last group of the log is none of it"
                    );
                    let tail = Some(self.damage(stop.offset, stop.position, stop.reason));
                    return Ok(Last { ordinal: self.header.ordinal, contents, tail });
                }
                (Decision::Keep, _) => {
                    let clean = behind == recover::Behind::Zeros;
                    let tail = (!clean).then(|| self.damage(stop.offset, stop.position, stop.reason));
                    return Ok(Last { ordinal: self.header.ordinal, contents, tail });
                }
            }
        }
    }

    /// What a segment holds that another follows: from its index file, or by walking over it.
    pub(crate) fn sealed_contents(&self, disk: &dyn Disk, next: &Header) -> Result<(Contents, bool), Error> {
        let reason = match index_file::load(disk, &self.header, next) {
            Ok(None) => None,
            Ok(Some(Ok(contents))) if self.ends_with(&contents)? => return Ok((contents, true)),
            Ok(Some(Ok(_))) => Some("it does not fit its segment".to_owned()),
            Ok(Some(Err(reason))) => Some(reason.to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = reason {
            tracing::warn!(segment = self.name(), reason, "the index file is damaged: it is made again");
        }
        Ok((self.walk_sealed(next, &mut |_| ())?, false))
    }

    /// Holds the index file, if there is one, against what was walked over.
    pub(crate) fn check_index(
        &self,
        disk: &dyn Disk,
        next: &Header,
        walked: &Contents,
    ) -> Result<Option<Damage>, Error> {
        let name = format::index_name(self.header.ordinal);
        let reason =
            match index_file::load(disk, &self.header, next).map_err(Error::io(format!("read {name}")))? {
                None => return Ok(None),
                Some(Ok(contents)) if contents.agrees(walked) => return Ok(None),
                Some(Ok(_)) => "it says otherwise than its segment",
                Some(Err(reason)) => reason,
            };
        let reason = format!(
            "{reason}: opening the log makes it again if it finds that, and always when it is removed"
        );
        Ok(Some(Damage { segment: name, offset: 0, position: Position::new(walked.base), reason }))
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

/// What the last segment holds.
pub(crate) struct Last {
    ordinal: u64,
    pub(crate) contents: Contents,
    /// What lies behind its last whole group, where there is something.
    pub(crate) tail: Option<Damage>,
}

impl Last {
    /// Leaves out the last whole group, which nobody knows to be synced.
    pub(crate) fn without_last_group(&mut self) {
        if self.contents.without_last_group() {
            let (end, size) = (self.contents.end, self.contents.frontier.size());
            let reason = "the group here is written and not known to be synced";
            self.tail = Some(format::damage(self.ordinal, end, size, reason));
        }
    }
}

/// A directory's segments in order, and the names of files that were made ahead and never started.
pub(crate) struct Layout {
    pub(crate) segments: Vec<Segment>,
    pub(crate) unstarted: Vec<(u64, String)>,
}

/// A segment's file as it was found.
struct Found {
    ordinal: u64,
    name: String,
    file: Arc<dyn File>,
    header: Result<Header, (Page, &'static str)>,
}

impl Found {
    fn open(disk: &dyn Disk, ordinal: u64, name: String, access: Access) -> Result<Self, Error> {
        let file = disk.open(&name, access).map_err(Error::io(format!("open {name}")))?;
        let mut found = Self { ordinal, name, file, header: Err((Page::Missing, "")) };
        found.look()?;
        Ok(found)
    }

    fn look(&mut self) -> Result<(), Error> {
        let mut page = [0; HEADER_LEN];
        let n = self.file.read_at(&mut page, 0).map_err(|e| self.unreadable(e))?;
        let page = &page[..n];
        self.header = Header::decode(page)
            .map_err(|reason| (if Header::is_missing(page) { Page::Missing } else { Page::Wrong }, reason));
        Ok(())
    }

    fn unreadable(&self, source: std::io::Error) -> Error {
        Error::io(format!("read {}", self.name))(source)
    }

    /// What becomes of a file whose header is not good; why it is refused.
    fn decide(&mut self, followed: bool, held: bool) -> Result<Option<String>, Error> {
        let mut again = held;
        loop {
            let Err((header, reason)) = self.header else { return Ok(None) };
            let (behind, groups) = survey::under_no_header(&*self.file).map_err(|e| self.unreadable(e))?;
            match recover::decide(Facts { header, followed, held, behind, groups }) {
                // A live writer may have started it between our two looks. The header is durable before any group, so by now it is
                // there.
                (Decision::Refuse, _) if again => {
                    again = false;
                    self.look()?;
                }
                (Decision::Refuse, because) => return Ok(Some(format!("{reason}: {because}"))),
                (Decision::Keep | Decision::Cut, _) => return Ok(None),
            }
        }
    }
}

impl Layout {
    /// `held`: somebody else may be writing.
    pub(crate) fn read(disk: &dyn Disk, access: Access, held: bool) -> Result<Self, Error> {
        match Self::read_sound(disk, access, held)? {
            (layout, None) => Ok(layout),
            (_, Some(damage)) => Err(damage.into()),
        }
    }

    /// Reads as far as segments follow each other as they must; answers what is wrong behind those.
    pub(crate) fn read_sound(
        disk: &dyn Disk,
        access: Access,
        held: bool,
    ) -> Result<(Self, Option<Damage>), Error> {
        let names = disk.list().map_err(Error::io(format!("list {}", disk.name())))?;
        let mut ordinals: Vec<_> =
            names.into_iter().filter_map(|n| format::segment_ordinal(&n).map(|o| (o, n))).collect();
        ordinals.sort_unstable();
        let mut files = Vec::with_capacity(ordinals.len());
        for (ordinal, name) in ordinals {
            files.push(Found::open(disk, ordinal, name, access)?);
        }
        let last = files.iter().rposition(|found| found.header.is_ok());
        let mut layout = Self { segments: Vec::new(), unstarted: Vec::new() };
        for (n, mut found) in files.into_iter().enumerate() {
            let followed = last.is_some_and(|last| n < last);
            if let Some(reason) = found.decide(followed, held)? {
                let position = layout.segments.last().map_or(0, |s| s.header.base());
                return Ok((layout, Some(format::damage(found.ordinal, 0, position, reason))));
            }
            match found.header {
                Ok(header) => {
                    if let Err(damage) = layout.follow(found.ordinal, &header) {
                        return Ok((layout, Some(damage)));
                    }
                    layout.segments.push(Segment { header, file: found.file });
                }
                Err(_) => layout.unstarted.push((found.ordinal, found.name)),
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
}
