//! What a reader wants to see: a board, one history with custody, its certificate.

use std::collections::BTreeMap;
use std::fmt::Write;

use duban_client::{Client, ClientError};
use duban_proto::api::v1 as api;
use duban_proto::event::v1::{self as ev, Stage, TicketKind};
use jiff::Timestamp;
use jiff::tz::Offset;

/// A page of events; a demo ticket has fewer.
const PAGE: u32 = 1_000;

/// All events of a ticket.
///
/// # Errors
/// [`ClientError::Refused`].
pub(crate) async fn events(
    client: &Client,
    ticket: &str,
    min_position: &str,
) -> Result<Vec<api::HistoryEvent>, ClientError> {
    let request = api::ListEventsRequest {
        ticket_id: ticket.to_owned(),
        min_position: min_position.to_owned(),
        page_size: PAGE,
        ..Default::default()
    };
    Ok(client.desk_history()?.list_events(request).await?.into_inner().events)
}

/// Custody's seconds add up to the open time exactly.
///
/// # Errors
/// What does not add up.
pub(crate) fn custody_adds_up(ticket: &api::Ticket) -> Result<(), String> {
    let summary = ticket.summary.clone().unwrap_or_default();
    let begin = ticket.custody.first().and_then(|stretch| stretch.from).map_or(0, |at| at.seconds);
    let end = summary.ended_at.map_or(0, |at| at.seconds);
    let sum: u64 = ticket
        .custody
        .iter()
        .filter(|stretch| stretch.holder != "nobody")
        .map(|stretch| stretch.seconds)
        .sum();
    if i64::try_from(sum).is_ok_and(|sum| sum == end - begin) {
        return Ok(());
    }
    Err(format!("custody adds up to {sum} s, and the ticket was open for {} s", end - begin))
}

/// How many open tickets stand at each stage, by kind.
pub(crate) fn board(tickets: &[api::TicketSummary]) -> String {
    let mut counts: BTreeMap<Stage, BTreeMap<TicketKind, usize>> = BTreeMap::new();
    for ticket in tickets {
        *counts.entry(ticket.stage()).or_default().entry(ticket.kind()).or_default() += 1;
    }
    let mut text = String::from("stage         complaint  fault  install\n");
    for (stage, kinds) in counts {
        let count = |kind| kinds.get(&kind).copied().unwrap_or(0);
        let name = stage.as_str_name().trim_start_matches("STAGE_").to_lowercase();
        let (complaints, faults, installs) =
            (count(TicketKind::Complaint), count(TicketKind::Fault), count(TicketKind::Install));
        let _ = writeln!(text, "{name:<12} {complaints:>10} {faults:>6} {installs:>8}");
    }
    text
}

/// One history: every event with its moment and actor, texts where they may be read.
pub(crate) fn history(events: &[api::HistoryEvent]) -> String {
    let mut text = String::new();
    let mut clocks: BTreeMap<u32, String> = BTreeMap::new();
    for shown in events {
        let Some(event) = &shown.event else { continue };
        let at = event.recorded_at.map_or_else(String::new, |at| local(&at));
        let actor = event.metadata.as_ref().map_or("", |metadata| metadata.actor_id.as_str());
        let words = match about_clock(event, &mut clocks) {
            Some(words) => words,
            None => {
                shown.texts.iter().filter_map(|opened| opened.text.as_deref()).collect::<Vec<_>>().join(" / ")
            }
        };
        let _ = writeln!(text, "{:>3}  {at}  {:<28} {actor:<14} {words}", event.revision, event.r#type);
    }
    text
}

/// What a clock's event is about: which clock, and its due moment where that is news.
fn about_clock(event: &ev::Event, clocks: &mut BTreeMap<u32, String>) -> Option<String> {
    use ev::event::Payload;
    let due = |at: Option<prost_types::Timestamp>| at.map_or_else(String::new, |at| local(&at));
    let (clock, news) = match event.payload.as_ref()? {
        Payload::ClockStarted(started) => {
            let kind = started.kind().as_str_name().trim_start_matches("CLOCK_KIND_").to_lowercase();
            clocks.insert(started.clock, kind);
            (started.clock, format!("due {}", due(started.due)))
        }
        Payload::ClockWarned(warned) => (warned.clock, format!("at {}", due(warned.at))),
        Payload::ClockMet(met) => (met.clock, String::new()),
        Payload::ClockBreached(breached) => (breached.clock, format!("was due {}", due(breached.due))),
        Payload::ClockCancelled(cancelled) => (cancelled.clock, String::new()),
        Payload::ClockResumed(resumed) => (resumed.clock, format!("due {}", due(resumed.due))),
        Payload::ClockRestated(restated) => (restated.clock, format!("due {}", due(restated.due))),
        _ => return None,
    };
    let kind = clocks.get(&clock).map_or("", String::as_str);
    Some(format!("{kind} {news}").trim_end().to_owned())
}

/// Custody as a table.
pub(crate) fn custody(ticket: &api::Ticket) -> String {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for stretch in ticket.custody.iter().filter(|stretch| stretch.holder != "nobody") {
        *sums.entry(stretch.holder.as_str()).or_default() += stretch.seconds;
    }
    let total: u64 = sums.values().sum();
    let mut text = String::new();
    for (holder, seconds) in &sums {
        let share = usize::try_from(seconds * 40 / total.max(1)).unwrap_or(0);
        let _ = writeln!(text, "{holder:<16} {:>9} s  {}", seconds, "█".repeat(share.max(1)));
    }
    let _ = writeln!(text, "{:<16} {total:>9} s", "together");
    text
}

/// The certificate, gate by gate.
pub(crate) fn certificate(ticket: &api::Ticket) -> String {
    let Some(certificate) = &ticket.certificate else { return "no certificate\n".into() };
    let mut text = String::new();
    let _ = writeln!(
        text,
        "closed in round {}, feedback {}",
        certificate.round,
        certificate.feedback().as_str_name().trim_start_matches("FEEDBACK_PASSED_").to_lowercase()
    );
    for gate in &certificate.gates {
        let name = gate.gate().as_str_name().trim_start_matches("GATE_").to_lowercase();
        let how = if gate.waived { "waived" } else { "holds" };
        let _ = writeln!(text, "  {name:<24} {how:<7} {} events", gate.proof.len());
    }
    text
}

/// A moment in Shanghai.
pub(crate) fn local(at: &prost_types::Timestamp) -> String {
    let at = Timestamp::new(at.seconds, at.nanos).unwrap_or(Timestamp::UNIX_EPOCH);
    Offset::constant(8).to_datetime(at).strftime("%m-%d %H:%M:%S").to_string()
}
