//! Cut-over notices 割接通知.

use duban_aggregates::ids::NoticeId;
use duban_aggregates::notice::{Command, Notice, Status as Stands};
use duban_codec::Wire;
use duban_engine::runner::RunError;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::notice_service_server::NoticeService;
use tonic::{Request, Response, Status};

use super::command::{Answered, Api, Asked, Asks, uuid};
use super::error::{not_yours, refused};
use super::read::{read, required_moment, unit};
use crate::access::Scope;

type Answer = Answered<api::NoticeCommandResponse>;

impl Api {
    /// A unit's member publishes and changes its own unit's notices.
    async fn on_notice<R: Asks>(
        &self,
        request: Request<R>,
        or_derived: bool,
        make: impl Fn(&Asked<R>) -> Result<Command, RunError> + Send + Sync,
    ) -> Answer {
        let own = |notice: Option<&Notice>, asked: &Asked<R>| {
            let command = make(asked)?;
            let unit = match &command {
                Command::Publish { unit, .. } => Some(unit),
                _ => notice.map(|notice| &notice.unit),
            };
            match unit {
                Some(unit) if asked.grant.scope == Scope::OwnUnit && *unit != asked.grant.actor.unit => {
                    Err(not_yours(unit.as_str()))
                }
                _ => Ok(command),
            }
        };
        let (notice_id, answer) = self.on_stream(request, or_derived, own).await?;
        let (revision, position) = (answer.revision, answer.position.to_string());
        Ok(Response::new(api::NoticeCommandResponse { notice_id, revision, position }))
    }
}

#[tonic::async_trait]
impl NoticeService for Api {
    async fn publish_notice(&self, request: Request<api::PublishNoticeRequest>) -> Answer {
        self.on_notice(request, true, |asked| {
            let body = &asked.body;
            read! {
                unit: unit("unit", &body.unit);
                from: required_moment("from", body.from);
                until: required_moment("until", body.until);
            }
            let (area, work) = (body.area.clone(), body.work.clone());
            Ok(Command::Publish { notice: NoticeId(asked.id), unit, area, work, from, until })
        })
        .await
    }

    async fn extend_notice(&self, request: Request<api::ExtendNoticeRequest>) -> Answer {
        self.on_notice(request, false, |asked| {
            let until = required_moment("until", asked.body.until)?;
            Ok(Command::Extend { until, reason: asked.body.reason.clone() })
        })
        .await
    }

    async fn end_notice(&self, request: Request<api::EndNoticeRequest>) -> Answer {
        self.on_notice(request, false, |_| Ok(Command::End)).await
    }

    async fn withdraw_notice(&self, request: Request<api::WithdrawNoticeRequest>) -> Answer {
        self.on_notice(request, false, |asked| Ok(Command::Withdraw { reason: asked.body.reason.clone() }))
            .await
    }

    async fn get_notice(
        &self,
        request: Request<api::GetNoticeRequest>,
    ) -> Result<Response<api::GetNoticeResponse>, Status> {
        let asked = request.into_inner();
        let id = uuid("notice_id", &asked.notice_id).map_err(refused)?;
        self.wait_for(&asked.min_position).await?;
        let seen = self.runner.view(id, |notice: Option<&Notice>| notice.map(view)).await.map_err(refused)?;
        seen.map(Response::new)
            .ok_or_else(|| super::error::unknown("NOTICE_UNKNOWN", "there is no such notice"))
    }
}

fn view(notice: &Notice) -> api::GetNoticeResponse {
    api::GetNoticeResponse {
        notice_id: notice.id.to_string(),
        revision: notice.revision,
        unit: notice.unit.to_string(),
        area: notice.area.clone(),
        work: notice.work.clone(),
        from: notice.from.put(),
        until: notice.until.put(),
        ended: notice.status == Stands::Ended,
        withdrawn: notice.status == Stands::Withdrawn,
        faults: notice.faults.iter().map(ToString::to_string).collect(),
    }
}
