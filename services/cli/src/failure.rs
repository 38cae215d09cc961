//! How a verb ends, and what the shell is told.

use std::error::Error;
use std::process::ExitCode;

/// How a verb ended that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// As asked.
    Ok,
    /// A check failed; what and where is in the answer.
    Failed,
}

impl Done {
    /// Done where it holds.
    pub(crate) fn holds(ok: bool) -> Self {
        if ok { Self::Ok } else { Self::Failed }
    }
}

/// Why a verb did not run to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was asked for in a way that cannot work; nothing was done.
    Use(Box<dyn Error + Send + Sync>),
    /// Something went wrong on the way.
    Broken(Box<dyn Error + Send + Sync>),
}

impl Failure {
    /// Wrong use.
    pub(crate) fn misuse(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Use(error.into())
    }

    /// Something went wrong on the way.
    pub(crate) fn broken(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Broken(error.into())
    }
}

impl From<duban_log::Error> for Failure {
    fn from(error: duban_log::Error) -> Self {
        match error {
            duban_log::Error::Locked { .. } => Self::misuse(error),
            other => Self::broken(other),
        }
    }
}

impl From<duban_engine::data_directory::DataDirectoryError> for Failure {
    fn from(error: duban_engine::data_directory::DataDirectoryError) -> Self {
        if error.is_misuse() { Self::misuse(error) } else { Self::broken(error) }
    }
}

impl From<duban_history::conformance::ConformanceError> for Failure {
    fn from(error: duban_history::conformance::ConformanceError) -> Self {
        Self::broken(error)
    }
}

/// The exit status, after telling on stderr what went wrong and why.
pub(crate) fn exit(outcome: &Result<Done, Failure>) -> ExitCode {
    let (error, code) = match outcome {
        Ok(Done::Ok) => return ExitCode::SUCCESS,
        Ok(Done::Failed) => return ExitCode::from(1),
        Err(Failure::Broken(error)) => (error, 1),
        Err(Failure::Use(error)) => (error, 2),
    };
    eprintln!("duban: {}", chain(&**error));
    ExitCode::from(code)
}

pub(crate) use duban_codec::with_causes as chain;
