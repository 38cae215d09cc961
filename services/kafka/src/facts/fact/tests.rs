use serde_json::{Value, json};

use super::*;

const SCHEMAS: [(Source, &str); 3] = [
    (Source::InstallSystem, include_str!("../../../../../deploy/kafka/facts.install.v1.schema.json")),
    (Source::LineTester, include_str!("../../../../../deploy/kafka/facts.line-test.v1.schema.json")),
    (Source::Billing, include_str!("../../../../../deploy/kafka/facts.billing.v1.schema.json")),
];

fn read(source: Source, value: &Value) -> Result<Fact, String> {
    source.read(Some(value.to_string().as_bytes()))
}

fn schema(text: &str) -> (Value, jsonschema::Validator) {
    let schema: Value = serde_json::from_str(text).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    (schema, validator)
}

/// Everything that one edit of a good record may make of it.
fn edited(good: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    let fields = good.as_object().unwrap();
    for name in fields.keys() {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(name);
        all.push(without);
        for other in [
            json!(null),
            json!(1),
            json!(true),
            json!(""),
            json!("  "),
            json!("unknown"),
            json!([]),
            json!({}),
            json!("2026-03-02"),
            json!("00000000-0000-0000-0000-000000000000"),
            json!("6f1dc1a07d3c4b8e9f0e0123456789ab"),
        ] {
            let mut changed = good.clone();
            changed[name] = other;
            all.push(changed);
        }
    }
    let mut more = good.clone();
    more["more"] = json!("x");
    all.push(more);
    all.extend([json!(null), json!([good]), json!("x"), json!({})]);
    all
}

#[test]
fn every_example_of_a_schema_is_valid_by_it_and_is_read() {
    for (source, text) in SCHEMAS {
        let (schema, validator) = schema(text);
        let examples = schema["examples"].as_array().unwrap();
        assert!(!examples.is_empty());
        for example in examples {
            assert!(validator.is_valid(example), "{source:?} {example}");
            read(source, example).unwrap();
        }
    }
}

#[test]
fn what_is_read_is_valid_by_the_schema_and_what_is_valid_is_read() {
    for (source, text) in SCHEMAS {
        let (schema, validator) = schema(text);
        for value in schema["examples"].as_array().unwrap().iter().flat_map(edited) {
            let fact = read(source, &value);
            // An absent field may be null to us. A blank reference is refused by its command, where others are read.
            let nulls = value.as_object().is_some_and(|fields| fields.values().any(Value::is_null));
            let blank = fact.as_ref().is_ok_and(|fact| fact.reference.trim().is_empty());
            let empty = fact
                .as_ref()
                .is_ok_and(|fact| matches!(&fact.what, What::LineTest { result, .. } if result.is_empty()));
            let taken = fact.is_ok() && !nulls && !blank && !empty;
            assert_eq!(validator.is_valid(&value) && !nulls, taken, "{source:?} {value} {fact:?}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_and_what_the_record_holds_is_not() {
    let told = |text: &str| Source::LineTester.read(Some(text.as_bytes())).unwrap_err();
    assert!(told("{").contains("EOF"));
    assert!(told("{}").contains("ticket_id"));
    assert_eq!(Source::Billing.read(None).unwrap_err(), "the record has no value");
    let secret = r#"{"ticket_id":"王小明","passed":true,"result":"x","reference":"1"}"#;
    assert!(!told(secret).contains("王"), "{}", told(secret));
    let secret = r#"{"ticket_id":"6f1dc1a0-7d3c-4b8e-9f0e-0123456789ab","passed":"王小明","result":"x","reference":"1"}"#;
    assert!(!told(secret).contains("王"), "{}", told(secret));
}

#[test]
fn a_clock_that_runs_a_little_ahead_is_forgiven_and_no_more() {
    let now: Timestamp = "2026-03-02T01:00:00Z".parse().unwrap();
    let at = |text: &str| moment(text.parse().unwrap(), now).to_string();
    assert_eq!(at("2026-03-02T01:00:59Z"), "2026-03-02T01:00:00Z");
    assert_eq!(at("2026-03-02T01:01:01Z"), "2026-03-02T01:01:01Z");
    assert_eq!(at("2026-03-02T00:59:59.1234567Z"), "2026-03-02T00:59:59.123456Z");
}
