use super::*;

fn findings() -> Vec<Finding> {
    let denied = Error::denied("cannot list runtimes")
        .because("runtimes.flint.dev is forbidden")
        .try_this("ask for the right");
    vec![
        Finding::pass("cluster", "Kubernetes v1.34.1 answers, context kind"),
        Finding::warn("go", "not found: `flint dev` cannot run Go functions", "https://go.dev/dl"),
        Finding::unseen("runtimes", &denied),
        Finding::fail("flint-gateway", "0 of 2 pods ready", "kubectl -n flint-system get pods,events"),
    ]
}

#[test]
fn each_passes_or_says_what_to_do() {
    insta::assert_snapshot!(anstream::adapter::strip_str(&render(&findings())).to_string());
}

#[test]
fn the_findings_for_scripts() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&findings()).unwrap());
}

#[test]
fn what_may_not_be_seen_is_no_failure() {
    assert_eq!(findings()[2].verdict, Verdict::Warn);
}

#[test]
fn nobody_is_sent_to_the_doctor_by_the_doctor() {
    let error = |remedy: &str| Finding::failed("x", &Error::platform("no").try_this(remedy)).remedy;
    assert_eq!(error("`flint doctor` says why"), None);
    let both = error("`flint doctor` says why; if it is elsewhere, give its URL: --url http://…");
    assert_eq!(both.as_deref(), Some("if it is elsewhere, give its URL: --url http://…"));
}
