//! Many appends after each other, for whoever writes a whole history: they share syncs, and keep their order.

use futures::StreamExt;
use futures::stream::FuturesOrdered;

use crate::{Direction, Error, EventLog, Expected, Filter, NewEvent, StreamName};

/// What is appended to one stream.
#[derive(Clone, Debug)]
pub struct BulkAppend {
    /// The stream.
    pub stream: StreamName,
    /// Where the stream must be before.
    pub expected: Expected,
    /// What is added.
    pub events: Vec<NewEvent>,
}

/// Appends under way at once; no more than the log queues without letting anybody wait.
const AT_ONCE: usize = 2048;

/// Appends in the given order, many under way at once, so that they share syncs: what is durable after a crash is a beginning of them,
/// and one append need not wait for the one before it on its stream.
///
/// # Errors
/// That of the first append that fails; what came after it may or may not have been written.
pub async fn append_in_order(
    log: &dyn EventLog,
    appends: impl IntoIterator<Item = BulkAppend>,
) -> Result<(), Error> {
    let mut appends = appends.into_iter();
    let mut under_way = FuturesOrdered::new();
    // Unconstrained: where tokio made a task yield in the middle of its sends, they would reach the log in another order.
    tokio::task::unconstrained(async {
        loop {
            while under_way.len() < AT_ONCE
                && let Some(BulkAppend { stream, expected, events }) = appends.next()
            {
                under_way.push_back(async move { log.append(&stream, expected, events).await });
            }
            match under_way.next().await {
                Some(appended) => drop(appended?),
                None => return Ok(()),
            }
        }
    })
    .await
}

/// When the log's last event was recorded, in microseconds since 1970, below which its clock must not fall; 0 of an empty log.
///
/// # Errors
/// As [`EventLog::read_all`].
pub async fn last_recorded_at(log: &dyn EventLog) -> Result<i64, Error> {
    let page = log.read_all(None, Direction::Backward, &Filter::all(), 1).await?;
    Ok(page.events.first().map_or(0, |event| event.recorded_at))
}
