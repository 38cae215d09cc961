//! Custody as a bar across time: one row a holder, proportional, with durations that add up to the open time.

use jiff::Timestamp;

use super::lines::{duration, local};
use super::state::CustodyStretch;

/// Cells of a bar, at the most.
const CELLS: u64 = 60;

/// Rows of a bar, the longest name first shown.
const NAME: usize = 20;

/// The lines of the bar; none where nobody has had it.
pub(super) fn lines(stretches: &[CustodyStretch]) -> Vec<String> {
    let held: Vec<Span<'_>> = stretches.iter().filter_map(Span::of).collect();
    let (Some(first), Some(last)) = (held.first(), held.iter().map(|span| span.until).max()) else {
        return Vec::new();
    };
    let axis = Axis { from: first.from, until: last.max(first.from) };
    let mut holders: Vec<&str> = Vec::new();
    for span in &held {
        if !holders.contains(&span.holder) {
            holders.push(span.holder);
        }
    }
    let row = |holder: &&str| {
        let its: Vec<&Span<'_>> = held.iter().filter(|span| span.holder == *holder).collect();
        let seconds: u64 = its.iter().map(|span| span.seconds).sum();
        format!("  {holder:<NAME$} {:>14}  {}", duration(seconds), axis.bar(&its))
    };
    let total = held.iter().map(|span| span.seconds).sum();
    let mut lines = vec![format!("  {:<NAME$} {:>14}  {}", "", "", axis.ends())];
    lines.extend(holders.iter().map(row));
    lines.push(format!("  {:<NAME$} {:>14}", "in all", duration(total)));
    lines
}

/// A stretch in somebody's hands, in seconds since the epoch.
struct Span<'s> {
    holder: &'s str,
    from: i64,
    until: i64,
    seconds: u64,
}

impl<'s> Span<'s> {
    /// Nobody's time is a gap.
    fn of(stretch: &'s CustodyStretch) -> Option<Self> {
        let (from, until) = (stretch.from?.as_second(), stretch.until?.as_second());
        let CustodyStretch { holder, seconds, .. } = stretch;
        (holder != "nobody").then_some(Self { holder, from, until, seconds: *seconds })
    }
}

struct Axis {
    from: i64,
    until: i64,
}

impl Axis {
    fn length(&self) -> u64 {
        u64::try_from(self.until - self.from).unwrap_or(0)
    }

    fn cells(&self) -> u64 {
        self.length().clamp(1, CELLS)
    }

    /// The seconds of a cell: from, until.
    fn cell(&self, cell: u64) -> (i64, i64) {
        let at = |cell: u64| {
            let offset = u128::from(self.length()) * u128::from(cell) / u128::from(self.cells());
            self.from + i64::try_from(offset).unwrap_or(0)
        };
        (at(cell), at(cell + 1))
    }

    /// How much of each cell is theirs: none, up to a quarter, a half, not all, all.
    fn bar(&self, its: &[&Span<'_>]) -> String {
        let share = |cell| {
            let (from, until) = self.cell(cell);
            let overlap = |span: &&Span<'_>| (span.until.min(until) - span.from.max(from)).max(0);
            let (held, all) = (its.iter().map(overlap).sum::<i64>(), until - from);
            match (held, all) {
                (0, _) => ' ',
                (held, all) if held >= all => '█',
                (held, all) if held * 4 <= all => '░',
                (held, all) if held * 2 <= all => '▒',
                _ => '▓',
            }
        };
        let bar: String = (0..self.cells()).map(share).collect();
        bar.trim_end().to_owned()
    }

    /// The two ends of the bar, above it.
    fn ends(&self) -> String {
        let label = |second| Timestamp::from_second(second).map_or_else(|_| String::new(), local);
        format!("{} … {}", label(self.from), label(self.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(holder: &str, from: i64, until: i64) -> CustodyStretch {
        let at = |second| Timestamp::from_second(second).ok();
        let seconds = if holder == "nobody" { 0 } else { u64::try_from(until - from).unwrap() };
        CustodyStretch { holder: holder.into(), from: at(from), until: at(until), seconds, open: false }
    }

    fn bar_of(lines: &[String], holder: &str) -> String {
        let line = lines.iter().find(|line| line.trim_start().starts_with(holder)).expect("a row");
        line.chars().skip(2 + NAME + 1 + 14 + 2).collect()
    }

    #[test]
    fn a_bar_has_one_row_a_holder_and_its_cells_are_where_they_had_it() {
        let story = [
            stretch("desk", 0, 15),
            stretch("line-crew", 15, 30),
            stretch("nobody", 30, 45),
            stretch("desk", 45, 60),
        ];
        let lines = lines(&story);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert_eq!(bar_of(&lines, "desk"), format!("{0}{1}{1}{0}", "█".repeat(15), " ".repeat(15)));
        assert_eq!(bar_of(&lines, "line-crew"), format!("{}{}", " ".repeat(15), "█".repeat(15)));
        assert!(lines[1].contains("00:00:30") && lines[3].contains("00:00:45"), "{lines:?}");
        assert_eq!(super::lines(&[]), [""; 0]);
    }

    #[test]
    fn however_short_somebody_had_it_it_shows_and_the_bar_is_never_longer_than_its_cells() {
        let story = [stretch("desk", 0, 86_399), stretch("line-crew", 86_399, 86_400)];
        let lines = lines(&story);
        assert_eq!(bar_of(&lines, "line-crew").trim_start(), "░");
        assert_eq!(bar_of(&lines, "desk").chars().count(), 60);
        let moment = super::lines(&[stretch("desk", 7, 7)]);
        assert!(moment[1].contains("00:00:00"), "{moment:?}");
    }
}
