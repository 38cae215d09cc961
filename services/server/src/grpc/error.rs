//! The one mapping from why something did not happen to what a gRPC caller reads (design.md section 5).

use std::collections::HashMap;
use std::time::Duration;

use duban_aggregates::rejection::{Class, Rejection};
use duban_aggregates::words::Stage;
use duban_engine::runner::{FieldProblem, RunError};
use duban_history::error::{FROM_SEES_MORE, HistoryError};
use duban_projections::Stopped;
use duban_vault::keys::KeysError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt};

use crate::access::ERROR_DOMAIN;

/// When a caller may try again, where the server could not just now.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// The same where somebody has to make room on a disk first.
const RETRY_AFTER_FULL: Duration = Duration::from_secs(30);

/// What separates the elements of a list in `ErrorInfo.metadata`, whose values are plain text.
const SEPARATOR: &str = "; ";

/// What a caller reads of why a command did not run.
pub(crate) fn refused(error: RunError) -> Status {
    let message = error.to_string();
    match error {
        RunError::Rejected { stage, rejection } => rejected(stage, &rejection),
        RunError::Fields { fields } => bad_request(&fields),
        RunError::CommandIdReused => {
            let field = "command_id".to_owned();
            bad_request(&[FieldProblem { field, problem: "was used for another request".to_owned() }])
        }
        RunError::Conflict { actual } => {
            let actual = actual.map(|actual| ("revision_now", actual.to_string()));
            informed(Code::Aborted, message, "STREAM_HAS_GONE_ON", actual)
        }
        RunError::Overloaded => later(Code::ResourceExhausted, message, "SERVER_BUSY", RETRY_AFTER),
        RunError::Full => later(Code::ResourceExhausted, message, "LOG_FULL", RETRY_AFTER_FULL),
        RunError::Unavailable(source) => {
            caused(later(Code::Unavailable, message, "LOG_UNAVAILABLE", RETRY_AFTER), source)
        }
        RunError::Keys(error) => keys(error),
        RunError::View(view) => stopped(view),
        RunError::Corrupt { .. } => {
            let told = "the stored history cannot be read: the operator has been told";
            let status = informed(Code::DataLoss, told.to_owned(), "HISTORY_UNREADABLE", None);
            caused(status, error)
        }
    }
}

/// What a caller reads of why a history is not shown.
pub(crate) fn unshown(error: HistoryError) -> Status {
    refused(match error {
        HistoryError::FromSeesMore => RunError::field("from", FROM_SEES_MORE),
        HistoryError::Unreadable { stream, reason } => RunError::Corrupt { stream, reason },
    })
}

/// A refusal, with what programs need to go on: the reason, the stage now and needed, what is missing.
fn rejected(stage: Option<Stage>, rejection: &Rejection) -> Status {
    let code = match rejection.class() {
        Class::Rule => Code::FailedPrecondition,
        Class::NotYours => Code::PermissionDenied,
        Class::Unknown => Code::NotFound,
        Class::Invalid => Code::InvalidArgument,
    };
    let missing: Vec<String> = rejection.missing().iter().map(ToString::to_string).collect();
    let stage_now = stage.map(|stage| ("stage_now", stage.name().to_owned()));
    let stage_needed = rejection.stage_needed().map(|stage| ("stage_needed", stage.name().to_owned()));
    let missing_joined = (!missing.is_empty()).then(|| ("missing", missing.join(SEPARATOR)));
    let metadata = [stage_now, stage_needed, missing_joined, names(rejection)].into_iter().flatten();
    let mut details = info(rejection.reason(), metadata);
    match rejection {
        Rejection::Invalid { field, problem } => {
            details.set_bad_request(vec![FieldViolation::new(*field, problem.to_string())]);
        }
        _ if code == Code::FailedPrecondition => {
            let subject = stage.map_or("stream", Stage::name);
            let violation = |what: String| PreconditionViolation::new(rejection.reason(), subject, what);
            let said = if missing.is_empty() { vec![rejection.to_string()] } else { missing.clone() };
            details.set_precondition_failure(said.into_iter().map(violation).collect::<Vec<_>>());
        }
        _ => {}
    }
    Status::with_error_details(code, sentence(rejection, &missing), details)
}

/// The ticket that a refusal sends the caller to.
fn names(rejection: &Rejection) -> Option<(&'static str, String)> {
    match rejection {
        Rejection::OpenTicketExists { ticket } | Rejection::ReopenInstead { ticket } => {
            Some(("ticket_id", ticket.to_string()))
        }
        _ => None,
    }
}

fn sentence(rejection: &Rejection, missing: &[String]) -> String {
    let stages = match rejection {
        Rejection::OutOfTurn { now, needed, .. } if now != needed => {
            format!(": it is at {}, and this needs {}", now.name(), needed.name())
        }
        _ => String::new(),
    };
    let missing =
        if missing.is_empty() { String::new() } else { format!("; missing: {}", missing.join(SEPARATOR)) };
    format!("{rejection}{stages}{missing}")
}

/// INVALID_ARGUMENT, with each field by name.
pub(crate) fn bad_request(fields: &[FieldProblem]) -> Status {
    let mut details = info("INVALID_FIELD", None);
    let violation = |wrong: &FieldProblem| FieldViolation::new(&wrong.field, &wrong.problem);
    details.set_bad_request(fields.iter().map(violation).collect::<Vec<_>>());
    let message: Vec<String> = fields.iter().map(ToString::to_string).collect();
    Status::with_error_details(Code::InvalidArgument, message.join(SEPARATOR), details)
}

fn keys(error: KeysError) -> Status {
    let message = error.to_string();
    match error {
        KeysError::Erased(_) => informed(Code::FailedPrecondition, message, "CUSTOMER_ERASED", None),
        KeysError::Full => later(Code::ResourceExhausted, message, "KEYS_FULL", RETRY_AFTER_FULL),
        KeysError::DamagedKey(_) | KeysError::Damaged { .. } => {
            let told = "the customer's key cannot be read: the operator has been told".to_owned();
            caused(informed(Code::DataLoss, told, "KEY_UNREADABLE", None), error)
        }
        // A ticket's customer has a key: without one the key store is not the one that belongs to the log.
        _ => {
            let told = "the key store is not available".to_owned();
            caused(later(Code::Unavailable, told, "KEYS_UNAVAILABLE", RETRY_AFTER), error)
        }
    }
}

/// A read model that is not where it has to be.
pub(crate) fn stopped(stopped: Stopped) -> Status {
    let message = stopped.to_string();
    match stopped {
        Stopped::Behind(..) => later(Code::Unavailable, message, "READ_MODEL_BEHIND", RETRY_AFTER),
        Stopped::Log(..) | Stopped::Table(..) | Stopped::Panicked(..) => {
            caused(later(Code::Unavailable, message, "READ_MODEL_STOPPED", RETRY_AFTER), stopped)
        }
        Stopped::Poisoned(..) => {
            caused(informed(Code::DataLoss, message, "READ_MODEL_STOPPED", None), stopped)
        }
    }
}

/// Something that no caller can cause is wrong with this server: the source of its status.
#[derive(Debug, thiserror::Error)]
#[error("the server is at fault")]
pub(crate) struct Fault;

/// INTERNAL: see [`Fault`].
pub(crate) fn fault(message: impl Into<String>) -> Status {
    let mut status = Status::internal(message);
    status.set_source(std::sync::Arc::new(Fault));
    status
}

/// A stream that is not there.
pub(crate) fn unknown(reason: &'static str, message: &str) -> Status {
    informed(Code::NotFound, message.to_owned(), reason, None)
}

/// Somebody else's ticket, where only the state tells whose it is.
pub(crate) fn not_yours(whose: &str) -> RunError {
    Rejection::NotYours { whose: whose.to_owned() }.into()
}

pub(crate) fn later(code: Code, message: String, reason: &'static str, after: Duration) -> Status {
    let mut details = info(reason, None);
    details.set_retry_info(Some(after));
    Status::with_error_details(code, message, details)
}

pub(crate) fn informed(
    code: Code,
    message: String,
    reason: &'static str,
    metadata: impl IntoIterator<Item = (&'static str, String)>,
) -> Status {
    Status::with_error_details(code, message, info(reason, metadata))
}

fn info(reason: &'static str, metadata: impl IntoIterator<Item = (&'static str, String)>) -> ErrorDetails {
    let metadata: HashMap<String, String> =
        metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata)
}

/// The cause is for the operator's log line, never for the caller.
fn caused(mut status: Status, cause: impl std::error::Error + Send + Sync + 'static) -> Status {
    status.set_source(std::sync::Arc::new(cause));
    status
}

#[cfg(test)]
mod tests;
