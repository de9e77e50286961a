//! A sample of each platform, and what becomes of it.

use super::*;

/// The Functions and the notes that a sample comes to.
fn imported(platform: Platform, name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/import/samples");
    let (functions, notes) = match import(platform, &folder.join(name)) {
        Ok(imported) => (imported.functions, imported.notes),
        Err(notes) => (Vec::new(), notes),
    };
    let mut text = String::new();
    for note in notes {
        text.push_str(&format!("{}\n", note.seen_from(&folder)));
    }
    for function in functions {
        text.push_str(&format!("---\n{}", serde_saphyr::to_string(&function).unwrap()));
    }
    text
}

#[test]
fn kubeless() {
    insta::assert_snapshot!(imported(Platform::Kubeless, "kubeless.yaml"));
}

#[test]
fn openfaas() {
    insta::assert_snapshot!(imported(Platform::Openfaas, "openfaas.yaml"));
}

#[test]
fn fission() {
    insta::assert_snapshot!(imported(Platform::Fission, "fission.yaml"));
}

#[test]
fn knative() {
    insta::assert_snapshot!(imported(Platform::Knative, "knative.yaml"));
}

#[test]
fn what_comes_of_a_sample_is_what_the_cluster_takes() {
    for (platform, name) in [
        (Platform::Kubeless, "kubeless.yaml"),
        (Platform::Openfaas, "openfaas.yaml"),
        (Platform::Fission, "fission.yaml"),
        (Platform::Knative, "knative.yaml"),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/import/samples");
        let imported = import(platform, &folder.join(name)).unwrap();
        // Code that is not in the sample is asked for by a warning.
        let whole =
            |function: &&Value| !function["spec"]["source"].is_null() || !function["spec"]["image"].is_null();
        let functions: Vec<_> = imported.functions.iter().filter(whole).collect();
        let asked = imported.notes.iter().filter(|note| note.message.contains("write source")).count();
        assert_eq!(functions.len() + asked, imported.functions.len());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("functions.yaml");
        let text: String = functions
            .iter()
            .map(|function| format!("---\n{}", serde_saphyr::to_string(function).unwrap()))
            .collect();
        std::fs::write(&file, text).unwrap();
        let project = crate::project::load(&file, &crate::project::Options::default());
        let project = project.unwrap_or_else(|notes| panic!("{name}: {notes:#?}"));
        assert_eq!(project.functions.len(), functions.len());
    }
}

#[test]
fn a_file_of_another_platform_has_no_functions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/import/samples");
    assert!(import(Platform::Knative, &folder.join("fission.yaml")).is_err());
    assert!(import(Platform::Kubeless, &folder.join("none.yaml")).is_err());
}
