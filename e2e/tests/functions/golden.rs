//! What the commands of `flint` print about a real cluster, with what differs from run to run replaced.
//!
//! After a change: `INSTA_UPDATE=always` with the tests of this file, and a look at the difference.

use flint_e2e::{
    Namespace,
    cli::{Flint, Ran},
    eventually,
    functions::PATIENCE,
    namespace::with_namespace,
};
use insta::assert_snapshot;
use regex::Regex;

const PYTHON: &str = "\
import sys

def handler(event, context):
    print('greeting', event.get('name'))
    if event.get('name') == 'nobody':
        raise ValueError('there is nobody to greet')
    return {'message': 'Hello, ' + event.get('name', 'world')}
";
const SETTINGS: &str = "\
name: hello
handler: app.handler
runtime: python3.11
memory: 128
schedules: {nightly: 0 2 * * *}
scaling: {scaleToZeroAfter: 5m}
";

/// What differs from run to run, in the order in which it is replaced.
const CHANGING: [(&str, &str); 22] = [
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "REQUEST"),
    (r"sha256:[0-9a-f]{64}", "DIGEST"),
    (r"\bhello-[0-9a-f]{8}-[0-9a-z]{8,10}-[0-9a-z]{5}\b", "INSTANCE"),
    (r"\bhello-[0-9a-f]{8}-[0-9a-z]+\b", "REPLICAS"),
    (r"\bhello-[0-9a-f]{8}\b", "REVISION"),
    (r"\bflint-(operator|gateway)-[0-9a-z]+-[0-9a-z]{5}\b", "flint-$1-POD"),
    (r"\b127\.0\.0\.1:5000/\S+", "IMAGE"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\b\w{3} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+\b", "TIME"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?Z?", "TIME"),
    (r"\b\d\d:\d\d:\d\d(\.\d+)?\b", "TIME"),
    (r"\b\d{4}-\d\d-\d\d\b", "DATE"),
    // Before what looks for ages: `1234567d` is the beginning of an id too.
    (r"\bTIME [0-9a-z]{5} [0-9a-f]{8}\b", "TIME POD ID"),
    (r"initMs: [0-9.]+", "initMs: N"),
    (r"\bbytes: \d+", "bytes: N"),
    (r"\b\d+ bytes\b", "N bytes"),
    (r"\b\d+(\.\d+)? ?(ms|µs|MB|MiB|KiB|GiB|B)\b", "N $2"),
    (r"\b\d+d ?\d*h?\b|\b\d+h ?\d*m?\b|\b\d+m ?\d*s?\b|\b\d+(\.\d+)? ?s\b", "AGE"),
    (r"\b\d+\.\d+/s", "RATE"),
    (r"\bv1\.\d+\.\d+\S*", "VERSION"),
    (r"\b\d+\.\d+\.\d+\.\d+(:\d+)?\b", "ADDRESS"),
    // Columns are as wide as what was in them.
    (r" {2,}", "  "),
];

fn plain(text: &str, namespace: &Namespace) -> String {
    let text = text.replace(&namespace.cluster.url, "URL").replace(&namespace.name, "NAMESPACE");
    CHANGING.iter().fold(text, |text, (changing, instead)| {
        Regex::new(changing).expect("an expression").replace_all(&text, *instead).into_owned()
    })
}

/// As it was typed, printed, said beside, and ended.
fn shown(args: &[&str], ran: &Ran, namespace: &Namespace) -> String {
    let mut text = plain(&format!("$ flint {}\n{}", args.join(" "), ran.out), namespace);
    if !ran.err.is_empty() {
        text.push_str(&format!("--- standard error\n{}", plain(&ran.err, namespace)));
    }
    text.push_str(&format!("--- exit code {}\n", ran.code));
    text
}

async fn run(flint: &Flint, namespace: &Namespace, args: &[&str]) -> String {
    shown(args, &flint.run(args).await, namespace)
}

async fn all(flint: &Flint, namespace: &Namespace, commands: &[&[&str]]) -> String {
    let mut texts = Vec::new();
    for args in commands {
        texts.push(run(flint, namespace, args).await);
    }
    texts.join("\n")
}

/// Without the phases in between: how many are seen depends on how fast the cluster is.
fn without_phases(text: &str) -> String {
    let phases =
        ["is with the operator", "waits for", "is packed", "is starting", "has started", "has the traffic"];
    let lines = text.lines().filter(|line| !phases.iter().any(|phase| line.contains(phase)));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_commands_print_what_was_looked_at() {
    with_namespace("golden", |namespace| async move {
        let flint = Flint::new(&namespace).await;
        let on = async |commands: &[&[&str]]| all(&flint, &namespace, commands).await;
        flint.file("app.py", PYTHON);
        flint.file("flint.yaml", SETTINGS);
        assert_snapshot!(
            "nothing-yet",
            on(&[&["ls"], &["describe", "hello"], &["logs", "hello"], &["secret", "ls"]]).await
        );
        assert_snapshot!(
            "deploy",
            without_phases(&on(&[&["deploy", "--dry-run"], &["deploy"], &["deploy", "-o", "yaml"]]).await)
        );
        assert_snapshot!("ls", on(&[&["ls"], &["ls", "-o", "json"], &["diff"]]).await);
        assert_snapshot!(
            "invoke",
            on(&[
                &["invoke", "hello", "-d", r#"{"name": "Ada"}"#],
                &["invoke", "hello", "-l", "-d", r#"{"name": "Ada"}"#],
                &["invoke", "hello", "-d", r#"{"name": "nobody"}"#],
                &["invoke", "moon"],
                &["invoke", "hello", "--http", "GET", "/"],
            ])
            .await
        );
        // A line is there when Kubernetes has read it.
        eventually("the log", PATIENCE, || async {
            let log = flint.run(&["logs", "hello"]).await;
            if log.out.matches("nobody to greet").count() > 0 { Ok(()) } else { Err(log) }
        })
        .await;
        assert_snapshot!(
            "logs",
            on(&[&["logs", "hello", "--grep", "greeting"], &["logs", "hello", "--level", "error"]]).await
        );
        let described = on(&[&["describe", "hello"]]).await;
        // Which events there are depends on what the cluster had to do.
        let described = described.split("\nEvents").next().unwrap_or_default();
        // The last invocation is written down once a minute at most: it may be there by now.
        let described: Vec<_> =
            described.lines().filter(|line| !line.starts_with("Last invocation")).collect();
        assert_snapshot!("describe", described.join("\n"));

        flint.file("flint.yaml", &SETTINGS.replace("128", "256"));
        assert_snapshot!("diff", on(&[&["diff"]]).await);
        assert_snapshot!(
            "secret",
            on(&[
                &["secret", "set", "db", "URL=hunter2"],
                &["secret", "ls"],
                &["secret", "ls", "-o", "json"],
                &["secret", "rm", "db"],
                &["secret", "rm", "db"],
            ])
            .await
        );
        assert_snapshot!(
            "remove",
            on(&[&["remove", "hello"], &["remove", "hello", "-y"], &["remove", "hello", "-y"]]).await
        );
    })
    .await;
}

#[tokio::test]
async fn numbers_are_laid_out_as_they_were_looked_at() {
    with_namespace("golden-numbers", |namespace| async move {
        let flint = Flint::new(&namespace).await;
        flint.file("app.py", PYTHON);
        flint.file("flint.yaml", SETTINGS);
        assert_eq!(flint.run(&["deploy"]).await.code, 0);
        assert_eq!(flint.run(&["invoke", "hello"]).await.code, 0);
        // Which request falls into which time is the clock's.
        let value = Regex::new(r"  (-|<?[0-9.]+( %)?|N ms|AGE)\b?").expect("an expression");
        let number = Regex::new(r"\b\d+(\.\d+)*\b").expect("an expression");
        for args in [&["metrics", "hello"][..], &["top", "-n", &namespace.name], &["version"]] {
            let text = run(&flint, &namespace, args).await;
            let text = value.replace_all(&text, "  V");
            assert_snapshot!(args[0], number.replace_all(&text, "N"));
        }
    })
    .await;
}

/// The Runtimes without those that other tests have made.
fn without_others(line: &str) -> String {
    let begin = "PASS  runtimes  ";
    let Some(names) = line.strip_prefix(begin) else { return line.to_owned() };
    let names = names.replace(" and ", ", ");
    let ours: Vec<_> = names.split(", ").filter(|name| !name.contains("e2e-")).collect();
    format!("{begin}{}", ours.join(", "))
}

#[tokio::test]
async fn the_doctors_findings_are_laid_out_as_they_were_looked_at() {
    with_namespace("golden-doctor", |namespace| async move {
        let flint = Flint::new(&namespace).await;
        let text = run(&flint, &namespace, &["doctor"]).await;
        // What of other tests is on the cluster just now, and on this machine, is none of this.
        let ours = ["$", "PASS  cluster", "PASS  kind", "PASS  flint-", "PASS  runtimes", "PASS  rights"];
        let lines = text.lines().filter(|line| ours.iter().any(|begin| line.starts_with(begin)));
        assert_snapshot!("doctor", lines.map(without_others).collect::<Vec<_>>().join("\n"));
    })
    .await;
}
