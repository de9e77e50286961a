//! Functions built in a line, applied, called and watched.

use std::time::Duration;

use anyhow::Result;
use flint_api::{Condition, Function};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{Namespace, eventually};

/// How long a start may take on a busy two-core machine before a test calls it failed.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A Function as a test writes it.
#[derive(Clone)]
pub struct FunctionBuilder {
    namespace: Namespace,
    name: String,
    object: Value,
}

/// The answer of a function.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `x-flint-error`, when it is Flint's own.
    pub error: Option<String>,
    /// The body as text.
    pub body: String,
}

impl Namespace {
    /// A Function with short windows, so that a test sees it go to zero.
    #[must_use]
    pub fn function(&self, name: &str) -> FunctionBuilder {
        let object = json!({
            "apiVersion": "flint.dev/v1alpha1", "kind": "Function",
            "metadata": {"name": name, "namespace": self.name},
            "spec": {"scaling": {"window": "6s", "scaleToZeroAfter": "6s"}},
        });
        FunctionBuilder { namespace: self.clone(), name: name.to_owned(), object }
    }

    /// A Function as somebody else wrote it.
    #[must_use]
    pub fn function_of(&self, object: Value) -> FunctionBuilder {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        FunctionBuilder { namespace: self.clone(), name, object }
    }
}

// === impl FunctionBuilder ===

impl FunctionBuilder {
    /// Python code with `handler(event, context)` in it.
    #[must_use]
    pub fn python(self, code: &str) -> Self {
        self.set("runtime", json!("python3.11"))
            .set("handler", json!("app.handler"))
            .set("source", json!({"inline": {"app.py": code}}))
    }

    /// Node code that exports `handler`.
    #[must_use]
    pub fn node(self, code: &str) -> Self {
        self.set("runtime", json!("nodejs"))
            .set("handler", json!("app.handler"))
            .set("source", json!({"inline": {"app.js": code}}))
    }

    /// Ruby code with `handler(event:, context:)` in it.
    #[must_use]
    pub fn ruby(self, code: &str) -> Self {
        self.set("runtime", json!("ruby"))
            .set("handler", json!("app.handler"))
            .set("source", json!({"inline": {"app.rb": code}}))
    }

    /// PHP code that returns a callable, or has a function `handler` in it.
    #[must_use]
    pub fn php(self, code: &str) -> Self {
        self.set("runtime", json!("php"))
            .set("handler", json!("app.handler"))
            .set("source", json!({"inline": {"app.php": code}}))
    }

    /// An executable `bootstrap` that speaks the Runtime API.
    #[must_use]
    pub fn bootstrap(self, script: &str) -> Self {
        self.set("runtime", json!("provided"))
            .set("handler", json!("bootstrap"))
            .set("source", json!({"inline": {"bootstrap": script}}))
    }

    /// A program that reads the request on stdin.
    #[must_use]
    pub fn process(self, script: &str) -> Self {
        self.set("runtime", json!("process"))
            .set("handler", json!("./run"))
            .set("source", json!({"inline": {"run": script}}))
    }

    /// One of the project's images that serves HTTP.
    #[must_use]
    pub fn image(self, name: &str) -> Self {
        let image = self.namespace.cluster.image(name);
        // The images of the tests run as any user.
        self.set("image", json!(image))
            .set("template", json!({"spec": {"securityContext": {"runAsUser": 65532}}}))
    }

    /// Sets a field of the spec.
    #[must_use]
    pub fn set(mut self, field: &str, value: Value) -> Self {
        self.object["spec"][field] = value;
        self
    }

    /// Sets a field of `spec.scaling`.
    #[must_use]
    pub fn scaling(mut self, field: &str, value: Value) -> Self {
        self.object["spec"]["scaling"][field] = value;
        self
    }

    /// The object as it will be applied.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// Applies it, and goes on with the next line.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn apply(self) -> Self {
        self.namespace.apply(&self.object).await.expect("the Function is accepted");
        self
    }

    /// Its URL at the gateway, with a path behind it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}/function/{}.{}{path}", self.namespace.cluster.url, self.name, self.namespace.name)
    }

    /// A GET of a path.
    ///
    /// # Panics
    /// When the gateway does not answer.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, "").await.expect("an answer from the gateway")
    }

    /// A POST of a body.
    ///
    /// # Panics
    /// When the gateway does not answer.
    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.request(Method::POST, path, body).await.expect("an answer from the gateway")
    }

    /// Any request; an error when the gateway did not answer.
    ///
    /// # Errors
    /// Of the connection.
    pub async fn request(&self, method: Method, path: &str, body: &str) -> Result<Answer> {
        let request = self.namespace.cluster.http.request(method, self.url(path)).body(body.to_owned());
        Answer::read(request.timeout(PATIENCE).send().await?).await
    }

    /// Waits until a GET answers 200 and gives its body.
    pub async fn ok(&self, path: &str) -> String {
        eventually(&format!("200 from {}", self.name), PATIENCE, || async {
            let answer = self.request(Method::GET, path, "").await.map_err(|error| format!("{error:#}"))?;
            if answer.status == 200 { Ok(answer.body) } else { Err(format!("{answer:?}")) }
        })
        .await
    }

    /// The object as it stands.
    ///
    /// # Panics
    /// When it is gone.
    pub async fn current(&self) -> Function {
        self.namespace.api::<Function>().get(&self.name).await.expect("the Function")
    }

    /// Waits until a condition has a status, and gives the condition.
    pub async fn condition(&self, type_: &str, status: &str) -> Condition {
        eventually(&format!("{} {type_}={status}", self.name), PATIENCE, || async {
            let function = self.current().await;
            let generation = function.metadata.generation;
            let conditions = function.status.unwrap_or_default();
            let observed = conditions.observed_generation == generation;
            let found = conditions.conditions.iter().find(|condition| condition.type_ == type_).cloned();
            match found {
                Some(condition) if observed && condition.status == status => Ok(condition),
                seen => Err(format!("{seen:?}, generation observed: {observed}")),
            }
        })
        .await
    }

    /// Waits until it is ready.
    pub async fn ready(&self) -> Condition {
        self.condition("Ready", "True").await
    }

    /// Waits until no pod is left.
    pub async fn zero(&self) {
        self.pods_become(0).await;
    }

    /// Waits until it has exactly so many pods, none of them on its way out.
    pub async fn pods_become(&self, wanted: usize) {
        eventually(&format!("{} with {wanted} pods", self.name), PATIENCE, || async {
            let pods = self.namespace.pods(&self.name).await.len();
            if pods == wanted { Ok(()) } else { Err(pods) }
        })
        .await;
    }

    /// Events about it and its objects: (reason, message).
    pub async fn events(&self) -> Vec<(String, String)> {
        let events =
            self.namespace.api::<k8s_openapi::api::core::v1::Event>().list(&Default::default()).await;
        let events = events.map(|list| list.items).unwrap_or_default();
        let about = |event: &k8s_openapi::api::core::v1::Event| {
            event.involved_object.name.as_deref() == Some(self.name.as_str())
        };
        events
            .into_iter()
            .filter(about)
            .map(|event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default()))
            .collect()
    }

    /// The namespace it is in.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

// === impl Answer ===

impl Answer {
    /// Reads a response to its end.
    ///
    /// # Errors
    /// When the connection breaks before.
    pub async fn read(response: Response) -> Result<Self> {
        let status = response.status().as_u16();
        let error =
            response.headers().get("x-flint-error").and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Self { status, error, body: response.text().await? })
    }
}
