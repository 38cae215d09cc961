//! The chain as a table, a row a stage. Decisions, folds, refusals, custody, clocks, read models and the edge read it, and nobody
//! has another copy. A test renders the rows and compares them with this page.
//!
//! | stage | 中文 | department | in hand of | completed by | with | done by | next | clock |
//! |---|---|---|---|---|---|---|---|---|
//! | investigate | 调查 | investigation | the department | `Investigated` | `Investigate` | investigation | dispatch | yes |
//! | dispatch | 派单 | dispatch | the department | `Dispatched` | `Dispatch` | dispatch | reply | yes |
//! | reply | 答复 | dispatch | the lead's unit | `Replied` | `Reply` | unit | feedback | yes |
//! | feedback | 反馈 | desk | the department | `FeedbackRecorded`, `UnreachableSignedOff`, `DeclinedSignedOff`, `NobodyToAskSignedOff`, `FeedbackConcluded` | `RecordFeedback` | desk | inspect | yes |
//! | inspect | 检查 | inspection | the department | `Inspected` | `Inspect` | inspection | report | yes |
//! | report | 上报 | reporting | the department | `Reported` | `Report` | reporting | assess | yes |
//! | assess | 考核 | assessment | the department | `Assessed` | `Assess` | assessment | close | yes |
//! | close | 办结 | assessment | the department | `Closed` | `Close` | assessment | the end | no |
//!
//! Completed by: of `Replied` the lead's, of `FeedbackRecorded` a satisfied answer, of `Inspected` one in which every gate passed
//! or is waived. Where it is not that, the stage goes on or another round begins, and the event is a step of the stage all the same.

use super::{Command, Event};
use crate::ticket::{self, order};
use crate::words::{Role, Stage};

/// In whose hands a ticket is at a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InHandOf {
    /// The stage's department, which a late stage involves and the ladder presses.
    Department,
    /// The unit of the lead order, or whoever it waits for. Orders have clocks and ladders of their own.
    LeadUnit,
}

/// A stage.
#[derive(Clone, Copy, Debug)]
pub struct StageRow {
    /// Which.
    pub stage: Stage,
    /// Its Chinese name.
    pub chinese: &'static str,
    /// The department that owes it.
    pub department: &'static str,
    /// In whose hands the ticket is meanwhile.
    pub in_hand_of: InHandOf,
    /// The events that are its steps, by name: the last of them completes it.
    pub events: &'static [&'static str],
    /// Whether an event is such a step.
    pub is_step: fn(&ticket::Event) -> bool,
    /// The command that completes it, by name.
    pub command: &'static str,
    /// Whether a command of the chain is that one: it is taken at this stage only. A reply is an order's command, and one of many
    /// that are taken at its stage.
    pub is_command: fn(&Command) -> bool,
    /// Whose command it is.
    pub role: Role,
    /// The stage after it; none after the last.
    pub next: Option<Stage>,
    /// Whether it has a clock of its own. The last has none: from there to the end the closing clock runs.
    pub clock: bool,
}

/// The rows in the order of the chain.
pub static TABLE: [StageRow; Stage::ALL.len()] = [
    StageRow {
        stage: Stage::Investigate,
        chinese: "调查",
        department: "investigation",
        in_hand_of: InHandOf::Department,
        events: &["Investigated"],
        is_step: |event| matches!(event, ticket::Event::Chain(Event::Investigated { .. })),
        command: "Investigate",
        is_command: |command| matches!(command, Command::Investigate { .. }),
        role: Role::Investigation,
        next: Some(Stage::Dispatch),
        clock: true,
    },
    StageRow {
        stage: Stage::Dispatch,
        chinese: "派单",
        department: "dispatch",
        in_hand_of: InHandOf::Department,
        events: &["Dispatched"],
        is_step: |event| matches!(event, ticket::Event::Chain(Event::Dispatched { .. })),
        command: "Dispatch",
        is_command: |command| matches!(command, Command::Dispatch { .. }),
        role: Role::Dispatch,
        next: Some(Stage::Reply),
        clock: true,
    },
    StageRow {
        stage: Stage::Reply,
        chinese: "答复",
        department: "dispatch",
        in_hand_of: InHandOf::LeadUnit,
        events: &["Replied"],
        is_step: |event| matches!(event, ticket::Event::Order(order::Event::Replied { .. })),
        command: "Reply",
        is_command: |_| false,
        role: Role::Unit,
        next: Some(Stage::Feedback),
        clock: true,
    },
    StageRow {
        stage: Stage::Feedback,
        chinese: "反馈",
        department: "desk",
        in_hand_of: InHandOf::Department,
        events: &[
            "FeedbackRecorded",
            "UnreachableSignedOff",
            "DeclinedSignedOff",
            "NobodyToAskSignedOff",
            "FeedbackConcluded",
        ],
        is_step: |event| {
            matches!(
                event,
                ticket::Event::Chain(
                    Event::FeedbackRecorded { .. }
                        | Event::UnreachableSignedOff { .. }
                        | Event::DeclinedSignedOff { .. }
                        | Event::NobodyToAskSignedOff { .. }
                        | Event::FeedbackConcluded { .. }
                )
            )
        },
        command: "RecordFeedback",
        is_command: |command| matches!(command, Command::RecordFeedback { .. }),
        role: Role::Desk,
        next: Some(Stage::Inspect),
        clock: true,
    },
    StageRow {
        stage: Stage::Inspect,
        chinese: "检查",
        department: "inspection",
        in_hand_of: InHandOf::Department,
        events: &["Inspected"],
        is_step: |event| matches!(event, ticket::Event::Chain(Event::Inspected { .. })),
        command: "Inspect",
        is_command: |command| matches!(command, Command::Inspect { .. }),
        role: Role::Inspection,
        next: Some(Stage::Report),
        clock: true,
    },
    StageRow {
        stage: Stage::Report,
        chinese: "上报",
        department: "reporting",
        in_hand_of: InHandOf::Department,
        events: &["Reported"],
        is_step: |event| matches!(event, ticket::Event::Chain(Event::Reported { .. })),
        command: "Report",
        is_command: |command| matches!(command, Command::Report { .. }),
        role: Role::Reporting,
        next: Some(Stage::Assess),
        clock: true,
    },
    StageRow {
        stage: Stage::Assess,
        chinese: "考核",
        department: "assessment",
        in_hand_of: InHandOf::Department,
        events: &["Assessed"],
        is_step: |event| matches!(event, ticket::Event::Chain(Event::Assessed { .. })),
        command: "Assess",
        is_command: |command| matches!(command, Command::Assess { .. }),
        role: Role::Assessment,
        next: Some(Stage::Close),
        clock: true,
    },
    StageRow {
        stage: Stage::Close,
        chinese: "办结",
        department: "assessment",
        in_hand_of: InHandOf::Department,
        events: &["Closed"],
        is_step: |event| matches!(event, ticket::Event::Chain(Event::Closed { .. })),
        command: "Close",
        is_command: |command| matches!(command, Command::Close),
        role: Role::Assessment,
        next: None,
        clock: false,
    },
];

// A row is found by its stage's place.
const _: () = {
    let mut place = 0;
    while place < TABLE.len() {
        assert!(TABLE[place].stage as usize == place);
        place += 1;
    }
};

/// The stage of which an event is a step.
#[must_use]
pub fn step_of(event: &ticket::Event) -> Option<Stage> {
    TABLE.iter().find(|row| (row.is_step)(event)).map(|row| row.stage)
}

/// The stage at which a command of the chain is taken, because it completes it.
#[must_use]
pub fn completed_by(command: &Command) -> Option<Stage> {
    TABLE.iter().find(|row| (row.is_command)(command)).map(|row| row.stage)
}

impl Stage {
    /// Its row in the chain's table.
    #[must_use]
    pub const fn row(self) -> &'static StageRow {
        &TABLE[self as usize]
    }

    /// The department that owes it; in reply it is in the hands of the lead's unit instead.
    #[must_use]
    pub const fn department(self) -> &'static str {
        self.row().department
    }
}
