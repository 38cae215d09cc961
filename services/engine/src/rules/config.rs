//! `[policy]` of the configuration: what an operator names to be in force.

use std::path::PathBuf;

use duban_aggregates::policy::Policy;
use serde::{Deserialize, Serialize};

/// `[policy]`: what is to be in force from this start on. What is not named here stays as the log has it, and is what ships
/// where the log has nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// The policy: a file, or the version of one that ships or that the log has.
    pub in_force: Option<PathBuf>,
    /// PolicyConfig that emergencies may name, likewise; those of earlier starts stay known.
    pub emergencies: Vec<PathBuf>,
    /// Calendar files over the calendar that ships, each adding its years or putting them in place of earlier ones.
    pub calendars: Vec<PathBuf>,
}

impl PolicyConfig {
    /// What is named here goes before what is named there, list by list.
    #[must_use]
    pub fn over(self, under: Self) -> Self {
        let first = |over: Vec<PathBuf>, under: Vec<PathBuf>| if over.is_empty() { under } else { over };
        Self {
            in_force: self.in_force.or(under.in_force),
            emergencies: first(self.emergencies, under.emergencies),
            calendars: first(self.calendars, under.calendars),
        }
    }

    /// The paths of files; the names of policies that ship are none.
    pub fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let named = |path: &&mut PathBuf| path.to_str().is_none_or(|name| Policy::shipped_as(name).is_none());
        let policies = self.in_force.iter_mut().chain(&mut self.emergencies).filter(named);
        policies.chain(&mut self.calendars)
    }
}
