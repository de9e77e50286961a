//! Wrong Functions: each refused by the API server or conditioned by the operator, with a message a person can act on.

use std::{fs, path::Path};

use flint_e2e::{eventually, functions::PATIENCE, namespace::with_namespace};
use serde_json::{Value, json};

struct Wrong {
    file: String,
    by_api_server: bool,
    expect: String,
    object: Value,
}

/// The fixtures of `e2e/fixtures/wrong`: each names in comments who refuses it and with which words.
fn wrong_functions() -> Vec<Wrong> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wrong");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the fixtures").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a fixture");
            let comment = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(&format!("# {key}: ")));
                line.unwrap_or_else(|| panic!("{}: no '# {key}: '", path.display())).trim().to_owned()
            };
            Wrong {
                by_api_server: comment("by") == "apiserver",
                expect: comment("expect"),
                object: serde_saphyr::from_str(&text).expect("YAML"),
                file: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            }
        })
        .collect()
}

#[tokio::test]
async fn every_kind_of_wrong_function_is_refused_in_words_that_help() {
    with_namespace("wrong", |namespace| async move {
        let wrong = wrong_functions();
        assert!(wrong.len() >= 20, "only {} fixtures", wrong.len());
        for case in wrong {
            let mut object = case.object.clone();
            object["metadata"]["namespace"] = json!(namespace.name);
            let applied = namespace.apply(&object).await;
            if case.by_api_server {
                let error = applied.expect_err(&format!("{}: accepted by the API server", case.file));
                let error = format!("{error:#}");
                assert!(error.contains(&case.expect), "{}: expected {:?} in {error}", case.file, case.expect);
                continue;
            }
            applied.unwrap_or_else(|error| panic!("{}: {error:#}", case.file));
            let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
            let api = namespace.api::<flint_api::Function>();
            eventually(&format!("{}: a condition with {:?}", case.file, case.expect), PATIENCE, || async {
                let status =
                    api.get(&name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
                let said = status.conditions.iter().any(|condition| {
                    condition.status == "False"
                        && (condition.message.contains(&case.expect)
                            || condition.reason.contains(&case.expect))
                });
                if said { Ok(()) } else { Err(format!("{:?}", status.conditions)) }
            })
            .await;
        }
    })
    .await;
}
