//! Prints the figures of [`duban_log::bench`] for a new directory: `bench DIR [SECONDS]`.

use std::path::PathBuf;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("which directory?")?);
    let seconds = arguments.next().and_then(|s| s.to_str()?.parse().ok()).unwrap_or(5.0);
    let figures = duban_log::bench::run(&dir, Duration::from_secs_f64(seconds)).await?;
    println!("{figures:#.0?}");
    Ok(())
}
