//! The commands of `flint` that change and describe what is on the cluster.

use std::sync::Arc;

use flint_e2e::{Namespace, cli::Flint, eventually, functions::PATIENCE, namespace::with_namespace};
use k8s_openapi::{
    api::{
        authentication::v1::TokenRequest,
        core::v1::{Secret, ServiceAccount},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

fn python(code: &str) -> String {
    let function = json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "hello"},
        "spec": {
            "runtime": "python3.11", "handler": "app.handler", "source": {"inline": {"app.py": code}},
            "scaling": {"window": "6s", "scaleToZeroAfter": "6s"},
        },
    });
    function.to_string()
}

const HELLO: &str = "def handler(event, context):\n    return 'hello'\n";

/// The answer of a function at the gateway.
async fn get(namespace: &Namespace, name: &str) -> String {
    let url = format!("{}/function/{name}.{}", namespace.cluster.url, namespace.name);
    let answer = namespace.cluster.http.get(url).timeout(PATIENCE).send().await.expect("an answer");
    answer.text().await.expect("a body")
}

#[tokio::test]
async fn a_function_is_deployed_described_changed_and_removed() {
    with_namespace("cli-life", |namespace| async move {
        let flint = Flint::new(&namespace).await;
        flint.file("hello.yaml", &python(HELLO));
        let dry = flint.run(&["deploy", "hello.yaml", "--dry-run"]).await.ok();
        assert!(dry.contains("would be created"), "{dry}");
        assert_eq!(flint.run(&["describe", "hello"]).await.code, 3, "a dry run leaves nothing");

        assert_eq!(flint.run(&["diff", "hello.yaml"]).await.code, 1);
        let deployed = flint.run(&["deploy", "hello.yaml"]).await.ok();
        for part in ["hello-", " B ", "init ", "/function/hello."] {
            assert!(deployed.contains(part), "{part:?} in {deployed}");
        }
        assert_eq!(get(&namespace, "hello").await, "\"hello\"");
        let same = flint.run(&["diff", "hello.yaml"]).await;
        assert_eq!(same.code, 0, "{same:#?}");
        let list = flint.run(&["ls"]).await.ok();
        assert!(list.lines().any(|line| line.starts_with("hello ") && line.contains(" yes ")), "{list}");
        let described = flint.run(&["describe", "hello"]).await.ok();
        assert!(described.starts_with("callable: yes\n"), "{described}");

        flint.file("hello.yaml", &python(&HELLO.replace("hello", "moon")));
        let diff = flint.run(&["diff", "hello.yaml"]).await;
        assert_eq!(diff.code, 1, "{diff:#?}");
        assert!(diff.out.contains("return 'moon'"), "{diff:#?}");
        let again = flint.run(&["deploy", "hello.yaml", "-o", "json"]).await.ok();
        let again: Value = serde_json::from_str(&again).expect("JSON");
        assert_eq!(again[0]["change"], "changed");
        assert_eq!(get(&namespace, "hello").await, "\"moon\"");

        assert_eq!(flint.run(&["remove", "hello"]).await.code, 2, "nobody can be asked");
        let removed = flint.run(&["remove", "hello", "-y"]).await;
        assert_eq!(removed.code, 0, "{removed:#?}");
        assert!(namespace.pods("hello").await.is_empty());
        let secrets = namespace.api::<Secret>().list(&Default::default()).await.expect("secrets");
        assert!(secrets.items.is_empty(), "{secrets:?}");
    })
    .await;
}

#[tokio::test]
async fn requests_go_back_and_forth_between_versions_and_a_deploy_leaves_them() {
    with_namespace("cli-versions", |namespace| async move {
        let flint = Flint::new(&namespace).await;
        let says = |word: &str| python(&HELLO.replace("'hello'", &format!("'{word}'")));
        for word in ["one", "two"] {
            flint.file("hello.yaml", &says(word));
            let deployed = flint.run(&["deploy", "hello.yaml"]).await;
            assert_eq!(deployed.code, 0, "{deployed:#?}");
        }
        let versions = async || -> Value {
            let text = flint.run(&["versions", "hello", "-o", "json"]).await.ok();
            serde_json::from_str(&text).expect("JSON")
        };
        let now = versions().await;
        assert_eq!((&now[0]["weight"], &now[1]["weight"]), (&json!(0), &json!(100)), "{now:#}");
        assert_eq!((&now[1]["latest"], &now[1]["ready"]), (&json!(true), &json!(true)), "{now:#}");

        let back = flint.run(&["rollback", "hello"]).await;
        assert_eq!(back.code, 0, "{back:#?}");
        assert!(back.out.contains("version 1") && back.out.contains("100%"), "{back:#?}");
        eventually_says(&namespace, "one").await;
        assert_eq!(flint.run(&["rollback", "hello"]).await.code, 3, "there is nothing before the first");
        assert_eq!(flint.run(&["promote", "hello", "9"]).await.code, 3, "there is no such version");

        flint.file("hello.yaml", &says("three"));
        let deployed = flint.run(&["deploy", "hello.yaml"]).await;
        assert_eq!(deployed.code, 0, "{deployed:#?}");
        assert!(deployed.err.contains("version 3 is there and gets no requests"), "{deployed:#?}");
        assert_eq!(
            get(&namespace, "hello").await,
            "\"one\"",
            "the deploy has left the requests where they were"
        );
        let mut wanted: Value = serde_json::from_str(&says("three")).expect("JSON");
        wanted["spec"]["traffic"] = json!([{"revision": 2, "weight": 100}]);
        flint.file("traffic.yaml", &wanted.to_string());
        let refused = flint.run(&["deploy", "traffic.yaml"]).await;
        assert_eq!(refused.code, 2, "{refused:#?}");
        assert!(refused.err.contains("spec.traffic is flint-traffic's"), "{refused:#?}");

        let named = flint.run(&["promote", "hello", "2", "--alias", "prod"]).await;
        assert_eq!(named.code, 0, "{named:#?}");
        assert_eq!(get(&namespace, "hello").await, "\"one\"", "a name moves no share");
        let part = flint.run(&["promote", "hello", "--weight", "25"]).await;
        assert_eq!(part.code, 0, "{part:#?}");
        let now = versions().await;
        let shares: Vec<_> =
            now.as_array().expect("a list").iter().map(|one| one["weight"].clone()).collect();
        assert_eq!(shares, [75, 0, 25], "{now:#}");
        assert_eq!(now[1]["aliases"], json!(["prod"]), "{now:#}");
        let forth = flint.run(&["promote", "hello"]).await;
        assert_eq!(forth.code, 0, "{forth:#?}");
        eventually_says(&namespace, "three").await;
    })
    .await;
}

/// The gateways swap their tables a moment after the status has changed.
async fn eventually_says(namespace: &Namespace, word: &str) {
    eventually(&format!("the answer {word}"), PATIENCE, || async {
        let answer = get(namespace, "hello").await;
        if answer == format!("\"{word}\"") { Ok(()) } else { Err(answer) }
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_cannot_be_imported_fails_the_deploy_with_its_own_words() {
    with_namespace("cli-broken", |namespace| async move {
        let flint = Flint::new(&namespace).await;
        flint.file("hello.yaml", &python("import no_such_module\n"));
        let ran = flint.run(&["deploy", "hello.yaml"]).await;
        assert_eq!(ran.code, 5, "{ran:#?}");
        assert!(ran.err.contains("InitFailed") && ran.err.contains("no_such_module"), "{ran:#?}");
        let described = flint.run(&["describe", "hello"]).await.ok();
        assert!(described.starts_with("callable: no, because InitFailed"), "{described}");
    })
    .await;
}

#[tokio::test]
async fn fields_of_others_are_not_taken_over_unasked() {
    with_namespace("cli-conflict", |namespace| async move {
        let flint = Flint::new(&namespace).await;
        namespace.function("hello").python(HELLO).set("timeout", json!("7s")).apply().await;
        let mut wanted: Value = serde_json::from_str(&python(HELLO)).expect("JSON");
        wanted["spec"]["timeout"] = json!("9s");
        flint.file("hello.yaml", &wanted.to_string());
        let ran = flint.run(&["deploy", "hello.yaml"]).await;
        assert_eq!(ran.code, 2, "{ran:#?}");
        assert!(
            ran.err.contains("spec.timeout is e2e's") && ran.err.contains("--force-conflicts"),
            "{ran:#?}"
        );
        let forced = flint.run(&["deploy", "hello.yaml", "--force-conflicts"]).await;
        assert_eq!(forced.code, 0, "{forced:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_secret_is_set_used_changed_and_never_shown() {
    with_namespace("cli-secret", |namespace| async move {
        let flint = Flint::new(&namespace).await;
        let set = flint.run(&["secret", "set", "db", "URL=hunter2", "USER=me"]).await;
        assert!(!format!("{set:?}").contains("hunter2"), "{set:#?}");
        assert_eq!(set.code, 0, "{set:#?}");
        let mut function: Value = serde_json::from_str(&python(
            "import os\ndef handler(event, context):\n    return os.environ['URL']\n",
        ))
        .expect("JSON");
        function["spec"]["envFrom"] = json!([{"secretRef": {"name": "db"}}]);
        flint.file("hello.yaml", &function.to_string());
        let deployed = flint.run(&["deploy", "hello.yaml"]).await;
        assert_eq!(deployed.code, 0, "{deployed:#?}");
        assert_eq!(get(&namespace, "hello").await, "\"hunter2\"");
        let list = flint.run(&["secret", "ls"]).await.ok();
        assert!(list.contains("URL,USER") && list.contains("hello") && !list.contains("hunter2"), "{list}");

        assert_eq!(flint.run(&["secret", "rm", "db"]).await.code, 2, "it is in use");
        let changed = flint.run(&["secret", "set", "db", "URL=hunter3", "--restart"]).await.ok();
        assert!(changed.contains("hello get new instances"), "{changed}");
        eventually("the new value", PATIENCE, || async {
            let answer = get(&namespace, "hello").await;
            if answer == "\"hunter3\"" { Ok(()) } else { Err(answer) }
        })
        .await;
        // The next deploy does not know of the restart, and leaves it alone.
        let again = flint.run(&["deploy", "hello.yaml"]).await;
        assert_eq!(again.code, 0, "{again:#?}");
        assert_eq!(flint.run(&["secret", "rm", "db", "--force"]).await.code, 0);
    })
    .await;
}

#[tokio::test]
async fn the_doctor_finds_the_test_cluster_well() {
    with_namespace("cli-doctor", |namespace| async move {
        let flint = Flint::new(&namespace).await;
        let ran = flint.run(&["doctor", "-o", "json"]).await;
        assert_eq!(ran.code, 0, "{ran:#?}");
        let findings: Vec<Value> = serde_json::from_str(&ran.out).expect("JSON");
        let verdict = |check: &str| {
            let finding = findings.iter().find(|finding| finding["check"] == check);
            finding.map(|finding| finding["verdict"].clone()).unwrap_or_default()
        };
        for check in [
            "cluster",
            "kind functions.flint.dev",
            "flint-operator",
            "flint-gateway",
            "runtimes",
            "gateway's URL",
            "rights: deploy, diff",
        ] {
            assert_eq!(verdict(check), "PASS", "{check} in {findings:#?}");
        }
    })
    .await;
}

#[tokio::test]
async fn without_rights_each_command_says_which_is_missing() {
    with_namespace("cli-rights", |namespace| async move {
        let flint = Flint::new(&namespace).await.with_kubeconfig(&nobody(&namespace).await);
        flint.file("hello.yaml", &python(HELLO));
        for command in [&["ls"][..], &["deploy", "hello.yaml"], &["describe", "hello"], &["secret", "ls"]] {
            let ran = flint.run(command).await;
            assert_eq!(ran.code, 4, "{command:?}: {ran:#?}");
            assert!(
                ran.err.contains("forbidden") && ran.err.contains("flint doctor"),
                "{command:?}: {ran:#?}"
            );
        }
        let doctor = flint.run(&["doctor"]).await;
        assert!(doctor.out.contains("you may not get functions.flint.dev"), "{doctor:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_deploy_survives_a_cluster_that_goes_away() {
    with_namespace("cli-away", |namespace| async move {
        let (switch, kubeconfig) = switched().await;
        let flint = Flint::new(&namespace).await.with_kubeconfig(&kubeconfig);
        let slow = python(&format!("import time\ntime.sleep(6)\n{HELLO}"));
        flint.file("hello.yaml", &slow);
        let mut deploy = flint.start(&["deploy", "hello.yaml"]);
        deploy.says("is starting").await;
        switch.send_replace(false);
        deploy.says("does not answer").await;
        switch.send_replace(true);
        deploy.says("answers again").await;
        let ran = deploy.ended().await;
        assert_eq!(ran.code, 0, "{ran:#?}");

        switch.send_replace(false);
        let away = flint.run(&["deploy", "hello.yaml", "--timeout", "3s"]).await;
        assert_eq!(away.code, 5, "{away:#?}");
        assert!(away.err.contains("does not answer"), "{away:#?}");
    })
    .await;
}

#[tokio::test]
async fn ctrl_c_says_that_the_deploy_goes_on() {
    with_namespace("cli-ctrl-c", |namespace| async move {
        let flint = Flint::new(&namespace).await;
        flint.file("hello.yaml", &python(&format!("import time\ntime.sleep(5)\n{HELLO}")));
        let mut deploy = flint.start(&["deploy", "hello.yaml"]);
        deploy.says("is starting").await;
        deploy.interrupt().await;
        let ran = deploy.ended().await;
        assert_eq!(ran.code, 130, "{ran:#?}");
        assert!(ran.err.contains("goes on in the cluster"), "{ran:#?}");
        assert_eq!(get(&namespace, "hello").await, "\"hello\"");
    })
    .await;
}

#[tokio::test]
async fn where_no_url_leads_to_the_gateway_a_port_is_forwarded() {
    with_namespace("cli-forward", |namespace| async move {
        namespace.function("hello").python(HELLO).apply().await;
        // Behind a proxy that is away no URL answers; the way to the API server is another.
        let flint = Flint::new(&namespace)
            .await
            .with("FLINT_URL", None)
            .with("http_proxy", Some("http://127.0.0.1:1"));
        let called = flint.run(&["invoke", "hello", "--timeout", "60s"]).await;
        assert_eq!((called.code, called.out.as_str()), (0, "\"hello\""), "{called:#?}");
        let doctor = flint.run(&["doctor"]).await;
        assert!(doctor.out.contains("only by a port-forward to flint-system/flint-gateway-"), "{doctor:#?}");
    })
    .await;
}

#[tokio::test]
async fn code_that_does_not_fit_goes_to_a_registry_and_is_named_by_its_digest() {
    with_namespace("cli-registry", |namespace| async move {
        let flint = Flint::new(&namespace).await;
        flint.file("hello/app.py", HELLO);
        flint.file("hello/words.txt", &"word ".repeat(100_000));
        let refused = flint.run(&["deploy", "hello"]).await;
        assert_eq!(refused.code, 2, "{refused:#?}");
        assert!(
            refused.err.contains("larger than 256 KiB") && refused.err.contains("--registry"),
            "{refused:#?}"
        );

        let place = format!("{}/{}", namespace.cluster.registry, namespace.name);
        let deploy = ["deploy", "hello", "--registry", &place, "--no-wait"];
        let sent = flint.run(&deploy).await;
        assert_eq!(sent.code, 0, "{sent:#?}");
        assert!(sent.err.contains("sent "), "{sent:#?}");
        let function = namespace.api::<flint_api::Function>().get("hello").await.expect("the function");
        let reference = function.spec.source.and_then(|source| source.oci).expect("source.oci").reference;
        assert!(reference.starts_with(&format!("{place}/hello@sha256:")), "{reference}");
        // The same files are the same package: it is not sent again, and nothing changes.
        let again = flint.run(&deploy).await;
        assert!(again.err.contains("is there already") && again.err.contains("unchanged"), "{again:#?}");
        assert_eq!(flint.run(&["diff", "hello", "--registry", &place]).await.code, 0);
    })
    .await;
}

/// A kubeconfig as the administrator's, of which the server and the user may be changed.
async fn kubeconfig(server: &str, user: Value) -> Value {
    let kubeconfig = Kubeconfig::read().expect("a kubeconfig");
    let cluster = kubeconfig.clusters.first().and_then(|cluster| cluster.cluster.clone()).expect("a cluster");
    let authority = cluster.certificate_authority_data.clone();
    let file = cluster.certificate_authority;
    let mut entry = json!({"server": server});
    if let Some(authority) = authority {
        entry["certificate-authority-data"] = json!(authority);
    }
    if let Some(file) = file {
        entry["certificate-authority"] = json!(file);
    }
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": entry}],
        "users": [{"name": "test", "user": user}],
    })
}

/// Somebody who may do nothing.
async fn nobody(namespace: &Namespace) -> Value {
    let accounts = namespace.api::<ServiceAccount>();
    let account = ServiceAccount {
        metadata: ObjectMeta { name: Some("nobody".into()), ..ObjectMeta::default() },
        ..ServiceAccount::default()
    };
    accounts.create(&PostParams::default(), &account).await.expect("an account");
    let token =
        accounts.create_token_request("nobody", &PostParams::default(), &TokenRequest::default()).await;
    let token = token.expect("a token").status.expect("a token").token;
    kubeconfig(&server().await, json!({"token": token})).await
}

async fn server() -> String {
    let config = Config::from_kubeconfig(&KubeConfigOptions::default()).await.expect("a kubeconfig");
    config.cluster_url.to_string()
}

/// The way to the API server behind a switch: off, connections break and none is made.
async fn switched() -> (watch::Sender<bool>, Value) {
    let url: reqwest::Url = server().await.parse().expect("a URL");
    let target =
        format!("{}:{}", url.host_str().expect("a host"), url.port_or_known_default().unwrap_or(443));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (switch, on) = watch::channel(true);
    let target = Arc::new(target);
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let (mut on, target) = (on.clone(), Arc::clone(&target));
            tokio::spawn(async move {
                if !*on.borrow() {
                    return;
                }
                let mut there = TcpStream::connect(target.as_str()).await.expect("the API server");
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
                    _ = on.wait_for(|on| !on) => {}
                }
            });
        }
    });
    let user =
        Kubeconfig::read().expect("a kubeconfig").auth_infos.first().and_then(|user| user.auth_info.clone());
    let user = serde_json::to_value(user.expect("a user")).expect("JSON");
    let mut kubeconfig = kubeconfig(&format!("https://{address}"), user).await;
    // The certificate is for the API server's own address.
    kubeconfig["clusters"][0]["cluster"]["tls-server-name"] = json!(url.host_str());
    (switch, kubeconfig)
}
