use std::convert::Infallible;
use std::time::Duration;

use duban_engine::time::{Clock, VirtualClock};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::identity::TokenIssuer;

const REPLY: &str = "/duban.api.v1.ReplyService/Reply";
const DISPATCH: &str = "/duban.api.v1.DispatchService/Dispatch";
const ROWS: &[Row] = &[
    Row::of(DISPATCH).any(&[Role::Dispatch]),
    Row::of(REPLY).any(&[Role::Supervisor]).own_unit(&[Role::Unit]),
    Row::of("/duban.api.v1.HistoryService/Nobody"),
];

fn table() -> AccessTable {
    AccessTable::new(ROWS.iter().chain(INFRASTRUCTURE)).unwrap()
}

#[test]
fn whatever_is_not_written_down_is_denied() {
    let table = table();
    for role in Role::ALL {
        let dispatch = if role == Role::Dispatch { Decision::Allowed(Scope::Any) } else { Decision::Denied };
        assert_eq!(table.decide(DISPATCH, role), dispatch);
        let reply = match role {
            Role::Supervisor => Decision::Allowed(Scope::Any),
            Role::Unit => Decision::Allowed(Scope::OwnUnit),
            _ => Decision::Denied,
        };
        assert_eq!(table.decide(REPLY, role), reply);
        assert_eq!(table.decide("/duban.api.v1.HistoryService/Nobody", role), Decision::Denied);
        assert_eq!(table.decide("/duban.api.v1.HistoryService/New", role), Decision::Unknown);
        assert_eq!(table.decide("/grpc.health.v1.Health/Check", role), Decision::Open);
    }
    assert_eq!(table.methods().len(), ROWS.len() + INFRASTRUCTURE.len());
}

#[test]
fn a_table_that_contradicts_itself_is_refused() {
    let twice = [Row::of(REPLY), Row::of(REPLY)];
    assert_eq!(AccessTable::new(&twice).unwrap_err(), TableError::Twice(REPLY));
    let both = [Row::of(REPLY).any(&[Role::Unit]).own_unit(&[Role::Unit])];
    assert_eq!(AccessTable::new(&both).unwrap_err(), TableError::Both(REPLY, Role::Unit));
    let short = [Row::of("Reply")];
    assert_eq!(AccessTable::new(&short).unwrap_err(), TableError::NotAPath("Reply"));
}

#[test]
fn own_unit_is_compared_only_for_those_bound_to_it() {
    let actor = Actor { id: "7".into(), role: Role::Unit, unit: "line-crew".into() };
    let grant = Grant { actor, scope: Scope::OwnUnit };
    grant.own(&"line-crew".into()).unwrap();
    let status = grant.own(&"planning".into()).unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.get_details_error_info().unwrap().reason, "NOT_YOUR_UNIT");
    Grant { scope: Scope::Any, ..grant }.own(&"planning".into()).unwrap();
}

/// Sends a request through the guard; the service behind it answers the actor it was given.
async fn send(
    path: &str,
    token: Option<&str>,
    issuer: &TokenIssuer,
    clock: &VirtualClock,
) -> (Option<Status>, Option<Grant>) {
    let verifier = Arc::new(issuer.verifier(Arc::new(clock.clone())));
    let service =
        GuardLayer::new(verifier, Arc::new(table())).layer(service_fn(|request: Request<()>| async move {
            assert_eq!(
                request.extensions().get::<Actor>().is_some(),
                request.extensions().get::<Grant>().is_some()
            );
            let mut response = Response::new(());
            if let Some(grant) = request.extensions().get::<Grant>() {
                response.extensions_mut().insert(grant.clone());
            }
            Ok::<_, Infallible>(response)
        }));
    let mut request = Request::builder().uri(format!("http://localhost{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    (Status::from_header_map(response.headers()), response.extensions().get::<Grant>().cloned())
}

#[tokio::test]
async fn every_method_meets_every_role_and_only_the_table_lets_in() {
    let (issuer, clock) =
        (TokenIssuer::throw_away().unwrap(), VirtualClock::new("2015-04-01T00:00:00Z".parse().unwrap()));
    let tokens = issuer.mint_all(&["line-crew".into()], clock.now(), Duration::from_secs(60)).unwrap();
    for method in table().methods() {
        for token in &tokens {
            let (status, grant) = send(method, Some(&token.text), &issuer, &clock).await;
            match table().decide(method, token.actor.role) {
                Decision::Open => assert!(status.is_none() && grant.is_none()),
                Decision::Allowed(scope) => {
                    assert!(status.is_none());
                    assert_eq!(grant, Some(Grant { actor: token.actor.clone(), scope }));
                }
                Decision::Denied => {
                    let status = status.unwrap();
                    assert_eq!(status.code(), Code::PermissionDenied);
                    let info = status.get_details_error_info().unwrap();
                    assert_eq!(info.reason, "ROLE_NOT_ALLOWED");
                    assert_eq!(info.domain, ERROR_DOMAIN);
                    assert_eq!(info.metadata["method"], method);
                    assert_eq!(info.metadata["role"], role_name(token.actor.role));
                }
                Decision::Unknown => panic!("{method} came from the table"),
            }
        }
    }
}

#[tokio::test]
async fn without_a_token_only_open_methods_answer() {
    let (issuer, clock) =
        (TokenIssuer::throw_away().unwrap(), VirtualClock::new("2015-04-01T00:00:00Z".parse().unwrap()));
    for method in table().methods() {
        let (status, _) = send(method, None, &issuer, &clock).await;
        match table().decide(method, Role::Desk) {
            Decision::Open => assert!(status.is_none()),
            _ => {
                let status = status.unwrap();
                assert_eq!(status.code(), Code::Unauthenticated);
                assert_eq!(status.get_details_error_info().unwrap().reason, "TOKEN_MISSING");
                assert!(status.message().contains("authorization: Bearer"));
            }
        }
    }
}

#[tokio::test]
async fn a_method_outside_the_table_is_not_reached() {
    let (issuer, clock) =
        (TokenIssuer::throw_away().unwrap(), VirtualClock::new("2015-04-01T00:00:00Z".parse().unwrap()));
    let (status, _) = send("/duban.api.v1.DeskService/New", None, &issuer, &clock).await;
    assert_eq!(status.unwrap().code(), Code::Unimplemented);
}
