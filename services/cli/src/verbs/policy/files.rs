//! A draft and what it rests on: the editions that it extends, and the calendar.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::policy::{FloorError, Policy, PolicyError};
use duban_engine::rules::{RulesError, read_calendar};

use crate::failure::Failure;

/// Which files.
#[derive(Debug, clap::Args)]
pub(crate) struct Files {
    /// The policy: a file, or the version of one that ships
    #[arg(value_name = "FILE|VERSION")]
    policy: PathBuf,
    /// A policy file that the draft extends and that is not in force yet; each may extend those before it
    #[arg(long, value_name = "FILE")]
    base: Vec<PathBuf>,
    /// A calendar over the one in force, for instance of a year published since; may be given several times
    #[arg(long, value_name = "FILE")]
    calendar: Vec<PathBuf>,
}

/// What is wrong with a draft.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Wrong {
    /// It is no consistent policy.
    #[error(transparent)]
    Inconsistent(#[from] PolicyError),
    /// It is laxer than the law.
    #[error(transparent)]
    Lax(#[from] FloorError),
}

/// A draft that was read.
pub(crate) struct Draft {
    /// The policy, where it is consistent and keeps the law.
    pub(crate) policy: Result<Policy, Wrong>,
    /// The calendar.
    pub(crate) calendar: Calendar,
}

impl Files {
    /// The draft's name, for people.
    pub(crate) fn name(&self) -> String {
        self.policy.display().to_string()
    }

    /// Reads the draft over what is in force.
    pub(crate) fn read(&self, in_force: &Policy, calendar: &Calendar) -> Result<Draft, Failure> {
        let mut bases: Vec<Arc<Policy>> = Vec::new();
        for path in &self.base {
            let base = parse(path, &bases, in_force)?;
            let broken =
                |source| Failure::misuse(RulesError::Policy { path: path.clone(), source: Box::new(source) });
            bases.push(Arc::new(base.map_err(broken)?));
        }
        let mut calendar = calendar.clone();
        for path in &self.calendar {
            calendar = calendar.extended_by(&read_calendar(path).map_err(Failure::misuse)?);
        }
        let policy = parse(&self.policy, &bases, in_force)?.map_err(Wrong::from);
        let policy = policy.and_then(|policy| {
            policy.check_law(&calendar)?;
            Ok(policy)
        });
        Ok(Draft { policy, calendar })
    }
}

/// Reads a file, or takes an edition by its version.
fn parse(
    path: &Path,
    bases: &[Arc<Policy>],
    in_force: &Policy,
) -> Result<Result<Policy, PolicyError>, Failure> {
    let found = |version: &str| {
        let base = bases.iter().find(|base| base.version == version).map(Arc::clone);
        base.or_else(|| in_force.edition(version).map(|edition| Arc::new(edition.clone())))
    };
    if let Some(policy) = path.to_str().and_then(found) {
        return Ok(Ok(Policy::clone(&policy)));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|source| Failure::misuse(RulesError::Read { path: path.to_owned(), source }))?;
    Ok(Policy::parse_on(&text, &found))
}
