//! Arbitrary events of every stored type through every form and back.

use std::collections::BTreeSet;
use std::fmt::Debug;

use duban_aggregates::ids::{EventId, OrderNo};
use duban_aggregates::ticket::{self, order};
use duban_aggregates::{customer, edition, emergency, imported, notice, office, problem};
use duban_codec::sample::{self, Gen};
use duban_codec::{
    CodecError, Lineage, Stored, StoredEvent, decode_meta, decode_metadata, decode_ticket, descriptors,
    encode_metadata, encode_ticket, from_event, from_json, metadata_from_json, metadata_to_json, payload,
    payload_from_json, payload_to_json, stored_payload, to_event, to_json, types,
};
use duban_proto::event::v1 as pb;
use proptest::prelude::*;
use prost::Message;

fn there_and_back<E: Stored + Debug + PartialEq>(seed: u64) {
    for kind in E::TYPES {
        let Some(event) = E::sample(kind, &mut Gen::wild(seed)) else { panic!("{kind} has no sample") };
        let (stored, bytes) = event.encode();
        assert_eq!(stored, *kind);
        assert_eq!(E::decode(kind, &bytes).ok(), Some(event), "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_event_is_read_as_it_was_written(seed: u64) {
        there_and_back::<ticket::Event>(seed);
        there_and_back::<problem::Event>(seed);
        there_and_back::<notice::Event>(seed);
        there_and_back::<customer::Event>(seed);
        there_and_back::<office::Event>(seed);
        there_and_back::<edition::Event>(seed);
        there_and_back::<emergency::Event>(seed);
        there_and_back::<imported::Event>(seed);
    }

    #[test]
    fn json_to_protobuf_to_json_is_byte_identical(seed: u64) {
        for kind in types::ALL {
            let parts = sample::parts(kind, &mut Gen::wild(seed)).unwrap();
            let event = to_event(&parts.as_stored()).unwrap();
            let json = to_json(&event).unwrap();
            let read = from_json(&json).unwrap();
            prop_assert_eq!(&read, &event);
            // And through the wire form, as a reader of the stream has it.
            let wired = pb::Event::decode(read.encode_to_vec().as_slice()).unwrap();
            prop_assert_eq!(to_json(&wired).unwrap(), json);
            prop_assert_eq!(from_event(wired).unwrap(), parts);
        }
    }

    #[test]
    fn parts_are_the_same_bytes_after_json_and_the_same_json_after_bytes(seed: u64) {
        for kind in types::ALL {
            let parts = sample::parts(kind, &mut Gen::wild(seed)).unwrap();
            let payload = payload_to_json(kind, &parts.payload).unwrap();
            prop_assert_eq!(payload_from_json(kind, &payload).unwrap(), parts.payload.to_vec());
            let metadata = metadata_to_json(&parts.metadata).unwrap();
            prop_assert_eq!(metadata_from_json(&metadata).unwrap(), parts.metadata.to_vec());
            // They are what the envelope's JSON shows of them.
            let whole = to_json(&to_event(&parts.as_stored()).unwrap()).unwrap();
            prop_assert!(whole.contains(&payload) && whole.contains(&metadata), "{} {} {}", whole, payload, metadata);
        }
    }

    #[test]
    fn what_surrounds_an_event_is_read_as_it_was_written(seed: u64) {
        let parts = sample::parts(types::ORDER_ACCEPTED, &mut Gen::wild(seed)).unwrap();
        let meta = decode_meta(&parts.as_stored()).unwrap();
        let metadata = decode_metadata(&parts.metadata).unwrap();
        let again = encode_metadata(&meta, &metadata.lineage, &metadata.policy_version);
        prop_assert_eq!(again, &parts.metadata);
        prop_assert_eq!(meta.id, EventId(parts.id));
        // The fast way of folds and the slow way of the envelope read the same.
        prop_assert_eq!((&meta.actor, meta.command, meta.fingerprint), (&metadata.actor, metadata.command, metadata.fingerprint));
        prop_assert_eq!(meta.occurred_at.as_microsecond(), parts.occurred_at);
    }

    #[test]
    fn bytes_cut_short_are_never_read_as_another_event(seed: u64, cut: prop::sample::Index) {
        for kind in types::ALL {
            let parts = sample::parts(kind, &mut Gen::wild(seed)).unwrap();
            let Some(last) = parts.payload.len().checked_sub(1) else { continue };
            // A cut between two fields leaves a shorter valid message: that is what the log's checksum is for.
            if let Ok(read) = payload(kind, &parts.payload[..cut.index(last + 1)]) {
                prop_assert!(stored_payload(&read).1.len() < parts.payload.len());
            }
        }
    }
}

#[test]
fn parts_of_no_known_type_or_with_an_unknown_field_are_refused() {
    assert!(payload_to_json("x.y.v1", &[]).is_err());
    assert!(payload_from_json("x.y.v1", "{}").is_err());
    assert!(payload_from_json("stream.v1", "{}").is_err(), "a field of the envelope is no payload");
    assert!(payload_from_json(types::ORDER_ACCEPTED, "{\"order\":1}").is_ok());
    assert!(payload_from_json(types::ORDER_ACCEPTED, "{\"order\":1,\"x\":2}").is_err());
    assert!(metadata_from_json("{\"x\":2}").is_err());
}

#[test]
fn names_longer_than_usual_are_read_too() {
    let parts = sample::parts(types::ORDER_ACCEPTED, &mut Gen::plain(7)).unwrap();
    let mut meta = decode_meta(&parts.as_stored()).unwrap();
    meta.actor.unit = "装维".repeat(100).as_str().into();
    let metadata = encode_metadata(&meta, &Lineage::default(), "cn-national-1");
    let stored = StoredEvent { metadata: &metadata, ..parts.as_stored() };
    assert_eq!(decode_meta(&stored).unwrap(), meta);
}

#[test]
fn names_of_types_messages_and_payload_fields_are_one_name() {
    let envelope = descriptors().get_message_by_name("duban.event.v1.Event").unwrap();
    let payload = envelope.oneofs().next().unwrap();
    let fields: BTreeSet<(String, String)> = payload
        .fields()
        .map(|field| (field.name().to_owned(), field.kind().as_message().unwrap().name().to_owned()))
        .collect();
    let named = |kind: &&str| {
        let field = kind.strip_suffix(".v1").unwrap().replace('.', "_");
        let message = field.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        (field, message)
    };
    assert_eq!(fields, types::ALL.iter().map(named).collect());
    assert_eq!(types::ALL.len(), fields.len(), "a type is listed twice");
}

#[test]
fn the_contract_has_no_maps_floats_or_any() {
    use prost_reflect::Kind;
    for message in descriptors().all_messages().filter(|message| message.full_name().starts_with("duban.")) {
        for field in message.fields() {
            let refused = field.is_map()
                || matches!(field.kind(), Kind::Double | Kind::Float)
                || matches!(field.kind(), Kind::Message(inner) if inner.full_name() == "google.protobuf.Any");
            assert!(!refused, "{}", field.full_name());
        }
    }
}

#[test]
fn no_request_names_its_actor() {
    for service in descriptors().services() {
        for method in service.methods() {
            for name in ["actor", "actor_id", "role", "employee"] {
                assert!(method.input().get_field_by_name(name).is_none(), "{}", method.full_name());
            }
        }
    }
}

#[test]
fn every_command_begins_with_its_stream_its_id_and_the_revision_seen() {
    let methods = descriptors().services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let commands: Vec<_> =
        methods.filter(|method| method.output().name().ends_with("CommandResponse")).collect();
    assert!(commands.len() > 70, "{} commands", commands.len());
    for command in commands {
        let field = |number| command.input().get_field(number).map(|field| field.name().to_owned());
        assert!(field(1).is_some_and(|name| name.ends_with("_id")), "{}", command.full_name());
        assert_eq!(field(2).as_deref(), Some("command_id"), "{}", command.full_name());
        assert_eq!(field(3).as_deref(), Some("expected_revision"), "{}", command.full_name());
    }
}

#[test]
fn an_unknown_type_is_refused_by_name() {
    for refused in
        [decode_ticket("order.eaten.v1", &[]).unwrap_err(), payload("order.eaten.v1", &[]).unwrap_err()]
    {
        assert_eq!(refused.to_string(), "unknown event type `order.eaten.v1`");
    }
    // Known, but never in a ticket's stream.
    assert!(matches!(decode_ticket(types::PROBLEM_CLOSED, &[]), Err(CodecError::UnknownType(_))));
}

#[test]
fn an_unknown_field_is_refused_in_payload_metadata_and_nested_messages() {
    let event = order::Event::Accepted { order: OrderNo(3) }.into();
    let (kind, mut bytes) = encode_ticket(&event);
    assert_eq!(bytes, [8, 3]);
    bytes.extend([0xf8, 0x01, 7]);
    let refused = decode_ticket(kind, &bytes).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "order.accepted.v1 has fields that this version does not know: 2 of its 5 bytes were understood"
    );
    assert!(payload(kind, &bytes).is_err());

    let parts = sample::parts(kind, &mut Gen::plain(1)).unwrap();
    let mut metadata = parts.metadata.to_vec();
    metadata.extend([0xf8, 0x01, 7]);
    assert!(matches!(decode_metadata(&metadata), Err(CodecError::UnknownField { .. })));
    let stored = StoredEvent { metadata: &metadata, ..parts.as_stored() };
    assert!(matches!(decode_meta(&stored), Err(CodecError::UnknownField { .. })));

    // `Subject { ticket: WholeTicket {} }` with a field inside the inner message.
    let start = sample::parts(types::CLOCK_STARTED, &mut Gen::plain(1)).unwrap();
    let mut start = pb::ClockStarted::decode(start.payload).unwrap();
    start.subject = None;
    let mut bytes = start.encode_to_vec();
    bytes.extend([0x1a, 5, 0x0a, 3, 0xf8, 0x01, 7]);
    assert!(matches!(decode_ticket(types::CLOCK_STARTED, &bytes), Err(CodecError::UnknownField { .. })));
}

#[test]
fn a_missing_or_meaningless_field_is_refused_by_name() {
    let wrong = |kind, bytes: &[u8]| decode_ticket(kind, bytes).unwrap_err().to_string();
    assert_eq!(wrong(types::TICKET_PROBLEM_JOINED, &[]), "ticket.problem_joined.v1: problem is required");
    assert_eq!(
        wrong(types::TICKET_PROBLEM_JOINED, b"\x0a\x01x"),
        "ticket.problem_joined.v1: problem is not a UUID"
    );
    assert_eq!(wrong(types::GATE_WAIVED, &[8, 99]), "gate.waived.v1: gate has the unknown value 99");
    assert_eq!(wrong(types::GATE_WAIVED, &[8, 1]), "gate.waived.v1: reason is required");
    assert_eq!(
        wrong(types::CLOCK_MET, &[8, 1, 18, 6, 16, 128, 148, 235, 220, 3]),
        "clock.met.v1: at is not a moment between the years 1 and 9999"
    );
}

#[test]
fn json_with_unknown_fields_or_values_is_refused() {
    let event = |kind| to_event(&sample::parts(kind, &mut Gen::plain(7)).unwrap().as_stored()).unwrap();
    let json = to_json(&event(types::GATE_WAIVED)).unwrap();
    assert!(from_json(&json).is_ok());
    assert!(from_json(&json.replacen("{\"id\"", "{\"ident\"", 1)).is_err());
    assert!(from_json(&json.replacen("\"gate\":\"GATE_", "\"gate\":\"DOOR_", 1)).is_err());
    assert!(from_json(&(json.clone() + "{}")).is_err());
    assert!(from_json(&json[..json.len() - 1]).is_err());
}

#[test]
fn an_envelope_that_contradicts_itself_is_refused() {
    let event =
        to_event(&sample::parts(types::GATE_WAIVED, &mut Gen::plain(7)).unwrap().as_stored()).unwrap();
    let refused = |change: &dyn Fn(&mut pb::Event)| {
        let mut event = event.clone();
        change(&mut event);
        from_event(event).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&|event| event.r#type = types::CHAIN_CLOSED.into()),
        "the event says it is `chain.closed.v1` and holds `gate.waived.v1`"
    );
    assert_eq!(refused(&|event| event.payload = None), "event: payload is required");
    assert_eq!(refused(&|event| event.metadata = None), "event: metadata is required");
    assert_eq!(refused(&|event| event.id = "7".into()), "event: id is not a UUID");
    assert_eq!(
        refused(&|event| event.recorded_at = Some(prost_types::Timestamp { seconds: 1, nanos: 1 })),
        "event: recorded_at is finer than a microsecond"
    );
}
