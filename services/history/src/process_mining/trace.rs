//! One history as process-mining tools think of it: a case, its events in the order of their moments, and what each is about.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use duban_aggregates::ids::{OrderNo, UnitId};
use duban_aggregates::imported;
use duban_aggregates::ticket::chain::Event as ChainEvent;
use duban_aggregates::ticket::clock::{self, Subject};
use duban_aggregates::ticket::intake::{self, Intake};
use duban_aggregates::ticket::{Event, order};
use duban_aggregates::words::Kind;
use duban_codec::CodecError;
use duban_log::{Direction, Reader, Recorded, StreamName};
use jiff::Timestamp;
use jiff::tz::Offset;
use uuid::Uuid;

use super::ProcessMiningError;

/// Events of a history that are read together.
const PAGE: usize = 512;

/// Where a history comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A ticket.
    Ours,
    /// A foreign history.
    Foreign,
}

impl Origin {
    /// What a stream's name says; none where it is no history.
    pub(super) fn of(stream: &str) -> Option<Self> {
        let (prefix, _) = stream.split_once('-')?;
        let ours = [Kind::Complaint, Kind::Fault, Kind::Install].iter().any(|kind| kind.name() == prefix);
        match prefix {
            _ if ours => Some(Self::Ours),
            "imported" => Some(Self::Foreign),
            _ => None,
        }
    }
}

/// An object that an event is about, and as what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct About {
    pub(super) object: Object,
    pub(super) qualifier: &'static str,
}

/// What events may be about, part their history.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    /// An order of the ticket.
    Order(OrderNo),
    /// A responsible unit.
    Unit(UnitId),
    /// The customer, by id alone.
    Customer(Uuid),
}

/// An event of a history.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    pub(super) id: Uuid,
    pub(super) revision: u64,
    /// What was done: a stored type without its version, or a foreign source's own words.
    pub(super) name: String,
    pub(super) at: Timestamp,
    pub(super) recorded_at: Timestamp,
    pub(super) resource: Option<String>,
    /// Role and unit; of ours only.
    pub(super) role_and_unit: Option<(&'static str, String)>,
    pub(super) transition: String,
    /// What else is known, by name.
    pub(super) attributes: Vec<(String, String)>,
    pub(super) about: BTreeSet<About>,
}

/// A history.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    pub(super) stream: String,
    pub(super) origin: Origin,
    /// What it is called: its stream, or a foreign source and its case.
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) events: Vec<Activity>,
    /// Units of its orders.
    pub(super) orders: BTreeMap<OrderNo, UnitId>,
}

/// A moment with its zone, as both formats want it.
pub(super) fn moment(at: Timestamp) -> String {
    at.display_with_offset(Offset::UTC).to_string()
}

/// The names of all streams that are wanted, in the order in which they begin.
pub(super) fn streams(
    reader: &Reader,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Box<str>>, duban_log::Error> {
    let mut streams = Vec::new();
    reader.scan(|view| {
        if view.revision == 0 && wanted(view.stream) {
            streams.push(Box::from(view.stream));
        }
        Ok::<_, duban_log::Error>(ControlFlow::Continue(()))
    })?;
    Ok(streams)
}

impl Trace {
    /// Reads one.
    pub(super) fn read(reader: &Reader, stream: &str) -> Result<Self, ProcessMiningError> {
        let name = StreamName::new(stream)?;
        let origin = Origin::of(stream).unwrap_or(Origin::Foreign);
        let mut trace = Self {
            stream: stream.to_owned(),
            origin,
            name: stream.to_owned(),
            attributes: Vec::new(),
            events: Vec::new(),
            orders: BTreeMap::new(),
        };
        let mut from = 0;
        loop {
            let page = reader.read_stream(&name, from, Direction::Forward, PAGE)?;
            for recorded in &page {
                trace.take(recorded).map_err(|source| ProcessMiningError::Event {
                    stream: stream.to_owned(),
                    revision: recorded.revision,
                    source: Box::new(source),
                })?;
            }
            match page.last() {
                Some(last) if !duban_log::ends_stream(&page, PAGE) => from = last.revision + 1,
                _ => break,
            }
        }
        trace.relate_units();
        // A fact may have happened before it was recorded, and a source may tell of steps late.
        trace.events.sort_by_key(|event| (event.at, event.revision));
        Ok(trace)
    }

    fn take(&mut self, recorded: &Recorded) -> Result<(), CodecError> {
        let stored = duban_projections::stored(recorded);
        let meta = duban_codec::decode_meta(&stored)?;
        let mut happened = Activity {
            id: recorded.id,
            revision: recorded.revision,
            name: String::new(),
            at: meta.occurred_at,
            recorded_at: meta.recorded_at,
            resource: None,
            role_and_unit: None,
            transition: "complete".to_owned(),
            attributes: Vec::new(),
            about: BTreeSet::new(),
        };
        match self.origin {
            Origin::Ours => {
                let event = duban_codec::decode_ticket(&recorded.kind, &recorded.payload)?;
                let kind = &recorded.kind;
                happened.name = kind.rsplit_once(".v").map_or(&**kind, |(name, _)| name).to_owned();
                happened.resource = Some(meta.actor.id.to_string());
                happened.role_and_unit = Some((meta.actor.role.name(), meta.actor.unit.to_string()));
                let stage = recorded.tags.iter().find(|(key, _)| &**key == "stage");
                happened.attributes.extend(stage.map(|(_, stage)| ("stage".to_owned(), stage.to_string())));
                self.relate(&event, &mut happened.about);
            }
            Origin::Foreign => {
                let imported::Event::HistoricStep(step) =
                    duban_codec::decode_imported(&recorded.kind, &recorded.payload)?;
                if self.events.is_empty() {
                    self.name = format!("{}/{}", step.source, step.case);
                    self.attributes =
                        vec![("source".to_owned(), step.source), ("case".to_owned(), step.case)];
                }
                happened.name = step.activity;
                happened.resource = step.resource;
                happened.transition = step.transition;
                happened.attributes.extend(step.stage.map(|s| ("stage".to_owned(), s.name().to_owned())));
                for imported::Attribute { name, value } in step.attributes {
                    match name.strip_prefix("case:") {
                        Some(name) => self.of_case(of_source(name), value),
                        None => happened.attributes.push((of_source(&name), value)),
                    }
                }
            }
        }
        self.events.push(happened);
        Ok(())
    }

    /// Something that is said of the whole case, once.
    fn of_case(&mut self, name: String, value: String) {
        if self.attributes.iter().all(|(known, _)| *known != name) {
            self.attributes.push((name, value));
        }
    }

    /// What an event of a ticket is about.
    fn relate(&mut self, event: &Event, about: &mut BTreeSet<About>) {
        let mut order = |order: &OrderNo, qualifier| {
            about.insert(About { object: Object::Order(*order), qualifier });
        };
        match event {
            Event::Intake(intake::Event::TakenIn(taken_in)) => {
                self.attributes = of_intake(taken_in);
                let object = Object::Customer(taken_in.person().0);
                about.insert(About { object, qualifier: "customer" });
            }
            Event::Chain(ChainEvent::Dispatched { lead, assists }) => {
                order(lead, "lead");
                assists.iter().for_each(|assist| order(assist, "assist"));
            }
            Event::Chain(ChainEvent::ReplySentBack { orders, .. }) => {
                orders.iter().for_each(|sent_back| order(sent_back, "sent back"));
            }
            Event::Chain(ChainEvent::Assessed { verdicts, .. }) => {
                for verdict in verdicts {
                    let object = Object::Unit(verdict.unit.clone());
                    about.insert(About { object, qualifier: "assessed" });
                }
            }
            Event::Order(event) => match event {
                order::Event::Issued { order: issued, unit, replaces, .. } => {
                    self.orders.insert(*issued, unit.clone());
                    order(issued, "order");
                    replaces.iter().for_each(|replaced| order(replaced, "replaced"));
                }
                order::Event::WaitingForAssist { order: waits, assist } => {
                    order(waits, "order");
                    order(assist, "waited for");
                }
                order::Event::Accepted { order: of }
                | order::Event::Replied { order: of, .. }
                | order::Event::DoneByStruck { order: of, .. }
                | order::Event::ReturnRequested { order: of, .. }
                | order::Event::ReturnGranted { order: of }
                | order::Event::ReturnRefused { order: of, .. }
                | order::Event::Released { order: of, .. }
                | order::Event::Recalled { order: of, .. }
                | order::Event::ExtensionAsked { order: of, .. }
                | order::Event::ExtensionGranted { order: of, .. }
                | order::Event::ExtensionRefused { order: of, .. } => order(of, "order"),
            },
            Event::Clock(clock::Event::Started(start)) => {
                if let Subject::Order(of) = &start.subject {
                    order(of, "order");
                }
            }
            Event::Intake(_)
            | Event::Contact(_)
            | Event::Chain(_)
            | Event::Clock(_)
            | Event::Gate(_)
            | Event::Verdict(_)
            | Event::Money(_)
            | Event::Fault(_)
            | Event::Install(_) => {}
        }
    }

    /// An event about an order is about the order's unit too.
    fn relate_units(&mut self) {
        for event in &mut self.events {
            let units: Vec<_> = event
                .about
                .iter()
                .filter_map(|about| match &about.object {
                    Object::Order(order) => self.orders.get(order).cloned(),
                    Object::Unit(_) | Object::Customer(_) => None,
                })
                .collect();
            let about = units.into_iter().map(|unit| About { object: Object::Unit(unit), qualifier: "unit" });
            event.about.extend(about);
        }
    }
}

/// What is known of a ticket from its beginning, in the clear.
fn of_intake(intake: &Intake) -> Vec<(String, String)> {
    let named = |value: Option<serde_json::Value>| {
        value.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let channel = named(serde_json::to_value(intake.channel).ok());
    let severity = named(serde_json::to_value(intake.severity).ok());
    let tier = named(serde_json::to_value(intake.tier()).ok());
    let segment = named(serde_json::to_value(intake.segment()).ok());
    let product = named(serde_json::to_value(intake.service.as_ref().map(|service| service.product)).ok());
    let area = &intake.area;
    let text = |text: &str| text.to_owned();
    [
        ("kind", text(intake.kind.name())),
        ("channel", channel),
        ("category", text(&intake.category)),
        ("severity", severity),
        ("tier", tier),
        ("segment", segment),
        ("product", product),
        ("province", text(&area.province)),
        ("city", text(&area.city)),
        ("district", text(&area.district)),
        ("taken_in_at", moment(intake.taken_in_at)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// A source's own name for something, kept apart from the names that these formats and this program give.
fn of_source(name: &str) -> String {
    const OURS: [&str; 10] =
        ["stage", "source", "case", "stream", "id", "revision", "recorded_at", "resource", "role", "unit"];
    let format_like = name.contains(':') && !name.starts_with("source:");
    if format_like || OURS.contains(&name) || name == "transition" || name.is_empty() {
        format!("source:{name}")
    } else {
        name.to_owned()
    }
}
