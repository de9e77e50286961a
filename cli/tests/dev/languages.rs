//! A folder in each language, with what is on the machine, and no file that describes it.

use crate::support::{Folder, has};

/// The function's name is its folder's; there is only one.
async fn calls(folder: &Folder) -> String {
    let dev = folder.dev().await;
    let (_, functions) = dev.ask("functions", None).await;
    let name = functions[0]["key"]["name"].as_str().unwrap().to_owned();
    let answer = dev.post(&format!("/function/{name}/path?x=1"), "ping").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text
}

#[tokio::test]
async fn python_runs_with_its_context_and_what_env_says() {
    if !has("python3") {
        return;
    }
    let folder = Folder::with(&[
        (".env", "GREETING='hello from env'\n"),
        (
            "app.py",
            "import os\ndef handler(event, context):\n    assert context.get_remaining_time_in_millis() > 0\n    \
             return os.environ['GREETING'] + ' ' + event['rawPath'] + ' ' + event['body']\n",
        ),
    ]);
    assert_eq!(calls(&folder).await, "\"hello from env /path ping\"");
}

#[tokio::test]
async fn node_runs_modules_of_both_kinds() {
    if !has("node") {
        return;
    }
    for (name, code) in [
        ("index.js", "exports.handler = async (event) => ({ statusCode: 200, body: event.rawPath });"),
        ("index.mjs", "export const handler = async (event) => ({ statusCode: 200, body: event.rawPath });"),
    ] {
        assert_eq!(calls(&Folder::with(&[(name, code)])).await, "/path");
    }
}

#[tokio::test]
async fn go_is_compiled_and_leaves_nothing_in_the_folder() {
    if !has("go") {
        return;
    }
    // The Runtime API by hand: nothing has to be fetched.
    let main = r#"package main

import ("io"; "net/http"; "os"; "strings")

func main() {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		next, err := http.Get(api + "next")
		if err != nil { panic(err) }
		io.Copy(io.Discard, next.Body)
		next.Body.Close()
		id := next.Header.Get("Lambda-Runtime-Aws-Request-Id")
		answer, err := http.Post(api + id + "/response", "application/json", strings.NewReader(`{"statusCode":200,"body":"go"}`))
		if err != nil { panic(err) }
		answer.Body.Close()
	}
}
"#;
    let folder = Folder::with(&[("go.mod", "module example.com/hello\n\ngo 1.20\n"), ("main.go", main)]);
    assert_eq!(calls(&folder).await, "go");
    let mut files: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["go.mod", "main.go"]);
}

#[tokio::test]
async fn shell_runs_as_a_bootstrap_and_as_a_program_per_request() {
    if !has("curl") {
        return;
    }
    let bootstrap = r#"#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while true; do
  head=$(curl -sS -o /dev/null -D - "$api/next")
  id=$(printf '%s' "$head" | tr -d '\r' | sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: *//p')
  curl -sS -o /dev/null -d '{"statusCode":200,"body":"bootstrap"}' "$api/$id/response"
done
"#;
    assert_eq!(calls(&Folder::with(&[("bootstrap", bootstrap)])).await, "bootstrap");
    let program = "#!/bin/sh\ntr a-z A-Z\n";
    assert_eq!(calls(&Folder::with(&[("handler.sh", program)])).await, "PING");
}
