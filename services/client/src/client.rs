//! A server as the departments' own systems see it: one identity each.

use std::time::Duration;

use duban_proto::api::v1 as api;
use tonic::transport::Channel;

use crate::{AuthorizedChannel, ClientError, ConnectOptions, RetryPolicy, Tokens};

/// Rows or events a page.
const PAGE: u32 = 500;

/// A connection to a server, with the tokens that may be used on it.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    tokens: Tokens,
    deadline: Duration,
    retry: RetryPolicy,
}

macro_rules! departments {
    ($($(#[$doc:meta])* $name:ident: $module:ident :: $client:ident, $role:literal, $unit:literal;)*) => {
        impl Client {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`ClientError::NoToken`].
            pub fn $name(&self) -> Result<api::$module::$client<AuthorizedChannel>, ClientError> {
                Ok(api::$module::$client::new(self.channel($role, $unit)?))
            }
        )*}
    };
}

departments! {
    /// The desk.
    desk: desk_service_client::DeskServiceClient, "desk", "desk";
    /// The desk, giving feedback.
    feedback: feedback_service_client::FeedbackServiceClient, "desk", "desk";
    /// Investigation.
    investigation: investigation_service_client::InvestigationServiceClient, "investigation", "investigation";
    /// Dispatch.
    dispatch: dispatch_service_client::DispatchServiceClient, "dispatch", "dispatch";
    /// Inspection.
    inspection: inspection_service_client::InspectionServiceClient, "inspection", "inspection";
    /// Reporting.
    reporting: report_service_client::ReportServiceClient, "reporting", "reporting";
    /// Assessment.
    assessment: assessment_service_client::AssessmentServiceClient, "assessment", "assessment";
    /// An auditor, reading.
    history: history_service_client::HistoryServiceClient, "auditor", "audit";
    /// An auditor, looking for deviations.
    audit: audit_service_client::AuditServiceClient, "auditor", "audit";
    /// The desk, reading.
    desk_history: history_service_client::HistoryServiceClient, "desk", "desk";
    /// The desk, pausing and resuming; dispatch where the desk holds the ticket.
    dispatch_desk: desk_service_client::DeskServiceClient, "dispatch", "dispatch";
}

impl Client {
    /// Connects to a server.
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::Connect`], and what is wrong with the certificates.
    pub async fn connect(options: &ConnectOptions, tokens: Tokens) -> Result<Self, ClientError> {
        let (deadline, retry) = options.settings();
        Ok(Self { channel: options.channel().await?, tokens, deadline, retry })
    }

    /// The same connection, used by others.
    #[must_use]
    pub fn with_tokens(&self, tokens: Tokens) -> Self {
        Self { tokens, ..self.clone() }
    }

    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// A channel with the identity of a role in a unit, for any generated client.
    ///
    /// # Errors
    /// [`ClientError::NoToken`].
    pub fn channel(&self, role: &str, unit: &str) -> Result<AuthorizedChannel, ClientError> {
        let bearer = self.tokens.bearer(role, unit)?;
        Ok(AuthorizedChannel::new(self.channel.clone(), bearer, self.deadline, self.retry))
    }

    /// A member of a responsible unit.
    ///
    /// # Errors
    /// [`ClientError::NoToken`].
    pub fn unit(
        &self,
        unit: &str,
    ) -> Result<api::reply_service_client::ReplyServiceClient<AuthorizedChannel>, ClientError> {
        Ok(api::reply_service_client::ReplyServiceClient::new(self.channel("unit", unit)?))
    }

    /// A member of a responsible unit, recording a fault's facts.
    ///
    /// # Errors
    /// [`ClientError::NoToken`].
    pub fn fault(
        &self,
        unit: &str,
    ) -> Result<api::fault_service_client::FaultServiceClient<AuthorizedChannel>, ClientError> {
        Ok(api::fault_service_client::FaultServiceClient::new(self.channel("unit", unit)?))
    }

    /// A member of a responsible unit, recording an install's milestones and appointments.
    ///
    /// # Errors
    /// [`ClientError::NoToken`].
    pub fn install(
        &self,
        unit: &str,
    ) -> Result<api::install_service_client::InstallServiceClient<AuthorizedChannel>, ClientError> {
        Ok(api::install_service_client::InstallServiceClient::new(self.channel("unit", unit)?))
    }

    /// Whoever answers for a unit's verdict: its members, or a department's own people.
    ///
    /// # Errors
    /// [`ClientError::NoToken`].
    pub fn answerable(
        &self,
        unit: &str,
    ) -> Result<api::reply_service_client::ReplyServiceClient<AuthorizedChannel>, ClientError> {
        let channel = self.channel("unit", unit).or_else(|_| self.channel(unit, unit))?;
        Ok(api::reply_service_client::ReplyServiceClient::new(channel))
    }

    /// A unit's supervisor.
    ///
    /// # Errors
    /// [`ClientError::NoToken`].
    pub fn supervisor(
        &self,
        unit: &str,
    ) -> Result<api::supervision_service_client::SupervisionServiceClient<AuthorizedChannel>, ClientError>
    {
        let channel = self.channel("supervisor", unit)?;
        Ok(api::supervision_service_client::SupervisionServiceClient::new(channel))
    }

    /// A ticket as it stands, once everything up to `min_position` is in it.
    ///
    /// # Errors
    /// [`ClientError::Refused`].
    pub async fn ticket(&self, ticket: &str, min_position: &str) -> Result<api::Ticket, ClientError> {
        let request = api::GetTicketRequest {
            ticket_id: ticket.to_owned(),
            min_position: min_position.to_owned(),
            ..Default::default()
        };
        let answer = self.history()?.get_ticket(request).await?.into_inner();
        Ok(answer.ticket.unwrap_or_default())
    }

    /// All tickets that pass a filter, page by page.
    ///
    /// # Errors
    /// [`ClientError::Refused`].
    pub async fn tickets(&self, filter: api::TicketFilter) -> Result<Vec<api::TicketSummary>, ClientError> {
        let mut history = self.history()?;
        let mut rows = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = api::ListTicketsRequest {
                filter: Some(filter.clone()),
                page_size: PAGE,
                page_token,
                ..Default::default()
            };
            let page = history.list_tickets(request).await?.into_inner();
            rows.extend(page.tickets);
            if page.next_page_token.is_empty() {
                return Ok(rows);
            }
            page_token = page.next_page_token;
        }
    }

    /// All events of a ticket as an auditor reads them, page by page.
    ///
    /// # Errors
    /// [`ClientError::Refused`].
    pub async fn events(&self, ticket: &str) -> Result<Vec<api::HistoryEvent>, ClientError> {
        let mut history = self.history()?;
        let mut events = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = api::ListEventsRequest {
                ticket_id: ticket.to_owned(),
                page_size: PAGE,
                page_token,
                ..Default::default()
            };
            let page = history.list_events(request).await?.into_inner();
            events.extend(page.events);
            if page.next_page_token.is_empty() {
                return Ok(events);
            }
            page_token = page.next_page_token;
        }
    }
}
