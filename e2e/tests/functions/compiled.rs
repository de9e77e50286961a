//! Languages that are compiled, from their sources: by the Runtimes' own builds, of which none needs the network here.

use flint_e2e::{FunctionBuilder, Namespace, asked::Asked, namespace::with_namespace};
use serde_json::{Value, json};

use crate::builds::built;

const POM: &str = include_str!("../../fixtures/builds/java/pom.xml");
const JAVA: &str = include_str!("../../fixtures/builds/java/Handler.java");
const GO: &str = include_str!("../../fixtures/builds/go/main.go");

#[tokio::test]
async fn java_is_compiled_by_maven_and_what_does_not_compile_is_quoted() {
    with_namespace("compiled-java", |namespace| async move {
        let source =
            |code: &str| json!({"inline": {"pom.xml": POM, "src/main/java/com/example/Handler.java": code}});
        let function = namespace
            .function("hello")
            .set("runtime", json!("java17"))
            .set("handler", json!("com.example.Handler::handleRequest"))
            .set("source", source(JAVA));
        let function = says(function, "hello from /").await;

        let broken = function.set("source", source(&JAVA.replace("return Map", "return Mop"))).apply().await;
        let failed = built(&broken, "False").await;
        assert!(failed.1.contains("cannot find symbol") && failed.1.contains("Handler.java"), "{failed:?}");
        assert_eq!(broken.ok("/").await, "hello from /", "what ran goes on");
    })
    .await;
}

#[tokio::test]
async fn go_is_compiled_and_what_does_not_compile_is_quoted() {
    with_namespace("compiled-go", |namespace| async move {
        let source = |code: &str| json!({"inline": {"go.mod": include_str!("../../fixtures/builds/go/go.mod"), "main.go": code}});
        let function = says(provided(&namespace, source(GO)), "hello from Go").await;

        let broken = function.set("source", source(&GO.replace("strings.Cut", "strings.Chop"))).apply().await;
        let failed = built(&broken, "False").await;
        assert!(failed.1.contains("undefined: strings.Chop") && failed.1.contains("main.go"), "{failed:?}");
        assert_eq!(broken.ok("/").await, "hello from Go", "what ran goes on");
    })
    .await;
}

#[tokio::test]
#[ignore = "its build image is one of `make images-all`; `make e2e-all` runs it"]
async fn rust_is_compiled_and_what_does_not_compile_is_quoted() {
    with_namespace("compiled-rust", |namespace| async move {
        let (manifest, code) = (
            include_str!("../../fixtures/builds/rust/Cargo.toml"),
            include_str!("../../fixtures/builds/rust/src/main.rs"),
        );
        let source = |code: &str| json!({"inline": {"Cargo.toml": manifest, "src/main.rs": code}});
        let function = says(provided(&namespace, source(code)), "hello from Rust").await;

        let broken = function.set("source", source(&code.replace("Ok(id)", "Ok(idea)"))).apply().await;
        let failed = built(&broken, "False").await;
        assert!(failed.1.contains("error[E0425]"), "{failed:?}");
    })
    .await;
}

#[tokio::test]
async fn go_asks_the_mirror_that_is_configured_and_nobody_else() {
    with_namespace("compiled-go-mirror", |namespace| async move {
        let mirror = Asked::start(&namespace.cluster).await;
        let module = "module example.com/hello\n\ngo 1.22\n\nrequire example.com/nowhere v1.2.3\n";
        let code = "package main\n\nimport _ \"example.com/nowhere\"\n\nfunc main() {}\n";
        // Without its sum it would not be asked for.
        let hash = format!("h1:{}=", "A".repeat(43));
        let sum = format!("example.com/nowhere v1.2.3 {hash}\nexample.com/nowhere v1.2.3/go.mod {hash}\n");
        let function =
            provided(&namespace, json!({"inline": {"go.mod": module, "go.sum": sum, "main.go": code}}))
                .set("build", json!({"env": [{"name": "GOPROXY", "value": mirror.url}]}))
                .apply()
                .await;
        let failed = built(&function, "False").await;
        assert!(failed.1.contains("example.com/nowhere"), "{failed:?}");
        let asked = mirror.paths();
        assert!(asked.iter().any(|path| path.starts_with("/example.com/nowhere/@v/")), "{asked:?}");
    })
    .await;
}

#[tokio::test]
async fn maven_asks_the_mirror_that_is_configured_and_nobody_else() {
    with_namespace("compiled-java-mirror", |namespace| async move {
        let mirror = Asked::start(&namespace.cluster).await;
        let pom =
            POM.replace("<artifactId>aws-lambda-java-core</artifactId>", "<artifactId>nowhere</artifactId>");
        let function = namespace
            .function("hello")
            .set("runtime", json!("java17"))
            .set("handler", json!("com.example.Handler::handleRequest"))
            .set(
                "source",
                json!({"inline": {"pom.xml": pom, "src/main/java/com/example/Handler.java": JAVA}}),
            )
            .set("build", json!({"env": [{"name": "MAVEN_MIRROR_URL", "value": mirror.url}]}))
            .apply()
            .await;
        let failed = built(&function, "False").await;
        assert!(failed.1.contains("com.amazonaws:nowhere"), "{failed:?}");
        let asked = mirror.paths();
        assert!(asked.iter().any(|path| path.starts_with("/com/amazonaws/nowhere/1.4.0/")), "{asked:?}");
    })
    .await;
}

/// A function of `provided`.
fn provided(namespace: &Namespace, source: Value) -> FunctionBuilder {
    let function = namespace.function("hello").set("runtime", json!("provided"));
    function.set("handler", json!("bootstrap")).set("source", source)
}

/// Builds it and calls it.
async fn says(function: FunctionBuilder, expected: &str) -> FunctionBuilder {
    let function = function.apply().await;
    built(&function, "True").await;
    assert_eq!(function.ok("/").await, expected);
    function
}
