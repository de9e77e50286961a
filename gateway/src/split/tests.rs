use jiff::Timestamp;

use super::*;
use crate::clock::Clock;

fn share(revision: &str, weight: u32, alias: Option<&str>) -> Share {
    Share { revision: revision.into(), weight, alias: alias.map(str::to_owned) }
}

fn traffic(shares: Vec<Share>) -> Traffic {
    let versions = (1..=3).map(|number| (number, format!("r{number}"))).collect();
    Traffic { shares, versions, latest: Some("r3".into()), ..Traffic::default() }
}

/// A function whose traffic goes to `r3` first.
fn function(traffic: Traffic) -> (Arc<Function>, Arc<Hub>) {
    let (hub, _bell) = Hub::new(Clock::start(), 10);
    let key = Key::new("shop", "hello");
    let seen = Seen {
        key: key.clone(),
        mode: Mode::Http,
        timeout: Duration::from_secs(1),
        concurrency: 1,
        revision: Some("r3".into()),
        traffic: Arc::new(traffic),
        event_v1: false,
        blocked: None,
        schedules: Arc::default(),
        created: Timestamp::UNIX_EPOCH,
    };
    let live = Arc::new(Live::new(key, Arc::clone(&hub)));
    let split = Split::of(&seen, &live, &hub);
    (Arc::new(Function::new(seen, live).with(split)), hub)
}

fn headers(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap())])
}

/// The revisions that this many requests go to.
fn go(function: &(Arc<Function>, Arc<Hub>), requests: usize, headers: &HeaderMap) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for _ in 0..requests {
        let picked = Arc::clone(&function.0).pick(&function.1, None, headers).unwrap();
        *counts.entry(picked.function.seen.revision.clone().unwrap()).or_default() += 1;
    }
    counts
}

fn named(function: &(Arc<Function>, Arc<Hub>), qualifier: &str) -> Option<(String, Option<u32>)> {
    let picked = Arc::clone(&function.0).pick(&function.1, Some(qualifier), &HeaderMap::new()).ok()?;
    Some((picked.function.seen.revision.clone().unwrap(), picked.version))
}

#[test]
fn requests_are_divided_by_weight() {
    let function = function(traffic(vec![share("r3", 70, None), share("r1", 30, None)]));
    assert_eq!(go(&function, 200, &HeaderMap::new()), HashMap::from([("r3".into(), 140), ("r1".into(), 60)]));
}

#[test]
fn turns_go_on_when_settings_change() {
    let (mut function, hub) = function(traffic(vec![share("r3", 90, None), share("r1", 10, None)]));
    let mut counts = HashMap::new();
    for seconds in 1..=100 {
        for (revision, times) in go(&(Arc::clone(&function), Arc::clone(&hub)), 1, &HeaderMap::new()) {
            *counts.entry(revision).or_insert(0) += times;
        }
        let seen = Seen { timeout: Duration::from_secs(seconds), ..function.seen.clone() };
        let split = Split::of(&seen, &function.live, &hub);
        function = Arc::new(Function::new(seen, Arc::clone(&function.live)).with(split));
    }
    assert_eq!(counts, HashMap::from([("r3".into(), 90), ("r1".into(), 10)]));
}

#[test]
fn an_alias_a_number_and_latest_name_a_revision_and_nothing_else_does() {
    let function = function(traffic(vec![share("r3", 100, Some("prod")), share("r2", 0, Some("next"))]));
    assert_eq!(go(&function, 10, &HeaderMap::new()), HashMap::from([("r3".into(), 10)]));
    for (qualifier, revision, version) in [
        ("prod", "r3", Some(3)),
        ("next", "r2", Some(2)),
        ("1", "r1", Some(1)),
        ("3", "r3", Some(3)),
        ("latest", "r3", Some(3)),
        ("$LATEST", "r3", None),
        ("", "r3", None),
    ] {
        assert_eq!(named(&function, qualifier), Some((revision.into(), version)), "{qualifier}");
    }
    for unknown in ["4", "0", "-1", "Prod", "canary", "r2"] {
        assert_eq!(named(&function, unknown), None, "{unknown}");
    }
}

#[test]
fn a_revision_keeps_the_mode_and_the_timeout_that_it_was_made_with() {
    let own = Own { revision: "r2".into(), mode: Mode::Process, timeout: Duration::from_secs(7) };
    let traffic = traffic(vec![share("r3", 100, None), share("r2", 0, Some("next"))]);
    let function = function(Traffic { own: vec![own], ..traffic });
    let settings = |qualifier| {
        let picked = Arc::clone(&function.0).pick(&function.1, Some(qualifier), &HeaderMap::new()).unwrap();
        (picked.function.seen.mode, picked.function.seen.timeout)
    };
    let present = (function.0.seen.mode, function.0.seen.timeout);
    assert_eq!(settings("2"), (Mode::Process, Duration::from_secs(7)));
    assert_eq!(settings("next"), settings("2"));
    assert_eq!((settings("3"), settings("1")), (present, present), "nothing else is known of those");
}

#[test]
fn a_function_with_one_revision_answers_to_its_number() {
    let only = Traffic { versions: vec![(7, "r3".into())], latest: Some("r3".into()), ..Traffic::default() };
    let function = function(only);
    assert!(function.0.split.is_none());
    assert_eq!(named(&function, "7"), Some(("r3".into(), Some(7))));
    assert_eq!(named(&function, "$LATEST"), Some(("r3".into(), None)));
    assert_eq!(named(&function, "1"), None);
}

#[test]
fn a_revision_has_one_line_however_it_is_called_and_settings_change() {
    let first = function(traffic(vec![share("r3", 50, None), share("r2", 50, Some("next"))]));
    let pick =
        |qualifier| Arc::clone(&first.0).pick(&first.1, Some(qualifier), &HeaderMap::new()).unwrap().function;
    assert!(Arc::ptr_eq(&pick("next").live, &pick("2").live));
    assert!(Arc::ptr_eq(&pick("1").live, &pick("1").live));
    assert_eq!(first.1.revisions.all().len(), 2, "r1 is made when it is called");
    let again = Split::of(&first.0.seen, &first.0.live, &first.1).unwrap();
    let again = Arc::new(Function::new(first.0.seen.clone(), Arc::clone(&first.0.live)).with(Some(again)));
    let picked = Arc::clone(&again).pick(&first.1, Some("next"), &HeaderMap::new()).unwrap();
    assert!(Arc::ptr_eq(&picked.function.live, &pick("next").live));
    assert!(Arc::ptr_eq(&picked.function.live.metrics, &first.0.live.metrics));
}

#[test]
fn a_header_keeps_a_client_with_its_revision() {
    let sticky = Some(Sticky::Header(HeaderName::from_static("x-user")));
    let function =
        function(Traffic { sticky, ..traffic(vec![share("r3", 50, None), share("r1", 50, None)]) });
    let mut seen = std::collections::HashSet::new();
    for user in 0..20 {
        let counts = go(&function, 10, &headers("x-user", &format!("user-{user}")));
        assert_eq!(counts.len(), 1);
        seen.extend(counts.into_keys());
    }
    assert_eq!(seen.len(), 2, "some users have one, some the other");
    assert_eq!(go(&function, 10, &HeaderMap::new()).len(), 2, "who is not known takes turns");
}

#[test]
fn a_cookie_is_given_once_and_keeps_a_client_with_its_revision() {
    let sticky = Some(Sticky::Cookie("side".into()));
    let function =
        function(Traffic { sticky, ..traffic(vec![share("r3", 50, None), share("r1", 50, None)]) });
    for _ in 0..20 {
        let first = Arc::clone(&function.0).pick(&function.1, None, &HeaderMap::new()).unwrap();
        let cookie = first.cookie.unwrap();
        let (pair, attributes) = cookie.to_str().unwrap().split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
        let headers = headers("cookie", &format!("theme=dark; {pair}"));
        let again = Arc::clone(&function.0).pick(&function.1, None, &headers).unwrap();
        assert!(again.cookie.is_none());
        assert_eq!(again.function.seen.revision, first.function.seen.revision);
    }
}
