//! Reading a policy file: its TOML shape and everything that may be wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::{Category, Conditions, Constants, Entry, Place, Policy, Promise, Rule, Unit};
use crate::calendar::{Target, WARN_PERCENT, line_of};
use crate::ids::UnitId;
use crate::words::{Channel, ClockKind, Kind, PauseCode, Segment, Stage, Tier, UnitKind};

/// Why a policy file was refused. Lines count from 1 and name the entry at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML, or not of the expected shape: an unknown field, clock, channel, target.
    #[error("policy is not readable: {0}")]
    Syntax(String),
    /// No version, or an empty one.
    #[error("policy has an empty version")]
    NoVersion,
    /// A file that extends nothing must say everything.
    #[error("policy has no [constants], and extends no edition that has them")]
    NoConstants,
    /// An edition to extend that nobody knows.
    #[error("policy extends `{version}`, which is neither shipped nor loaded before it")]
    UnknownBase {
        /// The version.
        version: String,
    },
    /// A number of the procedure that must not be so small.
    #[error("constant `{name}` must be at least {least}")]
    Constant {
        /// The constant.
        name: &'static str,
        /// The smallest value allowed.
        least: u32,
    },
    /// The ladder does not climb.
    #[error("constant `ladder_working_days` must grow from rung to rung")]
    Ladder,
    /// An id or a name is empty.
    #[error("line {line}: id and name must not be empty")]
    Nameless {
        /// Line of the category or unit.
        line: usize,
    },
    /// A category or unit listed twice.
    #[error("line {line}: `{id}` is listed twice")]
    Twice {
        /// Line of the second mention.
        line: usize,
        /// The id.
        id: String,
    },
    /// A category whose path does not begin with a kind.
    #[error("line {line}: the category `{id}` does not begin with complaint, fault or install")]
    CategoryKind {
        /// Line of the category.
        line: usize,
        /// Its path.
        id: String,
    },
    /// A category whose parent is not listed.
    #[error("line {line}: the category above `{id}` is not listed")]
    CategoryParent {
        /// Line of the category.
        line: usize,
        /// Its path.
        id: String,
    },
    /// An entry for a category that the tree does not have.
    #[error("line {line}: the category `{id}` is not in the tree")]
    UnknownCategory {
        /// Line of the entry.
        line: usize,
        /// The category.
        id: String,
    },
    /// An entry whose category belongs to another kind than the one it names.
    #[error("line {line}: the category `{id}` is of another kind than the entry")]
    KindMismatch {
        /// Line of the entry.
        line: usize,
        /// The category.
        id: String,
    },
    /// An entry that names a stage, for a clock that has none.
    #[error("line {line}: only stage clocks have a stage")]
    StageUnexpected {
        /// Line of the entry.
        line: usize,
    },
    /// A warning outside 1 to 100 percent.
    #[error("line {line}: warn_percent {percent} is not in 1 to 100")]
    WarnPercent {
        /// Line of the entry.
        line: usize,
        /// The percentage.
        percent: u32,
    },
    /// A target that is a day or an instant: policies hold for any starting day.
    #[error("line {line}: the target of a policy must be relative, not `{target}`")]
    FixedTarget {
        /// Line of the entry.
        line: usize,
        /// The target.
        target: Target,
    },
    /// An operator's entry for the statutory clock that no policy changes.
    #[error("line {line}: no policy changes the appealable clock")]
    Statutory {
        /// Line of the entry.
        line: usize,
    },
    /// A promised date asked for on another clock than activation.
    #[error("line {line}: only the activation clock has a promised date")]
    PromiseUnexpected {
        /// Line of the entry.
        line: usize,
    },
    /// A legal entry without its article.
    #[error("line {line}: a legal entry must name its article")]
    NoArticle {
        /// Line of the entry.
        line: usize,
    },
    /// A legal entry that asks for more than the law does: stage, channel, segment, tier or mass outage.
    #[error("line {line}: a legal entry may ask for kind, category, province and rural only")]
    LegalConditions {
        /// Line of the entry.
        line: usize,
    },
    /// Two entries with the same clock and conditions.
    #[error("line {line}: the same clock and conditions stand in line {first}")]
    SameConditions {
        /// Line of the second entry.
        line: usize,
        /// Line of the first.
        first: usize,
    },
}

impl PolicyError {
    /// The line at fault, where there is one.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Nameless { line }
            | Self::Twice { line, .. }
            | Self::CategoryKind { line, .. }
            | Self::CategoryParent { line, .. }
            | Self::UnknownCategory { line, .. }
            | Self::KindMismatch { line, .. }
            | Self::StageUnexpected { line }
            | Self::WarnPercent { line, .. }
            | Self::FixedTarget { line, .. }
            | Self::Statutory { line }
            | Self::PromiseUnexpected { line }
            | Self::NoArticle { line }
            | Self::LegalConditions { line }
            | Self::SameConditions { line, .. } => Some(*line),
            Self::Syntax(_)
            | Self::NoVersion
            | Self::NoConstants
            | Self::UnknownBase { .. }
            | Self::Constant { .. }
            | Self::Ladder => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    version: String,
    title: String,
    #[serde(default)]
    extends: Vec<String>,
    #[serde(default)]
    emergency: bool,
    constants: Option<Constants>,
    promise: Option<Promise>,
    #[serde(default)]
    category: Vec<Spanned<CategoryLine>>,
    #[serde(default)]
    unit: Vec<Spanned<UnitLine>>,
    #[serde(default)]
    legal: Vec<Spanned<EntryLine>>,
    #[serde(default)]
    entry: Vec<Spanned<EntryLine>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CategoryLine {
    id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitLine {
    id: String,
    name: String,
    kind: UnitKind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryLine {
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
    target: Target,
    #[serde(default)]
    promised: bool,
    #[serde(default = "warn_percent")]
    warn_percent: u32,
    #[serde(default)]
    pauses: Vec<PauseCode>,
    article: Option<String>,
}

/// A civil time as text, `09:00`.
pub(super) fn time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<jiff::civil::Time, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is no time of day (09:00)")))
}

fn warn_percent() -> u32 {
    WARN_PERCENT
}

/// What finds an edition to extend.
type Known<'k> = &'k dyn Fn(&str) -> Option<Arc<Policy>>;

/// What the extended editions say together, the later going before the earlier.
#[derive(Default)]
struct Base {
    constants: Option<Constants>,
    promise: Option<Promise>,
    categories: BTreeMap<String, Category>,
    units: BTreeMap<String, Unit>,
    entries: Vec<Rule>,
    legal: Vec<Rule>,
}

impl Base {
    fn of(extends: &[String], known: Known<'_>) -> Result<Self, PolicyError> {
        let mut base = Self::default();
        for version in extends {
            let Some(edition) = known(version) else {
                return Err(PolicyError::UnknownBase { version: version.clone() });
            };
            base.constants = Some(edition.constants.clone());
            base.promise = edition.promise.or(base.promise);
            base.categories.extend(edition.categories.clone());
            base.units.extend(edition.units.clone());
            put_over(&mut base.entries, inherited(&edition.entries, version));
            put_over(&mut base.legal, inherited(&edition.legal, version));
        }
        Ok(base)
    }
}

fn inherited(rules: &[Rule], version: &str) -> Vec<Rule> {
    let version: Arc<str> = Arc::from(version);
    let mut rules = rules.to_vec();
    for rule in &mut rules {
        rule.place.edition.get_or_insert_with(|| Arc::clone(&version));
    }
    rules
}

/// A rule takes the place of one with the same clock and conditions.
fn put_over(rules: &mut Vec<Rule>, over: Vec<Rule>) {
    for rule in over {
        match rules.iter_mut().find(|under| under.conditions == rule.conditions) {
            Some(under) => *under = rule,
            None => rules.push(rule),
        }
    }
}

pub(super) fn parse(text: &str, known: Known<'_>) -> Result<Policy, PolicyError> {
    let file: PolicyFile =
        toml::from_str(text).map_err(|error| PolicyError::Syntax(error.to_string().trim_end().to_owned()))?;
    if file.version.trim().is_empty() {
        return Err(PolicyError::NoVersion);
    }
    let base = Base::of(&file.extends, known)?;
    let constants = file.constants.or(base.constants).ok_or(PolicyError::NoConstants)?;
    check_constants(&constants)?;
    let categories = categories(text, file.category, base.categories)?;
    let units = units(text, file.unit, base.units)?;
    let (mut legal, mut entries) = (base.legal, base.entries);
    put_over(&mut legal, rules(text, file.legal, &categories, check_legal)?);
    put_over(&mut entries, rules(text, file.entry, &categories, check_operator)?);
    Ok(Policy {
        version: file.version,
        title: file.title,
        emergency: file.emergency,
        extends: file.extends,
        constants,
        promise: file.promise.or(base.promise),
        text: Arc::from(text),
        others: BTreeMap::new(),
        categories,
        units,
        entries,
        legal,
    })
}

fn check_constants(constants: &Constants) -> Result<(), PolicyError> {
    let least = [
        ("urges_to_supervisor", constants.urges_to_supervisor, 1),
        ("attempts", constants.attempts, 1),
        ("attempt_days", constants.attempt_days, 1),
        ("dissatisfied_rounds", constants.dissatisfied_rounds, 1),
        ("return_window_hours", constants.return_window_hours, 1),
        ("returns_to_supervisor", constants.returns_to_supervisor, 1),
        ("appeal_working_days", constants.appeal_working_days, 1),
        ("reopen_days", constants.reopen_days, 1),
        ("resume_by_working_days", constants.resume_by_working_days, 1),
        ("draw_percent", constants.draw_percent, 10),
    ];
    for (name, value, least) in least {
        if value < least {
            return Err(PolicyError::Constant { name, least });
        }
    }
    if !constants.ladder_working_days.is_sorted_by(|rung, next| rung < next) {
        return Err(PolicyError::Ladder);
    }
    Ok(())
}

fn categories(
    text: &str,
    lines: Vec<Spanned<CategoryLine>>,
    mut categories: BTreeMap<String, Category>,
) -> Result<BTreeMap<String, Category>, PolicyError> {
    for spanned in lines {
        let line = line_of(text, spanned.span().start);
        let CategoryLine { id, name } = spanned.into_inner();
        if name.trim().is_empty() || id.split('.').any(|part| part.trim().is_empty()) {
            return Err(PolicyError::Nameless { line });
        }
        let Some(kind) = category_kind(&id) else {
            return Err(PolicyError::CategoryKind { line, id });
        };
        // Parents stand before their children, so a missing one is known at once.
        if let Some((parent, _)) = id.rsplit_once('.') {
            match categories.get_mut(parent) {
                Some(Category { leaf, .. }) => *leaf = false,
                None => return Err(PolicyError::CategoryParent { line, id }),
            }
        }
        let category = Category { id: id.clone(), name, kind, leaf: true };
        if categories.insert(id.clone(), category).is_some() {
            return Err(PolicyError::Twice { line, id });
        }
    }
    Ok(categories)
}

/// The kind that a category path begins with.
pub(super) fn category_kind(path: &str) -> Option<Kind> {
    match path.split('.').next() {
        Some("complaint") => Some(Kind::Complaint),
        Some("fault") => Some(Kind::Fault),
        Some("install") => Some(Kind::Install),
        _ => None,
    }
}

fn units(
    text: &str,
    lines: Vec<Spanned<UnitLine>>,
    mut units: BTreeMap<String, Unit>,
) -> Result<BTreeMap<String, Unit>, PolicyError> {
    for spanned in lines {
        let line = line_of(text, spanned.span().start);
        let UnitLine { id, name, kind } = spanned.into_inner();
        if id.trim().is_empty() || name.trim().is_empty() {
            return Err(PolicyError::Nameless { line });
        }
        let unit = Unit { id: UnitId::from(id.as_str()), name, kind };
        if units.insert(id.clone(), unit).is_some() {
            return Err(PolicyError::Twice { line, id });
        }
    }
    Ok(units)
}

fn rules(
    text: &str,
    lines: Vec<Spanned<EntryLine>>,
    categories: &BTreeMap<String, Category>,
    check: fn(&Rule) -> Result<(), PolicyError>,
) -> Result<Vec<Rule>, PolicyError> {
    let mut rules: Vec<Rule> = Vec::with_capacity(lines.len());
    for spanned in lines {
        let line = line_of(text, spanned.span().start);
        let rule = rule(spanned.into_inner(), line);
        check_rule(&rule, categories)?;
        check(&rule)?;
        if let Some(first) = rules.iter().find(|other| other.conditions == rule.conditions) {
            return Err(PolicyError::SameConditions { line, first: first.place.line });
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn rule(line: EntryLine, number: usize) -> Rule {
    Rule {
        conditions: Conditions {
            clock: line.clock,
            stage: line.stage,
            mass_outage: line.mass_outage,
            channel: line.channel,
            category: line.category,
            segment: line.segment,
            tier: line.tier,
            province: line.province,
            rural: line.rural,
            kind: line.kind,
        },
        entry: Entry {
            target: line.target,
            promised: line.promised,
            warn_percent: line.warn_percent,
            pauses: line.pauses,
            article: line.article,
        },
        place: Place::line(number),
    }
}

fn check_rule(rule: &Rule, categories: &BTreeMap<String, Category>) -> Result<(), PolicyError> {
    let Rule { conditions, entry, place } = rule;
    let line = place.line;
    if let Some(id) = &conditions.category {
        let Some(category) = categories.get(id) else {
            return Err(PolicyError::UnknownCategory { line, id: id.clone() });
        };
        if conditions.kind.is_some_and(|kind| kind != category.kind) {
            return Err(PolicyError::KindMismatch { line, id: id.clone() });
        }
    }
    if conditions.stage.is_some() && conditions.clock != ClockKind::Stage {
        return Err(PolicyError::StageUnexpected { line });
    }
    if !(1..=100).contains(&entry.warn_percent) {
        return Err(PolicyError::WarnPercent { line, percent: entry.warn_percent });
    }
    if matches!(entry.target, Target::Day(_) | Target::Moment(_)) {
        return Err(PolicyError::FixedTarget { line, target: entry.target });
    }
    if entry.promised && conditions.clock != ClockKind::Activation {
        return Err(PolicyError::PromiseUnexpected { line });
    }
    Ok(())
}

fn check_legal(rule: &Rule) -> Result<(), PolicyError> {
    let conditions = &rule.conditions;
    if rule.entry.article.as_deref().is_none_or(|article| article.trim().is_empty()) {
        return Err(PolicyError::NoArticle { line: rule.place.line });
    }
    let more = conditions.stage.is_some()
        || conditions.channel.is_some()
        || conditions.segment.is_some()
        || conditions.tier.is_some()
        || conditions.mass_outage.is_some();
    if more { Err(PolicyError::LegalConditions { line: rule.place.line }) } else { Ok(()) }
}

fn check_operator(rule: &Rule) -> Result<(), PolicyError> {
    if rule.conditions.clock == ClockKind::Appealable {
        return Err(PolicyError::Statutory { line: rule.place.line });
    }
    Ok(())
}
