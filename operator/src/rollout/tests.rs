use super::*;
use crate::startability::{CRASH_LOOP, QUOTA_EXCEEDED};

fn revision(name: &str, asked: u32, ready: u32) -> Revision {
    Revision {
        name: name.into(),
        uid: String::new(),
        asked,
        ready,
        announced: 0,
        verified: ready > 0,
        failure: None,
        age: SignedDuration::from_secs(5),
        leaving: false,
    }
}

fn failing(mut revision: Revision, reason: &'static str) -> Revision {
    revision.failure = Some(Failure { reason, message: "why".into() });
    revision
}

fn moved(current: Option<&str>, revisions: &[Revision]) -> String {
    traffic(current, Some("new"), revisions, 10).unwrap()
}

#[test]
fn the_first_revision_has_traffic_before_it_is_ready() {
    assert_eq!(moved(None, &[]), "new");
    assert_eq!(moved(None, &[revision("new", 1, 0)]), "new");
}

#[test]
fn traffic_moves_when_the_new_one_has_as_many_ready() {
    let old = revision("old", 3, 3);
    assert_eq!(moved(Some("old"), std::slice::from_ref(&old)), "old");
    assert_eq!(moved(Some("old"), &[old.clone(), revision("new", 3, 2)]), "old");
    assert_eq!(moved(Some("old"), &[old, revision("new", 3, 3)]), "new");
}

#[test]
fn never_more_is_needed_than_the_function_may_have() {
    assert_eq!(
        traffic(Some("old"), Some("new"), &[revision("old", 9, 9), revision("new", 2, 2)], 2).as_deref(),
        Some("new")
    );
}

#[test]
fn a_new_one_that_cannot_start_never_gets_traffic() {
    for ready in [0, 3] {
        let old = revision("old", ready, ready);
        assert_eq!(moved(Some("old"), &[old, failing(revision("new", 1, 0), CRASH_LOOP)]), "old");
    }
}

#[test]
fn an_old_one_that_cannot_serve_loses_traffic_at_once() {
    assert_eq!(
        moved(Some("old"), &[failing(revision("old", 1, 0), CRASH_LOOP), revision("new", 1, 0)]),
        "new"
    );
}

#[test]
fn without_room_for_both_the_new_one_takes_over_with_what_it_has() {
    let old = revision("old", 4, 4);
    let mut new = failing(revision("new", 4, 1), QUOTA_EXCEEDED);
    assert_eq!(moved(Some("old"), &[old.clone(), new.clone()]), "old");
    new.age = ROOM_PATIENCE;
    assert_eq!(moved(Some("old"), &[old.clone(), new.clone()]), "new");
    new.ready = 0;
    assert_eq!(moved(Some("old"), &[old, new]), "old");
}

#[test]
fn an_old_one_at_zero_waits_for_the_new_one_to_prove_itself() {
    let old = Revision { verified: true, ..revision("old", 0, 0) };
    let mut new = revision("new", 1, 0);
    assert_eq!(moved(Some("old"), &[old.clone(), new.clone()]), "old");
    new.verified = true;
    assert_eq!(moved(Some("old"), &[old, new]), "new");
}

#[test]
fn an_old_one_that_never_had_an_instance_has_nothing_to_lose() {
    let old = revision("old", 0, 0);
    assert_eq!(moved(Some("old"), &[old, revision("new", 0, 0)]), "new");
    // Its first start is under way: it may yet serve.
    assert_eq!(moved(Some("old"), &[revision("old", 1, 0), revision("new", 0, 0)]), "old");
}

#[test]
fn without_anything_that_can_be_the_old_one_stays() {
    assert_eq!(traffic(Some("old"), None, &[revision("old", 1, 1)], 10).as_deref(), Some("old"));
    assert_eq!(traffic(None, None, &[], 10), None);
}

#[test]
fn a_new_one_starts_with_one_and_grows_when_it_has_proved_itself() {
    let old = revision("old", 5, 5);
    assert_eq!(desired_start_replicas(None, Some(&old), 10, true), 1);
    assert_eq!(desired_start_replicas(None, Some(&old), 10, false), 0);
    assert_eq!(desired_start_replicas(Some(&revision("new", 1, 0)), Some(&old), 10, true), 1);
    assert_eq!(desired_start_replicas(Some(&revision("new", 1, 1)), Some(&old), 10, true), 5);
    // What the autoscaler asked for meanwhile is not taken back.
    assert_eq!(desired_start_replicas(Some(&revision("new", 7, 1)), None, 10, true), 7);
}
