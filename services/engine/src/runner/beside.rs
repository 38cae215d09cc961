//! What a runner does differently where other servers write to the same log.

use duban_log::{Direction, NewEvent, Recorded, StreamName};
use uuid::Uuid;

use super::Runner;
use super::aggregate::Aggregate;
use super::error::RunError;
use super::stream_cache::FoldedStream;

impl Runner {
    /// Brings what is folded up to what the log holds now. Answers whether the stream had gone on.
    pub(super) async fn catch_up<A: Aggregate>(
        &self,
        id: Uuid,
        slot: &mut Option<FoldedStream<A>>,
    ) -> Result<bool, RunError> {
        // Taken out, so that a call that is dropped or fails here leaves nothing half folded.
        let (known, folded) = match slot.take() {
            Some(folded) if folded.stream.is_some() => (folded.position, self.fold_on(folded).await?),
            // There was none, and there may be one now.
            _ => (None, self.load(id).await?),
        };
        let gone_on = folded.position != known;
        *slot = Some(folded);
        Ok(gone_on)
    }

    /// An engine that knows events by their ids answers a repeated append as it answered the first. So where another server
    /// has carried out the same command, what the log holds was decided there, at another moment: it is theirs that must be
    /// folded and answered.
    pub(super) async fn confirm(
        &self,
        stream: &StreamName,
        first_revision: u64,
        sent: &[NewEvent],
    ) -> Result<(), RunError> {
        // One more, so that a longer answer to the same command is not taken for this one.
        let kept = self.log.read_stream(stream, first_revision, Direction::Forward, sent.len() + 1).await?;
        let ours = |(sent, kept): (&NewEvent, &Recorded)| {
            sent.id == kept.id
                && sent.recorded_at == kept.recorded_at
                && sent.metadata == kept.metadata
                && sent.payload == kept.payload
        };
        let whole = kept.len() >= sent.len() && sent.iter().zip(&kept).all(ours);
        let longer =
            kept.get(sent.len()).zip(sent.last()).is_some_and(|(next, last)| next.metadata == last.metadata);
        if whole && !longer { Ok(()) } else { Err(RunError::Conflict { actual: None }) }
    }
}
