//! What the server measures by.

use duban_aggregates::edition::{self, Edition, Editions, InForce};
use duban_codec::Wire;
use duban_engine::runner::RunError;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::policy_service_server::PolicyService;
use tonic::{Request, Response, Status};

use super::command::Api;
use super::error::refused;

#[tonic::async_trait]
impl PolicyService for Api {
    async fn list_policies(
        &self,
        _: Request<api::ListPoliciesRequest>,
    ) -> Result<Response<api::ListPoliciesResponse>, Status> {
        let seen = self
            .runner
            .view(edition::ID, |editions: Option<&Editions>| editions.map(list))
            .await
            .map_err(refused)?;
        Ok(Response::new(seen.unwrap_or_default()))
    }

    async fn get_policy(
        &self,
        request: Request<api::GetPolicyRequest>,
    ) -> Result<Response<api::GetPolicyResponse>, Status> {
        let version = request.into_inner().version;
        if version.trim().is_empty() {
            return Err(refused(RunError::field("version", "is required")));
        }
        let of = |editions: Option<&Editions>| {
            let found = editions.and_then(|editions| editions.editions.get_key_value(&version));
            found.map(|(version, edition)| api::GetPolicyResponse {
                edition: Some(view((version, edition))),
                text: edition.text.to_string(),
            })
        };
        let seen = self.runner.view(edition::ID, of).await.map_err(refused)?;
        seen.map(Response::new)
            .ok_or_else(|| super::error::unknown("POLICY_UNKNOWN", "there is no policy of this version"))
    }
}

fn list(editions: &Editions) -> api::ListPoliciesResponse {
    let came = |came: &InForce| api::CameIntoForce { version: came.version.clone(), since: came.since.put() };
    api::ListPoliciesResponse {
        policies: editions.editions.iter().map(view).collect(),
        in_force: editions.policies.iter().map(came).collect(),
        calendars: editions.calendars.iter().map(came).collect(),
    }
}

fn view((version, edition): (&String, &Edition)) -> api::PolicyEdition {
    api::PolicyEdition {
        version: version.clone(),
        title: edition.title.clone(),
        emergency: edition.emergency,
    }
}
