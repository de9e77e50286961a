//! The wrong Functions of `e2e/fixtures/wrong`, which the end-to-end tests apply to a real cluster, without one.

#![allow(clippy::unwrap_used)]

mod support;

use std::{fs, path::Path};

use support::{refusals, yaml};

struct Wrong {
    file: String,
    expect: String,
    by: String,
    text: String,
}

fn all() -> Vec<Wrong> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/fixtures/wrong");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let comment = |line: usize, key: &str| {
                let comment =
                    text.lines().nth(line).and_then(|line| line.strip_prefix(&format!("# {key}: ")));
                comment
                    .unwrap_or_else(|| panic!("{}: line {} says `# {key}: …`", path.display(), line + 1))
                    .to_owned()
            };
            Wrong {
                file: path.file_name().unwrap().to_string_lossy().into_owned(),
                expect: comment(0, "expect"),
                by: comment(1, "by"),
                text: text.clone(),
            }
        })
        .collect()
}

#[test]
fn what_one_object_says_wrong_is_refused_with_a_message_that_helps() {
    let wrong: Vec<_> = all().into_iter().filter(|wrong| wrong.by == "apiserver").collect();
    assert!(wrong.len() >= 20, "only {} of them", wrong.len());
    for Wrong { file, expect, text, .. } in wrong {
        let refusals = refusals(&yaml(&text));
        assert!(
            refusals.iter().any(|refusal| refusal.contains(&expect)),
            "{file}: {expect:?} is not in {refusals:#?}"
        );
        assert_eq!(refusals.len(), 1, "{file} has one mistake: {refusals:#?}");
    }
}

#[test]
fn what_one_object_cannot_show_is_left_to_the_operator() {
    for Wrong { file, by, text, .. } in all().into_iter().filter(|wrong| wrong.by != "apiserver") {
        assert_eq!(by, "condition", "{file}");
        assert_eq!(refusals(&yaml(&text)), Vec::<String>::new(), "{file}");
    }
}
