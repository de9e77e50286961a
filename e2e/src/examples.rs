//! The files of `examples/`, as they are but for what a test's cluster has elsewhere: namespace, images, and package indexes.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{FunctionBuilder, Namespace, eventually, packages::Packages};

/// A build takes the pull of its image, a pod and the tool's own time, on a busy machine.
const BUILDING: Duration = Duration::from_secs(240);
/// Where published images are; a test's are elsewhere.
const PUBLISHED: &str = "ghcr.io/flint-dev/";

impl Namespace {
    /// Applies an example and waits until its package is there; the last Function of the file. Its Runtimes get `e2e-` before their names.
    ///
    /// # Panics
    /// When there is no such example, or it cannot be built.
    pub async fn example(&self, file: &str, packages: Option<&Packages>) -> FunctionBuilder {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(file);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // The one name in the examples that depends on where they are.
        let text = text.replace("http://store.default", &format!("http://store.{}", self.name));
        let documents = documents(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let own: Vec<_> =
            documents.iter().filter(|object| object["kind"] == "Runtime").map(name_of).collect();
        let mut last = None;
        for mut object in documents {
            if object["kind"] == "Runtime" {
                object["metadata"]["name"] = json!(format!("e2e-{}", name_of(&object)));
                for image in ["/spec/image", "/spec/build/image"] {
                    if let Some(image) = object.pointer_mut(image) {
                        *image = json!(self.image_of(image.as_str().unwrap_or_default()));
                    }
                }
                self.apply(&object).await.expect("the Runtime is accepted");
                continue;
            }
            object["metadata"]["namespace"] = json!(self.name);
            if let Some(runtime) =
                object["spec"]["runtime"].as_str().filter(|name| own.iter().any(|own| own == name))
            {
                object["spec"]["runtime"] = json!(format!("e2e-{runtime}"));
            }
            if let Some(packages) = packages {
                object["spec"]["build"] = packages.build();
            }
            last = Some(self.function_of(object).apply().await);
        }
        let function = last.unwrap_or_else(|| panic!("{file} has no Function"));
        eventually(&format!("the package of {file}"), BUILDING, || async {
            let now = function.current().await;
            let conditions = now.status.unwrap_or_default().conditions;
            match conditions.into_iter().find(|condition| condition.type_ == "Built") {
                Some(built) if built.status == "True" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        function
    }

    /// The test's image for a published one.
    fn image_of(&self, published: &str) -> String {
        let name = published.strip_prefix(PUBLISHED).and_then(|rest| rest.split(':').next());
        name.map_or_else(|| published.to_owned(), |name| self.cluster.image(name))
    }
}

fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// All documents of a file.
fn documents(text: &str) -> Result<Vec<Value>, String> {
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).map_err(|error| error.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_of_a_file_is_read() {
        let read = documents("kind: Runtime\n---\nkind: Function\n").unwrap();
        assert_eq!(read, [json!({"kind": "Runtime"}), json!({"kind": "Function"})]);
    }
}
