//! The one writer: takes what is queued, writes it as one group, syncs, publishes, acknowledges. There is no timer: while one group is
//! synced, the next one gathers, so groups are as large as the load makes them.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::format::{self, COMMIT_BYTES, Commit, HEADER_BYTES, Header};
use super::layout::Segment;
use super::planted::Planted;
use super::reserve::Reserver;
use super::store::{Group, Store};
use super::{Fatal, Options};
use crate::disk::{Identity, Lock};
use crate::hub::Hub;
use crate::tree::{self, Frontier, Hash};
use crate::{Appended, Error, Expected, Head, NewEvent, Position, Recorded, StreamName, header};

/// An append, encoded and hashed by the caller, so that the writer only copies.
pub(crate) struct Request {
    stream: StreamName,
    expected: Expected,
    events: Vec<NewEvent>,
    /// Records whose checksums lack the position.
    records: Vec<u8>,
    /// Where each record starts.
    starts: Vec<u32>,
    leaves: Vec<Hash>,
    reply: oneshot::Sender<Result<Appended, Error>>,
    /// What it takes of the room for queued bytes, until it is answered.
    _room: OwnedSemaphorePermit,
}

impl Request {
    /// Of events that were checked and have so many bytes.
    pub(crate) fn new(
        stream: &StreamName,
        expected: Expected,
        events: Vec<NewEvent>,
        bytes: usize,
        room: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Result<Appended, Error>>) {
        let mut records = Vec::with_capacity(bytes);
        let mut starts = Vec::with_capacity(events.len());
        let mut leaves = Vec::with_capacity(events.len());
        for (event, n) in events.iter().zip(0..) {
            // An expectation at the very end of numbers is wrong for sure, which the writer will say.
            let revision = expected.next_revision().saturating_add(n);
            let start = format::begin(&mut records);
            header::encode(stream, revision, event, &mut records);
            leaves.push(tree::leaf_hash(&records[start + format::FRAME..]));
            format::finish(&mut records, start);
            starts.push(u32::try_from(start).unwrap_or(u32::MAX));
        }
        let (reply, answer) = oneshot::channel();
        let stream = stream.clone();
        (Self { stream, expected, events, records, starts, leaves, reply, _room: room }, answer)
    }

    fn refuse(self, error: Error) {
        // A caller that went away needs no answer.
        let _gone = self.reply.send(Err(error));
    }

    fn wrong(self, actual: Option<u64>) {
        let error = Error::WrongExpected { stream: self.stream.clone(), expected: self.expected, actual };
        self.refuse(error);
    }
}

/// The segment being written.
pub(crate) struct Current {
    pub(crate) segment: Arc<Segment>,
    /// Where the next group goes.
    pub(crate) offset: u64,
    pub(crate) len: u64,
    /// Name of the segment's file, and what it led to when the segment became the current one.
    name: String,
    identity: Identity,
}

impl Current {
    pub(crate) fn new(segment: Arc<Segment>, offset: u64, len: u64) -> std::io::Result<Self> {
        let (name, identity) = (segment.name(), segment.file.identity()?);
        Ok(Self { segment, offset, len, name, identity })
    }
}

pub(crate) struct Writer {
    pub(crate) store: Arc<Store>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) reserver: Reserver,
    pub(crate) options: Options,
    pub(crate) current: Current,
    pub(crate) frontier: Frontier,
    /// Bytes in sealed segments.
    pub(crate) sealed_bytes: u64,
    /// Held as long as anything can be written.
    pub(crate) lock: Arc<dyn Lock>,
    /// Whether it was said that readers beside this process are not told what is synced.
    pub(crate) silent: bool,
}

/// The disk failed under a group: nothing may be written any more.
struct Dead;

struct CloseHub(Arc<Hub>);

impl Drop for CloseHub {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Writer {
    /// Writes until every sender is gone and the queue is empty, or the disk fails.
    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        // However this ends, by a panic too, subscribers must not wait for ever.
        let _close = CloseHub(Arc::clone(&self.hub));
        let mut buffer = Vec::new();
        let mut batch = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            let mut bytes = first.records.len();
            batch.push(first);
            while bytes < self.options.group_bytes_max {
                let Ok(next) = queue.try_recv() else { break };
                bytes += next.records.len();
                batch.push(next);
            }
            if self.group(&mut batch, &mut buffer).is_err() {
                return;
            }
        }
    }

    fn group(&mut self, batch: &mut Vec<Request>, buffer: &mut Vec<u8>) -> Result<(), Dead> {
        buffer.clear();
        let mut last: HashMap<StreamName, u64> = HashMap::with_capacity(batch.len());
        let (mut accepted, mut refused) = (Vec::with_capacity(batch.len()), Vec::new());
        let (first, mut position) = (self.frontier.size(), self.frontier.size());
        for request in batch.drain(..) {
            let actual =
                last.get(&request.stream).copied().or_else(|| self.store.last_revision(&request.stream));
            if actual != request.expected.last() {
                refused.push((request, actual));
                continue;
            }
            let start = buffer.len();
            buffer.extend_from_slice(&request.records);
            for &record in &request.starts {
                format::stamp(&mut buffer[start + record as usize..], position);
                position += 1;
            }
            let first_revision = request.expected.next_revision();
            if !self.options.has(Planted::StaleRevision) {
                last.insert(request.stream.clone(), first_revision + (request.events.len() as u64 - 1));
            }
            accepted.push((start, request));
        }
        if !accepted.is_empty() {
            let need = (buffer.len() + COMMIT_BYTES) as u64;
            if self.current.offset + need > self.current.len && !self.roll(need)? {
                self.refuse_all(
                    accepted.into_iter().map(|(_, r)| r).chain(refused.into_iter().map(|(r, _)| r)),
                );
                return Ok(());
            }
            self.write(buffer, first, accepted)?;
        }
        // Only now: what a refusal saw of this very group is durable.
        for (request, actual) in refused {
            request.wrong(actual);
        }
        Ok(())
    }

    /// Answers a group for which there is no space. Whoever is wrong without this group hears that instead.
    fn refuse_all(&self, requests: impl Iterator<Item = Request>) {
        for request in requests {
            let actual = self.store.last_revision(&request.stream);
            if actual == request.expected.last() {
                request.refuse(Error::Full);
            } else {
                request.wrong(actual);
            }
        }
    }

    fn fatal(&self, doing: String) -> impl FnOnce(std::io::Error) -> Dead + use<> {
        let fatal = Fatal::clone(&self.options.fatal);
        move |error| {
            fatal(&Error::io(doing)(error));
            Dead
        }
    }

    fn write(
        &mut self,
        buffer: &mut Vec<u8>,
        first: u64,
        accepted: Vec<(usize, Request)>,
    ) -> Result<(), Dead> {
        let mut frontier = self.frontier.clone();
        let mut tiles = Vec::new();
        for (_, request) in &accepted {
            for leaf in &request.leaves {
                tiles.extend(frontier.push(*leaf));
            }
        }
        let (size, root, start) = (frontier.size(), frontier.root(), self.current.offset);
        Commit { first, size, root, start }.encode(buffer);
        let segment = &self.current.segment;
        let late = self.options.has(Planted::AcknowledgedBeforeSync).then(|| Arc::clone(segment));
        let written = segment.file.write_at(buffer, start).and_then(|()| match &late {
            Some(_) => Ok(()),
            None => self.sync(segment),
        });
        if let Err(error) = written {
            return Err(self.fatal(format!("write a group to {}", segment.name()))(error));
        }
        // What is synced to a file that nobody finds any more must not be acknowledged.
        if let Err(error) = self.still_there() {
            return Err(self.fatal(format!("find {} where it was", self.current.name))(error));
        }

        self.frontier = frontier;
        self.current.offset += buffer.len() as u64;
        let mut events = Vec::with_capacity(accepted.len());
        for (at, request) in &accepted {
            for &record in &request.starts {
                let offset = u32::try_from(start + *at as u64).unwrap_or(u32::MAX).saturating_add(record);
                events.push((request.stream.clone(), offset));
            }
        }
        let head = Head { position: size.checked_sub(1).map(Position::new), size, root };
        self.announce(size);
        let end = u32::try_from(self.current.offset).unwrap_or(u32::MAX);
        self.store.publish(&Group { events: &events, tiles: &tiles, head, end });
        let mut answers = Vec::with_capacity(accepted.len());
        let mut runs = Vec::with_capacity(accepted.len());
        let mut next = first;
        for (_, Request { stream, expected, events, reply, .. }) in accepted {
            let (from, first_revision, count) = (next, expected.next_revision(), events.len() as u64);
            next += count;
            let position = Position::new(next - 1);
            answers.push((
                reply,
                Appended { first_revision, last_revision: first_revision + (count - 1), position },
            ));
            runs.push((stream, from, first_revision, events));
        }
        let recorded = runs.into_iter().flat_map(|(stream, from, first_revision, events)| {
            let places = (from..).zip(first_revision..);
            events.into_iter().zip(places).map(move |(e, (p, r))| Recorded::new(p, stream.clone(), r, e))
        });
        self.hub.publish(recorded, size);
        for (reply, appended) in answers {
            // A caller that went away needs no answer.
            let _gone = reply.send(Ok(appended));
        }
        if let Some(segment) = late {
            self.sync(&segment).map_err(self.fatal(format!("sync {}", segment.name())))?;
        }
        self.reserver.used(self.current.offset);
        Ok(())
    }

    fn sync(&self, segment: &Segment) -> std::io::Result<()> {
        if self.options.has(Planted::NoSync) {
            return Ok(());
        }
        let synced = segment.file.sync();
        if synced.is_err() && self.options.has(Planted::SyncErrorForgotten) {
            return segment.file.sync();
        }
        synced
    }

    /// Whether the segment's name, by way of the directory's, still leads to the file that was written to.
    fn still_there(&self) -> std::io::Result<()> {
        if self.lock.leads_to(&self.current.name)? == Some(self.current.identity) {
            return Ok(());
        }
        let reason = "the file, or the directory, was taken away or replaced under its writer";
        Err(std::io::Error::new(std::io::ErrorKind::NotFound, reason))
    }

    /// Tells readers beside this process how much is synced. They see one group less where they are not told.
    pub(crate) fn announce(&mut self, synced: u64) {
        if let Err(error) = self.lock.announce(synced)
            && !self.silent
        {
            self.silent = true;
            tracing::warn!(%error, "readers beside this process cannot be told what is synced: they see the last group late");
        }
    }

    /// Goes on in a new segment; answers no when there is no space for one.
    fn roll(&mut self, need: u64) -> Result<bool, Dead> {
        let ordinal = self.current.segment.header.ordinal + 1;
        let Some(spare) = self.reserver.take(ordinal, HEADER_BYTES + need) else { return Ok(false) };
        let header = Header { ordinal: spare.ordinal, frontier: self.frontier.clone() };
        let starting = format!("start {}", format::segment_name(spare.ordinal));
        // The header is durable before any group is: a group under a torn header could not be told from no group.
        spare.file.write_at(&header.encode(), 0).map_err(self.fatal(starting.clone()))?;
        spare.file.sync().map_err(self.fatal(starting.clone()))?;
        self.sealed_bytes += self.current.offset;
        let segment = Arc::new(Segment { header: header.clone(), file: spare.file });
        self.store.start(Arc::clone(&segment));
        let current = Current::new(segment, HEADER_BYTES, spare.len).map_err(self.fatal(starting))?;
        let old = std::mem::replace(&mut self.current, current);
        self.reserver.want(ordinal + 1, self.options.segment_len(self.sealed_bytes));
        self.reserver.sealed(old.segment, header, Some(old.offset));
        Ok(true)
    }
}
