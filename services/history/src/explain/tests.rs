//! Verdicts recomputed: what agrees with the events, and what does not.

use jiff::Timestamp;

use super::{ClockExplained, Involved, TargetFrom, Versions};
use crate::explain;
use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::{ClockNo, EventId, VerdictNo};
use duban_aggregates::meta::Meta;
use duban_aggregates::policy::Policy;
use duban_aggregates::ticket::clock::{self, Status, Subject};
use duban_aggregates::ticket::order::{self, NewOrder};
use duban_aggregates::ticket::{self, Command, Event, Ticket, verdict};
use duban_aggregates::words::{ClockKind, Kind, Part, PauseCode, Role, Stage};
use duban_sample_tickets::nonsense;
use duban_sample_tickets::scripted::*;

fn versions() -> Versions {
    Versions { policies: vec![Policy::cn_national()], calendars: vec![Calendar::cn()] }
}

#[track_caller]
fn explained(office: &Office, kind: ClockKind, subject: Subject) -> ClockExplained {
    let number = office.t().clock(kind, subject).expect("it started").start.clock;
    explain::clock(&office.history, number, &versions()).expect("it started")
}

fn pause() -> Command {
    let evidence = s("用户外出");
    clock::Command::Pause { code: PauseCode::Customer, evidence, attachment: None, resume_by: None }.into()
}

/// A complaint that was paused while its unit had it, and answered late.
fn late() -> Office {
    let due = Some(march(4, 9, 0));
    let order = NewOrder { part: Part::Lead, unit: "line-crew".into(), task: s("修复"), due };
    Office::at_stage(Kind::Complaint, Stage::Dispatch)
        .then(
            a(Role::Dispatch),
            duban_aggregates::ticket::chain::Command::Dispatch { orders: vec![order] }.into(),
        )
        .then(of("line-crew"), accept(1))
        .until(march(3, 9, 0))
        .then(a(Role::Desk), pause())
        .until(march(4, 15, 0))
        .then(a(Role::Desk), clock::Command::Resume.into())
        .until(march(9, 9, 0))
        .then(of("line-crew"), reply(1))
}

#[test]
fn a_breach_is_explained_by_its_target_its_pause_and_its_due_moment() {
    let office = late();
    let order = explained(&office, ClockKind::Order, Subject::Order(duban_aggregates::ids::OrderNo(1)));
    assert_eq!(order.differences, [""; 0]);
    assert_eq!((order.target_from, order.recomputed), (TargetFrom::Dispatch, order.stored));
    assert_eq!(order.stored, Status::Breached { withdrawn: false });
    assert_eq!(order.decided_by, None, "time alone decided");
    let names: Vec<&str> = order.steps.iter().map(|step| name(&office.history[step.event].1)).collect();
    assert_eq!(names, ["Started", "Paused", "Resumed", "Warned", "Escalated", "Breached", "Escalated"]);
    let causes = order.steps.iter().map(|step| step.cause.map(|cause| name(&office.history[cause].1)));
    let causes: Vec<_> = causes.collect();
    assert_eq!(
        causes,
        [Some("Issued"), Some("TicketPaused"), Some("TicketResumed"), None, None, None, None],
        "{order:?}"
    );
    assert!(order.steps.iter().all(|step| step.recomputed_due == Some(step.due)), "{order:?}");
    assert!(order.steps[2].due > order.steps[0].due, "the pause moved it");
}

#[test]
fn a_clock_that_was_met_names_the_event_that_met_it() {
    let office = Office::closed(Kind::Fault);
    let repair = explained(&office, ClockKind::Repair, Subject::Ticket);
    assert_eq!((repair.differences.as_slice(), repair.target_from), (&[][..], TargetFrom::Policy));
    let decided_by = repair.decided_by.map(|at| office.history[at].0.id);
    assert_eq!(decided_by, office.t().fault.service_up.map(|(_, event)| event));
    assert!(matches!(repair.recomputed, Status::Met { .. }));
    assert_eq!(explain::clock(&office.history, ClockNo(99), &versions()), None);
}

/// Explains a clock of a history that somebody wrote anew.
fn forged(office: &Office, number: ClockNo, forge: impl Fn(&mut Meta, &mut Event) -> bool) -> Vec<String> {
    let mut history = office.history.clone();
    let forged = history.iter_mut().filter_map(|(meta, event)| forge(meta, event).then_some(())).count();
    assert!(forged > 0, "something was forged");
    explain::clock(&history, number, &versions()).expect("it started").differences
}

#[test]
fn what_was_stored_otherwise_than_the_rules_say_is_told() {
    let office = late();
    let order =
        office.t().clock(ClockKind::Order, Subject::Order(duban_aggregates::ids::OrderNo(1))).unwrap();
    let (number, due) = (order.start.clock, order.start.due);
    let told = |differences: &[String], part: &str| {
        assert!(differences.iter().any(|told| told.contains(part)), "{part}: {differences:?}");
    };
    let at: Timestamp = march(5, 9, 0);
    // The breach is told as met in time.
    let differences = forged(&office, number, |_, event| {
        let breach = matches!(event, Event::Clock(clock::Event::Breached { clock, .. }) if *clock == number);
        if breach {
            *event = clock::Event::Met { clock: number, at }.into();
        }
        breach
    });
    told(&differences, "must be breached");
    // A due moment is put off.
    let differences = forged(&office, number, |_, event| match event {
        Event::Clock(clock::Event::Resumed { clock, due, .. }) if *clock == number => {
            *due = march(20, 9, 0);
            true
        }
        _ => false,
    });
    told(&differences, "it went on with");
    told(&differences, "must be met");
    // The target is not the policy's, and neither is the warning's share.
    let differences = forged(&office, ClockNo(1), |_, event| match event {
        Event::Clock(clock::Event::Started(start)) if start.clock == ClockNo(1) => {
            start.target = duban_aggregates::calendar::Target::Hours(999);
            start.warn_percent = 1;
            true
        }
        _ => false,
    });
    for part in ["its target is 999h", "it warns after 1 %", "it started with"] {
        told(&differences, part);
    }
    // The reply was recorded on time after all.
    let differences = forged(&office, number, |meta, event| {
        let reply = matches!(event, Event::Order(order::Event::Replied { .. }));
        if reply || meta.recorded_at > due {
            meta.recorded_at = due;
        }
        reply
    });
    told(&differences, "must be met");
    // Of a policy that is not here nothing can be said.
    let none = explain::clock(&office.history, number, &Versions::default()).unwrap();
    assert_eq!(
        (none.policy_known, none.calendar_known, none.target_from),
        (false, false, TargetFrom::Unknown)
    );
    assert_eq!(none.recomputed, none.stored);
    assert_eq!(none.differences.len(), 2);
}

fn given(office: &Office) -> explain::VerdictExplained {
    let version = |_| Policy::cn_national().version.clone();
    explain::verdict(&office.history, VerdictNo(1), &versions(), &version).expect("it was given")
}

#[test]
fn a_verdict_is_explained_by_the_units_part_its_events_and_how_it_became_final() {
    let office = Office::at_stage(Kind::Complaint, Stage::Assess)
        .then(a(Role::Assessment), assess(&[("line-crew", at_fault(2, 0))]));
    let explained = given(&office);
    assert_eq!((explained.differences.as_slice(), explained.because.as_slice()), (&[][..], &[Some(0)][..]));
    let accepted = office.history.iter().position(|(_, event)| name(event) == "Accepted").unwrap();
    assert_eq!(explained.involved, [Involved::Accepted(accepted)]);
    let accept = || -> Command { verdict::Command::Accept { verdict: VerdictNo(1) }.into() };
    let accepted = office.clone().then(of("line-crew"), accept());
    assert_eq!(given(&accepted).differences, [""; 0]);
    assert_eq!(given(&accepted).steps.len(), 3, "accepted, final, carried out");

    // Final too early, judged by who handled it, pointing elsewhere, not carried out: each is told.
    let mut forged = accepted.clone();
    forged.history.retain(|(_, event)| !matches!(event, Event::Verdict(verdict::Event::Accepted { .. })));
    assert!(given(&forged).differences[0].contains("before the time for an appeal was over"));
    let mut forged = accepted.clone();
    let assessed = forged.history.iter_mut().find(|(_, event)| name(event) == "Assessed").unwrap();
    assessed.0.actor = of("line-crew");
    assert!(given(&forged).differences[0].contains("judged work that they did"));
    let mut forged = accepted.clone();
    forged.history[0].0.id = EventId(uuid::Uuid::from_u128(99));
    assert!(given(&forged).differences[0].contains("is not on this ticket before it"));
    let mut forged = accepted;
    forged.history.pop();
    assert!(given(&forged).differences[0].contains("its points were not carried out"));
    // The days passed without an appeal, and nobody noticed.
    let call = || -> Command {
        duban_aggregates::ticket::contact::Command::ContactCustomer {
            reason: duban_aggregates::words::ContactReason::Callback,
            gm_hotline: false,
            said: s("无异议"),
            answer: None,
            recording: None,
            occurred_at: None,
        }
        .into()
    };
    let mut silent = office.until(march(20, 9, 0)).then(a(Role::Desk), call());
    assert_eq!(given(&silent).differences, [""; 0]);
    silent.history.retain(|(_, event)| !matches!(event, Event::Verdict(_)));
    assert!(given(&silent).differences[0].contains("did not become final"));
}

/// An event's name.
fn name(event: &Event) -> &'static str {
    match event {
        Event::Clock(clock::Event::Started(_)) => "Started",
        Event::Clock(clock::Event::Paused { .. }) => "Paused",
        Event::Clock(clock::Event::Resumed { .. }) => "Resumed",
        Event::Clock(clock::Event::Warned { .. }) => "Warned",
        Event::Clock(clock::Event::Escalated { .. }) => "Escalated",
        Event::Clock(clock::Event::Breached { .. }) => "Breached",
        Event::Clock(clock::Event::TicketPaused { .. }) => "TicketPaused",
        Event::Clock(clock::Event::TicketResumed { .. }) => "TicketResumed",
        Event::Order(order::Event::Issued { .. }) => "Issued",
        Event::Order(order::Event::Accepted { .. }) => "Accepted",
        Event::Chain(duban_aggregates::ticket::chain::Event::Assessed { .. }) => "Assessed",
        _ => "other",
    }
}

#[test]
fn an_outside_bodys_clock_that_an_earlier_version_cancelled_at_an_end_is_explained_so() {
    let mut new = intake(Kind::Complaint, march(2, 9, 0));
    new.requests = vec![outside("12345-1", None)];
    let withdraw =
        duban_aggregates::ticket::chain::Command::Withdraw { recording: rec(), reason: s("用户撤诉") };
    let mut office = Office::opened(new).then(a(Role::Desk), withdraw.into());
    let request = Subject::Request(duban_aggregates::ids::RequestNo(1));
    let clock = office.t().clock(ClockKind::Outside, request).unwrap().start.clock;
    let agrees = |office: &Office| explain::clock(&office.history, clock, &versions()).unwrap();
    assert_eq!((agrees(&office).differences.len(), agrees(&office).recomputed), (0, Status::Running));
    let (mut meta, _) = office.history.last().unwrap().clone();
    meta.revision += 1;
    meta.id = duban_aggregates::ticket::event_id(office.t().id(), meta.command, 99);
    office.history.push((meta, clock::Event::Cancelled { clock }.into()));
    assert_eq!(agrees(&office).differences, [""; 0]);
    assert_eq!(agrees(&office).recomputed, Status::Cancelled);
}

/// Every clock and every verdict is what a second reading of the rules makes of the events alone.
#[track_caller]
fn agrees(history: &[(Meta, Event)]) -> usize {
    let fold = |ticket, (meta, event): &(Meta, Event)| ticket::evolve(ticket, event, meta);
    let ticket: Ticket = history.iter().fold(None, fold).expect("it begins with an intake");
    for clock in &ticket.clocks {
        let explained = explain::clock(history, clock.start.clock, &versions()).expect("it started");
        assert_eq!(explained.differences, [""; 0], "{explained:#?}");
        assert_eq!((explained.stored, explained.recomputed), (clock.status, clock.status));
        assert_eq!(explained.steps.last().expect("its start").due, clock.start.due);
    }
    let version = |_| Policy::cn_national().version.clone();
    for verdict in &ticket.verdicts {
        let explained = explain::verdict(history, verdict.number, &versions(), &version);
        let explained = explained.expect("it was given");
        assert_eq!(explained.differences, [""; 0], "{explained:#?}");
        assert!(!explained.involved.is_empty());
    }
    ticket.clocks.len() + ticket.verdicts.len()
}

#[test]
fn whatever_happened_every_clock_and_every_verdict_comes_out_again() {
    let lives = (0..300).map(|seed| (seed, 3)).chain((10_000..10_300).map(|seed| (seed, 45)));
    let explained: usize = lives.map(|(seed, share)| agrees(&nonsense::history(seed, share))).sum();
    assert!(explained > 10_000, "only {explained} were explained");
}
