//! Clocks that fall due, pauses, urging and the ladder's decisions; imports.

use duban_aggregates::ids::{ClockNo, EscalationNo, OrderNo};
use duban_aggregates::rejection::{Problem, Rejection};
use duban_aggregates::ticket::Command;
use duban_aggregates::ticket::clock::{Clock, Command as Do, Subject};
use duban_aggregates::ticket::custody::Holder;
use duban_aggregates::ticket::intake::{Intake, Source};
use duban_aggregates::words::{Answer, ClockKind, Kind, PauseCode, Role, Rung, Stage};
use duban_sample_tickets::scripted::*;

fn clock(office: &Office, kind: ClockKind, subject: Subject) -> Clock {
    office.t().clock(kind, subject).unwrap().clone()
}

#[test]
fn what_falls_due_is_warned_and_breached_once_and_stamped_with_the_due_moment() {
    let office = Office::at_stage(Kind::Complaint, Stage::Reply).then(
        a(Role::Desk),
        duban_aggregates::ticket::contact::Command::ContactCustomer {
            reason: duban_aggregates::words::ContactReason::Callback,
            gm_hotline: false,
            said: s("好"),
            answer: None,
            recording: None,
            occurred_at: None,
        }
        .into(),
    );
    check(&office, tick(), Ok(&[]));
    let due = clock(&office, ClockKind::Order, Subject::Order(OrderNo(1))).start.due;
    let exact = office.clone().until(due);
    let warned = check(&exact, tick(), Ok(&["warned order", "escalated order urge", "warned stage reply"]));
    check(&warned.clone().until(due.max(warned.at)), tick(), Ok(&["breached order"]));
    let late = check(
        &office.until(march(20, 9, 0)),
        tick(),
        Ok(&[
            "warned order",
            "escalated order urge",
            "warned stage reply",
            "breached order",
            "escalated order notice",
            "breached stage reply",
            "EscalationProposed",
            "warned ticket",
            "warned appealable",
            "warned answer",
            "breached ticket",
            "breached appealable",
            "breached answer",
        ]),
    );
    let breach = late.history.iter().find(|(meta, _)| meta.occurred_at == due && meta.recorded_at > due);
    assert!(breach.is_some(), "stamped with its due moment, though the server was down");
    check(&late, tick(), Ok(&[]));
    // A command that arrives late finds the breaches there.
    let late = late.then(of("line-crew"), accept(1));
    let replied = check(&late, (of("line-crew"), reply(1)), Ok(&["Replied", "started stage feedback"]));
    assert!(clock(&replied, ClockKind::Order, Subject::Order(OrderNo(1))).is_breached());
}

#[test]
fn dissatisfaction_makes_the_ticket_appealable_at_once_and_leaves_the_ticket_clock_running() {
    let office = Office::at_stage(Kind::Complaint, Stage::Feedback);
    let then = [
        "FeedbackRecorded",
        "met contact",
        "met answer",
        "met stage feedback",
        "cancelled appealable",
        "started appealable",
        "RoundOpened",
        "started stage dispatch",
    ];
    let at = office.at;
    let office = check(&office, (a(Role::Desk), feedback(Answer::Dissatisfied)), Ok(&then));
    assert_eq!(clock(&office, ClockKind::Appealable, Subject::Ticket).start.due, at);
    assert!(clock(&office, ClockKind::Ticket, Subject::Ticket).is_running());
    check(&office, tick(), Ok(&["breached appealable"]));
}

fn pause(code: PauseCode) -> Command {
    Do::Pause { code, evidence: s("物业函件"), attachment: Some(rec()), resume_by: None }.into()
}

#[test]
fn a_pause_stops_the_clocks_that_honour_it_and_resuming_stores_a_new_due() {
    let office = Office::at_stage(Kind::Complaint, Stage::Reply);
    let then = ["TicketPaused", "paused ticket", "paused stage reply", "paused order"];
    let paused = check(&office, (a(Role::Desk), pause(PauseCode::ThirdParty)), Ok(&then));
    assert_eq!(paused.t().custody.holder(), &Holder::ThirdParty);
    check(&paused, (a(Role::Desk), pause(PauseCode::Customer)), Err(Rejection::AlreadyPaused));
    check(&paused, (of("line-crew"), accept(1)), Err(Rejection::TicketPaused));
    let due = clock(&paused, ClockKind::Order, Subject::Order(OrderNo(1))).start.due;
    let resume = || -> Command { Do::Resume.into() };
    let then = [
        "warned contact",
        "breached contact",
        "TicketResumed",
        "resumed ticket",
        "resumed stage reply",
        "resumed order",
    ];
    let resumed = check(&paused.clone().until(march(4, 9, 0)), (a(Role::Desk), resume()), Ok(&then));
    check(&resumed, (a(Role::Desk), resume()), Err(Rejection::NotPaused));
    let later = clock(&resumed, ClockKind::Order, Subject::Order(OrderNo(1))).start.due;
    assert_eq!((due, later), (march(7, 0, 0), march(11, 0, 0)), "two working days later, and a weekend");

    // Five working days later it ends by itself, at that moment, whenever somebody looks.
    let then = [
        "warned contact",
        "breached contact",
        "TicketResumed",
        "resumed ticket",
        "resumed stage reply",
        "resumed order",
    ];
    let by_itself = check(&paused.clone().until(march(10, 8, 0)), tick(), Ok(&then));
    let at_moment =
        by_itself.history.iter().rev().find(|(meta, _)| meta.id == by_itself.event("TicketResumed"));
    assert_eq!(at_moment.unwrap().0.occurred_at, march(10, 0, 0));
    assert_eq!(by_itself.t().pause, None);

    let resources = check(
        &office,
        (a(Role::Desk), pause(PauseCode::Resources)),
        Ok(&["TicketPaused", "paused stage reply", "paused order"]),
    );
    assert_eq!(resources.t().custody.holder(), &Holder::Unit("line-crew".into()), "it stays with the unit");
}

#[test]
fn a_pause_is_not_the_holders_not_backdated_and_not_after_a_breach() {
    let office = Office::at_stage(Kind::Complaint, Stage::Feedback);
    let holds = "desk or dispatch, whichever does not hold the ticket";
    let not_yours = |whose: &str| Err(Rejection::NotYours { whose: whose.into() });
    check(&office, (a(Role::Desk), pause(PauseCode::Customer)), not_yours(holds));
    check(&office, (of("line-crew"), pause(PauseCode::Customer)), not_yours("desk or dispatch"));
    let then = ["TicketPaused", "paused ticket", "paused stage feedback"];
    check(&office, (a(Role::Dispatch), pause(PauseCode::Customer)), Ok(&then));
    let past = Do::Pause {
        code: PauseCode::Customer,
        evidence: s("-"),
        attachment: None,
        resume_by: Some(march(2, 9, 0)),
    };
    let not_in_future = Err(Rejection::invalid("resume_by", Problem::NotInFuture));
    check(&office, (a(Role::Dispatch), past.into()), not_in_future);
    let dispatching = Office::at_stage(Kind::Complaint, Stage::Dispatch);
    check(&dispatching, (a(Role::Dispatch), pause(PauseCode::Customer)), not_yours(holds));
    check(&dispatching, (a(Role::Desk), pause(PauseCode::Resources)), Err(Rejection::NoClockHonours));
    let late = Office::at_stage(Kind::Complaint, Stage::Reply).until(march(10, 9, 0));
    let refused = late.try_it(&a(Role::Desk), pause(PauseCode::Resources)).unwrap_err();
    let reply = late.t().clock(ClockKind::Stage, Subject::Stage(Stage::Reply)).unwrap().start.clock;
    assert_eq!(refused, Rejection::PauseAfterBreach { clock: reply });
}

#[test]
fn a_supervisor_urges_and_decides_what_the_ladder_proposes() {
    let supervisor = || a(Role::Supervisor);
    let office = Office::at_stage(Kind::Complaint, Stage::Reply);
    let urge = |order| -> Command { Do::Urge { order: OrderNo(order), words: s("请抓紧") }.into() };
    let office = check(&office, (supervisor(), urge(1)), Ok(&["Urged"]));
    check(&office, (supervisor(), urge(2)), Err(Rejection::UnknownOrder { order: OrderNo(2) }));
    let propose = |clock, rung| -> Command { Do::ProposeEscalation { clock: ClockNo(clock), rung }.into() };
    check(
        &office,
        (supervisor(), propose(1, Rung::Criticism)),
        Err(Rejection::NotBreached { clock: ClockNo(1) }),
    );
    check(
        &office,
        (supervisor(), propose(99, Rung::Listed)),
        Err(Rejection::UnknownClock { clock: ClockNo(99) }),
    );
    let unfit = Rejection::invalid("rung", Problem::Unfit("it needs no supervisor's decision"));
    check(&office, (supervisor(), propose(1, Rung::Urge)), Err(unfit));
    let mut office = office.until(march(30, 9, 0));
    office.record(office.try_it(&a(Role::Timer), tick().1).unwrap());
    let office = check(&office, (supervisor(), propose(1, Rung::Criticism)), Ok(&["EscalationProposed"]));
    check(&office, (supervisor(), propose(1, Rung::Criticism)), Ok(&[]));
    // The order's own ladder has made three proposals by then.
    let (escalation, unknown) = (EscalationNo(4), EscalationNo(5));
    let issue = |escalation| -> Command { Do::IssueEscalation { escalation, words: s("通报") }.into() };
    let decline = || -> Command { Do::DeclineEscalation { escalation, reason: s("不可抗力") }.into() };
    check(&office, (supervisor(), issue(unknown)), Err(Rejection::UnknownEscalation { escalation: unknown }));
    let declined = check(&office, (supervisor(), decline()), Ok(&["EscalationDeclined"]));
    check(&declined, (supervisor(), issue(escalation)), Err(Rejection::EscalationDecided { escalation }));
    let office = check(&office, (supervisor(), issue(escalation)), Ok(&["EscalationIssued"]));
    check(&office, (supervisor(), issue(escalation)), Ok(&[]));
    let office = office.then(of("line-crew"), accept(1)).then(of("line-crew"), reply(1));
    check(&office, (supervisor(), urge(1)), Err(Rejection::OrderEnded { order: OrderNo(1) }));
}

fn imported(kind: Kind) -> Intake {
    let mut old = intake(kind, when(2015, 4, 1, 9, 0));
    old.source = Some(Source { name: "comcast".into(), row_key: "250635".into(), status: "Open".into() });
    if let Some(order) = &mut old.install {
        order.promised_on = Some(jiff::civil::date(2015, 4, 9));
    }
    old.requests = vec![outside("old", Some(when(2015, 4, 9, 0, 0)))];
    old.requests[0].handed_over_at = when(2015, 4, 1, 9, 0);
    old
}

#[test]
fn an_import_sleeps_until_a_departments_first_command_and_then_is_not_late() {
    for kind in [Kind::Complaint, Kind::Install] {
        let office = check(&Office::empty(), (a(Role::Import), take_in(imported(kind))), Ok(&["TakenIn"]));
        check(&office, tick(), Ok(&[]));
        let finding = duban_aggregates::ticket::intake::Command::FileFinding { finding: s("缺附件") };
        check(&office, (a(Role::Auditor), finding.into()), Ok(&["FindingFiled"]));
        let known = duban_aggregates::ticket::intake::FirstOwner {
            employee: "desk-01".into(),
            department: "desk".into(),
        };
        let nothing =
            duban_aggregates::ticket::intake::Command::ChangeFirstOwner { to: known, reason: s("-") };
        check(&office, (a(Role::Desk), nothing.into()), Ok(&[]));
        let late = office.until(march(4, 9, 0));
        let attach = duban_aggregates::ticket::intake::Command::Attach { attachment: rec() };
        let office = late.then(a(Role::Desk), attach.into());
        assert!(office.t().clocks.iter().all(|clock| clock.start.due > office.at), "none is late falsely");
        assert!(office.t().clocks.len() >= 5);
        check(&office, tick(), Ok(&[]));
    }
    let mut unsourced = imported(Kind::Complaint);
    unsourced.source = None;
    let source = Problem::Unfit("an import has a source, and nothing else has");
    check(&Office::empty(), (a(Role::Import), take_in(unsourced)), Err(Rejection::invalid("source", source)));
}

#[test]
fn a_clock_that_starts_while_the_ticket_stands_still_stands_still_with_it() {
    let office = Office::at_stage(Kind::Fault, Stage::Reply).then(a(Role::Desk), pause(PauseCode::Customer));
    let paid = fact(duban_aggregates::ticket::fault::Fact::ArrearsPaid { reference: "pay".into() });
    let then = ["FactRecorded", "started restore", "paused restore"];
    check(&office, (a(Role::Desk), paid), Ok(&then));
}
