//! Every refusal there is stands in some test of this directory.

use duban_aggregates::rejection::{Class, Rejection};

const TESTS: &str = concat!(
    include_str!("always_end.rs"),
    include_str!("chain.rs"),
    include_str!("clocks.rs"),
    include_str!("ends.rs"),
    include_str!("ends_keep.rs"),
    include_str!("facts.rs"),
    include_str!("judging.rs"),
    include_str!("orders.rs"),
    include_str!("streams.rs"),
);

/// `OUT_OF_TURN` is `OutOfTurn`.
fn variant(reason: &str) -> String {
    let word = |word: &str| word[..1].to_owned() + &word[1..].to_lowercase();
    reason.split('_').map(word).collect()
}

#[test]
fn every_reason_is_expected_by_some_test() {
    let missing: Vec<&str> = Rejection::REASONS
        .iter()
        .copied()
        .filter(|reason| {
            let name = if *reason == "INVALID_FIELD" { "invalid".to_owned() } else { variant(reason) };
            !TESTS.contains(&format!("Rejection::{name}"))
        })
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn reasons_are_unique_and_classes_follow_the_variant() {
    let unique: std::collections::BTreeSet<_> = Rejection::REASONS.iter().collect();
    assert_eq!(unique.len(), Rejection::REASONS.len());
    let own = Rejection::OwnWork;
    assert_eq!((own.reason(), own.class()), ("OWN_WORK", Class::NotYours));
    assert_eq!(Rejection::TicketUnknown.class(), Class::Unknown);
}
