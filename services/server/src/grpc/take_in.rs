//! Taking a ticket in: the one command that begins a ticket, and may begin a customer.

use duban_aggregates::NAME_BYTES_MAX;
use duban_aggregates::area::Area;
use duban_aggregates::ids::{CustomerId, EmployeeId, RequestNo, TicketId, UnitId};
use duban_aggregates::ticket::intake::{
    Customer, FirstOwner, Intake, KnownReporter, OutsideRequest, Reporter, Service,
};
use duban_engine::intake::{Matter, NamedCustomer, NamedReporter, Person};
use duban_engine::runner::{Ask, RunError};
use duban_proto::api::v1 as api;
use jiff::Timestamp;
use tonic::{Request, Response};

use super::command::{Answered, Api, Asked, ticket_answer, uuid};
use super::error::refused;
use super::read::{Field, Texts, given, moment, plain, read, take};

impl Api {
    pub(super) async fn begin_ticket(&self, request: Request<api::TakeInRequest>) -> Answered {
        let Asked { id, ask, body, .. } = self.asked(request, true)?;
        let matter = matter(&body).map_err(refused)?;
        let draft = |person: Person<'_>, reporter: Person<'_>, now: Timestamp| {
            let (texts, their_texts) = (Texts::of(person.sealer), Texts::of(reporter.sealer));
            self.draft(TicketId(id), (person.id, &texts), (reporter.id, &their_texts), now, &ask, &body)
        };
        let answer = self.intake.take_in(TicketId(id), &ask, matter, draft).await.map_err(refused)?;
        Ok(Response::new(ticket_answer(id, answer)))
    }

    fn draft(
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
        let Some(from) = &body.customer else { return absent("customer", body) };
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
        let Some(from) = &body.service else { return absent("service", body) };
        read! {
            number: texts.text("service.number", &from.number);
            product: take("service.product", from.product);
        }
        // Service numbers are telephone numbers or look like them: written differently, it is the same service.
        let number_hash = self.sealer.keys().phone_hash(&from.number);
        Ok(Some(Service { number, number_hash, product, monthly_rent_fen: from.monthly_rent_fen }))
    }
}

/// A customer who reports names who they are and about which service; told here too, beside everything else that is wrong.
fn absent<T>(field: &'static str, body: &api::TakeInRequest) -> Field<Option<T>> {
    if body.reporter.is_none() { Err(RunError::field(field, "is required")) } else { Ok(None) }
}

/// Whose case it is, and what it is about.
fn matter(body: &api::TakeInRequest) -> Field<Matter<'_>> {
    let customer = body.customer.as_ref().map(|named| {
        let id = named.customer_id.as_deref().map(|id| uuid("customer.customer_id", id).map(CustomerId));
        Ok::<_, RunError>(NamedCustomer { id: id.transpose()?, phone: &named.phone })
    });
    Ok(Matter {
        customer: customer.transpose()?,
        reporter: body.reporter.as_ref().map(|named| NamedReporter { phone: named.phone.as_deref() }),
        service_number: body.service.as_ref().map_or("", |service| &service.number),
        category: &body.category,
    })
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
