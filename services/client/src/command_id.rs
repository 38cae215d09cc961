//! Command ids, by which a server knows a repeat.

use uuid::Uuid;

/// A command id that no other command has.
#[must_use]
pub fn random_command_id() -> Uuid {
    Uuid::new_v4()
}

/// A command id that is the same whenever the same step is taken from the same revision, so that a repeat adds nothing.
#[must_use]
pub fn step_command_id(ticket: &str, revision: u64, step: &str) -> String {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"duban.departments");
    Uuid::new_v5(&namespace, format!("{ticket}/{revision}/{step}").as_bytes()).to_string()
}
