//! The statutory floor: a policy may be stricter than the law, never laxer (domain.md section 4).

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::file::category_kind;
use super::{Place, Point, Policy, Rule};
use crate::calendar::{Calendar, Target, at_time, due, end_of_day, local_date, local_time, start_of_day};
use crate::words::{ClockKind, Kind, PauseCode, Segment, Tier};

/// Why a policy is refused: an entry of it is laxer than the law.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FloorError {
    /// A deadline would be later than the statutory one.
    #[error(
        "{place}: {clock} within {target} may end later than {floor} ({article}), for instance when it starts {day} {time}",
        clock = .clock.name(), day = local_date(*.start), time = local_time(*.start)
    )]
    Later {
        /// Where the entry stands.
        place: Place,
        /// The clock.
        clock: ClockKind,
        /// The operator's target.
        target: Target,
        /// The statutory target.
        floor: Target,
        /// The article that sets it.
        article: String,
        /// A start for which the operator's deadline is the later one.
        start: Timestamp,
    },
    /// A pause would stop the clock that the law lets run.
    #[error("{place}: {clock} honours pauses for {}, which the law does not ({article})", pause_name(*.code), clock = .clock.name())]
    Pause {
        /// Where the entry stands.
        place: Place,
        /// The clock.
        clock: ClockKind,
        /// The pause code.
        code: PauseCode,
        /// The article that sets the limit.
        article: String,
    },
    /// A limit of the law is missing altogether.
    #[error("{clock} has no limit for {}, and the law sets one ({article}): extend cn-national-1, or state it as [[legal]]", kind.name(), clock = .clock.name())]
    Missing {
        /// The clock.
        clock: ClockKind,
        /// Tickets of this kind.
        kind: Kind,
        /// The article that sets the limit.
        article: String,
    },
    /// The date promised to the customer would not bind.
    #[error("{place}: {clock} does not keep to the promised date ({article})", clock = .clock.name())]
    Promise {
        /// Where the entry stands.
        place: Place,
        /// The clock.
        clock: ClockKind,
        /// The article that sets the limit.
        article: String,
    },
}

impl FloorError {
    /// The article that the policy is held against.
    pub fn article(&self) -> &str {
        match self {
            Self::Later { article, .. }
            | Self::Pause { article, .. }
            | Self::Missing { article, .. }
            | Self::Promise { article, .. } => article,
        }
    }

    /// Where the entry stands that is laxer than the law; none where one is missing.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Later { place, .. } | Self::Pause { place, .. } | Self::Promise { place, .. } => {
                Some(place)
            }
            Self::Missing { .. } => None,
        }
    }
}

impl Policy {
    /// Checks that this policy keeps the law, whoever wrote it: it states every national limit, no laxer than
    /// `cn-national-1` does, and no entry of it is laxer than the limits that it states. A province's limit stands before
    /// the national one, and may be the laxer of the two: it is the law there.
    ///
    /// # Errors
    ///
    /// [`FloorError`], with the article, for the first entry that is laxer than the law.
    pub fn check_law(&self, calendar: &Calendar) -> Result<(), FloorError> {
        let national = Self::cn_national();
        let clocks: BTreeSet<ClockKind> = national.legal.iter().map(|rule| rule.conditions.clock).collect();
        for clock in clocks {
            for point in &points(clock, &self.legal, &national.legal) {
                if let (Some(law), None) = (national.legal_rule(clock, point), self.legal_rule(clock, point))
                {
                    let article = law.entry.article.clone().unwrap_or_default();
                    return Err(FloorError::Missing { clock, kind: point.kind, article });
                }
            }
        }
        let mut stated = self.clone();
        stated.entries.clone_from(&self.legal);
        stated.entries.retain(|rule| rule.conditions.province.is_none());
        stated.check_floor(&national, calendar)?;
        self.check_floor(self, calendar)
    }

    /// Checks every entry of this policy, wherever it wins, against the statutory limits in `law` (a policy with
    /// `[[legal]]` entries, often this one itself). Later is tried for every starting day of the published years.
    ///
    /// # Errors
    ///
    /// [`FloorError`], with the article, for the first entry that is laxer than the law.
    pub fn check_floor(&self, law: &Self, calendar: &Calendar) -> Result<(), FloorError> {
        let clocks: BTreeSet<ClockKind> = law.legal.iter().map(|rule| rule.conditions.clock).collect();
        for clock in clocks {
            let mut pairs = BTreeSet::new();
            for point in &points(clock, &self.entries, &law.legal) {
                let (Some(rule), Some(floor)) =
                    (self.operator_rule(clock, point), law.legal_rule(clock, point))
                else {
                    continue;
                };
                if pairs.insert((&rule.place, &floor.place)) {
                    check(clock, rule, floor, calendar)?;
                }
            }
        }
        Ok(())
    }
}

/// The code as policies spell it.
fn pause_name(code: PauseCode) -> &'static str {
    match code {
        PauseCode::Customer => "customer",
        PauseCode::ThirdParty => "third_party",
        PauseCode::ForceMajeure => "force_majeure",
        PauseCode::Resources => "resources",
    }
}

fn check(clock: ClockKind, rule: &Rule, floor: &Rule, calendar: &Calendar) -> Result<(), FloorError> {
    let place = rule.place.clone();
    let article = floor.entry.article.clone().unwrap_or_default();
    if let Some(code) = rule.entry.pauses.iter().copied().find(|code| !floor.entry.honours(*code)) {
        return Err(FloorError::Pause { place, clock, code, article });
    }
    if floor.entry.promised && !rule.entry.promised {
        return Err(FloorError::Promise { place, clock, article });
    }
    let (target, floor) = (rule.entry.target, floor.entry.target);
    match later_start(target, floor, calendar) {
        Some(start) => Err(FloorError::Later { place, clock, target, floor, article, start }),
        None => Ok(()),
    }
}

/// A start in the published years for which `target` ends later than `floor`.
///
/// During one day a target in days keeps its due and a target in hours moves with the start, so the day's first and
/// last second are the extremes, and with a promise also the second that still counts and the one after it.
fn later_start(target: Target, floor: Target, calendar: &Calendar) -> Option<Timestamp> {
    let second = SignedDuration::from_secs(1);
    let limits = [target, floor].map(|target| match target {
        Target::SameDayElseHours { by, .. } => Some(by),
        _ => None,
    });
    let days = calendar
        .years()
        .filter_map(|year| Date::new(year, 1, 1).ok())
        .flat_map(|first| first.series(1.day()).take_while(move |date| date.year() == first.year()));
    let later = |start: &Timestamp| due(target, *start, &[], calendar) > due(floor, *start, &[], calendar);
    days.flat_map(|date| {
        let limits = limits.into_iter().flatten().map(move |by| at_time(date, by));
        let ends = [start_of_day(date), end_of_day(date).saturating_sub(second).unwrap_or(Timestamp::MAX)];
        limits.flat_map(move |by| [by, by.saturating_add(second).unwrap_or(Timestamp::MAX)]).chain(ends)
    })
    .find(later)
}

/// Every combination of values that the entries of a clock tell apart.
fn points<'a>(clock: ClockKind, entries: &'a [Rule], legal: &'a [Rule]) -> Vec<Point<'a>> {
    let conditions: Vec<_> =
        entries.iter().chain(legal).map(|rule| &rule.conditions).filter(|it| it.clock == clock).collect();
    let mut channels: Vec<_> = conditions.iter().map(|it| it.channel).chain([None]).collect();
    channels.sort_unstable();
    channels.dedup();
    let categories: BTreeSet<_> = conditions.iter().map(|it| it.category.as_deref()).chain([None]).collect();
    let provinces: BTreeSet<_> = conditions.iter().map(|it| it.province.as_deref()).chain([None]).collect();

    let mut points = Vec::new();
    for kind in [Kind::Complaint, Kind::Fault, Kind::Install] {
        let of_kind = |path: &Option<&str>| path.is_none_or(|path| category_kind(path) == Some(kind));
        for category in categories.iter().copied().filter(of_kind) {
            for (channel, province) in
                channels.iter().flat_map(|it| provinces.iter().map(|province| (*it, *province)))
            {
                for segment in [Segment::Public, Segment::LargeAccount] {
                    for tier in [Tier::Gold, Tier::Silver, Tier::Standard] {
                        for (rural, mass_outage) in
                            [(false, false), (false, true), (true, false), (true, true)]
                        {
                            let stage = None;
                            points.push(Point {
                                stage,
                                mass_outage,
                                channel,
                                category,
                                segment,
                                tier,
                                province,
                                rural,
                                kind,
                            });
                        }
                    }
                }
            }
        }
    }
    points
}
