//! Ends keep what is due: receipts with their clocks, verdicts, appeals and penalties.

use jiff::SignedDuration;
use uuid::Uuid;

use duban_aggregates::actor::Actor;
use duban_aggregates::ids::{RequestNo, TicketId, VerdictNo};
use duban_aggregates::rejection::{Missing, Rejection};
use duban_aggregates::ticket::chain::{Command as Do, MergeEvidence};
use duban_aggregates::ticket::intake::{OutsideRequest, TakenOver};
use duban_aggregates::ticket::verdict::Command as Verdict;
use duban_aggregates::ticket::{Command, clock, contact, intake as around};
use duban_aggregates::words::{ClockKind, Kind, PauseCode, ReceiptKind, ReopenCause, Role, Stage};
use duban_sample_tickets::scripted::*;

fn desk() -> Actor {
    a(Role::Desk)
}

const ONE: VerdictNo = VerdictNo(1);

fn withdraw() -> Command {
    Do::Withdraw { recording: rec(), reason: s("用户撤诉") }.into()
}

fn receipt(kind: ReceiptKind) -> (Actor, Command) {
    let (request, content, reference) = (RequestNo(1), s("办理结果"), "hz-1".into());
    (a(Role::Reporting), contact::Command::RecordReceipt { request, kind, content, reference }.into())
}

fn handed_over(kind: Kind, due: Option<jiff::Timestamp>) -> Office {
    let mut new = intake(kind, march(2, 9, 0));
    new.requests = vec![outside("12345-1", due)];
    Office::opened(new)
}

#[test]
fn a_case_that_was_rejected_or_withdrawn_gives_its_receipts_and_owes_them_no_more() {
    let rejected = handed_over(Kind::Complaint, None)
        .then(a(Role::Supervisor), Do::ConsentToRejection { reason: s("非本企业业务") }.into())
        .then(
            desk(),
            Do::Reject { referred_to: s("95598"), reason: s("非本企业业务"), recording: rec() }.into(),
        );
    let withdrawn = handed_over(Kind::Fault, None).then(desk(), withdraw());
    for office in [rejected, withdrawn] {
        assert_eq!(office.t().receipts_owed(), [RequestNo(1)]);
        let office = check(&office, receipt(ReceiptKind::Final), Ok(&["ReceiptRecorded", "met outside"]));
        assert!(office.t().receipts_owed().is_empty());
        check(&office, receipt(ReceiptKind::Final), Ok(&[]));
        // A reopening owes a supplementary one, and another end leaves it owed and payable.
        let again = Do::Reopen { because: ReopenCause::CustomerReturned, reason: s("又来") };
        let office = office.then(desk(), again.into());
        check(&office, receipt(ReceiptKind::Supplementary), Err(Rejection::NoReplyYet));
        let office = office.then(desk(), withdraw());
        let then = ["ReceiptRecorded", "met outside"];
        let office = check(&office, receipt(ReceiptKind::Supplementary), Ok(&then));
        assert!(office.t().receipts_owed().is_empty());
    }
}

#[test]
fn an_outside_bodys_clock_runs_on_after_an_end_warns_breaches_and_climbs_its_ladder() {
    let due = march(5, 9, 0);
    let office = handed_over(Kind::Complaint, Some(due)).then(desk(), withdraw());
    assert!(!office.names().contains(&"cancelled outside".to_owned()));
    let office = check(
        &office.until(march(5, 10, 0)),
        tick(),
        Ok(&["warned outside", "escalated outside urge", "breached outside"]),
    );
    let office = check(&office.until(march(6, 10, 0)), tick(), Ok(&["escalated outside notice"]));
    // A supervisor may answer the ladder's proposals also when the ticket is over.
    let office = check(&office.until(march(13, 10, 0)), tick(), Ok(&["EscalationProposed"]));
    let office = check(&office, receipt(ReceiptKind::Final), Ok(&["ReceiptRecorded"]));
    assert_eq!(
        clock::next_step(office.t(), &office.policy, &office.calendar),
        None,
        "nothing happens any more"
    );
}

#[test]
fn a_body_that_asks_after_the_report_is_answered_before_closing() {
    let office = Office::at_stage(Kind::Complaint, Stage::Close);
    let ask = around::Command::AddOutsideRequest {
        body: duban_aggregates::words::Channel::Mayor12345,
        number: "12345-9".into(),
        handed_over_at: None,
        due: None,
    };
    let office = office.then(desk(), ask.into());
    let missing = vec![Missing::Receipt(RequestNo(1))];
    check(&office, (a(Role::Assessment), Do::Close.into()), Err(Rejection::ReceiptsOwed { missing }));
    let (by, command) = receipt(ReceiptKind::Final);
    office.then(by, command).pass(Stage::Close);
}

#[test]
fn a_withdrawal_at_assess_leaves_the_verdict_to_be_given_and_to_run_to_its_end() {
    let office = Office::at_stage(Kind::Complaint, Stage::Assess).then(desk(), withdraw());
    let office = office.then(a(Role::Assessment), assess(&[("line-crew", at_fault(2, 5_000))]));
    check(&office, (a(Role::Assessment), assess(&[])), Err(Rejection::TicketEnded));
    let appeal: Command = Verdict::Appeal { verdict: ONE, grounds: s("不服") }.into();
    let office = check(&office, (of("line-crew"), appeal), Ok(&["Appealed"]));
    let decide = Verdict::DecideAppeal { verdict: ONE, granted: false, reason: s("维持") };
    let then = ["AppealRefused", "BecameFinal"];
    let office = check(&office, (other(Role::Assessment), decide.into()), Ok(&then));
    let pay = Verdict::CarryOutPenalty { verdict: ONE, payroll_reference: "gz-1".into() };
    check(&office, (a(Role::Assessment), pay.into()), Ok(&["PenaltyCarriedOut"]));
    // Before assess there is none to give.
    let early = Office::at_stage(Kind::Complaint, Stage::Report).then(desk(), withdraw());
    check(&early, (a(Role::Assessment), assess(&[])), Err(Rejection::TicketEnded));
}

const SAME: MergeEvidence = MergeEvidence { open: true, same_customer: true, same_service: true };

#[test]
fn verdicts_run_to_their_own_end_after_every_end() {
    let judged = || {
        let again = Do::Reopen { because: ReopenCause::CustomerReturned, reason: s("又来") };
        Office::at_stage(Kind::Complaint, Stage::Assess)
            .then(a(Role::Assessment), assess(&[("line-crew", at_fault(2, 0))]))
            .then(of("line-crew"), Verdict::Appeal { verdict: ONE, grounds: s("不服") }.into())
            .then(other(Role::Assessment), {
                Verdict::DecideAppeal { verdict: ONE, granted: false, reason: s("维持") }.into()
            })
            .pass(Stage::Close)
            .then(desk(), again.into())
    };
    let merged =
        judged().then(desk(), Do::Merge { into: TicketId(Uuid::from_u128(77)), evidence: SAME }.into());
    let withdrawn = judged().then(desk(), withdraw());
    for office in [merged, withdrawn] {
        let reverse = Verdict::Reverse { verdict: ONE, reason: s("更正") };
        let third = duban_sample_tickets::walker::actor(Role::Assessment, 3);
        check(&office, (third, reverse.into()), Ok(&["ErratumRecorded"]));
    }
    // One that nobody appealed becomes final by itself after the end.
    let office = Office::at_stage(Kind::Complaint, Stage::Assess)
        .then(a(Role::Assessment), assess(&[("line-crew", at_fault(2, 0))]))
        .then(desk(), withdraw());
    let then = ["BecameFinal", "PenaltyCarriedOut"];
    check(&office.until(march(11, 9, 0)), tick(), Ok(&then));
}

#[test]
fn a_merge_goes_on_to_where_its_target_was_merged_to() {
    let (here, there) = (TicketId(Uuid::from_u128(5)), TicketId(Uuid::from_u128(77)));
    let requests = vec![OutsideRequest { request: RequestNo(1), ..outside("12345-7", Some(march(9, 0, 0))) }];
    let deadlines = vec![TakenOver { clock: ClockKind::Ticket, due: march(4, 0, 0) }];
    let receive: Command = around::Command::ReceiveMerge { from: here, requests, deadlines }.into();
    let merge: Command = Do::Merge { into: there, evidence: SAME }.into();
    let office = Office::new(Kind::Complaint);
    // Merged on before it was asked to take over: the hand-over goes on.
    let merged = office.clone().then(desk(), merge.clone());
    check(&merged, (a(Role::Rule), receive.clone()), Err(Rejection::MergedOn { into: there }));
    // Taken over first, it is among what this one owed, and a repeat after the merge changes nothing.
    let taken = office.then(a(Role::Rule), receive.clone());
    assert_eq!(taken.t().receipts_owed(), [RequestNo(1)]);
    let merged = taken.then(desk(), merge);
    check(&merged, (a(Role::Rule), receive.clone()), Ok(&[]));
    // What ended otherwise in between takes the receipts over with their clocks, and no other deadline.
    let ended = Office::new(Kind::Complaint).then(desk(), withdraw());
    let ended = check(&ended, (a(Role::Rule), receive), Ok(&["MergeReceived", "started outside"]));
    check(&ended, receipt(ReceiptKind::Final), Ok(&["ReceiptRecorded", "met outside"]));
}

#[test]
fn a_paused_ticket_ends_with_nothing_standing_still() {
    let office = Office::at_stage(Kind::Fault, Stage::Reply);
    let code = PauseCode::Customer;
    let pause =
        clock::Command::Pause { code, evidence: s("用户外出"), attachment: None, resume_by: None };
    let office = office.then(desk(), pause.into()).then(desk(), withdraw());
    assert!(office.t().clocks.iter().all(|clock| !clock.is_live()));
    let later = office.at.saturating_add(SignedDuration::from_hours(24 * 40)).unwrap();
    check(&office.until(later), tick(), Ok(&[]));
}
