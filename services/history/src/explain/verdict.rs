//! A verdict on a unit, recomputed (domain.md sections 3 and 7).

use std::collections::BTreeMap;

use super::Versions;
use duban_aggregates::ids::{ClockNo, OrderNo, UnitId, VerdictNo};
use duban_aggregates::meta::Meta;
use duban_aggregates::ticket::clock;
use duban_aggregates::ticket::verdict::{self, Finding, Verdict};
use duban_aggregates::ticket::{self, Event, Ticket, chain, order};

/// Why a unit has a part in a ticket, and the index of the event that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Involved {
    /// Findings or an inspection named it.
    Named(usize),
    /// It accepted an order.
    Accepted(usize),
    /// The clock of a stage that it owes breached.
    Late(usize),
}

impl Involved {
    /// The index of the event.
    #[must_use]
    pub fn event(self) -> usize {
        match self {
            Self::Named(event) | Self::Accepted(event) | Self::Late(event) => event,
        }
    }
}

/// A verdict, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictExplained {
    /// As it stands by its stored events.
    pub verdict: Verdict,
    /// The index of the event that gave it.
    pub given: usize,
    /// Why the unit is judged at all.
    pub involved: Vec<Involved>,
    /// The events that the deduction points at; none for one that is not there.
    pub because: Vec<Option<usize>>,
    /// Everything that happened to it since, by index.
    pub steps: Vec<usize>,
    /// Whether the version of the policy, and a calendar, are here by which the time for appeals is counted.
    pub versions_known: bool,
    /// What does not agree, in words. Nothing where everything does.
    pub differences: Vec<String>,
}

/// Explains a verdict of a ticket from all of its events; none where there is no such verdict. `policy_of` names the version of
/// the policy in force at an event; of the calendars, of which verdicts name no version, the first is taken.
#[must_use]
pub fn verdict(
    history: &[(Meta, Event)],
    number: VerdictNo,
    versions: &Versions,
    policy_of: &dyn Fn(usize) -> String,
) -> Option<VerdictExplained> {
    let given = history.iter().position(|(_, event)| {
        matches!(event, Event::Chain(chain::Event::Assessed { verdicts, .. })
            if verdicts.iter().any(|new| new.verdict == number))
    })?;
    let fold = |upto: &[(Meta, Event)]| {
        upto.iter().fold(None, |ticket, (meta, event)| ticket::evolve(ticket, event, meta))
    };
    let (before, after): (Option<Ticket>, Option<Ticket>) = (fold(&history[..given]), fold(history));
    let verdict = after.as_ref()?.verdict(number)?.clone();
    let mut explained = VerdictExplained {
        involved: involved(&history[..given], &verdict.unit),
        because: Vec::new(),
        steps: Vec::new(),
        versions_known: true,
        differences: Vec::new(),
        verdict,
        given,
    };
    explained.look_at_finding(history, before.as_ref());
    let mut again = Again::default();
    for (at, (meta, _)) in history.iter().enumerate().skip(given) {
        explained.look_at_step(history, at, &mut again, versions, policy_of);
        // What happens by itself is recorded before, or with, the first thing that comes later.
        let late = explained.window(versions, &policy_of(at)).is_some_and(|end| meta.recorded_at > end);
        let open = !again.is_final && !again.appealed && !again.superseded;
        let with_it = || {
            history[at..].iter().any(|(later, event)| {
                let becomes = matches!(event, Event::Verdict(verdict::Event::BecameFinal { verdict }) if *verdict == number);
                later.command == meta.command && becomes
            })
        };
        if late && open && !again.told && !with_it() {
            again.told = true;
            explained.differ("the time for an appeal was over, and it did not become final".to_owned());
        }
    }
    explained.compare(&again);
    Some(explained)
}

/// What the events make of a verdict.
#[derive(Default)]
struct Again {
    appealed: bool,
    is_final: bool,
    reversed: bool,
    superseded: bool,
    carried_out: bool,
    told: bool,
}

impl VerdictExplained {
    fn differ(&mut self, difference: String) {
        self.differences.push(difference);
    }

    fn look_at_finding(&mut self, history: &[(Meta, Event)], before: Option<&Ticket>) {
        if self.involved.is_empty() {
            self.differ(format!("{} had no part in the ticket", self.verdict.unit));
        }
        let assessor = &history[self.given].0.actor;
        let own = before
            .and_then(|ticket| ticket.people.get(&assessor.id.folded()))
            .is_some_and(duban_aggregates::ticket::state::Part::handled);
        if own && !assessor.role.is_system() {
            self.differ(format!("{} judged work that they did", assessor.id));
        }
        let Finding::AtFault { because, .. } = &self.verdict.finding else { return };
        let because = because.clone();
        if because.is_empty() && self.verdict.finding.has_penalty() {
            self.differ("a deduction points at no event".to_owned());
        }
        for event in because {
            let found = history[..self.given].iter().position(|(meta, _)| meta.id == event);
            if found.is_none() {
                self.differ(format!("event {event}, at which it points, is not on this ticket before it"));
            }
            self.because.push(found);
        }
    }

    /// The moment up to which the unit may appeal; none where a version is not here.
    fn window(&mut self, versions: &Versions, policy: &str) -> Option<jiff::Timestamp> {
        let known = versions.policy(policy).zip(versions.calendars.first());
        if known.is_none() && self.versions_known {
            self.versions_known = false;
            self.differ(format!(
                "policy {policy} or a calendar is not here: the time for appeals cannot be counted"
            ));
        }
        let (policy, calendar) = known?;
        Some(calendar.working_days_after(self.verdict.given_at, policy.constants.appeal_working_days))
    }

    fn look_at_step(
        &mut self,
        history: &[(Meta, Event)],
        at: usize,
        again: &mut Again,
        versions: &Versions,
        policy_of: &dyn Fn(usize) -> String,
    ) {
        let (meta, event) = &history[at];
        let number = self.verdict.number;
        match event {
            Event::Chain(chain::Event::Assessed { verdicts, .. }) if at == self.given => {
                again.is_final = matches!(self.verdict.finding, Finding::NotAtFault { .. });
                // Whoever is named twice in one assessment would supersede himself.
                again.superseded = verdicts.iter().filter(|new| new.unit == self.verdict.unit).count() > 1;
            }
            Event::Chain(chain::Event::Assessed { verdicts, .. })
                if verdicts.iter().any(|new| new.unit == self.verdict.unit) =>
            {
                again.superseded = true;
                self.steps.push(at);
            }
            Event::Verdict(event) if of(event) == number => {
                self.steps.push(at);
                match event {
                    verdict::Event::Accepted { .. } => {}
                    verdict::Event::Appealed { .. } => again.appealed = true,
                    verdict::Event::AppealGranted { .. } => {
                        (again.appealed, again.reversed) = (false, true);
                        self.another(meta);
                    }
                    verdict::Event::AppealRefused { .. } => {
                        again.appealed = false;
                        self.another(meta);
                    }
                    verdict::Event::BecameFinal { .. } => {
                        again.is_final = true;
                        let decided = at.checked_sub(1).is_some_and(|before| {
                            let (before, event) = &history[before];
                            before.command == meta.command && settles(event, number)
                        });
                        let end = self.window(versions, &policy_of(at)).filter(|_| !decided);
                        if end.is_some_and(|end| meta.recorded_at <= end) {
                            self.differ("it became final before the time for an appeal was over".to_owned());
                        }
                    }
                    verdict::Event::PenaltyCarriedOut { .. } => {
                        if !again.is_final || again.reversed || !self.verdict.finding.has_penalty() {
                            self.differ("a penalty was carried out that was not owed".to_owned());
                        }
                        again.carried_out = true;
                    }
                    verdict::Event::ErratumRecorded { .. } => {
                        again.reversed = true;
                        self.another(meta);
                    }
                }
            }
            _ => {}
        }
    }

    /// An appeal, or a reversal, is somebody else's to decide.
    fn another(&mut self, meta: &Meta) {
        if meta.actor.id == self.verdict.assessor {
            self.differ(format!("{} decided on a verdict of their own", meta.actor.id));
        }
    }

    fn compare(&mut self, again: &Again) {
        let stored = &self.verdict;
        let pairs = [
            ("appealed", stored.appealed, again.appealed),
            ("final", stored.is_final, again.is_final),
            ("reversed", stored.reversed, again.reversed),
            ("superseded", stored.superseded, again.superseded),
            ("carried out", stored.carried_out.is_some(), again.carried_out),
        ];
        let points_only = matches!(stored.finding, Finding::AtFault { points: 1.., penalty_fen: 0, .. });
        let not_carried_out = points_only && again.is_final && !again.reversed && !again.carried_out;
        for (what, stored, again) in pairs.into_iter().filter(|(_, stored, again)| stored != again) {
            self.differ(format!("{what} is {stored}, and must be {again}"));
        }
        // A verdict of a later round that took its place before it was final leaves nothing to carry out.
        if not_carried_out && !again.superseded {
            self.differ("its points were not carried out when it became final".to_owned());
        }
    }
}

fn of(event: &verdict::Event) -> VerdictNo {
    match event {
        verdict::Event::Accepted { verdict }
        | verdict::Event::Appealed { verdict, .. }
        | verdict::Event::AppealGranted { verdict, .. }
        | verdict::Event::AppealRefused { verdict, .. }
        | verdict::Event::BecameFinal { verdict }
        | verdict::Event::PenaltyCarriedOut { verdict, .. }
        | verdict::Event::ErratumRecorded { verdict, .. } => *verdict,
    }
}

/// Whether a verdict is final with this event, without waiting.
fn settles(event: &Event, number: VerdictNo) -> bool {
    match event {
        Event::Verdict(
            event @ (verdict::Event::Accepted { .. }
            | verdict::Event::AppealGranted { .. }
            | verdict::Event::AppealRefused { .. }),
        ) => of(event) == number,
        _ => false,
    }
}

/// Why a unit has a part in what happened: named, with an accepted order, or late with a stage.
fn involved(before: &[(Meta, Event)], unit: &UnitId) -> Vec<Involved> {
    let mut units: BTreeMap<OrderNo, &UnitId> = BTreeMap::new();
    let mut departments: BTreeMap<ClockNo, &str> = BTreeMap::new();
    let mut why = Vec::new();
    for (at, (_, event)) in before.iter().enumerate() {
        match event {
            Event::Chain(
                chain::Event::Investigated { units, .. } | chain::Event::Inspected { units, .. },
            ) if units.iter().any(|named| named.unit == *unit) => why.push(Involved::Named(at)),
            Event::Order(order::Event::Issued { order, unit, .. }) => drop(units.insert(*order, unit)),
            Event::Order(order::Event::Accepted { order }) if units.get(order) == Some(&unit) => {
                why.push(Involved::Accepted(at));
            }
            Event::Clock(clock::Event::Started(start)) => {
                departments.extend(start.department().map(|department| (start.clock, department)));
            }
            Event::Clock(clock::Event::Breached { clock, .. })
                if departments.get(clock) == Some(&unit.as_str()) =>
            {
                why.push(Involved::Late(at));
            }
            Event::Clock(clock::Event::BreachWithdrawn { clock, .. }) => why.retain(|why| {
                let breach = &before[why.event()].1;
                !matches!(breach, Event::Clock(clock::Event::Breached { clock: breached, .. }) if breached == clock)
            }),
            _ => {}
        }
    }
    why
}
