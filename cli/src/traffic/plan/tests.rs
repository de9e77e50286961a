use serde_json::{Value, json};

use super::*;

/// `hello` with versions 1 to 3, asking for `traffic`.
fn function(traffic: &Value, status: &Value) -> Function {
    let versions: Vec<_> =
        (1..=3).map(|number| json!({"number": number, "revision": format!("hello-{number}")})).collect();
    let mut object = json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "hello", "generation": 5},
        "spec": {"traffic": traffic}, "status": {"observedGeneration": 5, "versions": versions},
    });
    for (field, value) in status.as_object().into_iter().flatten() {
        object["status"][field] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn wish(version: &Value, weight: Option<u32>, alias: Option<&str>) -> Wish {
    let version = serde_json::from_value(version.clone()).unwrap();
    Wish { version, weight, alias: alias.map(str::to_owned) }
}

fn after(traffic: &Value, wish: &Wish) -> Value {
    let targets = wanted(&function(traffic, &json!({})), wish).unwrap();
    assert_eq!(targets.iter().filter_map(|target| target.weight).sum::<u32>(), 100, "{targets:?}");
    serde_json::to_value(targets).unwrap()
}

#[test]
fn all_requests_go_to_one_version_and_names_stay() {
    let both = json!([{"revision": 2, "weight": 90, "alias": "prod"}, {"revision": "latest", "weight": 10}]);
    assert_eq!(after(&json!([]), &wish(&json!(1), Some(100), None)), json!([{"revision": 1, "weight": 100}]));
    assert_eq!(
        after(&both, &wish(&json!(3), Some(100), None)),
        json!([{"revision": 3, "weight": 100}, {"revision": 2, "weight": 0, "alias": "prod"}])
    );
    assert_eq!(
        after(&both, &wish(&json!("latest"), Some(100), None)),
        json!([{"revision": 2, "weight": 0, "alias": "prod"}, {"revision": "latest", "weight": 100}])
    );
}

#[test]
fn the_others_share_the_rest_as_they_shared_before() {
    assert_eq!(
        after(&json!([]), &wish(&json!(1), Some(10), None)),
        json!([{"revision": 1, "weight": 10}, {"revision": "latest", "weight": 90}])
    );
    let thirds =
        json!([{"revision": 1, "weight": 34}, {"revision": 2, "weight": 33}, {"revision": 3, "weight": 33}]);
    assert_eq!(
        after(&thirds, &wish(&json!(1), Some(25), None)),
        json!([{"revision": 1, "weight": 25}, {"revision": 2, "weight": 38}, {"revision": 3, "weight": 37}])
    );
    assert_eq!(
        after(&thirds, &wish(&json!(2), Some(0), None)),
        json!([{"revision": 1, "weight": 51}, {"revision": 3, "weight": 49}])
    );
}

#[test]
fn a_name_moves_without_a_share() {
    let prod = json!([{"revision": "latest"}, {"revision": 1, "alias": "prod", "weight": 0}]);
    let prod = json!([{"revision": "latest", "weight": 100}, prod[1]]);
    assert_eq!(
        after(&prod, &wish(&json!(2), None, Some("prod"))),
        json!([{"revision": "latest", "weight": 100}, {"revision": 2, "weight": 0, "alias": "prod"}])
    );
    assert_eq!(
        after(&prod, &wish(&json!("latest"), None, Some("prod"))),
        json!([{"revision": "latest", "weight": 100, "alias": "prod"}])
    );
    // A version may have several.
    assert_eq!(
        after(&prod, &wish(&json!(1), Some(20), Some("old"))),
        json!([{"revision": "latest", "weight": 80}, {"revision": 1, "weight": 20, "alias": "prod"}, {"revision": 1, "weight": 0, "alias": "old"}])
    );
}

#[test]
fn what_is_not_there_and_what_nobody_would_get_is_refused() {
    let missing = wanted(&function(&json!([]), &json!({})), &wish(&json!(7), Some(100), None)).unwrap_err();
    assert_eq!(
        (missing.code(), missing.to_string().as_str()),
        (crate::error::NOT_FOUND, "hello has no version 7")
    );
    let lone = json!([{"revision": 1}]);
    let rest = wanted(&function(&lone, &json!({})), &wish(&json!(1), Some(30), None)).unwrap_err();
    assert_eq!(
        (rest.code(), rest.to_string().as_str()),
        (crate::error::USAGE, "nobody would get the other 70% of hello's requests")
    );
}

fn serving(shares: &[(u32, u32)]) -> Value {
    let share = |(number, weight): &(u32, u32)| json!({"revision": format!("hello-{number}"), "number": number, "weight": weight});
    json!({"traffic": shares.iter().map(share).collect::<Vec<_>>()})
}

#[test]
fn back_is_to_the_newest_before_that_was_ready() {
    let back = |shares: &[(u32, u32)], broken: &str| {
        before(&function(&json!([]), &serving(shares)), |name| name != broken)
    };
    assert_eq!(back(&[(3, 100)], "").ok(), Some(2));
    assert_eq!(back(&[(3, 100)], "hello-2").ok(), Some(1));
    assert_eq!(back(&[(2, 90), (3, 10)], "").ok(), Some(2));
    // What has no share was not gone to.
    assert_eq!(back(&[(2, 100), (3, 0)], "").ok(), Some(1));
    assert_eq!(back(&[(1, 100)], "").unwrap_err().code(), crate::error::NOT_FOUND);
    assert_eq!(back(&[], "").unwrap_err().code(), crate::error::USAGE);
}

#[test]
fn it_is_done_when_the_status_shows_it_and_not_before() {
    let pinned = json!([{"revision": 1, "weight": 100}]);
    let targets = asked(&function(&pinned, &json!({})));
    let standing = |status: &Value, generation| standing(&function(&pinned, status), &targets, generation);
    assert_eq!(standing(&serving(&[(1, 100)]), 5), Standing::Done);
    assert_eq!(standing(&serving(&[(1, 100)]), 6), Standing::Going, "the operator has not seen it");
    assert_eq!(standing(&serving(&[(2, 100)]), 5), Standing::Going);
    let other = function(&json!([{"revision": 2}]), &serving(&[(1, 100)]));
    assert_eq!(super::standing(&other, &targets, 5), Standing::Overtaken);
}

#[test]
fn a_new_version_on_trial_is_a_part_of_the_latest() {
    let function = function(
        &json!([]),
        &json!({"traffic": [
            {"revision": "hello-2", "number": 2, "weight": 90, "latest": true},
            {"revision": "hello-3", "number": 3, "weight": 10, "latest": true, "canary": true},
        ]}),
    );
    assert_eq!(standing(&function, &asked(&function), 5), Standing::Done);
}

#[test]
fn what_keeps_another_version_down_does_not_keep_this_one() {
    let stands = |message: &str| {
        let mut status = serving(&[(2, 100)]);
        status["conditions"] = json!([{
            "type": "Deployed", "status": "False", "reason": "InitFailed", "message": message, "lastTransitionTime": "2026-11-21T12:00:00Z",
        }]);
        let function = function(&json!([{"revision": 1}]), &status);
        standing(&function, &asked(&function), 5)
    };
    let own = "Revision 1 (hello-1) cannot start, so the requests go where they went before: no module PIL.";
    assert_eq!(stands(own), Standing::Stuck(own.to_owned()));
    assert_eq!(stands("The latest cannot start: no module PIL."), Standing::Going);
}

#[test]
fn the_latest_is_waited_for_while_another_stands_in_for_it() {
    let latest = json!([{"revision": "latest", "weight": 100}]);
    let stands = |deployed: &str| {
        let status = json!({
            "observedGeneration": 4,
            "traffic": [{"revision": "hello-2", "number": 2, "weight": 100, "latest": true}],
            "conditions": [{
                "type": "Deployed", "status": deployed, "reason": "RollingOut", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 4,
            }],
        });
        let function = function(&latest, &status);
        standing(&function, &asked(&function), 4)
    };
    assert_eq!(stands("Unknown"), Standing::Going);
    assert_eq!(stands("True"), Standing::Done);
}
