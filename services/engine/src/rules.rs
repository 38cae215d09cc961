//! The rules that a server works by: what its log says is in force, and what its operator configures to be
//! (domain.md sections 4, 8 and 9).
//!
//! The log holds every edition whole, so what is configured once need not be configured again: an operator names what is
//! to change. What ships is in force where neither says anything.

mod config;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use duban_aggregates::calendar::{Calendar, CalendarError};
use duban_aggregates::edition::{self, Command, Editions, STREAM, Unreadable};
use duban_aggregates::policy::{FloorError, Policy, PolicyError};
use duban_log::{Direction, EventLog, Reader, Recorded, StreamName};

pub use self::config::PolicyConfig;
use crate::runner::{Ask, Rules, RunError, Runner, fold};

/// Events read at a time.
const READ_EVENTS: usize = 512;

/// Why a server, or whoever looks at its log, has no rules to work by.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// A file cannot be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no policy.
    #[error("{path} is no policy: name a file, or one that ships: {}", shipped())]
    Policy {
        /// The file.
        path: PathBuf,
        /// Where and why not.
        source: Box<PolicyError>,
    },
    /// A policy is laxer than the law.
    #[error("{path} is laxer than the law")]
    Lax {
        /// The file.
        path: PathBuf,
        /// Where, and against which article.
        source: Box<FloorError>,
    },
    /// A file says something else than it did when it came into the log.
    #[error("the log has another content under the version `{version}`: give the changed file a new version")]
    Changed {
        /// Its version.
        version: String,
    },
    /// A policy that is an emergency's was to be in force.
    #[error("{version} is an emergency's policy, and never in force: name it under `emergencies`")]
    EmergencyInForce {
        /// Its version.
        version: String,
    },
    /// A policy that is no emergency's was to be one.
    #[error("{version} does not say `emergency = true`: no emergency may name it")]
    NoEmergency {
        /// Its version.
        version: String,
    },
    /// A file is no calendar.
    #[error("{path} is no calendar")]
    Calendar {
        /// The file.
        path: PathBuf,
        /// Where and why not.
        source: CalendarError,
    },
    /// An edition in the log can no longer be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The log's stream of editions cannot be read or written.
    #[error("the editions in the log cannot be used")]
    Log(#[source] Box<RunError>),
}

impl From<RunError> for RulesError {
    fn from(error: RunError) -> Self {
        Self::Log(Box::new(error))
    }
}

impl From<duban_log::Error> for RulesError {
    fn from(error: duban_log::Error) -> Self {
        RunError::from(error).into()
    }
}

/// The versions that ship, for people.
fn shipped() -> String {
    Policy::shipped().map(|policy| policy.version.clone()).collect::<Vec<_>>().join(", ")
}

/// The rules by which a log was written last, looked at beside whoever writes to it.
///
/// # Errors
/// [`RulesError`].
pub fn of_reader(reader: &Reader) -> Result<Rules, RulesError> {
    let stream = StreamName::new(STREAM)?;
    let mut editions = None;
    let mut from = 0;
    loop {
        let page = reader.read_stream(&stream, from, Direction::Forward, READ_EVENTS)?;
        let Some(last) = page.last() else { return of_editions(editions.as_ref()) };
        from = last.revision + 1;
        editions = fold_all(editions, &page)?;
    }
}

/// The rules that a log's editions say are in force.
///
/// # Errors
/// [`RulesError::Unreadable`].
pub fn of_editions(editions: Option<&Editions>) -> Result<Rules, RulesError> {
    Ok(wanted(&PolicyConfig::default(), editions)?.rules)
}

/// What a log says of editions; nothing where no server has started on it.
///
/// # Errors
/// [`RulesError::Log`].
pub async fn read(log: &dyn EventLog) -> Result<Option<Editions>, RulesError> {
    let stream = StreamName::new(STREAM)?;
    let mut editions = None;
    let mut from = 0;
    loop {
        let page = log.read_stream(&stream, from, Direction::Forward, READ_EVENTS).await?;
        let Some(last) = page.last() else { return Ok(editions) };
        from = last.revision + 1;
        editions = fold_all(editions, &page)?;
    }
}

fn fold_all(editions: Option<Editions>, page: &[Recorded]) -> Result<Option<Editions>, RunError> {
    page.iter().try_fold(editions, fold)
}

/// The rules that are to be in force, and the editions that the log does not have yet.
#[derive(Debug)]
pub struct Wanted {
    /// The rules.
    pub rules: Rules,
    /// Each after those that it extends.
    register: Vec<Arc<Policy>>,
}

/// Puts what is configured over what the log says.
///
/// # Errors
/// [`RulesError`] names the file, the line and the article.
pub fn wanted(configured: &PolicyConfig, editions: Option<&Editions>) -> Result<Wanted, RulesError> {
    let calendar = Arc::new(calendar(&configured.calendars, editions)?);
    let known = editions.map(Editions::read).transpose()?.unwrap_or_default();
    let mut files = Files { known, added: Vec::new(), calendar: &calendar };
    let last = editions.and_then(|editions| editions.policies.last());
    let in_force = match (&configured.in_force, last) {
        (Some(path), _) => files.load(path)?,
        (None, Some(last)) => match files.find(&last.version) {
            Some(policy) => policy,
            // An edition comes into force only after it was registered.
            None => Policy::cn_national(),
        },
        (None, None) => Policy::cn_national(),
    };
    if in_force.emergency {
        return Err(RulesError::EmergencyInForce { version: in_force.version.clone() });
    }
    files.add(&in_force)?;
    for path in &configured.emergencies {
        let policy = files.load(path)?;
        if !policy.emergency {
            return Err(RulesError::NoEmergency { version: policy.version.clone() });
        }
        files.add(&policy)?;
    }
    let Files { known, added, .. } = files;
    let policy = in_force.knowing(known.into_values().chain(added.iter().map(Arc::clone)));
    Ok(Wanted { rules: Rules { policy: Arc::new(policy), calendar }, register: added })
}

/// Editions as they are found: in the log, among those that ship, in files.
struct Files<'c> {
    known: BTreeMap<String, Arc<Policy>>,
    /// Not in the log yet.
    added: Vec<Arc<Policy>>,
    calendar: &'c Calendar,
}

impl Files<'_> {
    fn find(&self, version: &str) -> Option<Arc<Policy>> {
        let added = self.added.iter().find(|policy| policy.version == version);
        added.or_else(|| self.known.get(version)).map(Arc::clone).or_else(|| Policy::shipped_as(version))
    }

    /// An edition by its version where it is known or ships, else from a file.
    fn load(&self, path: &Path) -> Result<Arc<Policy>, RulesError> {
        if let Some(policy) = path.to_str().and_then(|version| self.find(version)) {
            return Ok(policy);
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| RulesError::Read { path: path.to_owned(), source })?;
        let policy = Policy::parse_on(&text, &|version| self.find(version))
            .map_err(|source| RulesError::Policy { path: path.to_owned(), source: Box::new(source) })?;
        policy
            .check_law(self.calendar)
            .map_err(|source| RulesError::Lax { path: path.to_owned(), source: Box::new(source) })?;
        Ok(Arc::new(policy))
    }

    /// Notes an edition, after those that it extends, unless the log has it.
    fn add(&mut self, policy: &Arc<Policy>) -> Result<(), RulesError> {
        let added = self.added.iter().find(|added| added.version == policy.version);
        if let Some(known) = added.or_else(|| self.known.get(&policy.version)) {
            let same = known.text() == policy.text();
            return if same { Ok(()) } else { Err(RulesError::Changed { version: policy.version.clone() }) };
        }
        for base in policy.extends.iter().filter_map(|base| self.find(base)).collect::<Vec<_>>() {
            self.add(&base)?;
        }
        self.added.push(Arc::clone(policy));
        Ok(())
    }
}

/// The calendar that ships with the configured files over it, else the log's, unless one that publishes more years ships.
fn calendar(files: &[PathBuf], editions: Option<&Editions>) -> Result<Calendar, RulesError> {
    let shipped = Calendar::cn();
    if files.is_empty() {
        let log = editions.map(Editions::read_calendar).transpose()?.flatten();
        let newer = |log: &Calendar| {
            log.years().all(|year| shipped.published(year)) && log.years().count() < shipped.years().count()
        };
        return Ok(log.filter(|log| !newer(log)).unwrap_or_else(|| Calendar::clone(&shipped)));
    }
    let mut calendar = Calendar::clone(&shipped);
    for path in files {
        calendar = calendar.extended_by(&read_calendar(path)?);
    }
    let last = editions.and_then(|editions| editions.calendars.last());
    let known = editions.and_then(|editions| editions.calendar.as_deref());
    let same_version = last.is_some_and(|last| last.version == calendar.version);
    if same_version && known.is_some_and(|known| known != calendar.to_toml()) {
        return Err(RulesError::Changed { version: calendar.version });
    }
    Ok(calendar)
}

/// Reads a calendar file.
///
/// # Errors
/// [`RulesError::Read`] and [`RulesError::Calendar`].
pub fn read_calendar(path: &Path) -> Result<Calendar, RulesError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| RulesError::Read { path: path.to_owned(), source })?;
    Calendar::parse(&text).map_err(|source| RulesError::Calendar { path: path.to_owned(), source })
}

impl Wanted {
    /// Writes into the log what is new, and what comes into force with it.
    ///
    /// # Errors
    /// [`RulesError::Log`].
    pub async fn put_into_force(&self, runner: &Runner) -> Result<(), RulesError> {
        for policy in &self.register {
            let ask = Ask::rules(runner.own_ids(), &format!("register {}", policy.version));
            command(runner, &ask, &Command::Register { policy: Arc::clone(policy) }).await?;
        }
        let so_far = |editions: Option<&Editions>| {
            let count = |editions: &Editions| (editions.policies.len(), editions.calendars.len());
            editions.map(count).unwrap_or_default()
        };
        let (policies, calendars) = runner.view(edition::ID, so_far).await?;
        let version = self.rules.policy.version.clone();
        let ask = Ask::rules(runner.own_ids(), &format!("policy {policies} {version}"));
        command(runner, &ask, &Command::PutIntoForce { version }).await?;
        let calendar = Arc::clone(&self.rules.calendar);
        let ask = Ask::rules(runner.own_ids(), &format!("calendar {calendars} {}", calendar.version));
        command(runner, &ask, &Command::PutCalendarIntoForce { calendar }).await?;
        let Rules { policy, calendar } = &self.rules;
        tracing::info!(policy = policy.version, calendar = calendar.version, "the rules in force");
        Ok(())
    }
}

async fn command(runner: &Runner, ask: &Ask, command: &Command) -> Result<(), RunError> {
    runner.run(edition::ID, ask, |_: Option<&Editions>, _| Ok(command.clone())).await.map(drop)
}

#[cfg(test)]
mod tests;
