//! Intake, contact, receipts, facts and their corrections, appointments.

use jiff::Timestamp;
use uuid::Uuid;

use duban_aggregates::ids::{AppointmentNo, EventId, NoticeId, ProblemId, RequestNo, TicketId};
use duban_aggregates::rejection::{Problem, Rejection};
use duban_aggregates::ticket::contact::Command as Contact;
use duban_aggregates::ticket::fault::{self, Fact as FaultFact};
use duban_aggregates::ticket::intake::{Command as Do, Fact, FirstOwner, Intake, TakenOver};
use duban_aggregates::ticket::{Command, install};
use duban_aggregates::words::{Channel, ContactReason, Kind, Milestone, Outcome, ReceiptKind, Role, Stage};
use duban_aggregates::{LIST_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};
use duban_sample_tickets::scripted::*;

const REQUEST: RequestNo = RequestNo(1);

#[track_caller]
fn refuse_intake(change: impl FnOnce(&mut Intake), field: &'static str, problem: Problem) {
    let mut wrong = intake(Kind::Complaint, march(2, 9, 0));
    change(&mut wrong);
    check(&Office::empty(), (a(Role::Desk), take_in(wrong)), Err(Rejection::invalid(field, problem)));
}

fn customer_of(intake: &mut Intake) -> &mut duban_aggregates::ticket::intake::Customer {
    intake.customer.as_mut().unwrap()
}

#[test]
fn an_intake_is_whole_bounded_and_about_what_the_policy_knows() {
    use Problem::{InFuture, NotRegistered, Required, TooLong, TooMany, Twice, Unfit};
    let later = march(2, 10, 0);
    refuse_intake(|new| new.description = s(""), "description", Required);
    refuse_intake(|new| new.description = s(&"x".repeat(1 << 20)), "description", TooLong(TEXT_BYTES_MAX));
    refuse_intake(|new| customer_of(new).name = s(""), "customer.name", Required);
    refuse_intake(|new| customer_of(new).phone = s(""), "customer.phone", Required);
    refuse_intake(|new| new.service.as_mut().unwrap().number = s(""), "service.number", Required);
    refuse_intake(|new| new.area.province = " ".into(), "area.province", Required);
    refuse_intake(|new| new.area.district = "x".repeat(300), "area.district", TooLong(NAME_BYTES_MAX));
    refuse_intake(|new| new.first_owner.employee = "".into(), "first_owner.employee", Required);
    let moon = || NotRegistered("moon".into());
    refuse_intake(|new| new.first_owner.department = "moon".into(), "first_owner.department", moon());
    refuse_intake(|new| new.category = "moon".into(), "category", moon());
    let kind = Unfit("it belongs to tickets of another kind");
    refuse_intake(|new| new.category = "fault.tv".into(), "category", kind);
    refuse_intake(|new| new.taken_in_at = later, "taken_in_at", InFuture);
    let import = Unfit("only an import keeps an earlier moment");
    refuse_intake(|new| new.taken_in_at = march(1, 9, 0), "taken_in_at", import);
    refuse_intake(|new| new.happened_at = later, "happened_at", InFuture);
    let order = Unfit("an install has an order, and nothing else has");
    refuse_intake(|new| new.kind = Kind::Install, "category", Unfit("it belongs to tickets of another kind"));
    let ordered = install::Order { fees_fen: 1, promised_on: None };
    refuse_intake(|new| new.install = Some(ordered), "install", order);
    refuse_intake(|new| new.mass_outage = true, "mass_outage", Unfit("only a fault is part of an outage"));
    refuse_intake(|new| new.attachments = vec![rec(); LIST_MAX + 1], "attachments", TooMany(LIST_MAX));
    refuse_intake(|new| new.requests = vec![outside("7", None); 2], "requests.number", Twice("7".into()));
    let earlier = Unfit("it must be later than the hand-over");
    refuse_intake(|new| new.requests = vec![outside("7", Some(march(2, 9, 0)))], "request.due", earlier);
    let mut promised = intake(Kind::Install, march(2, 9, 0));
    promised.install = Some(install::Order { fees_fen: 1, promised_on: Some(jiff::civil::date(2026, 3, 1)) });
    let past = Err(Rejection::invalid("install.promised_on", Problem::NotInFuture));
    check(&Office::empty(), (a(Role::Desk), take_in(promised)), past);
}

#[test]
fn a_ticket_is_taken_in_once_and_never_beside_its_twin() {
    let whole = || Box::new(intake(Kind::Complaint, march(2, 9, 0)));
    check(&Office::new(Kind::Complaint), (a(Role::Desk), take_in(*whole())), Err(Rejection::TicketExists));
    let ticket = TicketId(Uuid::from_u128(8));
    let twin = |open_twin, reopenable_twin| Do::TakeIn { intake: whole(), open_twin, reopenable_twin };
    let open = Err(Rejection::OpenTicketExists { ticket });
    check(&Office::empty(), (a(Role::Desk), twin(Some(ticket), None).into()), open);
    let ended = Err(Rejection::ReopenInstead { ticket });
    check(&Office::empty(), (a(Role::Desk), twin(None, Some(ticket)).into()), ended);
    let call = Contact::NotifyDelay {
        expected_at: march(3, 0, 0),
        reason: s("-"),
        recording: None,
        occurred_at: None,
    };
    check(&Office::empty(), (a(Role::Desk), call.into()), Err(Rejection::TicketUnknown));
}

#[test]
fn requests_owners_problems_and_notices_are_added_once() {
    let office = Office::new(Kind::Fault);
    let request = |number: &str, due: Option<Timestamp>| -> Command {
        let body = Channel::Mayor12345;
        Do::AddOutsideRequest { body, number: number.into(), handed_over_at: None, due }.into()
    };
    let then = ["OutsideRequestAdded", "started outside"];
    let office = check(&office, (a(Role::Desk), request("12345-1", None)), Ok(&then));
    check(&office, (a(Role::Desk), request("12345-1", None)), Ok(&[]));
    let twice = Err(Rejection::invalid("request.number", Problem::Twice("12345-1".into())));
    check(&office, (a(Role::Desk), request("12345-1", Some(march(9, 0, 0)))), twice);
    let web =
        Do::AddOutsideRequest { body: Channel::Web, number: "1".into(), handed_over_at: None, due: None };
    let unfit = Problem::Unfit("it is no outside body's channel");
    check(&office, (a(Role::Desk), web.into()), Err(Rejection::invalid("request.body", unfit)));

    let office = check(&office, (a(Role::Desk), Do::Attach { attachment: rec() }.into()), Ok(&["Attached"]));
    let to = FirstOwner { employee: "desk-02".into(), department: "hotline".into() };
    let change: Command = Do::ChangeFirstOwner { to, reason: s("离职") }.into();
    let office = check(&office, (a(Role::Desk), change.clone()), Ok(&["FirstOwnerChanged"]));
    check(&office, (a(Role::Desk), change), Ok(&[]));

    let join =
        |id| -> Command { Do::JoinProblem { problem: ProblemId(Uuid::from_u128(id)), open: true }.into() };
    let office = check(&office, (a(Role::Desk), join(1)), Ok(&["ProblemJoined"]));
    check(&office, (a(Role::Desk), join(1)), Ok(&[]));
    check(&office, (a(Role::Desk), join(2)), Err(Rejection::InAnotherProblem));
    let link: Command = Do::LinkNotice { notice: NoticeId(Uuid::nil()) }.into();
    let office = check(&office, (a(Role::Desk), link.clone()), Ok(&["NoticeLinked"]));
    check(&office, (a(Role::Desk), link.clone()), Ok(&[]));
    check(&Office::new(Kind::Complaint), (a(Role::Desk), link), Err(Rejection::WrongKind));
    let finding: Command = Do::FileFinding { finding: s("录音缺失") }.into();
    check(&office, (a(Role::Auditor), finding), Ok(&["FindingFiled"]));
}

#[test]
fn a_merged_ticket_leaves_its_receipts_and_earlier_deadlines() {
    let office = Office::new(Kind::Complaint);
    let due = march(5, 0, 0);
    let deadlines = vec![
        TakenOver { clock: duban_aggregates::words::ClockKind::Ticket, due },
        TakenOver { clock: duban_aggregates::words::ClockKind::Appealable, due: march(30, 0, 0) },
        TakenOver { clock: duban_aggregates::words::ClockKind::Restore, due },
    ];
    let from = TicketId(Uuid::from_u128(5));
    let requests = vec![outside("a", None), outside("b", None)];
    let receive: Command = Do::ReceiveMerge { from, requests, deadlines }.into();
    let then = ["MergeReceived", "started outside", "started outside", "restated ticket", "started restore"];
    let ended = Office::closed(Kind::Complaint);
    let late = check(&ended, (a(Role::Rule), receive.clone()), Ok(&then[..3]));
    assert_eq!(late.t().receipts_owed().len(), 2, "what ended in between owes the receipts all the same");
    let office = check(&office, (a(Role::Rule), receive.clone()), Ok(&then));
    check(&office, (a(Role::Rule), receive), Ok(&[]));
    assert_eq!(office.t().clocks[0].start.due, due);
    assert_eq!(office.t().receipts_owed(), [RequestNo(1), RequestNo(2)]);
}

fn call(reason: ContactReason, gm_hotline: bool) -> Command {
    let (said, answer) = (s("还没修好"), Some(s("今晚前")));
    Contact::ContactCustomer { reason, gm_hotline, said, answer, recording: Some(rec()), occurred_at: None }
        .into()
}

#[test]
fn a_third_urge_or_one_by_the_gm_hotline_goes_to_the_supervisor() {
    let urge = |gm| (a(Role::Desk), call(ContactReason::Urge, gm));
    let office = check(&Office::new(Kind::Fault), urge(false), Ok(&["CustomerContacted", "met contact"]));
    check(&office, urge(true), Ok(&["CustomerContacted", "UrgeEscalated"]));
    let office = check(&office, urge(false), Ok(&["CustomerContacted"]));
    let office = check(&office, urge(false), Ok(&["CustomerContacted", "UrgeEscalated"]));
    assert_eq!(office.t().urges, 3);
    let question = Rejection::invalid("gm_hotline", Problem::Unfit("only an urge has it"));
    check(&office, (a(Role::Desk), call(ContactReason::Question, true)), Err(question));
}

#[test]
fn telling_the_customer_of_a_delay_is_the_first_talk_and_fits_faults_and_installs() {
    let tell = |expected_at| -> Command {
        Contact::NotifyDelay { expected_at, reason: s("备件"), recording: None, occurred_at: None }.into()
    };
    let office = Office::new(Kind::Fault);
    let past = Err(Rejection::invalid("expected_at", Problem::NotInFuture));
    check(&office, (a(Role::Desk), tell(march(2, 9, 0))), past);
    check(&Office::new(Kind::Complaint), (a(Role::Desk), tell(march(4, 0, 0))), Err(Rejection::WrongKind));
    let office = check(&office, (a(Role::Desk), tell(march(4, 0, 0))), Ok(&["DelayNotified", "met contact"]));
    assert_eq!(office.t().delays_notified, 1);
}

fn receipt(kind: ReceiptKind) -> Command {
    Contact::RecordReceipt { request: REQUEST, kind, content: s("回复"), reference: "hz-1".into() }.into()
}

#[test]
fn final_receipts_follow_a_reply_and_a_reopening_owes_a_supplementary_one() {
    use ReceiptKind::{Final, Interim, Supplementary};
    let mut handed_over = intake(Kind::Complaint, march(2, 9, 0));
    handed_over.requests = vec![outside("12315-1", None)];
    let office = Office::opened(handed_over);
    let by = || a(Role::Reporting);
    let office = check(&office, (by(), receipt(Interim)), Ok(&["ReceiptRecorded"]));
    check(&office, (by(), receipt(Final)), Err(Rejection::NoReplyYet));
    check(&office, (by(), receipt(Supplementary)), Err(Rejection::NoSupplementOwed));
    let unknown = Contact::RecordReceipt {
        request: RequestNo(2),
        kind: Final,
        content: s("回复"),
        reference: "hz".into(),
    };
    check(&office, (by(), unknown.into()), Err(Rejection::UnknownRequest { request: RequestNo(2) }));
    let stages = Stage::ALL.into_iter().filter(|stage| *stage < Stage::Report);
    let office = stages.fold(office, Office::pass);
    let missing = vec![duban_aggregates::rejection::Missing::Receipt(REQUEST)];
    check(&office, (by(), report()), Err(Rejection::ReceiptsOwed { missing: missing.clone() }));
    let office = check(&office, (by(), receipt(Final)), Ok(&["ReceiptRecorded", "met outside"]));
    check(&office, (by(), receipt(Final)), Ok(&[]));
    let office = office.pass(Stage::Report).pass(Stage::Assess).pass(Stage::Close);

    let again = duban_aggregates::ticket::chain::Command::Reopen {
        because: duban_aggregates::words::ReopenCause::CustomerReturned,
        reason: s("又来"),
    };
    let office = office.then(a(Role::Desk), again.into());
    assert_eq!(office.t().receipts_owed(), [REQUEST]);
    check(&office, (by(), receipt(Supplementary)), Err(Rejection::NoReplyYet));
    let stages = Stage::ALL.into_iter().filter(|stage| *stage < Stage::Report);
    let office = stages.fold(office, Office::pass);
    check(&office, (by(), report()), Err(Rejection::ReceiptsOwed { missing }));
    let office = check(&office, (by(), receipt(Supplementary)), Ok(&["ReceiptRecorded", "met outside"]));
    office.pass(Stage::Report);
}

fn at(fact: FaultFact, occurred_at: Timestamp, evidence: Option<&str>) -> Command {
    let occurred_at = Some(occurred_at);
    fault::Command::RecordFact { fact, occurred_at, evidence: evidence.map(s) }.into()
}

#[test]
fn a_fact_has_its_moment_after_intake_not_in_the_future_and_with_evidence() {
    let office = Office::new(Kind::Fault).wait_minutes(60);
    let wrong = |problem| Err(Rejection::invalid("occurred_at", problem));
    let up = |moment, evidence| (of("line-crew"), at(FaultFact::ServiceUp, moment, evidence));
    check(&office, up(march(2, 8, 59), Some("截图")), wrong(Problem::BeforeIntake));
    check(&office, up(march(2, 11, 0), Some("截图")), wrong(Problem::InFuture));
    check(&office, up(march(2, 9, 30), None), wrong(Problem::NeedsEvidence));
    check(&office, up(march(2, 9, 30), Some("")), wrong(Problem::NeedsEvidence));
    let office = check(&office, up(march(2, 9, 30), Some("截图")), Ok(&["FactRecorded", "met repair"]));
    assert_eq!(office.t().fault.service_up.unwrap().0, march(2, 9, 30));
    check(&Office::new(Kind::Install), (a(Role::Desk), test(true)), Err(Rejection::WrongKind));
    check(&office, (a(Role::Desk), reach(Milestone::Accepted)), Err(Rejection::WrongKind));
}

#[test]
fn payment_of_arrears_starts_the_restore_clock_once() {
    let paid = || fact(FaultFact::ArrearsPaid { reference: "pay-1".into() });
    let office =
        check(&Office::new(Kind::Fault), (a(Role::Desk), paid()), Ok(&["FactRecorded", "started restore"]));
    let office = check(&office, (a(Role::Desk), paid()), Ok(&["FactRecorded"]));
    let up = fact(FaultFact::ServiceUp);
    check(&office, (a(Role::Desk), up), Ok(&["FactRecorded", "met repair", "met restore"]));
}

fn correct(corrects: EventId, fact: Fact, occurred_at: Option<Timestamp>) -> Command {
    Do::CorrectFact { corrects, fact, occurred_at, reason: s("系统时间有误") }.into()
}

#[test]
fn facts_are_corrected_by_who_recorded_them_or_a_supervisor_and_each_once() {
    let office = Office::new(Kind::Fault).then(of("line-crew"), test(true));
    let event = office.event("FactRecorded");
    let failed = || {
        let result = s("不通");
        Fact::Fault(FaultFact::LineTested { passed: false, reference: "112-1".into(), result })
    };
    let whose = "line-crew, which recorded the fact, or a supervisor".to_owned();
    check(&office, (of("power"), correct(event, failed(), None)), Err(Rejection::NotYours { whose }));
    let another = Rejection::invalid("fact", Problem::Unfit("the event recorded another fact"));
    check(&office, (of("line-crew"), correct(event, Fact::Fault(FaultFact::ServiceUp), None)), Err(another));
    let nothing = EventId(Uuid::nil());
    check(&office, (of("line-crew"), correct(nothing, failed(), None)), Err(Rejection::NoSuchFact));
    check(&office, (a(Role::Supervisor), correct(event, failed(), None)), Ok(&["FactCorrected"]));
    let corrected = check(&office, (of("line-crew"), correct(event, failed(), None)), Ok(&["FactCorrected"]));
    assert!(!corrected.t().fault.last_test.unwrap().0);
    check(&corrected, (of("line-crew"), correct(event, failed(), None)), Err(Rejection::NoSuchFact));

    let superseded =
        office.then(of("line-crew"), test(true)).then(of("line-crew"), correct(event, failed(), None));
    assert!(superseded.t().fault.last_test.unwrap().0, "what was superseded stays superseded");
    let closed = Office::closed(Kind::Fault);
    let up = closed.event("FactRecorded");
    let result = Fact::Fault(FaultFact::LineTested { passed: false, reference: "1".into(), result: s("-") });
    check(&closed, (of("line-crew"), correct(up, result, None)), Err(Rejection::CertificateRestsOnIt));
}

#[test]
fn a_corrected_service_up_moment_may_withdraw_a_breach_and_both_stay() {
    let office = Office::new(Kind::Fault).until(march(4, 10, 0));
    // Stamped in the order of their due moments.
    let then = [
        "warned stage investigate",
        "escalated stage investigate urge",
        "breached stage investigate",
        "warned contact",
        "breached contact",
        "escalated stage investigate notice",
        "warned repair",
        "breached repair",
        "FactRecorded",
    ];
    let mut names = check(&office, (of("line-crew"), fact(FaultFact::ServiceUp)), Ok(&then));
    assert_eq!(names.t().clocks.iter().filter(|clock| clock.is_breached()).count(), 3);
    let event = names.event("FactRecorded");
    let up = |at| correct(event, Fact::Fault(FaultFact::ServiceUp), Some(at));
    let later = check(&names, (of("line-crew"), up(march(4, 9, 30))), Ok(&["FactCorrected"]));
    assert_eq!(later.t().clocks.iter().filter(|clock| clock.is_breached()).count(), 3);
    names = check(
        &names,
        (of("line-crew"), up(march(4, 8, 59))),
        Ok(&["FactCorrected", "breachwithdrawn repair"]),
    );
    assert_eq!(names.t().clocks.iter().filter(|clock| clock.is_breached()).count(), 2);
}

#[test]
fn a_correction_never_makes_a_deadline_earlier_and_restates_a_later_one() {
    let mut leased = intake(Kind::Fault, march(2, 9, 0));
    leased.category = "fault.leased_line.down".into();
    let office = Office::opened(leased);
    let repair = |office: &Office| {
        office
            .t()
            .clock(
                duban_aggregates::words::ClockKind::Repair,
                duban_aggregates::ticket::clock::Subject::Ticket,
            )
            .unwrap()
            .start
            .due
    };
    assert_eq!(repair(&office), march(2, 21, 0));
    let category = |office: &Office, category: &str| {
        let event = office.history[0].0.id;
        correct(event, Fact::Category { category: category.into() }, None)
    };
    let wrong = category(&office, "complaint.other");
    let kind = Rejection::invalid("category", Problem::Unfit("it belongs to tickets of another kind"));
    check(&office, (a(Role::Desk), wrong), Err(kind));
    let broadband = category(&office, "fault.broadband.down");
    let office = check(&office, (a(Role::Desk), broadband), Ok(&["FactCorrected", "restated repair"]));
    assert_eq!(repair(&office), march(4, 9, 0));
    let event = office.event("FactCorrected");
    let back = correct(event, Fact::Category { category: "fault.leased_line.down".into() }, None);
    let office = check(&office, (a(Role::Desk), back), Ok(&["FactCorrected"]));
    assert_eq!(repair(&office), march(4, 9, 0));

    let paid = at(FaultFact::ArrearsPaid { reference: "p".into() }, march(2, 9, 0), Some("流水"));
    let office = office.then(a(Role::Desk), paid);
    let event = office.event("FactRecorded");
    let paid = Fact::Fault(FaultFact::ArrearsPaid { reference: "p".into() });
    let later = correct(event, paid, Some(march(2, 9, 2)));
    check(&office, (a(Role::Desk), later), Ok(&["FactCorrected", "restated restore"]));
}

#[test]
fn milestones_come_in_order_and_once() {
    let office = Office::new(Kind::Install);
    check(&office, (a(Role::Desk), reach(Milestone::Surveyed)), Err(Rejection::MilestoneOutOfOrder));
    let office = check(&office, (a(Role::Desk), reach(Milestone::Accepted)), Ok(&["FactRecorded"]));
    check(&office, (a(Role::Desk), reach(Milestone::Accepted)), Ok(&[]));
}

const ONE: AppointmentNo = AppointmentNo(1);

fn outcome(outcome: Outcome, evidence: Option<&str>) -> Command {
    let fact = install::Fact::AppointmentEnded { appointment: ONE, outcome };
    install::Command::RecordFact { fact, occurred_at: None, evidence: evidence.map(s) }.into()
}

#[test]
fn an_appointment_is_made_missed_rescheduled_and_kept() {
    let office = Office::at_stage(Kind::Install, Stage::Reply);
    let desk = || a(Role::Desk);
    let (from, until) = (march(3, 9, 0), march(3, 11, 0));
    let make = |from, until| -> Command { install::Command::MakeAppointment { from, until }.into() };
    let past = Err(Rejection::invalid("from", Problem::NotInFuture));
    check(&office, (desk(), make(march(2, 9, 0), until)), past);
    let order = Err(Rejection::invalid("until", Problem::Unfit("it must be later than from")));
    check(&office, (desk(), make(from, from)), order);
    let unknown = Err(Rejection::UnknownAppointment { appointment: ONE });
    check(&office, (desk(), outcome(Outcome::Kept, None)), unknown);
    let office = check(&office, (desk(), make(from, until)), Ok(&["AppointmentMade"]));
    let early = Err(Rejection::invalid("occurred_at", Problem::Unfit("the slot has not begun")));
    check(&office, (desk(), outcome(Outcome::Kept, None)), early);
    let office = office.then(desk(), call(ContactReason::Callback, false)).until(march(3, 11, 0));

    let required = Err(Rejection::invalid("evidence", Problem::Required));
    check(&office, (desk(), outcome(Outcome::MissedByOperator, None)), required);
    let missed =
        check(&office, (desk(), outcome(Outcome::MissedByOperator, Some("录音"))), Ok(&["FactRecorded"]));
    check(&missed, (desk(), outcome(Outcome::MissedByOperator, Some("录音"))), Ok(&[]));
    let ended = || Err(Rejection::AppointmentEnded { appointment: ONE });
    check(&missed, (desk(), outcome(Outcome::Kept, None)), ended());
    assert!(missed.t().install.any_missed());
    let kept = install::Fact::AppointmentEnded { appointment: ONE, outcome: Outcome::Kept };
    let event = missed.event("FactRecorded");
    let corrected = missed.clone().then(desk(), correct(event, Fact::Install(kept), None));
    assert!(!corrected.t().install.any_missed(), "a correction takes the miss back");

    let absent = outcome(Outcome::MissedByCustomer, Some("无人应门照片"));
    let then = [
        "FactRecorded",
        "TicketPaused",
        "paused ticket",
        "paused activation",
        "paused stage reply",
        "paused order",
    ];
    let paused = check(&office, (desk(), absent), Ok(&then));
    assert_eq!(paused.t().custody.holder().name(), "customer");
    let again: Command = install::Command::Reschedule {
        appointment: ONE,
        from: march(4, 9, 0),
        until: march(4, 11, 0),
        reason: s("改约"),
    }
    .into();
    let then = [
        "AppointmentRescheduled",
        "TicketResumed",
        "resumed ticket",
        "resumed activation",
        "resumed stage reply",
        "resumed order",
    ];
    let office = check(&paused, (desk(), again.clone()), Ok(&then)).until(march(4, 10, 0));
    let office = check(&office, (desk(), outcome(Outcome::Kept, None)), Ok(&["FactRecorded"]));
    let moved = install::Command::Reschedule {
        appointment: ONE,
        from: march(6, 9, 0),
        until: march(6, 11, 0),
        reason: s("改约"),
    };
    check(&office, (desk(), moved.into()), ended());
}
