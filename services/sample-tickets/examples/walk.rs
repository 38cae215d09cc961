//! Walks so many tickets and says what came of them: `time cargo run --release --example walk -- 100000 1`.

use std::collections::BTreeMap;

use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::{self, Event};
use duban_sample_tickets::walker::Walker;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let (tickets, seed) = (arguments.next().unwrap_or(1_000), arguments.next().unwrap_or(1));
    let fold = tickets <= 10_000;
    let mut walker = Walker::new(seed);
    let mut events = 0;
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..tickets {
        let customer = walker.customer();
        let seal = |text: &str| Sealed {
            customer,
            nonce: [0; 12],
            ciphertext: [text.as_bytes(), &[0; 16]].concat(),
        };
        let history = walker.history(customer, &seal);
        events += history.len();
        let last = history.iter().rev().find_map(|(_, event)| match event {
            Event::Chain(event) => {
                Some(format!("{event:?}").split([' ', '{']).next().unwrap_or_default().to_owned())
            }
            _ => None,
        });
        *ends.entry(last.unwrap_or_default()).or_default() += 1;
        if fold {
            let ticket =
                history.iter().fold(None, |ticket, (meta, event)| ticket::evolve(ticket, event, meta));
            if let Some(ticket) = ticket {
                let mut count =
                    |name: &str, yes: bool| *ends.entry(format!("* {name}")).or_default() += u64::from(yes);
                count("open", ticket.is_open());
                count("rounds > 1", ticket.round.number > 1);
                count("returned", ticket.ever_returned);
                count("reopened", ticket.reopened > 0);
                count(
                    "breached",
                    ticket.clocks.iter().any(duban_aggregates::ticket::clock::Clock::is_breached),
                );
                count("appeal granted", ticket.verdicts.iter().any(|verdict| verdict.reversed));
                count("by rule", history.iter().any(|(meta, _)| meta.actor.id.as_str() == "rule"));
                if ticket.is_open() {
                    *ends
                        .entry(format!(
                            "  open at {} ({:?})",
                            ticket.stage.name(),
                            duban_aggregates::ticket::gate::all_missing(&ticket).first()
                        ))
                        .or_default() += 1;
                }
            }
        }
    }
    println!("{tickets} tickets, {events} events");
    for (end, count) in ends {
        println!("{count:8} {end}");
    }
}
