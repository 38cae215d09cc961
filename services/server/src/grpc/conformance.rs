//! Conformance: the table of patterns, and the histories that deviate.

use duban_aggregates::words::Stage;
use duban_engine::runner::RunError;
use duban_engine::views::PATIENCE;
use duban_history::conformance::{deviating_history, patterns_answer};
use duban_projections::conformance::{How, Wanted};
use duban_proto::api::v1 as api;
use prost::Message;
use uuid::Uuid;

use super::command::Api;
use super::error::{refused, stopped};
use super::page::{At, digest, page_size, read_token, token};
use super::read::{Field, plain, position, read};
use tonic::Status;

/// Histories on a page where the caller says nothing, and at the most.
const HISTORIES_DEFAULT: u32 = 50;
const HISTORIES_MAX: u32 = 1_000;

/// The longest text in a filter.
const TEXT_BYTES_MAX: usize = 512;

impl Api {
    /// The table of patterns.
    pub(super) async fn patterns(
        &self,
        asked: &api::GetConformanceRequest,
    ) -> Result<api::GetConformanceResponse, Status> {
        let origin = text("origin", asked.origin.as_deref()).map_err(refused)?;
        self.checked(&asked.min_position).await?;
        let patterns = self.views.conformance.patterns(origin.as_deref()).map_err(stopped)?;
        Ok(patterns_answer(patterns))
    }

    /// A page of histories that deviate.
    pub(super) async fn deviations(
        &self,
        asked: &api::ListDeviationsRequest,
    ) -> Result<api::ListDeviationsResponse, Status> {
        let wanted = wanted(asked).map_err(refused)?;
        self.checked(&asked.min_position).await?;
        let query = api::ListDeviationsRequest {
            min_position: String::new(),
            page_size: 0,
            page_token: String::new(),
            ..asked.clone()
        };
        let query = digest(&query.encode_to_vec());
        let after: Option<Uuid> = match asked.page_token.as_str() {
            "" => None,
            page_token => Some(read_token(page_token, query).map_err(refused)?.id),
        };
        let limit = page_size(asked.page_size, HISTORIES_DEFAULT, HISTORIES_MAX);
        let (histories, next) = self.views.conformance.deviating(&wanted, after, limit).map_err(stopped)?;
        let next = next.map(|id| token(query, At { number: 0, id, part: 0 }));
        Ok(api::ListDeviationsResponse {
            histories: histories.iter().map(deviating_history).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    /// Waits until the read model has taken in what the caller has seen. Others need not wait for this one.
    async fn checked(&self, min_position: &str) -> Result<(), Status> {
        match position("min_position", min_position).map_err(refused)? {
            Some(position) => self.views.conformance.wait_for(position, PATIENCE).await.map_err(stopped),
            None => Ok(()),
        }
    }
}

fn text(name: &str, text: Option<&str>) -> Field<Option<String>> {
    text.map(|text| plain(name, text, TEXT_BYTES_MAX)).transpose()
}

fn wanted(asked: &api::ListDeviationsRequest) -> Field<Wanted> {
    read! {
        origin: text("origin", asked.origin.as_deref());
        pattern: text("pattern", asked.pattern.as_deref());
        how: asked.kind.map(how).transpose();
        stage: asked.stage.map(|stage| super::read::take::<Stage>("stage", stage)).transpose();
    }
    Ok(Wanted { origin, pattern, how, stage })
}

fn how(kind: i32) -> Field<How> {
    match api::DeviationKind::try_from(kind) {
        Ok(api::DeviationKind::Skipped) => Ok(How::Skipped),
        Ok(api::DeviationKind::OutOfOrder) => Ok(How::OutOfOrder),
        Ok(api::DeviationKind::Repeated) => Ok(How::Repeated),
        Ok(api::DeviationKind::OwnWork) => Ok(How::OwnWork),
        Ok(api::DeviationKind::Unspecified) => Err(RunError::field("kind", "is required where it is given")),
        Err(_) => Err(RunError::field("kind", format!("has the unknown value {kind}"))),
    }
}
