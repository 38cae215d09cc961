//! Taking a ticket in: the one command that begins a ticket, and may begin a customer.

use duban_aggregates::NAME_BYTES_MAX;
use duban_aggregates::ids::{CustomerId, EmployeeId, RequestNo, TicketId, UnitId};
use duban_aggregates::intake::{
    self, Area, Customer, FirstOwner, Intake, KnownReporter, OutsideRequest, Reporter, Service,
};
use duban_aggregates::state::End;
use duban_aggregates::ticket::{self, Ticket};
use duban_engine::runner::{Ask, RunError};
use duban_proto::api::v1 as api;
use jiff::{SignedDuration, Timestamp};
use tonic::{Request, Response};

use super::command::{Answered, Api, Asked, ticket_answer, uuid};
use super::error::refused;
use super::read::{Field, Texts, given, moment, plain, read, take};

impl Api {
    pub(super) async fn begin_ticket(&self, request: Request<api::TakeInRequest>) -> Answered {
        let Asked { id, ask, body, .. } = self.asked(request, true)?;
        // A request that cannot be read makes no person and no key.
        let (nobody, now) = (CustomerId::NOBODY, self.runner.clock().now());
        let looked_at = Texts::looked_at();
        self.intake(TicketId(id), (nobody, &looked_at), (nobody, &looked_at), now, &ask, &body)
            .map_err(refused)?;
        let reporter = self.reporter(&body, &ask).map_err(refused)?;
        let customer = self.customer(&body).map_err(refused)?;
        let missing = || refused(RunError::field("customer", "is required"));
        let person = customer.or(reporter).ok_or_else(missing)?;
        let _turn = self.strangers.turn(person).await;
        let twins = match customer {
            Some(customer) => self.twins(customer, &body).await.map_err(refused)?,
            None => Twins::default(),
        };
        // Before the event: what is sealed lives as long as the key does.
        let key = Ok(self.sealer.customer(person).await.map_err(RunError::from).map_err(refused)?);
        let texts = Texts::new(&key);
        let theirs = reporter.unwrap_or(person);
        let their_key = Ok(self.sealer.customer(theirs).await.map_err(RunError::from).map_err(refused)?);
        let their_texts = Texts::new(&their_key);
        let made = |_: Option<&Ticket>, now| {
            let (of_case, of_reporter) = ((person, &texts), (theirs, &their_texts));
            let intake = Box::new(self.intake(TicketId(id), of_case, of_reporter, now, &ask, &body)?);
            let Twins { open: open_twin, reopenable: reopenable_twin } = twins;
            Ok(ticket::Command::Intake(intake::Command::TakeIn { intake, open_twin, reopenable_twin }))
        };
        let answer = self.runner.run(id, &ask, made).await.map_err(refused)?;
        // The next call of this customer, who waits for his turn, finds this ticket.
        self.settle(answer.position).await;
        Ok(Response::new(ticket_answer(id, answer)))
    }

    /// The reporter by phone; one who cannot be named gets an id that a repeat of the command finds again.
    fn reporter(&self, body: &api::TakeInRequest, ask: &Ask) -> Field<Option<CustomerId>> {
        let Some(reporter) = &body.reporter else { return Ok(None) };
        match reporter.phone.as_deref().filter(|phone| !phone.trim().is_empty()) {
            Some(phone) => {
                let phone = self.sealer.keys().phone_hash(phone);
                self.strangers.find_or_make(phone, &self.customers, None).map(Some)
            }
            None => {
                let secret = self.sealer.keys().fingerprint(ask.command.0.as_bytes());
                Ok(Some(CustomerId(uuid::Builder::from_random_bytes(secret).into_uuid())))
            }
        }
    }

    /// The customer by id where the desk knows it, else by phone. A phone has one customer.
    fn customer(&self, body: &api::TakeInRequest) -> Field<Option<CustomerId>> {
        let Some(customer) = &body.customer else { return Ok(None) };
        let phone = self.sealer.keys().phone_hash(&customer.phone);
        let Some(id) = &customer.customer_id else {
            return self.strangers.find_or_make(phone, &self.customers, None).map(Some);
        };
        let id = uuid("customer.customer_id", id).map(CustomerId)?;
        match self.strangers.find(&phone, &self.customers)? {
            Some(other) if other != id => {
                Err(RunError::field("customer.customer_id", "is not the customer with this phone"))
            }
            Some(_) | None => Ok(Some(id)),
        }
    }

    /// Tickets of the same customer, service and category: one that is open, one that ought to be reopened. The read model
    /// names them, the tickets themselves say how they stand.
    async fn twins(&self, customer: CustomerId, body: &api::TakeInRequest) -> Result<Twins, RunError> {
        let number = body.service.as_ref().map_or("", |service| service.number.as_str());
        let number_hash = self.sealer.keys().phone_hash(number);
        let since = self.reopenable_since();
        let mut twins = Twins::default();
        for row in self.tickets.same_matter(customer, number_hash, &body.category)? {
            let see = |ticket: Option<&Ticket>| ticket.map(|ticket| ticket.ended.clone());
            match self.runner.view(row.ticket.0, see).await? {
                Some(None) => twins.open = Some(row.ticket),
                Some(Some(ended)) if ended.at >= since && !matches!(ended.how, End::Merged(_)) => {
                    twins.reopenable = Some(row.ticket);
                }
                Some(Some(_)) | None => {}
            }
        }
        Ok(twins)
    }

    fn reopenable_since(&self) -> Timestamp {
        let days = i64::from(self.runner.rules().policy.constants.reopen_days);
        let now = self.runner.clock().now();
        now.saturating_sub(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MIN)
    }

    fn intake(
        &self,
        ticket: TicketId,
        (person, texts): (CustomerId, &Texts<'_>),
        (reporter, their_texts): (CustomerId, &Texts<'_>),
        now: Timestamp,
        ask: &Ask,
        body: &api::TakeInRequest,
    ) -> Field<Intake> {
        read! {
            kind: take("kind", body.kind);
            channel: take("channel", body.channel);
            category: plain("category", &body.category, NAME_BYTES_MAX);
            severity: take("severity", body.severity);
            description: texts.text("description", &body.description);
            remedy: texts.optional("remedy", body.remedy.as_deref());
            happened_at: moment("happened_at", body.happened_at);
            first_owner: first_owner(body, ask);
            customer: self.customer_of(person, texts, body);
            service: self.service_of(texts, body);
            reporter: self.reporter_of(reporter, their_texts, body);
            area: area(body);
            requests: requests(body, now);
            attachments: take("attachments", body.attachments.clone());
            linked: body.linked.as_deref().map(|id| uuid("linked", id).map(TicketId)).transpose();
            install: take("install", body.install.clone());
        }
        Ok(Intake {
            ticket,
            kind,
            channel,
            category,
            severity,
            description,
            remedy,
            happened_at: happened_at.unwrap_or(now),
            taken_in_at: now,
            first_owner,
            customer,
            service,
            area,
            requests,
            attachments,
            mass_outage: body.mass_outage,
            linked,
            install,
            source: None,
            reporter,
        })
    }

    fn reporter_of(
        &self,
        id: CustomerId,
        texts: &Texts<'_>,
        body: &api::TakeInRequest,
    ) -> Field<Option<Reporter>> {
        let Some(from) = &body.reporter else { return Ok(None) };
        read! {
            kind: take("reporter.kind", from.kind);
            name: texts.optional("reporter.name", from.name.as_deref());
            phone: texts.optional("reporter.phone", from.phone.as_deref());
            relation: texts.optional("reporter.relation", from.relation.as_deref());
            authority: take("reporter.authority", from.authority.clone());
        }
        let known = match (name, phone, &from.phone) {
            (Some(name), Some(phone), Some(number)) => {
                Some(KnownReporter { name, phone, phone_hash: self.sealer.keys().phone_hash(number) })
            }
            (Some(_), _, _) => return Err(RunError::field("reporter.phone", "is required")),
            (None, Some(_), _) => return Err(RunError::field("reporter.name", "is required")),
            (None, None, _) => None,
        };
        Ok(Some(Reporter { id, kind, known, relation, authority }))
    }

    fn customer_of(
        &self,
        id: CustomerId,
        texts: &Texts<'_>,
        body: &api::TakeInRequest,
    ) -> Field<Option<Customer>> {
        let Some(from) = &body.customer else { return Ok(None) };
        read! {
            name: texts.text("customer.name", &from.name);
            phone: texts.text("customer.phone", &from.phone);
            address: texts.optional("customer.address", from.address.as_deref());
            tier: take("customer.tier", from.tier);
            segment: take("customer.segment", from.segment);
        }
        let phone_hash = self.sealer.keys().phone_hash(&from.phone);
        Ok(Some(Customer { id, name, phone, phone_hash, address, tier, segment }))
    }

    fn service_of(&self, texts: &Texts<'_>, body: &api::TakeInRequest) -> Field<Option<Service>> {
        let Some(from) = &body.service else { return Ok(None) };
        read! {
            number: texts.text("service.number", &from.number);
            product: take("service.product", from.product);
        }
        // Service numbers are telephone numbers or look like them: written differently, it is the same service.
        let number_hash = self.sealer.keys().phone_hash(&from.number);
        Ok(Some(Service { number, number_hash, product, monthly_rent_fen: from.monthly_rent_fen }))
    }
}

#[derive(Clone, Copy, Default)]
struct Twins {
    open: Option<TicketId>,
    reopenable: Option<TicketId>,
}

/// 首问责任人: the caller, where the desk names nobody else.
fn first_owner(body: &api::TakeInRequest, ask: &Ask) -> Field<FirstOwner> {
    match &body.first_owner {
        None => Ok(FirstOwner { employee: ask.actor.id.clone(), department: ask.actor.unit.clone() }),
        Some(owner) => {
            read! {
                employee: plain("first_owner.employee", &owner.employee, NAME_BYTES_MAX);
                department: plain("first_owner.department", &owner.department, NAME_BYTES_MAX);
            }
            Ok(FirstOwner { employee: EmployeeId(employee), department: UnitId(department) })
        }
    }
}

fn area(body: &api::TakeInRequest) -> Field<Area> {
    let from = given("area", &body.area)?;
    read! {
        province: plain("area.province", &from.province, NAME_BYTES_MAX);
        city: plain("area.city", &from.city, NAME_BYTES_MAX);
        district: plain("area.district", &from.district, NAME_BYTES_MAX);
    }
    Ok(Area { province, city, district, rural: from.rural })
}

fn requests(body: &api::TakeInRequest, now: Timestamp) -> Field<Vec<OutsideRequest>> {
    let read_one = |from: &api::OutsideRequestInput| {
        read! {
            channel: take("requests.body", from.body);
            number: plain("requests.number", &from.number, NAME_BYTES_MAX);
            handed_over_at: moment("requests.handed_over_at", from.handed_over_at);
            due: moment("requests.due", from.due);
        }
        // The ticket numbers them.
        let request = RequestNo(0);
        let handed_over_at = handed_over_at.unwrap_or(now);
        Ok(OutsideRequest { request, body: channel, number, handed_over_at, due })
    };
    body.requests.iter().map(read_one).collect()
}
