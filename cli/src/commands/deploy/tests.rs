use super::*;

fn hello() -> Deployed {
    Deployed {
        name: "hello".into(),
        namespace: "shop".into(),
        change: "created",
        revision: Some("hello-3f9c2a71".into()),
        bytes: Some(12_288),
        init_ms: Some(61.4),
        url: Some("https://fn.example.com/function/hello.shop".into()),
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn the_result_is_revision_size_init_time_and_url() {
    let untold = Deployed {
        name: "thumbnail".into(),
        revision: Some("thumbnail-00c0ffee".into()),
        bytes: None,
        init_ms: None,
        ..hello()
    };
    insta::assert_snapshot!(plain(&render(&[hello(), untold], false)));
}

#[test]
fn the_result_for_scripts() {
    let deployed = [hello(), Deployed { init_ms: None, bytes: None, ..hello() }];
    insta::assert_snapshot!(serde_json::to_string_pretty(&deployed).unwrap());
}

#[test]
fn a_dry_run_says_what_would_be() {
    let same = Deployed { name: "same".into(), change: "unchanged", ..hello() };
    insta::assert_snapshot!(plain(&render(&[hello(), same], true)));
}

#[test]
fn a_url_within_the_cluster_is_told_from_one_for_all() {
    assert!(is_within("http://flint-gateway.flint-system.svc.cluster.local/function/hello"));
    assert!(!is_within("http://127.0.0.1:30080/function/hello"));
}

#[test]
fn a_version_that_traffic_passes_by_is_told() {
    let function = |traffic: &serde_json::Value, serves: u32| -> Function {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "hello"}, "spec": {"traffic": traffic},
            "status": {
                "latestRevision": "hello-2", "versions": [{"number": 1, "revision": "hello-1"}, {"number": 2, "revision": "hello-2"}],
                "traffic": [{"revision": format!("hello-{serves}"), "number": serves, "weight": 100}],
            },
        }))
        .unwrap()
    };
    let pinned = serde_json::json!([{"revision": 1}]);
    let told = without_requests(&function(&pinned, 1)).map(|told| plain(&told)).unwrap();
    assert!(told.contains("version 2 is there and gets no requests") && told.contains("flint promote hello"));
    assert_eq!(without_requests(&function(&serde_json::json!([{"revision": "latest"}]), 2)), None);
    // A trial begins without a share, and the condition tells of it.
    assert_eq!(without_requests(&function(&serde_json::json!([]), 1)), None);
}
