//! From what a subscriber asks for to what the log filters by.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use duban_aggregates::words::Kind;
use duban_codec::types;
use duban_engine::runner::{FieldProblem, RunError};
use duban_log::Filter;
use duban_proto::api::v1::{SlaFilter, StreamFilter};
use duban_proto::event::v1::TicketKind;

use super::token::FilterId;
use crate::access::{Grant, Scope};

/// Values in one part of a filter, at the most.
const VALUES_MAX: usize = 100;

/// A filter, and what it is told by.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) filter: Filter,
    pub(super) id: FilterId,
}

/// The types of a ready-made choice.
fn sla(choice: SlaFilter) -> &'static [&'static str] {
    match choice {
        SlaFilter::Unspecified => &[],
        SlaFilter::Warnings => &[types::CLOCK_WARNED, types::CLOCK_ESCALATED],
        SlaFilter::Breaches => &[types::CLOCK_BREACHED, types::CLOCK_BREACH_WITHDRAWN],
        SlaFilter::Escalations => &[
            types::CLOCK_ESCALATED,
            types::CLOCK_ESCALATION_PROPOSED,
            types::CLOCK_ESCALATION_ISSUED,
            types::CLOCK_ESCALATION_DECLINED,
        ],
        SlaFilter::Receipts => &[
            types::TICKET_TAKEN_IN,
            types::TICKET_OUTSIDE_REQUEST_ADDED,
            types::TICKET_MERGE_RECEIVED,
            types::TICKET_RECEIPT_RECORDED,
            types::CHAIN_REOPENED,
            types::CHAIN_CLOSED,
            types::CHAIN_WITHDRAWN,
            types::CHAIN_REJECTED,
            types::CHAIN_MERGED,
        ],
    }
}

/// Reads a filter. Members of a unit see what their own unit's orders are about, and nothing else.
pub(super) fn read(asked: &StreamFilter, grant: &Grant) -> Result<Wanted, RunError> {
    let mut wrong = Vec::new();
    let mut problem = |field: &str, problem: String| {
        wrong.push(FieldProblem { field: format!("filter.{field}"), problem });
    };
    let mut filter = Filter::all();
    let lists = [
        ("types", asked.types.len()),
        ("units", asked.units.len()),
        ("areas", asked.areas.len()),
        ("provinces", asked.provinces.len()),
        ("categories", asked.categories.len()),
        ("ticket_ids", asked.ticket_ids.len()),
    ];
    for (field, _) in lists.iter().filter(|(_, count)| *count > VALUES_MAX) {
        problem(field, format!("has more than {VALUES_MAX} values"));
    }
    let kinds = kinds(asked, &mut problem);
    for prefix in prefixes(asked, &kinds, &mut problem) {
        filter = filter.stream_prefix(prefix);
    }
    for kind in stored_types(asked, &mut problem) {
        filter = filter.kind(kind);
    }
    let tags = [
        ("unit", "units", &asked.units),
        ("area", "areas", &asked.areas),
        ("province", "provinces", &asked.provinces),
        ("category", "categories", &asked.categories),
    ];
    for (key, field, values) in tags {
        for value in values {
            if value.trim().is_empty() {
                problem(field, "has an empty value".to_owned());
            }
            filter = filter.tag(key, value.as_str());
        }
    }
    if !wrong.is_empty() {
        return Err(RunError::Fields { fields: wrong });
    }
    if grant.scope == Scope::OwnUnit && asked.units.is_empty() {
        filter = filter.tag("unit", grant.actor.unit.as_str());
    }
    let id = id_of(&filter);
    Ok(Wanted { filter, id })
}

fn kinds(asked: &StreamFilter, problem: &mut impl FnMut(&str, String)) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for kind in &asked.kinds {
        match TicketKind::try_from(*kind) {
            Ok(TicketKind::Complaint) => kinds.push(Kind::Complaint),
            Ok(TicketKind::Fault) => kinds.push(Kind::Fault),
            Ok(TicketKind::Install) => kinds.push(Kind::Install),
            Ok(TicketKind::Unspecified) | Err(_) => problem("kinds", format!("{kind} is no kind of ticket")),
        }
    }
    kinds
}

/// Streams are named by kind and id.
fn prefixes(
    asked: &StreamFilter,
    kinds: &[Kind],
    problem: &mut impl FnMut(&str, String),
) -> BTreeSet<String> {
    let all = [Kind::Complaint, Kind::Fault, Kind::Install];
    let of = if kinds.is_empty() { &all[..] } else { kinds };
    if asked.ticket_ids.is_empty() {
        return kinds.iter().map(|kind| format!("{}-", kind.name())).collect();
    }
    let mut prefixes = BTreeSet::new();
    for id in &asked.ticket_ids {
        match uuid::Uuid::parse_str(id) {
            Ok(id) => prefixes.extend(of.iter().map(|kind| format!("{}-{id}", kind.name()))),
            Err(_) => problem("ticket_ids", "holds something else than a UUID".to_owned()),
        }
    }
    prefixes
}

fn stored_types(asked: &StreamFilter, problem: &mut impl FnMut(&str, String)) -> BTreeSet<&'static str> {
    let mut wanted = BTreeSet::new();
    for name in &asked.types {
        let group = name.ends_with('.');
        let known = types::ALL
            .iter()
            .filter(|known| if group { known.starts_with(name.as_str()) } else { *known == name });
        let before = wanted.len();
        let mut any = false;
        for kind in known {
            any = true;
            wanted.insert(*kind);
        }
        if !any && wanted.len() == before {
            problem("types", format!("`{name}` is no stored type and no beginning of some up to a dot"));
        }
    }
    let Ok(choice) = SlaFilter::try_from(asked.sla) else {
        problem("sla", format!("{} is no ready-made choice", asked.sla));
        return wanted;
    };
    let ready = sla(choice);
    if !ready.is_empty() && !wanted.is_empty() {
        wanted.retain(|kind| ready.contains(kind));
        if wanted.is_empty() {
            problem("types", "shares nothing with `sla`".to_owned());
        }
    } else {
        wanted.extend(ready);
    }
    wanted
}

/// The same filter asked for in another order is the same.
fn id_of(filter: &Filter) -> FilterId {
    let mut text = String::new();
    let prefixes: BTreeSet<_> = filter.stream_prefixes.iter().collect();
    let tags: BTreeSet<_> = filter.tags.iter().collect();
    for part in prefixes {
        text.push_str(&format!("s{}:{part}", part.len()));
    }
    for part in &filter.kinds {
        text.push_str(&format!("k{}:{part}", part.len()));
    }
    for (key, value) in tags {
        text.push_str(&format!("t{}:{key}{}:{value}", key.len(), value.len()));
    }
    let mut id = FilterId::default();
    let length = id.len();
    id.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..length]);
    id
}
