//! What a log does with what lies behind the last whole group of a segment, and with a segment whose header is not good: one table.
//!
//! It rests on what the writer does and on what a disk does that keeps its promises:
//!
//! - Space is zeros, synced, before anything is written to it. A header is synced before the first group under it is written, and
//!   a group before the next one, be that in the same segment or under the next header. So at most one group, or one header, at the very
//!   end was not synced, and it was never acknowledged.
//! - A sector of 512 bytes is written whole or not at all; several that were not synced, in any order. So what a power loss, or a kill,
//!   leaves of a group or a header lacks whole sectors, which are zeros still; a record, or a header, that is wrong although no
//!   sector of it is missing was right once.
//!
//! The first row that fits decides. `behind` is what lies at the end of the last whole group: nothing but zeros; a record of which a sector
//! is missing; or one that is wrong though none is. `groups` are ends of groups, with a good checksum, anywhere behind that: of the group
//! that should be there; of a later one; or of one that no write can have put there.
//!
//! | header | followed | held | behind | groups | decision | because |
//! |---|---|---|---|---|---|---|
//! | good | any | any | any | later | refuse | a later group stands behind it, so it was whole once |
//! | good | any | any | any | stray | refuse | a group stands behind it that belongs elsewhere |
//! | good | any | any | zeros | any | keep | the log, or the segment, ends here |
//! | good | yes | any | any | any | refuse | another segment follows, so it was whole once |
//! | good | no | yes | any | any | keep | whoever holds the log may be writing it |
//! | good | no | no | missing | any | cut | a power loss left a part of a group that was never acknowledged |
//! | good | no | no | wrong | any | refuse | no part of it is missing, so it was right once |
//! | any | any | any | any | next | refuse | a group stands under a header that is not good |
//! | any | any | any | any | later | refuse | a group stands under a header that is not good |
//! | any | any | any | any | stray | refuse | a group stands under a header that is not good |
//! | any | yes | any | any | any | refuse | another segment follows, so the header was good once |
//! | any | no | yes | any | any | keep | whoever holds the log may be writing it |
//! | missing | no | no | any | any | cut | the segment was never started |
//! | wrong | no | no | any | any | refuse | no part of the header is missing, so it was good once |

/// A segment's first page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Page {
    Good,
    /// Zeros, where at least one sector should be something else.
    Missing,
    Wrong,
}

/// What lies at the end of the last whole group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Behind {
    /// To the end of the file.
    Zeros,
    Missing,
    Wrong,
}

/// What groups have their end behind the last whole one; the first of these that there is, from below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Groups {
    None,
    /// The one that goes on where the last whole one ends, at its place.
    Next,
    /// An earlier one, or the next one at another place.
    Stray,
    Later,
}

/// All that a decision rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Facts {
    pub(crate) header: Page,
    /// Whether a later segment has a good header.
    pub(crate) followed: bool,
    /// Whether somebody else writes to the log.
    pub(crate) held: bool,
    pub(crate) behind: Behind,
    pub(crate) groups: Groups,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// What is whole is the log; what lies behind it is left alone.
    Keep,
    /// What is whole is the log; what lies behind it goes.
    Cut,
    /// The log is damaged here.
    Refuse,
}

/// A row of the table; none stands for any.
struct Row {
    header: Option<Page>,
    followed: Option<bool>,
    held: Option<bool>,
    behind: Option<Behind>,
    groups: Option<Groups>,
    decision: Decision,
    because: &'static str,
}

const ANY: Row = Row {
    header: None,
    followed: None,
    held: None,
    behind: None,
    groups: None,
    decision: Decision::Refuse,
    because: "",
};
const GOOD: Row = Row { header: Some(Page::Good), ..ANY };
const LAST: Row = Row { followed: Some(false), ..ANY };
const WRITING: &str = "whoever holds the log may be writing it";
const HEADLESS: &str = "a group stands under a header that is not good";

const TABLE: [Row; 14] = [
    Row {
        groups: Some(Groups::Later),
        because: "a later group stands behind it, so it was whole once",
        ..GOOD
    },
    Row { groups: Some(Groups::Stray), because: "a group stands behind it that belongs elsewhere", ..GOOD },
    Row {
        behind: Some(Behind::Zeros),
        decision: Decision::Keep,
        because: "the log, or the segment, ends here",
        ..GOOD
    },
    Row { followed: Some(true), because: "another segment follows, so it was whole once", ..GOOD },
    Row { followed: Some(false), held: Some(true), decision: Decision::Keep, because: WRITING, ..GOOD },
    Row {
        followed: Some(false),
        held: Some(false),
        behind: Some(Behind::Missing),
        decision: Decision::Cut,
        because: "a power loss left a part of a group that was never acknowledged",
        ..GOOD
    },
    Row {
        followed: Some(false),
        held: Some(false),
        behind: Some(Behind::Wrong),
        because: "no part of it is missing, so it was right once",
        ..GOOD
    },
    Row { groups: Some(Groups::Next), because: HEADLESS, ..ANY },
    Row { groups: Some(Groups::Later), because: HEADLESS, ..ANY },
    Row { groups: Some(Groups::Stray), because: HEADLESS, ..ANY },
    Row { followed: Some(true), because: "another segment follows, so the header was good once", ..ANY },
    Row { held: Some(true), decision: Decision::Keep, because: WRITING, ..LAST },
    Row {
        header: Some(Page::Missing),
        held: Some(false),
        decision: Decision::Cut,
        because: "the segment was never started",
        ..LAST
    },
    Row {
        header: Some(Page::Wrong),
        held: Some(false),
        because: "no part of the header is missing, so it was good once",
        ..LAST
    },
];

impl Row {
    fn fits(&self, facts: Facts) -> bool {
        self.header.is_none_or(|it| it == facts.header)
            && self.followed.is_none_or(|it| it == facts.followed)
            && self.held.is_none_or(|it| it == facts.held)
            && self.behind.is_none_or(|it| it == facts.behind)
            && self.groups.is_none_or(|it| it == facts.groups)
    }
}

/// Decides, and says why.
pub(crate) fn decide(facts: Facts) -> (Decision, &'static str) {
    // A test tries every combination: some row always fits.
    TABLE
        .iter()
        .find(|row| row.fits(facts))
        .map_or((Decision::Refuse, "nothing is known of such an end"), |row| (row.decision, row.because))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Facts> {
        let mut all = Vec::new();
        for header in [Page::Good, Page::Missing, Page::Wrong] {
            for followed in [false, true] {
                for held in [false, true] {
                    for behind in [Behind::Zeros, Behind::Missing, Behind::Wrong] {
                        for groups in [Groups::None, Groups::Next, Groups::Stray, Groups::Later] {
                            all.push(Facts { header, followed, held, behind, groups });
                        }
                    }
                }
            }
        }
        all
    }

    #[test]
    fn the_table_in_the_documentation_is_the_one_that_decides() {
        fn cell<T: std::fmt::Debug>(it: Option<T>) -> String {
            it.map_or("any".to_owned(), |it| format!("{it:?}").to_lowercase())
        }
        let yes = |it: Option<bool>| cell(it).replace("true", "yes").replace("false", "no");
        let rendered: Vec<_> = TABLE
            .iter()
            .map(|row| {
                format!(
                    "//! | {} | {} | {} | {} | {} | {} | {} |",
                    cell(row.header),
                    yes(row.followed),
                    yes(row.held),
                    cell(row.behind),
                    cell(row.groups),
                    cell(Some(row.decision)),
                    row.because
                )
            })
            .collect();
        let written: Vec<_> =
            include_str!("recover.rs").lines().filter(|line| line.starts_with("//! | ")).skip(1).collect();
        assert_eq!(written, rendered);
    }

    #[test]
    fn every_combination_of_facts_has_a_row_and_every_row_a_combination() {
        let all = all();
        assert_eq!(all.len(), 144);
        let mut used = [0; TABLE.len()];
        for &facts in &all {
            let row = TABLE.iter().position(|row| row.fits(facts)).unwrap_or_else(|| panic!("{facts:?}"));
            used[row] += 1;
        }
        assert!(used.iter().all(|&n| n > 0), "{used:?}");
    }

    /// The same again in other words, over all combinations: what must hold whatever the rows are.
    #[test]
    fn over_all_combinations_only_what_a_power_loss_can_leave_is_cut_and_only_a_clean_end_or_a_live_one_is_kept()
     {
        for facts in all() {
            let Facts { header, followed, held, behind, groups } = facts;
            let (decision, because) = decide(facts);
            let good = header == Page::Good;
            let torn_group = good && behind == Behind::Missing && groups <= Groups::Next;
            let torn_header = header == Page::Missing && groups == Groups::None;
            let last = !followed && !held;
            assert_eq!(decision == Decision::Cut, last && (torn_group || torn_header), "{facts:?}");
            let clean = good && behind == Behind::Zeros && groups <= Groups::Next;
            let live =
                !followed && held && if good { groups <= Groups::Next } else { groups == Groups::None };
            assert_eq!(decision == Decision::Keep, clean || live, "{facts:?}");
            assert!(!because.is_empty());
        }
    }
}
