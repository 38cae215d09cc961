use std::io;

use crate::tree::Hash;
use crate::witness::{Contradiction, together};
use crate::{Expected, Head, Position, StreamName};

/// What may go wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream is not at the revision that the append requires; nothing was written.
    #[error("stream {stream} is at {}, not at {}", revision(*actual), revision(expected.last()))]
    WrongExpected {
        /// Stream of the append.
        stream: StreamName,
        /// What the append required.
        expected: Expected,
        /// Last revision of the stream; none when it does not exist.
        actual: Option<u64>,
    },
    /// No space could be reserved on the disk: writes are refused, reads go on, and every further append tries to reserve again.
    #[error("no space could be reserved for writing: free space on the disk of the log")]
    Full,
    /// A part of an append is larger than allowed; nothing was written.
    #[error("{what} is {bytes} large, at most {max} allowed")]
    TooLarge {
        /// The part.
        what: &'static str,
        /// Its size, in bytes unless `what` says otherwise.
        bytes: usize,
        /// The limit, in the same unit.
        max: usize,
    },
    /// Something given makes no sense.
    #[error("{what} {reason}")]
    Invalid {
        /// The thing given.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The log is closed, or its writer is gone. An append that was under way may or may not have been written.
    #[error("the log is closed")]
    Closed,
    /// The servers that keep the log did not answer in time, though asked again and again. An append that was under way may or may
    /// not have been written.
    #[error("cannot {doing}: {reason}")]
    Unavailable {
        /// What was being done.
        doing: String,
        /// Why the last attempt failed.
        reason: String,
    },
    /// Another process writes to this log.
    #[error("{dir} is being written by {holder}: stop it first, or use a verb that takes --server")]
    Locked {
        /// Directory of the log.
        dir: String,
        /// Who holds the lock, as far as known.
        holder: String,
    },
    /// Stored bytes are not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The log is not the one, or not all of the one, that somebody knows. Nothing was changed.
    #[error("{dir} holds {} events (root {}…), and more is known of it: {}", head.size, short(&head.root), together(contradictions))]
    Contradicted {
        /// Directory of the log.
        dir: String,
        /// What it holds.
        head: Head,
        /// What is known otherwise.
        contradictions: Vec<Contradiction>,
    },
    /// The disk failed.
    #[error("cannot {doing}")]
    Io {
        /// What was being done, with the file.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn invalid(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { what, reason: reason.into() }
    }

    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// Enough of a hash to tell it from others.
pub(crate) fn short(hash: &Hash) -> String {
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn revision(revision: Option<u64>) -> String {
    revision.map_or_else(|| "no revision".to_owned(), |r| format!("revision {r}"))
}

/// A place where stored bytes are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{segment} is damaged at byte {offset}, position {position}: {reason}")]
pub struct Damage {
    /// File name of the segment.
    pub segment: String,
    /// Byte in that file where the bad record starts.
    pub offset: u64,
    /// Position of the event that is, or should be, there.
    pub position: Position,
    /// What is wrong.
    pub reason: String,
}
