//! The two tables are what their pages show, and what the decisions do.

use duban_aggregates::calendar::Calendar;
use duban_aggregates::policy::{Policy, PolicyError};
use duban_aggregates::ticket::chain::table::{self as chain_table, InHandOf, StageRow};
use duban_aggregates::ticket::clock::Trigger;
use duban_aggregates::ticket::clock::table::{self as clock_table, ClockRow, StartRule};
use duban_aggregates::ticket::{Command, Event, chain};
use duban_aggregates::words::{Answer, ClockKind, Kind, Part, Role, Stage};
use duban_sample_tickets::scripted::*;

/// The table of a module's page.
fn page(source: &str) -> Vec<&str> {
    source.lines().filter_map(|line| line.strip_prefix("//! ")).filter(|line| line.starts_with('|')).collect()
}

#[track_caller]
fn compare(page: &[&str], rows: &[String]) {
    assert_eq!(page, rows, "\nthe page must say\n\n//! {}\n", rows.join("\n//! "));
}

fn line(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// The names of columns, and the rule below them.
fn head<const N: usize>(columns: [&str; N]) -> [String; 2] {
    [line(&columns.map(str::to_owned)), format!("|{}", "---|".repeat(N))]
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn code(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn stage_row(row: &StageRow) -> String {
    let in_hand_of = match row.in_hand_of {
        InHandOf::Department => "the department",
        InHandOf::LeadUnit => "the lead's unit",
    };
    line(&[
        row.stage.name().to_owned(),
        row.chinese.to_owned(),
        row.department.to_owned(),
        in_hand_of.to_owned(),
        code(row.events),
        code(&[row.command]),
        row.role.name().to_owned(),
        row.next.map_or("the end", Stage::name).to_owned(),
        yes(row.clock),
    ])
}

#[test]
fn the_chains_page_shows_its_table() {
    let columns =
        ["stage", "中文", "department", "in hand of", "completed by", "with", "done by", "next", "clock"];
    let rows: Vec<_> = head(columns).into_iter().chain(chain_table::TABLE.iter().map(stage_row)).collect();
    compare(&page(include_str!("../../src/ticket/chain/table.rs")), &rows);
}

fn start(rule: StartRule) -> String {
    let words = [rule.on.words(), rule.when.words()].into_iter().filter(|words| !words.is_empty());
    let set_by = Some(rule.set_by.words()).filter(|words| !words.is_empty());
    words.collect::<Vec<_>>().join(" ") + &set_by.map(|words| format!(" ({words})")).unwrap_or_default()
}

fn triggers(triggers: &[Trigger]) -> String {
    // Every clock ends with its ticket, which the page says once.
    let others = triggers.iter().filter(|trigger| **trigger != Trigger::Ended);
    let words: Vec<_> = others.map(|trigger| trigger.words()).collect();
    if words.is_empty() { "—".to_owned() } else { words.join("; ") }
}

fn clock_row(row: &ClockRow) -> String {
    line(&[
        row.kind.name().to_owned(),
        row.chinese.to_owned(),
        row.about.words().to_owned(),
        row.starts.iter().copied().map(start).collect::<Vec<_>>().join("; "),
        triggers(row.met_by) + if row.already.is_some() { ", also before it starts" } else { "" },
        triggers(row.cancelled_by),
        yes(row.pauses),
        yes(row.breach_bars_pause),
        row.late.words().to_owned(),
        yes(row.ladder),
        yes(row.statutory),
    ])
}

#[test]
fn the_clocks_page_shows_their_table() {
    let columns = [
        "clock",
        "中文",
        "about",
        "starts at",
        "met by",
        "cancelled by",
        "may pause",
        "breach bars a pause",
        "late is",
        "ladder",
        "statutory",
    ];
    let rows: Vec<_> = head(columns).into_iter().chain(clock_table::TABLE.iter().map(clock_row)).collect();
    compare(&page(include_str!("../../src/ticket/clock/table.rs")), &rows);
    let with_its_ticket = |row: &ClockRow| row.cancelled_by.contains(&Trigger::Ended);
    assert!(clock_table::TABLE.iter().all(|row| with_its_ticket(row) != (row.kind == ClockKind::Outside)));
}

/// `Chain(Investigated { … })` as `Investigated`.
fn name(event: &Event) -> String {
    let said = format!("{event:?}");
    let inner = said.split_once('(').map_or("", |(_, inner)| inner);
    inner.split([' ', '(', ')']).next().unwrap_or_default().to_owned()
}

/// The command that completes a stage, as its department gives it.
fn completing(stage: Stage) -> Command {
    match stage {
        Stage::Investigate => investigate(chain::Cause::Known(s("重复扣费")), &[]),
        Stage::Dispatch => dispatch(&[("line-crew", Part::Lead)]),
        Stage::Reply => reply(1),
        Stage::Feedback => feedback(Answer::Satisfied),
        Stage::Inspect => inspect(&[]),
        Stage::Report => report(),
        Stage::Assess => assess(&[("line-crew", blameless())]),
        Stage::Close => chain::Command::Close.into(),
    }
}

#[test]
fn each_stage_is_completed_by_what_its_row_says_and_leads_to_the_next() {
    let mut office = Office::new(Kind::Complaint);
    for row in &chain_table::TABLE {
        let stage = row.stage;
        assert_eq!(office.stage(), stage);
        if stage == Stage::Reply {
            office = office.then(of("line-crew"), accept(1));
        }
        if stage == Stage::Inspect {
            let reason = s("一次");
            let nothing_needed = duban_aggregates::ticket::gate::Command::NoMeasureNeeded { reason };
            office = office.then(a(Role::Dispatch), nothing_needed.into());
        }
        let actor = if row.role == Role::Unit { of("line-crew") } else { a(row.role) };
        let command = completing(stage);
        let said = format!("{command:?}");
        assert!(said.contains(&format!("({}", row.command)), "{said} is {}", row.command);
        if let Command::Chain(command) = &command {
            assert_eq!(chain_table::completed_by(command), Some(stage));
        }
        let clock =
            office.t().clock(ClockKind::Stage, duban_aggregates::ticket::clock::Subject::Stage(stage));
        assert_eq!(clock.is_some(), row.clock, "a clock of {}", stage.name());
        let events = office.try_it(&actor, command).unwrap();
        let step = &events[0].1;
        assert!(row.events.contains(&name(step).as_str()), "{step:?}");
        for (_, event) in &events {
            let of = chain_table::step_of(event);
            assert_eq!(of.is_some(), row.events.contains(&name(event).as_str()));
            assert!(of.is_none_or(|of| of == stage), "{event:?}");
        }
        office.record(events);
        assert_eq!(office.t().is_open(), row.next.is_some());
        assert_eq!(office.stage(), row.next.unwrap_or(stage));
    }
    let departments = chain_table::TABLE.map(|row| row.department);
    let registered = |department: &&str| Policy::cn_national().unit(department).is_some();
    assert!(departments.iter().all(registered), "departments are units: they are judged like the others");
}

#[test]
fn every_step_of_a_stage_is_in_one_row() {
    let mut names: Vec<_> = chain_table::TABLE.iter().flat_map(|row| row.events).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn what_a_row_says_of_pauses_and_the_law_the_policies_that_ship_keep() {
    let entry = |clock: ClockKind, more: &str| {
        let text = format!(
            "version = \"draft\"\ntitle = \"稿\"\nextends = [\"cn-national-1\"]\n\n[[entry]]\nclock = \"{}\"\ntarget = \"5h\"\n{more}",
            clock.name()
        );
        Policy::parse(&text)
    };
    for row in &clock_table::TABLE {
        let refused = matches!(entry(row.kind, ""), Err(PolicyError::Statutory { .. }));
        assert_eq!(refused, row.statutory, "{} is the law's alone", row.kind.name());
    }
    let calendar = Calendar::cn();
    for policy in Policy::shipped() {
        assert_eq!(policy.check_law(&calendar), Ok(()));
        for block in policy.text().split("\n[[").skip(1) {
            let value =
                |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_prefix('='));
            let Some(clock) = value("clock") else { continue };
            let clock = clock.trim().trim_matches('"');
            let row = clock_table::TABLE.iter().find(|row| row.kind.name() == clock);
            let row = row.unwrap_or_else(|| panic!("{clock} is in no row"));
            assert!(row.pauses || value("pauses").is_none(), "{} lets {clock} pause", policy.version);
        }
    }
}
