//! The replicated log, as all nodes would have it: records in one order, streams over them, and the rules of appending.
//!
//! Nothing here knows of nodes or connections. What a node shows of the log is a [`View`]: how far it has got, and what it has scavenged.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::SmallRng;
use uuid::Uuid;

/// The revision under which a tombstone stands, and the `$tb` of a stream that was deleted.
pub(crate) const DELETED: u64 = i64::MAX.unsigned_abs();

/// Most bytes of payload in one append.
pub(crate) const APPEND_BYTES_MAX: usize = 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it begins in the log, in bytes; both the commit and the prepare position.
    pub position: u64,
    /// The stream's name.
    pub stream: Arc<str>,
    /// Its place in the stream.
    pub revision: u64,
    /// As the client chose it.
    pub id: Uuid,
    /// The event's type.
    pub kind: String,
    /// Whether the client called its data JSON.
    pub json: bool,
    /// When it was written, in 100 nanoseconds since 1970.
    pub created_ticks: u64,
    /// What the client put beside the data.
    pub metadata: Bytes,
    /// The payload.
    pub data: Bytes,
}

/// An event that is to be appended.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) json: bool,
    pub(crate) metadata: Bytes,
    pub(crate) data: Bytes,
}

/// What an append requires of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Any,
    NoStream,
    StreamExists,
    Exact(u64),
}

/// What is to be done with an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing stands against it. The stream was deleted before, and begins again.
    Write { again: bool },
    /// It was written already; the index of its last record.
    Repeat { last: usize },
    /// The stream is elsewhere; its last revision.
    Wrong { current: Option<u64> },
    /// The stream is under a tombstone, or deleted and required to exist.
    Deleted,
}

/// What a node shows of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// Records before this index.
    pub(crate) limit: usize,
    /// Records that the node has scavenged.
    pub(crate) dropped: &'a HashSet<usize>,
    /// What `$maxAge` counts back from, in 100 nanoseconds since 1970.
    pub(crate) now_ticks: u64,
}

/// The part of a stream that may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    NotFound,
    Deleted,
    /// From the first revision on, which may lie beyond the last.
    Open {
        first: u64,
        last: u64,
        created_ticks_min: u64,
    },
}

/// How long a stream keeps its events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Keeping {
    count_max: Option<u64>,
    age_seconds_max: Option<u64>,
    truncate_before: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    records: Vec<Arc<Record>>,
    /// Indexes of a stream's records; the place in here is the revision.
    streams: HashMap<Arc<str>, Vec<usize>>,
    tombstones: HashMap<Arc<str>, usize>,
    /// Ids that the leader remembers for appends that do not say where they belong; forgotten when the leader changes.
    recent: HashMap<Uuid, usize>,
    /// Where the next record begins.
    end: u64,
}

impl Log {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Where the next record begins.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn record(&self, index: usize) -> &Arc<Record> {
        &self.records[index]
    }

    /// The first record at a position or after it.
    pub(crate) fn index_at(&self, position: u64) -> usize {
        self.records.partition_point(|record| record.position < position)
    }

    /// Indexes of a stream's records before a limit.
    pub(crate) fn entries(&self, stream: &str, limit: usize) -> &[usize] {
        let entries = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
        &entries[..entries.partition_point(|index| *index < limit)]
    }

    pub(crate) fn forget_recent(&mut self) {
        self.recent.clear();
    }

    /// Whether an append may be written, was written before, or never can be.
    pub(crate) fn check(&self, stream: &str, expected: Expected, ids: &[Uuid]) -> Verdict {
        if self.tombstones.contains_key(stream) {
            return Verdict::Deleted;
        }
        let entries = self.entries(stream, self.len());
        let wrong = Verdict::Wrong { current: last_of(entries) };
        let again = self.keeping(stream, self.len()).truncate_before == Some(DELETED);
        let place = match expected {
            Expected::Any => return self.check_anywhere(stream, ids, wrong, again),
            Expected::StreamExists if again => return Verdict::Deleted,
            Expected::StreamExists => {
                let described = self.streams.contains_key(format!("$${stream}").as_str());
                if entries.is_empty() && !described {
                    return wrong;
                }
                return self.check_anywhere(stream, ids, wrong, again);
            }
            Expected::NoStream => 0,
            Expected::Exact(revision) => {
                usize::try_from(revision).map_or(usize::MAX, |r| r.saturating_add(1))
            }
        };
        if place == entries.len() {
            return Verdict::Write { again };
        }
        if place > entries.len() || ids.is_empty() {
            return wrong;
        }
        let written = |(offset, id): (usize, &Uuid)| {
            entries.get(place + offset).filter(|index| self.records[**index].id == *id).copied()
        };
        match ids.iter().enumerate().map(written).collect::<Option<Vec<_>>>() {
            Some(indexes) => indexes.last().map_or(wrong, |last| Verdict::Repeat { last: *last }),
            None if again && expected == Expected::NoStream && written((0, &ids[0])).is_none() => {
                Verdict::Write { again }
            }
            None => wrong,
        }
    }

    /// Without a place, only ids that the leader happens to remember tell a repeat; half a repeat is wrong.
    fn check_anywhere(&self, stream: &str, ids: &[Uuid], wrong: Verdict, again: bool) -> Verdict {
        let known = |id: &Uuid| {
            let index = *self.recent.get(id)?;
            (*self.records[index].stream == *stream).then_some(index)
        };
        if ids.first().is_none_or(|id| known(id).is_none()) {
            return Verdict::Write { again };
        }
        match ids.iter().map(known).collect::<Option<Vec<_>>>() {
            Some(indexes) => indexes.last().map_or(wrong, |last| Verdict::Repeat { last: *last }),
            None => wrong,
        }
    }

    /// Writes events at the end of a stream. The caller has checked that they may be.
    pub(crate) fn push(
        &mut self,
        stream: &str,
        events: Vec<Proposal>,
        now_ticks: u64,
        random: &mut SmallRng,
    ) -> Range<usize> {
        let start = self.len();
        let stream: Arc<str> = match self.streams.get_key_value(stream) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(stream),
        };
        for event in events {
            let index = self.len();
            let entries = self.streams.entry(Arc::clone(&stream)).or_default();
            let revision = entries.len() as u64;
            entries.push(index);
            self.recent.insert(event.id, index);
            self.store(Arc::clone(&stream), revision, event, now_ticks, random);
        }
        start..self.len()
    }

    /// Writes the tombstone of a stream; what is in it cannot be read any more, and nothing can be added.
    pub(crate) fn bury(
        &mut self,
        stream: &str,
        id: Uuid,
        now_ticks: u64,
        random: &mut SmallRng,
    ) -> Range<usize> {
        let index = self.len();
        let stream: Arc<str> = Arc::from(stream);
        self.tombstones.insert(Arc::clone(&stream), index);
        let kind = "$streamDeleted".to_owned();
        let event =
            Proposal { id, kind, json: true, metadata: Bytes::new(), data: Bytes::from_static(b"{}") };
        self.store(stream, DELETED, event, now_ticks, random);
        index..index + 1
    }

    fn store(
        &mut self,
        stream: Arc<str>,
        revision: u64,
        event: Proposal,
        created_ticks: u64,
        random: &mut SmallRng,
    ) {
        let Proposal { id, kind, json, metadata, data } = event;
        // About what a record takes on the real thing's disk; the next one never begins where one could guess.
        let bytes = 80 + stream.len() + kind.len() + metadata.len() + data.len() + random.random_range(0..48);
        let position = self.end;
        self.end += bytes as u64;
        self.records.push(Arc::new(Record {
            position,
            stream,
            revision,
            id,
            kind,
            json,
            created_ticks,
            metadata,
            data,
        }));
    }

    /// Takes away everything from an index on, as a node does that was deposed: those records never were.
    pub(crate) fn truncate(&mut self, len: usize) {
        while self.records.len() > len {
            let index = self.records.len() - 1;
            let Some(record) = self.records.pop() else { return };
            self.end = record.position;
            if record.revision == DELETED {
                self.tombstones.remove(&record.stream);
                continue;
            }
            if self.recent.get(&record.id) == Some(&index) {
                self.recent.remove(&record.id);
            }
            if let Some(entries) = self.streams.get_mut(&record.stream) {
                entries.pop();
                if entries.is_empty() {
                    self.streams.remove(&record.stream);
                }
            }
        }
    }

    /// What may be read of a stream.
    pub(crate) fn window(&self, stream: &str, view: View<'_>) -> Window {
        if self.tombstones.get(stream).is_some_and(|index| *index < view.limit) {
            return Window::Deleted;
        }
        let Some(last) = last_of(self.entries(stream, view.limit)) else { return Window::NotFound };
        let keeping = self.keeping(stream, view.limit);
        if keeping.truncate_before == Some(DELETED) {
            return Window::NotFound;
        }
        let by_count = keeping.count_max.map_or(0, |count| (last + 1).saturating_sub(count));
        let first = by_count.max(keeping.truncate_before.unwrap_or(0));
        let age_ticks_max = keeping.age_seconds_max.map(|seconds| seconds.saturating_mul(10_000_000));
        let created_ticks_min = age_ticks_max.map_or(0, |age| view.now_ticks.saturating_sub(age));
        Window::Open { first, last, created_ticks_min }
    }

    /// A stream's events of certain revisions, as far as they are readable and still there.
    pub(crate) fn readable(
        &self,
        stream: &str,
        view: View<'_>,
        revisions: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = Arc<Record>> {
        let (first, created_ticks_min) = match self.window(stream, view) {
            Window::Open { first, created_ticks_min, .. } => (first, created_ticks_min),
            Window::NotFound | Window::Deleted => (u64::MAX, 0),
        };
        let entries = self.entries(stream, view.limit);
        let place = |revision: u64| usize::try_from(revision).unwrap_or(usize::MAX).min(entries.len());
        let range = place(revisions.start.max(first))..place(revisions.end);
        let entries = if range.is_empty() { &[][..] } else { &entries[range] };
        let there = entries.iter().filter(move |index| !view.dropped.contains(*index));
        let records = there.map(|index| Arc::clone(&self.records[*index]));
        records.filter(move |record| record.created_ticks >= created_ticks_min)
    }

    /// Indexes that a scavenge of everything before a position takes away. The last event of a stream stays unless the stream is
    /// under a tombstone, also when it was deleted: the real server keeps it too, so as to know how the stream goes on.
    pub(crate) fn superfluous(&self, view: View<'_>, before: u64) -> Vec<usize> {
        let mut superfluous: Vec<usize> = Vec::new();
        for (stream, entries) in &self.streams {
            let entries = &entries[..entries.partition_point(|index| *index < view.limit)];
            let owner = stream.strip_prefix("$$").unwrap_or(stream);
            let buried = self.tombstones.get(owner).is_some_and(|index| *index < view.limit);
            let Some((last, others)) = entries.split_last() else { continue };
            if buried {
                superfluous.extend(entries);
                continue;
            }
            match self.window(stream, view) {
                Window::Open { first, created_ticks_min, .. } => {
                    superfluous.extend(others.iter().filter(|index| {
                        let record = &self.records[**index];
                        record.revision < first || record.created_ticks < created_ticks_min
                    }));
                }
                Window::NotFound | Window::Deleted => superfluous.extend(others.iter().filter(|i| *i < last)),
            }
        }
        superfluous.retain(|index| self.records[*index].position < before);
        superfluous
    }

    /// The stream's metadata with its `$tb` set.
    pub(crate) fn metadata_with(&self, stream: &str, truncate_before: u64) -> Proposal {
        let mut metadata = self.metadata(stream, self.len());
        metadata.insert("$tb".to_owned(), truncate_before.into());
        let data = Bytes::from(serde_json::Value::Object(metadata).to_string());
        Proposal { id: Uuid::nil(), kind: "$metadata".to_owned(), json: true, metadata: Bytes::new(), data }
    }

    fn metadata(&self, stream: &str, limit: usize) -> serde_json::Map<String, serde_json::Value> {
        let described = self.entries(&format!("$${stream}"), limit).last();
        let parsed = described.map(|index| serde_json::from_slice(&self.records[*index].data));
        // As on the real server, metadata that is no JSON object says nothing.
        match parsed {
            Some(Ok(serde_json::Value::Object(metadata))) => metadata,
            _ => serde_json::Map::new(),
        }
    }

    fn keeping(&self, stream: &str, limit: usize) -> Keeping {
        if stream.starts_with("$$") {
            return Keeping { count_max: Some(1), ..Keeping::default() };
        }
        let metadata = self.metadata(stream, limit);
        let number = |key: &str| metadata.get(key).and_then(serde_json::Value::as_u64);
        Keeping {
            count_max: number("$maxCount"),
            age_seconds_max: number("$maxAge"),
            truncate_before: number("$tb"),
        }
    }
}

fn last_of(entries: &[usize]) -> Option<u64> {
    entries.len().checked_sub(1).map(|last| last as u64)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    struct Bench {
        log: Log,
        random: SmallRng,
    }

    impl Bench {
        fn new() -> Self {
            Self { log: Log::default(), random: SmallRng::seed_from_u64(1) }
        }

        fn push(&mut self, stream: &str, ids: &[u128]) {
            let event = |id: &u128| Proposal {
                id: Uuid::from_u128(*id),
                kind: "happened".to_owned(),
                json: false,
                metadata: Bytes::new(),
                data: Bytes::from_static(b"x"),
            };
            self.log.push(stream, ids.iter().map(event).collect(), 10, &mut self.random);
        }

        fn describe(&mut self, stream: &str, metadata: &'static str) {
            let data = Bytes::from_static(metadata.as_bytes());
            let (kind, id) =
                ("$metadata".to_owned(), Uuid::from_u128(u128::from(self.random.random::<u64>())));
            let event = Proposal { id, kind, json: true, metadata: Bytes::new(), data };
            self.log.push(&format!("$${stream}"), vec![event], 10, &mut self.random);
        }

        #[track_caller]
        fn check(&self, expected: Expected, ids: &[u128], verdict: Verdict) {
            let ids: Vec<_> = ids.iter().copied().map(Uuid::from_u128).collect();
            assert_eq!(self.log.check("a", expected, &ids), verdict);
        }

        #[track_caller]
        fn reads(&self, revisions: &[u64]) {
            let dropped = HashSet::new();
            let view = View { limit: self.log.len(), dropped: &dropped, now_ticks: 10 };
            let read: Vec<_> = self.log.readable("a", view, 0..u64::MAX).map(|r| r.revision).collect();
            assert_eq!(read, revisions);
        }
    }

    #[test]
    fn a_repeat_at_its_place_is_known_by_its_ids_and_half_a_repeat_is_wrong() {
        let mut bench = Bench::new();
        bench.check(Expected::NoStream, &[1, 2], Verdict::Write { again: false });
        bench.check(Expected::StreamExists, &[1], Verdict::Wrong { current: None });
        bench.push("a", &[1, 2, 3]);
        bench.check(Expected::NoStream, &[1, 2], Verdict::Repeat { last: 1 });
        bench.check(Expected::Exact(0), &[2, 3], Verdict::Repeat { last: 2 });
        bench.check(Expected::Exact(0), &[2, 9], Verdict::Wrong { current: Some(2) });
        bench.check(Expected::Exact(1), &[3, 4], Verdict::Wrong { current: Some(2) });
        bench.check(Expected::Exact(7), &[3], Verdict::Wrong { current: Some(2) });
        bench.check(Expected::Exact(2), &[4], Verdict::Write { again: false });
        bench.check(Expected::Any, &[2, 3], Verdict::Repeat { last: 2 });
        bench.check(Expected::Any, &[2, 9], Verdict::Wrong { current: Some(2) });
        bench.log.forget_recent();
        bench.check(Expected::Any, &[2, 3], Verdict::Write { again: false });
        bench.check(Expected::Exact(0), &[2, 3], Verdict::Repeat { last: 2 });
    }

    #[test]
    fn a_deleted_stream_goes_on_where_it_ended_and_a_buried_one_never() {
        let mut bench = Bench::new();
        bench.push("a", &[1, 2]);
        let deleted = bench.log.metadata_with("a", DELETED);
        bench.log.push("$$a", vec![deleted], 10, &mut bench.random);
        bench.reads(&[]);
        bench.check(Expected::NoStream, &[9], Verdict::Write { again: true });
        bench.check(Expected::NoStream, &[1], Verdict::Repeat { last: 0 });
        bench.check(Expected::StreamExists, &[9], Verdict::Deleted);
        bench.log.bury("a", Uuid::nil(), 10, &mut bench.random);
        bench.check(Expected::Any, &[9], Verdict::Deleted);
    }

    #[test]
    fn what_is_truncated_never_was() {
        let mut bench = Bench::new();
        bench.push("a", &[1, 2]);
        let end = bench.log.end;
        bench.push("b", &[3]);
        bench.push("a", &[4]);
        bench.log.truncate(2);
        assert_eq!(bench.log.end, end);
        bench.check(Expected::Exact(1), &[4], Verdict::Write { again: false });
        bench.check(Expected::Any, &[4], Verdict::Write { again: false });
        assert!(bench.log.entries("b", bench.log.len()).is_empty());
    }

    #[test]
    fn metadata_bounds_what_is_read_and_scavenging_leaves_the_last_event() {
        let mut bench = Bench::new();
        bench.push("a", &[1, 2, 3, 4]);
        bench.describe("a", r#"{"$maxCount":3}"#);
        bench.reads(&[1, 2, 3]);
        bench.describe("a", r#"{"$maxCount":3,"$tb":3}"#);
        bench.reads(&[3]);
        bench.describe("a", "not json");
        bench.reads(&[0, 1, 2, 3]);
        let deleted = bench.log.metadata_with("a", DELETED);
        bench.log.push("$$a", vec![deleted], 10, &mut bench.random);
        let nothing = HashSet::new();
        let view = |log: &Log| View { limit: log.len(), dropped: &nothing, now_ticks: 10 };
        let mut gone = bench.log.superfluous(view(&bench.log), u64::MAX);
        gone.sort_unstable();
        assert_eq!(gone, [0, 1, 2, 4, 5, 6], "the last event, and the newest metadata, stay");
        bench.log.bury("a", Uuid::nil(), 10, &mut bench.random);
        let mut gone = bench.log.superfluous(view(&bench.log), u64::MAX);
        gone.sort_unstable();
        assert_eq!(gone, [0, 1, 2, 3, 4, 5, 6, 7], "only the tombstone stays");
    }

    #[test]
    fn old_events_are_not_read() {
        let mut bench = Bench::new();
        bench.push("a", &[1]);
        bench.describe("a", r#"{"$maxAge":2}"#);
        let nothing = HashSet::new();
        let at = |now_ticks| View { limit: bench.log.len(), dropped: &nothing, now_ticks };
        assert_eq!(bench.log.readable("a", at(20_000_010), 0..9).count(), 1);
        assert_eq!(bench.log.readable("a", at(20_000_011), 0..9).count(), 0);
    }
}
