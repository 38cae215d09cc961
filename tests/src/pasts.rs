//! Every past of many tickets: the state that the server answers for each revision, and for the moments of its event, against a fresh
//! fold of those events alone.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use duban_aggregates::ticket::{self, Ticket};
use duban_history::as_of::AsOf;
use duban_history::folded_ticket::FoldedTicket;
use duban_history::text_opener::TextOpener;
use duban_log::{Direction, Reader, Recorded, StreamName};
use duban_proto::api::v1 as api;
use duban_vault::keys::KeyStore;
use duban_vault::seal::Sealer;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::histories::auditor;
use crate::wire::Wire;

/// Differences that are told one by one.
const TOLD_MAX: usize = 20;

/// Events read at a time.
const PAGE: usize = 512;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pasts {
    /// Every answer was what a fresh fold gives.
    pub ok: bool,
    /// Tickets.
    pub tickets: u64,
    /// Answers for a revision, which is every one that there is.
    pub revisions: u64,
    /// Answers for what was known at an event's moment, and for what was true then.
    pub moments: u64,
    /// Of those, answers that custody did not add up in.
    pub custody_off: u64,
    /// Answers that were otherwise.
    pub different: u64,
    /// The first of them.
    pub told: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: u64,
}

impl Pasts {
    fn join(&mut self, other: Self) {
        self.tickets += other.tickets;
        self.revisions += other.revisions;
        self.moments += other.moments;
        self.custody_off += other.custody_off;
        self.different += other.different;
        self.told.extend(other.told);
        self.told.truncate(TOLD_MAX);
    }
}

/// Writes seeded histories into a data directory with the program under test.
pub fn generate(program: &Path, data: &Path, tickets: u64, seed: u64) {
    let output = Command::new(program)
        .args(["generate", "--data"])
        .arg(data)
        .args(["--tickets", &tickets.to_string(), "--seed", &seed.to_string()])
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Asks a server for every past of every ticket of the directory that it serves, with several clients at once.
pub async fn compare(wire: &Wire, data: &Path, clients: usize) -> Pasts {
    let began = Instant::now();
    let reader = Arc::new(Reader::open(&data.join("log")).expect("the log is read beside the server"));
    let keys = KeyStore::open_read_only(data, None).expect("the keys are read beside the server");
    let sealer = Sealer::new(Arc::new(keys));
    let streams = Arc::new(streams(&reader));
    let mut working = tokio::task::JoinSet::new();
    for client in 0..clients {
        let (wire, reader, streams) = (wire.clone(), Arc::clone(&reader), Arc::clone(&streams));
        let opener = TextOpener::new(Some(sealer.clone()), true);
        working.spawn(async move {
            let mut pasts = Pasts::default();
            for stream in streams.iter().skip(client).step_by(clients) {
                one_ticket(&wire, &opener, &events(&reader, stream), &mut pasts).await;
            }
            pasts
        });
    }
    let mut pasts = Pasts::default();
    while let Some(done) = working.join_next().await {
        pasts.join(done.expect("a client works to its end"));
    }
    pasts.ok = pasts.different == 0 && pasts.custody_off == 0 && pasts.tickets > 0;
    pasts.seconds = began.elapsed().as_secs();
    pasts
}

/// The streams of all tickets.
fn streams(reader: &Reader) -> Vec<StreamName> {
    let mut streams = Vec::new();
    let each = |view: &duban_log::View<'_>| {
        let ticket = ["complaint-", "fault-", "install-"].iter().any(|kind| view.stream.starts_with(kind));
        if ticket && view.revision == 0 {
            streams.push(StreamName::new(view.stream)?);
        }
        Ok::<_, duban_log::Error>(ControlFlow::Continue(()))
    };
    reader.scan(each).expect("the log is whole");
    streams
}

fn events(reader: &Reader, stream: &StreamName) -> Vec<Recorded> {
    let mut events: Vec<Recorded> = Vec::new();
    loop {
        let from = events.len() as u64;
        let page = reader.read_stream(stream, from, Direction::Forward, PAGE).expect("the log is whole");
        let more = !duban_log::ends_stream(&page, PAGE);
        events.extend(page);
        if !more {
            return events;
        }
    }
}

/// Folds these events and nothing else.
fn fresh<'e>(events: impl Iterator<Item = &'e Recorded>) -> Option<Ticket> {
    events.fold(None, |ticket, recorded| {
        let event = duban_projections::ticket_event(recorded).expect("it can be read");
        let meta = duban_projections::meta(recorded).expect("it can be read");
        ticket::evolve(ticket, &event, &meta)
    })
}

async fn one_ticket(wire: &Wire, opener: &TextOpener, events: &[Recorded], pasts: &mut Pasts) {
    pasts.tickets += 1;
    for (index, event) in events.iter().enumerate() {
        let moment = |at: i64| Timestamp::from_microsecond(at).expect("a moment of a log");
        let revision = AsOf { revision: Some(event.revision), ..AsOf::default() };
        let known = AsOf { known_at: Some(moment(event.recorded_at)), ..AsOf::default() };
        let truly = AsOf { at: Some(moment(event.occurred_at)), ..AsOf::default() };
        pasts.revisions += 1;
        pasts.moments += 2;
        for (as_of, upto) in [
            (revision, events[..=index].iter().collect::<Vec<_>>()),
            (known, events.iter().filter(|other| other.recorded_at <= event.recorded_at).collect()),
            (truly, events.iter().filter(|other| other.occurred_at <= event.occurred_at).collect()),
        ] {
            one_past(wire, opener, (as_of, &upto), pasts).await;
        }
    }
}

async fn one_past(wire: &Wire, opener: &TextOpener, (as_of, upto): (AsOf, &[&Recorded]), pasts: &mut Pasts) {
    let ticket = fresh(upto.iter().copied()).expect("it begins with its intake");
    let put =
        |at: Timestamp| prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() };
    let request = api::GetTicketRequest {
        ticket_id: ticket.id().to_string(),
        revision: as_of.revision,
        known_at: as_of.known_at.map(put),
        at: as_of.at.map(put),
        ..Default::default()
    };
    let answer: api::GetTicketResponse =
        wire.ask("HistoryService/GetTicket", &auditor(), &request).await.expect("an auditor reads it all");
    let shown = upto.iter().try_fold(None, |folded, event| FoldedTicket::after(folded, event));
    let shown = shown.expect("it can be read").expect("it begins with its intake");
    let moment = as_of.known_at.or(as_of.at).unwrap_or(ticket.last_recorded_at);
    let expected = shown.view(opener, moment);
    let answered = answer.ticket.unwrap_or_default();
    if *shown.ticket() != ticket || answered != expected {
        pasts.different += 1;
        pasts.told.push(format!("{} as of {as_of:?}", ticket.id()));
    }
    let held: u64 = answered.custody.iter().map(|stretch| stretch.seconds).sum();
    if held != open_seconds(upto, moment) {
        pasts.custody_off += 1;
        pasts.told.push(format!("custody of {} as of {as_of:?}", ticket.id()));
    }
}

/// How long a ticket was open up to a moment, in whole seconds, from nothing but whether it was open after each event.
fn open_seconds(events: &[&Recorded], moment: Timestamp) -> u64 {
    let (mut ticket, mut since, mut open) = (None, None, 0);
    let end = moment.as_second();
    for recorded in events {
        let event = duban_projections::ticket_event(recorded).expect("it can be read");
        let meta = duban_projections::meta(recorded).expect("it can be read");
        let at = meta.recorded_at.as_second().min(end);
        ticket = ticket::evolve(ticket, &event, &meta);
        match (since, ticket.as_ref().is_some_and(Ticket::is_open)) {
            (None, true) => since = Some(at),
            (Some(from), false) => {
                open += at - from;
                since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    u64::try_from(open + since.map_or(0, |from| end - from)).unwrap_or(0)
}
