//! Loads a server through gRPC and prints what it took as JSON.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use duban_client::Tokens;
use duban_tests::load::load;
use duban_tests::outside::Served;
use duban_tests::place::{PlaceArgs, refused};

/// Commands a second through gRPC: tickets taken in and walked to their certificates by many clients at once.
#[derive(Debug, Parser)]
struct Arguments {
    /// A server that runs already; one is started over a temporary directory, where absent.
    #[arg(long, requires = "tokens")]
    server: Option<String>,
    /// The tokens that it wrote.
    #[arg(long)]
    tokens: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
    /// Clients at work at the same time.
    #[arg(long, default_value_t = 64)]
    clients: u32,
    /// How long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Tells runs against one server apart: the same name twice would repeat the same commands.
    #[arg(long, default_value = "run")]
    name: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let measured = if let (Some(url), Some(tokens)) = (&arguments.server, &arguments.tokens) {
        load(
            url,
            &Tokens::read(tokens).expect("the token file can be read"),
            arguments.clients,
            arguments.seconds,
            &arguments.name,
        )
        .await
    } else {
        let place = match arguments.place.open() {
            Ok(place) => place,
            Err(error) => return refused(&error),
        };
        let served = Served::start(&place.program, &place.directory).await;
        load(&served.url, &served.tokens(), arguments.clients, arguments.seconds, &arguments.name).await
    };
    println!("{}", serde_json::to_string(&measured).expect("a measurement is JSON"));
    ExitCode::SUCCESS
}
