use flint_api::Mode;

use super::*;

/// A function and the time, which the test moves.
struct Rig {
    served: Served,
    start: Instant,
    now: Instant,
    spec: FunctionSpec,
    count: u32,
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

fn reason() -> Reason {
    Reason::new("Runtime.ImportModuleError", "no module named x")
}

// === impl Rig ===

impl Rig {
    fn new(min: u32) -> Self {
        let scaling = flint_api::Scaling { min_replicas: Some(min), ..flint_api::Scaling::default() };
        let spec = flint_api::FunctionSpec { scaling: Some(scaling), ..flint_api::FunctionSpec::default() };
        let function = flint_api::Function::new("hello", spec);
        let spec = FunctionSpec::new(&function, Mode::Lambda, "/code".into(), vec!["run".to_owned()]);
        let now = Instant::now();
        let (served, acts) = Served::new(spec.clone(), now, Timestamp::UNIX_EPOCH);
        assert_eq!(acts, [Act::Show, Act::Switched(Duration::ZERO)]);
        Self { served, start: now, now, spec, count: 0 }
    }

    /// Requests wait, as the gateway reports it. Everything that is to be started is, under the names 1, 2, ….
    fn waiting(&mut self, queued: u32) -> Vec<Act> {
        let demand = flint_control::v1::Demand { queued, elapsed_ms: 1, ..Default::default() };
        self.served.scaling.report(self.now - self.start, &demand);
        let acts = self.served.look(Why::Woken, self.now, self.start, true);
        self.did(acts)
    }

    fn did(&mut self, acts: Vec<Act>) -> Vec<Act> {
        for _ in acts.iter().filter(|act| **act == Act::Start) {
            self.count += 1;
            self.served.started(self.count.to_string(), self.count, self.now);
        }
        acts
    }

    fn ready(&mut self, name: &str) -> Vec<Act> {
        let acts = self.served.ready(name, address(), self.now).expect("known");
        self.did(acts)
    }

    fn ended(&mut self, name: &str) -> (Ended, Vec<Act>) {
        let (_, why, acts) = self.served.ended(name, reason(), self.now).expect("known");
        (why, self.did(acts))
    }

    fn change(&mut self) -> Vec<Act> {
        self.spec.generation += 1;
        let acts = self.served.update(self.spec.clone(), self.now);
        self.did(acts)
    }

    fn pass(&mut self, seconds: u64) -> Vec<Act> {
        self.now += Duration::from_secs(seconds);
        let acts = self.served.look(Why::Tick, self.now, self.start, true);
        self.did(acts)
    }
}

fn ends(name: &str, why: Ended) -> Act {
    Act::End(name.to_owned(), why)
}

#[test]
fn who_waits_gets_a_process_and_who_does_not_none() {
    let mut rig = Rig::new(0);
    assert_eq!(rig.pass(2), []);
    assert_eq!(rig.waiting(3), [Act::Start, Act::Start, Act::Start]);
    // Said again while they start, it is nothing new.
    assert_eq!(rig.waiting(3), []);
}

#[test]
fn a_minimum_is_kept_without_traffic() {
    let mut rig = Rig::new(2);
    assert_eq!(rig.pass(2), [Act::Start, Act::Start]);
    rig.ready("1");
    assert_eq!(rig.ended("1").1, [Act::Start]);
}

#[test]
fn a_change_of_a_function_at_rest_starts_nothing() {
    let mut rig = Rig::new(0);
    let acts = rig.change();
    assert_eq!(acts, [Act::Show, Act::Show, Act::Switched(Duration::ZERO)]);
    assert_eq!(rig.served.serving, rig.served.latest);
}

#[test]
fn the_same_spec_again_is_no_change() {
    let mut rig = Rig::new(0);
    let acts = rig.served.update(rig.spec.clone(), rig.now);
    assert_eq!(acts, []);
}

#[test]
fn a_new_revision_comes_up_beside_the_old_one_and_then_has_its_place() {
    let mut rig = Rig::new(0);
    rig.waiting(1);
    rig.ready("1");
    let old = rig.served.serving.clone();
    assert_eq!(rig.change(), [Act::Show, Act::Start]);
    assert_eq!(rig.served.serving, old);
    rig.now += Duration::from_millis(80);
    let acts = rig.ready("2");
    assert_eq!(acts, [Act::Show, Act::Switched(Duration::from_millis(80)), ends("1", Ended::Replaced)]);
    assert_ne!(rig.served.serving, old);
    assert_eq!(rig.ended("1"), (Ended::Replaced, Vec::new()));
}

#[test]
fn a_revision_that_does_not_come_up_leaves_the_old_one_in_its_place() {
    let mut rig = Rig::new(0);
    rig.waiting(1);
    rig.ready("1");
    rig.change();
    let (why, acts) = rig.ended("2");
    assert_eq!(why, Ended::Failed(reason()));
    assert_eq!(acts, [Act::Failed(reason(), true)]);
    assert_ne!(rig.served.serving, rig.served.latest);
    // It is not tried again and again, and the old one is not doubled: its code is gone.
    assert_eq!(rig.waiting(5), []);
    // The next change is tried at once.
    assert_eq!(rig.change(), [Act::Show, Act::Start]);
    assert!(rig.ready("3").contains(&ends("1", Ended::Replaced)));
}

#[test]
fn a_change_while_another_is_coming_up_takes_its_place() {
    let mut rig = Rig::new(0);
    rig.waiting(1);
    rig.ready("1");
    rig.change();
    assert_eq!(rig.change(), [ends("2", Ended::Replaced), Act::Show, Act::Start]);
    // What it might still say is not heard.
    assert!(rig.served.ready("2", address(), rig.now).is_none());
    assert_eq!(rig.ended("2"), (Ended::Replaced, Vec::new()));
    assert!(rig.ready("3").contains(&ends("1", Ended::Replaced)));
}

#[test]
fn when_the_old_one_goes_meanwhile_the_new_one_has_the_requests() {
    let mut rig = Rig::new(0);
    rig.waiting(1);
    rig.ready("1");
    rig.change();
    let (_, acts) = rig.ended("1");
    assert!(acts.contains(&Act::Show), "{acts:?}");
    assert_eq!(rig.served.serving, rig.served.latest);
}

#[test]
fn a_first_start_that_fails_is_told_to_those_who_wait_and_tried_again_for_the_next() {
    let mut rig = Rig::new(0);
    rig.waiting(1);
    let (_, acts) = rig.ended("1");
    assert_eq!(acts, [Act::Failed(reason(), false), Act::Refuse(reason())]);
    // Those who waited were sent away; nobody new comes through before the pause is over.
    rig.waiting(0);
    assert_eq!(rig.pass(2), [Act::Readmit]);
    assert_eq!(rig.waiting(1), [Act::Start]);
    assert!(rig.ready("2").is_empty());
    assert!(rig.served.failing.is_none());
}

#[test]
fn a_minimum_that_fails_is_tried_again_at_longer_and_longer_pauses() {
    let mut rig = Rig::new(1);
    rig.pass(2);
    rig.ended("1");
    assert_eq!(rig.pass(2), [Act::Readmit, Act::Start]);
    rig.ended("2");
    assert_eq!(rig.pass(1), []);
    assert_eq!(rig.pass(2), [Act::Readmit, Act::Start]);
}

#[test]
fn what_cannot_start_by_its_callers_word_is_not_tried() {
    let mut rig = Rig::new(0);
    rig.waiting(1);
    rig.ready("1");
    rig.spec.blocked =
        Some(crate::Blocked { reason: "SyntaxError".to_owned(), message: "app.py, line 3".to_owned() });
    let acts = rig.change();
    assert_eq!(acts, [Act::Show, Act::Failed(Reason::new("SyntaxError", "app.py, line 3"), true)]);
    assert_eq!(rig.pass(2), []);
}

#[test]
fn a_restart_is_a_change() {
    let mut rig = Rig::new(0);
    rig.waiting(1);
    rig.ready("1");
    let acts = rig.served.restart(rig.now);
    assert_eq!(rig.did(acts), [Act::Show, Act::Start]);
}

#[test]
fn scaling_and_schedules_make_no_revision_and_everything_else_does() {
    let spec = Rig::new(0).spec;
    let same = |change: &dyn Fn(&mut FunctionSpec)| {
        let mut changed = spec.clone();
        change(&mut changed);
        revision(&changed, 0) == revision(&spec, 0)
    };
    assert!(same(&|spec| spec.effective.max_replicas = 7));
    assert!(same(&|spec| spec.schedules = vec![flint_api::Schedule::default()]));
    assert!(!same(&|spec| spec.generation = 7));
    assert!(!same(&|spec| spec.memory = Some(1)));
    assert!(!same(&|spec| spec.effective.timeout = flint_api::Duration::from_secs(1)));
    assert!(!same(&|spec| drop(spec.env.insert("A".to_owned(), "b".to_owned()))));
}

#[test]
fn of_a_function_that_holds_a_port_the_old_process_ends_before_the_new_one_begins() {
    let mut rig = Rig::new(1);
    rig.spec.alone = true;
    rig.served.update(rig.spec.clone(), rig.now);
    assert_eq!(rig.pass(2), [Act::Start]);
    rig.ready("1");
    assert_eq!(rig.change(), [Act::Show, Act::Show, ends("1", Ended::Replaced)]);
    assert_eq!(rig.pass(2), [], "the old one is still there");
    assert_eq!(rig.ended("1"), (Ended::Replaced, vec![Act::Start]));
    rig.now += Duration::from_secs(3);
    assert_eq!(rig.ready("2"), [Act::Switched(Duration::from_secs(5))]);
}

#[test]
fn a_function_that_holds_a_port_keeps_its_process_where_the_new_one_cannot_even_be_tried() {
    let mut rig = Rig::new(1);
    rig.spec.port = Some(8080);
    rig.served.update(rig.spec.clone(), rig.now);
    rig.pass(2);
    rig.ready("1");
    rig.spec.blocked = Some(flint_gateway::function::Blocked {
        reason: "NotInstalled".to_owned(),
        message: "no perl".to_owned(),
    });
    assert!(!rig.change().contains(&ends("1", Ended::Replaced)));
}

#[test]
fn a_function_that_cannot_be_tried_from_the_start_says_so() {
    let rig = Rig::new(0);
    let blocked = flint_gateway::function::Blocked {
        reason: "BuildFailed".to_owned(),
        message: "hello: cannot find `x`".to_owned(),
    };
    let spec = FunctionSpec { blocked: Some(blocked), ..rig.spec };
    let (served, acts) = Served::new(spec, rig.now, Timestamp::UNIX_EPOCH);
    let why = Reason::new("BuildFailed", "hello: cannot find `x`");
    assert!(acts.contains(&Act::Failed(why.clone(), false)), "{acts:?}");
    assert_eq!(served.failing.map(|failing| failing.reason), Some(why));
}
