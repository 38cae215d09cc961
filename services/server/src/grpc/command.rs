//! What every command needs around it: ids, proven identity, fingerprint, trace; and the customer's key to seal with.

use std::sync::Arc;

use duban_aggregates::ids::{CommandId, TicketId, UnitId};
use duban_aggregates::ticket::order::Order;
use duban_aggregates::ticket::{self, Ticket};
use duban_codec::Lineage;
use duban_engine::Engine;
use duban_engine::intake::CaseIntake;
use duban_engine::runner::{Aggregate, Answer, Ask, Holds, RunError, Runner};
use duban_engine::views::{PATIENCE, Views};
use duban_proto::api::v1 as api;
use duban_vault::seal::Sealer;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::error::{fault, not_yours, refused, stopped};
use super::read::{Field, Texts, keep, none_wrong, position};
use crate::access::{Grant, Scope};

/// What a command's RPC answers.
pub(crate) type Answered<T = api::CommandResponse> = Result<Response<T>, Status>;

/// Longer trace contexts are somebody's mistake; they are stored in every event.
const TRACE_BYTES_MAX: usize = 256;

/// All services, over one runner. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub(crate) runner: Arc<Runner>,
    pub(crate) intake: Arc<CaseIntake>,
    pub(crate) views: Views,
    pub(crate) sealer: Sealer,
}

impl Api {
    /// The services of an engine.
    #[must_use]
    pub fn new(engine: &Engine) -> Self {
        Self {
            runner: Arc::clone(engine.runner()),
            intake: Arc::clone(engine.intake()),
            views: engine.views().clone(),
            sealer: engine.sealer().clone(),
        }
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

/// A request that is a command.
pub(crate) trait Asks: prost::Message + Clone + 'static {
    /// Its message's name; no two commands share one.
    const NAME: &'static str;
    /// The field that names what it is about.
    const ID: &'static str;

    fn id(&self) -> &str;
    fn command_id(&self) -> &str;
    fn expected_revision(&self) -> Option<u64>;
    fn expect_nothing(&mut self);
}

macro_rules! asks {
    ($id:ident: $($request:ident)*) => {$(
        impl Asks for api::$request {
            const NAME: &'static str = concat!("duban.api.v1.", stringify!($request));
            const ID: &'static str = stringify!($id);

            fn id(&self) -> &str {
                &self.$id
            }

            fn command_id(&self) -> &str {
                &self.command_id
            }

            fn expected_revision(&self) -> Option<u64> {
                self.expected_revision
            }

            fn expect_nothing(&mut self) {
                self.expected_revision = None;
            }
        }
    )*};
}

asks! { ticket_id:
    TakeInRequest AddOutsideRequestRequest AttachRequest ChangeFirstOwnerRequest CorrectFactRequest
    ContactCustomerRequest NotifyDelayRequest RecordReceiptRequest DispatchUrgentRequest PauseRequest ResumeRequest
    WithdrawRequest RejectRequest MergeRequest ReopenRequest JoinProblemRequest LinkNoticeRequest InvestigateRequest
    DispatchRequest AddAssistRequest GrantReturnRequest RefuseReturnRequest ReleaseRequest RecallRequest
    GrantExtensionRequest RefuseExtensionRequest AcceptRequest ReplyRequest RequestReturnRequest AskExtensionRequest
    WaitForAssistRequest PlanMeasureRequest CarryOutMeasureRequest DeclareNoMeasureNeededRequest AcceptVerdictRequest
    AppealVerdictRequest RecordFeedbackRequest AttemptContactRequest SendReplyBackRequest InspectRequest ReportRequest
    AssessRequest RequestFactsRequest CloseRequest DecideAppealRequest CarryOutPenaltyRequest ReverseVerdictRequest
    AccrueDueRequest ApproveDueRequest SettleDueRequest RecordLineTestRequest RecordRepairRequest
    RecordServiceUpRequest JudgeTerminalRequest RecordArrearsPaidRequest ReachMilestoneRequest MakeAppointmentRequest
    RescheduleAppointmentRequest EndAppointmentRequest UrgeRequest ProposeEscalationRequest IssueEscalationRequest
    DeclineEscalationRequest SignOffUnreachableRequest SignOffDeclinedRequest SignOffNobodyToAskRequest
    ConsentToNotProvidedRequest StrikeDoneByRequest OpenNextRoundRequest CancelDueRequest FailMeasureRequest ConcludeFeedbackRequest ConsentToRejectionRequest WaiveRequest
    DecideThirdReturnRequest FileFindingRequest
}

asks! { problem_id:
    OpenProblemRequest FindProblemCauseRequest PlanProblemActionRequest CarryOutProblemActionRequest
    RecordProblemFailureRequest CloseProblemRequest
}

asks! { notice_id: PublishNoticeRequest ExtendNoticeRequest EndNoticeRequest WithdrawNoticeRequest }

asks! { emergency_id: DeclareEmergencyRequest EndEmergencyRequest }

asks! { customer_id: RegisterCustomerRequest ChangeTierRequest EraseCustomerRequest }

/// A command's envelope, checked.
pub(crate) struct Asked<R> {
    /// What it is about.
    pub(crate) id: Uuid,
    /// Who asks, under which id, after what.
    pub(crate) ask: Ask,
    /// How far the caller's right reaches.
    pub(crate) grant: Grant,
    /// The request itself.
    pub(crate) body: R,
}

impl Api {
    /// Checks what every command carries. Where `or_derived`, an empty id is derived from the command's, so that a
    /// repeat finds the same stream.
    pub(crate) fn asked<R: Asks>(&self, request: Request<R>, or_derived: bool) -> Result<Asked<R>, Status> {
        let grant = Grant::of(&request)?.clone();
        let trace_context = request.metadata().get("traceparent").and_then(|value| value.to_str().ok());
        let trace_context =
            trace_context.filter(|text| text.len() <= TRACE_BYTES_MAX).unwrap_or_default().to_owned();
        let body = request.into_inner();
        let mut wrong = Vec::new();
        let command = keep(uuid("command_id", body.command_id()), &mut wrong).map_err(refused)?;
        let id = if or_derived && body.id().is_empty() {
            command.map(|command| Uuid::new_v5(&command, R::ID.as_bytes()))
        } else {
            keep(uuid(R::ID, body.id()), &mut wrong).map_err(refused)?
        };
        none_wrong(wrong).map_err(refused)?;
        let (id, command) = id.zip(command).ok_or_else(super::read::missing).map_err(refused)?;
        let mut fingerprinted = R::NAME.as_bytes().to_vec();
        fingerprinted.push(0);
        // Whoever repeats a command after looking again expects another revision, and asks for the same.
        let mut asked = body.clone();
        asked.expect_nothing();
        asked.encode(&mut fingerprinted).map_err(|error| fault(error.to_string()))?;
        let ask = Ask {
            command: CommandId(command),
            expected_revision: body.expected_revision(),
            fingerprint: self.sealer.keys().fingerprint(&fingerprinted),
            actor: grant.actor.clone(),
            lineage: Lineage { trace_context, ..Lineage::default() },
        };
        Ok(Asked { id, ask, grant, body })
    }

    /// Runs a command on a ticket, with its customer's key to seal with.
    pub(crate) async fn on_ticket<R: Asks, C: Into<ticket::Command>>(
        &self,
        request: Request<R>,
        make: impl Fn(&Texts<'_>, &R) -> Result<C, RunError> + Send + Sync,
    ) -> Answered {
        self.on(request, |_, _| Ok(()), make).await
    }

    /// The same, where the rules do not ask whose ticket it is: a unit's member reaches those that its unit works on, and,
    /// as surveys and tests come before dispatch, those on which nobody has an order yet.
    pub(crate) async fn on_own_ticket<R: Asks, C: Into<ticket::Command>>(
        &self,
        request: Request<R>,
        make: impl Fn(&Texts<'_>, &R) -> Result<C, RunError> + Send + Sync,
    ) -> Answered {
        let own = |ticket: &Ticket, grant: &Grant| match grant.scope {
            Scope::OwnUnit if !ticket.orders.is_empty() && !works_on(ticket, &grant.actor.unit) => {
                Err(not_yours("a unit with an order on this ticket"))
            }
            Scope::OwnUnit | Scope::Any => Ok(()),
        };
        self.on(request, own, make).await
    }

    /// Refuses a reference to a stream that is not there.
    pub(crate) async fn must_exist<A: Aggregate>(&self, field: &'static str, id: Uuid) -> Result<(), Status>
    where
        Runner: Holds<A>,
    {
        match self.runner.view(id, |state: Option<&A>| state.is_some()).await.map_err(refused)? {
            true => Ok(()),
            false => Err(refused(RunError::field(field, "does not exist"))),
        }
    }

    async fn on<R: Asks, C: Into<ticket::Command>>(
        &self,
        request: Request<R>,
        own: impl Fn(&Ticket, &Grant) -> Result<(), RunError> + Send + Sync,
        make: impl Fn(&Texts<'_>, &R) -> Result<C, RunError> + Send + Sync,
    ) -> Answered {
        let Asked { id, ask, grant, body } = self.asked(request, false)?;
        let made = |ticket: &Ticket| {
            own(ticket, &grant)?;
            let key = self.sealer.known_customer(ticket.intake.person());
            make(&Texts::new(&key), &body)
        };
        let answer = self.runner.ticket(TicketId(id), &ask, made).await.map_err(refused)?;
        Ok(Response::new(ticket_answer(id, answer)))
    }

    /// Runs a command on a stream that carries no sealed texts.
    pub(crate) async fn on_stream<A: Aggregate, R: Asks>(
        &self,
        request: Request<R>,
        or_derived: bool,
        make: impl Fn(Option<&A>, &Asked<R>) -> Result<A::Command, RunError> + Send + Sync,
    ) -> Result<(String, Answer), Status>
    where
        Runner: Holds<A>,
    {
        let asked = self.asked(request, or_derived)?;
        let answer =
            self.runner.run(asked.id, &asked.ask, |state, _| make(state, &asked)).await.map_err(refused)?;
        Ok((asked.id.to_string(), answer))
    }

    /// Waits until the read models have taken in what the caller has seen.
    pub(crate) async fn wait_for(&self, min_position: &str) -> Result<(), Status> {
        match position("min_position", min_position).map_err(refused)? {
            Some(position) => self.views.lists_have(position, PATIENCE).await.map_err(stopped),
            None => Ok(()),
        }
    }
}

/// Whether a unit has a part in a ticket. One whose order was returned, recalled or released unanswered has none.
pub(crate) fn works_on(ticket: &Ticket, unit: &UnitId) -> bool {
    let worked = |order: &Order| order.unit == *unit && (order.is_open() || order.replies > 0);
    ticket.orders.iter().any(worked)
        || ticket.named.contains_key(unit)
        || ticket.measures.iter().any(|measure| measure.owner == *unit)
        || ticket.verdicts.iter().any(|verdict| verdict.unit == *unit)
}

pub(crate) fn ticket_answer(ticket: Uuid, answer: Answer) -> api::CommandResponse {
    let Answer { revision, position } = answer;
    api::CommandResponse { ticket_id: ticket.to_string(), revision, position: position.to_string() }
}

/// An id that a caller gives. The nil UUID is what a forgotten field looks like in many languages.
pub(crate) fn uuid(name: &str, text: &str) -> Field<Uuid> {
    if text.is_empty() {
        return Err(RunError::field(name, "is required"));
    }
    match Uuid::try_parse(text) {
        Ok(id) if !id.is_nil() => Ok(id),
        Ok(_) => Err(RunError::field(name, "is the nil UUID")),
        Err(_) => Err(RunError::field(name, "is not a UUID")),
    }
}
