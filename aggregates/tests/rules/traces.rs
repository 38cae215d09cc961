//! The two traces of domain.md section 11.

use duban_aggregates::ids::{AppointmentNo, MeasureNo, OrderNo, RequestNo, VerdictNo};
use duban_aggregates::rejection::{Missing, Rejection};
use duban_aggregates::ticket::chain::{self, Cause};
use duban_aggregates::ticket::clock::Subject;
use duban_aggregates::ticket::custody::Holder;
use duban_aggregates::ticket::fault::Fact;
use duban_aggregates::ticket::order::{self, MeasurePlan};
use duban_aggregates::ticket::{contact, gate, install, money, verdict};
use duban_aggregates::words::{
    Answer, ClockKind, DueReason, Gate, Kind, Outcome, Part, ReceiptKind, Role, Settlement, Stage, Tier,
};
use duban_sample_tickets::scripted::*;

/// Reply, feedback, in a round that dispatch opened to the line crew alone.
fn answered(office: Office, answer: Answer) -> Office {
    let office = office.pass(Stage::Dispatch).pass(Stage::Reply);
    office.then(a(Role::Desk), feedback(answer))
}

#[test]
fn broadband_down_at_a_rural_gold_customer() {
    let mut down = intake(Kind::Fault, march(2, 9, 0));
    down.customer.as_mut().unwrap().tier = Tier::Gold;
    down.area.rural = true;
    let office = Office::opened(down)
        .then(a(Role::Desk), test(false))
        .then(a(Role::Investigation), investigate(Cause::Known(s("光缆被挖断")), &[]))
        .then(a(Role::Dispatch), dispatch(&[("line-crew", Part::Lead), ("transmission", Part::Assist)]));
    let wrong_unit = order::Command::RequestReturn { order: OrderNo(2), reason: s("不属传输段") };
    let instead = Some(new_order("access-network", Part::Assist));
    let office = office
        .then(of("transmission"), wrong_unit.into())
        .then(
            a(Role::Dispatch),
            order::Command::GrantReturn { order: OrderNo(2), replacement: instead }.into(),
        )
        .then(of("line-crew"), accept(1))
        .then(of("access-network"), accept(3))
        .then(
            of("line-crew"),
            order::Command::WaitForAssist { order: OrderNo(1), assist: OrderNo(3) }.into(),
        );
    assert_eq!(office.t().custody.holder(), &Holder::Unit("access-network".into()));
    // Tuesday 15:00: 36 hours for a gold customer in the country, so repair is in time.
    let office = office
        .until(march(3, 15, 0))
        .then(of("access-network"), reply(3))
        .then(of("line-crew"), fact(Fact::ServiceUp))
        .then(of("line-crew"), test(true))
        .then(of("line-crew"), reply(1));
    assert!(!office.t().clock(ClockKind::Repair, Subject::Ticket).unwrap().is_breached());
    let office = office.then(a(Role::Desk), feedback(Answer::BasicallySatisfied));
    assert_eq!((office.t().round.number, office.stage()), (2, Stage::Dispatch));
    let office = answered(office, Answer::Satisfied);
    let office =
        office.then(a(Role::Dispatch), gate::Command::NoMeasureNeeded { reason: s("一次性") }.into());
    let failed = chain::Command::Inspect {
        judgements: judgements(&[Gate::ServiceImproved]),
        units: named(&["planning"]),
    };
    let office = office.then(a(Role::Inspection), failed.into());
    assert_eq!((office.t().round.number, office.stage()), (3, Stage::Dispatch));
    let plan = MeasurePlan { text: s("补设管道标志"), owner: "planning".into(), due_on: day(&office) };
    let office = office.then(a(Role::Dispatch), gate::Command::PlanMeasure { plan }.into());
    let done = gate::Command::CarryOutMeasure { measure: MeasureNo(1), evidence: s("照片") };
    let office = answered(office, Answer::Satisfied)
        .then(of("planning"), done.into())
        .then(a(Role::Inspection), inspect(&[]))
        .then(a(Role::Reporting), report());
    // Feedback of a gold customer's first round was due in four hours, and came; nothing else was late.
    let units: Vec<_> = office.t().involved().into_iter().map(|unit| unit.0).collect();
    assert_eq!(units, ["access-network", "line-crew", "planning"], "a granted return does not involve");
    let verdicts =
        [("line-crew", blameless()), ("access-network", blameless()), ("planning", at_fault(2, 0))];
    let office = office.then(a(Role::Assessment), assess(&verdicts));
    let missing = vec![Missing::FinalVerdict(VerdictNo(3)), Missing::Penalty(VerdictNo(3))];
    check(
        &office,
        (a(Role::Assessment), chain::Command::Close.into()),
        Err(Rejection::GatesOpen { missing }),
    );
    let office = office
        .then(of("planning"), verdict::Command::Accept { verdict: VerdictNo(3) }.into())
        .pass(Stage::Close);

    let ticket = office.t();
    let Some((_, duban_aggregates::ticket::Event::Chain(chain::Event::Closed { certificate }))) =
        office.history.iter().rev().find(|(meta, _)| Some(meta.id) == ticket.certificate)
    else {
        panic!("no certificate")
    };
    assert_eq!(certificate.gates.iter().map(|held| held.gate).collect::<Vec<_>>(), Gate::ALL);
    assert!(certificate.gates.iter().all(|held| !held.waived && !held.proof.is_empty()));
    let held = ticket.custody.seconds(office.at);
    let open = ticket.ended.as_ref().unwrap().at.as_second() - march(2, 9, 0).as_second();
    assert_eq!(held.values().sum::<i64>(), open, "custody adds up");
    assert!(held[&Holder::Unit("access-network".into())] > 29 * 3_600);
    assert!(
        !held.contains_key(&Holder::Unit("transmission".into())),
        "an assist has it only while waited for"
    );
}

#[test]
fn a_12315_complaint_about_a_missed_install_visit() {
    // Wednesday, 23 September 2026. 25 to 27 are off, Sunday the 20th was worked; 1 to 7 October are off, Saturday the
    // 10th is worked. Seven working days end on 9 October.
    let begin = when(2026, 9, 23, 9, 0);
    let mut complaint = intake(Kind::Complaint, begin);
    complaint.category = "complaint.service_quality.missed_visit".into();
    complaint.requests = vec![outside("12315-20260923", None)];
    complaint.requests[0].handed_over_at = begin;
    let mut office = Office::empty();
    office.at = begin;
    let office = office.then(a(Role::Desk), take_in(complaint));
    let due = office.t().clock(ClockKind::Outside, Subject::Request(RequestNo(1))).unwrap().start.due;
    let calendar = duban_aggregates::calendar::Calendar::cn();
    assert_eq!(due, calendar.working_days_after(begin, 7));
    assert!(due > when(2026, 10, 7, 0, 0), "it runs across the holiday");

    let (from, until) = (when(2026, 9, 24, 9, 0), when(2026, 9, 24, 11, 0));
    let missed =
        install::Fact::AppointmentEnded { appointment: AppointmentNo(1), outcome: Outcome::MissedByOperator };
    let missed =
        install::Command::RecordFact { fact: missed, occurred_at: None, evidence: Some(s("用户录音")) };
    let office = office
        .pass(Stage::Investigate)
        .then(a(Role::Dispatch), dispatch(&[("install-crew", Part::Lead)]))
        .then(a(Role::Desk), install::Command::MakeAppointment { from, until }.into())
        .then(of("install-crew"), accept(1))
        .until(until)
        .then(a(Role::Desk), missed.into());
    let because = vec![office.event("FactRecorded")];
    let accrue = money::Command::Accrue { reason: DueReason::LateInstall, amount_fen: 100, because };
    let office = office.then(a(Role::Assessment), accrue.into());
    // The server is down over the deadline: the breach carries the due moment all the same.
    let office = office.until(when(2026, 10, 14, 9, 0)).then(of("install-crew"), reply(1));
    let breach = office.history.iter().find(|(meta, event)| {
        matches!(
            event,
            duban_aggregates::ticket::Event::Clock(duban_aggregates::ticket::clock::Event::Breached { .. })
        ) && meta.occurred_at == due
    });
    assert_eq!(breach.unwrap().0.recorded_at, when(2026, 10, 14, 9, 0));
    let office = office.pass(Stage::Feedback).pass(Stage::Inspect);
    let owed = Rejection::ReceiptsOwed { missing: vec![Missing::Receipt(RequestNo(1))] };
    check(&office, (a(Role::Reporting), report()), Err(owed));
    let answer = contact::Command::RecordReceipt {
        request: RequestNo(1),
        kind: ReceiptKind::Final,
        content: s("已上门并致歉"),
        reference: "hz-1".into(),
    };
    let office = office.then(a(Role::Reporting), answer.into()).pass(Stage::Report);
    let office = office.then(a(Role::Assessment), assess(&[("install-crew", at_fault(3, 0))]));
    let (verdict, due) = (VerdictNo(1), duban_aggregates::ids::DueNo(1));
    let settle = money::Command::Settle { due, settlement: Settlement::Credited, reference: "tf".into() };
    let office = office
        .then(of("install-crew"), verdict::Command::Appeal { verdict, grounds: s("用户改期") }.into())
        .then(
            other(Role::Assessment),
            verdict::Command::DecideAppeal { verdict, granted: true, reason: s("属实") }.into(),
        )
        .then(a(Role::Assessment), money::Command::Approve { due }.into())
        .then(a(Role::Assessment), settle.into())
        .pass(Stage::Close);
    assert!(office.t().verdicts[0].reversed && office.t().verdicts[0].carried_out.is_none());
    assert!(!office.t().is_open());
}
