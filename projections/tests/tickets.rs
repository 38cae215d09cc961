//! The list of tickets over seeded histories: it says what folding each history says, however it was fed.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::TicketId;
use duban_aggregates::policy::Policy;
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::clock::next_step;
use duban_aggregates::ticket::{self, Ticket};
use duban_aggregates::words::Kind;
use duban_codec::Lineage;
use duban_log::{EventLog, Expected, MemoryLog, NewEvent, Options, Position, SegmentedLog, StreamName};
use duban_projections::{
    Among, Counts, CustomerFold, Customers, Fold, Home, Order, Projection, Query, Row, Stopped, TicketFold,
    Tickets,
};
use duban_sample_tickets::walker::Walker;

const PATIENCE: Duration = Duration::from_secs(20);

/// Appends seeded histories, an event of each in turn, and answers the tickets as they end up.
async fn write(log: &dyn EventLog, tickets: u32) -> BTreeMap<TicketId, Ticket> {
    let mut walker = Walker::new(7);
    let mut histories = Vec::new();
    for number in 0..tickets {
        let customer = walker.customer();
        let seal = move |text: &str| {
            // Only its length matters here.
            Sealed { customer, nonce: [0; 12], ciphertext: vec![1; text.len() + 16] }
        };
        let mut history = walker.history(customer, &seal);
        // Every third is on its way still.
        if number % 3 == 1 {
            history.truncate(history.len().div_ceil(2));
        }
        histories.push((None::<Ticket>, history.into_iter()));
    }
    let mut more = true;
    while more {
        more = false;
        for (ticket, history) in &mut histories {
            let Some((meta, event)) = history.next() else { continue };
            more = true;
            *ticket = ticket::evolve(ticket.take(), &event, &meta);
            let folded = ticket.as_ref().unwrap();
            let stream = StreamName::new(format!("{}-{}", folded.kind().name(), folded.id())).unwrap();
            let (kind, payload) = duban_codec::encode_ticket(&event);
            let stored = NewEvent {
                id: meta.id.0,
                kind: kind.into(),
                occurred_at: meta.occurred_at.as_microsecond(),
                recorded_at: meta.recorded_at.as_microsecond(),
                tags: Vec::new(),
                metadata: duban_codec::encode_metadata(&meta, &Lineage::default(), ""),
                payload: payload.into(),
            };
            let expected = Expected::after(meta.revision.checked_sub(1));
            log.append(&stream, expected, vec![stored]).await.unwrap();
        }
    }
    histories.into_iter().filter_map(|(ticket, _)| ticket).map(|ticket| (ticket.id(), ticket)).collect()
}

fn fold() -> TicketFold {
    TicketFold::new(Policy::cn_national(), Calendar::cn())
}

fn follow<F: Fold>(fold: F, log: &Arc<MemoryLog>) -> Arc<Projection<F>> {
    let projection = Arc::new(Projection::temporary(fold).unwrap());
    let (reader, log) = (Arc::clone(&projection), Arc::clone(log) as Arc<dyn EventLog>);
    tokio::spawn(async move { reader.follow(log).await });
    projection
}

fn all(tickets: &Tickets) -> Vec<Row> {
    tickets.list(&Query::of(Among::All), &|_| true).unwrap().rows
}

/// What a ticket's row says, but for what follows from the events between.
fn expected(ticket: &Ticket, row: &Row) -> Row {
    Row::of(ticket, row.kept, next_step(ticket, &Policy::cn_national(), &Calendar::cn()))
}

/// A log on disk with histories in it, and read models of it that were followed to its end and closed.
struct Office {
    dir: tempfile::TempDir,
    folded: BTreeMap<TicketId, Ticket>,
}

impl Office {
    async fn new(tickets: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = SegmentedLog::open(&dir.path().join("log"), Options::default()).unwrap();
        let folded = write(&log, tickets).await;
        log.close().await.unwrap();
        let office = Self { dir, folded };
        office.follow().await;
        office
    }

    fn home(&self) -> Home {
        Home { views: self.dir.path().join("views"), log: self.dir.path().join("log") }
    }

    /// Opens the read models, follows to the log's end, and closes them; answers why each was built anew, and their digests.
    async fn follow(&self) -> [(Option<String>, [u8; 32]); 2] {
        let tickets = Tickets::open(fold(), &self.home(), &|_, _, _| ()).unwrap();
        let customers = Customers::open(CustomerFold, &self.home(), &|_, _, _| ()).unwrap();
        let log = || async {
            let log: Arc<dyn EventLog> =
                Arc::new(SegmentedLog::open(&self.home().log, Options::default()).unwrap());
            log.close().await.unwrap();
            log
        };
        tickets.follow(log().await).await;
        customers.follow(log().await).await;
        assert_eq!(all(&tickets).len(), self.folded.len());
        assert!(tickets.counts().unwrap().add_up());
        [
            (tickets.standing().rebuilt, tickets.digest().unwrap()),
            (customers.standing().rebuilt, customers.digest().unwrap()),
        ]
    }

    fn tables(&self) -> Vec<std::path::PathBuf> {
        vec![self.home().table::<TicketFold>(), self.home().table::<CustomerFold>()]
    }
}

#[tokio::test]
async fn rows_and_counts_are_what_folding_each_history_says_live_and_followed_again() {
    let log = Arc::new(MemoryLog::new());
    let live = follow(fold(), &log);
    let folded = write(&*log, 60).await;
    let head = log.head().position.unwrap();
    live.wait_for(head, PATIENCE).await.unwrap();
    let again = follow(fold(), &log);
    again.wait_for(head, PATIENCE).await.unwrap();

    assert_eq!(all(&live).len(), folded.len());
    for row in all(&live) {
        assert_eq!(row, expected(&folded[&row.ticket], &row));
    }
    assert_eq!(live.digest().unwrap(), again.digest().unwrap());
    let counts = live.counts().unwrap();
    assert!(counts.add_up(), "{counts:?}");
    let Counts { open, opened, .. } = counts;
    assert_eq!(opened, u64::try_from(folded.len()).unwrap());
    assert_eq!(open, u64::try_from(folded.values().filter(|ticket| ticket.is_open()).count()).unwrap());
    let rounds: u64 = folded.values().map(|ticket| u64::from(ticket.round.number)).sum();
    assert_eq!(counts.rounds, rounds);
}

#[tokio::test]
async fn pages_join_to_the_whole_in_every_order_and_matters_are_found() {
    let log = Arc::new(MemoryLog::new());
    let folded = write(&*log, 25).await;
    let tickets = follow(fold(), &log);
    tickets.wait_for(log.head().position.unwrap(), PATIENCE).await.unwrap();
    let wanted = |row: &Row| row.kind != Kind::Install;
    for order in [Order::OldestFirst, Order::NewestFirst, Order::DueFirst] {
        let query = Query { order, ..Query::of(Among::All) };
        let whole = tickets.list(&query, &wanted).unwrap().rows;
        assert_eq!(tickets.count(&query, &wanted).unwrap(), whole.len() as u64);
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = tickets.list(&Query { after, limit: 3, ..query.clone() }, &wanted).unwrap();
            paged.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(paged, whole);
        let open = |ticket: &&Ticket| order != Order::DueFirst || ticket.is_open();
        let counted = folded.values().filter(|ticket| ticket.kind() != Kind::Install).filter(open).count();
        assert_eq!(whole.len(), counted);
    }
    for ticket in folded.values() {
        let (customer, service) = (ticket.intake.person(), ticket.intake.number_hash());
        let found = tickets.same_matter(customer, service, &ticket.intake.category).unwrap();
        assert!(found.iter().any(|row| row.ticket == ticket.id()));
        assert!(tickets.of_customer(customer).unwrap().iter().any(|row| row.ticket == ticket.id()));
    }
}

#[tokio::test]
async fn boards_add_up_to_the_open_tickets() {
    let log = Arc::new(MemoryLog::new());
    let folded = write(&*log, 80).await;
    let tickets = follow(fold(), &log);
    tickets.wait_for(log.head().position.unwrap(), PATIENCE).await.unwrap();
    let open: Vec<_> = folded.values().filter(|ticket| ticket.is_open()).collect();
    assert!(open.len() > 5, "too few open tickets to tell");
    let now = folded.values().map(|ticket| ticket.last_recorded_at).max().unwrap();
    let board = tickets.chain_board(&[now]).unwrap();
    assert_eq!(board.values().map(|cell| cell.tickets).sum::<u64>(), open.len() as u64);
    for ((stage, kind), cell) in &board {
        let here = open.iter().filter(|ticket| (ticket.stage, ticket.kind()) == (*stage, *kind));
        assert_eq!(cell.tickets, here.clone().count() as u64);
        assert_eq!(cell.oldest, here.map(|ticket| ticket.intake.taken_in_at).min());
        assert_eq!(cell.by_age, [0, cell.tickets]);
    }
    let mut seconds: BTreeMap<String, i64> = BTreeMap::new();
    for ticket in folded.values() {
        for (holder, its) in ticket.custody.seconds(now) {
            *seconds.entry(holder.name().to_owned()).or_default() += its;
        }
    }
    let custody = tickets.custody(now).unwrap();
    let found: BTreeMap<_, _> =
        custody.iter().filter(|(_, it)| it.seconds > 0).map(|(k, it)| (k.clone(), it.seconds)).collect();
    seconds.retain(|_, its| *its > 0);
    assert_eq!(found, seconds);
    assert_eq!(custody.values().map(|it| it.tickets).sum::<u64>(), open.len() as u64);
    for unit in open.iter().flat_map(|ticket| &ticket.orders).map(|order| order.unit.as_str()) {
        let (work, more) = tickets.worklist(unit, None, 1_000).unwrap();
        let orders = open.iter().flat_map(|ticket| &ticket.orders);
        let theirs = orders.filter(|order| order.unit.as_str() == unit && order.is_open()).count();
        assert_eq!(work.iter().filter(|work| work.order.is_some()).count(), theirs);
        assert_eq!(more, None);
        let due: Vec<_> = work.iter().filter_map(|work| work.order.as_ref()?.due).collect();
        assert!(due.is_sorted(), "{due:?}");
    }
}

#[tokio::test]
async fn what_was_followed_live_is_what_all_cores_rebuild() {
    let office = Office::new(40).await;
    let followed = office.follow().await;
    assert!(followed.iter().all(|(rebuilt, _)| rebuilt.is_none()), "{followed:?}");
    for path in office.tables() {
        std::fs::remove_dir_all(path).unwrap();
    }
    let rebuilt = office.follow().await;
    for ((_, followed), (why, rebuilt)) in followed.iter().zip(&rebuilt) {
        assert_eq!(followed, rebuilt);
        assert_eq!(why.as_deref(), Some("there is none yet"));
    }
}

#[tokio::test]
async fn a_damaged_read_model_heals_when_it_is_opened() {
    let office = Office::new(30).await;
    let whole = office.follow().await.map(|(_, digest)| digest);
    for (damage, why) in
        [("truncated", "damaged"), ("overwritten", "damaged"), ("a file", "there is none yet")]
    {
        for path in office.tables() {
            let file = path.join("db");
            match damage {
                "truncated" => {
                    let bytes = std::fs::read(&file).unwrap();
                    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
                    std::fs::write(&file, &bytes[..used / 3]).unwrap();
                }
                "overwritten" => {
                    let mut bytes = std::fs::read(&file).unwrap();
                    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
                    bytes[used / 8..used / 2].fill(0x5a);
                    std::fs::write(&file, bytes).unwrap();
                }
                _ => {
                    std::fs::remove_dir_all(&path).unwrap();
                    std::fs::write(&path, "not a directory").unwrap();
                }
            }
        }
        let healed = office.follow().await;
        for ((rebuilt, digest), whole) in healed.iter().zip(whole) {
            assert_eq!(*digest, whole, "{damage}");
            assert!(rebuilt.as_deref().is_some_and(|said| said.contains(why)), "{damage}: {rebuilt:?}");
        }
        assert!(office.follow().await.iter().all(|(rebuilt, _)| rebuilt.is_none()), "{damage}");
    }
}

#[tokio::test]
async fn a_poisoned_event_stops_one_read_model_alone_and_whoever_waits_is_told_at_once() {
    let log = Arc::new(MemoryLog::new());
    let folded = write(&*log, 2).await;
    let ticket = folded.values().next().unwrap();
    let poison = NewEvent {
        id: ticket.intake_event.0,
        kind: "chain.dissolved.v1".into(),
        occurred_at: 0,
        recorded_at: 0,
        tags: Vec::new(),
        metadata: Vec::new().into(),
        payload: Vec::new().into(),
    };
    let before = log.head().position.unwrap();
    let stream = StreamName::new(format!("{}-{}", ticket.kind().name(), ticket.id())).unwrap();
    log.append(&stream, Expected::Revision(ticket.revision), vec![poison]).await.unwrap();
    let (tickets, customers) = (follow(fold(), &log), follow(CustomerFold, &log));
    let told = tickets.wait_for(Position::new(u64::MAX), Duration::from_secs(600)).await.unwrap_err();
    assert!(matches!(told, Stopped::Poisoned(_, _)), "{told}");
    assert!(told.to_string().contains("`tickets` stopped"), "{told}");
    assert!(told.to_string().contains("chain.dissolved.v1"), "{told}");
    // It shows everything before that event, and says that it does not go on.
    assert_eq!(tickets.reached(), Some(before));
    assert_eq!(tickets.get(ticket.id()).unwrap().map(|row| row.revision), Some(ticket.revision));
    assert!(tickets.standing().stopped.is_some());
    customers.wait_for(log.head().position.unwrap(), PATIENCE).await.unwrap();
    let phone = ticket.intake.person_with_phone().unwrap().1;
    assert_eq!(customers.by_phone(&phone).unwrap(), Some(ticket.intake.person()));
}
