//! A newcomer in a real terminal: the README's first command and a change of its example; then a function of their own, here and
//! on the cluster. What they see is asserted; `--nocapture` shows it.

use std::{fs, path::Path, time::Duration};

use flint_e2e::{cli, eventually, namespace::with_namespace, terminal::Terminal};
use tempfile::TempDir;

/// The part of a line behind this, up to the next space.
fn after<'a>(screen: &'a str, what: &str) -> &'a str {
    screen
        .rsplit_once(what)
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .unwrap_or_else(|| panic!("no {what:?} in:\n{screen}"))
}

/// What the screen has to say, in this order.
fn says(screen: &str, parts: &[&str]) {
    let mut rest = screen;
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else {
            panic!("{part:?} is missing, or late, in:\n{screen}")
        };
        rest = behind;
    }
}

/// The last one that was started in a terminal has ended when only the shell is left.
async fn is_left_alone(terminal: &Terminal) {
    eventually("the shell alone", Duration::from_secs(15), || async {
        let left = terminal.processes();
        if left.len() == 1 { Ok(()) } else { Err(left) }
    })
    .await;
}

/// The folders of the programs that a newcomer has: `flint` first.
async fn path() -> String {
    let program = cli::program().await;
    let folder = program.parent().expect("a folder").display().to_string();
    format!("{folder}:{}", std::env::var("PATH").unwrap_or_default())
}

#[tokio::test]
async fn the_readmes_first_command_serves_an_example_that_a_save_changes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the checkout");
    let folder = TempDir::new().expect("a folder");
    let project = folder.path().join("hello");
    fs::create_dir(&project).expect("a folder");
    for file in fs::read_dir(root.join("examples/hello")).expect("the example") {
        let file = file.expect("a file");
        fs::copy(file.path(), project.join(file.file_name())).expect("a copy");
    }
    let path = path().await;
    let variables = [("PATH", path.as_str()), ("FLINT_CACHE", folder.path().to_str().expect("a path"))];
    let (mut dev, mut shell) = (Terminal::open(&root, &variables), Terminal::open(&project, &variables));

    // With a program from elsewhere it is not built again.
    let first = match std::env::var("FLINT_CLI") {
        Ok(program) => format!("{program} dev --port 0 {}", project.display()),
        Err(_) => format!("make dev PORT=0 PROJECT={}", project.display()),
    };
    dev.types(&first);
    let screen = dev.shows("[q] quit").await;
    says(&screen, &["Ready on http://localhost:", "Events, logs and replay: http://localhost:"]);
    says(&screen, &["METHOD", "GET", "/hello/{name}", "hello", "GET", "/time", "POST", "/shout"]);
    says(&screen, &["tick", "rate(5 minutes)"]);
    let url = after(&screen, "Ready on ").to_owned();
    says(&shell.runs(&format!("curl -s {url}/hello/Ada")).await, &[r#"{"message": "Hello, Ada!"}"#]);
    says(&dev.shows("GET /hello/Ada").await, &["greeting Ada", "GET /hello/Ada 200", "cold="]);
    says(&shell.runs(&format!("curl -s {url}/shout -d loud")).await, &["LOUD"]);

    shell.runs("sed -i 's/Hello,/Good evening,/' hello.py").await;
    dev.shows("↻ hello is up to date").await;
    says(&shell.runs(&format!("curl -s {url}/hello/Ada")).await, &["Good evening, Ada!"]);
    dev.presses("q");
    says(&dev.ended().await, &["bye: nothing is left running"]);
    is_left_alone(&dev).await;
}

#[tokio::test]
async fn a_function_is_made_tried_here_deployed_called_watched_and_removed() {
    with_namespace("newcomer", |namespace| async move {
        let folder = TempDir::new().expect("a folder");
        let path = path().await;
        let variables = [
            ("PATH", path.as_str()),
            ("FLINT_CACHE", folder.path().to_str().expect("a path")),
            ("FLINT_NAMESPACE", namespace.name.as_str()),
        ];
        let (mut one, mut two) =
            (Terminal::open(folder.path(), &variables), Terminal::open(folder.path(), &variables));

        says(&one.runs("flint new greeter").await, &["cd greeter", "python3 -m unittest", "flint dev"]);
        one.runs("cd greeter").await;
        says(&one.runs("python3 -m unittest").await, &["Ran 2 tests", "OK"]);
        one.types("flint dev --port 0");
        let url = after(&one.shows("[q] quit").await, "Ready on ").to_owned();
        says(&two.runs(&format!("curl -s '{url}/hello?name=Ada'")).await, &["Hello, Ada!"]);
        one.presses("C-c");
        says(&one.ended().await, &["bye: nothing is left running"]);
        is_left_alone(&one).await;

        two.types("flint ls -w");
        let deployed = one.runs("flint deploy").await;
        says(&deployed, &["✓ greeter after ", "greeter-", "init ", "/function/greeter."]);
        assert!(!deployed.contains("error"), "{deployed}");
        says(&one.runs("flint ls").await, &["NAME", "CALLABLE", "greeter", "yes", "python3.11"]);
        says(&one.runs("flint describe greeter").await, &["callable: yes", "greeter-"]);
        let watched = two.shows(" yes ").await;
        says(&watched, &["NAME", "CALLABLE", "greeter", "greeter", "yes"]);
        two.presses("C-c");
        two.ended().await;

        two.types("flint logs greeter -t");
        let invoked = one.runs(r#"flint invoke greeter -l -d '{"name": "Ada"}'"#).await;
        says(&invoked, &["START RequestId", "END RequestId", "REPORT RequestId", "200"]);
        let request = after(&invoked, "REPORT RequestId: ").to_owned();
        two.shows(&request[..8]).await;
        two.presses("C-c");
        says(&two.ended().await, &["cold=", "req="]);

        two.types(&format!("flint top -n {}", namespace.name));
        says(&two.shows("greeter").await, &["NAME", "greeter"]);
        two.presses("q");
        two.ended().await;

        one.types("flint remove greeter");
        one.shows("[y/N]").await;
        one.presses("Enter");
        says(&one.ended().await, &["nothing is removed"]);
        says(&one.runs("flint ls").await, &["greeter", "yes"]);
        one.types("flint remove greeter");
        one.shows("[y/N]").await;
        one.presses("y");
        one.presses("Enter");
        says(&one.ended().await, &["greeter is removed"]);
        says(&one.runs("flint ls").await, &["no functions in"]);
        is_left_alone(&one).await;
        is_left_alone(&two).await;
    })
    .await;
}
