//! Versions and traffic: going back, sharing requests, names, trials, pins, and functions from before there were revisions.

use std::{collections::BTreeMap, time::Duration};

use flint_api::{Revision, Runtime};
use flint_e2e::{FunctionBuilder, Load, eventually, functions::PATIENCE, namespace::with_namespace};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

fn says(word: &str) -> String {
    format!("import time\ndef handler(event, context):\n    time.sleep(0.01)\n    return '{word}'\n")
}

const FAILS: &str = "def handler(event, context):\n    raise RuntimeError('not today')\n";

/// `word` with two versions, `one` and `two`; the second is the latest. Instances stay for the length of a test.
async fn two_versions(function: FunctionBuilder) -> FunctionBuilder {
    let function = function.scaling("scaleToZeroAfter", json!("60s")).scaling("window", json!("30s"));
    let function = function.python(&says("one")).apply().await;
    function.ok("/").await;
    let function = function.python(&says("two")).apply().await;
    answers(&function, "two").await;
    function
}

/// Waits until a request is answered with the word.
async fn answers(function: &FunctionBuilder, word: &str) {
    let expected = format!("\"{word}\"");
    eventually(&format!("the answer {word}"), PATIENCE, || async {
        let body = function.get("/").await.body;
        if body == expected { Ok(()) } else { Err(body) }
    })
    .await;
}

/// Changes fields of the spec; gives the moment at which the API server had it.
async fn patch(function: &FunctionBuilder, spec: Value) -> Instant {
    let api = function.namespace().api::<flint_api::Function>();
    let patch = Patch::Merge(json!({"spec": spec}));
    api.patch(function.name(), &PatchParams::default(), &patch).await.expect("the patch is accepted");
    Instant::now()
}

async fn revisions(function: &FunctionBuilder) -> BTreeMap<u32, Revision> {
    let parameters = ListParams::default().labels(&format!("flint.dev/function={}", function.name()));
    let list = function.namespace().api::<Revision>().list(&parameters).await.expect("a list of Revisions");
    list.items.into_iter().map(|revision| (revision.spec.number, revision)).collect()
}

/// Waits until these weights are in effect, by number.
async fn weights_become(function: &FunctionBuilder, wanted: &[(u32, u32)]) {
    eventually(&format!("the weights {wanted:?}"), PATIENCE, || async {
        let traffic = function.current().await.status.unwrap_or_default().traffic;
        let weights: Vec<_> = traffic.iter().map(|share| (share.number, share.weight)).collect();
        if weights == wanted { Ok(()) } else { Err(traffic) }
    })
    .await;
}

/// Waits until an event of the function has that reason.
async fn event_says(function: &FunctionBuilder, wanted: &str) {
    eventually(&format!("the event {wanted}"), PATIENCE, || async {
        let events = function.events().await;
        if events.iter().any(|(reason, _)| reason == wanted) { Ok(()) } else { Err(events) }
    })
    .await;
}

/// A call by Lambda's Invoke: status, version that answered, body.
async fn invoke(function: &FunctionBuilder, qualifier: &str) -> (u16, String, String) {
    let namespace = function.namespace();
    let address = format!("{}.{}{qualifier}", function.name(), namespace.name);
    let url = format!("{}/2015-03-31/functions/{address}/invocations", namespace.cluster.url);
    let answer =
        namespace.cluster.http.post(url).body("{}").timeout(PATIENCE).send().await.expect("an answer");
    let version = answer.headers().get("x-amz-executed-version").and_then(|version| version.to_str().ok());
    (answer.status().as_u16(), version.unwrap_or_default().to_owned(), answer.text().await.expect("a body"))
}

#[tokio::test]
async fn going_back_and_forth_under_load_takes_one_field_and_fails_no_request() {
    with_namespace("rollback", |namespace| async move {
        let function = two_versions(namespace.function("word")).await;
        let load = Load::start(&function, 4, &Method::POST, "/", Duration::from_millis(20));
        tokio::time::sleep(Duration::from_secs(3)).await;
        let since = patch(&function, json!({"traffic": [{"revision": 1}]})).await;
        answers(&function, "one").await;
        println!("back to a revision without instances: {:?}", since.elapsed());
        tokio::time::sleep(Duration::from_secs(3)).await;
        let both = json!([{"revision": 1, "weight": 90}, {"revision": 2, "weight": 10}]);
        patch(&function, json!({"traffic": both})).await;
        weights_become(&function, &[(1, 90), (2, 10)]).await;
        let since = patch(&function, json!({"traffic": [{"revision": 2}]})).await;
        answers(&function, "two").await;
        println!("to a revision that has instances: {:?}", since.elapsed());
        tokio::time::sleep(Duration::from_secs(2)).await;
        load.stop().await.assert_flawless("going back and forth under load");
        let deployed = function.ready().await;
        assert!(deployed.message.contains("answers"), "{deployed:?}");
    })
    .await;
}

#[tokio::test]
async fn requests_are_divided_by_weight_and_sticky_clients_stay() {
    with_namespace("split", |namespace| async move {
        let function = two_versions(namespace.function("word")).await;
        let halves = json!([{"revision": 1, "weight": 50}, {"revision": "latest", "weight": 50}]);
        patch(&function, json!({"traffic": halves})).await;
        weights_become(&function, &[(1, 50), (2, 50)]).await;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..200 {
            *counts.entry(function.get("/").await.body).or_default() += 1;
        }
        println!("{counts:?}");
        assert!(counts.len() == 2 && counts.values().all(|count| (90..=110).contains(count)), "{counts:?}");

        patch(&function, json!({"sticky": {"cookie": "side"}})).await;
        let url = function.url("/");
        let cookie = eventually("a cookie", PATIENCE, || async {
            let answer = namespace.cluster.http.get(&url).send().await.map_err(|error| error.to_string())?;
            let cookie = answer.headers().get("set-cookie").and_then(|cookie| cookie.to_str().ok());
            cookie
                .and_then(|cookie| cookie.split(';').next())
                .map(str::to_owned)
                .ok_or_else(|| "none".to_owned())
        })
        .await;
        let mut bodies = std::collections::BTreeSet::new();
        for _ in 0..30 {
            let answer =
                namespace.cluster.http.get(&url).header("cookie", &cookie).send().await.expect("an answer");
            assert!(answer.headers().get("set-cookie").is_none());
            bodies.insert(answer.text().await.expect("a body"));
        }
        assert_eq!(bodies.len(), 1, "{bodies:?}");
    })
    .await;
}

#[tokio::test]
async fn revisions_are_called_by_alias_and_number_from_zero_too() {
    with_namespace("alias", |namespace| async move {
        let function = two_versions(namespace.function("word")).await;
        let traffic =
            json!([{"revision": "latest", "weight": 100, "alias": "next"}, {"revision": 1, "alias": "prod"}]);
        patch(&function, json!({"traffic": traffic})).await;
        weights_become(&function, &[(2, 100), (1, 0)]).await;
        for (qualifier, version, word) in [
            (":prod", "1", "one"),
            (":next", "2", "two"),
            (":1", "1", "one"),
            (":$LATEST", "$LATEST", "two"),
            ("", "$LATEST", "two"),
        ] {
            let wanted = (200, version.to_owned(), format!("\"{word}\""));
            eventually(&format!("the answer of {qualifier:?}"), PATIENCE, || async {
                let answer = invoke(&function, qualifier).await;
                // The gateways hear of an alias a moment after the status shows it.
                if answer == wanted { Ok(()) } else { Err(answer) }
            })
            .await;
        }
        assert_eq!(invoke(&function, ":staging").await.0, 404);
        let base = format!("{}/function/{}.{}", namespace.cluster.url, function.name(), namespace.name);
        let by_path = namespace.cluster.http.get(format!("{base}:prod/x")).send().await.expect("an answer");
        assert_eq!(by_path.text().await.expect("a body"), "\"one\"");
        let by_header = namespace.cluster.http.get(&base).header("x-flint-qualifier", "1").send().await;
        assert_eq!(by_header.expect("an answer").text().await.expect("a body"), "\"one\"");

        // A third version: the second has neither a share nor an alias, no Deployment either, and is called all the same.
        let third =
            namespace.function("word").python(&says("three")).scaling("scaleToZeroAfter", json!("60s"));
        third.set("traffic", json!([{"revision": "latest"}])).apply().await;
        answers(&function, "three").await;
        assert_eq!(invoke(&function, ":2").await, (200, "2".into(), "\"two\"".into()));
        eventually("the shares that kubectl shows", PATIENCE, || async {
            let shown = revisions(&function).await;
            let traffic: Vec<_> =
                shown.values().map(|one| one.status.clone().unwrap_or_default().traffic).collect();
            if traffic == ["", "", "100%"] { Ok(()) } else { Err(traffic) }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_canary_that_fails_its_requests_goes_back_by_itself_and_a_good_one_takes_over() {
    with_namespace("canary", |namespace| async move {
        let canary = json!({"steps": [20, 50], "interval": "3s", "minRequests": 10, "maxErrorPercent": 10});
        let function =
            namespace.function("word").scaling("scaleToZeroAfter", json!("60s")).set("canary", canary);
        let function = function.python(&says("one")).apply().await;
        function.ok("/").await;
        function.ready().await;
        let load = Load::start(&function, 4, &Method::POST, "/", Duration::from_millis(50));
        let bad = function.clone().python(FAILS).apply().await;
        let ready = bad.condition("Ready", "False").await;
        assert_eq!(ready.reason, "CanaryFailed", "{ready:?}");
        assert!(ready.message.contains("failed") && ready.message.contains("keeps serving"), "{ready:?}");
        weights_become(&function, &[(1, 100)]).await;
        event_says(&function, "CanaryRolledBack").await;
        let report = load.stop().await;
        println!("a bad canary: {} answered, {} failed", report.good, report.bad.len());
        let all = report.good + report.bad.len();
        assert!(!report.bad.is_empty() && report.bad.len() * 4 < all, "{} of {all} failed", report.bad.len());

        let load = Load::start(&function, 4, &Method::POST, "/", Duration::from_millis(50));
        let good = function.clone().python(&says("two")).apply().await;
        let deployed = good.condition("Deployed", "True").await;
        assert!(deployed.message.contains("gets the traffic"), "{deployed:?}");
        load.stop().await.assert_flawless("a good canary");
        weights_become(&function, &[(3, 100)]).await;
        event_says(&function, "CanaryPromoted").await;
    })
    .await;
}

#[tokio::test]
async fn history_is_kept_by_count_and_a_revision_never_changes() {
    with_namespace("history", |namespace| async move {
        let function = namespace.function("word").set("revisionHistoryLimit", json!(1));
        for word in ["one", "two", "three"] {
            function.clone().python(&says(word)).apply().await;
            answers(&function, word).await;
        }
        eventually("two revisions", PATIENCE, || async {
            let numbers: Vec<_> = revisions(&function).await.into_keys().collect();
            if numbers == [2, 3] { Ok(()) } else { Err(numbers) }
        })
        .await;
        let last = revisions(&function).await.remove(&3).expect("revision 3");
        for change in [json!({"number": 7}), json!({"template": {"spec": {"containers": []}}})] {
            let api = namespace.api::<Revision>();
            let patch = Patch::Merge(json!({"spec": change}));
            let refused =
                api.patch(&last.name_any(), &PatchParams::default(), &patch).await.expect_err("a refusal");
            assert!(refused.to_string().contains("a Revision never changes"), "{refused}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_function_from_before_there_were_revisions_gets_one_and_its_pods_stay() {
    with_namespace("upgrade", |namespace| async move {
        let function = namespace.function("word").python(&says("one"));
        let function = function.scaling("minReplicas", json!(1)).apply().await;
        function.ok("/").await;
        function.ready().await;
        let before = namespace.pods("word").await;
        let first = revisions(&function).await.remove(&1).expect("revision 1");
        // As an operator that knew no revisions left it.
        let api = namespace.api::<flint_api::Function>();
        let none = json!({"status": {"traffic": null, "versions": null, "lastNumber": null}});
        api.patch_status("word", &PatchParams::default(), &Patch::Merge(none))
            .await
            .expect("the patch is accepted");
        namespace.api::<Revision>().delete(&first.name_any(), &Default::default()).await.expect("it goes");
        eventually("a Revision", PATIENCE, || async {
            let now = revisions(&function).await;
            let is_new = now.get(&1).is_some_and(|now| now.uid() != first.uid());
            if is_new { Ok(()) } else { Err(now.len()) }
        })
        .await;
        weights_become(&function, &[(1, 100)]).await;
        let after = namespace.pods("word").await;
        let names = |pods: &[k8s_openapi::api::core::v1::Pod]| {
            pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
        };
        assert_eq!(names(&before), names(&after));
    })
    .await;
}

#[tokio::test]
async fn a_runtimes_new_image_rolls_its_functions_without_a_failed_request_and_leaves_those_that_pin() {
    with_namespace("runtime", |namespace| async move {
        let runtimes = Api::<Runtime>::all(namespace.cluster.client.clone());
        let chart = runtimes.get("python3.11").await.expect("the chart's Runtime");
        let own = format!("own-{}", namespace.name);
        let spec = serde_json::to_value(&chart.spec).expect("a spec");
        let image = spec["image"].clone();
        let object = json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": own}, "spec": spec});
        namespace.apply(&object).await.expect("the Runtime is accepted");
        let one = |name: &str| {
            namespace.function(name).python(&says(name)).set("runtime", json!(own)).scaling("scaleToZeroAfter", json!("60s"))
        };
        let (follows, pins) = (one("follows").apply().await, one("pins").set("runtimeImage", image.clone()).apply().await);
        for function in [&follows, &pins] {
            function.ok("/").await;
            function.ready().await;
        }
        let load = Load::start(&follows, 4, &Method::POST, "/", Duration::from_millis(20));
        // The same image by another name, as a security update would come.
        let other = image.as_str().expect("an image").replace("127.0.0.1", "localhost");
        let patch = Patch::Merge(json!({"spec": {"image": other}}));
        runtimes.patch(&own, &PatchParams::default(), &patch).await.expect("the patch is accepted");
        weights_become(&follows, &[(2, 100)]).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        load.stop().await.assert_flawless("a runtime's new image under load");
        assert_eq!(revisions(&follows).await[&2].spec.image, other);
        assert_eq!(revisions(&pins).await.into_keys().collect::<Vec<_>>(), [1]);
        runtimes.delete(&own, &Default::default()).await.expect("it goes");
    })
    .await;
}
