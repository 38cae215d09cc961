//! Writing tickets straight into a data directory, in their order, many to a sync.

use std::collections::HashMap;
use std::path::Path;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use duban_aggregates::actor::Actor;
use duban_aggregates::area::Area;
use duban_aggregates::ids::{CommandId, CustomerId, EmployeeId, TicketId, UnitId};
use duban_aggregates::meta::{Context, Meta};
use duban_aggregates::sealed::Sealed;
use duban_aggregates::ticket::intake::{self, Customer, FirstOwner, Intake, Service, Source};
use duban_aggregates::ticket::{self, Command, Event};
use duban_aggregates::words::Role;
use duban_engine::data_directory::{WritableDirectory, log_dir};
use duban_engine::runner::Rules;
use duban_engine::time::{Clock, SystemClock};
use duban_log::{
    BulkAppend, Direction, EventLog, Expected, Filter, Reader, append_in_order, last_recorded_at,
};
use duban_projections::{ticket_stream, ticket_streams, ticket_to_store};
use duban_vault::keys::{KeyStore, KeysError};
use jiff::Timestamp;
use uuid::Uuid;

use super::error::ImportError;
use super::mapping::TicketMapping;
use super::report::{ImportProgress, ImportReport, Tally};
use super::ticket_row::{RowError, TicketRow, TicketRows};

/// The namespace of ids of imported tickets and commands. Never changed: a second run would add everything again.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d2f_8c1e_94b7_5a06_b3d1_7e40_aa52_19c8);

/// Tickets that are sealed, decided and appended together.
const BATCH: usize = 1024;

/// Events looked at together when customers are looked up.
const PAGE: usize = 4096;

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
struct KnownCustomer {
    customer: CustomerId,
    phone_hash: [u8; 16],
    number_hash: [u8; 16],
}

/// Everything known about a row's ticket, sealed.
fn sealed(row: &TicketRow, source: &str, known: KnownCustomer, seal: Seal<'_>) -> Result<Intake, KeysError> {
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
        customer: Some(Customer {
            id: known.customer,
            name: seal(&row.name)?,
            phone: seal(phone)?,
            phone_hash: known.phone_hash,
            address: row.address.as_deref().map(seal).transpose()?,
            tier: row.tier,
            segment: row.segment,
        }),
        service: Some(Service {
            number: seal(row.number.as_deref().unwrap_or(phone))?,
            number_hash: known.number_hash,
            product: row.product,
            monthly_rent_fen: row.monthly_rent_fen,
        }),
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
        reporter: None,
    })
}

/// Stands for a phone and a service number that the source does not have. Nobody takes it for one.
fn placeholder(row: &TicketRow) -> String {
    format!("import:{}", row.customer.as_ref().unwrap_or(&row.key))
}

/// Keyed hashes of phone and service number. A placeholder is hashed as a text with its source, so that it never meets a
/// telephone number or another source's row.
fn hashes(row: &TicketRow, source: &str, keys: &KeyStore) -> ([u8; 16], [u8; 16]) {
    let none = || keys.fingerprint(format!("{source}\0{}", placeholder(row)).as_bytes());
    let phone = row.phone.as_ref().map_or_else(none, |phone| keys.phone_hash(phone));
    (phone, row.number.as_ref().map_or(phone, |number| keys.phone_hash(number)))
}

/// What a row's first command decides.
fn decided(
    row: &TicketRow,
    intake: Intake,
    source: &str,
    fingerprint: [u8; 16],
    now: Timestamp,
    rules: &Rules,
) -> Result<Vec<(Meta, Event)>, RowError> {
    let actor = Actor { id: "import".into(), role: Role::Import, unit: "import".into() };
    let command = command_id(source, &row.key);
    let ticket = intake.ticket;
    let context = Context {
        at: now,
        actor: actor.clone(),
        command,
        fingerprint,
        policy: &rules.policy,
        calendar: &rules.calendar,
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

/// Checks all rows, and writes nothing: not even a directory.
pub(super) fn dry_run(
    data: &Path,
    mapping: &TicketMapping,
    table: TicketRows,
    rules: &Rules,
) -> Result<ImportReport, ImportError> {
    let log = log_dir(data);
    let log = log.is_dir().then(|| Reader::open(&log)).transpose()?;
    let now = SystemClock::default().now();
    let mut tally = Tally::of(table.rows.len() + table.bad.len());
    for row in &table.rows {
        let ticket = ticket_id(&mapping.name, &row.key);
        if let Some(log) = &log {
            let mut there = false;
            for stream in ticket_streams(ticket)? {
                there |= !log.read_stream(&stream, 0, Direction::Forward, 1)?.is_empty();
            }
            if there {
                tally.report.known += 1;
                continue;
            }
        }
        let customer = CustomerId(Uuid::nil());
        // As long as the sealed text will be, which is all that the rules look at.
        let seal = |text: &str| Ok(Sealed { customer, nonce: [0; 12], ciphertext: vec![0; text.len() + 16] });
        let known = KnownCustomer { customer, phone_hash: [0; 16], number_hash: [0; 16] };
        let intake = sealed(row, &mapping.name, known, &seal)?;
        match decided(row, intake, &mapping.name, [0; 16], now, rules) {
            Ok(_) => tally.report.added += 1,
            Err(error) => tally.reject(row.line, &error),
        }
    }
    Ok(tally.done(table.bad))
}

/// Takes all rows in whose tickets are not there yet.
pub(super) fn write_tickets(
    data: &Path,
    master_key: Option<&Path>,
    mapping: &TicketMapping,
    table: TicketRows,
    rules: &Rules,
    progress: ImportProgress<'_>,
) -> Result<ImportReport, ImportError> {
    let writer = WritableDirectory::open(data, master_key)?;
    let runtime = runtime()?;
    let clock = clock(runtime.block_on(last_recorded_at(&writer.log))?);
    let mut customers = if mapping.knows_customers() {
        runtime.block_on(known_customers(&writer.log))?
    } else {
        HashMap::new()
    };
    let mut tally = Tally::of(table.rows.len() + table.bad.len());
    let (mut done, total) = (0, table.rows.len() as u64);
    for rows in table.rows.chunks(BATCH) {
        let mut fresh = Vec::with_capacity(rows.len());
        for row in rows {
            if runtime.block_on(is_there(&writer.log, ticket_id(&mapping.name, &row.key)))? {
                tally.report.known += 1;
            } else {
                fresh.push(row);
            }
        }
        let batch = TicketBatch { writer: &writer, source: &mapping.name, rules };
        let (stored, refused) = batch.store(&fresh, &mut customers, clock.now())?;
        for (line, error) in refused {
            tally.reject(line, &error);
        }
        tally.report.added += stored.len() as u64;
        runtime.block_on(append_in_order(&writer.log, stored))?;
        done += rows.len() as u64;
        progress(done, total);
    }
    runtime.block_on(writer.log.close())?;
    Ok(tally.done(table.bad))
}

/// One thread beside the log's own: what is awaited, is awaited in order.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, ImportError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ImportError::Runtime)
}

/// A clock that answers no earlier moment than the log's last, in microseconds.
pub(super) fn clock(last: i64) -> SystemClock {
    SystemClock::starting_at(Timestamp::from_microsecond(last).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Rows that a rule of tickets stands against, by line.
type RefusedRows = Vec<(u64, RowError)>;

/// What a batch of rows becomes.
struct TicketBatch<'b> {
    writer: &'b WritableDirectory,
    source: &'b str,
    rules: &'b Rules,
}

impl TicketBatch<'_> {
    /// Makes the customers' keys in one sync, seals, decides, encodes.
    fn store(
        &self,
        rows: &[&TicketRow],
        customers: &mut HashMap<[u8; 16], CustomerId>,
        now: Timestamp,
    ) -> Result<(Vec<BulkAppend>, RefusedRows), ImportError> {
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
            known.push(KnownCustomer { customer, phone_hash, number_hash });
        }
        let ids: Vec<_> = known.iter().map(|known| known.customer).collect();
        keys.create_all(&ids)?;
        let (mut stored, mut refused) = (Vec::with_capacity(rows.len()), Vec::new());
        for (row, known) in rows.iter().zip(known) {
            let sealer = self.writer.sealer.known_customer(known.customer)?;
            let intake = sealed(row, self.source, known, &|text| sealer.seal(text))?;
            let request = format!("import\0{}\0{}", self.source, row.key);
            let fingerprint = keys.fingerprint(request.as_bytes());
            let stream = ticket_stream(intake.kind, intake.ticket)?;
            match decided(row, intake, self.source, fingerprint, now, self.rules) {
                Ok(history) => {
                    let events = history.iter().map(|(meta, event)| (meta, event));
                    let events = ticket_to_store(events, &self.rules.policy.version).0;
                    stored.push(BulkAppend { stream, expected: Expected::NoStream, events });
                }
                Err(error) => refused.push((row.line, error)),
            }
        }
        Ok((stored, refused))
    }
}

async fn is_there(log: &dyn EventLog, ticket: TicketId) -> Result<bool, ImportError> {
    for stream in ticket_streams(ticket)? {
        if !log.read_stream(&stream, 0, Direction::Forward, 1).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Customers of tickets that are there already, by the keyed hashes of their phones.
async fn known_customers(log: &dyn EventLog) -> Result<HashMap<[u8; 16], CustomerId>, ImportError> {
    let mut customers = HashMap::new();
    let filter = Filter::all().kind(duban_codec::types::TICKET_TAKEN_IN);
    let mut from = None;
    loop {
        let page = log.read_all(from, Direction::Forward, &filter, PAGE).await?;
        for event in &page.events {
            let decoded = duban_codec::decode_ticket(&event.kind, &event.payload)?;
            if let Event::Intake(intake::Event::TakenIn(intake)) = decoded
                && let Some((person, phone_hash)) = intake.person_with_phone()
            {
                customers.entry(phone_hash).or_insert(person);
            }
        }
        if page.end {
            return Ok(customers);
        }
        from = page.next;
    }
}

fn random_customer() -> Result<CustomerId, ImportError> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| KeysError::Crypto)?;
    Ok(CustomerId(uuid::Builder::from_random_bytes(bytes).into_uuid()))
}
