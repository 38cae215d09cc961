//! Which of several servers over one log does what needs one only: timers, reactions, the closing of days, relays.
//!
//! It saves work and nothing else. Whatever its holder does has a command id that follows from its cause, so that two who take
//! themselves for the holder at once do everything once all the same: a holder that was paused and goes on, unaware that it was
//! replaced, does no harm.
//!
//! No clocks are compared between machines. The holder renews the lease in time; whoever sees it not renewed for as long as it
//! lasts, on a clock of their own, takes it over, and the register lets one of them win.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use duban_log::{Error, Expected, Register, Registers, StreamName};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::drain::Drain;

/// The register of the lease.
const NAME: &str = "duban-lease";

/// How long a lease lasts that is not renewed. Longer than a cluster takes to choose another leader.
pub const LASTS: Duration = Duration::from_secs(10);

/// A lease is renewed so often while it lasts.
const RENEWALS: u32 = 4;

/// The lease, as one server sees it.
pub struct Lease {
    held: watch::Sender<bool>,
    looked_at: watch::Sender<bool>,
    seat: Option<Seat>,
}

/// Where servers contend.
struct Seat {
    registers: Arc<dyn Registers>,
    name: StreamName,
    me: Uuid,
    lasts: Duration,
}

/// What the register says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    holder: Uuid,
    /// 0 where it was given back.
    lasts_milliseconds: u64,
}

/// What a server has seen of the others.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The revision that was seen last, and when first.
    first: Option<(u64, Instant)>,
}

impl Lease {
    /// The lease of a server that is alone with its log.
    #[must_use]
    pub fn always() -> Self {
        Self { held: watch::Sender::new(true), looked_at: watch::Sender::new(true), seat: None }
    }

    /// The lease of one of several servers: this one is told by an id of its own.
    ///
    /// # Errors
    /// None in practice: the register's name is well formed.
    pub fn among(registers: Arc<dyn Registers>, me: Uuid, lasts: Duration) -> Result<Self, Error> {
        let seat = Seat { registers, name: StreamName::new(NAME)?, me, lasts };
        Ok(Self { held: watch::Sender::new(false), looked_at: watch::Sender::new(false), seat: Some(seat) })
    }

    /// Whether it is held now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        *self.held.borrow()
    }

    /// Told when it is taken and lost.
    #[must_use]
    pub fn held(&self) -> watch::Receiver<bool> {
        self.held.subscribe()
    }

    /// Does something whenever the lease is held, until the server stops. What is under way when it is lost is given up.
    ///
    /// # Errors
    /// As what is done.
    pub async fn while_held<E, F: Future<Output = Result<(), E>>>(
        &self,
        drain: &Drain,
        run: impl Fn() -> F,
    ) -> Result<(), E> {
        let mut held = self.held();
        loop {
            tokio::select! {
                () = drain.started() => return Ok(()),
                // The sender lives as long as `self`.
                _ = held.wait_for(|held| *held) => {}
            }
            tokio::select! {
                // The server stops, or the log is closed, or it failed.
                ended = run() => return ended,
                _ = held.wait_for(|held| !*held) => {}
            }
        }
    }

    /// Waits until the register was looked at once, whatever came of it.
    pub async fn looked_at(&self) {
        // The sender lives as long as `self`.
        let _ = self.looked_at.subscribe().wait_for(|looked_at| *looked_at).await;
    }

    /// Takes the lease, renews it, takes it over, until the server stops; then gives it back.
    pub async fn run(&self, drain: Drain) {
        let Some(seat) = &self.seat else { return drain.started().await };
        let (mut seen, mut until) = (Seen::default(), None);
        let every = seat.lasts / RENEWALS;
        loop {
            let began = Instant::now();
            let patience = until.unwrap_or(began + seat.lasts);
            match tokio::time::timeout_at(patience, seat.look(&mut seen)).await {
                Ok(Ok(true)) => until = Some(began + seat.lasts),
                Ok(Ok(false)) => until = None,
                Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be looked at just now"),
                Err(_) => tracing::warn!("the lease could not be looked at in time"),
            }
            self.set(until.is_some_and(|until| until > Instant::now()));
            self.looked_at.send_replace(true);
            let next = until.map_or(began + every, |until| until.min(began + every));
            tokio::select! {
                () = drain.started() => break,
                () = tokio::time::sleep_until(next) => {}
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                until = None;
                self.set(false);
            }
        }
        if until.is_some() {
            self.set(false);
            seat.give_back(&seen).await;
        }
    }

    fn set(&self, held: bool) {
        let changed = self.held.send_if_modified(|was| std::mem::replace(was, held) != held);
        if changed {
            tracing::info!(
                held,
                "{}",
                if held { "this server has the lease" } else { "this server has the lease no more" }
            );
        }
    }
}

impl Seat {
    /// Looks at the register, and takes or renews what may be taken. Answers whether the lease is ours then.
    async fn look(&self, seen: &mut Seen) -> Result<bool, Error> {
        let (expected, may) = match self.registers.read(&self.name).await? {
            Register::Empty => (Expected::NoStream, true),
            Register::Holds { revision, value } => {
                let now = Instant::now();
                let since = match seen.first {
                    Some((known, since)) if known == revision => since,
                    _ => seen.first.insert((revision, now)).1,
                };
                // What cannot be read was written by another version, which renews it or does not.
                let said: Option<Said> = serde_json::from_slice(&value).ok();
                let lasts = said.map_or(self.lasts, |said| Duration::from_millis(said.lasts_milliseconds));
                let ours = said.is_some_and(|said| said.holder == self.me);
                (Expected::Revision(revision), ours || now.duration_since(since) >= lasts)
            }
            Register::Erased => {
                return Err(Error::Invalid { what: "the lease", reason: "was erased".to_owned() });
            }
        };
        if !may {
            return Ok(false);
        }
        match self.say(expected, self.lasts).await {
            Ok(revision) => {
                seen.first = Some((revision, Instant::now()));
                Ok(true)
            }
            // Somebody else was faster.
            Err(Error::WrongExpected { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets another server take over at once.
    async fn give_back(&self, seen: &Seen) {
        let Some((revision, _)) = seen.first else { return };
        let saying = self.say(Expected::Revision(revision), Duration::ZERO);
        match tokio::time::timeout(self.lasts / RENEWALS, saying).await {
            // Replaced already.
            Ok(Ok(_) | Err(Error::WrongExpected { .. })) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease could not be given back: it runs out by itself");
            }
            Err(_) => tracing::warn!("the lease could not be given back in time: it runs out by itself"),
        }
    }

    async fn say(&self, expected: Expected, lasts: Duration) -> Result<u64, Error> {
        let lasts_milliseconds = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let said = serde_json::to_vec(&Said { holder: self.me, lasts_milliseconds });
        let said = said.map_err(|error| Error::Invalid { what: "the lease", reason: error.to_string() })?;
        self.registers.write(&self.name, expected, said.into()).await
    }
}

#[cfg(test)]
mod tests {
    use duban_log::MemoryRegisters;

    use super::*;

    struct Server {
        lease: Arc<Lease>,
        drain: Drain,
        running: tokio::task::JoinHandle<()>,
    }

    fn server(registers: &Arc<MemoryRegisters>, number: u128) -> Server {
        let registers = Arc::clone(registers) as Arc<dyn Registers>;
        let lease = Arc::new(Lease::among(registers, Uuid::from_u128(number), LASTS).unwrap());
        let drain = Drain::default();
        let running = tokio::spawn({
            let (lease, drain) = (Arc::clone(&lease), drain.clone());
            async move { lease.run(drain).await }
        });
        Server { lease, drain, running }
    }

    async fn taken(server: &Server) -> Duration {
        let began = Instant::now();
        server.lease.held().wait_for(|held| *held).await.unwrap();
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_several_has_it_and_keeps_it_while_it_renews() {
        let registers = Arc::new(MemoryRegisters::default());
        let first = server(&registers, 1);
        taken(&first).await;
        let others = [server(&registers, 2), server(&registers, 3)];
        tokio::time::sleep(LASTS * 20).await;
        assert!(first.lease.is_held());
        assert!(others.iter().all(|other| !other.lease.is_held()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_gone_is_replaced_after_as_long_as_its_lease_lasts_by_one_only() {
        let registers = Arc::new(MemoryRegisters::default());
        let first = server(&registers, 1);
        taken(&first).await;
        let others = [server(&registers, 2), server(&registers, 3)];
        tokio::time::sleep(LASTS * 2).await;
        first.running.abort();
        let gone = Instant::now();
        tokio::select! { _ = taken(&others[0]) => {}, _ = taken(&others[1]) => {} }
        let waited = gone.elapsed();
        assert!(waited >= LASTS * 3 / 4 && waited <= LASTS * 3 / 2, "{waited:?}");
        tokio::time::sleep(LASTS * 3).await;
        assert_eq!(others.iter().filter(|other| other.lease.is_held()).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stops_gives_it_back_and_the_next_need_not_wait_for_it_to_run_out() {
        let registers = Arc::new(MemoryRegisters::default());
        let first = server(&registers, 1);
        taken(&first).await;
        let second = server(&registers, 2);
        tokio::time::sleep(LASTS).await;
        first.drain.start();
        first.running.await.unwrap();
        assert!(!first.lease.is_held());
        assert!(taken(&second).await <= LASTS / RENEWALS);
    }

    #[tokio::test(start_paused = true)]
    async fn what_runs_under_it_is_given_up_when_it_is_lost_and_begun_again_when_it_is_back() {
        let (lease, drain) = (Lease::always(), Drain::default());
        let begun = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let lease = Arc::new(lease);
        let running = tokio::spawn({
            let (lease, drain, begun) = (Arc::clone(&lease), drain.clone(), Arc::clone(&begun));
            async move {
                let run = || {
                    begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    std::future::pending::<Result<(), ()>>()
                };
                lease.while_held(&drain, run).await
            }
        });
        for times in 1..=3 {
            lease.set(true);
            tokio::time::sleep(Duration::from_millis(1)).await;
            lease.set(false);
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(begun.load(std::sync::atomic::Ordering::SeqCst), times);
        }
        drain.start();
        running.await.unwrap().unwrap();
    }
}
