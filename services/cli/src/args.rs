//! What may be typed. A new verb is a variant here, an arm in `lib.rs`, and a module of its own with `Args` and `run`.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use duban_client::{Client, ClientError, ConnectOptions, Tokens};

use crate::failure::Failure;
use crate::verbs::{
    backup, bench, check_export, conformance, demo, drive, erase, export, generate, history, import, keys,
    migrate, policy, projections, replay, serve, verify, watch,
};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "duban",
    version,
    about = "duban supervises complaints, faults and installs until the customer is satisfied",
    after_help = "Examples:\n  duban demo\n  duban serve --dev --data ./data --tokens ./tokens\n  duban import --data ./data --mapping deploy/mappings/telecom-complaints.toml complaints.tsv\n  duban verify --data ./data\n\nExit status: 0 done, 1 a check failed or something went wrong on the way, 2 wrong use.",
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    /// How the answer is written: for people, or one JSON object (one a line for lists)
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub(crate) output: Output,
    /// What to do
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Everything duban does.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Serve, until told to stop
    Serve(serve::Args),
    /// Play two cases and a week of a small city through gRPC, and check everything
    Demo(demo::Args),
    /// Walk open tickets to closure through gRPC, as the departments would
    Drive(drive::Args),
    /// Take the rows of a CSV or TSV file in as tickets, through a mapping file
    Import(import::Args),
    /// Read a log again, whole: checksums, revisions, the tree's roots
    Verify(verify::Args),
    /// Write one ticket into a file that proves itself whole and unaltered
    Export(export::Args),
    /// Check such a file with nothing but a public key
    CheckExport(check_export::Args),
    /// Fold every ticket of a log again, and compare with the read model
    Replay(replay::Args),
    /// Write seeded, realistic histories into a log
    Generate(generate::Args),
    /// Show what happened to a ticket, and how it stands or stood
    History(history::Args),
    /// Follow a server's events as they come
    Watch(watch::Args),
    /// Hold every history, ours and imported, against the chain
    Conformance(conformance::Args),
    /// Copy log and keys to another directory, beside a running server
    Backup(backup::Args),
    /// Put a backup back, verified whole before it is opened
    Restore(backup::RestoreArgs),
    /// Check the customers' keys, or wrap them under another master key
    Keys(keys::Args),
    /// Erase a customer's key, and with it the customer's texts everywhere
    Erase(erase::Args),
    /// Show how the read models stand, or build them anew
    Projections(projections::Args),
    /// Carry a whole log from a data directory to a cluster, or back
    Migrate(migrate::Args),
    /// Read a draft of a policy before it comes into force, and try it on what has happened
    Policy(policy::Args),
    /// Measure the log, replay, verification or the fan-out on this machine
    Bench(bench::Args),
}

/// A data directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Data {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

/// A log: in a data directory, or on a cluster.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Logged {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The cluster that holds the log: esdb://HOST:PORT,…
    #[arg(long, value_name = "URL")]
    pub(crate) log: Option<String>,
}

/// A server, and who asks it.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// Where the server answers
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7110")]
    server: String,
    /// Certificates (PEM) that vouch for a server at https://, instead of those that the system trusts
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Who asks: a file with `ROLE UNIT TOKEN` lines
    #[arg(long, value_name = "FILE")]
    tokens: PathBuf,
}

impl Server {
    /// How it is reached.
    pub(crate) fn options(&self) -> ConnectOptions {
        options(&self.server, self.ca.as_deref())
    }

    /// The tokens.
    pub(crate) fn tokens(&self) -> Result<Tokens, ClientError> {
        Tokens::read(&self.tokens)
    }

    /// Connects to it.
    pub(crate) async fn connect(&self) -> Result<Client, ClientError> {
        Client::connect(&self.options(), self.tokens()?).await
    }
}

/// A server that may be named instead of a directory, and who asks it.
#[derive(Debug, clap::Args)]
pub(crate) struct NamedServer {
    /// The server to ask
    #[arg(long, value_name = "URL", requires = "tokens")]
    server: Option<String>,
    /// Certificates (PEM) that vouch for a server at https://, instead of those that the system trusts
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
    /// Who asks the server: a file with `ROLE UNIT TOKEN` lines
    #[arg(long, value_name = "FILE", requires = "server")]
    tokens: Option<PathBuf>,
}

impl NamedServer {
    /// Connects to the server that is named.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        let (Some(server), Some(tokens)) = (&self.server, &self.tokens) else {
            return Err(Failure::misuse(
                "name a data directory with --data, or a server with --server and --tokens",
            ));
        };
        let tokens = Tokens::read(tokens).map_err(Failure::misuse)?;
        Client::connect(&options(server, self.ca.as_deref()), tokens).await.map_err(Failure::misuse)
    }
}

fn options(url: &str, ca_file: Option<&Path>) -> ConnectOptions {
    let options = ConnectOptions::new(url);
    match ca_file {
        Some(path) => options.ca_file(path),
        None => options,
    }
}

/// Where the master key is, for verbs that seal or open texts.
#[derive(Debug, clap::Args)]
pub(crate) struct Master {
    /// The master key's file, where it is not kept in the data directory
    #[arg(long, value_name = "FILE")]
    pub(crate) master_key: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_verb_shows_an_example() {
        Cli::command().debug_assert();
        for verb in Cli::command().get_subcommands() {
            let examples = |command: &clap::Command| {
                command.get_after_help().is_some_and(|help| help.to_string().contains("duban "))
            };
            let nested = verb.get_subcommands().next().is_some();
            assert!(examples(verb) || nested && verb.get_subcommands().all(examples), "{}", verb.get_name());
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
        }
    }

    #[test]
    fn output_may_stand_before_or_after_the_verb() {
        for line in [
            ["duban", "--output", "json", "verify", "--data", "d"],
            ["duban", "verify", "--data", "d", "--output", "json"],
        ] {
            assert_eq!(Cli::try_parse_from(line).unwrap().output, Output::Json);
        }
    }
}
