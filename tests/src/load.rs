//! How many commands a second the server takes through gRPC: clients that walk tickets from intake to certificate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use duban_proto::event::v1::TicketKind;
use serde::Serialize;
use tokio::sync::Barrier;

use crate::commands;
use crate::script::{Case, Make, way};
use crate::wire::Wire;
use duban_client::Refusal;
use duban_client::Tokens;

/// What the load was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Clients at work at the same time.
    pub clients: u32,
    /// Connections they shared.
    pub connections: u32,
    /// How long, in seconds.
    pub seconds: f64,
    /// Commands acknowledged, each durable.
    pub commands: u64,
    /// Of these, tickets taken in.
    pub taken_in: u64,
    /// Of these, tickets closed.
    pub closed: u64,
    /// Commands refused.
    pub refused: u64,
    /// Commands a second.
    pub commands_per_second: f64,
    /// Time to an answer that half of all commands kept within, in microseconds.
    pub p50_microseconds: u64,
    /// The same for 99 of 100.
    pub p99_microseconds: u64,
}

/// One client's part of it.
#[derive(Debug, Default)]
struct Part {
    answers_microseconds: Vec<u64>,
    taken_in: u64,
    closed: u64,
    refused: u64,
}

/// Clients that share a connection.
const PER_CONNECTION: u32 = 32;

/// Loads the server at an address for some seconds.
pub async fn load(url: &str, tokens: &Tokens, clients: u32, seconds: u64, name: &str) -> Measured {
    let connections = clients.div_ceil(PER_CONNECTION).max(1);
    let mut wires = Vec::new();
    for _ in 0..connections {
        wires.push(Wire::connect(url, tokens.clone()).await.expect("the server under load answers"));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let together = Arc::new(Barrier::new(clients as usize + 1));
    let parts: Vec<_> = (0..clients)
        .map(|number| {
            let wire = wires[(number / PER_CONNECTION) as usize].clone();
            let (stop, together) = (Arc::clone(&stop), Arc::clone(&together));
            let name = format!("load-{name}-{number}");
            tokio::spawn(async move {
                together.wait().await;
                client(&wire, &stop, &name).await
            })
        })
        .collect();
    together.wait().await;
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Part::default();
    for part in parts {
        let part = part.await.expect("a client ends by itself");
        all.answers_microseconds.extend(part.answers_microseconds);
        all.taken_in += part.taken_in;
        all.closed += part.closed;
        all.refused += part.refused;
    }
    let took = begun.elapsed();
    all.answers_microseconds.sort_unstable();
    let commands = u64::try_from(all.answers_microseconds.len()).unwrap_or(u64::MAX);
    let at = |percent: usize| {
        let place = all.answers_microseconds.len() * percent / 100;
        all.answers_microseconds.get(place).copied().unwrap_or_default()
    };
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let per_second = commands as f64 / took.as_secs_f64();
    Measured {
        clients,
        connections,
        seconds: took.as_secs_f64(),
        commands,
        taken_in: all.taken_in,
        closed: all.closed,
        refused: all.refused,
        commands_per_second: per_second,
        p50_microseconds: at(50),
        p99_microseconds: at(99),
    }
}

async fn client(wire: &Wire, stop: &AtomicBool, name: &str) -> Part {
    const KINDS: [TicketKind; 3] = [TicketKind::Complaint, TicketKind::Fault, TicketKind::Install];
    let mut part = Part::default();
    for round in 0_usize.. {
        let kind = KINDS[round % KINDS.len()];
        let mut case = Case::new(&format!("{name}-{round}"), kind);
        let way: Vec<Make> = way(kind).into_iter().flat_map(|(_, commands)| commands).collect();
        for make in std::iter::once(commands::take_in as Make).chain(way) {
            if stop.load(Ordering::Relaxed) {
                return part;
            }
            let sent = make(&mut case);
            let begun = Instant::now();
            match wire.send(&sent).await {
                Ok(_) => {
                    let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                    part.answers_microseconds.push(took);
                    part.taken_in += u64::from(sent.method == "DeskService/TakeIn");
                    part.closed += u64::from(sent.method == "AssessmentService/Close");
                }
                Err(status) => {
                    if part.refused == 0 {
                        eprintln!("{} was refused: {:?}", sent.method, Refusal::from(&status));
                    }
                    part.refused += 1;
                    break;
                }
            }
        }
    }
    part
}
