//! Read your writes: every write is followed at once by a read of a list that asks for the write's position. Is one stale?

use duban_proto::api::v1 as api;
use duban_proto::event::v1::TicketKind;
use serde::Serialize;
use tokio::time::Instant;

use crate::commands as c;
use crate::script::Case;
use crate::wire::Wire;
use duban_client::{TokenHolder, Tokens};

/// Writes on one ticket: its intake, and calls of its customer.
const WRITES_A_TICKET: u64 = 8;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reads {
    /// No read was stale.
    pub ok: bool,
    /// Writes, each followed by a read.
    pub writes: u64,
    /// Reads that did not show the write before them.
    pub stale: u64,
    /// Clients at work at the same time.
    pub clients: u32,
    /// Writes with their reads a second.
    pub pairs_per_second: u64,
    /// The median time of such a read, in microseconds.
    pub read_p50_us: u64,
    /// The 99th percentile.
    pub read_p99_us: u64,
}

/// Writes and reads with many clients at once.
pub async fn read_own_writes(url: &str, tokens: &Tokens, writes: u64, clients: u32) -> Reads {
    let began = Instant::now();
    let tickets = writes.div_ceil(WRITES_A_TICKET);
    let mut working = tokio::task::JoinSet::new();
    for client in 0..u64::from(clients) {
        let wire = Wire::connect(url, tokens.clone()).await.expect("a server that is ready answers");
        let mine = (client..tickets).step_by(clients as usize);
        working.spawn(async move {
            let (mut stale, mut times) = (0, Vec::new());
            for ticket in mine {
                let of_ticket = WRITES_A_TICKET.min(writes - ticket * WRITES_A_TICKET);
                stale += one_ticket(&wire, ticket, of_ticket, &mut times).await;
            }
            (stale, times)
        });
    }
    let (mut stale, mut times) = (0, Vec::new());
    while let Some(done) = working.join_next().await {
        let (more, took) = done.expect("a client works to its end");
        stale += more;
        times.extend(took);
    }
    let took = began.elapsed();
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(0);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let made = times.len() as u64;
    Reads {
        ok: stale == 0 && made == writes,
        writes: made,
        stale,
        clients,
        pairs_per_second: made * 1_000_000 / micros,
        read_p50_us: at(50),
        read_p99_us: at(99),
    }
}

async fn one_ticket(wire: &Wire, number: u64, writes: u64, times: &mut Vec<u64>) -> u64 {
    let mut case = Case::new(&format!("reads-{number}"), TicketKind::Complaint);
    let mut stale = 0;
    for write in 0..writes {
        let answer = case.done(wire, if write == 0 { c::take_in } else { c::contact }).await;
        let filter = api::TicketFilter { phone: Some(c::phone(&case)), ..Default::default() };
        let request = api::ListTicketsRequest {
            filter: Some(filter),
            min_position: answer.position.clone(),
            ..Default::default()
        };
        let asked = Instant::now();
        let listed: api::ListTicketsResponse = wire
            .ask("HistoryService/ListTickets", &TokenHolder::new("desk", "desk"), &request)
            .await
            .expect("the desk may list tickets");
        times.push(u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX));
        let shown = listed.tickets.iter().find(|row| row.ticket_id == case.ticket);
        stale += u64::from(shown.is_none_or(|row| row.revision < answer.revision));
    }
    stale
}
