//! Errors with the codes, words and trailers of the real server; clients tell them apart by the trailer `exception`.

use std::net::SocketAddr;

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::log::{APPEND_BYTES_MAX, Expected};

fn exception(code: Code, message: impl Into<String>, trailers: &[(&'static str, String)]) -> Status {
    let mut metadata = MetadataMap::new();
    for (key, value) in trailers {
        // A stream's name may hold what no header can; then the trailer is left out.
        if let Ok(value) = MetadataValue::try_from(value.as_str()) {
            metadata.insert(*key, value);
        }
    }
    Status::with_metadata(code, message, metadata)
}

pub(crate) fn not_leader(leader: SocketAddr) -> Status {
    let trailers = [
        ("exception", "not-leader".to_owned()),
        ("leader-endpoint-host", leader.ip().to_string()),
        ("leader-endpoint-port", leader.port().to_string()),
    ];
    exception(Code::NotFound, "Leader info available", &trailers)
}

pub(crate) fn not_ready() -> Status {
    Status::unavailable("Server Is Not Ready")
}

pub(crate) fn too_busy() -> Status {
    Status::unavailable("Server Is Too Busy")
}

/// The write may or may not have happened, or may happen still.
pub(crate) fn timed_out() -> Status {
    Status::aborted("Operation timed out: Commit phase timeout")
}

pub(crate) fn access_denied() -> Status {
    exception(Code::PermissionDenied, "Access Denied", &[("exception", "access-denied".to_owned())])
}

pub(crate) fn stream_deleted(stream: &str) -> Status {
    let trailers = [("exception", "stream-deleted".to_owned()), ("stream-name", stream.to_owned())];
    exception(Code::FailedPrecondition, format!("Event stream '{stream}' is deleted."), &trailers)
}

/// What deleting answers; appending answers with a message of its own.
pub(crate) fn wrong_expected(stream: &str, expected: Expected, current: Option<u64>) -> Status {
    let expected = match expected {
        Expected::Any => "-2".to_owned(),
        Expected::NoStream => "-1".to_owned(),
        Expected::StreamExists => "-4".to_owned(),
        Expected::Exact(revision) => revision.to_string(),
    };
    let actual = current.map_or_else(|| "-1".to_owned(), |revision| revision.to_string());
    let message = format!(
        "Delete failed due to WrongExpectedVersion. Stream: {stream}, Expected version: {expected}, Actual version: {actual}"
    );
    let trailers = [
        ("exception", "wrong-expected-version".to_owned()),
        ("stream-name", stream.to_owned()),
        ("expected-version", expected),
        ("actual-version", actual),
    ];
    exception(Code::FailedPrecondition, message, &trailers)
}

pub(crate) fn append_too_large() -> Status {
    let trailers = [
        ("exception", "maximum-append-size-exceeded".to_owned()),
        ("maximum-append-size", APPEND_BYTES_MAX.to_string()),
    ];
    exception(
        Code::InvalidArgument,
        format!("Maximum Append Size of {APPEND_BYTES_MAX} Exceeded."),
        &trailers,
    )
}

pub(crate) fn missing(property: &str) -> Status {
    let trailers = [
        ("exception", "missing-required-metadata-property".to_owned()),
        ("required-metadata-properties", "type,content-type".to_owned()),
    ];
    exception(Code::InvalidArgument, format!("Required Metadata Property '{property}' is missing"), &trailers)
}

pub(crate) fn invalid(what: &str) -> Status {
    Status::invalid_argument(format!("{what} is not valid"))
}

pub(crate) fn scavenge_not_found(id: &str) -> Status {
    let trailers = [("exception", "scavenge-not-found".to_owned()), ("scavenge-id", id.to_owned())];
    exception(Code::NotFound, "Scavenge id was invalid.", &trailers)
}
