//! What the tests have in common.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::time::Duration;

use eventstore::{AppendToStreamOptions, Client, Error, EventData, ExpectedRevision, ReadStreamOptions};
use uuid::Uuid;

/// A client that asks whatever node it is at. The crate's own default is to want the leader.
pub(crate) fn client(url: &str) -> Client {
    connect(url, "random")
}

/// A client that wants the leader, and only that one to answer.
pub(crate) fn client_of_leader(url: &str) -> Client {
    connect(url, "leader")
}

fn connect(url: &str, preference: &str) -> Client {
    // Without a file of its own the crate reads all certificates of the platform for each client, TLS or not.
    Client::new(format!("{url}&tlsCAFile=/dev/null&nodePreference={preference}").parse().unwrap()).unwrap()
}

pub(crate) fn at(expected: ExpectedRevision) -> AppendToStreamOptions {
    AppendToStreamOptions::default().expected_revision(expected)
}

/// For appends whose answer is not going to come.
pub(crate) fn impatient(expected: ExpectedRevision) -> AppendToStreamOptions {
    at(expected).deadline(Duration::from_millis(200))
}

pub(crate) fn events(ids: &[u128]) -> Vec<EventData> {
    let event = |id: &u128| EventData::binary("happened", id.to_string().into()).id(Uuid::from_u128(*id));
    ids.iter().map(event).collect()
}

pub(crate) async fn append(client: &Client, stream: &str, ids: &[u128]) {
    client.append_to_stream(stream, &at(ExpectedRevision::Any), events(ids)).await.unwrap();
}

pub(crate) async fn revisions(client: &Client, stream: &str, options: &ReadStreamOptions) -> Vec<u64> {
    let mut read = client.read_stream(stream, options).await.unwrap();
    let mut revisions = Vec::new();
    while let Some(event) = read.next().await.unwrap() {
        revisions.push(event.get_original_event().revision);
    }
    revisions
}

pub(crate) async fn is_there(client: &Client, stream: &str) -> bool {
    let mut read = client.read_stream(stream, &ReadStreamOptions::default()).await.unwrap();
    match read.next().await {
        Ok(event) => event.is_some(),
        Err(Error::ResourceNotFound) => false,
        Err(error) => panic!("{error}"),
    }
}
