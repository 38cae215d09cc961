//! Faults that are planted in the log, one at a time: what this harness is worth is which of them it finds.

use duban_log::{Options, Planted};

use crate::{broken, kept};

/// The first seed below 200 by which a planted fault is found, and by what.
fn found(planted: Planted) -> Option<(u64, String)> {
    let options = |options: Options| Options { planted: Some(planted), ..options };
    (0..200).find_map(|seed| {
        let broken = broken::scenario(seed, &mut broken::Tally::default(), &options);
        let wrong = broken.and_then(|()| kept::scenario(seed, &mut kept::Tally::default(), &options));
        wrong.err().map(|wrong| (seed, wrong))
    })
}

#[test]
fn every_planted_fault_is_found_within_200_seeds() {
    for planted in Planted::ALL {
        match found(planted) {
            Some((seed, wrong)) => println!("{planted:?} is found by seed {seed}: {wrong}"),
            None => panic!("{planted:?} is not found"),
        }
    }
}
