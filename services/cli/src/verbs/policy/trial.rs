//! `duban policy try`: what a draft would have made of a period of the log.

use std::collections::HashMap;
use std::ops::ControlFlow;

use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::TicketId;
use duban_aggregates::policy::Policy;
use duban_aggregates::ticket::clock::{Clock, Status, Subject};
use duban_aggregates::ticket::{self, Ticket};
use duban_engine::runner::Rules;
use duban_history::render::local;
use duban_history::trial::{Trial, Under};
use duban_log::{Reader, View};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use super::files::Files;
use crate::args::{Data, Output};
use crate::data;
use crate::failure::{Done, Failure};
use crate::output::{self, Progress, count};
use crate::verbs::history::moment::moment;

/// Events whose tickets are tried at once: they lie in memory, twice.
const EVENTS_AT_ONCE: u64 = 1_000_000;

/// Progress is told once for so many events.
const TELL: u64 = 1024;

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban policy try draft.toml --data ./data --from 2026-03-01 --to 2026-04-01\n  duban --output json policy try cn-henan-1 --data ./data --from 2026-01-01 --to 2026-07-01\n  duban policy try draft.toml --calendar calendar-2027.toml --data ./data --from 2026-12-01 --to 2027-02-01\n\nEvery ticket is replayed with the clocks that it would have had under the draft: the same facts at the same moments, though another\ndeadline might have moved people. Deadlines that somebody set (dispatch, outside bodies, promised dates) stay. Clocks that started in\nthe period are compared, as they stood at its end; it reads beside a running server.\nExit status: 0 tried, 1 the draft may not be put into force, 2 wrong use.\nJSON: {\"policy\", \"calendar\", \"from\", \"to\", \"tickets\", \"clocks\", \"differ\", \"due_earlier\", \"due_later\", \"breached_then\", \"breached_now\",\n\"differences\": [{\"ticket\", \"clock\", \"started_at\", \"then\": {\"policy\", \"due\", \"verdict\"}, \"now\": {...}}]}; a clock that is not there has no `then` or `now`."
)]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    data: Data,
    /// From when clocks count that start; a day means its beginning in Shanghai
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    from: Timestamp,
    /// Until when, this moment not included
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    to: Timestamp,
}

/// The draft may not be put into force.
#[derive(Debug, thiserror::Error)]
#[error("{name} may not be put into force: {why}")]
struct NotAllowed {
    name: String,
    why: String,
}

#[derive(Serialize)]
struct Answer {
    policy: String,
    calendar: String,
    from: Timestamp,
    to: Timestamp,
    #[serde(flatten)]
    totals: Totals,
    differences: Vec<Difference>,
}

/// What all tickets came to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Totals {
    /// Tickets with clocks that started in the period.
    tickets: u64,
    /// Those clocks.
    clocks: u64,
    /// Those whose verdict differs.
    differ: u64,
    /// Those that would have been due earlier.
    due_earlier: u64,
    /// Those that would have been due later.
    due_later: u64,
    /// Those that were breached.
    breached_then: u64,
    /// Those that would have been.
    breached_now: u64,
}

/// A clock whose verdict differs.
#[derive(Debug, Serialize)]
struct Difference {
    ticket: String,
    clock: String,
    started_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<Told>,
}

/// A clock as it stood, or would have stood.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Told {
    policy: String,
    due: Timestamp,
    verdict: &'static str,
}

impl From<&Clock> for Told {
    fn from(clock: &Clock) -> Self {
        Self { policy: clock.start.policy.clone(), due: clock.start.due, verdict: verdict(clock) }
    }
}

fn verdict(clock: &Clock) -> &'static str {
    match clock.status {
        Status::Running => "running",
        Status::Paused { .. } => "paused",
        Status::Met { .. } => "met",
        Status::Breached { withdrawn: false } => "breached",
        Status::Breached { withdrawn: true } => "withdrawn",
        Status::Cancelled => "cancelled",
    }
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    if args.to <= args.from {
        return Err(Failure::misuse("--to must be later than --from"));
    }
    let reader = data::reader(&args.data.data)?;
    let Rules { policy, calendar } = data::rules_of(&reader)?;
    let draft = args.files.read(&policy, &calendar)?;
    let not_allowed = |why: String| Failure::broken(NotAllowed { name: args.files.name(), why });
    let policy = draft.policy.map_err(|wrong| not_allowed(wrong.to_string()))?;
    let period = Period { from: args.from, to: args.to };
    let (totals, differences) = try_on(&reader, &policy, &draft.calendar, period)?;
    let answer = Answer {
        policy: policy.version.clone(),
        calendar: draft.calendar.version.clone(),
        from: args.from,
        to: args.to,
        totals,
        differences,
    };
    match output {
        Output::Json => output::json(&answer)?,
        Output::Text => show(&answer)?,
    }
    Ok(Done::Ok)
}

fn show(answer: &Answer) -> Result<(), Failure> {
    let at = |told: &Told| format!("{} due {}", told.verdict, local(told.due));
    let side = |told: &Option<Told>| told.as_ref().map_or_else(|| "no such clock".to_owned(), at);
    for Difference { ticket, clock, then, now, .. } in &answer.differences {
        output::text(&format!("{ticket}  {clock:<18} {:<36} -> {}", side(then), side(now)))?;
    }
    let Totals { tickets, clocks, differ, due_earlier, due_later, breached_then, breached_now } =
        answer.totals;
    output::text(&format!(
        "{} under {}: {} clocks of {} tickets; {} verdicts differ; due earlier {}, later {}; breached {} then, {} now",
        answer.policy,
        answer.calendar,
        count(clocks),
        count(tickets),
        count(differ),
        count(due_earlier),
        count(due_later),
        count(breached_then),
        count(breached_now)
    ))
}

#[derive(Clone, Copy)]
struct Period {
    from: Timestamp,
    to: Timestamp,
}

/// Tries a draft on all tickets, part by part, each part on one core.
fn try_on(
    reader: &Reader,
    policy: &Policy,
    calendar: &Calendar,
    period: Period,
) -> Result<(Totals, Vec<Difference>), Failure> {
    let under = Under { policy, calendar };
    let progress = Progress::new("policy try", "events", reader.head().size);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let rounds = usize::try_from(reader.head().size / EVENTS_AT_ONCE).unwrap_or(usize::MAX).saturating_add(1);
    let parts = threads.saturating_mul(rounds);
    let all = Mutex::new((Totals::default(), Vec::new()));
    duban_log::each_part(parts, |part| -> Result<(), Failure> {
        let mut tickets = Tickets { under, period, by_stream: HashMap::new(), last: Timestamp::MIN };
        let mut untold = 0;
        reader.scan_part(part, parts, |view| {
            untold += 1;
            if untold == TELL {
                progress.add(std::mem::take(&mut untold));
            }
            tickets.take(view)
        })?;
        progress.add(untold);
        let (totals, differences) = tickets.compare();
        let mut all = all.lock();
        all.0.add(totals);
        all.1.extend(differences);
        Ok(())
    })?;
    let (totals, mut differences) = all.into_inner();
    differences.sort_by(|left, right| {
        (left.started_at, &left.ticket, &left.clock).cmp(&(right.started_at, &right.ticket, &right.clock))
    });
    Ok((totals, differences))
}

/// A ticket as it was and as it would have been.
#[derive(Default)]
struct Both {
    was: Option<Ticket>,
    trial: Trial,
}

struct Tickets<'r> {
    under: Under<'r>,
    period: Period,
    by_stream: HashMap<Box<str>, Both>,
    /// The last moment of the period at which anything was recorded.
    last: Timestamp,
}

impl Tickets<'_> {
    fn take(&mut self, view: &View<'_>) -> Result<ControlFlow<()>, Failure> {
        if !["complaint-", "fault-", "install-"].iter().any(|prefix| view.stream.starts_with(prefix)) {
            return Ok(ControlFlow::Continue(()));
        }
        let unreadable = |error: duban_codec::CodecError| {
            Failure::broken(format!("event {} of {}: {error}", view.revision, view.stream))
        };
        let meta = duban_codec::decode_meta(&duban_projections::viewed(view)).map_err(unreadable)?;
        if meta.recorded_at >= self.period.to {
            return Ok(ControlFlow::Continue(()));
        }
        let event = duban_codec::decode_ticket(view.kind, view.payload).map_err(unreadable)?;
        self.last = self.last.max(meta.recorded_at);
        let both = self.by_stream.entry(view.stream.into()).or_default();
        both.was = ticket::evolve(both.was.take(), &event, &meta);
        both.trial.take(&event, &meta, self.under);
        Ok(ControlFlow::Continue(()))
    }

    fn compare(self) -> (Totals, Vec<Difference>) {
        let (mut totals, mut differences) = (Totals::default(), Vec::new());
        for mut both in self.by_stream.into_values() {
            // A trial's clocks fall due like those of a server that was there until the last event.
            both.trial.until(self.last, self.under);
            let (Some(was), Some(would)) = (&both.was, both.trial.ticket()) else { continue };
            let before = totals.clocks;
            compare(was, would, self.period, &mut totals, &mut differences);
            totals.tickets += u64::from(totals.clocks > before);
        }
        (totals, differences)
    }
}

/// The clocks of both, instance by instance.
fn compare(
    was: &Ticket,
    would: &Ticket,
    period: Period,
    totals: &mut Totals,
    differences: &mut Vec<Difference>,
) {
    let started = |clock: &&Clock| (period.from..period.to).contains(&clock.start.started_at);
    let now = by_instance(would.clocks.iter().filter(started));
    let then = by_instance(was.clocks.iter().filter(started));
    let mut instances: Vec<_> = then.keys().chain(now.keys().filter(|it| !then.contains_key(*it))).collect();
    instances.sort();
    for instance in instances {
        let (then, now) = (then.get(instance), now.get(instance));
        let breached = |clock: Option<&&Clock>| u64::from(clock.is_some_and(|clock| clock.is_breached()));
        totals.clocks += 1;
        totals.breached_then += breached(then);
        totals.breached_now += breached(now);
        if let (Some(then), Some(now)) = (then, now) {
            totals.due_earlier += u64::from(now.start.due < then.start.due);
            totals.due_later += u64::from(now.start.due > then.start.due);
        }
        if then.map(|clock| verdict(clock)) == now.map(|clock| verdict(clock)) {
            continue;
        }
        totals.differ += 1;
        let Some(any) = then.or(now) else { continue };
        differences.push(Difference {
            ticket: TicketId::to_string(&was.id()),
            clock: named(any),
            started_at: any.start.started_at,
            then: then.map(|clock| Told::from(*clock)),
            now: now.map(|clock| Told::from(*clock)),
        });
    }
}

/// A clock among those of its ticket: its kind and subject, and the how many-th of them it is.
type Instance = (String, usize);

fn by_instance<'c>(clocks: impl Iterator<Item = &'c Clock>) -> HashMap<Instance, &'c Clock> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut instances = HashMap::new();
    for clock in clocks {
        let name = named(clock);
        let number = counts.entry(name.clone()).or_default();
        instances.insert((name, *number), clock);
        *number += 1;
    }
    instances
}

/// A clock in words: `order 2`, `stage reply`, `ticket`.
fn named(clock: &Clock) -> String {
    let kind = clock.start.kind.name();
    match clock.start.subject {
        Subject::Ticket => kind.to_owned(),
        Subject::Stage(stage) => format!("{kind} {}", stage.name()),
        Subject::Order(order) => format!("{kind} {order}"),
        Subject::Request(request) => format!("{kind} {request}"),
    }
}

impl Totals {
    fn add(&mut self, more: Self) {
        self.tickets += more.tickets;
        self.clocks += more.clocks;
        self.differ += more.differ;
        self.due_earlier += more.due_earlier;
        self.due_later += more.due_later;
        self.breached_then += more.breached_then;
        self.breached_now += more.breached_now;
    }
}
