//! What a refusal says, read as a caller's program would read it.

use duban_client::Refusal;
use tonic::Status;

/// The refusal of an answer that had to be one.
#[track_caller]
#[must_use]
pub fn refused<T>(answer: Result<T, Status>, what: &str) -> Refusal {
    match answer {
        Ok(_) => panic!("{what} was carried out, and should have been refused"),
        Err(status) => Refusal::from(&status),
    }
}
