//! The chain over real connections: a server in this process, the departments as callers.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use duban_aggregates::words::Role;
use duban_proto::api::v1 as api;
use duban_proto::event::v1 as ev;
use support::{World, attachment, id, intake, known_cause, lead};
use tonic::Code;
use tonic_types::StatusExt;

/// Walks a ticket from intake to feedback recorded as satisfied.
async fn until_satisfied(world: &World, kind: ev::TicketKind, base: u128, phone: &str) -> String {
    let taken = world.desk().take_in(intake(kind, base, phone)).await.unwrap().into_inner();
    let ticket_id = taken.ticket_id;
    let ticket = || ticket_id.clone();
    api::investigation_service_client::InvestigationServiceClient::new(world.department(Role::Investigation))
        .investigate(api::InvestigateRequest {
            ticket_id: ticket(),
            command_id: id(base + 1),
            cause: Some(known_cause()),
            facts: "现场确认".to_owned(),
            ..Default::default()
        })
        .await
        .unwrap();
    api::dispatch_service_client::DispatchServiceClient::new(world.department(Role::Dispatch))
        .dispatch(api::DispatchRequest {
            ticket_id: ticket(),
            command_id: id(base + 2),
            orders: vec![lead("line-crew")],
            ..Default::default()
        })
        .await
        .unwrap();
    let crew = world.person(Role::Unit, "line-crew", 1);
    let mut units = api::reply_service_client::ReplyServiceClient::new(crew.clone());
    let accept =
        api::AcceptRequest { ticket_id: ticket(), command_id: id(base + 3), order: 1, ..Default::default() };
    units.accept(accept).await.unwrap();
    if kind == ev::TicketKind::Fault {
        let mut facts = api::fault_service_client::FaultServiceClient::new(crew);
        facts
            .record_line_test(api::RecordLineTestRequest {
                ticket_id: ticket(),
                command_id: id(base + 4),
                passed: true,
                reference: "T-1".to_owned(),
                result: "同步正常".to_owned(),
                ..Default::default()
            })
            .await
            .unwrap();
        let up = api::RecordServiceUpRequest {
            ticket_id: ticket(),
            command_id: id(base + 5),
            ..Default::default()
        };
        facts.record_service_up(up).await.unwrap();
    }
    units
        .reply(api::ReplyRequest {
            ticket_id: ticket(),
            command_id: id(base + 6),
            order: 1,
            resolution: "已修复".to_owned(),
            done_by: vec!["crew-7".to_owned()],
            not_provided: None,
            ..Default::default()
        })
        .await
        .unwrap();
    api::feedback_service_client::FeedbackServiceClient::new(world.department(Role::Desk))
        .record_feedback(api::RecordFeedbackRequest {
            ticket_id: ticket(),
            command_id: id(base + 7),
            answer: ev::Answer::Satisfied.into(),
            words: "满意".to_owned(),
            ..Default::default()
        })
        .await
        .unwrap();
    ticket_id
}

/// The files below a directory that hold these bytes.
fn files_with(dir: &std::path::Path, bytes: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if std::fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes) {
            found.push(path);
        }
    }
    found
}

async fn close(world: &World, ticket: &str, command: u128) -> Result<api::CommandResponse, tonic::Status> {
    let request =
        api::CloseRequest { ticket_id: ticket.to_owned(), command_id: id(command), ..Default::default() };
    let mut assessment =
        api::assessment_service_client::AssessmentServiceClient::new(world.department(Role::Assessment));
    assessment.close(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complaint_goes_from_intake_to_a_certificate_and_is_the_same_after_a_restart() {
    let world = World::start().await;
    let ticket_id = until_satisfied(&world, ev::TicketKind::Complaint, 100, "13900001234").await;
    let ticket = || ticket_id.clone();

    let early = close(&world, &ticket_id, 150).await.unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition);
    let info = early.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["stage_now"].as_str()), ("OUT_OF_TURN", "inspect"));
    assert_eq!(info.metadata["stage_needed"], "close");
    assert!(!info.metadata["missing"].is_empty());

    api::reply_service_client::ReplyServiceClient::new(world.person(Role::Unit, "line-crew", 1))
        .declare_no_measure_needed(api::DeclareNoMeasureNeededRequest {
            ticket_id: ticket(),
            command_id: id(110),
            reason: "单次外力".to_owned(),
            ..Default::default()
        })
        .await
        .unwrap();
    let judged =
        |gate: ev::Gate| api::Judgement { gate: gate.into(), passed: true, evidence: "已核".to_owned() };
    api::inspection_service_client::InspectionServiceClient::new(world.department(Role::Inspection))
        .inspect(api::InspectRequest {
            ticket_id: ticket(),
            command_id: id(111),
            judgements: vec![
                judged(ev::Gate::CauseKnown),
                judged(ev::Gate::ProblemSolved),
                judged(ev::Gate::ServiceImproved),
            ],
            ..Default::default()
        })
        .await
        .unwrap();
    api::report_service_client::ReportServiceClient::new(world.department(Role::Reporting))
        .report(api::ReportRequest {
            ticket_id: ticket(),
            command_id: id(112),
            level: "city".to_owned(),
            summary: "已办结".to_owned(),
            reference: "R-1".to_owned(),
            ..Default::default()
        })
        .await
        .unwrap();
    let finding = api::finding::Finding::NotAtFault(api::NotAtFault { reason: "按时".to_owned() });
    api::assessment_service_client::AssessmentServiceClient::new(world.department(Role::Assessment))
        .assess(api::AssessRequest {
            ticket_id: ticket(),
            command_id: id(113),
            verdicts: vec![api::NewVerdict {
                unit: "line-crew".to_owned(),
                finding: Some(api::Finding { finding: Some(finding) }),
            }],
            ..Default::default()
        })
        .await
        .unwrap();
    let closed = close(&world, &ticket_id, 114).await.unwrap();
    assert_eq!(
        close(&world, &ticket_id, 114).await.unwrap(),
        closed,
        "a repeat answers what the first answered"
    );

    let before = world.ticket(&ticket_id).await;
    let certificate = before.certificate.clone().unwrap();
    assert_eq!(certificate.gates.len(), 5);
    assert!(before.gates.iter().all(|gate| gate.holds));
    assert_eq!(before.description.as_deref(), Some("宽带不通，客服态度差"));
    assert_eq!(before.orders[0].task.as_deref(), Some("查修"));
    world.server.settled().await;
    assert!(world.server.views().tickets.counts().unwrap().add_up());

    let world = world.restart().await;
    for secret in ["13900001234", "欧阳测试", "建设路", "现场确认"] {
        assert_eq!(
            files_with(world.data.path(), secret.as_bytes()),
            Vec::<std::path::PathBuf>::new(),
            "{secret}"
        );
    }
    assert_eq!(world.ticket(&ticket_id).await, before);
    assert_eq!(close(&world, &ticket_id, 114).await.unwrap(), closed, "also after a restart");
    world.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn routine_faults_are_inspected_reported_and_assessed_by_the_standing_rule_and_customers_know_their_tickets()
 {
    let world = World::start().await;
    let ticket = until_satisfied(&world, ev::TicketKind::Fault, 200, "13900002234").await;
    world.server.settled().await;
    let state = world.ticket(&ticket).await;
    let summary = state.summary.clone().unwrap();
    assert_eq!(summary.stage(), ev::Stage::Close);
    assert_eq!(state.verdicts.len(), 1);
    assert!(state.verdicts[0].reason.as_deref().unwrap().contains("standing-1"));
    close(&world, &ticket, 250).await.unwrap();
    world.server.settled().await;

    let customer_id = state.customer.unwrap().customer_id;
    let mut customers =
        api::customer_service_client::CustomerServiceClient::new(world.department(Role::Desk));
    let get = api::GetCustomerRequest { customer_id: customer_id.clone(), ..Default::default() };
    let customer = customers.get_customer(get.clone()).await.unwrap().into_inner();
    assert_eq!((customer.open_tickets.len(), customer.ended_tickets), (0, vec![ticket.clone()]));

    // Nothing is owed any more: the key goes, and the texts with it.
    let mut supervisors =
        api::customer_service_client::CustomerServiceClient::new(world.department(Role::Supervisor));
    let erase = api::EraseCustomerRequest {
        customer_id,
        command_id: id(251),
        reason: "本人书面申请".to_owned(),
        ..Default::default()
    };
    supervisors.erase_customer(erase).await.unwrap();
    assert!(customers.get_customer(get.clone()).await.unwrap().into_inner().erased);
    let erased = world.ticket(&ticket).await;
    assert_eq!((erased.description, erased.customer.unwrap().name), (None, None));
    assert!(erased.certificate.is_some());
    // What brings no text is judged by the rules as ever; what brings one nobody could ever read.
    let recording = api::AttachRequest {
        ticket_id: ticket.clone(),
        command_id: id(252),
        attachment: Some(attachment("录音-事后")),
        ..Default::default()
    };
    let refused = world.desk().attach(recording).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "TICKET_ENDED");
    let call = api::ContactCustomerRequest {
        ticket_id: ticket.clone(),
        command_id: id(253),
        reason: ev::ContactReason::Question.into(),
        said: "还有问题".to_owned(),
        ..Default::default()
    };
    let refused = world.desk().contact_customer(call).await.unwrap_err();
    let reason = refused.get_details_error_info().unwrap().reason;
    assert_eq!((refused.code(), reason.as_str()), (Code::FailedPrecondition, "CUSTOMER_ERASED"));
    // Whoever calls with that phone now is somebody new.
    world.clock.advance(std::time::Duration::from_secs(60));
    let again =
        world.desk().take_in(intake(ev::TicketKind::Fault, 260, "13900002234")).await.unwrap().into_inner();
    let stranger = world.ticket(&again.ticket_id).await.customer.unwrap();
    assert_ne!(stranger.customer_id, get.customer_id);
    assert_eq!(stranger.name.as_deref(), Some("欧阳测试"));
    world.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_call_about_the_same_is_sent_to_the_open_ticket_also_at_the_same_moment() {
    let world = World::start().await;
    let (mut first, mut second) = (world.desk(), world.desk());
    let (one, two) = tokio::join!(
        first.take_in(intake(ev::TicketKind::Complaint, 300, "0371-6666 1234")),
        second.take_in(intake(ev::TicketKind::Complaint, 301, "+86 371 66661234")),
    );
    let (taken, refused) = match (one, two) {
        (Ok(taken), Err(refused)) | (Err(refused), Ok(taken)) => (taken.into_inner(), refused),
        other => panic!("one of them is taken in: {other:?}"),
    };
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), &info.metadata["ticket_id"]), ("OPEN_TICKET_EXISTS", &taken.ticket_id));

    let desk = &mut world.desk();
    desk.withdraw(api::WithdrawRequest {
        ticket_id: taken.ticket_id.clone(),
        command_id: id(310),
        recording: Some(attachment("call-1")),
        reason: "客户撤诉".to_owned(),
        ..Default::default()
    })
    .await
    .unwrap();
    let again = desk.take_in(intake(ev::TicketKind::Complaint, 311, "037166661234")).await.unwrap_err();
    assert_eq!(again.get_details_error_info().unwrap().reason, "REOPEN_INSTEAD");
    world.clock.advance(std::time::Duration::from_hours(31 * 24));
    desk.take_in(intake(ev::TicketKind::Complaint, 312, "037166661234")).await.unwrap();
    world.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_tickets_hand_over_and_problems_serve_their_tickets() {
    let world = World::start().await;
    let desk = &mut world.desk();
    let mut request = intake(ev::TicketKind::Complaint, 400, "13900004444");
    request.requests = vec![api::OutsideRequestInput {
        body: ev::Channel::Consumer12315.into(),
        number: "12315-0042".to_owned(),
        ..Default::default()
    }];
    let from = desk.take_in(request).await.unwrap().into_inner().ticket_id;
    let mut other = intake(ev::TicketKind::Complaint, 401, "13900004444");
    other.category = "complaint.repair_delay".to_owned();
    let into = desk.take_in(other).await.unwrap().into_inner().ticket_id;

    let merge = |command: u128, into: &str| api::MergeRequest {
        ticket_id: from.clone(),
        command_id: id(command),
        into: into.to_owned(),
        ..Default::default()
    };
    let itself = desk.merge(merge(402, &from)).await.unwrap_err();
    assert_eq!(itself.get_details_error_info().unwrap().reason, "CANNOT_MERGE");
    desk.merge(merge(403, &into)).await.unwrap();
    world.server.settled().await;
    let target = world.ticket(&into).await;
    assert_eq!(target.merged_from, std::slice::from_ref(&from));
    assert_eq!(target.requests[0].request.as_ref().unwrap().number, "12315-0042");
    assert!(target.requests[0].owed);
    assert_eq!(world.ticket(&from).await.merged_into.as_deref(), Some(into.as_str()));

    let mut problems =
        api::problem_service_client::ProblemServiceClient::new(world.department(Role::Supervisor));
    let opened = problems
        .open_problem(api::OpenProblemRequest {
            command_id: id(410),
            title: "机房电源老化".to_owned(),
            category: "complaint.repair_delay".to_owned(),
            owner: "line-crew".to_owned(),
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner();
    let problem = opened.problem_id;
    let join = |command: u128, problem: &str| api::JoinProblemRequest {
        ticket_id: into.clone(),
        command_id: id(command),
        problem: problem.to_owned(),
        ..Default::default()
    };
    assert_eq!(desk.join_problem(join(411, &id(999))).await.unwrap_err().code(), Code::InvalidArgument);
    desk.join_problem(join(412, &problem)).await.unwrap();
    world.server.settled().await;
    problems
        .plan_problem_action(api::PlanProblemActionRequest {
            problem_id: problem.clone(),
            command_id: id(413),
            action: "更换电源".to_owned(),
            owner: "line-crew".to_owned(),
            due_on: "2026-04-01".to_owned(),
            ..Default::default()
        })
        .await
        .unwrap();
    problems
        .carry_out_problem_action(api::CarryOutProblemActionRequest {
            problem_id: problem.clone(),
            command_id: id(414),
            evidence: "验收单 42".to_owned(),
            ..Default::default()
        })
        .await
        .unwrap();
    world.server.settled().await;
    assert!(world.types(&into).await.contains(&"gate.measure_served.v1".to_owned()));

    let reacted = world.types(&into).await;
    let world = world.restart().await;
    std::fs::remove_dir_all(world.data.path().join("views")).unwrap();
    let world = world.restart().await;
    world.server.settled().await;
    assert_eq!(world.types(&into).await, reacted, "reacting to everything again changes nothing");
    world.server.stop().await.unwrap();
}
