//! `duban watch`: follows a server's events, and goes on where it was after whatever comes between.

use std::path::{Path, PathBuf};

use duban_client::{Client, Interruption, StartAt, Subscription, Tokens};
use duban_proto::api::v1::{SlaFilter, StreamFilter, StreamNews, SubscribeResponse};
use duban_proto::event::v1::{Event, TicketKind};
use jiff::Timestamp;
use jiff::tz::Offset;

use crate::args::{Output, Server};
use crate::failure::{Done, Failure};
use crate::{data, output};

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban watch --tokens ./tokens\n  duban watch --tokens ./tokens --from start --until-caught-up --output json\n  duban watch --tokens ./tokens --sla breaches --token-file ./breaches.token\n  duban watch --tokens ./tokens --kind fault --type clock. --unit line-crew\n\nIt follows until it is stopped, and comes back by itself when the connection breaks: no event is lost, none comes twice.\nWith --token-file it also goes on there after it was stopped; the file is written after the events were.\nJSON: one event a line, as it is published."
)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// Which of them
    #[arg(long, value_name = "ROLE", default_value = "monitor")]
    role: String,
    /// The unit that goes with it
    #[arg(long, value_name = "UNIT", default_value = "monitoring")]
    as_unit: String,
    /// Where to begin: `start`, `now`, or a token
    #[arg(long, value_name = "start|now|TOKEN", default_value = "now")]
    from: String,
    /// Keeps the token here, and begins with it where there is one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Kinds of ticket
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Vec<Kind>,
    /// Stored types, or the beginning of some up to a dot
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Units
    #[arg(long, value_name = "UNIT")]
    unit: Vec<String>,
    /// Districts
    #[arg(long, value_name = "AREA")]
    area: Vec<String>,
    /// Categories
    #[arg(long, value_name = "PATH")]
    category: Vec<String>,
    /// Tickets
    #[arg(long, value_name = "UUID")]
    ticket: Vec<String>,
    /// A ready-made choice of types
    #[arg(long, value_enum, value_name = "CHOICE")]
    sla: Option<Sla>,
    /// Ends once everything that there is was shown
    #[arg(long)]
    until_caught_up: bool,
    /// Ends after so many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    Complaint,
    Fault,
    Install,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Sla {
    /// A clock has used up its share of the time
    Warnings,
    /// Breaches, and those that were withdrawn
    Breaches,
    /// The ladder, from 催办 to 约谈
    Escalations,
    /// What outside bodies come to be owed, and what they get
    Receipts,
}

/// Why the token file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the token file {path} cannot be {what}")]
struct TokenFile {
    path: String,
    what: &'static str,
    source: std::io::Error,
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let tokens = args.server.tokens().map_err(Failure::misuse)?;
    data::runtime()?.block_on(async {
        tokio::select! {
            watched = watch(args, tokens, output) => watched,
            // What was shown is shown, and its token kept.
            stopped = tokio::signal::ctrl_c() => stopped.map(|()| Done::Ok).map_err(Failure::broken),
        }
    })
}

async fn watch(args: &Args, tokens: Tokens, output: Output) -> Result<Done, Failure> {
    let start_at = begin(args)?;
    let options = args.server.options();
    // Who goes on after a token waits for a server that is not there yet.
    let options = if matches!(start_at, StartAt::Token(_)) { options.lazy() } else { options };
    let client = Client::connect(&options, tokens).await.map_err(Failure::misuse)?;
    let stream = Subscription::new(&client, &args.role, &args.as_unit, start_at).map_err(Failure::misuse)?;
    let mut stream = stream.filter(filter(args)).on_interruption(|Interruption { why, again_after }| {
        eprintln!("duban: {why}; trying again in {} ms", again_after.as_millis());
    });
    let mut asked = false;
    let mut shown = 0;
    loop {
        let message = stream.message().await.map_err(|error| {
            // What is refused at once was asked for wrongly.
            if asked { Failure::broken(error) } else { Failure::misuse(error) }
        })?;
        asked = true;
        let news = message.news();
        let SubscribeResponse { events, token, .. } = message;
        for event in &events {
            if args.limit.is_some_and(|limit| shown >= limit) {
                return Ok(Done::Ok);
            }
            show(event, output)?;
            shown += 1;
        }
        if let Some(file) = &args.token_file {
            keep(file, &token)?;
        }
        if news == StreamNews::FellBehind {
            eprintln!("duban: events come faster than they are read here; none is lost");
        }
        let enough = args.limit.is_some_and(|limit| shown >= limit);
        if enough || args.until_caught_up && news == StreamNews::CaughtUp {
            return Ok(Done::Ok);
        }
    }
}

fn begin(args: &Args) -> Result<StartAt, Failure> {
    if let Some(file) = &args.token_file {
        match std::fs::read_to_string(file) {
            Ok(token) if !token.trim().is_empty() => return Ok(StartAt::Token(token.trim().to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(Failure::misuse(token_file(file, "read", source))),
        }
    }
    Ok(match args.from.as_str() {
        "start" => StartAt::Beginning,
        "now" => StartAt::Now,
        token => StartAt::Token(token.to_owned()),
    })
}

fn token_file(path: &Path, what: &'static str, source: std::io::Error) -> TokenFile {
    TokenFile { path: path.display().to_string(), what, source }
}

/// Written beside and moved over, so that a crash leaves the old token or the new one.
fn keep(file: &Path, token: &str) -> Result<(), Failure> {
    let beside = file.with_extension("part");
    let written = std::fs::write(&beside, token).and_then(|()| std::fs::rename(&beside, file));
    written.map_err(|source| Failure::broken(token_file(file, "written", source)))
}

fn filter(args: &Args) -> StreamFilter {
    let kind = |kind: &Kind| match kind {
        Kind::Complaint => TicketKind::Complaint.into(),
        Kind::Fault => TicketKind::Fault.into(),
        Kind::Install => TicketKind::Install.into(),
    };
    let sla = match args.sla {
        None => SlaFilter::Unspecified,
        Some(Sla::Warnings) => SlaFilter::Warnings,
        Some(Sla::Breaches) => SlaFilter::Breaches,
        Some(Sla::Escalations) => SlaFilter::Escalations,
        Some(Sla::Receipts) => SlaFilter::Receipts,
    };
    StreamFilter {
        kinds: args.kind.iter().map(kind).collect(),
        types: args.types.clone(),
        units: args.unit.clone(),
        areas: args.area.clone(),
        provinces: Vec::new(),
        categories: args.category.clone(),
        ticket_ids: args.ticket.clone(),
        sla: sla.into(),
    }
}

fn show(event: &Event, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        let json = duban_codec::to_json(event).map_err(Failure::broken)?;
        return output::text(&json);
    }
    let local = |at: &Option<prost_types::Timestamp>| {
        let at = at.as_ref().and_then(|at| Timestamp::new(at.seconds, at.nanos).ok()).unwrap_or_default();
        Offset::constant(8).to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
    };
    let (recorded, occurred) = (local(&event.recorded_at), local(&event.occurred_at));
    let happened = if recorded == occurred { String::new() } else { format!("  (happened {occurred})") };
    let actor = event.metadata.as_ref().map_or("", |metadata| metadata.actor_id.as_str());
    let unit = event.tags.iter().find(|tag| tag.key == "unit").map_or("", |tag| tag.value.as_str());
    output::text(&format!(
        "{recorded}  {:<32} {:<46} {actor:<18} {unit}{happened}",
        event.r#type, event.stream
    ))
}
