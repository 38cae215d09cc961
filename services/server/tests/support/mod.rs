//! A server in this process on a virtual clock, and callers with any identity.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::sync::Arc;

use duban_aggregates::actor::Actor;
use duban_aggregates::words::Role;
use duban_engine::time::VirtualClock;
use duban_proto::api::v1 as api;
use duban_proto::event::v1 as ev;
use duban_server::config::{Config, File, Flags};
use duban_server::serve::{Running, Server};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

pub const BEGIN: &str = "2026-03-02T01:00:00Z";

#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

pub type As = InterceptedService<Channel, Bearer>;

pub struct World {
    pub server: Running,
    pub clock: VirtualClock,
    pub channel: Channel,
    pub data: tempfile::TempDir,
}

pub fn config(data: &std::path::Path) -> Config {
    let flags = Flags {
        data: Some(data.to_owned()),
        listen: Some(([127, 0, 0, 1], 0).into()),
        dev: true,
        virtual_clock: true,
        ..Flags::default()
    };
    Config::resolve(File::default(), flags).unwrap()
}

impl World {
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), VirtualClock::new(BEGIN.parse().unwrap())).await
    }

    pub async fn start_in(data: tempfile::TempDir, clock: VirtualClock) -> Self {
        let server = Server::new(config(data.path()), Arc::new(clock.clone())).start().await.unwrap();
        let url = format!("http://{}", server.addr());
        let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        Self { server, clock, channel, data }
    }

    pub async fn restart(self) -> Self {
        let Self { server, clock, data, channel } = self;
        drop(channel);
        server.stop().await.unwrap();
        Self::start_in(data, clock).await
    }

    /// The person of a role in a unit; two of them are two people.
    pub fn person(&self, role: Role, unit: &str, number: u32) -> As {
        let id = format!("{role:?}-{unit}-{number}");
        let actor = Actor { id: id.as_str().into(), role, unit: unit.into() };
        let token = self.server.mint(&actor).unwrap();
        let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
        InterceptedService::new(self.channel.clone(), Bearer(value))
    }

    pub fn department(&self, role: Role) -> As {
        let unit = match role {
            Role::Desk => "desk",
            Role::Investigation => "investigation",
            Role::Dispatch => "dispatch",
            Role::Inspection => "inspection",
            Role::Reporting => "reporting",
            Role::Assessment => "assessment",
            Role::Auditor => "audit",
            Role::Monitor => "monitoring",
            _ => "line-crew",
        };
        self.person(role, unit, 1)
    }

    pub fn desk(&self) -> api::desk_service_client::DeskServiceClient<As> {
        api::desk_service_client::DeskServiceClient::new(self.department(Role::Desk))
    }

    pub fn history(&self, role: Role) -> api::history_service_client::HistoryServiceClient<As> {
        api::history_service_client::HistoryServiceClient::new(self.department(role))
    }

    pub async fn ticket(&self, ticket: &str) -> api::Ticket {
        let request = api::GetTicketRequest { ticket_id: ticket.to_owned(), ..Default::default() };
        self.history(Role::Auditor).get_ticket(request).await.unwrap().into_inner().ticket.unwrap()
    }

    /// The stored types of a ticket's events.
    pub async fn types(&self, ticket: &str) -> Vec<String> {
        let request =
            api::ListEventsRequest { ticket_id: ticket.to_owned(), page_size: 1000, ..Default::default() };
        let events = self.history(Role::Auditor).list_events(request).await.unwrap().into_inner().events;
        events.into_iter().filter_map(|event| event.event).map(|event| event.r#type).collect()
    }
}

/// A command's id, different for every number.
pub fn id(number: u128) -> String {
    uuid::Uuid::from_u128(0xd0ba_0000_0000_4000_8000_0000_0000_0000 + number).to_string()
}

pub fn attachment(name: &str) -> ev::Attachment {
    ev::Attachment { reference: name.to_owned(), sha256: vec![7; 32] }
}

pub fn intake(kind: ev::TicketKind, command: u128, phone: &str) -> api::TakeInRequest {
    let category = match kind {
        ev::TicketKind::Fault => "fault.broadband.down",
        _ => "complaint.service_quality.attitude",
    };
    api::TakeInRequest {
        command_id: id(command),
        kind: kind.into(),
        channel: ev::Channel::Hotline10000.into(),
        category: category.to_owned(),
        severity: ev::Severity::Major.into(),
        description: "宽带不通，客服态度差".to_owned(),
        customer: Some(api::CustomerInput {
            name: "欧阳测试".to_owned(),
            phone: phone.to_owned(),
            address: Some("建设路 1 号".to_owned()),
            tier: ev::Tier::Gold.into(),
            segment: ev::Segment::Public.into(),
            ..Default::default()
        }),
        service: Some(api::ServiceInput {
            number: phone.to_owned(),
            product: ev::Product::Broadband.into(),
            monthly_rent_fen: 9_900,
        }),
        area: Some(ev::Area {
            province: "henan".to_owned(),
            city: "zhengzhou".to_owned(),
            district: "jinshui".to_owned(),
            rural: true,
        }),
        ..Default::default()
    }
}

pub fn lead(unit: &str) -> api::NewOrder {
    api::NewOrder {
        part: ev::OrderPart::Lead.into(),
        unit: unit.to_owned(),
        task: "查修".to_owned(),
        ..Default::default()
    }
}

pub fn known_cause() -> api::Cause {
    api::Cause { kind: ev::CauseKind::Known.into(), text: Some("光缆被挖断".to_owned()) }
}
