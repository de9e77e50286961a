//! Projects in every form, and what they come to: each folder of `projects/` is one.

#![allow(clippy::unwrap_used)]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use flint_cli::project::{Options, Project, load};
use rstest::rstest;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/projects").join(name).canonicalize().unwrap()
}

fn options() -> Options {
    Options {
        stage: None,
        opts: [("Town".to_owned(), "Lisbon".to_owned())].into(),
        env: [("TEAM".to_owned(), "images".to_owned())].into(),
    }
}

/// Everything that is to be seen of a project.
fn shown(name: &str) -> String {
    let folder = folder(name);
    let mut text = String::new();
    let notes = match load(&folder, &options()) {
        Ok(project) => {
            describe(&project, &mut text);
            project.notes
        }
        Err(notes) => notes,
    };
    let said: Vec<_> = notes.iter().map(|note| note.seen_from(&folder).to_string()).collect();
    format!("{}\n{text}", said.join("\n"))
}

fn describe(project: &Project, text: &mut String) {
    let _ = writeln!(text, "\n{} ({:?})", project.name, project.form);
    for route in &project.routes {
        let _ = writeln!(text, "{} {} → {} {:?}", route.method, route.path, route.function, route.event);
    }
    for function in &project.functions {
        let env_files: Vec<_> = function.env_files.iter().map(|file| file.file_name().unwrap()).collect();
        let _ = writeln!(
            text,
            "{}: {:?} run {:?} env files {env_files:?}",
            function.name(),
            function.language,
            function.run
        );
        match function.manifest() {
            Ok(manifest) => {
                let _ = writeln!(text, "---\n{}", serde_saphyr::to_string(&manifest).unwrap());
            }
            Err(note) => {
                let _ = writeln!(text, "{}", note.seen_from(&project.root));
            }
        }
    }
}

#[rstest]
#[case::a_flint_yaml("short")]
#[case::a_serverless_yml("serverless")]
#[case::a_sam_template("sam")]
#[case::objects_as_the_cluster_takes_them("objects")]
#[case::a_folder_with_nothing_but_code("folder")]
#[case::a_flint_yaml_with_mistakes("wrong-short")]
#[case::a_serverless_yml_with_mistakes("wrong-serverless")]
#[case::events_that_are_not_indented("misindented")]
#[case::a_sam_template_with_mistakes("wrong-sam")]
#[case::objects_with_mistakes("wrong-objects")]
fn a_project_comes_to(#[case] name: &str) {
    insta::assert_snapshot!(name, shown(name));
}

#[test]
fn a_stage_and_its_parameters_are_those_of_the_command_line() {
    let options = Options { stage: Some("prod".to_owned()), ..options() };
    let project = load(&folder("serverless"), &options).unwrap();
    let env = &project.function("list-users").unwrap().function.spec.env;
    let value =
        |name: &str| env.iter().find(|variable| variable.name == name).and_then(|it| it.value.clone());
    assert_eq!(value("TABLE").as_deref(), Some("users-prod"));
    assert_eq!(value("LOG_LEVEL").as_deref(), Some("warn"));
}

#[test]
fn a_file_may_be_named_in_the_place_of_its_folder() {
    let project = load(&folder("serverless").join("serverless.yml"), &options()).unwrap();
    assert_eq!(project.functions.len(), load(&folder("serverless"), &options()).unwrap().functions.len());
}

/// What a file with this text, beside an app.py, is told.
fn told(name: &str, bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("app.py"), "def handler(event, context):\n    pass\n").unwrap();
    fs::write(dir.path().join(name), bytes).unwrap();
    let notes = load(dir.path(), &options()).unwrap_err();
    notes[0].seen_from(&dir.path().canonicalize().unwrap()).to_string()
}

#[test]
fn what_is_no_text_says_where_it_begins() {
    assert_eq!(
        told("flint.yaml", b"name: a\nx: \xff"),
        "flint.yaml:2:4: error: this is not UTF-8: save the file as UTF-8"
    );
}

#[test]
fn a_file_of_ten_megabytes_is_no_description() {
    let large = b"# ".repeat(5_000_000);
    assert!(told("serverless.yml", &large).contains("is larger than 2 MiB"));
}

#[test]
fn a_bomb_is_refused() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..9 {
        let items = vec![format!("*a{}", level - 1); 9].join(",");
        let _ = writeln!(bomb, "a{level}: &a{level} [{items}]");
    }
    assert!(told("flint.yaml", bomb.as_bytes()).contains("more than 200000 values"));
}

#[test]
fn a_link_out_of_the_folder_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("flint.yaml")).unwrap();
    let notes = load(dir.path(), &options()).unwrap_err();
    assert!(notes[0].message.contains("is outside of"), "{notes:?}");
}

#[test]
fn an_empty_folder_says_what_was_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let notes = load(dir.path(), &options()).unwrap_err();
    assert!(notes[0].message.starts_with("there is no function here: looked for app.py"), "{notes:?}");
}
