//! Which policy and which calendar came into force when (domain.md section 8, stream `policy`).
//!
//! One stream, [`STREAM`]. It holds every edition whole, as its file was written: whoever has the log needs no file beside
//! it to know by what a clock was set. The server writes it when it starts with other rules than before.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use crate::calendar::Calendar;
use crate::memory::Memory;
use crate::meta::{Context, Meta};
use crate::policy::Policy;
use crate::rejection::{Problem, Rejection};
use crate::words::Role;

/// The stream's name; there is one.
pub const STREAM: &str = "policy";

/// What stands for it where other streams have an id of their own: ids of its events and commands follow from it.
pub const ID: Uuid = Uuid::from_u128(0x6475_6261_6e00_8000_8000_706f_6c69_6379);

/// The longest file of a policy or calendar, in bytes.
pub const FILE_BYTES_MAX: usize = 512 * 1024;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An edition of the policy became known. It never changes again.
    Registered {
        /// Its version.
        version: String,
        /// Its title.
        title: String,
        /// Only emergencies name it.
        emergency: bool,
        /// Its file.
        text: String,
    },
    /// An edition came into force: clocks that start from now on are set by it.
    CameIntoForce {
        /// Its version.
        version: String,
    },
    /// A calendar came into force: deadlines are counted by it, and those are restated that were provisional and are no more.
    CalendarCameIntoForce {
        /// Its version.
        version: String,
        /// The whole calendar as a file.
        text: String,
    },
}

/// Something that came into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The version.
    pub version: String,
    /// Since when.
    pub since: Timestamp,
}

/// An edition that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// Its title.
    pub title: String,
    /// Only emergencies name it.
    pub emergency: bool,
    /// Its file.
    pub text: Arc<str>,
}

/// The editions, folded from their events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Editions {
    /// Every edition that is known, by version.
    pub editions: BTreeMap<String, Edition>,
    /// The order in which they became known: each after those that it extends.
    pub order: Vec<String>,
    /// What came into force when, the latest last.
    pub policies: Vec<InForce>,
    /// Which calendar came into force when, the latest last.
    pub calendars: Vec<InForce>,
    /// The file of the calendar in force.
    pub calendar: Option<Arc<str>>,
    /// The last event's revision.
    pub revision: u64,
    /// The last event's recorded moment.
    pub last_recorded_at: Timestamp,
    /// Commands and what they did.
    pub commands: Memory,
}

/// A policy or calendar of the log that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{version}` in the log cannot be used: {reason}")]
pub struct Unreadable {
    /// Its version.
    pub version: String,
    /// Why not.
    pub reason: String,
}

impl Editions {
    /// Every edition that is known, read from its file.
    ///
    /// # Errors
    /// [`Unreadable`], where a later version of this program no longer understands one.
    pub fn read(&self) -> Result<BTreeMap<String, Arc<Policy>>, Unreadable> {
        let mut read: BTreeMap<String, Arc<Policy>> = BTreeMap::new();
        for (version, edition) in self.order.iter().filter_map(|version| self.editions.get_key_value(version))
        {
            let known = |base: &str| read.get(base).map(Arc::clone).or_else(|| Policy::shipped_as(base));
            let policy = Policy::parse_on(&edition.text, &known)
                .map_err(|error| Unreadable { version: version.clone(), reason: error.to_string() })?;
            read.insert(version.clone(), Arc::new(policy));
        }
        Ok(read)
    }

    /// The calendar in force.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_calendar(&self) -> Result<Option<Calendar>, Unreadable> {
        let Some(text) = &self.calendar else { return Ok(None) };
        let version = self.calendars.last().map(|last| last.version.clone()).unwrap_or_default();
        let unreadable = |reason: String| Unreadable { version, reason };
        Calendar::parse(text).map(Some).map_err(|error| unreadable(error.to_string()))
    }
}

/// Folds one event.
#[must_use]
pub fn evolve(editions: Option<Editions>, event: &Event, meta: &Meta) -> Option<Editions> {
    let mut editions = editions.unwrap_or_else(|| Editions {
        editions: BTreeMap::new(),
        order: Vec::new(),
        policies: Vec::new(),
        calendars: Vec::new(),
        calendar: None,
        revision: meta.revision,
        last_recorded_at: meta.recorded_at,
        commands: Memory::default(),
    });
    let in_force = |version: &String| InForce { version: version.clone(), since: meta.recorded_at };
    match event {
        Event::Registered { version, title, emergency, text } => {
            let edition =
                Edition { title: title.clone(), emergency: *emergency, text: Arc::from(text.as_str()) };
            editions.order.push(version.clone());
            editions.editions.insert(version.clone(), edition);
        }
        Event::CameIntoForce { version } => editions.policies.push(in_force(version)),
        Event::CalendarCameIntoForce { version, text } => {
            editions.calendars.push(in_force(version));
            editions.calendar = Some(Arc::from(text.as_str()));
        }
    }
    editions.revision = meta.revision;
    editions.last_recorded_at = meta.recorded_at;
    editions.commands.note(meta);
    Some(editions)
}

/// What may be asked, by the server when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make an edition known.
    Register {
        /// The edition, read from its file.
        policy: Arc<Policy>,
    },
    /// Put a known edition into force.
    PutIntoForce {
        /// Its version.
        version: String,
    },
    /// Put a calendar into force.
    PutCalendarIntoForce {
        /// The calendar.
        calendar: Arc<Calendar>,
    },
}

/// Decides a command: the events it adds, none where what it asks for already holds.
///
/// # Errors
/// A [`Rejection`] that states the fact against it.
pub fn decide(
    editions: Option<&Editions>,
    context: &Context<'_>,
    command: Command,
) -> Result<Vec<Event>, Rejection> {
    if context.actor.role != Role::Rule {
        return Err(Rejection::NotYours { whose: "the server, when it starts".into() });
    }
    let event = match command {
        Command::Register { policy } => register(editions, context, &policy)?,
        Command::PutIntoForce { version } => {
            let edition = editions.and_then(|editions| editions.editions.get(&version));
            let Some(edition) = edition else {
                return Err(Rejection::invalid("version", Problem::NotRegistered(version)));
            };
            if edition.emergency {
                let why = Problem::Unfit("it is an emergency's, which is never in force");
                return Err(Rejection::invalid("version", why));
            }
            let last = editions.and_then(|editions| editions.policies.last());
            (last.map(|last| &last.version) != Some(&version)).then_some(Event::CameIntoForce { version })
        }
        Command::PutCalendarIntoForce { calendar } => {
            let (version, text) = (calendar.version.clone(), calendar.to_toml());
            bounded(&text)?;
            let same = editions.and_then(|editions| editions.calendar.as_deref()) == Some(text.as_str());
            let known = editions.is_some_and(|editions| {
                editions.calendars.iter().any(|known| known.version == version) && !same
            });
            let last = editions.and_then(|editions| editions.calendars.last());
            if known && last.is_some_and(|last| last.version == version) {
                return Err(changed("version", &version));
            }
            (!same).then_some(Event::CalendarCameIntoForce { version, text })
        }
    };
    Ok(event.into_iter().collect())
}

fn register(
    editions: Option<&Editions>,
    context: &Context<'_>,
    policy: &Policy,
) -> Result<Option<Event>, Rejection> {
    let version = policy.version.clone();
    match editions.and_then(|editions| editions.editions.get(&version)) {
        Some(known) if *known.text == *policy.text() => return Ok(None),
        Some(_) => return Err(changed("version", &version)),
        None => {}
    }
    let known = |base: &String| {
        editions.is_some_and(|editions| editions.editions.contains_key(base))
            || Policy::shipped_as(base).is_some()
    };
    if let Some(base) = policy.extends.iter().find(|base| !known(base)) {
        return Err(Rejection::invalid("extends", Problem::NotRegistered(base.clone())));
    }
    bounded(policy.text())?;
    if Policy::shipped_as(&version).is_none_or(|shipped| shipped.text() != policy.text()) {
        // What ships keeps the law, as a test shows.
        let lax = |error: crate::policy::FloorError| {
            Rejection::invalid("policy", Problem::Unusable(error.to_string()))
        };
        policy.check_law(context.calendar).map_err(lax)?;
    }
    let (title, emergency, text) = (policy.title.clone(), policy.emergency, policy.text().to_owned());
    Ok(Some(Event::Registered { version, title, emergency, text }))
}

fn bounded(text: &str) -> Result<(), Rejection> {
    if text.len() > FILE_BYTES_MAX {
        return Err(Rejection::invalid("text", Problem::TooLong(FILE_BYTES_MAX)));
    }
    Ok(())
}

/// What stands in histories under a version must stay what it was.
fn changed(field: &'static str, version: &str) -> Rejection {
    let why = format!(
        "the log has another content under the version `{version}`: give the changed file a new version"
    );
    Rejection::invalid(field, Problem::Unusable(why))
}
