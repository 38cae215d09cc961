//! The departments as callers: one identity each, every command with an id of its own.
//!
//! `drive`, `demo` and the tests act through this, over gRPC, as the departments' own systems would.

use std::collections::BTreeMap;
use std::path::Path;

use duban_aggregates::actor::Role;
use duban_aggregates::policy::Policy;
use duban_proto::api::v1 as api;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use uuid::Uuid;

/// What may go wrong between a department and the server.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address is none.
    #[error("{url} is no server address: use one like http://127.0.0.1:7110")]
    Address {
        /// As given.
        url: String,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// Nobody answers there.
    #[error("no server answers at {url}: start one with `duban serve`, or name another with --server")]
    Connect {
        /// As given.
        url: String,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// The token file cannot be read.
    #[error("the token file {path} cannot be read")]
    TokenFile {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A line of the token file is no token.
    #[error("line {line} of the token file is not `ROLE UNIT TOKEN`")]
    TokenLine {
        /// Its number, from 1.
        line: usize,
    },
    /// No token for this identity.
    #[error("there is no token for {role} of {unit}: add one to the token file")]
    NoToken {
        /// The role.
        role: String,
        /// The unit.
        unit: String,
    },
    /// The server refused.
    #[error("{}: {}", .0.code(), .0.message())]
    Refused(Box<Status>),
    /// The ticket cannot be walked on.
    #[error("ticket {ticket} does not go on from {stage}: {missing}")]
    Stuck {
        /// The ticket.
        ticket: String,
        /// Its stage.
        stage: String,
        /// What is missing.
        missing: String,
    },
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// Puts a token on every request.
#[derive(Clone, Debug)]
pub struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    /// A token as its owner sends it.
    ///
    /// # Errors
    /// The token holds what a header cannot.
    pub fn new(token: &str) -> Result<Self, tonic::metadata::errors::InvalidMetadataValue> {
        format!("Bearer {token}").parse().map(Self)
    }
}

impl Bearer {
    /// Puts the token on a request.
    pub(crate) fn sign<T>(self, request: &mut Request<T>) {
        request.metadata_mut().insert("authorization", self.0);
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A channel with an identity.
pub type Authed = InterceptedService<Channel, Bearer>;

/// Tokens by role and unit.
#[derive(Clone, Debug, Default)]
pub struct Tokens(BTreeMap<(String, String), Bearer>);

impl Tokens {
    /// Adds a token.
    ///
    /// # Errors
    /// The token holds what a header cannot.
    pub fn add(
        &mut self,
        role: &str,
        unit: &str,
        token: &str,
    ) -> Result<(), tonic::metadata::errors::InvalidMetadataValue> {
        self.0.insert((role.to_owned(), unit.to_owned()), Bearer::new(token)?);
        Ok(())
    }

    /// Reads a file with one `ROLE UNIT TOKEN` a line, as `duban serve --dev --tokens FILE` writes it.
    ///
    /// # Errors
    /// [`CallError::TokenFile`] and [`CallError::TokenLine`].
    pub fn read(path: &Path) -> Result<Self, CallError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| CallError::TokenFile { path: path.display().to_string(), source })?;
        let mut tokens = Self::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let mut words = line.split_whitespace();
            let (Some(role), Some(unit), Some(token), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(CallError::TokenLine { line: index + 1 });
            };
            tokens.add(role, unit, token).map_err(|_| CallError::TokenLine { line: index + 1 })?;
        }
        Ok(tokens)
    }

    /// The first unit, by name, for which there is a token of this role.
    pub(crate) fn first_unit(&self, role: &str) -> Result<String, CallError> {
        let found = self.0.keys().find(|(known, _)| known == role).map(|(_, unit)| unit.clone());
        found.ok_or_else(|| CallError::NoToken { role: role.to_owned(), unit: "any unit".to_owned() })
    }

    fn get(&self, role: &str, unit: &str) -> Result<Bearer, CallError> {
        let found = self.0.get(&(role.to_owned(), unit.to_owned()));
        found.cloned().ok_or_else(|| CallError::NoToken { role: role.to_owned(), unit: unit.to_owned() })
    }
}

/// Everybody who may act or look: one identity a role, members and supervisors one a unit of the register.
#[must_use]
pub fn everybody() -> Vec<(Role, String)> {
    const DEPARTMENTS: [(Role, &str); 10] = [
        (Role::Desk, "desk"),
        (Role::Investigation, "investigation"),
        (Role::Dispatch, "dispatch"),
        (Role::Inspection, "inspection"),
        (Role::Reporting, "reporting"),
        (Role::Assessment, "assessment"),
        (Role::Auditor, "audit"),
        (Role::Monitor, "monitoring"),
        (Role::Observer, "public"),
        (Role::Administrator, "administration"),
    ];
    let policy = Policy::cn_national();
    let units: Vec<_> = policy.units().map(|unit| unit.id.to_string()).collect();
    let of_units = |role| units.iter().map(move |unit| (role, unit.clone()));
    let departments = DEPARTMENTS.into_iter().map(|(role, unit)| (role, unit.to_owned()));
    departments.chain(of_units(Role::Unit)).chain(of_units(Role::Supervisor)).collect()
}

/// A connection that notices when the other side is gone.
fn endpoint(url: &str) -> Result<Endpoint, CallError> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|source| CallError::Address { url: url.to_owned(), source })?;
    Ok(endpoint
        .http2_keep_alive_interval(std::time::Duration::from_secs(10))
        .keep_alive_timeout(std::time::Duration::from_secs(10)))
}

/// All departments, each at its own desk.
#[derive(Clone, Debug)]
pub struct Office {
    channel: Channel,
    tokens: Tokens,
}

macro_rules! desks {
    ($($(#[$doc:meta])* $name:ident: $module:ident :: $client:ident, $role:literal, $unit:literal;)*) => {
        impl Office {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`CallError::NoToken`].
            pub fn $name(&self) -> Result<api::$module::$client<Authed>, CallError> {
                Ok(api::$module::$client::new(self.authed($role, $unit)?))
            }
        )*}
    };
}

desks! {
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

impl Office {
    /// Connects to a server.
    ///
    /// # Errors
    /// [`CallError::Address`] and [`CallError::Connect`].
    pub async fn connect(url: &str, tokens: Tokens) -> Result<Self, CallError> {
        let endpoint = endpoint(url)?.timeout(std::time::Duration::from_secs(30));
        Self::over(endpoint, url, tokens).await
    }

    /// Connects to a server for streams, which have no end and so no deadline.
    ///
    /// # Errors
    /// [`CallError::Address`] and [`CallError::Connect`].
    pub async fn connect_for_streams(url: &str, tokens: Tokens) -> Result<Self, CallError> {
        Self::over(endpoint(url)?, url, tokens).await
    }

    async fn over(endpoint: Endpoint, url: &str, tokens: Tokens) -> Result<Self, CallError> {
        let channel =
            endpoint.connect().await.map_err(|source| CallError::Connect { url: url.to_owned(), source })?;
        Ok(Self { channel, tokens })
    }

    /// A channel with the identity of a role in a unit.
    ///
    /// # Errors
    /// [`CallError::NoToken`].
    pub fn authed(&self, role: &str, unit: &str) -> Result<Authed, CallError> {
        Ok(InterceptedService::new(self.channel.clone(), self.tokens.get(role, unit)?))
    }

    /// A member of a responsible unit.
    ///
    /// # Errors
    /// [`CallError::NoToken`].
    pub fn unit(
        &self,
        unit: &str,
    ) -> Result<api::reply_service_client::ReplyServiceClient<Authed>, CallError> {
        let authed = self.authed("unit", unit)?;
        Ok(api::reply_service_client::ReplyServiceClient::new(authed))
    }

    /// A member of a responsible unit, recording a fault's facts.
    ///
    /// # Errors
    /// [`CallError::NoToken`].
    pub fn fault(
        &self,
        unit: &str,
    ) -> Result<api::fault_service_client::FaultServiceClient<Authed>, CallError> {
        Ok(api::fault_service_client::FaultServiceClient::new(self.authed("unit", unit)?))
    }

    /// A member of a responsible unit, recording an install's milestones and appointments.
    ///
    /// # Errors
    /// [`CallError::NoToken`].
    pub fn install(
        &self,
        unit: &str,
    ) -> Result<api::install_service_client::InstallServiceClient<Authed>, CallError> {
        Ok(api::install_service_client::InstallServiceClient::new(self.authed("unit", unit)?))
    }

    /// Whoever answers for a unit's verdict: its members, or a department's own people.
    ///
    /// # Errors
    /// [`CallError::NoToken`].
    pub fn answerable(
        &self,
        unit: &str,
    ) -> Result<api::reply_service_client::ReplyServiceClient<Authed>, CallError> {
        let authed = self.authed("unit", unit).or_else(|_| self.authed(unit, unit))?;
        Ok(api::reply_service_client::ReplyServiceClient::new(authed))
    }

    /// A unit's supervisor.
    ///
    /// # Errors
    /// [`CallError::NoToken`].
    pub fn supervisor(
        &self,
        unit: &str,
    ) -> Result<api::supervision_service_client::SupervisionServiceClient<Authed>, CallError> {
        let authed = self.authed("supervisor", unit)?;
        Ok(api::supervision_service_client::SupervisionServiceClient::new(authed))
    }

    /// A ticket as it stands.
    ///
    /// # Errors
    /// [`CallError::Refused`].
    pub async fn ticket(&self, ticket: &str, min_position: &str) -> Result<api::Ticket, CallError> {
        let request = api::GetTicketRequest {
            ticket_id: ticket.to_owned(),
            min_position: min_position.to_owned(),
            ..Default::default()
        };
        let answer = self.history()?.get_ticket(request).await?.into_inner();
        Ok(answer.ticket.unwrap_or_default())
    }
}

/// A command id that is the same whenever the same step is taken from the same revision, so that a repeat adds nothing.
#[must_use]
pub fn step_id(ticket: &str, revision: u64, step: &str) -> String {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"duban.departments");
    Uuid::new_v5(&namespace, format!("{ticket}/{revision}/{step}").as_bytes()).to_string()
}
