//! `duban conformance`: which histories went the way of the chain, and how the others deviate.

use std::path::{Path, PathBuf};

use duban_aggregates::words::Stage;
use duban_codec::Wire;
use duban_history::conformance::ConformanceOfLog;
use duban_projections::conformance::How;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::audit_service_client::AuditServiceClient;
use serde::Serialize;

use crate::args::Output;
use crate::departments::{Authed, CallError, Tokens};
use crate::failure::{Done, Failure};
use crate::output::{self, Progress, count};
use crate::{data, departments};

/// Histories asked of a server at a time.
const PAGE: u32 = 500;

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban conformance --data ./data\n  duban conformance --data ./data --origin imported/helpdesk --output json\n  duban conformance --data ./data --histories --pattern \"repeated dispatch\"\n  duban conformance --server http://127.0.0.1:7110 --tokens ./tokens\n\nEvery history, ours and imported, is held against investigate, dispatch, reply, feedback, inspect, report, assess, close. Stages may be\nskipped, out of order, repeated without a round that says so, or judged by who did the work (own work). Every history is in exactly\none pattern. With --data the log is read whole, also beside a running server.\nExit status: 0 the table adds up to the histories, 1 it does not, 2 wrong use. A deviation is no failure of this check.\nJSON: {\"ok\", \"histories\", \"conforming\", \"deviating\", \"patterns\": [{\"origin\", \"pattern\", \"histories\"}]}; with --histories one a line:\n{\"history\", \"stream\", \"origin\", \"case\", \"pattern\", \"deviations\": [{\"how\", \"stage\", \"revision\"}]}."
)]
pub(crate) struct Args {
    /// The data directory
    #[arg(long, value_name = "DIR", required_unless_present = "server", conflicts_with = "server")]
    data: Option<PathBuf>,
    /// Where a server answers
    #[arg(long, value_name = "URL", requires = "tokens")]
    server: Option<String>,
    /// Who asks the server: a file with `ROLE UNIT TOKEN` lines, an auditor's among them
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Only histories that come from there: `complaint`, `fault`, `install`, or `imported/` and the mapping's name
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// List the histories that deviate, and the events by which it shows
    #[arg(long)]
    histories: bool,
    /// Only those in this pattern, as the table writes it
    #[arg(long, value_name = "PATTERN", requires = "histories")]
    pattern: Option<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    ok: bool,
    histories: u64,
    conforming: u64,
    deviating: u64,
    patterns: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    origin: String,
    pattern: String,
    histories: u64,
}

#[derive(Debug, Serialize)]
struct Listed {
    history: String,
    stream: String,
    origin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    case: Option<String>,
    pattern: String,
    deviations: Vec<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    how: How,
    stage: Stage,
    revision: u64,
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let mut source = match (&args.data, &args.server, &args.tokens) {
        (Some(data), _, _) => Source::of_log(data)?,
        (None, Some(server), Some(tokens)) => Source::of_server(server, tokens)?,
        // clap asks for one of the two.
        (None, _, _) => return Err(Failure::misuse("name a data directory or a server")),
    };
    if args.histories {
        source.deviating(args, |history| {
            let listed = Listed::of(history)?;
            match output {
                Output::Json => output::json(&listed),
                Output::Text => show_history(&listed),
            }
        })?;
        return Ok(Done::Ok);
    }
    let answer = Answer::of(source.patterns(args)?);
    match output {
        Output::Json => output::json(&answer)?,
        Output::Text => show(&answer)?,
    }
    Ok(Done::holds(answer.ok))
}

impl Answer {
    fn of(answered: api::GetConformanceResponse) -> Self {
        let api::GetConformanceResponse { histories, conforming, adds_up, patterns } = answered;
        let sum: u64 = patterns.iter().map(|row| row.histories).sum();
        let row = |api::PatternView { origin, pattern, histories }| Row { origin, pattern, histories };
        Self {
            ok: adds_up && sum == histories,
            histories,
            conforming,
            deviating: histories.saturating_sub(conforming),
            patterns: patterns.into_iter().map(row).collect(),
        }
    }
}

impl Listed {
    fn of(view: api::DeviatingHistory) -> Result<Self, Failure> {
        let found = |found: api::DeviationView| {
            let how = match found.kind() {
                api::DeviationKind::Skipped => How::Skipped,
                api::DeviationKind::OutOfOrder => How::OutOfOrder,
                api::DeviationKind::Repeated => How::Repeated,
                api::DeviationKind::OwnWork => How::OwnWork,
                api::DeviationKind::Unspecified => {
                    return Err(Failure::broken(
                        "the server names a deviation that this version does not know",
                    ));
                }
            };
            let stage = Stage::take(found.stage, "stage").map_err(Failure::broken)?;
            Ok(Found { how, stage, revision: found.revision })
        };
        Ok(Self {
            history: view.history_id,
            stream: view.stream,
            origin: view.origin,
            case: view.case,
            pattern: view.pattern,
            deviations: view.deviations.into_iter().map(found).collect::<Result<_, _>>()?,
        })
    }
}

fn show(answer: &Answer) -> Result<(), Failure> {
    output::text(&format!(
        "{} histories: {} conform, {} deviate",
        count(answer.histories),
        count(answer.conforming),
        count(answer.deviating)
    ))?;
    let width = answer.patterns.iter().map(|row| row.origin.len()).max().unwrap_or_default();
    for Row { origin, pattern, histories } in &answer.patterns {
        output::text(&format!("{:>10}  {origin:width$}  {pattern}", count(*histories)))?;
    }
    output::text(if answer.ok { "ok" } else { "not ok: the table does not add up to the histories" })
}

fn show_history(listed: &Listed) -> Result<(), Failure> {
    let case = listed.case.as_ref().map(|case| format!(" ({case})")).unwrap_or_default();
    output::text(&format!("{}{case}: {}", listed.stream, listed.pattern))?;
    for Found { how, stage, revision } in &listed.deviations {
        output::text(&format!("  event {revision}: {} {}", how.name(), stage.name()))?;
    }
    Ok(())
}

/// Where the answers come from.
enum Source {
    /// A log that was read whole.
    Log(ConformanceOfLog),
    /// A server.
    Server { runtime: tokio::runtime::Runtime, audit: Box<AuditServiceClient<Authed>> },
}

impl Source {
    fn of_log(data: &Path) -> Result<Self, Failure> {
        let reader = data::reader(data)?;
        let progress = Progress::new("conformance", "events", reader.head().size);
        let read = ConformanceOfLog::read(&reader, &|more| progress.add(more));
        read.map(Self::Log).map_err(Failure::broken)
    }

    fn of_server(server: &str, tokens: &Path) -> Result<Self, Failure> {
        let tokens = Tokens::read(tokens).map_err(Failure::misuse)?;
        let runtime = data::runtime()?;
        let office = runtime.block_on(departments::connect(server, tokens)).map_err(Failure::misuse)?;
        let audit = Box::new(office.audit().map_err(Failure::misuse)?);
        Ok(Self::Server { runtime, audit })
    }

    fn patterns(&mut self, args: &Args) -> Result<api::GetConformanceResponse, Failure> {
        match self {
            Self::Log(conformance) => conformance.patterns(args.origin.as_deref()).map_err(Failure::broken),
            Self::Server { runtime, audit } => {
                let request =
                    api::GetConformanceRequest { origin: args.origin.clone(), ..Default::default() };
                Ok(runtime.block_on(audit.get_conformance(request)).map_err(refused)?.into_inner())
            }
        }
    }

    fn deviating(
        &mut self,
        args: &Args,
        mut each: impl FnMut(api::DeviatingHistory) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self {
            Self::Log(conformance) => {
                conformance.deviating(args.origin.as_deref(), args.pattern.as_deref(), each)
            }
            Self::Server { runtime, audit } => {
                let mut page_token = String::new();
                loop {
                    let request = api::ListDeviationsRequest {
                        page_size: PAGE,
                        page_token,
                        origin: args.origin.clone(),
                        pattern: args.pattern.clone(),
                        ..Default::default()
                    };
                    let page =
                        runtime.block_on(audit.list_deviations(request)).map_err(refused)?.into_inner();
                    page.histories.into_iter().try_for_each(&mut each)?;
                    page_token = page.next_page_token;
                    if page_token.is_empty() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn refused(status: tonic::Status) -> Failure {
    Failure::misuse(CallError::from(status))
}
