//! Writing tickets straight into a data directory, in their order, many to a sync.

use std::collections::HashMap;
use std::path::Path;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use duban_aggregates::actor::{Actor, Role};
use duban_aggregates::calendar::Calendar;
use duban_aggregates::ids::{CommandId, CustomerId, EmployeeId, TicketId, UnitId};
use duban_aggregates::intake::{self, Area, Customer, FirstOwner, Intake, Kind, Service, Source};
use duban_aggregates::meta::{Context, Meta};
use duban_aggregates::policy::Policy;
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::{self, Command, Event};
use duban_engine::time::{Clock, SystemClock};
use duban_log::{Direction, EventLog, Expected, Filter, Reader, StreamName};
use duban_vault::keys::{KeyStore, KeysError};
use jiff::Timestamp;
use uuid::Uuid;

use super::mapping::Mapping;
use super::row::{Bad, Plain, RowError, Table};
use super::{Answer, Rejected};
use crate::data::{self, Append, Writer};
use crate::failure::{Failure, chain};
use crate::output::Progress;

/// The namespace of ids of imported tickets and commands. Never changed: a second run would add everything again.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d2f_8c1e_94b7_5a06_b3d1_7e40_aa52_19c8);

/// Tickets that are sealed, decided and appended together.
const BATCH: usize = 1024;

/// Events looked at together when customers are looked up.
const PAGE: usize = 4096;

/// The rules to decide under.
#[derive(Clone, Copy)]
pub(super) struct Rules<'r> {
    pub(super) policy: &'r Policy,
    pub(super) calendar: &'r Calendar,
}

/// The id of a row's ticket: the same in every run.
pub(super) fn ticket_id(source: &str, key: &str) -> TicketId {
    TicketId(derived(b"ticket", source, key))
}

fn command_id(source: &str, key: &str) -> CommandId {
    CommandId(derived(b"take-in", source, key))
}

/// Names hold no zero byte (rows with one are rejected), so no two pairs run together.
pub(super) fn derived(what: &[u8], source: &str, key: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, &[what, source.as_bytes(), key.as_bytes()].join(&0))
}

/// Seals one text.
type Seal<'s> = &'s dyn Fn(&str) -> Result<Sealed, KeysError>;

/// Who a row's customer is.
#[derive(Clone, Copy)]
struct Known {
    customer: CustomerId,
    phone_hash: [u8; 16],
    number_hash: [u8; 16],
}

/// Everything known about a row's ticket, sealed.
fn sealed(row: &Plain, source: &str, known: Known, seal: Seal<'_>) -> Result<Intake, KeysError> {
    let placeholder = placeholder(row);
    let phone = row.phone.as_deref().unwrap_or(&placeholder);
    Ok(Intake {
        ticket: ticket_id(source, &row.key),
        kind: row.kind,
        channel: row.channel,
        category: row.category.clone(),
        severity: row.severity,
        description: seal(&row.description)?,
        remedy: row.remedy.as_deref().map(seal).transpose()?,
        happened_at: row.happened_at,
        taken_in_at: row.taken_in_at,
        first_owner: FirstOwner {
            employee: EmployeeId(row.employee.clone()),
            department: UnitId(row.department.clone()),
        },
        customer: Customer {
            id: known.customer,
            name: seal(&row.name)?,
            phone: seal(phone)?,
            phone_hash: known.phone_hash,
            address: row.address.as_deref().map(seal).transpose()?,
            tier: row.tier,
            segment: row.segment,
        },
        service: Service {
            number: seal(row.number.as_deref().unwrap_or(phone))?,
            number_hash: known.number_hash,
            product: row.product,
            monthly_rent_fen: row.monthly_rent_fen,
        },
        area: Area {
            province: row.province.clone(),
            city: row.city.clone(),
            district: row.district.clone(),
            rural: row.rural,
        },
        requests: Vec::new(),
        attachments: Vec::new(),
        mass_outage: false,
        linked: None,
        install: row.install,
        source: Some(Source {
            name: source.to_owned(),
            row_key: row.key.clone(),
            status: row.status.clone(),
        }),
    })
}

/// Stands for a phone and a service number that the source does not have. Nobody takes it for one.
fn placeholder(row: &Plain) -> String {
    format!("import:{}", row.customer.as_ref().unwrap_or(&row.key))
}

/// Keyed hashes of phone and service number. A placeholder is hashed as a text with its source, so that it never meets a
/// telephone number or another source's row.
fn hashes(row: &Plain, source: &str, keys: &KeyStore) -> ([u8; 16], [u8; 16]) {
    let none = || keys.fingerprint(format!("{source}\0{}", placeholder(row)).as_bytes());
    let phone = row.phone.as_ref().map_or_else(none, |phone| keys.phone_hash(phone));
    (phone, row.number.as_ref().map_or(phone, |number| keys.phone_hash(number)))
}

/// What a row's first command decides.
fn decided(
    row: &Plain,
    intake: Intake,
    source: &str,
    fingerprint: [u8; 16],
    now: Timestamp,
    rules: Rules<'_>,
) -> Result<Vec<(Meta, Event)>, RowError> {
    let actor = Actor { id: "import".into(), role: Role::Import, unit: "import".into() };
    let command = command_id(source, &row.key);
    let ticket = intake.ticket;
    let context = Context {
        at: now,
        actor: actor.clone(),
        command,
        fingerprint,
        policy: rules.policy,
        calendar: rules.calendar,
    };
    let take_in =
        intake::Command::TakeIn { intake: Box::new(intake), open_twin: None, reopenable_twin: None };
    let events = ticket::decide(None, &context, Command::Intake(take_in)).map_err(RowError::Refused)?;
    let meta = |index: u32, event: &Event| Meta {
        id: ticket::event_id(ticket, command, index),
        revision: index.into(),
        recorded_at: now,
        occurred_at: event.occurred_at().unwrap_or(now),
        actor: actor.clone(),
        command,
        fingerprint,
    };
    Ok((0..).zip(events).map(|(index, event)| (meta(index, &event), event)).collect())
}

/// The streams in which a ticket of this id may be: an id is one ticket's, whatever its kind.
fn streams(ticket: TicketId) -> Result<[StreamName; 3], Failure> {
    let stream = |kind| data::ticket_stream(kind, ticket);
    Ok([stream(Kind::Complaint)?, stream(Kind::Fault)?, stream(Kind::Install)?])
}

/// Checks all rows, and writes nothing: not even a directory.
pub(super) fn dry(data: &Path, mapping: &Mapping, table: Table, rules: Rules<'_>) -> Result<Answer, Failure> {
    let log = data::log_dir(data);
    let log = log.is_dir().then(|| Reader::open(&log)).transpose()?;
    let now = SystemClock::default().now();
    let mut tally = Tally::new(&table);
    for row in &table.rows {
        let ticket = ticket_id(&mapping.name, &row.key);
        if let Some(log) = &log {
            let mut there = false;
            for stream in streams(ticket)? {
                there |= !log.read_stream(&stream, 0, Direction::Forward, 1)?.is_empty();
            }
            if there {
                tally.answer.known += 1;
                continue;
            }
        }
        let customer = CustomerId(Uuid::nil());
        // As long as the sealed text will be, which is all that the rules look at.
        let seal = |text: &str| Ok(Sealed { customer, nonce: [0; 12], ciphertext: vec![0; text.len() + 16] });
        let known = Known { customer, phone_hash: [0; 16], number_hash: [0; 16] };
        let intake = sealed(row, &mapping.name, known, &seal).map_err(Failure::broken)?;
        match decided(row, intake, &mapping.name, [0; 16], now, rules) {
            Ok(_) => tally.answer.added += 1,
            Err(error) => tally.reject(row.line, &error),
        }
    }
    Ok(tally.done(table.bad))
}

/// Takes all rows in whose tickets are not there yet.
pub(super) fn import(
    data: &Path,
    master_key: Option<&Path>,
    mapping: &Mapping,
    table: Table,
    rules: Rules<'_>,
) -> Result<Answer, Failure> {
    let writer = Writer::open(data, master_key)?;
    let runtime = data::runtime()?;
    let clock = SystemClock::starting_at(runtime.block_on(data::last_recorded_at(&writer.log))?);
    let mut customers = if mapping.knows_customers() {
        runtime.block_on(known_customers(&writer.log))?
    } else {
        HashMap::new()
    };
    let mut tally = Tally::new(&table);
    let progress = Progress::new("import", "rows", table.rows.len() as u64);
    for rows in table.rows.chunks(BATCH) {
        let mut fresh = Vec::with_capacity(rows.len());
        for row in rows {
            if runtime.block_on(is_there(&writer.log, ticket_id(&mapping.name, &row.key)))? {
                tally.answer.known += 1;
            } else {
                fresh.push(row);
            }
        }
        let batch = Batch { writer: &writer, source: &mapping.name, rules };
        let (stored, refused) = batch.store(&fresh, &mut customers, clock.now())?;
        for (line, error) in refused {
            tally.reject(line, &error);
        }
        tally.answer.added += stored.len() as u64;
        runtime.block_on(data::append_in_order(&writer.log, stored))?;
        progress.add(rows.len() as u64);
    }
    runtime.block_on(writer.log.close())?;
    Ok(tally.done(table.bad))
}

/// Rows that a rule of tickets stands against, by line.
type Refused = Vec<(u64, RowError)>;

/// What a batch of rows becomes.
struct Batch<'b> {
    writer: &'b Writer,
    source: &'b str,
    rules: Rules<'b>,
}

impl Batch<'_> {
    /// Makes the customers' keys in one sync, seals, decides, encodes.
    fn store(
        &self,
        rows: &[&Plain],
        customers: &mut HashMap<[u8; 16], CustomerId>,
        now: Timestamp,
    ) -> Result<(Vec<Append>, Refused), Failure> {
        let keys = self.writer.sealer.keys();
        let mut known = Vec::with_capacity(rows.len());
        for row in rows {
            let (phone_hash, number_hash) = hashes(row, self.source, keys);
            let customer = match customers.get(&phone_hash) {
                Some(customer) => *customer,
                None => random_customer()?,
            };
            // Rows without a customer have a hash of their own, and are not looked up again.
            if row.customer.is_some() || row.phone.is_some() {
                customers.insert(phone_hash, customer);
            }
            known.push(Known { customer, phone_hash, number_hash });
        }
        let ids: Vec<_> = known.iter().map(|known| known.customer).collect();
        keys.create_all(&ids).map_err(Failure::broken)?;
        let (mut stored, mut refused) = (Vec::with_capacity(rows.len()), Vec::new());
        for (row, known) in rows.iter().zip(known) {
            let sealer = self.writer.sealer.known_customer(known.customer).map_err(Failure::broken)?;
            let intake =
                sealed(row, self.source, known, &|text| sealer.seal(text)).map_err(Failure::broken)?;
            let request = format!("import\0{}\0{}", self.source, row.key);
            let fingerprint = keys.fingerprint(request.as_bytes());
            let stream = data::ticket_stream(intake.kind, intake.ticket)?;
            match decided(row, intake, self.source, fingerprint, now, self.rules) {
                Ok(history) => {
                    let events = history.iter().map(|(meta, event)| (meta, event));
                    let events = data::stored(events, self.rules.policy).0;
                    stored.push(Append { stream, expected: Expected::NoStream, events });
                }
                Err(error) => refused.push((row.line, error)),
            }
        }
        Ok((stored, refused))
    }
}

async fn is_there(log: &dyn EventLog, ticket: TicketId) -> Result<bool, Failure> {
    for stream in streams(ticket)? {
        if !log.read_stream(&stream, 0, Direction::Forward, 1).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Customers of tickets that are there already, by the keyed hashes of their phones.
async fn known_customers(log: &dyn EventLog) -> Result<HashMap<[u8; 16], CustomerId>, Failure> {
    let mut customers = HashMap::new();
    let filter = Filter::all().kind(duban_codec::types::TICKET_TAKEN_IN);
    let mut from = None;
    loop {
        let page = log.read_all(from, Direction::Forward, &filter, PAGE).await?;
        for event in &page.events {
            let decoded = duban_codec::decode_ticket(&event.kind, &event.payload).map_err(Failure::broken)?;
            if let Event::Intake(intake::Event::TakenIn(intake)) = decoded {
                customers.entry(intake.customer.phone_hash).or_insert(intake.customer.id);
            }
        }
        if page.end {
            return Ok(customers);
        }
        from = page.next;
    }
}

fn random_customer() -> Result<CustomerId, Failure> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Failure::broken("the operating system gives no randomness"))?;
    Ok(CustomerId(uuid::Builder::from_random_bytes(bytes).into_uuid()))
}

/// Counting.
pub(super) struct Tally {
    pub(super) answer: Answer,
}

impl Tally {
    fn new(table: &Table) -> Self {
        Self::of(table.rows.len() + table.bad.len())
    }

    pub(super) fn of(rows: usize) -> Self {
        let read = rows as u64;
        Self { answer: Answer { read, ..Answer::default() } }
    }

    pub(super) fn reject(&mut self, line: u64, error: &RowError) {
        self.answer.rejected += 1;
        self.answer.errors.push(Rejected { line, reason: chain(error) });
    }

    pub(super) fn done(mut self, bad: Vec<Bad>) -> Answer {
        for Bad { line, error } in bad {
            self.reject(line, &error);
        }
        self.answer.errors.sort_by_key(|rejected| rejected.line);
        self.answer
    }
}
