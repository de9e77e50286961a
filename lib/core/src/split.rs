//! Which of several revisions a request goes to, by their weights.
//!
//! A place among a hundred settles it: the revisions lie side by side, each as wide as its weight. Places of requests that
//! nothing ties to a revision go round in strides, so that every hundred in a row are divided exactly and neighbours differ. A
//! client that is to stay with its revision has a place of its own, the hash of what it is known by, which is the same in every
//! gateway and at every time: when weights move, only the clients whose place changes hands change their revision.

/// Places; weights are percents.
pub const PLACES: u32 = 100;
/// Prime to [`PLACES`] and near the golden section of it: few requests in a row are spread as evenly as many.
const STRIDE: u32 = 61;

/// The place of the n-th request.
#[must_use]
pub const fn in_turn(turn: u32) -> u32 {
    (turn % PLACES) * STRIDE % PLACES
}

/// The place of a client that is known by `value`.
#[must_use]
pub fn of(value: &[u8]) -> u32 {
    // FNV-1a, because it is short and the same everywhere; its low bits alone are not even enough for similar values.
    let hash = value.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 33) % u64::from(PLACES)) as u32
}

/// Which one has the place. Where the weights make less than a hundred, what is left is the last one's; none without weights.
pub fn choose(weights: impl IntoIterator<Item = u32>, place: u32) -> Option<usize> {
    let mut end = 0;
    let mut last = None;
    for (index, weight) in weights.into_iter().enumerate().filter(|(_, weight)| *weight > 0) {
        end += weight;
        if place < end {
            return Some(index);
        }
        last = Some(index);
    }
    last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(weights: [u32; 3], places: impl Iterator<Item = u32>) -> [u32; 3] {
        let mut counts = [0; 3];
        places.for_each(|place| counts[choose(weights, place).unwrap()] += 1);
        counts
    }

    #[test]
    fn a_hundred_in_a_row_are_divided_exactly_wherever_they_begin() {
        for start in [0, 7, 99] {
            assert_eq!(counts([90, 0, 10], (start..start + 100).map(in_turn)), [90, 0, 10]);
        }
    }

    #[test]
    fn ten_in_a_row_are_divided_nearly() {
        for start in 0..100 {
            let [first, ..] = counts([50, 50, 0], (start..start + 10).map(in_turn));
            assert!((4..=6).contains(&first), "{first} from {start}");
        }
    }

    #[test]
    fn clients_are_spread_as_the_weights_are() {
        let [first, second, _] =
            counts([50, 50, 0], (0..10_000).map(|user| of(format!("user-{user}").as_bytes())));
        assert!(first.abs_diff(second) < 500, "{first} and {second}");
    }

    #[test]
    fn who_has_no_weight_gets_nothing() {
        assert_eq!(choose([], 5), None);
        assert_eq!(choose([0, 0], 5), None);
        assert_eq!(choose([0, 100], 0), Some(1));
        assert_eq!(choose([30, 30], 99), Some(1));
    }

    proptest! {
        #[test]
        fn moving_ten_percent_moves_ten_percent_of_the_clients(weight in 10u32..=90, value in "[a-z0-9]{1,20}") {
            let place = of(value.as_bytes());
            let (before, after) = (choose([weight, 100 - weight], place), choose([weight - 10, 110 - weight], place));
            prop_assert_eq!(before != after, (weight - 10..weight).contains(&place));
        }
    }
}
