//! `duban drive`: walks open tickets to closure through gRPC, as the departments would.

use duban_client::ClientError;

use crate::args::{Output, Server};
use crate::failure::{Done, Failure};
use crate::output::{self, Progress, count};
use duban_demo::drive::{Driven, drive};

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban serve --dev --data ./data --tokens ./tokens &\n  duban drive --server http://127.0.0.1:7110 --tokens ./tokens --tickets all\n\nThe token file has one `ROLE UNIT TOKEN` a line; `serve --dev --tokens FILE` writes it.\nExit status: 0 every ticket was closed, 1 one was not, 2 wrong use.\nJSON: {\"tickets\", \"closed\", \"commands\", \"refused\", \"stuck\": [\"TICKET: reason\"]}"
)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// `all` open ones, or ids with commas between
    #[arg(long, value_name = "all|IDS", default_value = "all")]
    tickets: String,
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let named =
        (args.tickets != "all").then(|| args.tickets.split(',').map(|id| id.trim().to_owned()).collect());
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::broken)?;
    let progress = Progress::new("drive", "tickets", 0);
    let driven = runtime.block_on(async {
        let client = args.server.connect().await?;
        drive(&client, named, |done, total| progress.set(done, total)).await
    });
    drop(progress);
    let driven = driven.map_err(|error| match error {
        ClientError::Refused(_) => Failure::broken(error),
        other => Failure::misuse(other),
    })?;
    match output {
        Output::Json => output::json(&driven)?,
        Output::Text => {
            let Driven { tickets, closed, commands, refused, stuck } = &driven;
            output::text(&format!(
                "{} of {} tickets closed, {} commands, {} refused",
                count(*closed),
                count(*tickets),
                count(*commands),
                count(*refused)
            ))?;
            for line in stuck {
                output::text(line)?;
            }
        }
    }
    Ok(Done::holds(driven.closed == driven.tickets))
}
