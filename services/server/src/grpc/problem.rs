//! Problems: the common cause behind several customers' tickets.

use duban_aggregates::ids::{EventId, ProblemId, UnitId};
use duban_aggregates::problem::{Command, Problem};
use duban_codec::Wire;
use duban_engine::runner::RunError;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::problem_service_server::ProblemService;
use tonic::{Request, Response, Status};

use super::command::{Answered, Api, Asks, uuid};
use super::error::{not_yours, refused};
use super::read::{events, read, take, unit};
use crate::access::{Grant, Scope};

type Answer = Answered<api::ProblemCommandResponse>;

impl Api {
    async fn on_problem<R: Asks>(
        &self,
        request: Request<R>,
        or_derived: bool,
        make: impl Fn(Option<&Problem>, &super::command::Asked<R>) -> Result<Command, RunError> + Send + Sync,
    ) -> Answer {
        let (problem_id, answer) = self.on_stream(request, or_derived, make).await?;
        let (revision, position) = (answer.revision, answer.position.to_string());
        Ok(Response::new(api::ProblemCommandResponse { problem_id, revision, position }))
    }
}

/// A unit's member acts on its own unit's corrective action.
fn own(grant: &Grant, owner: Option<&UnitId>) -> Result<(), RunError> {
    match (grant.scope, owner) {
        (Scope::OwnUnit, Some(owner)) if *owner != grant.actor.unit => Err(not_yours(owner.as_str())),
        _ => Ok(()),
    }
}

#[tonic::async_trait]
impl ProblemService for Api {
    async fn open_problem(&self, request: Request<api::OpenProblemRequest>) -> Answer {
        self.on_problem(request, true, |_, asked| {
            let body = &asked.body;
            let (title, category) = (body.title.clone(), body.category.clone());
            let owner = unit("owner", &body.owner)?;
            Ok(Command::Open { problem: ProblemId(asked.id), title, category, owner })
        })
        .await
    }

    async fn find_problem_cause(&self, request: Request<api::FindProblemCauseRequest>) -> Answer {
        self.on_problem(request, false, |_, asked| Ok(Command::FindCause { cause: asked.body.cause.clone() }))
            .await
    }

    async fn plan_problem_action(&self, request: Request<api::PlanProblemActionRequest>) -> Answer {
        self.on_problem(request, false, |_, asked| {
            read! {
                owner: unit("owner", &asked.body.owner);
                due_on: take("due_on", asked.body.due_on.clone());
            }
            own(&asked.grant, Some(&owner))?;
            Ok(Command::PlanAction { action: asked.body.action.clone(), owner, due_on })
        })
        .await
    }

    async fn carry_out_problem_action(&self, request: Request<api::CarryOutProblemActionRequest>) -> Answer {
        self.on_problem(request, false, |problem: Option<&Problem>, asked| {
            let action = problem.and_then(|problem| problem.action.as_ref());
            own(&asked.grant, action.map(|action| &action.owner))?;
            Ok(Command::CarryOutAction { evidence: asked.body.evidence.clone() })
        })
        .await
    }

    async fn record_problem_failure(&self, request: Request<api::RecordProblemFailureRequest>) -> Answer {
        self.on_problem(request, false, |_, asked| {
            let because: Vec<EventId> = events("because", &asked.body.because)?;
            Ok(Command::RecordFailure { finding: asked.body.finding.clone(), because })
        })
        .await
    }

    async fn close_problem(&self, request: Request<api::CloseProblemRequest>) -> Answer {
        self.on_problem(request, false, |_, _| Ok(Command::Close)).await
    }

    async fn get_problem(
        &self,
        request: Request<api::GetProblemRequest>,
    ) -> Result<Response<api::GetProblemResponse>, Status> {
        let asked = request.into_inner();
        let id = uuid("problem_id", &asked.problem_id).map_err(refused)?;
        self.wait_for(&asked.min_position).await?;
        let seen =
            self.runner.view(id, |problem: Option<&Problem>| problem.map(view)).await.map_err(refused)?;
        seen.map(Response::new)
            .ok_or_else(|| super::error::unknown("PROBLEM_UNKNOWN", "there is no such problem"))
    }
}

fn view(problem: &Problem) -> api::GetProblemResponse {
    let action = problem.action.as_ref();
    api::GetProblemResponse {
        problem_id: problem.id.to_string(),
        revision: problem.revision,
        title: problem.title.clone(),
        category: problem.category.clone(),
        owner: problem.owner.to_string(),
        cause: problem.cause.clone(),
        action: action.map(|action| action.action.clone()),
        action_owner: action.map(|action| action.owner.to_string()),
        action_due_on: action.map(|action| action.due_on.put()),
        action_carried_out: problem.carried_out().is_some(),
        closed: problem.closed,
        tickets: problem.tickets.iter().map(ToString::to_string).collect(),
    }
}
