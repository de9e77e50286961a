use std::fs;

use clap::Parser as _;

use super::*;
use crate::{
    args::Args,
    error::USAGE,
    project::{Options, load},
};

/// What a deploy of a folder would bring, without sending anything.
async fn published(files: &[(&str, &[u8])], registry: Option<&str>) -> Result<Source, Error> {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("hello");
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let project = load(&folder, &Options::default()).unwrap();
    let output = Output::new(&Args::parse_from(["flint", "--quiet", "deploy"]).global);
    let args = PublishArgs {
        registry: registry.map(str::to_owned),
        plain_http: false,
        registry_secret: Some("pull".to_owned()),
    };
    let function = args.publish(&project.functions[0], Sending::Not, &output).await?;
    Ok(function.spec.source.unwrap())
}

const PYTHON: (&str, &[u8]) = ("app.py", b"def handler(event, context):\n    return 1\n");
const PLACE_OF_OURS: Option<&str> = Some("registry.example.com/team/");

#[tokio::test]
async fn what_fits_is_the_functions_own_text_whatever_registry_there_is() {
    for registry in [None, PLACE_OF_OURS] {
        let source = published(&[PYTHON], registry).await.unwrap();
        assert_eq!(source.inline.unwrap().len(), 1);
        assert!(source.oci.is_none());
    }
}

#[tokio::test]
async fn what_does_not_fit_is_named_by_its_digest_which_the_same_files_share() {
    let binary: &[(&str, &[u8])] = &[PYTHON, ("model.bin", b"\0\xff")];
    let reference = |source: Source| {
        let oci = source.oci.unwrap();
        assert_eq!(oci.secret_ref.unwrap().name, "pull");
        oci.reference
    };
    let one = reference(published(binary, PLACE_OF_OURS).await.unwrap());
    assert!(one.starts_with("registry.example.com/team/hello@sha256:"), "{one}");
    assert_eq!(one, reference(published(binary, PLACE_OF_OURS).await.unwrap()));
    let other = published(&[PYTHON, ("model.bin", b"\0\xfe")], PLACE_OF_OURS).await.unwrap();
    assert_ne!(one, reference(other));
}

#[tokio::test]
async fn without_a_registry_what_does_not_fit_is_refused() {
    let error = published(&[PYTHON, ("model.bin", b"\0")], None).await.unwrap_err();
    assert_eq!(error.code(), USAGE);
}

#[tokio::test]
async fn a_program_without_a_place_for_it_is_not_even_compiled() {
    // It would not compile.
    let go: &[(&str, &[u8])] = &[("go.mod", b"module hello\n"), ("main.go", b"package none")];
    let error = published(go, None).await.unwrap_err();
    assert!(error.remedy().is_some_and(|remedy| remedy.contains("--registry")), "{error}");
}

#[tokio::test]
async fn a_place_that_is_none_is_wrong_usage() {
    let error = published(&[PYTHON, ("model.bin", b"\0")], Some("https://registry.example.com")).await;
    assert_eq!(error.unwrap_err().code(), USAGE);
}

#[test]
fn who_is_not_let_in_learns_to_sign_in() {
    let place: Reference = "registry.example.com/team/hello:1".parse().unwrap();
    let refusal = |message: &str| {
        let error =
            flint_image::Error::Unusable { reference: "hello".to_owned(), message: message.to_owned() };
        refused(&place, error)
    };
    let denied = refusal("401 Unauthorized");
    assert!(denied.code() == crate::error::DENIED, "{denied}");
    assert!(denied.remedy().is_some_and(|remedy| remedy.starts_with("docker login registry.example.com")));
    assert_eq!(refusal("connection refused").code(), crate::error::PLATFORM);
}
