//! `duban conformance`: which histories went the way of the chain, and how the others deviate.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use duban_aggregates::chain::Stage;
use duban_codec::Wire;
use duban_log::Reader;
use duban_projections::conformance::{Counted, Deviation, History, How, Patterns, Wanted};
use duban_projections::{Conformance, ConformanceFold};
use duban_proto::api::v1 as api;
use duban_proto::api::v1::audit_service_client::AuditServiceClient;
use serde::Serialize;

use crate::args::Output;
use crate::data;
use crate::departments::{Authed, CallError, Office, Tokens};
use crate::failure::{Done, Failure};
use crate::output::{self, Progress, count};

/// Histories asked of a server, or of the read model, at a time.
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
        let wanted =
            Wanted { origin: args.origin.clone(), pattern: args.pattern.clone(), ..Wanted::default() };
        source.list(&wanted, |listed| match output {
            Output::Json => output::json(&listed),
            Output::Text => told(&listed),
        })?;
        return Ok(Done::Ok);
    }
    let (patterns, ok) = source.patterns(args.origin.as_deref())?;
    let conforming = patterns.conforming();
    let row = |Counted { origin, pattern, histories }| Row { origin, pattern, histories };
    let answer = Answer {
        ok,
        histories: patterns.histories,
        conforming,
        deviating: patterns.histories.saturating_sub(conforming),
        patterns: patterns.counted.into_iter().map(row).collect(),
    };
    match output {
        Output::Json => output::json(&answer)?,
        Output::Text => show(&answer)?,
    }
    Ok(Done::holds(answer.ok))
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

fn told(listed: &Listed) -> Result<(), Failure> {
    let case = listed.case.as_ref().map(|case| format!(" ({case})")).unwrap_or_default();
    output::text(&format!("{}{case}: {}", listed.stream, listed.pattern))?;
    for Found { how, stage, revision } in &listed.deviations {
        output::text(&format!("  event {revision}: {} {}", how.name(), stage.name()))?;
    }
    Ok(())
}

/// Where the answers come from.
enum Source {
    /// A log that was read whole, and how many histories begin in it.
    Log { conformance: Box<Conformance>, begun: u64 },
    /// A server.
    Server { runtime: tokio::runtime::Runtime, audit: Box<AuditServiceClient<Authed>> },
}

impl Source {
    fn of_log(data: &Path) -> Result<Self, Failure> {
        let reader = data::reader(data)?;
        let progress = Progress::new("conformance", "events", reader.head().size);
        let conformance = Conformance::of_log(ConformanceFold, &reader, &|more| progress.add(more));
        let conformance = Box::new(conformance.map_err(Failure::broken)?);
        Ok(Self::Log { conformance, begun: begun(&reader)? })
    }

    fn of_server(server: &str, tokens: &Path) -> Result<Self, Failure> {
        let tokens = Tokens::read(tokens).map_err(Failure::misuse)?;
        let runtime = data::runtime()?;
        let office = runtime.block_on(Office::connect(server, tokens)).map_err(Failure::misuse)?;
        let audit = Box::new(office.audit().map_err(Failure::misuse)?);
        Ok(Self::Server { runtime, audit })
    }

    /// The table, and whether it adds up. Of a log, to the streams that begin in it, which the table knows nothing of.
    fn patterns(&mut self, origin: Option<&str>) -> Result<(Patterns, bool), Failure> {
        match self {
            Self::Log { conformance, begun } => {
                let patterns = conformance.patterns(origin).map_err(Failure::broken)?;
                let whole = origin.is_some() || patterns.histories == *begun;
                let ok = patterns.add_up() && whole;
                Ok((patterns, ok))
            }
            Self::Server { runtime, audit } => {
                let request = api::GetConformanceRequest {
                    origin: origin.map(str::to_owned),
                    ..api::GetConformanceRequest::default()
                };
                let answered =
                    runtime.block_on(audit.get_conformance(request)).map_err(refused)?.into_inner();
                let counted = answered.patterns.into_iter().map(|row| Counted {
                    origin: row.origin,
                    pattern: row.pattern,
                    histories: row.histories,
                });
                let patterns = Patterns { counted: counted.collect(), histories: answered.histories };
                let ok = answered.adds_up && patterns.add_up();
                Ok((patterns, ok))
            }
        }
    }

    fn list(
        &mut self,
        wanted: &Wanted,
        mut each: impl FnMut(Listed) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self {
            Self::Log { conformance, .. } => {
                let mut after = None;
                loop {
                    let page = conformance.deviating(wanted, after, PAGE as usize);
                    let (page, next) = page.map_err(Failure::broken)?;
                    page.iter().map(listed).try_for_each(&mut each)?;
                    match next {
                        Some(_) => after = next,
                        None => return Ok(()),
                    }
                }
            }
            Self::Server { runtime, audit } => {
                let mut page_token = String::new();
                loop {
                    let request = api::ListDeviationsRequest {
                        page_size: PAGE,
                        page_token,
                        origin: wanted.origin.clone(),
                        pattern: wanted.pattern.clone(),
                        ..api::ListDeviationsRequest::default()
                    };
                    let page =
                        runtime.block_on(audit.list_deviations(request)).map_err(refused)?.into_inner();
                    for view in page.histories {
                        each(of_view(view)?)?;
                    }
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

/// How many histories begin in a log, by its streams' names alone.
fn begun(reader: &Reader) -> Result<u64, Failure> {
    const PREFIXES: [&str; 4] = ["complaint-", "fault-", "install-", "imported-"];
    let mut begun = 0;
    reader.scan(|view| {
        let first = view.revision == 0 && PREFIXES.iter().any(|prefix| view.stream.starts_with(prefix));
        begun += u64::from(first);
        Ok::<_, duban_log::Error>(ControlFlow::Continue(()))
    })?;
    Ok(begun)
}

fn listed(history: &History) -> Listed {
    let found = |Deviation { how, stage, revision }| Found { how, stage, revision };
    Listed {
        history: history.id.to_string(),
        stream: history.stream.clone(),
        origin: history.origin.clone(),
        case: history.case.clone(),
        pattern: history.pattern().to_string(),
        deviations: history.deviations().into_iter().map(found).collect(),
    }
}

fn of_view(view: api::DeviatingHistory) -> Result<Listed, Failure> {
    let found = |found: api::DeviationView| {
        let how = match found.kind() {
            api::DeviationKind::Skipped => How::Skipped,
            api::DeviationKind::OutOfOrder => How::OutOfOrder,
            api::DeviationKind::Repeated => How::Repeated,
            api::DeviationKind::OwnWork => How::OwnWork,
            api::DeviationKind::Unspecified => {
                return Err(Failure::broken("the server names a deviation that this version does not know"));
            }
        };
        let stage = Stage::take(found.stage, "stage").map_err(Failure::broken)?;
        Ok(Found { how, stage, revision: found.revision })
    };
    Ok(Listed {
        history: view.history_id,
        stream: view.stream,
        origin: view.origin,
        case: view.case,
        pattern: view.pattern,
        deviations: view.deviations.into_iter().map(found).collect::<Result<_, _>>()?,
    })
}
