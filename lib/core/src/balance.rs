//! Chooses the instance that gets a request: the least loaded one with room, ties broken by whom it prefers.
//!
//! Several gateways share the instances without talking to each other about every request. Each ranks the instances by
//! rendezvous hashing over all gateways: rank 0 are those that no other gateway ranks higher. With a limit of one
//! request per instance each gateway so fills its own instances first, and meets another's (a 429 and a detour) only
//! when its own are busy. Load comes before rank, so a gateway that gets all the traffic still spreads it over all.

/// What a choice looks at, for one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests that this gateway has there now.
    pub in_flight: u32,
    /// The most it takes at a time; 0 is no limit.
    pub limit: u32,
    /// It refused lately, and is left alone for a moment.
    pub resting: bool,
}

/// The position of the least loaded instance with room. The instances come in the order of their ranks, so the first of
/// several equals is the one to prefer, and an idle one ends the search.
pub fn choose(loads: impl IntoIterator<Item = Load>) -> Option<usize> {
    let mut best: Option<(usize, u32)> = None;
    for (position, load) in loads.into_iter().enumerate() {
        let full = load.limit != 0 && load.in_flight >= load.limit;
        if full || load.resting {
            continue;
        }
        if load.in_flight == 0 {
            return Some(position);
        }
        if best.is_none_or(|(_, least)| load.in_flight < least) {
            best = Some((position, load.in_flight));
        }
    }
    best.map(|(position, _)| position)
}

/// How many of the `gateways` come before `me` for this instance: 0 when it is mine before all others'.
#[must_use]
pub fn rank<S: AsRef<str>>(gateways: &[S], me: &str, instance: &str) -> usize {
    let mine = (weight(me, instance), me);
    gateways
        .iter()
        .map(AsRef::as_ref)
        .filter(|gateway| *gateway != me && (weight(gateway, instance), *gateway) > mine)
        .count()
}

/// The same number in every gateway and every version: 64-bit FNV-1a, finished by the mixer of SplitMix64, because FNV
/// alone hardly changes the high bits for texts that differ at their end.
fn weight(gateway: &str, instance: &str) -> u64 {
    let bytes = gateway.bytes().chain([0]).chain(instance.bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loads(in_flight: &[u32], limit: u32) -> Vec<Load> {
        in_flight.iter().map(|&in_flight| Load { in_flight, limit, resting: false }).collect()
    }

    #[test]
    fn the_least_loaded_with_room_is_chosen() {
        assert_eq!(choose(loads(&[2, 1, 2], 3)), Some(1));
        assert_eq!(choose(loads(&[1, 0, 0], 3)), Some(1));
        assert_eq!(choose(loads(&[3, 3], 3)), None);
        assert_eq!(choose(loads(&[900, 800], 0)), Some(1));
        assert_eq!(choose(loads(&[], 3)), None);
    }

    #[test]
    fn a_resting_instance_is_left_alone() {
        let mut some = loads(&[0, 2], 3);
        some[0].resting = true;
        assert_eq!(choose(some), Some(1));
    }

    #[test]
    fn each_instance_is_first_for_exactly_one_gateway() {
        let gateways = ["gw-1", "gw-2", "gw-3"];
        let mut firsts = [0; 3];
        for pod in 0..300 {
            let pod = format!("thumbnail-3f9c2a71-{pod}");
            let ranks: Vec<_> = gateways.iter().map(|me| rank(&gateways, me, &pod)).collect();
            let mut sorted = ranks.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2]);
            firsts[ranks.iter().position(|&rank| rank == 0).unwrap()] += 1;
        }
        assert!(firsts.iter().all(|&count| (60..=140).contains(&count)), "{firsts:?}");
    }

    #[test]
    fn a_gateway_that_leaves_only_moves_what_was_its_own() {
        let (three, two) = (["gw-1", "gw-2", "gw-3"], ["gw-1", "gw-2"]);
        for pod in 0..100 {
            let pod = pod.to_string();
            if rank(&three, "gw-1", &pod) == 0 {
                assert_eq!(rank(&two, "gw-1", &pod), 0);
            }
        }
    }

    #[test]
    fn a_gateway_that_does_not_know_its_peers_prefers_all() {
        assert_eq!(rank::<&str>(&[], "gw-1", "pod"), 0);
        assert_eq!(rank(&["gw-1"], "gw-1", "pod"), 0);
    }

    proptest! {
        #[test]
        fn the_choice_always_has_room_and_none_is_less_loaded(
            all in proptest::collection::vec((0u32..6, any::<bool>()), 0..20), limit in 0u32..6,
        ) {
            let all: Vec<_> = all.into_iter().map(|(in_flight, resting)| Load { in_flight, limit, resting }).collect();
            let room = |load: &Load| !load.resting && (load.limit == 0 || load.in_flight < load.limit);
            match choose(all.iter().copied()) {
                Some(chosen) => {
                    prop_assert!(room(&all[chosen]));
                    prop_assert!(all.iter().filter(|load| room(load)).all(|load| all[chosen].in_flight <= load.in_flight));
                }
                None => prop_assert!(!all.iter().any(room)),
            }
        }
    }
}
