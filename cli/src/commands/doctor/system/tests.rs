use serde_json::json;

use super::{super::Verdict, *};

fn installed(ready: i32, version: &str) -> Installed {
    Installed { version: Some(version.to_owned()), wanted: 2, ready, ..Installed::default() }
}

#[test]
fn an_old_cluster_fails() {
    assert_eq!(judge_version("v1.29.4", (1, 29), "c").verdict, Verdict::Fail);
    assert_eq!(judge_version("v1.34.1", (1, 34), "c").verdict, Verdict::Pass);
}

#[test]
fn clocks_may_differ_by_seconds() {
    let judged = |seconds| judge_clock(Some(SignedDuration::from_secs(seconds)));
    assert_eq!(judged(-3).verdict, Verdict::Pass);
    assert_eq!(judged(90).said, "the cluster's is 90s ahead of this machine's");
    assert_eq!(judged(-600).said, "the cluster's is 10m behind this machine's");
}

#[test]
fn a_part_is_ready_and_of_this_version_or_it_is_said() {
    let ours = env!("CARGO_PKG_VERSION");
    assert_eq!(judge_part("flint-operator", "s", Some(&installed(2, ours))).verdict, Verdict::Pass);
    assert_eq!(judge_part("flint-operator", "s", Some(&installed(1, ours))).verdict, Verdict::Warn);
    assert_eq!(judge_part("flint-operator", "s", Some(&installed(0, ours))).verdict, Verdict::Fail);
    assert_eq!(judge_part("flint-operator", "s", Some(&installed(2, "9.9.9"))).verdict, Verdict::Warn);
    assert_eq!(judge_part("flint-operator", "s", None).remedy.as_deref(), Some(INSTALL));
}

#[test]
fn a_kind_must_have_the_fields_that_this_program_writes() {
    let ours = flint_api::all_crds().remove(0);
    let judged = |theirs: Option<&CustomResourceDefinition>| judge_kind("functions.flint.dev", &ours, theirs);
    assert_eq!(judged(Some(&ours)).verdict, Verdict::Pass);
    assert_eq!(judged(None).verdict, Verdict::Fail);
    let mut value = serde_json::to_value(&ours).unwrap();
    let schema = &mut value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"]["properties"].as_object_mut().unwrap().remove("timeout");
    let older = serde_json::from_value(value).unwrap();
    assert_eq!(judged(Some(&older)).said, "older than this flint: it has no spec.timeout");
}

#[test]
fn a_gateway_without_a_url_is_a_warning_while_it_is_reached() {
    let forward =
        || Ok(("http://127.0.0.1:41000".to_owned(), Way::Forward("flint-system/gateway-1".to_owned())));
    assert_eq!(judge_gateway(forward(), true).verdict, Verdict::Warn);
    assert_eq!(judge_gateway(forward(), false).verdict, Verdict::Fail);
    assert_eq!(judge_gateway(Ok(("http://x".to_owned(), Way::Given)), false).verdict, Verdict::Fail);
}

#[test]
fn a_failed_pull_is_told_by_the_events() {
    let event = |message: &str| -> Event {
        serde_json::from_value(
            json!({"metadata": {}, "involvedObject": {"kind": "Pod", "name": "hello-1"}, "message": message}),
        )
        .unwrap()
    };
    let failed = failed_pull("shop", &event("Failed to pull image \"registry/x:1\": not found"));
    assert!(failed.as_ref().is_some_and(|text| text.starts_with("shop/hello-1: Failed to pull")));
    assert_eq!(failed_pull("shop", &event("Back-off restarting failed container")), None);
    assert_eq!(judge_images(&failed.into_iter().collect()).verdict, Verdict::Warn);
    assert_eq!(judge_images(&BTreeSet::new()).verdict, Verdict::Pass);
}

#[test]
fn another_dns_is_no_failure() {
    let judged = [judge_dns(false, 0), judge_dns(true, 0), judge_dns(true, 2)].map(|finding| finding.verdict);
    assert_eq!(judged, [Verdict::Warn, Verdict::Fail, Verdict::Pass]);
}
