//! Answers on stdout, progress on stderr.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use serde::Serialize;

use crate::failure::Failure;

/// Prints one JSON object in a line of its own.
pub(crate) fn json(answer: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(answer).map_err(Failure::broken)?;
    text(&line)
}

/// Prints a line.
pub(crate) fn text(line: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        // Whoever reads has seen enough (`| head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(Failure::broken),
    }
}

/// A count with separators, `2,224`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How many a second, whole.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people to read"
)]
pub(crate) fn rate(count: u64, time: Duration) -> u64 {
    (count as f64 / time.as_secs_f64().max(1e-9)).round() as u64
}

/// Between two lines where stderr is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(3);

/// How far something is: a bar on a terminal, else a line every few seconds.
pub(crate) struct Progress {
    what: &'static str,
    unit: &'static str,
    total: AtomicU64,
    done: AtomicU64,
    started: Instant,
    said: Mutex<Instant>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins; a total of 0 is not known yet.
    pub(crate) fn new(what: &'static str, unit: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{prefix} {wide_bar} {human_pos}/{human_len} {msg} {per_sec} eta {eta}",
            );
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                .with_prefix(what)
                .with_message(unit)
        });
        let started = Instant::now();
        Self {
            what,
            unit,
            total: AtomicU64::new(total),
            done: AtomicU64::new(0),
            started,
            said: Mutex::new(started),
            bar,
        }
    }

    /// So many more are done.
    pub(crate) fn add(&self, more: u64) {
        let done = self.done.fetch_add(more, Ordering::Relaxed) + more;
        self.show(done, self.total.load(Ordering::Relaxed));
    }

    /// So many are done, of so many.
    pub(crate) fn set(&self, done: u64, total: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.show(done, total);
    }

    fn show(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            return;
        }
        // Whoever finds it locked leaves the line to who holds it.
        let Some(mut said) = self.said.try_lock() else { return };
        if said.elapsed() >= LINE_EVERY {
            *said = Instant::now();
            let rate = count(rate(done, self.started.elapsed()));
            let (what, unit) = (self.what, self.unit);
            eprintln!("{what}: {} of {} {unit}, {rate} {unit}/s", count(done), count(total));
        }
    }

    /// How long it has taken so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }
}
