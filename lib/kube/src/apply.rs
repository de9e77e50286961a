//! Server-side apply under one field manager, creation that never takes over a stranger's object, and deletion.

use kube::{
    Api, Client, Resource,
    api::{
        ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions,
        ValidationDirective,
    },
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Error;

/// An object as JSON, with what is needed to address it. JSON, because server-side apply owns exactly the fields that are
/// there, and because a user's overlay may hold fields that are newer than our types.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    resource: ApiResource,
    value: Value,
}

/// What became of a creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object is new.
    New,
    /// An object of that name was there already, and was left as it is.
    Exists,
}

/// Writes objects under one field manager.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    manager: &'static str,
}

// === impl Manifest ===

impl Manifest {
    /// The object `value` of kind `K`; apiVersion and kind are filled in.
    #[must_use]
    pub fn new<K: Resource<DynamicType = ()>>(mut value: Value) -> Self {
        let resource = ApiResource::erase::<K>(&());
        if let Some(fields) = value.as_object_mut() {
            fields.insert("apiVersion".into(), json!(resource.api_version));
            fields.insert("kind".into(), json!(resource.kind));
        }
        Self { resource, value }
    }

    /// The typed object as JSON.
    ///
    /// # Errors
    /// When the object cannot be written as JSON.
    pub fn of<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Result<Self, Error> {
        let value = serde_json::to_value(object).map_err(|source| Error::Shape {
            object: format!("{}/{}", K::kind(&()), object.meta().name.as_deref().unwrap_or_default()),
            source,
        })?;
        Ok(Self::new::<K>(value))
    }

    /// The object's fields.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// The object's kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.resource.kind
    }

    /// The object's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata("name").unwrap_or_default()
    }

    /// The object's namespace, where it has one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.metadata("namespace")
    }

    fn metadata(&self, field: &str) -> Option<&str> {
        self.value.get("metadata")?.get(field)?.as_str()
    }

    fn api(&self, client: &Client) -> Api<DynamicObject> {
        match self.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.resource),
            None => Api::all_with(client.clone(), &self.resource),
        }
    }

    fn label(&self) -> String {
        label(self.kind(), self.namespace(), self.name())
    }
}

// === impl Applier ===

impl Applier {
    /// Writes under the field manager `manager`.
    #[must_use]
    pub const fn new(client: Client, manager: &'static str) -> Self {
        Self { client, manager }
    }

    /// The client underneath.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Makes the object be as it is here, whoever had changed it. A field that no type knows is refused, not dropped.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn apply(&self, manifest: &Manifest) -> Result<DynamicObject, Error> {
        let params = PatchParams {
            force: true,
            field_manager: Some(self.manager.to_owned()),
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        let api = manifest.api(&self.client);
        api.patch(manifest.name(), &params, &Patch::Apply(manifest.value()))
            .await
            .map_err(|source| Error::Apply { object: manifest.label(), source: Box::new(source) })
    }

    /// Creates the object unless one of its name is there, which is left alone.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn create(&self, manifest: &Manifest) -> Result<Created, Error> {
        let object: DynamicObject = serde_json::from_value(manifest.value().clone())
            .map_err(|source| Error::Shape { object: manifest.label(), source })?;
        let params = PostParams { field_manager: Some(self.manager.to_owned()), ..PostParams::default() };
        match manifest.api(&self.client).create(&params, &object).await {
            Ok(_) => Ok(Created::New),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Created::Exists),
            Err(source) => Err(Error::Create { object: manifest.label(), source: Box::new(source) }),
        }
    }

    /// Deletes the object, its dependents in the background. One that is gone, or is another by now (`uid`), is a success.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn delete<K>(&self, namespace: &str, name: &str, uid: Option<&str>) -> Result<(), Error>
    where
        K: Resource<DynamicType = ()>,
    {
        let params = DeleteParams {
            preconditions: uid
                .map(|uid| Preconditions { uid: Some(uid.to_owned()), ..Preconditions::default() }),
            ..DeleteParams::background()
        };
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        match api.delete(name, &params).await {
            Ok(_) => Ok(()),
            // 409 is the precondition: an object of that name, but not the one that was meant.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(source) => Err(Error::Delete {
                object: label(&resource.kind, Some(namespace), name),
                source: Box::new(source),
            }),
        }
    }

    /// Applies `status` to the status subresource: the fields that are there are ours, those left out that were ours go.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn status<K>(&self, namespace: &str, name: &str, status: &Value) -> Result<(), Error>
    where
        K: Resource<DynamicType = ()>,
    {
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let body = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"namespace": namespace, "name": name},
            "status": status,
        });
        match api.patch_status(name, &PatchParams::apply(self.manager).force(), &Patch::Apply(&body)).await {
            Ok(_) => Ok(()),
            // Deleted meanwhile: nobody is left to be told. (Apply to a subresource never creates.)
            Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(()),
            Err(source) => Err(Error::Status {
                object: label(&resource.kind, Some(namespace), name),
                source: Box::new(source),
            }),
        }
    }

    /// Sets `.spec.replicas` through the scale subresource. An object that is gone is a success.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn scale<K>(&self, namespace: &str, name: &str, replicas: u32) -> Result<(), Error>
    where
        K: Resource<DynamicType = ()>,
    {
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let params = PatchParams { field_manager: Some(self.manager.to_owned()), ..PatchParams::default() };
        match api.patch_scale(name, &params, &Patch::Merge(json!({"spec": {"replicas": replicas}}))).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(source) => Err(Error::Scale {
                object: label(&resource.kind, Some(namespace), name),
                source: Box::new(source),
            }),
        }
    }
}

fn label(kind: &str, namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use flint_testing::apiserver::ApiServer;
    use k8s_openapi::api::core::v1::{ConfigMap, Service};

    use super::*;

    fn service(name: &str) -> Manifest {
        Manifest::new::<Service>(
            json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"type": "ExternalName"}}),
        )
    }

    #[tokio::test]
    async fn creating_never_takes_over_what_is_there() {
        let server = ApiServer::new();
        server.put(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"}, "spec": {"type": "ClusterIP"}}));
        let applier = Applier::new(server.client(), "flint-operator");
        assert_eq!(applier.create(&service("cart")).await.unwrap(), Created::Exists);
        assert_eq!(applier.create(&service("till")).await.unwrap(), Created::New);
        let cart = server.get("/api/v1/namespaces/shop/services/cart").unwrap();
        assert_eq!(cart["spec"]["type"], "ClusterIP");
    }

    #[tokio::test]
    async fn applying_names_the_manager_and_is_strict() {
        let server = ApiServer::new();
        Applier::new(server.client(), "flint-operator").apply(&service("cart")).await.unwrap();
        let request = server.requests().pop().unwrap();
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("PATCH", "/api/v1/namespaces/shop/services/cart")
        );
        for part in ["force=true", "fieldManager=flint-operator", "fieldValidation=Strict"] {
            assert!(request.query.contains(part), "{}", request.query);
        }
    }

    #[tokio::test]
    async fn deleting_what_is_gone_is_a_success() {
        let server = ApiServer::new();
        let applier = Applier::new(server.client(), "flint-operator");
        applier.delete::<ConfigMap>("shop", "code", None).await.unwrap();
    }

    #[tokio::test]
    async fn a_refusal_is_told_from_an_outage() {
        let server = ApiServer::new();
        let applier = Applier::new(server.client(), "flint-operator");
        server.fail("PATCH", "/services/cart", 422, "Invalid", "spec.type: no such type");
        assert!(applier.apply(&service("cart")).await.unwrap_err().is_refusal());
        server.fail("PATCH", "/services/cart", 500, "InternalError", "etcd is away");
        assert!(!applier.apply(&service("cart")).await.unwrap_err().is_refusal());
    }
}
