//! TokenHolder may call what, asked over real connections: every method by every role, no token, somebody else's token.

use std::collections::{BTreeMap, BTreeSet};

use duban_client::Refusal;
use duban_client::TokenHolder;
use duban_proto::event::v1::{Stage, TicketKind};
use duban_tests::commands as c;
use duban_tests::inside::{Inside, ROLES};
use duban_tests::refusal::refused;
use duban_tests::script::Case;
use duban_tests::wire::PACKAGE;
use tonic::Code;

/// What domain.md sections 3 and 5 say, method by method. Whoever is not named may not.
const MAY: &str = "
BoardService GetWorklist: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
BoardService GetCustodyBoard: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
BoardService GetCustomerHistory: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
BoardService GetChainBoard: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
BoardService GetReconciliation: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
BoardService ListProjections: supervisor auditor monitor administrator
StreamService Subscribe: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
DeskService TakeIn: desk
DeskService AddOutsideRequest: desk
DeskService Attach: desk investigation dispatch unit inspection reporting assessment supervisor
DeskService ChangeFirstOwner: desk supervisor
DeskService CorrectFact: desk investigation dispatch unit supervisor
DeskService ContactCustomer: desk investigation dispatch unit
DeskService NotifyDelay: desk dispatch unit
DeskService RecordReceipt: desk reporting
DeskService DispatchUrgent: desk
DeskService Pause: desk dispatch
DeskService Resume: desk dispatch
DeskService Withdraw: desk
DeskService Reject: desk
DeskService Merge: desk
DeskService Reopen: desk supervisor
DeskService OpenNextRound: desk
DeskService JoinProblem: desk investigation dispatch supervisor
DeskService LinkNotice: desk investigation dispatch
InvestigationService Investigate: investigation
DispatchService Dispatch: dispatch
DispatchService AddAssist: dispatch
DispatchService GrantReturn: dispatch supervisor
DispatchService RefuseReturn: dispatch supervisor
DispatchService Release: dispatch
DispatchService Recall: dispatch
DispatchService GrantExtension: dispatch
DispatchService RefuseExtension: dispatch
ReplyService Accept: unit
ReplyService Reply: unit
ReplyService RequestReturn: unit
ReplyService AskExtension: unit
ReplyService WaitForAssist: unit
ReplyService PlanMeasure: dispatch unit supervisor
ReplyService CarryOutMeasure: dispatch unit supervisor
ReplyService DeclareNoMeasureNeeded: dispatch unit supervisor
ReplyService AcceptVerdict: desk investigation dispatch unit inspection reporting assessment supervisor
ReplyService AppealVerdict: desk investigation dispatch unit inspection reporting assessment supervisor
FeedbackService RecordFeedback: desk
FeedbackService AttemptContact: desk
FeedbackService SendReplyBack: desk
InspectionService Inspect: inspection
InspectionService FailMeasure: inspection supervisor
ReportService Report: reporting
AssessmentService Assess: assessment
AssessmentService RequestFacts: assessment
AssessmentService Close: assessment
AssessmentService DecideAppeal: assessment
AssessmentService CarryOutPenalty: assessment
AssessmentService ReverseVerdict: assessment
AssessmentService AccrueDue: assessment
AssessmentService ApproveDue: assessment
AssessmentService SettleDue: assessment
AssessmentService CancelDue: assessment supervisor
FaultService RecordLineTest: desk investigation dispatch unit
FaultService RecordRepair: investigation dispatch unit
FaultService RecordServiceUp: desk investigation dispatch unit
FaultService JudgeTerminal: desk investigation dispatch unit
FaultService RecordArrearsPaid: desk dispatch
InstallService ReachMilestone: desk investigation dispatch unit
InstallService MakeAppointment: desk investigation dispatch unit
InstallService RescheduleAppointment: desk investigation dispatch unit
InstallService EndAppointment: desk investigation dispatch unit
SupervisionService Urge: supervisor
SupervisionService ProposeEscalation: supervisor
SupervisionService IssueEscalation: supervisor
SupervisionService DeclineEscalation: supervisor
SupervisionService SignOffUnreachable: supervisor
SupervisionService SignOffDeclined: supervisor
SupervisionService SignOffNobodyToAsk: supervisor
SupervisionService ConsentToNotProvided: supervisor
SupervisionService StrikeDoneBy: supervisor
SupervisionService ConcludeFeedback: supervisor
SupervisionService ConsentToRejection: supervisor
SupervisionService Waive: supervisor
SupervisionService DecideThirdReturn: supervisor
AuditService FileFinding: auditor
AuditService GetConformance: supervisor auditor monitor
AuditService ListDeviations: supervisor auditor monitor
ProblemService OpenProblem: desk investigation dispatch inspection supervisor
ProblemService FindProblemCause: investigation supervisor
ProblemService PlanProblemAction: investigation dispatch unit supervisor
ProblemService CarryOutProblemAction: dispatch unit supervisor
ProblemService RecordProblemFailure: inspection supervisor
ProblemService CloseProblem: inspection supervisor
ProblemService GetProblem: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
NoticeService PublishNotice: dispatch unit
NoticeService ExtendNotice: dispatch unit
NoticeService EndNotice: dispatch unit
NoticeService WithdrawNotice: dispatch unit
EmergencyService DeclareEmergency: supervisor administrator
EmergencyService EndEmergency: supervisor administrator
EmergencyService GetEmergency: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor administrator
EmergencyService ListEmergencies: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor administrator
PolicyService ListPolicies: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor administrator
PolicyService GetPolicy: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor administrator
NoticeService GetNotice: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
CustomerService RegisterCustomer: desk
CustomerService ChangeTier: desk supervisor
CustomerService EraseCustomer: supervisor
CustomerService GetCustomer: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
HistoryService GetTicket: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
HistoryService ListEvents: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
HistoryService DiffTicket: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
HistoryService ExplainClock: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
HistoryService ExplainVerdict: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
HistoryService ListTickets: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
HistoryService GetHead: desk investigation dispatch unit inspection reporting assessment supervisor auditor monitor
";

fn may() -> BTreeMap<String, BTreeSet<&'static str>> {
    let lines = MAY.lines().filter(|line| !line.is_empty());
    let row = |line: &'static str| {
        let (method, roles) = line.split_once(": ").expect("a line reads `Service Method: roles`");
        (method.replace(' ', "/"), roles.split(' ').collect())
    };
    lines.map(row).collect()
}

/// Every method that the contract has.
fn methods() -> BTreeSet<String> {
    let ours = duban_codec::descriptors().services().filter(|service| service.package_name() == PACKAGE);
    ours.flat_map(|service| {
        let name = service.name().to_owned();
        service.methods().map(move |method| format!("{name}/{}", method.name())).collect::<Vec<_>>()
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_lets_in_the_roles_that_the_domain_names_and_no_other() {
    let may = may();
    let named: BTreeSet<String> = may.keys().cloned().collect();
    assert_eq!(named, methods(), "the table here and the contract name the same methods");
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let size = inside.size().await;
    for (method, roles) in &may {
        for (role, unit) in ROLES {
            // An empty request is never carried out: whoever is let in is told that an id is missing.
            let token = inside.token(&TokenHolder::new(role, unit));
            let answer = wire.call(method, Some(token), Vec::new()).await;
            let what = format!("{method} by {role}");
            if roles.contains(role) {
                if let Err(status) = answer {
                    assert_eq!(status.code(), Code::InvalidArgument, "{what}: {:?}", Refusal::from(&status));
                }
            } else {
                let refusal = refused(answer, &what);
                assert_eq!(refusal.code, Code::PermissionDenied, "{what}: {refusal:?}");
                assert_eq!(refusal.reason, "ROLE_NOT_ALLOWED", "{what}: {refusal:?}");
                assert_eq!(refusal.metadata("role"), *role, "{what}: {refusal:?}");
            }
        }
    }
    assert_eq!(inside.size().await, size, "nothing was written");
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_without_a_token_that_proves_somebody() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let desk = inside.token(&TokenHolder::new("desk", "desk")).to_owned();
    let (head, signature) = desk.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{head}.{first}{}", &signature[1..]);
    let strangers = Inside::start().await;
    let foreign = strangers.token(&TokenHolder::new("desk", "desk")).to_owned();
    let bad = [
        (None, "TOKEN_MISSING"),
        (Some(String::new()), "TOKEN_MALFORMED"),
        (Some("not-a-token".to_owned()), "TOKEN_MALFORMED"),
        (Some(forged), "TOKEN_SIGNATURE"),
        (Some(foreign), "TOKEN_SIGNATURE"),
        (Some(inside.reserved("timer")), "ROLE_RESERVED"),
        (Some(inside.reserved("rule")), "ROLE_RESERVED"),
    ];
    for method in methods() {
        for (token, reason) in &bad {
            let answer = wire.call(&method, token.as_deref(), Vec::new()).await;
            let refusal = refused(answer, &method);
            assert_eq!(refusal.code, Code::Unauthenticated, "{method} with {token:?}: {refusal:?}");
            assert_eq!(refusal.reason, *reason, "{method} with {token:?}: {refusal:?}");
        }
    }
    strangers.stop().await;
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_touches_its_own_orders_and_verdicts_only() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let wrong = TokenHolder::unit("transmission");
    let mut case = Case::new("own-unit", TicketKind::Fault);
    case.bring_to(&wire, Stage::Reply).await;
    let before = case.state(&wire).await.unwrap();
    for make in [
        c::accept,
        c::reply,
        c::request_return,
        c::ask_extension,
        c::wait_for_assist,
        c::line_test,
        c::service_up,
    ] {
        let mut sent = make(&mut case);
        sent.who = wrong.clone();
        let refusal = refused(wire.send(&sent).await, sent.method);
        assert_eq!(refusal.code, Code::PermissionDenied, "{}: {refusal:?}", sent.method);
        assert_eq!(refusal.reason, "NOT_YOURS", "{}: {refusal:?}", sent.method);
    }
    assert_eq!(case.state(&wire).await.unwrap(), before, "nothing changed");

    // Dispatch and the desk are no responsible unit either.
    for role in ["desk", "dispatch", "supervisor"] {
        let mut sent = c::accept(&mut case);
        sent.who = inside.who(role);
        let refusal = refused(wire.send(&sent).await, sent.method);
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::PermissionDenied, "ROLE_NOT_ALLOWED"));
    }

    let mut case = Case::new("own-verdict", TicketKind::Complaint);
    case.bring_to(&wire, Stage::Close).await;
    let mut sent = c::accept_verdict(&mut case);
    for who in [wrong, inside.who("desk"), inside.who("assessment")] {
        sent.who = who;
        let refusal = refused(wire.send(&sent).await, sent.method);
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::PermissionDenied, "NOT_YOURS"),
            "{refusal:?}"
        );
    }
    case.done(&wire, c::accept_verdict).await;
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_actor_of_an_event_is_who_the_token_proves() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("actor", TicketKind::Complaint);
    case.close(&wire).await;
    let events = duban_tests::histories::events(&wire, &case.ticket, &case.position()).await.unwrap();
    for (sent, answer) in &case.done {
        let event = events
            .iter()
            .filter_map(|shown| shown.event.as_ref())
            .find(|event| event.revision == answer.revision);
        let metadata =
            event.and_then(|event| event.metadata.clone()).expect("an answer names a revision that is there");
        assert_eq!(metadata.unit, sent.who.unit, "{}", sent.method);
        let role = metadata.role().as_str_name().trim_start_matches("ROLE_").to_lowercase();
        assert_eq!(role, sent.who.role, "{}", sent.method);
    }
    inside.stop().await;
}
