//! Taking a ticket in, and decisions around the chain (domain.md sections 2 and 3).

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Command, Event, Fact, FirstOwner, Intake, OutsideRequest, Reporter, TakenOver};
use crate::calendar::local_date;
use crate::checks::{LIST_MAX, NAME_BYTES_MAX, bounded, listed, named, registered, required};
use crate::ids::{EventId, RequestNo, TicketId};
use crate::meta::{Context, Meta};
use crate::rejection::{Problem, Rejection};
use crate::sealed::Sealed;
use crate::ticket::contact::Request;
use crate::ticket::custody::Custody;
use crate::ticket::draft::{Draft, attachment};
use crate::ticket::state::{End, FactKind, FactRecord, Round, Ticket, next_number};
use crate::ticket::{self, fault, install};
use crate::words::{Channel, Kind, ReporterKind, Role};

/// The channels of outside bodies, to which receipts are owed.
const BODIES: [Channel; 6] = [
    Channel::Police110,
    Channel::Consumer12315,
    Channel::Mayor12345,
    Channel::Miit12381,
    Channel::Media,
    Channel::Regulator,
];

/// A ticket before its first event is folded into it.
#[must_use]
pub fn begin(intake: &Intake, meta: &Meta) -> Ticket {
    Ticket {
        intake: Box::new(intake.clone()),
        intake_event: meta.id,
        revision: meta.revision,
        last_recorded_at: meta.recorded_at,
        first_recorded_at: meta.recorded_at,
        stage: crate::words::Stage::Investigate,
        ended: None,
        reopened: 0,
        opened_round: 1,
        ends: 0,
        round: Round::new(1),
        dissatisfied_rounds: 0,
        orders: Vec::new(),
        clocks: Vec::new(),
        dormant: intake.source.is_some(),
        pause: None,
        custody: Custody::default(),
        people: std::collections::BTreeMap::new(),
        cause: None,
        named: std::collections::BTreeMap::new(),
        requests: intake.requests.iter().cloned().map(Request::new).collect(),
        urges: 0,
        contacted: false,
        delays_notified: 0,
        verdicts: Vec::new(),
        measures: Vec::new(),
        no_measure: None,
        served: None,
        waived: std::collections::BTreeMap::new(),
        dues: Vec::new(),
        escalations: Vec::new(),
        fault: fault::FaultState::default(),
        install: install::InstallState::default(),
        certificate: None,
        rejection_consented: false,
        problem: None,
        notices: std::collections::BTreeSet::new(),
        merged_from: std::collections::BTreeSet::new(),
        finding: None,
        ever_returned: false,
        facts: std::collections::BTreeMap::new(),
        commands: crate::memory::Memory::default(),
    }
}

impl Fact {
    pub(crate) fn kind(&self) -> FactKind {
        match self {
            Self::Fault(fact) => fact.kind(),
            Self::Install(fact) => fact.kind(),
            Self::Category { .. } => FactKind::Category,
        }
    }
}

impl Event {
    pub(crate) fn occurred_at(&self) -> Option<Timestamp> {
        match self {
            Self::TakenIn(intake) => Some(intake.taken_in_at),
            Self::OutsideRequestAdded { request } => Some(request.handed_over_at),
            Self::FactCorrected { occurred_at, .. } => Some(*occurred_at),
            Self::Attached { .. }
            | Self::FirstOwnerChanged { .. }
            | Self::MergeReceived { .. }
            | Self::ProblemJoined { .. }
            | Self::NoticeLinked { .. }
            | Self::FindingFiled { .. } => None,
        }
    }
}

pub(crate) fn apply(ticket: &mut Ticket, event: &Event, meta: &Meta) {
    match event {
        // `begin` took it in. Its category is a fact of the desk's.
        Event::TakenIn(_) => ticket.fact(FactKind::Category, meta),
        Event::OutsideRequestAdded { request } => {
            ticket.requests.push(Request::new(request.clone()));
            ticket.handled(meta);
        }
        Event::Attached { .. } => ticket.handled(meta),
        Event::FirstOwnerChanged { to, .. } => {
            ticket.intake.first_owner = to.clone();
            ticket.handled(meta);
        }
        Event::FactCorrected { corrects, fact, occurred_at, .. } => {
            // The old fact is corrected once; a later correction names this one.
            let old = ticket.facts.remove(corrects);
            match fact {
                Fact::Fault(fact) => fault::correct(ticket, *corrects, fact, *occurred_at, meta.id),
                Fact::Install(fact) => {
                    install::correct(ticket, *corrects, old.map(|old| old.kind), fact, *occurred_at, meta.id);
                }
                Fact::Category { category } => ticket.intake.category.clone_from(category),
            }
            ticket.fact(fact.kind(), meta);
        }
        Event::MergeReceived { from, requests, .. } => {
            ticket.merged_from.insert(*from);
            ticket.requests.extend(requests.iter().cloned().map(Request::new));
        }
        Event::ProblemJoined { problem } => ticket.problem = Some(*problem),
        Event::NoticeLinked { notice } => {
            ticket.notices.insert(*notice);
        }
        Event::FindingFiled { .. } => ticket.finding = Some(meta.id),
    }
}

/// Takes a ticket in: its first event, and the clocks that start with it.
pub(crate) fn take_in(
    mut intake: Intake,
    open_twin: Option<TicketId>,
    reopenable_twin: Option<TicketId>,
    context: &Context<'_>,
) -> Result<Vec<ticket::Event>, Rejection> {
    let imported = context.actor.role == Role::Import;
    // An import brings in what was recorded elsewhere, twins and all.
    if !imported {
        if let Some(ticket) = open_twin {
            return Err(Rejection::OpenTicketExists { ticket });
        }
        if let Some(ticket) = reopenable_twin {
            return Err(Rejection::ReopenInstead { ticket });
        }
    }
    check(&intake, imported, context)?;
    for (number, request) in (1..).zip(&mut intake.requests) {
        request.request = RequestNo(number);
    }
    let id = ticket::event_id(intake.ticket, context.command, 0);
    let event = Event::TakenIn(Box::new(intake.clone()));
    let meta = Meta {
        id,
        revision: 0,
        recorded_at: context.at,
        occurred_at: intake.taken_in_at,
        actor: context.actor.clone(),
        command: context.command,
        fingerprint: context.fingerprint,
    };
    let draft = Draft::first(begin(&intake, &meta), &event.into(), &meta, context);
    Ok(draft.finish())
}

fn check(intake: &Intake, imported: bool, context: &Context<'_>) -> Result<(), Rejection> {
    let wrong = |field, problem| Err(Rejection::invalid(field, problem));
    required("description", &intake.description)?;
    intake.remedy.iter().try_for_each(|remedy| bounded("remedy", remedy))?;
    who(intake)?;
    named("area.province", &intake.area.province)?;
    named("area.city", &intake.area.city)?;
    if intake.area.district.len() > NAME_BYTES_MAX {
        return wrong("area.district", Problem::TooLong(NAME_BYTES_MAX));
    }
    first_owner(&intake.first_owner, context)?;
    category(&intake.category, intake.kind, context)?;
    if intake.taken_in_at > context.at {
        return wrong("taken_in_at", Problem::InFuture);
    }
    if !imported && intake.taken_in_at != context.at {
        return wrong("taken_in_at", Problem::Unfit("only an import keeps an earlier moment"));
    }
    if intake.happened_at > context.at {
        return wrong("happened_at", Problem::InFuture);
    }
    if imported != intake.source.is_some() {
        return wrong("source", Problem::Unfit("an import has a source, and nothing else has"));
    }
    if let Some(source) = &intake.source {
        named("source.name", &source.name)?;
        named("source.row_key", &source.row_key)?;
        if source.status.len() > NAME_BYTES_MAX {
            return wrong("source.status", Problem::TooLong(NAME_BYTES_MAX));
        }
    }
    if (intake.kind == Kind::Install) != intake.install.is_some() {
        return wrong("install", Problem::Unfit("an install has an order, and nothing else has"));
    }
    if intake.mass_outage && intake.kind != Kind::Fault {
        return wrong("mass_outage", Problem::Unfit("only a fault is part of an outage"));
    }
    let promised = intake.install.and_then(|order| order.promised_on);
    if !imported && promised.is_some_and(|day| day < local_date(context.at)) {
        return wrong("install.promised_on", Problem::NotInFuture);
    }
    listed("requests", &intake.requests)?;
    listed("attachments", &intake.attachments)?;
    intake.attachments.iter().try_for_each(|new| attachment("attachments.reference", new))?;
    let mut known = BTreeSet::new();
    for request in &intake.requests {
        outside(request.body, &request.number, request.handed_over_at, request.due, context)?;
        if !known.insert((request.body, &request.number)) {
            return wrong("requests.number", Problem::Twice(request.number.clone()));
        }
    }
    Ok(())
}

/// Who brought the case and whose it is. A customer and a service may be absent where the reporter is neither the customer nor
/// there on the customer's behalf, and nothing is to be installed.
fn who(intake: &Intake) -> Result<(), Rejection> {
    let wrong = |field, problem| Err(Rejection::invalid(field, problem));
    if let Some(customer) = &intake.customer {
        required("customer.name", &customer.name)?;
        required("customer.phone", &customer.phone)?;
        customer.address.iter().try_for_each(|address| bounded("customer.address", address))?;
    }
    if let Some(service) = &intake.service {
        required("service.number", &service.number)?;
    }
    if let Some(Reporter { kind, known, relation, authority, .. }) = &intake.reporter {
        match (known, kind) {
            (Some(_), ReporterKind::Anonymous) => {
                return wrong("reporter.name", Problem::Unfit("an anonymous reporter has none"));
            }
            (Some(known), ReporterKind::OnBehalf | ReporterKind::NonUser) => {
                required("reporter.name", &known.name)?;
                required("reporter.phone", &known.phone)?;
            }
            (None, ReporterKind::OnBehalf | ReporterKind::NonUser) => {
                return wrong("reporter.name", Problem::Required);
            }
            (None, ReporterKind::Anonymous) => {}
        }
        match (relation, kind) {
            (Some(relation), ReporterKind::OnBehalf) => required("reporter.relation", relation)?,
            (None, ReporterKind::OnBehalf) => return wrong("reporter.relation", Problem::Required),
            (Some(_), _) => {
                return wrong("reporter.relation", Problem::Unfit("only who acts for a customer has one"));
            }
            (None, _) => {}
        }
        authority.iter().try_for_each(|document| attachment("reporter.authority", document))?;
    }
    let stranger = intake.reporter.as_ref().is_some_and(|reporter| reporter.kind != ReporterKind::OnBehalf);
    let needed = !stranger || intake.kind == Kind::Install;
    match (&intake.customer, &intake.service) {
        (None, _) if needed => wrong("customer", Problem::Required),
        (_, None) if needed => wrong("service", Problem::Required),
        (None, Some(_)) => wrong("service", Problem::Unfit("a service has a customer")),
        _ => Ok(()),
    }
}

fn first_owner(owner: &FirstOwner, context: &Context<'_>) -> Result<(), Rejection> {
    named("first_owner.employee", owner.employee.as_str())?;
    registered(context, "first_owner.department", owner.department.as_str())
}

/// The category stands in the tree, under the ticket's kind.
fn category(path: &str, kind: Kind, context: &Context<'_>) -> Result<(), Rejection> {
    match context.policy.category(path) {
        None => Err(Rejection::invalid("category", Problem::NotRegistered(path.to_owned()))),
        Some(known) if known.kind != kind => {
            Err(Rejection::invalid("category", Problem::Unfit("it belongs to tickets of another kind")))
        }
        Some(_) => Ok(()),
    }
}

fn outside(
    body: Channel,
    number: &str,
    handed_over_at: Timestamp,
    due: Option<Timestamp>,
    context: &Context<'_>,
) -> Result<(), Rejection> {
    if !BODIES.contains(&body) {
        return Err(Rejection::invalid("request.body", Problem::Unfit("it is no outside body's channel")));
    }
    named("request.number", number)?;
    if handed_over_at > context.at {
        return Err(Rejection::invalid("request.handed_over_at", Problem::InFuture));
    }
    if due.is_some_and(|due| due <= handed_over_at) {
        return Err(Rejection::invalid("request.due", Problem::Unfit("it must be later than the hand-over")));
    }
    Ok(())
}

pub(crate) fn decide(draft: &mut Draft<'_>, command: Command) -> Result<(), Rejection> {
    match command {
        Command::TakeIn { .. } => return Err(Rejection::TicketExists),
        Command::AddOutsideRequest { body, number, handed_over_at, due } => {
            draft.open()?;
            let handed_over_at = handed_over_at.unwrap_or(draft.at());
            outside(body, &number, handed_over_at, due, draft.context)?;
            let same = |known: &&Request| known.outside.body == body && known.outside.number == number;
            if let Some(known) = draft.ticket.requests.iter().find(same) {
                if known.outside.due == due {
                    return Ok(());
                }
                return Err(Rejection::invalid("request.number", Problem::Twice(number)));
            }
            if draft.ticket.requests.len() >= LIST_MAX {
                return Err(Rejection::invalid("request.number", Problem::TooMany(LIST_MAX)));
            }
            let request = RequestNo(next_number(draft.ticket.requests.len()));
            let request = OutsideRequest { request, body, number, handed_over_at, due };
            draft.push(Event::OutsideRequestAdded { request });
        }
        Command::Attach { attachment: new } => {
            draft.open()?;
            attachment("attachment.reference", &new)?;
            draft.push(Event::Attached { attachment: new });
        }
        Command::ChangeFirstOwner { to, reason } => {
            draft.open()?;
            required("reason", &reason)?;
            first_owner(&to, draft.context)?;
            if *draft.ticket.first_owner() != to {
                draft.push(Event::FirstOwnerChanged { to, reason });
            }
        }
        Command::CorrectFact { corrects, fact, occurred_at, reason } => {
            correct(draft, corrects, fact, occurred_at, reason)?;
        }
        Command::ReceiveMerge { from, requests, deadlines } => {
            receive_merge(draft, from, requests, deadlines)?;
        }
        Command::JoinProblem { problem, open } => {
            draft.open()?;
            match draft.ticket.problem {
                Some(known) if known == problem => {}
                Some(_) => return Err(Rejection::InAnotherProblem),
                None if !open => return Err(Rejection::ProblemClosed),
                None => draft.push(Event::ProblemJoined { problem }),
            }
        }
        Command::LinkNotice { notice } => {
            draft.open()?;
            if draft.ticket.kind() != Kind::Fault {
                return Err(Rejection::WrongKind);
            }
            if !draft.ticket.notices.contains(&notice) {
                draft.push(Event::NoticeLinked { notice });
            }
        }
        Command::FileFinding { finding } => {
            required("finding", &finding)?;
            draft.push(Event::FindingFiled { finding });
        }
    }
    Ok(())
}

/// A fact is corrected by the department that recorded it, or a supervisor; what a certificate rests on is not.
fn correct(
    draft: &mut Draft<'_>,
    corrects: EventId,
    fact: Fact,
    occurred_at: Option<Timestamp>,
    reason: Sealed,
) -> Result<(), Rejection> {
    required("reason", &reason)?;
    let record = draft.ticket.facts.get(&corrects).ok_or(Rejection::NoSuchFact)?.clone();
    let FactRecord { unit, role, kind, occurred_at: recorded } = record;
    let actor = &draft.context.actor;
    if actor.role != Role::Supervisor && (actor.role != role || actor.unit != unit) {
        return Err(Rejection::NotYours {
            whose: format!("{unit}, which recorded the fact, or a supervisor"),
        });
    }
    if draft.ticket.ended.as_ref().is_some_and(|ended| ended.how == End::Closed) {
        return Err(Rejection::CertificateRestsOnIt);
    }
    match &fact {
        Fact::Fault(fact) => fault::check(fact)?,
        Fact::Install(_) => {}
        Fact::Category { category: path } => category(path, draft.ticket.kind(), draft.context)?,
    }
    if !fact.kind().corrects(kind) {
        return Err(Rejection::invalid("fact", Problem::Unfit("the event recorded another fact")));
    }
    // The reason is the evidence. A correction that names no moment leaves it as it was.
    let occurred_at = draft.fact_time(Some(occurred_at.unwrap_or(recorded)), true)?;
    draft.push(Event::FactCorrected { corrects, fact, occurred_at, reason });
    Ok(())
}

/// Takes over what a merged ticket leaves: requests that this one does not know yet, and earlier deadlines.
fn receive_merge(
    draft: &mut Draft<'_>,
    from: TicketId,
    requests: Vec<OutsideRequest>,
    deadlines: Vec<TakenOver>,
) -> Result<(), Rejection> {
    if draft.ticket.merged_from.contains(&from) {
        return Ok(());
    }
    // Owed is owed: a ticket that ended in between takes the receipts over too. One that was merged itself sends it on.
    if let Some(End::Merged(into)) = draft.ticket.ended.as_ref().map(|ended| &ended.how) {
        return Err(Rejection::MergedOn { into: *into });
    }
    let first = next_number(draft.ticket.requests.len());
    let unknown = requests.into_iter().filter(|new| {
        let same = |known: &Request| (known.outside.body, &known.outside.number) == (new.body, &new.number);
        !draft.ticket.requests.iter().any(same)
    });
    let numbered = (first..).zip(unknown);
    let requests = numbered.map(|(number, request)| OutsideRequest { request: RequestNo(number), ..request });
    let requests = requests.collect();
    draft.push(Event::MergeReceived { from, requests, deadlines });
    Ok(())
}
