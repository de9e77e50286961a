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

#[tokio::test]
async fn rust_is_compiled_and_what_does_not_compile_is_told_in_the_compilers_words() {
    if !has("cargo") {
        return;
    }
    // The Runtime API by hand: nothing has to be fetched.
    let main = r#"use std::{env, io::{BufRead, BufReader, Read, Write}, net::TcpStream};

fn call(method: &str, path: &str, body: &str) -> String {
    let api = env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
    let mut stream = TcpStream::connect(&api).unwrap();
    write!(stream, "{method} /2018-06-01/runtime/invocation/{path} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\n\
                    content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = BufReader::new(stream);
    let (mut id, mut line) = (String::new(), String::new());
    while answer.read_line(&mut line).unwrap() > 2 {
        if let Some((name, value)) = line.split_once(": ") {
            if name.eq_ignore_ascii_case("lambda-runtime-aws-request-id") { id = value.trim().to_owned(); }
        }
        line.clear();
    }
    answer.read_to_end(&mut Vec::new()).unwrap();
    id
}

fn main() {
    loop {
        let id = call("GET", "next", "");
        call("POST", &format!("{id}/response"), "{\"statusCode\":200,\"body\":\"rust\"}");
    }
}
"#;
    let folder = Folder::with(&[
        (".gitignore", "/target\n"),
        (
            "Cargo.toml",
            "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n",
        ),
        ("src/main.rs", main),
    ]);
    assert_eq!(calls(&folder).await, "rust");
    folder.write("src/main.rs", "fn main() { missing() }");
    let mut dev = folder.dev().await;
    let failed = dev.event("functionFailed", |_| true).await;
    let why = failed["reason"]["errorMessage"].as_str().unwrap();
    assert!(why.contains("cannot find function `missing`") && why.contains("src/main.rs:1:13"), "{why}");
    // It is tried again as soon as it is mended.
    folder.write("src/main.rs", main);
    dev.event("functionUpdated", |_| true).await;
    let (_, functions) = dev.ask("functions", None).await;
    let name = functions[0]["key"]["name"].as_str().unwrap().to_owned();
    assert_eq!(dev.get(&format!("/function/{name}")).await.text, "rust");
}

#[tokio::test]
async fn typescript_runs_or_says_what_it_needs() {
    if !has("node") {
        return;
    }
    let code = "interface Event { rawPath: string }\nexport const handler = async (event: Event): Promise<string> => event.rawPath;\n";
    let folder = Folder::with(&[
        ("index.ts", code),
        ("flint.yaml", "name: typed\n"),
        ("package.json", "{\"type\": \"module\"}\n"),
    ]);
    let dev = folder.dev().await;
    let answer = dev.get("/function/typed/path").await;
    match answer.status {
        200 => assert_eq!(answer.text, "\"/path\""),
        status => {
            assert_eq!(status, 503, "{}", answer.text);
            assert!(answer.text.contains("which this Node.js ("), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_runtime_of_ones_own_and_the_command_of_an_image_serve_http() {
    if !has("python3") {
        return;
    }
    let server = "import os\nfrom http.server import *\nclass Hello(BaseHTTPRequestHandler):\n    def do_GET(self):\n        \
                  self.send_response(200)\n        self.end_headers()\n        self.wfile.write(self.path.encode())\n\
                  HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Hello).serve_forever()\n";
    let folder = Folder::with(&[
        ("flint.yaml", "name: web\nimage: example.com/web:1\nrun: python3 server.py\n"),
        ("server.py", server),
    ]);
    assert_eq!(folder.dev().await.get("/function/web/a?b=c").await.text, "/a?b=c");
    let indented = server.replace('\n', "\n        ");
    let objects = format!(
        "apiVersion: flint.dev/v1alpha1\nkind: Runtime\nmetadata: {{name: ours}}\n\
         spec: {{mode: http, image: ours, command: [python3, \"{{handler}}\"]}}\n---\n\
         apiVersion: flint.dev/v1alpha1\nkind: Function\nmetadata: {{name: web}}\n\
         spec:\n  runtime: ours\n  handler: server.py\n  source:\n    inline:\n      server.py: |\n        {indented}\n"
    );
    let folder = Folder::with(&[("functions.yaml", &objects)]);
    assert_eq!(folder.dev().await.get("/function/web/d").await.text, "/d");
}

#[tokio::test]
async fn ruby_runs_with_the_clusters_client() {
    if !has("ruby") {
        return;
    }
    let code = "def handler(event:, context:)\n  \"#{event['rawPath']} #{event['body']} #{context.function_name}\"\nend\n";
    assert!(calls(&Folder::with(&[("app.rb", code)])).await.starts_with("\"/path ping "));
}

#[tokio::test]
async fn php_runs_with_the_clusters_client() {
    if !has("php") {
        return;
    }
    let code = "<?php\nreturn fn (array $event, $context) => \"{$event['rawPath']} {$event['body']}\";\n";
    assert_eq!(calls(&Folder::with(&[("app.php", code)])).await, "\"/path ping\"");
}

#[tokio::test]
async fn java_is_compiled_by_maven_and_runs_with_awss_client() {
    let fetched = std::env::home_dir().is_some_and(|home| {
        let client = "com/amazonaws/aws-lambda-java-runtime-interface-client";
        home.join(".m2/repository").join(client).is_dir()
    });
    // Where nobody has fetched the client before, it would have to come from the network.
    if !has("java") || !has("mvn") || !fetched {
        return;
    }
    let code = include_str!("../../../e2e/fixtures/builds/java/Handler.java");
    let folder = Folder::with(&[
        ("flint.yaml", "runtime: java17\nhandler: com.example.Handler::handleRequest\n"),
        ("pom.xml", include_str!("../../../e2e/fixtures/builds/java/pom.xml")),
        ("src/main/java/com/example/Handler.java", code),
    ]);
    assert_eq!(calls(&folder).await, "hello from /path");
    folder.write("src/main/java/com/example/Handler.java", &code.replace("return Map", "return Mop"));
    let mut dev = folder.dev().await;
    let failed = dev.event("functionFailed", |_| true).await;
    let why = failed["reason"]["errorMessage"].as_str().unwrap();
    assert!(why.contains("Handler.java") && why.contains("cannot find symbol"), "{why}");
}
