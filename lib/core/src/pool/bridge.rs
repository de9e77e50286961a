//! How many pods wait in a pool, and when an instance that came from one gives way to ordinary ones: pure decisions.

use std::time::Duration;

/// How long demand must last before the function's Deployment takes over from an instance that came from a pool. Twice the time over
/// which Knative, and Flint, average demand: what is shorter is an episode, for which another pod would be started in vain.
pub const LASTING: Duration = Duration::from_secs(120);
/// What was claimed within this time may be wanted again as soon: a replacement takes seconds.
pub const REMEMBERED: Duration = Duration::from_secs(60);

/// What to do about a function with instances from a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bridging {
    /// Instances that the function's Deployment should have.
    pub deployment: u32,
    /// Instances from the pool that should end.
    pub retire: u32,
}

/// Shares `desired` instances between the function's Deployment, which has `ready` ones, and the `bridges` that came from a pool. `lasting`:
/// there is demand still, [`LASTING`] after the oldest of them was claimed.
#[must_use]
pub fn bridging(desired: u32, bridges: u32, ready: u32, lasting: bool) -> Bridging {
    if desired > 0 && (lasting || ready >= desired) {
        // Ordinary ones come up beside the bridges, which go when those can carry what there is.
        return Bridging { deployment: desired, retire: if ready >= desired { bridges } else { 0 } };
    }
    Bridging { deployment: desired.saturating_sub(bridges), retire: bridges.saturating_sub(desired) }
}

/// Pods that should wait: `size` and as many more as were claimed lately, `most` at most.
#[must_use]
pub fn waiting(size: u32, most: u32, claimed_lately: u32) -> u32 {
    if size == 0 { 0 } else { size.saturating_add(claimed_lately).min(most.max(size)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn of(deployment: u32, retire: u32) -> Bridging {
        Bridging { deployment, retire }
    }

    #[test]
    fn a_bridge_carries_what_it_can_and_the_deployment_the_rest() {
        assert_eq!(bridging(1, 1, 0, false), of(0, 0));
        assert_eq!(bridging(5, 1, 0, false), of(4, 0));
    }

    #[test]
    fn at_zero_every_bridge_goes() {
        assert_eq!(bridging(0, 2, 0, false), of(0, 2));
        assert_eq!(bridging(0, 2, 0, true), of(0, 2));
    }

    #[test]
    fn two_gateways_that_claimed_at_once_made_one_bridge_too_many() {
        assert_eq!(bridging(1, 2, 0, false), of(0, 1));
    }

    #[test]
    fn a_bridge_goes_when_ordinary_instances_can_carry_what_there_is() {
        assert_eq!(bridging(1, 1, 1, false), of(1, 1));
        assert_eq!(bridging(2, 1, 1, false), of(1, 0));
    }

    #[test]
    fn lasting_demand_moves_to_ordinary_instances_before_the_bridge_goes() {
        assert_eq!(bridging(2, 1, 0, true), of(2, 0));
        assert_eq!(bridging(2, 1, 1, true), of(2, 0));
        assert_eq!(bridging(2, 1, 2, true), of(2, 1));
    }

    #[test]
    fn a_pool_grows_with_what_is_claimed_up_to_its_bound() {
        assert_eq!(waiting(2, 2, 50), 2);
        assert_eq!(waiting(2, 10, 3), 5);
        assert_eq!(waiting(2, 10, 50), 10);
        assert_eq!(waiting(5, 3, 0), 5, "a bound below the size is the size");
        assert_eq!(waiting(0, 10, 5), 0, "no pool is no pool");
    }
}
