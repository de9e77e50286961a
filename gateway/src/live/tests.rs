//! Tests of the living part.

use std::{net::SocketAddr, time::Duration};

use futures::FutureExt;

use super::*;
use crate::clock::Clock;

fn live(capacity: usize) -> (Arc<Live>, tokio::sync::mpsc::Receiver<Arc<Live>>) {
    let (hub, bell) = Hub::new(Clock::start(), capacity);
    (Arc::new(Live::new(Key::new("shop", "hello"), hub)), bell)
}

fn instance(id: u64, limit: u32) -> Arc<Instance> {
    let address = SocketAddr::from(([127, 0, 0, 1], 8012));
    Arc::new(Instance::new(id, format!("pod-{id}"), format!("uid-{id}"), address, limit, 0))
}

fn blocked() -> Option<Blocked> {
    Some(Blocked { reason: "ImagePullFailed".into(), message: "there is no image x".into() })
}

fn slot(admitted: Result<Admitted, Refusal>) -> Slot {
    match admitted {
        Ok(Admitted::Slot(slot)) => slot,
        other => panic!("expected a slot, not {other:?}"),
    }
}

fn ticket(admitted: Result<Admitted, Refusal>) -> Ticket {
    match admitted {
        Ok(Admitted::Ticket(ticket)) => ticket,
        other => panic!("expected a ticket, not {other:?}"),
    }
}

fn granted(ticket: &mut Ticket) -> Option<Slot> {
    ticket.turn().now_or_never().map(|turn| turn.expect("a slot"))
}

fn code(admitted: Result<Admitted, Refusal>) -> ErrorCode {
    admitted.expect_err("a refusal").code
}

#[test]
fn a_slot_that_comes_back_goes_to_the_first_in_line_and_to_no_other() {
    let (live, _bell) = live(10);
    live.set_instances(vec![instance(1, 1)]);
    let first = slot(live.admit(false));
    let (mut second, mut third) = (ticket(live.admit(false)), ticket(live.admit(false)));
    assert_eq!(live.waiting(), 2);
    drop(first);
    let second = granted(&mut second).expect("the turn of the second");
    assert!(granted(&mut third).is_none());
    drop(second);
    assert!(granted(&mut third).is_some());
    assert_eq!(live.waiting(), 0);
}

#[test]
fn a_new_instance_lets_in_as_many_as_it_has_room_for() {
    let (live, _bell) = live(10);
    let mut tickets: Vec<_> = (0..5).map(|_| ticket(live.admit(false))).collect();
    assert!(tickets.iter().all(|ticket| ticket.cold));
    live.set_instances(vec![instance(1, 2), instance(2, 1)]);
    let turns: Vec<_> = tickets.iter_mut().map(granted).collect();
    assert_eq!(turns.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, false, false]);
    assert_eq!(live.waiting(), 2);
}

#[test]
fn nobody_passes_the_line() {
    let (live, _bell) = live(10);
    let waits = ticket(live.admit(false));
    live.set_instances(vec![instance(1, 1)]);
    // The slot is the first one's, though it has not looked yet.
    let late = ticket(live.admit(false));
    assert!(!late.cold);
    drop(waits);
    assert_eq!(live.waiting(), 0, "the slot went on to the late one");
}

#[test]
fn a_client_that_goes_leaves_its_place_and_its_slot() {
    let (live, _bell) = live(1);
    let gone = ticket(live.admit(false));
    assert_eq!(code(live.admit(false)), ErrorCode::TooManyRequests);
    drop(gone);
    let mut next = ticket(live.admit(false));
    let only = instance(1, 1);
    live.set_instances(vec![Arc::clone(&only)]);
    // Its slot was sent already when it goes.
    assert_eq!(only.in_flight(), 1);
    let slot = granted(&mut next);
    drop((slot, next));
    assert_eq!(only.in_flight(), 0);
}

#[test]
fn one_that_lost_its_instance_comes_before_all_others() {
    let (live, _bell) = live(10);
    let only = instance(1, 1);
    live.set_instances(vec![Arc::clone(&only)]);
    let refused = slot(live.admit(false));
    let mut waits = ticket(live.admit(false));
    only.rest(live.hub.clock.now(), Duration::from_secs(3600));
    drop(refused);
    assert!(granted(&mut waits).is_none(), "the instance rests");
    let mut again = ticket(live.admit(true));
    live.set_instances(vec![only, instance(2, 1)]);
    let turn = granted(&mut again).expect("its turn");
    assert_eq!(turn.instance().id, 2);
    assert!(granted(&mut waits).is_none());
}

#[test]
fn a_start_that_cannot_succeed_is_told_to_all_who_wait_and_to_all_who_come() {
    let (live, _bell) = live(10);
    let mut waits = ticket(live.admit(false));
    live.set_blocked(blocked());
    let refusal = waits.turn().now_or_never().expect("told at once").expect_err("a refusal");
    assert_eq!(refusal.code, ErrorCode::NotStartable);
    assert!(refusal.message.contains("ImagePullFailed: there is no image x"), "{}", refusal.message);
    assert_eq!(code(live.admit(false)), ErrorCode::NotStartable);
    live.set_blocked(None);
    drop(ticket(live.admit(false)));
}

#[test]
fn a_failing_start_does_not_matter_while_something_is_ready() {
    let (live, _bell) = live(10);
    live.set_instances(vec![instance(1, 1)]);
    live.set_blocked(blocked());
    let held = slot(live.admit(false));
    let _waits = ticket(live.admit(false));
    drop(held);
}

#[test]
fn a_deleted_function_lets_nobody_wait() {
    let (live, _bell) = live(10);
    let mut waits = ticket(live.admit(false));
    live.set_gone();
    let refusal = waits.turn().now_or_never().expect("told at once").expect_err("a refusal");
    assert_eq!(refusal.code, ErrorCode::FunctionNotFound);
    assert_eq!(code(live.admit(false)), ErrorCode::FunctionNotFound);
}

#[test]
fn the_bell_rings_for_the_first_who_waits() {
    let (live, mut bell) = live(10);
    let _waits = [ticket(live.admit(false)), ticket(live.admit(false))];
    assert!(Arc::ptr_eq(&bell.try_recv().expect("a ring"), &live));
    assert!(bell.try_recv().is_err());
}

#[test]
fn a_limit_holds_across_threads_and_nobody_is_forgotten() {
    let (live, _bell) = live(1000);
    let (a, b) = (instance(1, 2), instance(2, 1));
    live.set_instances(vec![Arc::clone(&a), Arc::clone(&b)]);
    let over = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                for _ in 0..500 {
                    let slot = match live.admit(false) {
                        Ok(Admitted::Slot(slot)) => slot,
                        Ok(Admitted::Ticket(mut ticket)) => runtime.block_on(ticket.turn()).expect("a slot"),
                        Err(refusal) => panic!("{refusal:?}"),
                    };
                    let instance = slot.instance();
                    if instance.in_flight() > instance.limit {
                        over.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(over.load(Ordering::Relaxed), 0);
    assert_eq!((a.in_flight(), b.in_flight(), live.waiting()), (0, 0, 0));
}

#[test]
fn an_instance_rests_longer_each_time_until_it_answers() {
    let instance = instance(1, 1);
    let first = instance.busy(0);
    assert!(instance.load(|| 0).resting && !instance.load(|| 10_000).resting);
    assert!(instance.busy(0) > first);
    instance.answered();
    assert_eq!(instance.busy(0), first);
    assert!(instance.unreachable(0) > first);
}
