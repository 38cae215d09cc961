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

mod file;
mod floor;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use jiff::civil::{Date, Time};
use serde::Deserialize;

use crate::calendar::Target;
use crate::chain::Stage;
use crate::clock::{ClockKind, PauseCode};
use crate::ids::UnitId;
use crate::intake::{Channel, Intake, Kind, Segment, Tier};

pub use file::PolicyError;
pub use floor::FloorError;

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

impl<'a> Subject<'a> {
    /// The facts of a ticket as it was taken in.
    pub fn of(intake: &'a Intake) -> Self {
        Self {
            kind: intake.kind,
            channel: intake.channel,
            tier: intake.customer.tier,
            segment: intake.customer.segment,
            province: &intake.area.province,
            rural: intake.area.rural,
            category: &intake.category,
            mass_outage: intake.mass_outage,
        }
    }
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

/// What a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitKind {
    /// A crew that works outside 班组.
    Crew,
    /// A department 部门.
    Department,
    /// An outside company that works for the operator 外包单位; assessed like the others.
    Contractor,
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

/// An entry with its conditions and its line in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    conditions: Conditions,
    entry: Entry,
    line: usize,
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

/// A policy file, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Name of this edition (`cn-national-1`), stored with every clock that it set.
    pub version: String,
    /// Chinese title.
    pub title: String,
    /// Numbers of the procedure.
    pub constants: Constants,
    categories: BTreeMap<String, Category>,
    units: BTreeMap<String, Unit>,
    entries: Vec<Rule>,
    legal: Vec<Rule>,
}

impl Policy {
    /// The national policy that ships with this crate, `cn-national-1`.
    ///
    /// # Panics
    ///
    /// Never: a test reads the embedded file.
    pub fn cn_national() -> Arc<Self> {
        static NATIONAL: LazyLock<Arc<Policy>> = LazyLock::new(|| {
            let text = include_str!("../data/policy-cn-national.toml");
            Arc::new(Policy::parse(text).expect("the embedded policy is valid"))
        });
        Arc::clone(&NATIONAL)
    }

    /// Reads a policy file and checks it (the format is described in `data/policy-cn-national.toml`).
    ///
    /// # Errors
    ///
    /// [`PolicyError`], with the line, for anything that is not a consistent policy. Whether it keeps the law is
    /// another question: [`Policy::check_floor`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        file::parse(text)
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
