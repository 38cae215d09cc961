//! How fast events are read and written on one core: `cargo run --release -p duban-codec --example speed`.

use std::hint::black_box;
use std::time::Instant;

use duban_aggregates::ticket;
use duban_codec::sample::{self, Gen};
use duban_codec::{Parts, Stored, decode_meta, from_json, to_event, to_json, types};

/// What a ticket's life is made of, by how often: a quiet chain of two orders, with its clocks.
const MIX: &[(&str, usize)] = &[
    (types::TICKET_TAKEN_IN, 1),
    (types::CLOCK_STARTED, 12),
    (types::CLOCK_MET, 10),
    (types::CLOCK_CANCELLED, 2),
    (types::TICKET_CUSTOMER_CONTACTED, 1),
    (types::CHAIN_INVESTIGATED, 1),
    (types::CHAIN_DISPATCHED, 1),
    (types::ORDER_ISSUED, 2),
    (types::ORDER_ACCEPTED, 2),
    (types::ORDER_REPLIED, 2),
    (types::GATE_MEASURE_PLANNED, 1),
    (types::GATE_MEASURE_CARRIED_OUT, 1),
    (types::CHAIN_FEEDBACK_RECORDED, 1),
    (types::CHAIN_INSPECTED, 1),
    (types::CHAIN_REPORTED, 1),
    (types::CHAIN_ASSESSED, 1),
    (types::VERDICT_BECAME_FINAL, 1),
    (types::CHAIN_CLOSED, 1),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut g = Gen::plain(7);
    let ticket = || MIX.iter().flat_map(|(kind, count)| std::iter::repeat_n(*kind, *count));
    let parts: Vec<Parts> =
        (0..2_000).flat_map(|_| ticket()).filter_map(|kind| sample::parts(kind, &mut g)).collect();
    let events = parts
        .iter()
        .map(|parts| ticket::Event::decode(parts.kind, &parts.payload))
        .collect::<Result<Vec<_>, _>>()?;
    let json =
        parts.iter().map(|parts| to_json(&to_event(&parts.as_stored())?)).collect::<Result<Vec<_>, _>>()?;

    let mean = |length: usize| length / parts.len();
    let payload = mean(parts.iter().map(|parts| parts.payload.len()).sum());
    let metadata = mean(parts.iter().map(|parts| parts.metadata.len()).sum());
    println!(
        "{} events: payload {payload} bytes, metadata {metadata} bytes, json {} bytes",
        parts.len(),
        mean(json.iter().map(String::len).sum())
    );

    measure("payload -> domain event", 20, parts.len(), || {
        for parts in &parts {
            black_box(ticket::Event::decode(parts.kind, &parts.payload).is_ok());
        }
    });
    measure("metadata -> meta", 20, parts.len(), || {
        for parts in &parts {
            black_box(decode_meta(&parts.as_stored()).is_ok());
        }
    });
    measure("domain event -> payload", 20, parts.len(), || {
        for event in &events {
            black_box(event.encode());
        }
    });
    measure("stored -> envelope", 20, parts.len(), || {
        for parts in &parts {
            black_box(to_event(&parts.as_stored()).is_ok());
        }
    });
    measure("stored -> json", 2, parts.len(), || {
        for parts in &parts {
            black_box(to_event(&parts.as_stored()).and_then(|event| to_json(&event)).is_ok());
        }
    });
    measure("json -> envelope", 2, parts.len(), || {
        for json in &json {
            black_box(from_json(json).is_ok());
        }
    });
    Ok(())
}

/// Five runs, the best and the median: others may share the machine.
fn measure(what: &str, times: u32, events: usize, run: impl Fn()) {
    let mut seconds: Vec<f64> = (0..5)
        .map(|_| {
            let start = Instant::now();
            (0..times).for_each(|_| run());
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let count = f64::from(times) * f64::from(u32::try_from(events).unwrap_or(u32::MAX));
    let rate = |run: usize| count / seconds[run] / 1e6;
    println!("{what:<24} {:>6.2} M events/s at best, {:>6.2} in the median", rate(0), rate(2));
}
