//! OCEL 2.0 in JSON: events, each about a ticket or a foreign history, and about orders, units and the customer where it is.
//!
//! Events are written as they are read, then the objects, then the types of both, which are few and known by then. JSON does not mind the
//! order.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use duban_aggregates::ids::{OrderNo, UnitId};
use serde::Serialize;
use uuid::Uuid;

use super::trace::{About, Activity, Object, Origin, Trace, moment};
use super::{ExportedHistories, Histories, WriteError};

/// From when on an attribute holds that never changes.
const ALWAYS: &str = "1970-01-01T00:00:00+00:00";

/// What kinds of objects there are.
const ORDER: &str = "order";
const UNIT: &str = "unit";
const CUSTOMER: &str = "customer";

#[derive(Serialize)]
struct Event<'e> {
    id: Uuid,
    #[serde(rename = "type")]
    kind: &'e str,
    time: String,
    attributes: Vec<Attribute<'e>>,
    relationships: Vec<Relationship<'e>>,
}

#[derive(Serialize)]
struct Attribute<'e> {
    name: &'e str,
    value: &'e str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship<'e> {
    object_id: String,
    qualifier: &'e str,
}

#[derive(Serialize)]
struct ObjectOut<'e> {
    id: String,
    #[serde(rename = "type")]
    kind: &'e str,
    attributes: Vec<Lasting<'e>>,
    relationships: Vec<Relationship<'e>>,
}

#[derive(Serialize)]
struct Lasting<'e> {
    name: &'e str,
    time: &'static str,
    value: &'e str,
}

#[derive(Serialize)]
struct Type<'t> {
    name: &'t str,
    attributes: Vec<Typed<'t>>,
}

#[derive(Serialize)]
struct Typed<'t> {
    name: &'t str,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// Types with the names of their attributes.
type Types = BTreeMap<String, BTreeSet<String>>;

/// What a history is.
fn kind(origin: Origin) -> &'static str {
    match origin {
        Origin::Ours => "ticket",
        Origin::Foreign => "history",
    }
}

fn order_id(trace: &Trace, order: OrderNo) -> String {
    format!("{}/order-{order}", trace.stream)
}

fn unit_id(unit: &UnitId) -> String {
    format!("unit-{unit}")
}

fn customer_id(customer: Uuid) -> String {
    format!("customer-{customer}")
}

fn object_id(trace: &Trace, object: &Object) -> String {
    match object {
        Object::Order(order) => order_id(trace, *order),
        Object::Unit(unit) => unit_id(unit),
        Object::Customer(customer) => customer_id(*customer),
    }
}

/// An event's own attributes, all of them texts.
fn attributes(event: &Activity) -> Vec<(&str, String)> {
    let mut all = vec![
        ("transition", event.transition.clone()),
        ("revision", event.revision.to_string()),
        ("recorded_at", moment(event.recorded_at)),
    ];
    all.extend(event.resource.iter().map(|resource| ("resource", resource.clone())));
    if let Some((role, unit)) = &event.role_and_unit {
        all.extend([("role", (*role).to_owned()), ("unit", unit.clone())]);
    }
    all.extend(event.attributes.iter().map(|(name, value)| (name.as_str(), value.clone())));
    all
}

/// A list in a JSON object, written item by item.
struct List<'o, W> {
    out: &'o mut W,
    first: bool,
}

impl<'o, W: Write> List<'o, W> {
    fn begin(out: &'o mut W, name: &str) -> Result<Self, WriteError> {
        write!(out, "\"{name}\":[")?;
        Ok(Self { out, first: true })
    }

    fn add(&mut self, item: &impl Serialize) -> Result<(), WriteError> {
        self.out.write_all(if std::mem::take(&mut self.first) { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *self.out, item)?;
        Ok(())
    }

    fn end(self) -> Result<(), WriteError> {
        self.out.write_all(b"\n]")?;
        Ok(())
    }
}

/// Writes all histories, their events and what these are about.
pub(super) fn write(
    out: &mut impl Write,
    histories: &Histories<'_>,
) -> Result<ExportedHistories, WriteError> {
    let mut written = ExportedHistories::default();
    let (mut event_types, mut object_types) = (Types::new(), Types::new());
    out.write_all(b"{")?;
    let mut events = List::begin(out, "events")?;
    histories.each("export events", |trace| {
        for happened in &trace.events {
            written.events += 1;
            let own = attributes(happened);
            let names = event_types.entry(happened.name.clone()).or_default();
            names.extend(own.iter().map(|(name, _)| (*name).to_owned()));
            events.add(&event(trace, happened, &own))?;
        }
        Ok(())
    })?;
    events.end()?;
    out.write_all(b",\n")?;
    let mut objects = List::begin(out, "objects")?;
    let mut shared = Shared::default();
    let mut count = 0;
    histories.each("export objects", |trace| {
        written.cases += 1;
        for object in self::objects(trace) {
            let names = object_types.entry(object.kind.to_owned()).or_default();
            names.extend(object.attributes.iter().map(|attribute| attribute.name.to_owned()));
            count += 1;
            objects.add(&object)?;
        }
        shared.note(trace);
        Ok(())
    })?;
    let customers = shared.customers.iter().map(|customer| (customer_id(*customer), CUSTOMER));
    let units = shared.units.iter().map(|unit| (unit_id(unit), UNIT));
    for (id, kind) in units.chain(customers) {
        object_types.entry(kind.to_owned()).or_default();
        count += 1;
        objects.add(&ObjectOut { id, kind, attributes: Vec::new(), relationships: Vec::new() })?;
    }
    objects.end()?;
    for (name, types) in [("eventTypes", &event_types), ("objectTypes", &object_types)] {
        out.write_all(b",\n")?;
        let mut list = List::begin(out, name)?;
        for (name, attributes) in types {
            list.add(&Type {
                name,
                attributes: attributes.iter().map(|name| Typed { name, kind: "string" }).collect(),
            })?;
        }
        list.end()?;
    }
    out.write_all(b"}\n")?;
    written.objects = Some(count);
    Ok(written)
}

fn event<'e>(trace: &Trace, happened: &'e Activity, own: &'e [(&'e str, String)]) -> Event<'e> {
    let history = Relationship { object_id: trace.stream.clone(), qualifier: kind(trace.origin) };
    let about = happened
        .about
        .iter()
        .map(|About { object, qualifier }| Relationship { object_id: object_id(trace, object), qualifier });
    Event {
        id: happened.id,
        kind: &happened.name,
        time: moment(happened.at),
        attributes: own.iter().map(|(name, value)| Attribute { name, value }).collect(),
        relationships: std::iter::once(history).chain(about).collect(),
    }
}

/// A history and its orders. An order that events name and nobody issued is one all the same.
fn objects(trace: &Trace) -> Vec<ObjectOut<'_>> {
    let named = trace.events.iter().flat_map(|event| &event.about);
    let mut orders: BTreeSet<OrderNo> = trace.orders.keys().copied().collect();
    let mut customers = BTreeSet::new();
    for About { object, .. } in named {
        match object {
            Object::Order(order) => drop(orders.insert(*order)),
            Object::Customer(customer) => drop(customers.insert(*customer)),
            Object::Unit(_) => {}
        }
    }
    let of_history = orders
        .iter()
        .map(|order| Relationship { object_id: order_id(trace, *order), qualifier: ORDER })
        .chain(
            customers
                .iter()
                .map(|customer| Relationship { object_id: customer_id(*customer), qualifier: CUSTOMER }),
        );
    let lasting = trace.attributes.iter().map(|(name, value)| Lasting { name, time: ALWAYS, value });
    let history = ObjectOut {
        id: trace.stream.clone(),
        kind: kind(trace.origin),
        attributes: lasting.collect(),
        relationships: of_history.collect(),
    };
    let orders = orders.iter().map(|order| ObjectOut {
        id: order_id(trace, *order),
        kind: ORDER,
        attributes: Vec::new(),
        relationships: trace
            .orders
            .get(order)
            .map(|unit| Relationship { object_id: unit_id(unit), qualifier: UNIT })
            .into_iter()
            .collect(),
    });
    std::iter::once(history).chain(orders).collect()
}

/// What several histories are about: written once, at the end.
#[derive(Default)]
struct Shared {
    units: BTreeSet<UnitId>,
    customers: BTreeSet<Uuid>,
}

impl Shared {
    fn note(&mut self, trace: &Trace) {
        self.units.extend(trace.orders.values().cloned());
        for About { object, .. } in trace.events.iter().flat_map(|event| &event.about) {
            match object {
                Object::Unit(unit) => drop(self.units.insert(unit.clone())),
                Object::Customer(customer) => drop(self.customers.insert(*customer)),
                Object::Order(_) => {}
            }
        }
    }
}
