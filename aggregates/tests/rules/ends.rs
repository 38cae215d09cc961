//! Ends and reopening.

use uuid::Uuid;

use duban_aggregates::actor::Actor;
use duban_aggregates::ids::{RequestNo, TicketId};
use duban_aggregates::rejection::{Missing, Rejection};
use duban_aggregates::ticket::chain::{Command as Do, MergeEvidence};
use duban_aggregates::ticket::state::End;
use duban_aggregates::ticket::{Command, Event, contact, fault, intake};
use duban_aggregates::words::{Kind, ReceiptKind, ReopenCause, Role, Stage};
use duban_sample_tickets::scripted::*;

fn withdraw() -> Command {
    Do::Withdraw { recording: rec(), reason: s("用户撤诉") }.into()
}

fn consent() -> Command {
    Do::ConsentToRejection { reason: s("非本企业业务") }.into()
}

fn reject() -> Command {
    Do::Reject { referred_to: s("供电公司95598"), reason: s("非本企业业务"), recording: rec() }.into()
}

fn merge(evidence: MergeEvidence) -> Command {
    Do::Merge { into: TicketId(Uuid::from_u128(77)), evidence }.into()
}

fn reopen(because: ReopenCause) -> Command {
    Do::Reopen { because, reason: s("又出现") }.into()
}

const SAME: MergeEvidence = MergeEvidence { open: true, same_customer: true, same_service: true };

fn desk() -> Actor {
    a(Role::Desk)
}

#[test]
fn an_end_recalls_orders_cancels_clocks_and_keeps_receipts_owed_with_theirs() {
    let mut handed_over = intake(Kind::Complaint, march(2, 9, 0));
    handed_over.requests = vec![outside("12315-1", None)];
    let office = Office::opened(handed_over).pass(Stage::Investigate).pass(Stage::Dispatch);
    let then = [
        "Recalled",
        "cancelled order",
        "Withdrawn",
        "cancelled ticket",
        "cancelled appealable",
        "cancelled contact",
        "cancelled answer",
        "cancelled stage reply",
    ];
    let office = check(&office, (desk(), withdraw()), Ok(&then));
    assert_eq!(office.t().receipts_owed(), [RequestNo(1)]);
    check(&office, (desk(), withdraw()), Err(Rejection::TicketEnded));
    let kind = ReceiptKind::Interim;
    let receipt = contact::Command::RecordReceipt {
        request: RequestNo(1),
        kind,
        content: s("-"),
        reference: "1".into(),
    };
    check(&office, (a(Role::Reporting), receipt.into()), Ok(&["ReceiptRecorded"]));
}

#[test]
fn only_the_customers_word_by_the_desk_withdraws() {
    let office = Office::at_stage(Kind::Complaint, Stage::Reply);
    let whose = "the desk, on the customer's word".into();
    check(&office, (of("line-crew"), withdraw()), Err(Rejection::NotYours { whose }));
}

#[test]
fn a_case_that_is_not_ours_is_rejected_with_consent_before_the_first_reply() {
    let office = Office::at_stage(Kind::Complaint, Stage::Reply);
    check(&office, (desk(), reject()), Err(Rejection::ConsentMissing));
    let office = check(&office, (a(Role::Supervisor), consent()), Ok(&["RejectionConsented"]));
    check(&office, (a(Role::Supervisor), consent()), Ok(&[]));
    // Whoever took the case in does not consent to be rid of it.
    let taker = Actor { role: Role::Supervisor, ..desk() };
    check(&Office::new(Kind::Complaint), (taker, consent()), Err(Rejection::OwnWork));
    let rejected = office.clone().then(desk(), reject());
    assert_eq!(rejected.t().ended.as_ref().unwrap().how, End::Rejected);
    let replied = office.pass(Stage::Reply);
    check(&replied, (desk(), reject()), Err(Rejection::AlreadyReplied));
    check(&replied, (a(Role::Supervisor), consent()), Err(Rejection::AlreadyReplied));
    // Reopened, it needs a new consent.
    let again = rejected.then(desk(), reopen(ReopenCause::CustomerReturned));
    check(&again, (desk(), reject()), Err(Rejection::ConsentMissing));
}

#[test]
fn a_ticket_is_merged_into_an_open_one_of_the_same_customer_and_service_for_good() {
    let office = Office::new(Kind::Fault);
    for evidence in [
        MergeEvidence { open: false, ..SAME },
        MergeEvidence { same_customer: false, ..SAME },
        MergeEvidence { same_service: false, ..SAME },
    ] {
        check(&office, (desk(), merge(evidence)), Err(Rejection::CannotMerge));
    }
    let itself = Do::Merge { into: office.t().id(), evidence: SAME };
    check(&office, (desk(), itself.into()), Err(Rejection::CannotMerge));
    let office = office.then(desk(), merge(SAME));
    check(&office, (desk(), reopen(ReopenCause::CustomerReturned)), Err(Rejection::MergedForGood));
    assert!(office.t().receipts_owed().is_empty(), "the other ticket owes them");
}

#[test]
fn a_customer_who_comes_back_within_thirty_days_gets_a_new_round_with_new_clocks() {
    let office = Office::closed(Kind::Fault);
    check(
        &Office::new(Kind::Fault),
        (desk(), reopen(ReopenCause::CustomerReturned)),
        Err(Rejection::TicketOpen),
    );
    let ended = office.t().ended.as_ref().unwrap().at;
    let last = ended.saturating_add(jiff::SignedDuration::from_hours(30 * 24)).unwrap();
    let late = office.clone().until(last).wait_minutes(1);
    check(&late, (desk(), reopen(ReopenCause::CustomerReturned)), Err(Rejection::ReopenTooLate));
    let then = [
        "Reopened",
        "started ticket",
        "started appealable",
        "started repair",
        "RoundOpened",
        "started stage investigate",
    ];
    let certificate = office.t().certificate;
    let office = check(&office.until(last), (desk(), reopen(ReopenCause::CustomerReturned)), Ok(&then));
    assert_eq!((office.t().round.number, office.t().certificate), (2, certificate));
    assert_eq!(office.t().fault.missing().len(), 2, "a fault that came back is proved repaired again");
    let office = Stage::ALL.into_iter().fold(office, Office::pass);
    let Some((
        _,
        duban_aggregates::ticket::Event::Chain(duban_aggregates::ticket::chain::Event::Closed {
            certificate: new,
        }),
    )) = office.history.iter().rev().find(|(meta, _)| Some(meta.id) == office.t().certificate)
    else {
        panic!("no certificate")
    };
    assert_eq!(new.supersedes, certificate, "superseded, never erased");
    let held = office.t().custody.seconds(office.at);
    assert!(held.values().sum::<i64>() < 86_400, "nobody has it between an end and a reopening");
}

#[test]
fn a_ticket_that_ended_while_investigated_is_investigated_anew() {
    let office = Office::new(Kind::Complaint).then(desk(), withdraw());
    let then = [
        "Reopened",
        "started ticket",
        "started appealable",
        "started contact",
        "started answer",
        "RoundOpened",
        "started stage investigate",
    ];
    check(&office, (a(Role::Rule), reopen(ReopenCause::DrawFailed)), Ok(&then));
    let whose = "the daily draw, whose call-back failed".into();
    check(&office, (desk(), reopen(ReopenCause::DrawFailed)), Err(Rejection::NotYours { whose }));
}

#[test]
fn what_was_up_before_the_customer_came_back_proves_no_repair() {
    let office = Office::closed(Kind::Fault).wait_minutes(60);
    let before = office.at;
    let office = office.wait_minutes(60).then(desk(), reopen(ReopenCause::CustomerReturned));
    let at = |fact, occurred_at| -> Command {
        let evidence = Some(s("当时的记录"));
        fault::Command::RecordFact { fact, occurred_at: Some(occurred_at), evidence }.into()
    };
    let sound = || fault::Fact::LineTested { passed: true, reference: "112-9".into(), result: s("正常") };
    let up = || (of("line-crew"), at(fault::Fact::ServiceUp, before));
    let both = [Missing::ServiceUp, Missing::PassingTest];
    // Both are recorded, and the repair's clock goes on.
    let office = check(&office, up(), Ok(&["FactRecorded"]));
    let office = check(&office, (of("line-crew"), at(sound(), before)), Ok(&["FactRecorded"]));
    assert_eq!(office.t().fault.missing(), both);
    let now = office.at;
    let office = office.then(of("line-crew"), at(sound(), now));
    let office =
        check(&office, (of("line-crew"), fact(fault::Fact::ServiceUp)), Ok(&["FactRecorded", "met repair"]));
    assert!(office.t().fault.missing().is_empty());
    // An older test that is recorded later does not take the new one's place.
    let office = check(&office, (of("line-crew"), at(sound(), before)), Ok(&["FactRecorded"]));
    assert!(office.t().fault.missing().is_empty());
    // Corrected to a moment before the reopening, a proof is none.
    let corrects = office.history.iter().rev().map(|(meta, event)| (meta.id, event)).find(|(_, event)| {
        matches!(event, Event::Fault(fault::Event::FactRecorded { fact: fault::Fact::ServiceUp, .. }))
    });
    let correct = intake::Command::CorrectFact {
        corrects: corrects.unwrap().0,
        fact: intake::Fact::Fault(fault::Fact::ServiceUp),
        occurred_at: Some(before),
        reason: s("记错"),
    };
    let office = office.then(of("line-crew"), correct.into());
    assert_eq!(office.t().fault.missing(), [Missing::ServiceUp]);
}

#[test]
fn a_supervisor_reopens_on_an_auditors_finding_and_only_on_that() {
    let office = Office::closed(Kind::Fault);
    let supervisor = || a(Role::Supervisor);
    check(&office, (supervisor(), reopen(ReopenCause::AuditFinding)), Err(Rejection::NoFinding));
    let office =
        office.then(a(Role::Auditor), intake::Command::FileFinding { finding: s("录音不符") }.into());
    let not_yours = Rejection::NotYours { whose: "a supervisor".into() };
    check(&office, (desk(), reopen(ReopenCause::AuditFinding)), Err(not_yours));
    let customer = reopen(ReopenCause::CustomerReturned);
    assert!(office.try_it(&supervisor(), customer).is_err());
    let office = office.until(march(30, 9, 0)).wait_minutes(60 * 24 * 30);
    let then =
        ["Reopened", "started ticket", "started appealable", "RoundOpened", "started stage investigate"];
    let office = check(&office, (supervisor(), reopen(ReopenCause::AuditFinding)), Ok(&then));
    assert_eq!(office.t().finding, None, "it is answered");
    assert!(office.t().fault.missing().is_empty(), "the finding is about our work, not the line");
}
