//! `duban projections`: how the read models stand, and building them anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duban_aggregates::office::hex;
use duban_client::ClientError;
use duban_engine::views;
use duban_log::{EventLog, Options, Position, SegmentedLog};
use duban_projections::{Inspected, Rebuilt};
use duban_proto::api::v1::board_service_client::BoardServiceClient;
use duban_proto::api::v1::{ListProjectionsRequest, ProjectionState, ProjectionView};
use serde::Serialize;

use crate::args::{Data, NamedServer, Output};
use crate::data;
use crate::failure::{Done, Failure};
use crate::output::{self, count};
use crate::progress::Bars;

/// What may be typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show how far each read model is, and whether it can be used
    List(List),
    /// Build read models anew beside the old ones, compare both, and swap them
    Rebuild(Rebuild),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban projections list --data ./data\n  duban projections list --server http://127.0.0.1:7110 --tokens ./tokens\n\nWith --data no server may be running on the directory; with --server a running one is asked.\nExit status: 0 all can be used and go on, 1 one cannot or does not, 2 wrong use.\nJSON: {\"ok\", \"projections\": [{\"name\", \"version\", \"state\", \"position\", \"lag\", \"rows\", \"reason\"}]}"
)]
struct List {
    /// The data directory, of which no server is running
    #[arg(long, value_name = "DIR", required_unless_present = "server", conflicts_with = "server")]
    data: Option<PathBuf>,
    #[command(flatten)]
    server: NamedServer,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban projections rebuild --all --data ./data\n  duban projections rebuild tickets --data ./data\n\nNo server may be running on the directory. The old read model is brought up to the log's end first, so that both hold the same\nevents: they are equal when the digests over all their rows are.\nExit status: 0 built, and equal to what was there where that could be used, 1 not equal, 2 wrong use.\nJSON: {\"ok\", \"projections\": [{\"name\", \"rows\", \"before\", \"after\", \"equal\", \"unusable\"}]}"
)]
struct Rebuild {
    #[command(flatten)]
    data: Data,
    /// Which read models
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

/// There is no such read model.
#[derive(Debug, thiserror::Error)]
#[error("there is no read model `{name}`: name {}", views::NAMES.join(" or "))]
struct NoSuch {
    name: String,
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    match &args.what {
        What::List(list) => self::list(list, output),
        What::Rebuild(rebuild) => self::rebuild(rebuild, output),
    }
}

#[derive(Serialize)]
struct Answer<T> {
    ok: bool,
    projections: Vec<T>,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    version: u32,
    /// `current`, `behind`, `stopped`; of a directory also `unusable`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    lag: u64,
    rows: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The log, with the lock that covers the read models too, and nothing more to come in it.
fn closed_log(data: &Path) -> Result<Arc<SegmentedLog>, Failure> {
    let log = SegmentedLog::open(&data::existing_log_dir(data)?, Options::default())?;
    Ok(Arc::new(log))
}

fn list(args: &List, output: Output) -> Result<Done, Failure> {
    let listed = match &args.data {
        Some(data) => of_directory(data)?,
        None => of_server(&args.server)?,
    };
    let ok = listed.iter().all(|listed| listed.state == "current" || listed.state == "behind");
    match output {
        Output::Json => output::json(&Answer { ok, projections: listed })?,
        Output::Text => {
            for Listed { name, version, state, position, lag, rows, reason } in &listed {
                let at =
                    position.map_or_else(|| "nothing".to_owned(), |at| format!("position {}", count(at)));
                let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                output::text(&format!(
                    "{name} v{version}: {state}, read up to {at}, {} behind, {} rows{reason}",
                    count(*lag),
                    count(*rows)
                ))?;
            }
        }
    }
    Ok(Done::holds(ok))
}

fn of_directory(data: &Path) -> Result<Vec<Listed>, Failure> {
    let log = closed_log(data)?;
    let size = log.head().size;
    let listed = |inspected: Inspected| {
        let Inspected { name, version, found } = inspected;
        let name = name.to_owned();
        match found {
            Ok((position, rows)) => {
                let position = position.map(Position::get);
                let lag = size.saturating_sub(position.map_or(0, |position| position + 1));
                let state = if lag == 0 { "current" } else { "behind" };
                Listed { name, version, state, position, lag, rows, reason: None }
            }
            Err(why) => {
                let reason = Some(format!("{why}; it is built anew when a server starts"));
                Listed { name, version, state: "unusable", position: None, lag: size, rows: 0, reason }
            }
        }
    };
    Ok(views::inspect(data, &data::rules_in(data)?, log.head().position).into_iter().map(listed).collect())
}

fn of_server(server: &NamedServer) -> Result<Vec<Listed>, Failure> {
    data::runtime()?.block_on(async {
        let client = server.connect().await?;
        let asked = async {
            let mut board = BoardServiceClient::new(client.channel("monitor", "monitoring")?);
            Ok::<_, ClientError>(board.list_projections(ListProjectionsRequest {}).await?.into_inner())
        };
        let answer = asked.await.map_err(Failure::misuse)?;
        Ok(answer.projections.into_iter().map(of_view).collect())
    })
}

fn of_view(view: ProjectionView) -> Listed {
    let state = match view.state() {
        ProjectionState::Current => "current",
        ProjectionState::Behind => "behind",
        ProjectionState::Stopped | ProjectionState::Unspecified => "stopped",
    };
    Listed {
        state,
        position: view.position.parse().ok(),
        lag: view.lag,
        rows: view.rows,
        reason: view.stopped_by,
        name: view.name,
        version: view.version,
    }
}

#[derive(Serialize)]
struct Built {
    name: &'static str,
    rows: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    after: String,
    /// Absent where there was nothing to compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    equal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<String>,
}

impl From<Rebuilt> for Built {
    fn from(rebuilt: Rebuilt) -> Self {
        let Rebuilt { name, before, after, rows } = rebuilt;
        let equal = before.as_ref().ok().map(|before| *before == after);
        let (before, unusable) = match before {
            Ok(before) => (Some(hex(&before)), None),
            Err(why) => (None, Some(why)),
        };
        Self { name, rows, before, after: hex(&after), equal, unusable }
    }
}

fn rebuild(args: &Rebuild, output: Output) -> Result<Done, Failure> {
    let names: Vec<&str> =
        if args.all { views::NAMES.to_vec() } else { args.names.iter().map(String::as_str).collect() };
    if let Some(name) = names.iter().find(|name| !views::NAMES.contains(name)) {
        return Err(Failure::misuse(NoSuch { name: (*name).to_owned() }));
    }
    let data = &args.data.data;
    let rules = data::rules_in(data)?;
    let log = closed_log(data)?;
    let bars = Bars::default();
    let told = |name, done, total| bars.show(name, done, total);
    let mut built = Vec::new();
    let runtime = data::runtime()?;
    runtime.block_on(log.close())?;
    for name in names {
        let log: Arc<dyn EventLog> = Arc::clone(&log) as Arc<dyn EventLog>;
        let rebuilt = runtime.block_on(views::rebuild_named(name, data, &rules, log, &told));
        if let Some(rebuilt) = rebuilt {
            built.push(Built::from(rebuilt.map_err(Failure::broken)?));
        }
    }
    drop(bars);
    let ok = built.iter().all(|built| built.equal != Some(false));
    match output {
        Output::Json => output::json(&Answer { ok, projections: built })?,
        Output::Text => {
            for Built { name, rows, after, equal, unusable, .. } in &built {
                let compared = match (equal, unusable) {
                    (Some(true), _) => "equal to what was there".to_owned(),
                    (Some(false), _) => "NOT equal to what was there".to_owned(),
                    (None, why) => format!("nothing to compare with: {}", why.as_deref().unwrap_or_default()),
                };
                output::text(&format!("{name}: {} rows, digest {after}, {compared}", count(*rows)))?;
            }
            output::text(if ok { "ok" } else { "not ok" })?;
        }
    }
    Ok(Done::holds(ok))
}
