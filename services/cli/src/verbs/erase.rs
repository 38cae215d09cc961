//! `duban erase`: a customer's key, and with it the customer's texts everywhere, through a server.
//!
//! There is no form for a data directory: an erasure is an event, and who stands behind an event is proven to a server.

use duban_client::{Client, ClientError, Refusal, random_command_id};
use duban_proto::api::v1::EraseCustomerRequest;
use duban_proto::api::v1::customer_service_client::CustomerServiceClient;
use serde::Serialize;
use uuid::Uuid;

use crate::args::{Output, Server};
use crate::data;
use crate::failure::{Done, Failure};
use crate::output;

/// What may be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  duban erase 9f0e8a52-7f6e-4d39-8c0c-0a1f5b1f4a7e --reason '本人书面申请 2026-03-02' --tokens ./tokens\n  duban erase CUSTOMER --reason 'PIPL 47' --server https://duban.example:7110 --tokens ./tokens --as-unit supervision\n\nThe customer's key is overwritten: name, phone, address and every text about the customer's tickets are unreadable from then on in the\nlog, read models, histories, exports, streams and later backups, and are shown as erased. Histories, counts, scores, heads and verification\nstay as they are; the erasure is itself an event. Backups made before hold the key still: the next backup to the same place overwrites it.\nIt is refused while a ticket of the customer is open or a receipt or due is owed; `open` names each. A supervisor erases; a repeat of an\nerasure answers the same.\nExit status: 0 erased, 1 refused because something is open, or the server failed, 2 wrong use.\nJSON: {\"customer\", \"erased\", \"revision\", \"position\"}, or where it is refused {\"customer\", \"erased\": false, \"reason\", \"open\": [\"…\"]}."
)]
pub(crate) struct Args {
    /// The customer's id
    customer: Uuid,
    /// On whose word; stays readable, so no personal data
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    server: Server,
    /// Which role of them
    #[arg(long, value_name = "ROLE", default_value = "supervisor")]
    role: String,
    /// The unit that goes with it; the first of that role, where absent
    #[arg(long, value_name = "UNIT")]
    as_unit: Option<String>,
    /// The command's id, to repeat one whose answer was lost; a new one, where absent
    #[arg(long, value_name = "UUID")]
    command_id: Option<Uuid>,
}

#[derive(Serialize)]
struct Erased {
    customer: Uuid,
    erased: bool,
    revision: u64,
    position: String,
}

#[derive(Serialize)]
struct Refused {
    customer: Uuid,
    erased: bool,
    reason: String,
    open: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args, output: Output) -> Result<Done, Failure> {
    let tokens = args.server.tokens().map_err(Failure::misuse)?;
    let unit = match &args.as_unit {
        Some(unit) => unit.clone(),
        None => tokens.first_unit(&args.role).map_err(Failure::misuse)?,
    };
    let command_id = args.command_id.unwrap_or_else(random_command_id);
    let answer = data::runtime()?.block_on(async {
        let client = Client::connect(&args.server.options(), tokens).await?;
        let mut customers = CustomerServiceClient::new(client.channel(&args.role, &unit)?);
        let request = EraseCustomerRequest {
            customer_id: args.customer.to_string(),
            command_id: command_id.to_string(),
            expected_revision: None,
            reason: args.reason.clone(),
        };
        Ok(customers.erase_customer(request).await.map(tonic::Response::into_inner)?)
    });
    let (customer, refused) = match answer {
        Ok(answer) => {
            let (revision, position) = (answer.revision, answer.position);
            let erased = Erased { customer: args.customer, erased: true, revision, position };
            match output {
                Output::Json => output::json(&erased)?,
                Output::Text => output::text(&format!("customer {} is erased", args.customer))?,
            }
            return Ok(Done::Ok);
        }
        Err(ClientError::Refused(refusal)) => (args.customer, refusal),
        Err(error) => return Err(Failure::misuse(error)),
    };
    let Some(open) = still_open(&refused) else { return Err(failed(refused)) };
    match output {
        Output::Json => {
            output::json(&Refused { customer, erased: false, reason: refused.reason, open })?;
        }
        Output::Text => {
            output::text(&format!("customer {customer} is not erased: {}", refused.message))?;
        }
    }
    Ok(Done::Failed)
}

/// What an erasure waits for, where that is why it was refused.
fn still_open(refusal: &Refusal) -> Option<Vec<String>> {
    let open = refusal.preconditions.iter().filter(|it| it.kind == "CUSTOMER_HAS_OPEN_CASES");
    let open: Vec<_> = open.map(|it| it.description.clone()).collect();
    (!open.is_empty()).then_some(open)
}

/// Who may not, or names no customer, asked for what cannot be.
fn failed(refusal: Box<Refusal>) -> Failure {
    use tonic::Code::{InvalidArgument, NotFound, PermissionDenied, Unauthenticated};
    let wrong = matches!(refusal.code, InvalidArgument | NotFound | PermissionDenied | Unauthenticated);
    let error = ClientError::Refused(refusal);
    if wrong { Failure::misuse(error) } else { Failure::broken(error) }
}
