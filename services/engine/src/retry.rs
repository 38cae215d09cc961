//! Pauses between tries.

use std::time::Duration;

use backon::ExponentialBuilder;

/// Pauses that double from the first to the longest, with as much again at random, for as long as it takes.
#[must_use]
pub fn doubling(first: Duration, longest: Duration) -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
}
