//! Emergencies 应急.

use duban_aggregates::emergency::{Command, Emergency, Place};
use duban_aggregates::ids::EmergencyId;
use duban_codec::Wire;
use duban_engine::runner::RunError;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::emergency_service_server::EmergencyService;
use tonic::{Request, Response, Status};

use super::command::{Answered, Api, Asked, Asks, uuid};
use super::error::refused;
use super::read::take;

type Answer = Answered<api::EmergencyCommandResponse>;

impl Api {
    async fn on_emergency<R: Asks>(
        &self,
        request: Request<R>,
        or_derived: bool,
        make: impl Fn(&Asked<R>) -> Result<Command, RunError> + Send + Sync,
    ) -> Answer {
        let make = |_: Option<&Emergency>, asked: &Asked<R>| make(asked);
        let (emergency_id, answer) = self.on_stream(request, or_derived, make).await?;
        let (revision, position) = (answer.revision, answer.position.to_string());
        Ok(Response::new(api::EmergencyCommandResponse { emergency_id, revision, position }))
    }
}

#[tonic::async_trait]
impl EmergencyService for Api {
    async fn declare_emergency(&self, request: Request<api::DeclareEmergencyRequest>) -> Answer {
        self.on_emergency(request, true, |asked| {
            let body = &asked.body;
            let place: Option<Place> = take("place", body.place.clone())?;
            let (policy, reason) = (body.policy.clone(), body.reason.clone());
            let place = place.unwrap_or_default();
            Ok(Command::Declare { emergency: EmergencyId(asked.id), policy, place, reason })
        })
        .await
    }

    async fn end_emergency(&self, request: Request<api::EndEmergencyRequest>) -> Answer {
        self.on_emergency(request, false, |asked| Ok(Command::End { reason: asked.body.reason.clone() }))
            .await
    }

    async fn get_emergency(
        &self,
        request: Request<api::GetEmergencyRequest>,
    ) -> Result<Response<api::GetEmergencyResponse>, Status> {
        let asked = request.into_inner();
        let id = uuid("emergency_id", &asked.emergency_id).map_err(refused)?;
        self.wait_for(&asked.min_position).await?;
        let seen = self
            .runner
            .view(id, |emergency: Option<&Emergency>| emergency.map(view))
            .await
            .map_err(refused)?;
        seen.map(Response::new)
            .ok_or_else(|| super::error::unknown("EMERGENCY_UNKNOWN", "there is no such emergency"))
    }

    async fn list_emergencies(
        &self,
        _: Request<api::ListEmergenciesRequest>,
    ) -> Result<Response<api::ListEmergenciesResponse>, Status> {
        let emergencies = self.runner.emergencies().lasting().iter().map(view).collect();
        Ok(Response::new(api::ListEmergenciesResponse { emergencies }))
    }
}

fn view(emergency: &Emergency) -> api::GetEmergencyResponse {
    api::GetEmergencyResponse {
        emergency_id: emergency.id.to_string(),
        revision: emergency.revision,
        policy: emergency.policy.clone(),
        place: emergency.place.put(),
        reason: emergency.reason.clone(),
        since: emergency.since.put(),
        until: emergency.until.put(),
    }
}
