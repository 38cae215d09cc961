//! Policies: which target each clock gets, for whom, and by which article (domain.md section 4).
//!
//! A policy is a versioned TOML file. Its `[[legal]]` entries are the statutory limits, its `[[entry]]` entries what the
//! operator demands of itself. Every entry may name conditions: stage, mass outage, channel, category, segment, tier,
//! province, urban or rural, kind. An entry matches when all its conditions hold; a category also matches everything
//! below it. **The most specific match wins**: conditions are compared in the order just given, an entry that
//! names the first differing one wins, the deeper category before the shallower. Two entries of one list with the same
//! clock and conditions are refused when the file is read, so there is never a tie.
//!
//! [`Policy::lookup`] prefers the operator's entries and falls back to the law; [`Policy::floor`] gives the law alone:
//! the province's entry, else the national one.
//!
//! A file may extend others (`extends`): what it does not say is theirs, and an entry of its own takes the place of theirs
//! with the same clock and conditions. An edition never changes: another text is another version. The policy in force
//! carries the other editions that are known ([`Policy::knowing`]), since clocks stay under the edition that started them.

mod file;
mod floor;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use jiff::civil::{Date, Time};
use serde::Deserialize;

use crate::calendar::Target;
use crate::ids::UnitId;
use crate::words::{Channel, ClockKind, Kind, PauseCode, Segment, Stage, Tier};

pub use file::PolicyError;
pub use floor::FloorError;

use crate::words::UnitKind;

/// What a clock of a ticket is measured by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How long the clock may run.
    pub target: Target,
    /// The date promised to the customer, where there is one, goes before `target`: see [`Entry::target_for`].
    pub promised: bool,
    /// The warning's share of the span from start to due, in percent, 1 to 100.
    pub warn_percent: u32,
    /// The pause codes that stop the clock; any other pause lets it run on.
    pub pauses: Vec<PauseCode>,
    /// The article it comes from; every legal entry has one.
    pub article: Option<String>,
}

impl Entry {
    /// The target of a ticket whose customer was promised `promised` (installs; domain.md section 4: "by the promised
    /// date, else").
    pub fn target_for(&self, promised: Option<Date>) -> Target {
        match promised {
            Some(date) if self.promised => Target::Day(date),
            _ => self.target,
        }
    }

    /// Does a pause for this reason stop the clock?
    pub fn honours(&self, code: PauseCode) -> bool {
        self.pauses.contains(&code)
    }
}

/// The facts of a ticket that choose its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Complaint, fault or install.
    pub kind: Kind,
    /// Where it came in; for an outside clock the body that handed it over.
    pub channel: Channel,
    /// The customer's tier.
    pub tier: Tier,
    /// Public customer or large account.
    pub segment: Segment,
    /// Province, as the policy names it (`henan`).
    pub province: &'a str,
    /// Rural areas have longer statutory limits.
    pub rural: bool,
    /// Category path (`fault.broadband.down`).
    pub category: &'a str,
    /// Part of a declared mass outage.
    pub mass_outage: bool,
}

/// A node of the category tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// Path from the kind downwards, joined by dots: `fault.broadband.down`.
    pub id: String,
    /// Chinese name.
    pub name: String,
    /// The kind that the path begins with.
    pub kind: Kind,
    /// Nothing lies below it. Tickets may use any node; reports count by leaf.
    pub leaf: bool,
}

/// A unit of the register: holder of orders, subject of verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Identifier (`line-crew`).
    pub id: UnitId,
    /// Chinese name.
    pub name: String,
    /// Crew, department or contractor.
    pub kind: UnitKind,
}

/// Numbers of the procedure that are not clocks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constants {
    /// This urge 催办 of a customer goes to the supervisor (domain.md section 2).
    pub urges_to_supervisor: u32,
    /// Failed attempts after which a supervisor may sign off "unreachable" (section 3).
    pub attempts: u32,
    /// Hours at least between two of them.
    pub attempt_gap_hours: u32,
    /// Days at least on which they were made.
    pub attempt_days: u32,
    /// Dissatisfied rounds after which feedback may be concluded (section 3).
    pub dissatisfied_rounds: u32,
    /// Hours from issue in which an order may be returned (section 3).
    pub return_window_hours: u32,
    /// This return of a round is decided by a supervisor, finally.
    pub returns_to_supervisor: u32,
    /// Working days in which a unit may appeal a verdict (section 7).
    pub appeal_working_days: u32,
    /// Days from the end in which the same matter reopens the ticket (section 3).
    pub reopen_days: u32,
    /// Working days after which a pause ends by itself when it names no other moment (section 4).
    pub resume_by_working_days: u32,
    /// Civil time in Shanghai of the ladder's 催办通知书, on the next working day (section 4).
    #[serde(deserialize_with = "file::time")]
    pub notice_at: Time,
    /// Working days after due of the ladder's 通报批评, 挂牌督办 and 约谈.
    pub ladder_working_days: [u32; 3],
    /// Share of a day's ended tickets that is called back, in percent, at least 10 (section 9).
    pub draw_percent: u32,
}

/// Money that the operator promises beyond the law, in fen (domain.md section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    /// For an install that is late, once.
    pub late_install_fen: u64,
    /// For a repair that is late, for each begun day.
    pub late_repair_fen_a_day: u64,
    /// For a repair that is late, at the most.
    pub late_repair_fen_max: u64,
}

impl Promise {
    /// What a late install owes beside the `statutory_fen` of the law: nothing is compensated twice.
    pub fn late_install(&self, statutory_fen: u64) -> u64 {
        self.late_install_fen.saturating_sub(statutory_fen)
    }

    /// What a repair that is late by so many begun days owes beside the `statutory_fen` of the law.
    pub fn late_repair(&self, days: u32, statutory_fen: u64) -> u64 {
        let promised =
            self.late_repair_fen_a_day.saturating_mul(u64::from(days)).min(self.late_repair_fen_max);
        promised.saturating_sub(statutory_fen)
    }
}

/// The conditions of an entry; `None` does not ask.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Conditions {
    clock: ClockKind,
    stage: Option<Stage>,
    mass_outage: Option<bool>,
    channel: Option<Channel>,
    category: Option<String>,
    segment: Option<Segment>,
    tier: Option<Tier>,
    province: Option<String>,
    rural: Option<bool>,
    kind: Option<Kind>,
}

/// Where an entry stands: a line, counted from 1, and the edition where that is one that the file extends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The extended edition whose file it is a line of; none for the file itself.
    pub edition: Option<Arc<str>>,
}

impl Place {
    /// A line of the file itself.
    pub fn line(line: usize) -> Self {
        Self { line, edition: None }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.edition {
            Some(edition) => write!(f, "line {} of {edition}", self.line),
            None => write!(f, "line {}", self.line),
        }
    }
}

/// An entry with its conditions and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    conditions: Conditions,
    entry: Entry,
    place: Place,
}

/// A point that conditions are asked about. `None` is a value that no entry names.
#[derive(Debug, Clone, Copy)]
struct Point<'a> {
    stage: Option<Stage>,
    mass_outage: bool,
    channel: Option<Channel>,
    category: Option<&'a str>,
    segment: Segment,
    tier: Tier,
    province: Option<&'a str>,
    rural: bool,
    kind: Kind,
}

impl<'a> Point<'a> {
    fn new(stage: Option<Stage>, subject: &Subject<'a>) -> Self {
        Self {
            stage,
            mass_outage: subject.mass_outage,
            channel: Some(subject.channel),
            category: Some(subject.category),
            segment: subject.segment,
            tier: subject.tier,
            province: Some(subject.province),
            rural: subject.rural,
            kind: subject.kind,
        }
    }
}

/// How specific conditions are; compared field by field, first to last.
type Specificity = (bool, bool, bool, usize, bool, bool, bool, bool, bool);

impl Conditions {
    fn hold(&self, clock: ClockKind, point: &Point<'_>) -> bool {
        self.clock == clock
            && self.stage.is_none_or(|stage| point.stage == Some(stage))
            && self.mass_outage.is_none_or(|outage| point.mass_outage == outage)
            && self.channel.is_none_or(|channel| point.channel == Some(channel))
            && self
                .category
                .as_deref()
                .is_none_or(|node| point.category.is_some_and(|path| is_under(path, node)))
            && self.segment.is_none_or(|segment| point.segment == segment)
            && self.tier.is_none_or(|tier| point.tier == tier)
            && self.province.as_deref().is_none_or(|province| point.province == Some(province))
            && self.rural.is_none_or(|rural| point.rural == rural)
            && self.kind.is_none_or(|kind| point.kind == kind)
    }

    fn specificity(&self) -> Specificity {
        (
            self.stage.is_some(),
            self.mass_outage.is_some(),
            self.channel.is_some(),
            self.category.as_deref().map_or(0, |path| path.split('.').count()),
            self.segment.is_some(),
            self.tier.is_some(),
            self.province.is_some(),
            self.rural.is_some(),
            self.kind.is_some(),
        )
    }
}

/// Is `path` the category `node` or below it?
fn is_under(path: &str, node: &str) -> bool {
    path.strip_prefix(node).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What ships, each after the editions that it extends.
static SHIPPED: LazyLock<[Arc<Policy>; 5]> = LazyLock::new(|| {
    let read = |text: &str, known: &[Arc<Policy>]| {
        let known = |version: &str| known.iter().find(|policy| policy.version == version).map(Arc::clone);
        Arc::new(file::parse(text, &known).expect("a test reads every policy that ships"))
    };
    let national = read(include_str!("../data/policy-cn-national.toml"), &[]);
    let on_national = |text| read(text, std::slice::from_ref(&national));
    [
        Arc::clone(&national),
        on_national(include_str!("../data/policy-cn-henan.toml")),
        on_national(include_str!("../data/policy-cn-chongqing.toml")),
        on_national(include_str!("../data/policy-operator-promise.toml")),
        on_national(include_str!("../data/policy-emergency.toml")),
    ]
});

/// A policy file, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Name of this edition (`cn-national-1`), stored with every clock that it set.
    pub version: String,
    /// Chinese title.
    pub title: String,
    /// Never in force: an emergency names it for the tickets that are taken in while it lasts (domain.md section 9).
    pub emergency: bool,
    /// The editions that it extends.
    pub extends: Vec<String>,
    /// Numbers of the procedure.
    pub constants: Constants,
    /// Money promised beyond the law, where any is.
    pub promise: Option<Promise>,
    text: Arc<str>,
    others: BTreeMap<String, Arc<Policy>>,
    categories: BTreeMap<String, Category>,
    units: BTreeMap<String, Unit>,
    entries: Vec<Rule>,
    legal: Vec<Rule>,
}

impl Policy {
    /// The national policy that ships with this crate, `cn-national-1`.
    pub fn cn_national() -> Arc<Self> {
        let [national, ..] = &*SHIPPED;
        Arc::clone(national)
    }

    /// The editions that ship with this crate: the national one, the provinces' of Henan and Chongqing, and
    /// examples of an operator's promise and of an emergency's edition.
    pub fn shipped() -> impl Iterator<Item = Arc<Self>> {
        SHIPPED.iter().map(Arc::clone)
    }

    /// The shipped edition of this version.
    pub fn shipped_as(version: &str) -> Option<Arc<Self>> {
        Self::shipped().find(|policy| policy.version == version)
    }

    /// Reads a policy file and checks it (the format is described in `data/policy-cn-national.toml`). It may extend
    /// editions that ship.
    ///
    /// # Errors
    ///
    /// [`PolicyError`], with the line, for anything that is not a consistent policy. Whether it keeps the law is
    /// another question: [`Policy::check_law`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        file::parse(text, &Self::shipped_as)
    }

    /// The same, where the file may extend whatever editions `known` knows.
    ///
    /// # Errors
    ///
    /// [`PolicyError`].
    pub fn parse_on(text: &str, known: &dyn Fn(&str) -> Option<Arc<Self>>) -> Result<Self, PolicyError> {
        file::parse(text, known)
    }

    /// The file as it was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// This policy in force, with the other editions that clocks may refer to or emergencies may name.
    #[must_use]
    pub fn knowing(&self, others: impl IntoIterator<Item = Arc<Self>>) -> Self {
        let mut knowing = self.clone();
        let others = others.into_iter().filter(|other| other.version != self.version);
        knowing.others = others.map(|other| (other.version.clone(), other)).collect();
        knowing
    }

    /// The edition of a version: this one, another that is known, or one that ships.
    pub fn edition(&self, version: &str) -> Option<&Self> {
        let shipped = || SHIPPED.iter().find(|shipped| shipped.version == version).map(Arc::as_ref);
        self.known(version).or_else(shipped)
    }

    /// The edition of a version that was made known: this one, or another that it carries.
    pub fn known(&self, version: &str) -> Option<&Self> {
        if self.version == version { Some(self) } else { self.others.get(version).map(Arc::as_ref) }
    }

    /// Another edition in front of the same editions: what is decided for a ticket that an emergency's edition is for.
    pub fn led_by(&self, version: &str) -> Option<Self> {
        let first = self.edition(version)?;
        let mut alone = self.clone();
        alone.others.clear();
        let others = self.others.values().map(Arc::clone).chain([Arc::new(alone)]);
        Some(first.knowing(others))
    }

    /// This policy and every other edition that is known or ships.
    pub fn editions(&self) -> Vec<Arc<Self>> {
        let shipped = Self::shipped().filter(|policy| self.known(&policy.version).is_none());
        let known = self.others.values().map(Arc::clone);
        std::iter::once(Arc::new(self.clone())).chain(known).chain(shipped).collect()
    }

    /// The versions of this policy and of the other editions that were made known to it, sorted.
    pub fn versions(&self) -> Vec<&str> {
        let mut versions: Vec<&str> = self.others.keys().map(String::as_str).collect();
        versions.push(&self.version);
        versions.sort_unstable();
        versions
    }

    /// The entry that sets a clock: the operator's most specific one, else the law's. `stage` is asked for by stage
    /// clocks only. `None` means that this ticket has no such clock.
    pub fn lookup(&self, clock: ClockKind, stage: Option<Stage>, subject: &Subject<'_>) -> Option<&Entry> {
        let point = Point::new(stage, subject);
        self.operator_rule(clock, &point).or_else(|| self.legal_rule(clock, &point)).map(|rule| &rule.entry)
    }

    /// The statutory limit of a clock: the province's entry, else the national one.
    pub fn floor(&self, clock: ClockKind, subject: &Subject<'_>) -> Option<&Entry> {
        self.legal_rule(clock, &Point::new(None, subject)).map(|rule| &rule.entry)
    }

    fn operator_rule(&self, clock: ClockKind, point: &Point<'_>) -> Option<&Rule> {
        let matching = self.entries.iter().filter(|rule| rule.conditions.hold(clock, point));
        matching.max_by_key(|rule| rule.conditions.specificity())
    }

    fn legal_rule(&self, clock: ClockKind, point: &Point<'_>) -> Option<&Rule> {
        let matching = self.legal.iter().filter(|rule| rule.conditions.hold(clock, point));
        matching.max_by_key(|rule| (rule.conditions.province.is_some(), rule.conditions.specificity()))
    }

    /// How many entries are the operator's, and how many state the law.
    pub fn sizes(&self) -> (usize, usize) {
        (self.entries.len(), self.legal.len())
    }

    /// The category of a path, if the tree has it.
    pub fn category(&self, path: &str) -> Option<&Category> {
        self.categories.get(path)
    }

    /// The whole category tree, by path.
    pub fn categories(&self) -> impl Iterator<Item = &Category> {
        self.categories.values()
    }

    /// The unit of an id, if the register has it.
    pub fn unit(&self, id: &str) -> Option<&Unit> {
        self.units.get(id)
    }

    /// The whole register of units, by id.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.units.values()
    }
}
