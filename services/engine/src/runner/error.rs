//! Why a command did not run. Mapped to gRPC in `grpc/error.rs` and nowhere else.

use duban_aggregates::rejection::Rejection;
use duban_aggregates::words::Stage;

use duban_projections::Stopped;

use duban_vault::keys::KeysError;

/// Why a command did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A rule stands against it.
    #[error("{rejection}")]
    Rejected {
        /// The stage now, where it is a ticket's.
        stage: Option<Stage>,
        /// The rule.
        rejection: Box<Rejection>,
    },
    /// Fields of the request cannot be read.
    #[error("{}", fields.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Fields {
        /// Each, by its name in the request.
        fields: Vec<FieldProblem>,
    },
    /// The same command id came with another request.
    #[error("this command_id was used for another request: give every command an id of its own")]
    CommandIdReused,
    /// Somebody else was faster, again and again, or the stream is not at the expected revision.
    #[error("the stream has gone on{}", actual.map_or_else(String::new, |actual| format!(": it is at revision {actual}")))]
    Conflict {
        /// The stream's revision, where known.
        actual: Option<u64>,
    },
    /// Too many commands are under way.
    #[error("the server is busy: try again shortly")]
    Overloaded,
    /// The log takes no writes now.
    #[error("the log has no space: nothing was written")]
    Full,
    /// The log cannot be used now. The command may have been written: repeat it with the same id to know.
    #[error("the log is not available: repeat the command with the same id")]
    Unavailable(#[source] duban_log::Error),
    /// The key store cannot be used now.
    #[error("the key store is not available")]
    Keys(#[from] KeysError),
    /// A read model that the command asks cannot answer now.
    #[error("{0}")]
    View(#[from] Stopped),
    /// Stored events cannot be folded. The reader stops loudly.
    #[error("stream {stream} cannot be folded: {reason}")]
    Corrupt {
        /// The stream.
        stream: String,
        /// Why.
        reason: String,
    },
}

/// A field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct FieldProblem {
    /// Its name in the request.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl RunError {
    /// One field that cannot be read.
    pub fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Fields { fields: vec![FieldProblem { field: field.into(), problem: problem.into() }] }
    }

    /// The same refusal, with the stage where the ticket is.
    pub(super) fn at_stage(self, now: Option<Stage>) -> Self {
        match self {
            Self::Rejected { stage: None, rejection } => Self::Rejected { stage: now, rejection },
            other => other,
        }
    }

    /// Whether the same command may succeed by itself a little later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::Overloaded | Self::Full | Self::Unavailable(_) => true,
            Self::Keys(error) => !matches!(error, KeysError::Erased(_) | KeysError::Unknown(_)),
            Self::View(stopped) => !matches!(stopped, Stopped::Poisoned(..)),
            Self::Rejected { .. } | Self::Fields { .. } | Self::CommandIdReused | Self::Corrupt { .. } => {
                false
            }
        }
    }
}

impl From<Rejection> for RunError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected { stage: None, rejection: Box::new(rejection) }
    }
}

impl From<duban_log::Error> for RunError {
    fn from(error: duban_log::Error) -> Self {
        match error {
            duban_log::Error::WrongExpected { actual, .. } => Self::Conflict { actual },
            duban_log::Error::Full => Self::Full,
            duban_log::Error::TooLarge { what, bytes, max } => {
                let problem =
                    format!("makes an event too large: {what} is {bytes} large, at most {max} allowed");
                Self::field("request", problem)
            }
            other => Self::Unavailable(other),
        }
    }
}
