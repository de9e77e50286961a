use std::ffi::OsString;

use flint_core::event::Format;
use http::HeaderMap;

use super::*;
use crate::config::Config;
use crate::instance::Instance;
use crate::logs::{Level, Logger, Output, Sink};

/// An instance that nothing runs in, and its table.
struct World {
    instance: Arc<Instance>,
    table: Table,
    replies: Vec<oneshot::Receiver<Response<Answer>>>,
}

impl World {
    fn new() -> Self {
        let vars = [
            ("FLINT_MODE", "lambda"),
            ("FLINT_FUNCTION", "f"),
            ("FLINT_COMMAND", r#"["x"]"#),
            ("FLINT_CONCURRENCY", "0"),
            ("FLINT_TIMEOUT_MS", "60000"),
        ];
        let vars = vars.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let config = Config::from_vars(vars).unwrap();
        let sink = Sink::over(Output::Plain(tempfile::tempfile().unwrap()));
        let log = Logger::new(sink, Level::Error, &config.identity);
        Self {
            instance: Instance::new(config, log, Instant::now()),
            table: Table::default(),
            replies: Vec::new(),
        }
    }

    /// An invocation comes that has so many milliseconds.
    fn comes(&mut self, id: &str, millis: u64) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", id.parse().unwrap());
        headers.insert("x-flint-timeout-ms", millis.into());
        let ticket = Ticket::admit(&self.instance, &headers).unwrap();
        let (reply, answer) = oneshot::channel();
        self.replies.push(answer);
        let invocation = Invocation {
            id: id.into(),
            event: Bytes::new(),
            kind: Kind::Http(Format::V2),
            deadline_ms: 0,
            trace: None,
            client_context: None,
            tail: None,
            ticket,
            reply,
        };
        let number = self.replies.len();
        self.table.enqueue(invocation, number);
        self.table.dispatch()
    }

    fn child(&mut self, number: u64, several: bool) {
        let attribution = Arc::<Attribution>::default();
        let (pipes, ..) = Pipes::new(&self.instance.log, &attribution).unwrap();
        self.table.children.push(ChildEntry {
            number,
            handle: Handle::of(i32::try_from(number).unwrap()),
            started: Instant::now(),
            init: None,
            used: false,
            retiring: false,
            killed: false,
            several,
            init_error: None,
            in_flight: HashMap::new(),
            idle_since: Instant::now(),
            attribution,
            pipes,
            polls: VecDeque::new(),
        });
    }

    /// A child polls; what it gets, if it gets something at once.
    fn polls(&mut self, number: u64) -> (oneshot::Receiver<Event>, Parked) {
        let (sender, receiver) = oneshot::channel();
        let parked = self.table.park(number, sender, Instant::now()).unwrap();
        (receiver, parked)
    }

    fn overdue(&mut self) -> (Vec<String>, Vec<i32>) {
        let overdue = self.table.sweep(Instant::now());
        let ids = overdue.invocations.iter().map(|(invocation, _)| invocation.id.to_string()).collect();
        (ids, overdue.ended.iter().map(|handle| handle.pid()).collect())
    }
}

fn got(poll: &mut oneshot::Receiver<Event>) -> Option<String> {
    poll.try_recv().ok().map(|event| event.id.to_string())
}

async fn later(millis: u64) {
    tokio::time::advance(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn invocations_go_out_in_their_order_to_whoever_polls() {
    let mut world = World::new();
    world.child(1, true);
    assert!(world.comes("a", 1000), "nobody is free");
    world.comes("b", 1000);
    let (mut first, parked) = world.polls(1);
    assert!(parked.first_init.is_some());
    let (mut second, parked) = world.polls(1);
    assert!(parked.first_init.is_none());
    assert_eq!((got(&mut first).as_deref(), got(&mut second).as_deref()), (Some("a"), Some("b")));
    let (mut third, _) = world.polls(1);
    assert_eq!(got(&mut third), None);
    assert!(!world.comes("c", 1000));
    assert_eq!(got(&mut third).as_deref(), Some("c"));
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_nobody_saw_goes_to_the_next() {
    let mut world = World::new();
    world.child(1, true);
    world.child(2, true);
    let (gone, _) = world.polls(1);
    drop(gone);
    world.comes("a", 1000);
    let (mut poll, _) = world.polls(2);
    assert_eq!(got(&mut poll).as_deref(), Some("a"));

    let (mut seen, parked) = world.polls(1);
    world.comes("b", 1000);
    let event = seen.try_recv().unwrap();
    let (mut next, _) = world.polls(2);
    world.table.unpark(1, parked.token, Some(&event));
    assert_eq!(got(&mut next).as_deref(), Some("b"));
    assert!(world.table.take(1, "b").is_none());
    assert!(world.table.take(2, "b").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_one_loses_it_by_polling_again() {
    let mut world = World::new();
    world.child(1, false);
    let (_poll, _) = world.polls(1);
    world.comes("a", 1000);
    let (_again, parked) = world.polls(1);
    assert_eq!(parked.lost.len(), 1);
    assert!(world.table.take(1, "a").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_in_use_gets_another() {
    let mut world = World::new();
    world.child(1, true);
    let (mut first, _) = world.polls(1);
    let (mut second, _) = world.polls(1);
    world.comes("a", 1000);
    world.comes("a", 1000);
    assert_eq!(got(&mut first).as_deref(), Some("a"));
    assert_eq!(got(&mut second).as_deref(), Some("a.2"));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_its_only_invocation_ends_a_child() {
    let mut world = World::new();
    world.child(7, false);
    let (_poll, _) = world.polls(7);
    world.comes("a", 1000);
    assert_eq!(world.overdue(), (vec![], vec![]));
    later(1000).await;
    assert_eq!(world.overdue(), (vec!["a".to_owned()], vec![7]));
    assert_eq!(world.overdue(), (vec![], vec![]), "once is enough");
    assert!(!world.table.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_child_with_other_work_retires_and_ends_after_it() {
    let mut world = World::new();
    world.child(7, true);
    let polls: Vec<_> = (0..3).map(|_| world.polls(7)).collect();
    world.comes("short", 1000);
    world.comes("long", 5000);
    later(1000).await;
    assert_eq!(world.overdue(), (vec!["short".to_owned()], vec![]));
    assert!(world.comes("new", 5000), "it gets nothing new");
    assert!(world.table.end_if_retired(7).is_none());
    assert!(world.table.take(7, "long").is_some());
    assert_eq!(world.table.end_if_retired(7).unwrap().pid(), 7);
    drop(polls);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_has_nothing_to_do_and_does_not_poll_is_stuck() {
    let mut world = World::new();
    world.child(7, false);
    let (_poll, _) = world.polls(7);
    world.comes("a", 60_000);
    world.table.take(7, "a").unwrap();
    world.comes("b", 1000);
    later(1000).await;
    assert_eq!(world.overdue(), (vec!["b".to_owned()], vec![7]));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_has_answered_in_this_moment_is_not_stuck() {
    let mut world = World::new();
    world.child(7, false);
    let (_poll, _) = world.polls(7);
    world.comes("a", 60_000);
    world.comes("b", 1000);
    later(999).await;
    world.table.take(7, "a").unwrap();
    later(1).await;
    assert_eq!(world.overdue(), (vec!["b".to_owned()], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_still_starts_is_not_stuck() {
    let mut world = World::new();
    world.child(7, false);
    world.comes("a", 1000);
    later(1000).await;
    assert_eq!(world.overdue(), (vec!["a".to_owned()], vec![]));
}

#[tokio::test(start_paused = true)]
async fn children_are_wanted_for_what_waits_and_is_not_provided_for() {
    let mut world = World::new();
    world.child(1, false);
    let (_poll, _) = world.polls(1);
    for id in ["a", "b", "c", "d"] {
        world.comes(id, 1000);
    }
    assert_eq!(world.table.wanted(10), 3);
    assert_eq!(world.table.wanted(3), 2, "the limit counts all of them");
    world.table.starting = 2;
    assert_eq!(world.table.wanted(10), 1);
    world.table.retire_all();
    assert!(world.comes("e", 1000));
}

#[tokio::test(start_paused = true)]
async fn only_an_earlier_deadline_has_to_wake_the_sweeper() {
    let mut table = Table::default();
    let now = Instant::now();
    assert!(table.arm(now + Duration::from_secs(2)));
    assert!(!table.arm(now + Duration::from_secs(3)));
    assert!(table.arm(now + Duration::from_secs(1)));
}
