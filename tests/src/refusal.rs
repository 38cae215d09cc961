//! What a refusal says, read as a caller's program would read it.

use std::collections::BTreeMap;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A refusal, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub code: Code,
    /// `ErrorInfo.reason`; empty where there is none.
    pub reason: String,
    /// `ErrorInfo.metadata`.
    pub metadata: BTreeMap<String, String>,
    /// Fields that `BadRequest` names.
    pub fields: Vec<String>,
    /// What `PreconditionFailure` says is in the way.
    pub violations: Vec<String>,
    /// The sentence for people.
    pub message: String,
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().cloned();
        let fields = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
        let violations =
            details.precondition_failure().map(|failure| failure.violations.clone()).unwrap_or_default();
        Self {
            code: status.code(),
            reason: info.as_ref().map(|info| info.reason.clone()).unwrap_or_default(),
            metadata: info.map(|info| info.metadata.into_iter().collect()).unwrap_or_default(),
            fields: fields.into_iter().map(|violation| violation.field).collect(),
            violations: violations.into_iter().map(|violation| violation.description).collect(),
            message: status.message().to_owned(),
        }
    }
}

impl Refusal {
    /// A value of the metadata; empty where there is none.
    #[must_use]
    pub fn metadata(&self, key: &str) -> &str {
        self.metadata.get(key).map_or("", String::as_str)
    }
}

/// The refusal of an answer that had to be one.
#[track_caller]
#[must_use]
pub fn refused<T>(answer: Result<T, Status>, what: &str) -> Refusal {
    match answer {
        Ok(_) => panic!("{what} was carried out, and should have been refused"),
        Err(status) => Refusal::from(&status),
    }
}
