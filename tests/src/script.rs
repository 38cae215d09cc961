//! One ticket's way, command by command, with everything kept that was sent and answered.

use duban_proto::api::v1::{self as api, CommandResponse};
use duban_proto::event::v1::{Milestone, Stage, TicketKind};
use prost::Message;
use tonic::Status;
use uuid::Uuid;

use crate::commands as c;
use crate::refusal::refused;
use crate::wire::{Sent, Wire};
use duban_client::Refusal;
use duban_client::TokenHolder;

/// Makes the next command of a ticket.
pub type Make = fn(&mut Case) -> Sent;

/// A ticket as a test walks it: ids that follow from its name, everything sent and answered.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the ids follow from.
    pub name: String,
    /// Complaint, fault or install.
    pub kind: TicketKind,
    /// The ticket.
    pub ticket: String,
    /// Every command that was carried out, and its answer.
    pub done: Vec<(Sent, CommandResponse)>,
    steps: u64,
}

impl Case {
    /// A ticket that is not taken in yet. Different names are different customers on different lines.
    #[must_use]
    pub fn new(name: &str, kind: TicketKind) -> Self {
        let ticket = id(name, "ticket");
        Self { name: name.to_owned(), kind, ticket, done: Vec::new(), steps: 0 }
    }

    /// An id that no other step has.
    pub fn next_id(&mut self) -> String {
        self.steps += 1;
        id(&self.name, &self.steps.to_string())
    }

    /// A number that follows from the name, with up to `digits` digits.
    #[must_use]
    pub fn number(&self, digits: u32) -> u64 {
        let bytes = *Uuid::new_v5(&Uuid::NAMESPACE_OID, self.name.as_bytes()).as_bytes();
        u64::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
            % 10_u64.pow(digits)
    }

    /// A command from its request.
    pub fn sent(
        &self,
        method: &'static str,
        who: TokenHolder,
        command: &str,
        request: &impl Message,
    ) -> Sent {
        let (ticket, command) = (self.ticket.clone(), command.to_owned());
        Sent { method, who, ticket, command, body: request.encode_to_vec() }
    }

    /// The unit that has this ticket's lead order.
    #[must_use]
    pub fn lead(&self) -> &'static str {
        if self.kind == TicketKind::Install { "install-crew" } else { "access-network" }
    }

    /// Sends a command that has to be carried out.
    pub async fn done(&mut self, wire: &Wire, make: Make) -> CommandResponse {
        let sent = make(self);
        match wire.send(&sent).await {
            Ok(answer) => {
                self.done.push((sent, answer.clone()));
                answer
            }
            Err(status) => {
                panic!("{} of {} was refused: {:?}", sent.method, self.name, Refusal::from(&status))
            }
        }
    }

    /// Sends a command that has to be refused.
    pub async fn refused(&mut self, wire: &Wire, make: Make) -> Refusal {
        let sent = make(self);
        refused(wire.send(&sent).await, sent.method)
    }

    /// Takes the ticket in and brings it to a stage.
    pub async fn bring_to(&mut self, wire: &Wire, stage: Stage) {
        self.done(wire, c::take_in).await;
        for (at, commands) in way(self.kind) {
            if at == stage {
                return;
            }
            for make in commands {
                self.done(wire, make).await;
            }
        }
    }

    /// Takes the ticket in and brings it to its certificate.
    pub async fn close(&mut self, wire: &Wire) -> CommandResponse {
        self.bring_to(wire, Stage::Close).await;
        self.done(wire, c::accept_verdict).await;
        self.done(wire, c::close).await
    }

    /// The last position that was answered.
    #[must_use]
    pub fn position(&self) -> String {
        self.done.last().map_or_else(String::new, |(_, answer)| answer.position.clone())
    }

    /// The ticket as the desk sees it.
    ///
    /// # Errors
    /// The server's status.
    pub async fn state(&self, wire: &Wire) -> Result<api::Ticket, Status> {
        let request = api::GetTicketRequest {
            ticket_id: self.ticket.clone(),
            min_position: self.position(),
            ..Default::default()
        };
        let answer: api::GetTicketResponse =
            wire.ask("HistoryService/GetTicket", &TokenHolder::new("desk", "desk"), &request).await?;
        Ok(answer.ticket.unwrap_or_default())
    }

    /// The revision of its last event.
    ///
    /// # Errors
    /// The server's status.
    pub async fn revision(&self, wire: &Wire) -> Result<u64, Status> {
        Ok(self.state(wire).await?.summary.unwrap_or_default().revision)
    }
}

/// An id that follows from a name and a word.
#[must_use]
pub fn id(name: &str, what: &str) -> String {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"duban.tests");
    Uuid::new_v5(&namespace, format!("{name}/{what}").as_bytes()).to_string()
}

/// Every stage in order, with the commands that complete it.
///
/// A fault's or install's lead order is asked back once, in vain: that keeps the ticket from being routine, and the
/// standing rule from doing inspection's, reporting's and assessment's work before they do.
#[must_use]
pub fn way(kind: TicketKind) -> Vec<(Stage, Vec<Make>)> {
    let milestones: [Make; 5] = [
        |case| c::milestone(case, Milestone::Accepted),
        |case| c::milestone(case, Milestone::Surveyed),
        |case| c::milestone(case, Milestone::ResourcesAssigned),
        |case| c::milestone(case, Milestone::Visited),
        |case| c::milestone(case, Milestone::Activated),
    ];
    let (mut investigate, mut reply): (Vec<Make>, Vec<Make>) = (Vec::new(), vec![c::accept]);
    if kind != TicketKind::Complaint {
        reply.splice(..0, [c::request_return as Make, c::refuse_return]);
    }
    match kind {
        TicketKind::Install => {
            investigate.extend(&milestones[..3]);
            reply.extend(&milestones[3..]);
        }
        TicketKind::Fault => reply.extend([c::line_test as Make, c::service_up]),
        TicketKind::Complaint | TicketKind::Unspecified => {}
    }
    investigate.push(c::investigate);
    reply.push(c::reply);
    vec![
        (Stage::Investigate, investigate),
        (Stage::Dispatch, vec![c::dispatch]),
        (Stage::Reply, reply),
        (Stage::Feedback, vec![c::feedback]),
        (Stage::Inspect, vec![c::no_measure, c::inspect]),
        (Stage::Report, vec![c::report]),
        (Stage::Assess, vec![c::assess]),
        (Stage::Close, vec![c::accept_verdict, c::close]),
    ]
}
