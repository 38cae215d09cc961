//! Several servers over one log: any of them takes any command, and what needs one only is done once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use duban_client::TokenHolder;
use duban_fake_kurrentdb::{Cluster, Config};
use duban_proto::api::v1 as api;
use duban_proto::event::v1::{self as ev, TicketKind};
use duban_tests::commands as c;
use duban_tests::histories;
use duban_tests::inside::Inside;
use duban_tests::script::{Case, Make, way};
use duban_tests::together::{Plan, servers, settled, together};
use duban_tests::wire::Wire;
use futures::future::join_all;

async fn cluster() -> Cluster {
    Cluster::start(Config { nodes: 3, ..Config::default() })
        .await
        .expect("there are ports for a fake cluster")
}

/// So many servers, and a connection to each.
async fn started(cluster: &Cluster, count: usize) -> (Vec<Inside>, Vec<Wire>) {
    let servers = servers(cluster, count).await;
    let wires = join_all(servers.iter().map(Inside::wire)).await;
    (servers, wires)
}

fn holders(servers: &[Inside]) -> usize {
    servers.iter().filter(|server| server.running().lease().is_held()).count()
}

/// Everything that happened, by every server's account; they must agree, and nothing may have happened twice.
async fn agreed(servers: &[Inside], wires: &[Wire]) -> Vec<ev::Event> {
    settled(servers).await;
    let accounts = join_all(wires.iter().map(|wire| histories::all(wire, ""))).await;
    let accounts: Vec<_> =
        accounts.into_iter().map(|account| account.expect("an auditor may read")).collect();
    for account in &accounts[1..] {
        assert_eq!(account, &accounts[0]);
    }
    let mut ids = BTreeSet::new();
    let events = accounts[0].values().flatten().filter_map(|shown| shown.event.clone());
    events.inspect(|event| assert!(ids.insert(event.id.clone()), "twice: {event:?}")).collect()
}

fn of_type<'e>(events: &'e [ev::Event], kind: &str) -> Vec<&'e ev::Event> {
    events.iter().filter(|event| event.r#type == kind).collect()
}

async fn stop(servers: Vec<Inside>) {
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_server_takes_the_next_command_of_a_ticket_and_shows_what_another_has_answered() {
    let cluster = cluster().await;
    let (servers, wires) = started(&cluster, 3).await;
    assert_eq!(holders(&servers), 1);
    for (number, kind) in
        [TicketKind::Complaint, TicketKind::Fault, TicketKind::Install].into_iter().enumerate()
    {
        let mut case = Case::new(&format!("together-{number}"), kind);
        let commands = std::iter::once(c::take_in as Make)
            .chain(way(kind).into_iter().flat_map(|(_, commands)| commands));
        for (step, make) in commands.enumerate() {
            let answer = case.done(&wires[step % wires.len()], make).await;
            // Another one than the next, which must not be helped by this question.
            let asked = &wires[(step + 2) % wires.len()];
            assert_eq!(case.revision(asked).await.unwrap(), answer.revision, "step {step}");
        }
        // A repeat is answered by whichever server as it was by the first.
        for (step, (sent, answer)) in case.done.iter().enumerate() {
            assert_eq!(&wires[(step + 1) % wires.len()].send(sent).await.unwrap(), answer, "{}", sent.method);
        }
        let state = case.state(&wires[number]).await.unwrap();
        assert_eq!(state.summary.unwrap().state(), api::TicketState::Closed);
    }
    let events = agreed(&servers, &wires).await;
    assert_eq!(of_type(&events, "chain.closed.v1").len(), 3);
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_race_on_several_servers_happen_once_each() {
    let cluster = cluster().await;
    let (servers, wires) = started(&cluster, 3).await;
    let mut case = Case::new("together-race", TicketKind::Complaint);
    case.done(&wires[0], c::take_in).await;
    // The same commands to all servers at once, as callers do that hear nothing for a while.
    let sent: Vec<_> = (0..20).map(|_| c::contact(&mut case)).collect();
    let sending = wires.iter().flat_map(|wire| sent.iter().map(move |sent| (wire, sent)));
    let answers = join_all(sending.map(|(wire, sent)| async {
        loop {
            match wire.send(sent).await {
                Ok(answer) => return (sent.command.clone(), answer.revision),
                // Too many were faster; nothing was done, and it may be asked for again.
                Err(status) if status.code() == tonic::Code::Aborted => {}
                Err(status) => panic!("{status}"),
            }
        }
    }))
    .await;
    let mut by_command: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for (command, revision) in answers {
        by_command.entry(command).or_default().insert(revision);
    }
    assert!(by_command.values().all(|revisions| revisions.len() == 1), "{by_command:?}");
    let events = agreed(&servers, &wires).await;
    assert_eq!(of_type(&events, "ticket.customer_contacted.v1").len(), 20);
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_falls_due_and_days_that_end_happen_once_also_where_all_take_themselves_for_the_holder() {
    let cluster = cluster().await;
    let (servers, wires) = started(&cluster, 3).await;
    for number in 0..8 {
        let mut case = Case::new(&format!("together-due-{number}"), TicketKind::Complaint);
        case.done(&wires[number % 3], c::take_in).await;
    }
    settled(&servers).await;
    servers[0].clock().advance(Duration::from_secs(60 * 24 * 3_600));
    // A holder that was paused and goes on does this: nobody asks it whether it still has the lease.
    join_all(servers.iter().flat_map(|server| {
        let running = server.running();
        let (timers, days) = (running.timers(), running.days());
        [
            Box::pin(timers.catch_up()) as std::pin::Pin<Box<dyn Future<Output = ()>>>,
            Box::pin(days.catch_up()),
        ]
    }))
    .await;
    let events = agreed(&servers, &wires).await;
    let mut breached: Vec<_> = of_type(&events, "clock.breached.v1")
        .into_iter()
        .map(|event| match event.payload.as_ref().unwrap() {
            ev::event::Payload::ClockBreached(it) => (event.stream.clone(), it.clock),
            other => panic!("{other:?}"),
        })
        .collect();
    let all = breached.len();
    assert!(all >= 8, "{all}");
    breached.sort();
    breached.dedup();
    assert_eq!(breached.len(), all, "each clock is breached once");
    let office = duban_log::StreamName::new("office").unwrap();
    let closed = servers[0].log().read_stream(&office, 0, duban_log::Direction::Forward, 100).await.unwrap();
    assert_eq!(closed.len(), 1, "the one day with events is closed once");
    assert_eq!(holders(&servers), 1);
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_one_that_has_the_lease_stops_another_does_what_falls_due_from_then_on() {
    let cluster = cluster().await;
    let (mut servers, mut wires) = started(&cluster, 2).await;
    let holder = servers.iter().position(|server| server.running().lease().is_held()).unwrap();
    let (gone, _) = (servers.remove(holder), wires.remove(holder));
    let mut case = Case::new("together-handover", TicketKind::Complaint);
    case.done(&wires[0], c::take_in).await;
    assert_eq!(holders(&servers), 0);
    gone.stop().await;
    let mut held = servers[0].running().lease().held();
    tokio::time::timeout(Duration::from_secs(30), held.wait_for(|held| *held)).await.unwrap().unwrap();
    servers[0].clock().advance(Duration::from_secs(60 * 24 * 3_600));
    let events = agreed(&servers, &wires).await;
    assert!(!of_type(&events, "clock.breached.v1").is_empty());
    // Reactions go on too: the customer was registered by this one.
    let customer = customer_of(&wires[0], &case).await;
    assert_eq!(customer.open_tickets, [case.ticket.clone()]);
    stop(servers).await;
}

async fn customer_of(wire: &Wire, case: &Case) -> api::GetCustomerResponse {
    let state = case.state(wire).await.expect("the desk reads everything");
    let customer_id = state.customer.expect("a ticket has a customer").customer_id;
    let request = api::GetCustomerRequest { customer_id, ..Default::default() };
    let desk = TokenHolder::new("desk", "desk");
    wire.ask("CustomerService/GetCustomer", &desk, &request).await.expect("the desk reads everything")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_erases_no_server_opens_any_more() {
    let cluster = cluster().await;
    let (servers, wires) = started(&cluster, 3).await;
    let mut case = Case::new("together-erase", TicketKind::Complaint);
    case.close(&wires[0]).await;
    settled(&servers).await;
    for wire in &wires {
        assert!(case.state(wire).await.unwrap().description.is_some());
    }
    let customer = customer_of(&wires[0], &case).await;
    let erase = api::EraseCustomerRequest {
        customer_id: customer.customer_id,
        command_id: case.next_id(),
        expected_revision: None,
        reason: "用户申请删除".into(),
    };
    let supervisor = TokenHolder::new("supervisor", "supervision");
    let erased: api::CustomerCommandResponse =
        wires[1].ask("CustomerService/EraseCustomer", &supervisor, &erase).await.unwrap();
    for wire in &wires {
        // Each hears of it from the log, in its own time.
        let shut = async {
            while case.state(wire).await.unwrap().description.is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), shut).await.unwrap();
        let request = api::GetCustomerRequest {
            customer_id: erased.customer_id.clone(),
            min_position: erased.position.clone(),
        };
        let seen: api::GetCustomerResponse = wire
            .ask("CustomerService/GetCustomer", &TokenHolder::new("desk", "desk"), &request)
            .await
            .unwrap();
        assert!(seen.erased);
    }
    let ground = duban_engine::cluster::connect(&cluster.url()).await.unwrap();
    let later = Inside::beside(&ground, servers.first()).await;
    assert!(case.state(&later.wire().await).await.unwrap().description.is_none());
    later.stop().await;
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_acknowledged_is_lost_and_nothing_happens_twice_while_the_leader_changes_and_time_flies() {
    let plan = Plan {
        servers: 3,
        nodes: 3,
        clients: 6,
        time: Duration::from_secs(6),
        switch_every: Duration::from_secs(1),
        seed: 11,
    };
    let outcome = together(&plan, |_, _| {}).await;
    assert_eq!(outcome.problems, Vec::<String>::new(), "{outcome:?}");
    assert_eq!((outcome.lost, outcome.twice, outcome.agreed), (0, 0, true), "{outcome:?}");
    assert!(outcome.switches >= 3 && outcome.acknowledged >= 30 && outcome.by_timer > 0, "{outcome:?}");
}
