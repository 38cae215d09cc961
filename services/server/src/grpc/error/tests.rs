use std::sync::Arc;

use duban_aggregates::ids::{CustomerId, OrderNo, TicketId};
use duban_aggregates::rejection::{Missing, Problem};
use duban_log::Position;
use uuid::Uuid;

use super::*;

fn rejected_with(rejection: Rejection) -> RunError {
    RunError::Rejected { stage: Some(Stage::Reply), rejection: Box::new(rejection) }
}

#[test]
fn every_refusal_has_its_code_and_its_reason() {
    let customer = CustomerId(Uuid::from_u128(1));
    let io = || duban_log::Error::Closed;
    let table = [
        (RunError::from(Rejection::TicketUnknown), Code::NotFound, "TICKET_UNKNOWN"),
        (rejected_with(Rejection::UnknownOrder { order: OrderNo(3) }), Code::NotFound, "UNKNOWN_ORDER"),
        (rejected_with(Rejection::TicketEnded), Code::FailedPrecondition, "TICKET_ENDED"),
        (
            rejected_with(Rejection::NotYours { whose: "line-crew".into() }),
            Code::PermissionDenied,
            "NOT_YOURS",
        ),
        (rejected_with(Rejection::OwnWork), Code::PermissionDenied, "OWN_WORK"),
        (
            rejected_with(Rejection::Invalid { field: "facts", problem: Problem::Required }),
            Code::InvalidArgument,
            "INVALID_FIELD",
        ),
        (RunError::field("cause.kind", "is required"), Code::InvalidArgument, "INVALID_FIELD"),
        (RunError::CommandIdReused, Code::InvalidArgument, "INVALID_FIELD"),
        (RunError::Conflict { actual: Some(4) }, Code::Aborted, "STREAM_HAS_GONE_ON"),
        (RunError::Overloaded, Code::ResourceExhausted, "SERVER_BUSY"),
        (RunError::Full, Code::ResourceExhausted, "LOG_FULL"),
        (RunError::Unavailable(io()), Code::Unavailable, "LOG_UNAVAILABLE"),
        (RunError::Keys(KeysError::Erased(customer)), Code::FailedPrecondition, "CUSTOMER_ERASED"),
        (RunError::Keys(KeysError::Full), Code::ResourceExhausted, "KEYS_FULL"),
        (RunError::Keys(KeysError::Broken), Code::Unavailable, "KEYS_UNAVAILABLE"),
        (RunError::Keys(KeysError::Unknown(customer)), Code::Unavailable, "KEYS_UNAVAILABLE"),
        (RunError::Keys(KeysError::DamagedKey(customer)), Code::DataLoss, "KEY_UNREADABLE"),
        (
            RunError::Corrupt { stream: "fault-1".into(), reason: "unknown type".into() },
            Code::DataLoss,
            "HISTORY_UNREADABLE",
        ),
    ];
    for (error, code, reason) in table {
        let said = error.to_string();
        let status = refused(error);
        assert_eq!(status.code(), code, "{said}");
        let info = status.get_details_error_info().expect(&said);
        assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, ERROR_DOMAIN), "{said}");
        assert!(!status.message().is_empty());
        let retried = status.get_details_retry_info().is_some();
        assert_eq!(retried, matches!(code, Code::ResourceExhausted | Code::Unavailable), "{said}");
    }
}

#[test]
fn a_command_out_of_turn_says_where_the_ticket_is_where_it_must_be_and_what_is_missing() {
    let feedback = Missing::Completion(Stage::Feedback, Stage::Feedback.department());
    let missing = vec![Missing::AssistReply(OrderNo(2)), feedback];
    let out_of_turn = Rejection::OutOfTurn { now: Stage::Reply, needed: Stage::Inspect, missing };
    let status = refused(rejected_with(out_of_turn));
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["stage_now"], "reply");
    assert_eq!(info.metadata["stage_needed"], "inspect");
    assert_eq!(
        info.metadata["missing"],
        "the reply or release of assist order 2; feedback to be completed by desk"
    );
    let violations = status.get_details_precondition_failure().unwrap().violations;
    assert_eq!(violations.len(), 2);
    assert_eq!(violations[0].r#type, "OUT_OF_TURN");
    assert!(status.message().contains("it is at reply, and this needs inspect"), "{}", status.message());
}

#[test]
fn a_refusal_names_the_fields_and_the_ticket_to_go_to() {
    let fields = vec![
        FieldProblem { field: "orders[1].unit".into(), problem: "is required".into() },
        FieldProblem { field: "orders[1].task".into(), problem: "is required".into() },
    ];
    let status = refused(RunError::Fields { fields });
    let named: Vec<_> =
        status.get_details_bad_request().unwrap().field_violations.into_iter().map(|it| it.field).collect();
    assert_eq!(named, ["orders[1].unit", "orders[1].task"]);

    let ticket = TicketId(Uuid::from_u128(7));
    let status = refused(RunError::from(Rejection::OpenTicketExists { ticket }));
    assert_eq!(status.get_details_error_info().unwrap().metadata["ticket_id"], ticket.to_string());
}

#[test]
fn a_read_model_that_is_behind_is_tried_again_and_one_that_broke_is_not() {
    let behind = stopped(Stopped::Behind("tickets", Position::new(5)));
    assert_eq!(behind.code(), Code::Unavailable);
    assert!(behind.get_details_retry_info().is_some());
    let broken = stopped(Stopped::Log("tickets", Arc::new(duban_log::Error::Closed)));
    assert_eq!(broken.code(), Code::Unavailable);
}

#[test]
fn the_operators_causes_are_never_the_callers_to_read() {
    let reason = "payload of 13900001234 is odd".to_owned();
    let status = refused(RunError::Corrupt { stream: "fault-1".into(), reason });
    assert!(!status.message().contains("13900001234"));
    assert!(std::error::Error::source(&status).is_some());
}
