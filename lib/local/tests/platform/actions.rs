//! Addresses, events, and what a user can ask for.

use bytes::Bytes;
use flint_api::Schedule;
use flint_core::event::Format;
use flint_local::{Caller, Error, Event, Invocation, Key, Told};
use http::Method;

use crate::support::{Rig, key, request, route};

const ECHO: &str = "def handler(event): return event";

fn invocation(told: &Told) -> Option<(u64, Invocation)> {
    match &told.event {
        Event::Invocation(invocation) => Some((told.id, invocation.as_ref().clone())),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_leads_to_its_function_with_its_parameters() {
    let mut rig = Rig::start(ECHO, |project| {
        project.routes = vec![route(Some(Method::GET), "/users/{id}"), route(None, "/files/{path+}")];
        project.routes[1].event = Some(Format::V1);
    })
    .await;
    let answer = rig.get("/users/a%20b?x=1").await;
    assert!(answer.text.contains(r#""routeKey": "GET /users/{id}""#), "{answer:?}");
    assert!(answer.text.contains(r#""pathParameters": {"id": "a b"}"#), "{answer:?}");
    assert!(answer.text.contains(r#""rawPath": "/users/a%20b""#), "{answer:?}");
    let answer = rig.get("/files/c/d").await;
    assert!(answer.text.contains(r#""resource": "/files/{path+}""#), "{answer:?}");
    assert!(answer.text.contains(r#""pathParameters": {"path": "c/d"}"#), "{answer:?}");
    let answer = request(rig.platform.address(), "POST /users/7 HTTP/1.1", "").await;
    assert_eq!(answer.status, 404);
    assert!(answer.text.contains("no_route"), "{answer:?}");
    // Its own addresses stay, and have no route.
    let answer = rig.get("/function/hello/users/7").await;
    assert!(answer.text.contains(r#""routeKey": "$default""#), "{answer:?}");
    let functions = rig.platform.functions().await.unwrap();
    assert_eq!(functions[0].routes, ["GET /users/{id}", "ANY /files/{path+}"]);
    rig.project.routes.clear();
    rig.platform.update(rig.project.clone()).await.unwrap();
    while rig.get("/users/7").await.status != 404 {}
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_contradicts_itself_is_refused_and_the_one_before_is_served_on() {
    let mut rig = Rig::start(ECHO, |_| {}).await;
    let good = rig.project.clone();
    rig.project.routes = vec![route(None, "users")];
    let refused = rig.platform.update(rig.project.clone()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the route users is not valid: a path begins with a slash: write /users");
    rig.project.routes = vec![route(None, "/users")];
    rig.project.routes[0].function = Key::new("default", "nobody");
    let refused = rig.platform.update(rig.project.clone()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the route /users leads to default/nobody, which is not there");
    rig.project = good;
    rig.project.functions.push(rig.project.functions[0].clone());
    let refused = rig.platform.update(rig.project.clone()).await.unwrap_err();
    assert_eq!(refused.to_string(), "there are two functions default/hello: give each its own name");
    assert_eq!(rig.get("/function/hello").await.status, 200);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_told_with_both_heads_and_bodies_and_can_be_made_again() {
    let mut rig = Rig::start(ECHO, |_| {}).await;
    let answer = request(rig.platform.address(), "POST /function/hello/x?y=1 HTTP/1.1", "the body").await;
    assert_eq!(answer.status, 200);
    let (id, first) = rig.event(invocation).await;
    assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", "/function/hello/x?y=1"));
    assert_eq!((first.status, first.function.clone()), (200, Some(key())));
    let sent = first.request.as_ref().unwrap();
    assert_eq!((sent.body.as_ref(), sent.complete), (b"the body".as_slice(), true));
    assert_eq!(sent.headers["host"], "localhost");
    let got = first.answer.as_ref().unwrap();
    assert!(got.complete);
    assert!(std::str::from_utf8(&got.body).unwrap().contains(r#""body": "the body""#));

    let again = rig.platform.replay(id).await.unwrap();
    assert_eq!(again.status, 200);
    assert!(std::str::from_utf8(&again.body).unwrap().contains(r#""rawQueryString": "y=1""#));
    let (_, second) = rig.event(invocation).await;
    assert_eq!(second.target, first.target);
    assert_ne!(second.request_id, first.request_id);
    assert!(!second.cold);
    assert!(matches!(rig.platform.replay(0).await, Err(Error::UnknownEvent(0))));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_to_keep_is_not_sent_in_part() {
    let mut rig = Rig::start("def handler(event): return len(event['body'])", |_| {}).await;
    let answer =
        request(rig.platform.address(), "POST /function/hello HTTP/1.1", &"x".repeat(100 * 1024)).await;
    assert!(answer.text.ends_with("102400"), "{answer:?}");
    let (id, told) = rig.event(invocation).await;
    assert!(!told.request.as_ref().unwrap().complete);
    assert_eq!(told.bytes_in, 102_400);
    assert!(matches!(rig.platform.replay(id).await, Err(Error::NotRecorded(_))));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoke_passes_the_payload_as_it_is() {
    let rig = Rig::start(
        "
def handler(event):
    print('a line')
    return event['a']",
        |_| {},
    )
    .await;
    let answer = rig.platform.invoke(&key(), Bytes::from_static(br#"{"a": [1]}"#), true).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (200, b"[1]".as_slice()));
    assert!(answer.headers.contains_key("x-amz-log-result"));
    let nobody = rig.platform.invoke(&Key::new("default", "nobody"), Bytes::new(), false).await.unwrap();
    assert_eq!(nobody.status.as_u16(), 404);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_prints_is_told_with_its_request() {
    let mut rig = Rig::start(
        "
import sys
def handler(event):
    print('to the log', file=sys.stderr)
    return 1",
        |_| {},
    )
    .await;
    let answer =
        request(rig.platform.address(), "GET /function/hello HTTP/1.1\r\nx-request-id: r-7", "").await;
    assert_eq!(answer.status, 200);
    let log = rig
        .event(|told| match &told.event {
            Event::Log(log) if log.message == "to the log" => Some(log.clone()),
            _ => None,
        })
        .await;
    assert_eq!((log.function, log.request_id.as_deref()), (key(), Some("r-7")));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_fired_by_hand_and_tells_when_it_is_due() {
    let mut rig = Rig::start(ECHO, |project| {
        let schedule = |name: &str, cron: &str| Schedule {
            name: name.to_owned(),
            cron: cron.to_owned(),
            input: Some(serde_json::json!({"from": name})),
            ..Schedule::default()
        };
        project.functions[0].schedules =
            vec![schedule("nightly", "0 2 * * *"), schedule("wrong", "99 * * * *")];
    })
    .await;
    let functions = rig.platform.functions().await.unwrap();
    let [nightly, wrong] = functions[0].schedules.as_slice() else { panic!("{functions:?}") };
    assert!(nightly.next.is_some() && nightly.problem.is_none());
    assert!(wrong.next.is_none() && wrong.problem.is_some());

    assert_eq!(rig.platform.fire(&key(), "nightly").await.unwrap().as_u16(), 200);
    let (id, told) = rig.event(invocation).await;
    assert_eq!((told.caller, told.status), (Caller::Schedule, 200));
    assert_eq!(told.request.as_ref().unwrap().body.as_ref(), br#"{"from":"nightly"}"#);
    let fired = |told: &Told| match &told.event {
        Event::ScheduleFired { schedule, status, .. } => Some((schedule.clone(), *status)),
        _ => None,
    };
    assert_eq!(rig.event(fired).await, ("nightly".to_owned(), 200));
    let again = rig.platform.replay(id).await.unwrap();
    assert_eq!(again.body.as_ref(), br#"{"from": "nightly"}"#);
    assert!(matches!(rig.platform.fire(&key(), "never").await, Err(Error::UnknownSchedule { .. })));
    rig.stop().await;
}
