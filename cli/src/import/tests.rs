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

/// The Functions and the notes that a text comes to.
fn read(platform: Platform, text: &str) -> (Vec<Value>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file.yaml");
    std::fs::write(&file, text).unwrap();
    let (functions, notes) = match import(platform, &file) {
        Ok(imported) => (imported.functions, imported.notes),
        Err(notes) => (Vec::new(), notes),
    };
    (functions, notes.iter().map(|note| note.seen_from(dir.path()).to_string()).collect())
}

#[test]
fn a_list_as_kubectl_prints_it_is_read() {
    let service =
        "{kind: Service, metadata: {name: one}, spec: {template: {spec: {containers: [{image: a/b}]}}}}";
    let two = service.replace("one", "two");
    let (functions, notes) = read(Platform::Knative, &format!("kind: List\nitems:\n- {service}\n- {two}\n"));
    assert_eq!(functions.len(), 2, "{notes:?}");
    assert!(notes.is_empty(), "{notes:?}");
}

#[test]
fn what_no_cluster_would_take_is_printed_to_be_corrected() {
    let stack = "functions:\n  My_Func:\n    image: ${PLACE:-docker.io/team}/f:1\n    annotations: {schedule: '*/5 * *'}\n";
    let (functions, notes) = read(Platform::Openfaas, stack);
    assert_eq!(functions[0]["metadata"]["name"], "my-func");
    assert_eq!(functions[0]["spec"]["image"], "docker.io/team/f:1");
    assert!(notes[0].contains("My_Func is called my-func"), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("correct this: spec.schedules")), "{notes:?}");
    let (_, notes) = read(Platform::Openfaas, "functions:\n  f:\n    image: ${PLACE}/f\n");
    assert!(notes[0].contains("correct this: spec.image"), "{notes:?}");
}

#[test]
fn a_file_that_is_no_description_says_so() {
    for text in ["", "---\n---\n", "- a\n", "just words\n", "functions: 7\n"] {
        for platform in [Platform::Kubeless, Platform::Openfaas, Platform::Fission, Platform::Knative] {
            let (functions, notes) = read(platform, text);
            assert!(
                functions.is_empty() && notes.iter().any(|note| note.contains("error: ")),
                "{text:?}: {notes:?}"
            );
        }
    }
}
