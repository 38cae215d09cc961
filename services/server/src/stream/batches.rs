//! What comes after a position, encoded, and shared by everybody who asks for it.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use duban_codec::to_event;
use duban_engine::runner::RunError;
use duban_log::{Direction, EventLog, Filter, Position, Recorded};
use duban_projections::stored;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use quick_cache::sync::Cache;
use quick_cache::{UnitWeighter, Weighter};

use super::token::FilterId;

/// Events in one message, at the most.
const EVENTS_MAX: usize = 128;
/// A message is full then.
const BYTES_FULL: usize = 64 * 1024;
/// Encoded batches kept, in bytes: what subscribers that are a little apart share.
const CACHE_BYTES: u64 = 64 << 20;
/// Encoded events kept: what subscribers with different filters share.
const EVENTS_CACHED: usize = 32 * 1024;

/// `repeated Event events = 1` of `SubscribeResponse`.
const EVENTS_FIELD: u32 = 1;

/// What comes after a position.
#[derive(Debug)]
pub(super) struct Batch {
    /// The events as fields of a message, ready to be sent; empty where none passes the filter.
    pub(super) events: Bytes,
    /// The last position that was looked at.
    pub(super) next: Option<Position>,
    /// Whether the log ended there.
    pub(super) end: bool,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Batch>> for Weight {
    fn weight(&self, _: &Key, batch: &Arc<Batch>) -> u64 {
        u64::try_from(batch.events.len()).unwrap_or(u64::MAX).saturating_add(64)
    }
}

type Key = (FilterId, Option<u64>);

/// Batches and encoded events, both bounded.
pub(super) struct Batches {
    log: Arc<dyn EventLog>,
    batches: Cache<Key, Arc<Batch>, Weight>,
    events: Cache<u64, Bytes, UnitWeighter>,
}

impl Batches {
    pub(super) fn new(log: Arc<dyn EventLog>) -> Self {
        let estimated = usize::try_from(CACHE_BYTES).unwrap_or(usize::MAX) / BYTES_FULL;
        let batches = Cache::with_weighter(estimated, CACHE_BYTES, Weight);
        let weight = u64::try_from(EVENTS_CACHED).unwrap_or(u64::MAX);
        Self { log, batches, events: Cache::with_weighter(EVENTS_CACHED, weight, UnitWeighter) }
    }

    /// What comes after a position. It is read once however many ask for it at the same time.
    pub(super) async fn after(
        &self,
        after: Option<Position>,
        filter: &Filter,
        id: FilterId,
    ) -> Result<Arc<Batch>, RunError> {
        let key = (id, after.map(Position::get));
        let guard = match self.batches.get_value_or_guard_async(&key).await {
            Ok(batch) => return Ok(batch),
            Err(guard) => guard,
        };
        let batch = Arc::new(self.read(after, filter).await?);
        // The log only grows: what was found after a position stays what comes after it. Nothing found may be outdated soon.
        if batch.next != after {
            let _ = guard.insert(Arc::clone(&batch));
        }
        Ok(batch)
    }

    async fn read(&self, after: Option<Position>, filter: &Filter) -> Result<Batch, RunError> {
        let page = self.log.read_all(after, Direction::Forward, filter, EVENTS_MAX).await?;
        let mut bytes = BytesMut::new();
        for (index, event) in page.events.iter().enumerate() {
            let encoded = self.encoded(event)?;
            let length = u64::try_from(encoded.len()).unwrap_or(u64::MAX);
            let field = key_len(EVENTS_FIELD) + encoded_len_varint(length) + encoded.len();
            if index > 0 && bytes.len() + field > BYTES_FULL {
                let last = page.events.get(index - 1).map(|event| event.position);
                return Ok(Batch { events: bytes.freeze(), next: last, end: false });
            }
            bytes.reserve(field);
            encode_key(EVENTS_FIELD, WireType::LengthDelimited, &mut bytes);
            encode_varint(length, &mut bytes);
            bytes.put_slice(&encoded);
        }
        Ok(Batch { events: bytes.freeze(), next: page.next, end: page.end })
    }

    fn encoded(&self, event: &Recorded) -> Result<Bytes, RunError> {
        let position = event.position.get();
        if let Some(encoded) = self.events.get(&position) {
            return Ok(encoded);
        }
        let public = to_event(&stored(event)).map_err(|error| RunError::Corrupt {
            stream: event.stream.to_string(),
            reason: error.to_string(),
        })?;
        let encoded = Bytes::from(public.encode_to_vec());
        self.events.insert(position, encoded.clone());
        Ok(encoded)
    }
}
