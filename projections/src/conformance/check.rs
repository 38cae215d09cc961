//! One history against the chain. Nothing here asks what the rules would have said.

use std::collections::{BTreeMap, BTreeSet};

use duban_aggregates::ids::OrderNo;
use duban_aggregates::meta::Meta;
use duban_aggregates::ticket::chain::{Event as ChainEvent, table};
use duban_aggregates::ticket::{Event, gate, order};
use duban_aggregates::words::{Answer, Gate, Part, Stage};
use serde::{Deserialize, Serialize};

/// In which way a history deviates. The module above says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The stage was left out.
    Skipped,
    /// The stage was done after a later one, or after the end.
    OutOfOrder,
    /// The stage was done again without a way back to it.
    Repeated,
    /// The stage judges work, and was done by somebody who did some of it.
    OwnWork,
}

impl How {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Skipped, Self::OutOfOrder, Self::Repeated, Self::OwnWork];

    /// Its name as it stands in patterns.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::OutOfOrder => "out of order",
            Self::Repeated => "repeated",
            Self::OwnWork => "own work",
        }
    }
}

/// A deviation, and the event by which it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Deviation {
    /// In which way.
    pub how: How,
    /// Of which stage.
    pub stage: Stage,
    /// The event's revision: of what was skipped, the event that went past it.
    pub revision: u64,
}

/// How a history went so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// How many stages of the pass are through: the place of the one that is next.
    through: usize,
    /// Stages of the pass that were left out so far, each with the event that went past it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    left_out: BTreeMap<Stage, u64>,
    /// Who did what is judged later.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    hands: BTreeSet<String>,
    /// Whom a reply names as one who did the work, with the order replied to.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    named: BTreeSet<(String, OrderNo)>,
    /// Orders of ours that were issued as leads.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    leads: BTreeSet<OrderNo>,
    /// Gates that a supervisor waived.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    waived: BTreeSet<Gate>,
    /// It ended before its chain did.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
    /// What is certain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    found: Vec<Deviation>,
}

/// A stage's place on the chain.
fn place(stage: Stage) -> usize {
    Stage::ALL.iter().take_while(|other| **other < stage).count()
}

impl Check {
    /// All deviations: what is certain, and what was left out so far.
    #[must_use]
    pub fn deviations(&self) -> Vec<Deviation> {
        let left_out = self.left_out.iter();
        let skipped = left_out.map(|(&stage, &revision)| Deviation { how: How::Skipped, stage, revision });
        let mut all: Vec<_> = self.found.iter().copied().chain(skipped).collect();
        all.sort_unstable();
        all
    }

    /// Follows a step of a foreign history that does a stage.
    pub fn follow_step(&mut self, stage: Stage, resource: Option<&str>, revision: u64) {
        self.done(stage, true, resource, revision);
    }

    /// Follows an event of a ticket.
    pub fn follow(&mut self, event: &Event, meta: &Meta) {
        // The server's own identities do no work that another could judge.
        let by = (!meta.actor.role.is_system()).then(|| meta.actor.id.folded());
        let by = by.as_ref().map(duban_aggregates::ids::EmployeeId::as_str);
        let stage = table::step_of(event);
        match event {
            Event::Chain(event) => self.follow_chain(event, stage, by, meta.revision),
            Event::Order(event) => self.follow_order(event, stage, by, meta.revision),
            Event::Gate(gate::Event::Waived { gate, .. }) => {
                self.waived.insert(*gate);
            }
            Event::Intake(_)
            | Event::Contact(_)
            | Event::Clock(_)
            | Event::Gate(_)
            | Event::Verdict(_)
            | Event::Money(_)
            | Event::Fault(_)
            | Event::Install(_) => {}
        }
    }

    /// `stage` is the one of which the event is a step.
    fn follow_chain(&mut self, event: &ChainEvent, stage: Option<Stage>, by: Option<&str>, revision: u64) {
        let (passed, by_whom) = match event {
            ChainEvent::FeedbackRecorded { answer, .. } => (*answer == Answer::Satisfied, by),
            // A supervisor's word about what others did; it makes nobody a party to it.
            ChainEvent::UnreachableSignedOff { .. }
            | ChainEvent::FeedbackConcluded { .. }
            | ChainEvent::DeclinedSignedOff { .. }
            | ChainEvent::NobodyToAskSignedOff { .. } => (true, None),
            ChainEvent::Inspected { judgements, .. } => {
                let holds = |gate: &Gate| self.waived.contains(gate);
                (judgements.iter().all(|judged| judged.passed || holds(&judged.gate)), by)
            }
            _ => (true, by),
        };
        if let Some(stage) = stage {
            self.done(stage, passed, by_whom, revision);
        }
        match event {
            ChainEvent::Investigated { .. }
            | ChainEvent::Dispatched { .. }
            | ChainEvent::FeedbackRecorded { .. }
            | ChainEvent::UnreachableSignedOff { .. }
            | ChainEvent::FeedbackConcluded { .. }
            | ChainEvent::DeclinedSignedOff { .. }
            | ChainEvent::NobodyToAskSignedOff { .. }
            | ChainEvent::Inspected { .. }
            | ChainEvent::Reported { .. }
            | ChainEvent::Assessed { .. }
            | ChainEvent::Closed { .. } => {}
            ChainEvent::RoundOpened { stage, .. } => self.back(*stage),
            ChainEvent::ReplySentBack { .. } => {
                self.hands.extend(by.map(str::to_owned));
                self.back(Stage::Reply);
            }
            ChainEvent::Withdrawn { .. } | ChainEvent::Rejected { .. } | ChainEvent::Merged { .. } => {
                self.ended = true;
            }
            ChainEvent::Reopened { .. } => {
                self.ended = false;
                self.waived.clear();
            }
            ChainEvent::ContactAttempted { .. } => self.hands.extend(by.map(str::to_owned)),
            ChainEvent::RejectionConsented { .. } | ChainEvent::NotProvidedConsented { .. } => {}
        }
    }

    fn follow_order(&mut self, event: &order::Event, stage: Option<Stage>, by: Option<&str>, revision: u64) {
        match event {
            order::Event::Issued { order, part: Part::Lead, .. } => {
                self.leads.insert(*order);
            }
            order::Event::Replied { order, done_by, .. } => {
                self.hands.extend(by.map(str::to_owned));
                self.named.extend(done_by.iter().map(|person| (person.folded().0, *order)));
                // An assist's reply completes nothing.
                if let Some(stage) = stage.filter(|_| self.leads.contains(order)) {
                    self.done(stage, true, by, revision);
                }
            }
            order::Event::Issued { part: Part::Assist, .. }
            | order::Event::Accepted { .. }
            | order::Event::ReturnRequested { .. }
            | order::Event::ReturnGranted { .. }
            | order::Event::ReturnRefused { .. }
            | order::Event::Released { .. }
            | order::Event::Recalled { .. }
            | order::Event::ExtensionAsked { .. }
            | order::Event::ExtensionGranted { .. }
            | order::Event::ExtensionRefused { .. }
            | order::Event::WaitingForAssist { .. } => {}
            // What the person did with their own hands shows by their own events.
            order::Event::DoneByStruck { order, person, .. } => {
                self.named.remove(&(person.folded().0, *order));
            }
        }
    }

    /// A stage was done, and passed or not.
    fn done(&mut self, stage: Stage, passed: bool, by: Option<&str>, revision: u64) {
        let here = place(stage);
        let mut found = |how| self.found.push(Deviation { how, stage, revision });
        let did = |by: &str| self.hands.contains(by) || self.named.iter().any(|(person, _)| person == by);
        if matches!(stage, Stage::Inspect | Stage::Assess) && by.is_some_and(did) {
            found(How::OwnWork);
        }
        // An end leaves the verdicts that were to be given.
        let left = stage == Stage::Assess && here == self.through;
        if self.ended && !left {
            found(How::OutOfOrder);
        } else if here < self.through {
            // After a later one: once it was left out, and else it is done again.
            let left_out = self.left_out.remove(&stage).is_some();
            found(if left_out { How::OutOfOrder } else { How::Repeated });
        } else {
            let between = Stage::ALL.iter().skip(self.through).take(here - self.through);
            self.left_out.extend(between.map(|stage| (*stage, revision)));
            self.through = here + usize::from(passed);
        }
        if stage < Stage::Inspect {
            self.hands.extend(by.map(str::to_owned));
        }
    }

    /// Another pass begins at a stage. None that is not reached yet is reached by it.
    fn back(&mut self, to: Stage) {
        let left_out = std::mem::take(&mut self.left_out).into_iter();
        self.found.extend(left_out.map(|(stage, revision)| Deviation { how: How::Skipped, stage, revision }));
        self.through = self.through.min(place(to));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pattern;
    use super::*;

    /// Steps as letters: a stage by its first (`k` for close), a capital by the one person who also investigates.
    #[track_caller]
    fn check(steps: &str, pattern: &str) {
        let mut check = Check::default();
        for (revision, letter) in (0..).zip(steps.chars()) {
            let stage = match letter.to_ascii_lowercase() {
                'i' => Stage::Investigate,
                'd' => Stage::Dispatch,
                'r' => Stage::Reply,
                'f' => Stage::Feedback,
                'n' => Stage::Inspect,
                'p' => Stage::Report,
                'a' => Stage::Assess,
                'k' => Stage::Close,
                other => panic!("no stage begins with {other}"),
            };
            let own = letter.to_string();
            let by = if letter.is_uppercase() { "same" } else { own.as_str() };
            check.follow_step(stage, Some(by), revision);
        }
        assert_eq!(Pattern::of(&check.deviations()).to_string(), pattern, "{steps}");
    }

    #[test]
    fn the_chain_in_its_order_conforms_however_far_it_is() {
        for end in 0..=8 {
            check(&"idrfnpak"[..end], "conforms");
        }
    }

    #[test]
    fn what_is_left_out_is_skipped_once_a_later_stage_is_done() {
        check("idrk", "skipped feedback, inspect, report, assess");
        check("d", "skipped investigate");
        check("idrfnpk", "skipped assess");
        check("k", "skipped investigate, dispatch, reply, feedback, inspect, report, assess");
    }

    #[test]
    fn what_is_done_after_a_later_stage_is_out_of_order_and_not_skipped() {
        check("irdfnpak", "out of order dispatch");
        check("dirfnpak", "out of order investigate");
        check("idrnfpak", "out of order feedback");
        check("irdk", "skipped feedback, inspect, report, assess; out of order dispatch");
    }

    #[test]
    fn what_is_done_again_is_repeated_however_often() {
        check("iidrfnpak", "repeated investigate");
        check("iiidrfnpak", "repeated investigate");
        check("idrdrfnpak", "repeated dispatch, reply");
        check("idrfnpakk", "repeated close");
        // Out of order first, and then again.
        check("irddfnpak", "out of order dispatch; repeated dispatch");
    }

    #[test]
    fn whoever_did_the_work_does_not_judge_it() {
        check("IdrfNpak", "own work inspect");
        check("idRfNpAk", "own work inspect, assess");
        // Who judged it may judge it again, report it and close it.
        check("idrfNPAK", "conforms");
        check("IdrfnPaK", "conforms");
    }

    #[test]
    fn each_deviation_names_the_event_by_which_it_shows() {
        let mut check = Check::default();
        for (revision, stage) in
            [(4, Stage::Dispatch), (6, Stage::Investigate), (9, Stage::Dispatch), (11, Stage::Close)]
        {
            check.follow_step(stage, None, revision);
        }
        let shown = |how, stage, revision| Deviation { how, stage, revision };
        let skipped = [Stage::Reply, Stage::Feedback, Stage::Inspect, Stage::Report, Stage::Assess]
            .map(|stage| shown(How::Skipped, stage, 11));
        let others =
            [shown(How::OutOfOrder, Stage::Investigate, 6), shown(How::Repeated, Stage::Dispatch, 9)];
        assert_eq!(check.deviations(), [&skipped[..], &others[..]].concat());
    }
}
