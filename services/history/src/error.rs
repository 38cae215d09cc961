//! Why a history cannot be shown.

use duban_log::Recorded;

/// Why a history cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A difference was asked for backwards.
    #[error("from {FROM_SEES_MORE}")]
    FromSeesMore,
    /// An event cannot be read, or an answer cannot be made of it.
    #[error("stream {stream} cannot be folded: {reason}")]
    Unreadable {
        /// The stream.
        stream: String,
        /// Why.
        reason: String,
    },
}

/// What is wrong with the first of two moments in [`HistoryError::FromSeesMore`].
pub const FROM_SEES_MORE: &str = "sees events that `to` does not: put the earlier moment first";

impl HistoryError {
    pub(crate) fn unreadable(recorded: &Recorded, reason: &impl ToString) -> Self {
        Self::Unreadable { stream: recorded.stream.to_string(), reason: reason.to_string() }
    }
}
