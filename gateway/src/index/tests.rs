//! Tests of the index.

use std::time::Duration;

use flint_api::Mode;
use jiff::Timestamp;

use super::*;
use crate::{
    clock::Clock,
    live::Admitted,
    split::{Share, Traffic},
};

struct World {
    index: Index,
    tables: Arc<Tables>,
    hub: Arc<Hub>,
}

fn world() -> World {
    let (hub, _bell) = Hub::new(Clock::start(), 10);
    let tables = Arc::new(Tables::default());
    let index = Index::new(Arc::clone(&hub), Arc::clone(&tables), "gw-1".into());
    World { index, tables, hub }
}

fn key() -> Key {
    Key::new("shop", "hello")
}

fn hello(revision: &str) -> Seen {
    Seen {
        key: key(),
        mode: Mode::Http,
        timeout: Duration::from_secs(30),
        concurrency: 1,
        revision: Some(revision.into()),
        traffic: Arc::default(),
        event_v1: false,
        blocked: None,
        schedules: Arc::default(),
        created: Timestamp::UNIX_EPOCH,
    }
}

fn pod(name: &str, ip: u8) -> Pod {
    Pod {
        name: PodName { namespace: "shop".into(), name: name.into() },
        uid: format!("uid-{name}"),
        function: "hello".into(),
        revision: "r1".into(),
        address: Some(SocketAddr::from(([10, 0, 0, ip], 8012))),
        ready: true,
        ending: false,
        limit: None,
    }
}

fn hint(pod: &Pod) -> Hint {
    Hint {
        function: pod.function.clone(),
        revision: pod.revision.clone(),
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        address: pod.address.expect("an address"),
    }
}

impl World {
    fn tell(&mut self, events: impl IntoIterator<Item = Event>) -> &mut Self {
        events.into_iter().for_each(|event| self.index.apply(event));
        self.index.settle();
        self
    }

    fn instances(&self) -> Vec<String> {
        let table = self.tables.load();
        let function = table.get_key(&key()).expect("the function");
        function.live.instances().iter().map(|instance| instance.pod.clone()).collect()
    }

    fn live(&self) -> Arc<Live> {
        Arc::clone(&self.tables.load().get_key(&key()).expect("the function").live)
    }

    fn refused(&self) -> u64 {
        self.hub.totals.announcements_refused.load(Ordering::Relaxed)
    }
}

#[test]
fn ready_pods_of_the_revision_get_requests_and_no_others() {
    let mut world = world();
    world.tell([
        Event::Function(hello("r1")),
        Event::Pod(pod("a", 1)),
        Event::Pod(Pod { ready: false, ..pod("b", 2) }),
        Event::Pod(Pod { ending: true, ..pod("c", 3) }),
        Event::Pod(Pod { revision: "r2".into(), ..pod("d", 4) }),
        Event::Pod(Pod { address: None, ready: false, ..pod("e", 5) }),
        Event::Pod(Pod { function: "other".into(), ..pod("f", 6) }),
    ]);
    assert_eq!(world.instances(), ["a"]);
}

#[test]
fn pods_may_be_told_of_before_their_function() {
    let mut world = world();
    world.tell([Event::Pod(pod("a", 1))]).tell([Event::Function(hello("r1"))]);
    assert_eq!(world.instances(), ["a"]);
}

#[test]
fn the_traffic_moves_when_the_status_names_the_new_revision() {
    let mut world = world();
    let new = Pod { revision: "r2".into(), ..pod("new", 2) };
    world.tell([Event::Function(hello("r1")), Event::Pod(pod("old", 1)), Event::Pod(new)]);
    assert_eq!(world.instances(), ["old"]);
    world.tell([Event::Function(hello("r2"))]);
    assert_eq!(world.instances(), ["new"]);
}

#[test]
fn a_changed_spec_keeps_instances_and_those_who_wait() {
    let mut world = world();
    world.tell([Event::Function(hello("r1"))]);
    let Ok(Admitted::Ticket(_waits)) = world.live().admit(false) else { panic!("it waits") };
    let before = world.live();
    world.tell([Event::Function(Seen { timeout: Duration::from_secs(5), ..hello("r1") })]);
    assert!(Arc::ptr_eq(&before, &world.live()));
    assert_eq!(world.live().waiting(), 1);
}

#[test]
fn an_announced_instance_is_used_at_once_and_confirmed_by_the_watch() {
    let mut world = world();
    let announced = pod("a", 1);
    world.tell([Event::Function(hello("r1")), Event::Announced(hint(&announced))]);
    assert_eq!(world.instances(), ["a"]);
    let instance = Arc::clone(&world.live().instances()[0]);
    // The watch hears of a pod in stages; only at the last is it ready.
    world.tell([Event::Pod(Pod { ready: false, address: None, ..announced.clone() })]);
    world.tell([Event::Pod(Pod { ready: false, ..announced.clone() })]);
    assert_eq!(world.instances(), ["a"]);
    world.tell([Event::Pod(announced)]);
    world.index.expire(Micros::MAX);
    world.tell([]);
    assert_eq!(world.instances(), ["a"]);
    assert!(Arc::ptr_eq(&instance, &world.live().instances()[0]), "it is the same instance all the time");
}

#[test]
fn an_announcement_that_is_never_confirmed_is_dropped() {
    let mut world = world();
    world.tell([Event::Function(hello("r1")), Event::Announced(hint(&pod("a", 1)))]);
    world.index.expire(micros(HINT) / 2);
    world.tell([]);
    assert_eq!(world.instances(), ["a"]);
    world.index.expire(world.hub.clock.now() + micros(HINT));
    world.tell([]);
    assert_eq!(world.instances(), [""; 0]);
    assert_eq!(world.hub.totals.announcements_expired.load(Ordering::Relaxed), 1);
}

#[test]
fn an_announced_instance_goes_the_moment_the_watch_tells_of_its_end() {
    for end in [Event::PodGone(pod("a", 1).name), Event::Pod(Pod { ending: true, ..pod("a", 1) })] {
        let mut world = world();
        let starting = Pod { ready: false, ..pod("a", 1) };
        world.tell([
            Event::Function(hello("r1")),
            Event::Pod(starting),
            Event::Announced(hint(&pod("a", 1))),
        ]);
        assert_eq!(world.instances(), ["a"]);
        world.tell([end]);
        assert_eq!(world.instances(), [""; 0]);
    }
}

#[test]
fn a_forged_announcement_gets_nothing() {
    let mut world = world();
    let other = Pod { function: "other".into(), ..pod("other", 9) };
    let known = Pod { ready: false, ..pod("a", 1) };
    world.tell([Event::Function(hello("r1")), Event::Pod(other.clone()), Event::Pod(known.clone())]);
    let forged = [
        // For a function that is not there.
        Hint { function: "nobody".into(), ..hint(&pod("x", 7)) },
        // With the address of another function's pod.
        Hint { address: other.address.expect("an address"), ..hint(&pod("x", 7)) },
        // In the name of a pod that is another's, has another uid, another revision, or another address.
        Hint { pod: other.name, ..hint(&pod("x", 7)) },
        Hint { uid: "another".into(), ..hint(&known) },
        Hint { revision: "r2".into(), ..hint(&known) },
        Hint { address: SocketAddr::from(([10, 0, 0, 7], 8012)), ..hint(&known) },
    ];
    let count = forged.len() as u64;
    world.tell(forged.map(Event::Announced));
    assert_eq!(world.instances(), [""; 0]);
    assert_eq!(world.refused(), count);
}

#[test]
fn an_address_may_be_used_again_after_its_pods_end() {
    let mut world = world();
    world.tell([
        Event::Function(hello("r1")),
        Event::Pod(pod("old", 1)),
        Event::PodGone(pod("old", 1).name),
        Event::Announced(hint(&pod("new", 1))),
    ]);
    assert_eq!(world.instances(), ["new"]);
}

#[test]
fn a_pod_that_is_up_is_worth_a_probe_only_while_somebody_waits() {
    let mut world = world();
    let starting = Pod { ready: false, ..pod("a", 1) };
    world.tell([Event::Function(hello("r1")), Event::Pod(starting)]);
    assert_eq!(world.index.waited_for().count(), 0);
    let Ok(Admitted::Ticket(mut waits)) = world.live().admit(false) else { panic!("it waits") };
    let candidates: Vec<_> = world.index.waited_for().collect();
    assert_eq!(candidates, [hint(&pod("a", 1))]);
    world.tell(candidates.into_iter().map(Event::Probed));
    assert_eq!(world.instances(), ["a"]);
    assert!(futures::FutureExt::now_or_never(waits.turn()).is_some());
}

#[test]
fn a_failing_start_counts_for_its_revision_and_until_the_stream_breaks() {
    let mut world = world();
    let start = |revision: &str, failing: bool| Event::Start {
        key: key(),
        revision: revision.into(),
        blocked: failing.then(|| Blocked { reason: "CrashLoop".into(), message: "it exits".into() }),
    };
    world.tell([Event::Function(hello("r1")), start("r2", true)]);
    assert!(world.live().admit(false).is_ok(), "another revision fails");
    world.tell([start("r1", true)]);
    assert!(world.live().admit(false).is_err());
    world.tell([start("r2", false)]);
    assert!(world.live().admit(false).is_err(), "another revision's recovery says nothing");
    world.tell([Event::Connected]);
    assert!(world.live().admit(false).is_ok());
}

#[test]
fn several_gateways_prefer_different_instances() {
    let mut world = world();
    world.tell([Event::Function(hello("r1"))]);
    world.tell((0..20).map(|number| Event::Pod(pod(&format!("p{number}"), number))));
    let peers = ["gw-1".to_owned(), "gw-2".to_owned()];
    world.tell([Event::Peers(peers.to_vec())]);
    let order = world.instances();
    let ranks: Vec<_> = order.iter().map(|pod| balance::rank(&peers, "gw-1", pod)).collect();
    assert!(ranks.is_sorted() && ranks.contains(&0) && ranks.contains(&1), "{ranks:?}");
}

#[test]
fn what_a_watchdog_was_told_to_take_wins_over_the_spec() {
    let mut world = world();
    let old = Pod { limit: Some(7), ..pod("a", 1) };
    world.tell([Event::Function(hello("r1")), Event::Pod(old), Event::Pod(pod("b", 2))]);
    let limits: Vec<_> = world.live().instances().iter().map(|instance| instance.limit).collect();
    assert_eq!(limits, [7, 1]);
}

#[test]
fn a_deleted_function_is_unknown_and_one_of_the_same_name_is_new() {
    let mut world = world();
    world.tell([Event::Function(hello("r1")), Event::Pod(pod("a", 1))]);
    let before = world.live();
    world.tell([Event::FunctionGone(key())]);
    assert!(world.tables.load().get_key(&key()).is_none());
    assert!(before.is_gone());
    world.tell([Event::Function(hello("r1"))]);
    assert!(!world.live().is_gone());
    assert_eq!(world.instances(), ["a"]);
}

/// `hello` with its requests divided: `r1` has the traffic, `r2` a share, and revision 3 can be called.
fn divided() -> Seen {
    let share = |revision: &str, weight| Share { revision: revision.into(), weight, alias: None };
    let versions = (1..=3).map(|number| (number, format!("r{number}"))).collect();
    let shares = vec![share("r1", 50), share("r2", 50)];
    Seen { traffic: Arc::new(Traffic { shares, versions, ..Traffic::default() }), ..hello("r1") }
}

impl World {
    fn instances_of(&self, qualifier: &str) -> Vec<String> {
        let function = Arc::clone(self.tables.load().get_key(&key()).expect("the function"));
        let picked = function.pick(&self.hub, Some(qualifier), &http::HeaderMap::new()).expect("a revision");
        picked.function.live.instances().iter().map(|instance| instance.pod.clone()).collect()
    }
}

#[test]
fn each_revision_that_gets_requests_has_its_own_instances() {
    let mut world = world();
    let of = |revision: &str, name: &str, ip| Event::Pod(Pod { revision: revision.into(), ..pod(name, ip) });
    world.tell([Event::Function(divided()), of("r1", "a", 1), of("r2", "b", 2), of("r3", "c", 3)]);
    assert_eq!((world.instances_of("1"), world.instances_of("2")), (vec!["a".into()], vec!["b".into()]));
    // Nobody has called it before: it gets its instances when somebody does.
    assert!(world.instances_of("3").is_empty());
    world.index.settle_revisions();
    assert_eq!(world.instances_of("3"), ["c"]);
}

#[test]
fn those_who_wait_for_a_revision_that_takes_over_are_served_and_its_line_goes() {
    let mut world = world();
    world.tell([Event::Function(divided())]);
    let other = world.hub.revisions.of(&key()).pop().expect("the line of r2");
    let Ok(Admitted::Ticket(mut ticket)) = other.admit(false) else { panic!("there is no instance") };
    other.demand.enter(0);
    world.tell([Event::Function(hello("r2"))]);
    world.index.sweep_revisions();
    world.tell([Event::Pod(Pod { revision: "r2".into(), ..pod("b", 2) })]);
    assert_eq!(world.instances(), ["b"]);
    let slot = futures::FutureExt::now_or_never(ticket.turn()).expect("a turn").expect("a slot");
    assert_eq!(slot.instance().pod, "b");
    drop(slot);
    other.demand.leave(0);
    world.index.sweep_revisions();
    assert!(world.hub.revisions.all().is_empty());
}

#[test]
fn a_revision_that_cannot_start_is_told_to_those_who_wait_for_it_alone() {
    let mut world = world();
    world.tell([Event::Function(divided())]);
    let other = world.hub.revisions.of(&key()).pop().expect("the line of r2");
    let blocked = Some(Blocked { reason: "CrashLoop".into(), message: "why".into() });
    world.tell([Event::Start { key: key(), revision: "r2".into(), blocked }]);
    assert!(other.admit(false).is_err());
    assert!(world.live().admit(false).is_ok());
    world.tell([Event::Start { key: key(), revision: "r2".into(), blocked: None }]);
    assert!(other.admit(false).is_ok());
}
