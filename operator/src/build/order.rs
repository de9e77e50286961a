//! What is to be built, and the name that it has: whatever could make another package of it is in the name. Pure.

use flint_api::{BuildSettings, Function, Runtime};
use kube::ResourceExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    fetch::REFRESH,
    function::problem::{self, Problem},
    key::Key,
};

/// One build.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Order {
    /// Its Job's name: `flint-build-` and a hash.
    pub(crate) name: String,
    /// Where it runs. What one namespace builds is for nobody else.
    pub(crate) namespace: String,
    /// The source's package.
    pub(crate) source: String,
    /// The file that names the dependencies.
    pub(crate) manifest: String,
    /// The Runtime's name.
    pub(crate) runtime: String,
    /// The image that builds.
    pub(crate) image: String,
    /// The command that does.
    pub(crate) command: Vec<String>,
    /// What the Function says.
    pub(crate) settings: BuildSettings,
}

/// Where a build image has its command, if nothing else is said.
const COMMAND: &str = "/flint/build";
/// Hex digits of the hash: 2^64 are plenty for the builds of one namespace.
const HASH_LENGTH: usize = 16;

/// Files of tools for Python that builds do not run, and what makes of them a file that builds read.
const UNREAD: [(&str, &str); 3] = [
    ("poetry.lock", "poetry export --output requirements.txt"),
    ("Pipfile.lock", "pipenv requirements > requirements.txt"),
    ("Pipfile", "pipenv lock && pipenv requirements > requirements.txt"),
];

/// What has to be built of a source; none when it brings everything along, or names nothing that the runtime's builds look at.
pub(crate) fn order(
    key: &Key,
    function: &Function,
    runtime: &Runtime,
    source: &str,
    needs: &[String],
) -> Result<Option<Order>, Problem> {
    let Some(first) = needs.first() else { return Ok(None) };
    let runtime_name = runtime.name_any();
    let Some(build) = &runtime.spec.build else {
        let text = format!(
            "{first} names dependencies that are not in the source, and the Runtime {runtime_name} says nothing of builds: bring them along \
             (pip install --target, node_modules, a compiled bootstrap), give the Runtime a spec.build, or serve the function as spec.image."
        );
        return Err(Problem::build(problem::DEPENDENCIES_NOT_SUPPORTED, text));
    };
    let known = |manifest: &&String| build.manifests.is_empty() || build.manifests.contains(manifest);
    let Some(manifest) = needs.iter().find(known).cloned() else {
        return unread(needs, &build.manifests).map_or(Ok(None), Err);
    };
    let image = build.images.as_ref().and_then(|images| images.get(&manifest)).unwrap_or(&build.image);
    let command = if build.command.is_empty() { vec![COMMAND.to_owned()] } else { build.command.clone() };
    // What becomes of the package afterwards makes no other package.
    let settings = BuildSettings { output: None, ..function.spec.build.clone().unwrap_or_default() };
    let refresh = function.metadata.annotations.as_ref().and_then(|all| all.get(REFRESH));
    let all = json!({
        "source": source, "manifest": manifest, "image": image, "command": command, "settings": settings,
        "refresh": refresh, "runtime": runtime_name,
    });
    let hash = hex::encode(Sha256::digest(all.to_string()));
    Ok(Some(Order {
        name: format!("flint-build-{}", &hash[..HASH_LENGTH]),
        namespace: key.namespace.clone(),
        source: source.to_owned(),
        manifest,
        runtime: runtime_name,
        image: image.clone(),
        command,
        settings,
    }))
}

/// Why a source cannot be taken as it is, though nothing of it is built: its dependencies are named in a file of a tool that is not run,
/// in the language of one that is.
fn unread(needs: &[String], known: &[String]) -> Option<Problem> {
    if !known.iter().any(|manifest| manifest == "requirements.txt") {
        return None;
    }
    let (file, command) = UNREAD.iter().find(|(file, _)| needs.iter().any(|need| need == file))?;
    let text = format!(
        "{file} names dependencies that are not in the source, and is not read: run `{command}` and bring the requirements.txt beside it, \
         or bring the dependencies along (pip install --target)."
    );
    Some(Problem::build(problem::DEPENDENCIES_NOT_SUPPORTED, text))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn runtime(build: &serde_json::Value) -> Runtime {
        serde_json::from_value(
            json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": "python3.11"},
            "spec": {"mode": "lambda", "image": "python:1", "command": ["python3"], "build": build}}),
        )
        .unwrap()
    }

    fn function(build: &serde_json::Value, refresh: &str) -> Function {
        serde_json::from_value(json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Function",
            "metadata": {"name": "cart", "namespace": "shop", "annotations": {"flint.dev/refresh": refresh}},
            "spec": {"runtime": "python3.11", "handler": "app.handler", "build": build}}))
        .unwrap()
    }

    /// An order of `shop/cart`.
    pub(crate) fn given(
        image: &str,
        build: &serde_json::Value,
        refresh: &str,
        needs: &[&str],
    ) -> Result<Option<Order>, Problem> {
        let needs: Vec<_> = needs.iter().map(|need| (*need).to_owned()).collect();
        let runtime = runtime(&json!({"image": image, "manifests": ["uv.lock", "requirements.txt"]}));
        order(&Key::new("shop", "cart"), &function(build, refresh), &runtime, "sha256:aa", &needs)
    }

    #[test]
    fn the_same_input_is_the_same_build_and_any_other_is_another() {
        let name = |image, build, refresh| {
            given(image, build, refresh, &["requirements.txt"]).unwrap().unwrap().name
        };
        let (nothing, flag) = (json!({}), json!({"env": [{"name": "PIP_PRE", "value": "1"}]}));
        let first = name("build:1", &nothing, "");
        assert_eq!(first, name("build:1", &nothing, ""));
        for other in
            [name("build:2", &nothing, ""), name("build:1", &flag, ""), name("build:1", &nothing, "now")]
        {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn the_most_exact_manifest_that_the_runtime_knows_is_built() {
        let nothing = json!({});
        let manifest =
            |needs: &[&str]| given("build:1", &nothing, "", needs).unwrap().map(|order| order.manifest);
        assert_eq!(manifest(&["uv.lock", "requirements.txt"]).as_deref(), Some("uv.lock"));
        assert_eq!(manifest(&["package.json"]), None, "a tool's, not the function's");
        assert_eq!(manifest(&["poetry.lock", "requirements.txt"]).as_deref(), Some("requirements.txt"));
        assert_eq!(manifest(&[]), None);
    }

    #[test]
    fn a_manifest_with_an_image_of_its_own_is_built_by_that_and_the_others_are_not() {
        let runtime = runtime(&json!({"image": "go:1", "images": {"Cargo.toml": "rust:1"}}));
        let image = |manifest: &str| {
            let (key, function) = (Key::new("shop", "cart"), function(&json!({}), ""));
            order(&key, &function, &runtime, "sha256:aa", &[manifest.to_owned()]).unwrap().unwrap().image
        };
        assert_eq!((image("Cargo.toml").as_str(), image("go.mod").as_str()), ("rust:1", "go:1"));
    }

    #[test]
    fn a_lock_of_a_tool_that_is_not_run_is_refused_with_what_makes_another_of_it() {
        for (needs, command) in [
            (&["poetry.lock"][..], "poetry export"),
            (&["Pipfile.lock", "Pipfile"], "`pipenv requirements"),
            (&["Pipfile"], "pipenv lock"),
        ] {
            let problem = given("build:1", &json!({}), "", needs).unwrap_err();
            assert_eq!(problem.reason, problem::DEPENDENCIES_NOT_SUPPORTED);
            assert!(problem.message.contains(command) && problem.message.contains(needs[0]), "{problem:?}");
        }
    }

    #[test]
    fn an_image_is_made_of_the_same_package() {
        let name = |build: &serde_json::Value| {
            given("build:1", build, "", &["requirements.txt"]).unwrap().unwrap().name
        };
        assert_eq!(name(&json!({"output": "image"})), name(&json!({})));
    }

    #[test]
    fn a_runtime_without_builds_wants_dependencies_brought_along() {
        let runtime = runtime(&serde_json::Value::Null);
        let needs = ["requirements.txt".to_owned()];
        let problem =
            order(&Key::new("shop", "cart"), &function(&json!({}), ""), &runtime, "sha256:aa", &needs)
                .unwrap_err();
        assert_eq!(problem.reason, problem::DEPENDENCIES_NOT_SUPPORTED);
        assert!(problem.message.contains("requirements.txt"), "{}", problem.message);
    }
}
