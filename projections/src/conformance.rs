//! Did every history go the way of the chain? Ours and foreign ones, by one measure (domain.md sections 3 and 8).
//!
//! The measure is apart from the rules that write tickets, so that it finds what they would never have written. It looks at the events
//! that do a stage of the chain, in order (a foreign history's by the moments that its source gives), and at four ways to deviate:
//!
//! - **skipped**: a later stage was done, and this one was not, neither then nor later in the same pass;
//! - **out of order**: the stage was done after a later one of the same pass, or after the ticket's end;
//! - **repeated**: the stage was done again in the same pass;
//! - **own work**: whoever inspects (or assesses) has investigated, dispatched, replied, told the customer, or sent a reply back before.
//!
//! A *pass* is one way along the chain. A round begins another pass at its stage, and so does a reply that is sent back: going back is no
//! deviation when an event says so, and what the earlier pass had left out stays left out. Feedback that does not satisfy, and an inspection
//! that fails a gate which nobody has waived, do their stage without passing it: if no round follows and the ticket goes on, it is skipped.
//! Foreign histories know no rounds, so there every way back is a repetition. Stages that are not reached yet are not skipped: an open
//! ticket conforms until it does not, and so does one that was withdrawn, rejected or merged on its way.
//!
//! Every history is in exactly one *pattern*: which stages deviate, and how, however often. The patterns' counts add up to the histories.

mod check;
mod fold;
mod keys;

use std::collections::BTreeMap;

use duban_aggregates::words::Stage;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::check::{Check, Deviation, How};
pub use self::fold::ConformanceFold;
use self::fold::{read_count, read_row};
use crate::projection::{Projection, Stopped};
use crate::table::{self, TableError};

/// The read model of conformance.
pub type Conformance = Projection<ConformanceFold>;

/// Rows read at a time.
const PAGE: usize = 256;

/// A history as it was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The stream's name.
    pub stream: String,
    /// The id in it: a ticket's or a foreign history's.
    pub id: Uuid,
    /// Where it comes from: `complaint`, `fault` or `install`, or `imported/` and the source's name.
    pub origin: String,
    /// What a foreign source calls the case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// The moment of the latest step of a foreign history, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<i64>,
    /// How it went so far.
    pub check: Check,
}

impl History {
    /// Its deviations, by kind, stage and event.
    #[must_use]
    pub fn deviations(&self) -> Vec<Deviation> {
        self.check.deviations()
    }

    /// Which pattern it is in.
    #[must_use]
    pub fn pattern(&self) -> Pattern {
        Pattern::of(&self.deviations())
    }
}

/// Which stages deviate and how, sorted, each once. Empty: it conforms.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(pub Vec<(How, Stage)>);

/// What the empty pattern is called.
pub const CONFORMS: &str = "conforms";

impl Pattern {
    /// The pattern of some deviations.
    #[must_use]
    pub fn of(deviations: &[Deviation]) -> Self {
        let mut pattern: Vec<_> = deviations.iter().map(|found| (found.how, found.stage)).collect();
        pattern.sort_unstable();
        pattern.dedup();
        Self(pattern)
    }

    /// Whether there is no deviation.
    #[must_use]
    pub fn conforms(&self) -> bool {
        self.0.is_empty()
    }
}

/// `skipped feedback, inspect; repeated reply`.
impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.conforms() {
            return f.write_str(CONFORMS);
        }
        let mut before = None;
        for (how, stage) in &self.0 {
            match before.replace(*how) {
                None => write!(f, "{} {}", how.name(), stage.name())?,
                Some(same) if same == *how => write!(f, ", {}", stage.name())?,
                Some(_) => write!(f, "; {} {}", how.name(), stage.name())?,
            }
        }
        Ok(())
    }
}

/// How many histories of one origin are in one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The origin.
    pub origin: String,
    /// The pattern, as it is written.
    pub pattern: String,
    /// How many.
    pub histories: u64,
}

/// The table of patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    /// The patterns with their counts, the largest first.
    pub counted: Vec<Counted>,
    /// How many histories there are, counted as they began and not by their patterns.
    pub histories: u64,
}

impl Patterns {
    /// How many conform.
    #[must_use]
    pub fn conforming(&self) -> u64 {
        self.counted
            .iter()
            .filter(|counted| counted.pattern == CONFORMS)
            .map(|counted| counted.histories)
            .sum()
    }

    /// Whether every history is in exactly one pattern.
    #[must_use]
    pub fn add_up(&self) -> bool {
        self.counted.iter().map(|counted| counted.histories).sum::<u64>() == self.histories
    }
}

/// Which deviating histories are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this origin.
    pub origin: Option<String>,
    /// In exactly this pattern.
    pub pattern: Option<String>,
    /// With such a deviation.
    pub how: Option<How>,
    /// With a deviation at this stage; with `how`, both in one.
    pub stage: Option<Stage>,
}

impl Wanted {
    fn wants(&self, history: &History) -> bool {
        let is = |found: &Deviation| {
            self.how.is_none_or(|how| how == found.how) && self.stage.is_none_or(|stage| stage == found.stage)
        };
        self.origin.as_ref().is_none_or(|origin| *origin == history.origin)
            && self.pattern.as_ref().is_none_or(|pattern| *pattern == history.pattern().to_string())
            && history.deviations().iter().any(is)
    }
}

impl Conformance {
    /// A history as it was checked.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn history(&self, id: Uuid) -> Result<Option<History>, Stopped> {
        self.ask(|table| table.get(&keys::row(id))?.map(|bytes| read_row(&bytes)).transpose())
    }

    /// The table of patterns, of one origin or of all.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn patterns(&self, origin: Option<&str>) -> Result<Patterns, Stopped> {
        let mut patterns = Patterns::default();
        let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
        self.ask(|table| {
            // A handful of origins, and as many patterns as there are ways to deviate that occurred.
            for (key, value) in
                table.page(&[keys::COUNTS], &table::end_of(&[keys::COUNTS]), false, usize::MAX)?
            {
                let count = read_count(&value)?;
                let (of, pattern) = keys::counted(&key).ok_or_else(foreign)?;
                if origin.is_some_and(|origin| origin != of) {
                    continue;
                }
                match pattern {
                    Some(pattern) => *counts.entry((of, pattern)).or_default() += count,
                    None => patterns.histories += count,
                }
            }
            Ok(())
        })?;
        let counted = counts.into_iter().filter(|(_, histories)| *histories > 0);
        let counted = counted.map(|((origin, pattern), histories)| Counted { origin, pattern, histories });
        patterns.counted = counted.collect();
        patterns.counted.sort_by_key(|counted| std::cmp::Reverse(counted.histories));
        Ok(patterns)
    }

    /// Histories that deviate, by id, after one of them; and where to go on, where there is more.
    ///
    /// # Errors
    /// [`Stopped::Table`].
    pub fn deviating(
        &self,
        wanted: &Wanted,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<(Vec<History>, Option<Uuid>), Stopped> {
        let index = match &wanted.pattern {
            Some(pattern) => keys::in_pattern(pattern),
            None => vec![keys::DEVIATING],
        };
        let (mut from, to) = (index.clone(), table::end_of(&index));
        if let Some(after) = after {
            from.extend(after.as_bytes());
            from = table::after(&from);
        }
        let mut found: Vec<History> = Vec::new();
        self.ask(|table| {
            loop {
                let page = table.page(&from, &to, false, PAGE)?;
                for (key, _) in &page {
                    let id = keys::id_of(key).ok_or_else(foreign)?;
                    let row = table.get(&keys::row(id))?.map(|bytes| read_row(&bytes)).transpose()?;
                    // One that changes between the two reads shows as it stands now.
                    let Some(row) = row.filter(|row| wanted.wants(row)) else { continue };
                    if found.len() == limit {
                        let next = found.last().map(|last| last.id);
                        return Ok((std::mem::take(&mut found), next));
                    }
                    found.push(row);
                }
                match page.last() {
                    Some((last, _)) if page.len() == PAGE => from = table::after(last),
                    _ => return Ok((std::mem::take(&mut found), None)),
                }
            }
        })
    }
}

fn foreign() -> TableError {
    TableError::Row("a key is not one of this version's".to_owned())
}
