//! What a refusal says, taken apart as a caller's program reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// What separates the elements of a list in `ErrorInfo.metadata`, whose values are plain text.
const SEPARATOR: &str = "; ";

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub code: Code,
    /// `ErrorInfo.reason`, in capitals; empty where there is none.
    pub reason: String,
    /// Where the ticket stands.
    pub stage_now: Option<String>,
    /// Where it would have to stand.
    pub stage_needed: Option<String>,
    /// What is missing before the command can be carried out.
    pub missing: Vec<String>,
    /// Fields that `BadRequest` names.
    pub fields: Vec<Violation>,
    /// What `PreconditionFailure` says is in the way.
    pub preconditions: Vec<Violation>,
    /// When the same may be sent again.
    pub retry_after: Option<Duration>,
    /// `ErrorInfo.metadata`, whole.
    pub metadata: BTreeMap<String, String>,
    /// The sentence for people.
    pub message: String,
}

/// One thing that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which kind of condition; empty for a field.
    pub kind: String,
    /// The field, or what the condition is about.
    pub subject: String,
    /// What is wrong with it.
    pub description: String,
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let (reason, metadata) = details
            .error_info()
            .map(|info| (info.reason.clone(), info.metadata.clone().into_iter().collect()))
            .unwrap_or_default();
        let metadata: BTreeMap<String, String> = metadata;
        let fields = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
        let preconditions =
            details.precondition_failure().map(|failure| failure.violations.clone()).unwrap_or_default();
        let field = |it: tonic_types::FieldViolation| Violation {
            kind: String::new(),
            subject: it.field,
            description: it.description,
        };
        let precondition = |it: tonic_types::PreconditionViolation| Violation {
            kind: it.r#type,
            subject: it.subject,
            description: it.description,
        };
        let missing = metadata.get("missing").map(|joined| joined.split(SEPARATOR).map(str::to_owned));
        Self {
            code: status.code(),
            reason,
            stage_now: metadata.get("stage_now").cloned(),
            stage_needed: metadata.get("stage_needed").cloned(),
            missing: missing.map(Iterator::collect).unwrap_or_default(),
            fields: fields.into_iter().map(field).collect(),
            preconditions: preconditions.into_iter().map(precondition).collect(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            metadata,
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

    /// The fields that are wrong, by name.
    #[must_use]
    pub fn field_names(&self) -> Vec<&str> {
        self.fields.iter().map(|violation| violation.subject.as_str()).collect()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::{ErrorDetails, PreconditionViolation};

    use super::*;

    #[test]
    fn a_refusal_says_the_stage_now_the_stage_needed_and_what_is_missing() {
        let metadata = [("stage_now", "reply"), ("stage_needed", "inspect"), ("missing", "a reply; a call")];
        let metadata: HashMap<String, String> =
            metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let mut details = ErrorDetails::with_error_info("OUT_OF_TURN", "duban", metadata);
        details.set_precondition_failure(vec![PreconditionViolation::new("OUT_OF_TURN", "reply", "a reply")]);
        let status = Status::with_error_details(Code::FailedPrecondition, "out of turn", details);
        let refusal = Refusal::from(&status);
        assert_eq!(refusal.reason, "OUT_OF_TURN");
        assert_eq!(refusal.stage_now.as_deref(), Some("reply"));
        assert_eq!(refusal.stage_needed.as_deref(), Some("inspect"));
        assert_eq!(refusal.missing, ["a reply", "a call"]);
        assert_eq!(refusal.preconditions[0].kind, "OUT_OF_TURN");
        assert!(refusal.to_string().ends_with(": out of turn"));
    }

    #[test]
    fn a_status_without_details_is_a_refusal_all_the_same() {
        let refusal = Refusal::from(&Status::unavailable("gone"));
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unavailable, ""));
        assert_eq!((refusal.retry_after, refusal.stage_now), (None, None));
    }
}
