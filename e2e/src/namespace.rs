//! A namespace of a test's own, under Pod Security `restricted`, described when the test fails and deleted in the end.

use std::{collections::BTreeMap, future::Future, panic::AssertUnwindSafe};

use anyhow::{Context, Result};
use futures::FutureExt;
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Namespace as KubeNamespace, Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::Value;

use crate::{
    Cluster,
    describe::{describe, said},
    functions::PATIENCE,
};

/// A namespace of a test's own.
#[derive(Clone)]
pub struct Namespace {
    /// The cluster it is in.
    pub cluster: Cluster,
    /// Its name.
    pub name: String,
}

/// Runs a test in a namespace of its own. On a panic the namespace's pods, events and functions are printed.
///
/// # Panics
/// When the test does, or the namespace cannot be made.
pub async fn with_namespace<F, Fut>(test: &str, body: F)
where
    F: FnOnce(Namespace) -> Fut,
    Fut: Future<Output = ()>,
{
    let name = format!("e2e-{}-{:06x}", test.replace('_', "-"), rand::random_range(0..0x0100_0000));
    with_namespace_named(&name, body).await;
}

/// The same in a namespace of exactly this name, for what is about the name. One of an earlier run is removed first.
///
/// # Panics
/// When the test does, or the namespace cannot be made.
pub async fn with_namespace_named<F, Fut>(name: &str, body: F)
where
    F: FnOnce(Namespace) -> Fut,
    Fut: Future<Output = ()>,
{
    let cluster = Cluster::connect().await.expect("a cluster");
    let namespace = Namespace::create(cluster, name).await.expect("a namespace");
    let outcome = AssertUnwindSafe(body(namespace.clone())).catch_unwind().await;
    if let Err(panic) = &outcome {
        describe(&namespace).await;
        // Once more, for what is kept of a long output is its end.
        eprintln!("failed: {}", said(panic.as_ref()));
    }
    if std::env::var("FLINT_E2E_KEEP").is_err() {
        namespace.delete().await;
    }
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

// === impl Namespace ===

impl Namespace {
    async fn create(cluster: Cluster, name: &str) -> Result<Self> {
        let name = name.to_owned();
        let labels = BTreeMap::from([
            ("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned()),
            ("flint.dev/e2e".to_owned(), "true".to_owned()),
        ]);
        let object = KubeNamespace {
            metadata: ObjectMeta { name: Some(name.clone()), labels: Some(labels), ..Default::default() },
            ..Default::default()
        };
        let namespace = Self { cluster, name };
        let namespaces = Api::<KubeNamespace>::all(namespace.cluster.client.clone());
        if namespaces.get_opt(&namespace.name).await?.is_some() {
            namespace.delete().await;
            crate::eventually("the end of the namespace's last", PATIENCE, || async {
                let last = namespaces.get_opt(&namespace.name).await.map_err(|error| error.to_string())?;
                last.map_or(Ok(()), |last| Err(format!("{:?}", last.status)))
            })
            .await;
        }
        namespaces.create(&PostParams::default(), &object).await?;
        // Pods are refused until the controller has made the default ServiceAccount.
        let accounts = namespace.api::<k8s_openapi::api::core::v1::ServiceAccount>();
        crate::eventually("a default ServiceAccount", std::time::Duration::from_secs(30), || {
            accounts.get("default")
        })
        .await;
        Ok(namespace)
    }

    /// The API of one kind in this namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.cluster.client.clone(), &self.name)
    }

    /// Applies an object written as JSON, as `kubectl apply --server-side` would.
    ///
    /// # Errors
    /// The API server's refusal, in its own words.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        let api = flint_dynamic(&self.cluster, &self.name, object)?;
        let name = object["metadata"]["name"].as_str().context("an object without a name")?;
        let parameters = PatchParams {
            field_validation: Some(kube::api::ValidationDirective::Strict),
            ..PatchParams::apply("e2e").force()
        };
        api.patch(name, &parameters, &Patch::Apply(object)).await?;
        Ok(())
    }

    /// Pods of a function that are not on their way out.
    ///
    /// # Panics
    /// When the API server does not answer.
    pub async fn pods(&self, function: &str) -> Vec<Pod> {
        let parameters = ListParams::default().labels(&format!("flint.dev/function={function}"));
        let pods = self.api::<Pod>().list(&parameters).await.expect("a list of pods").items;
        pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
    }

    async fn delete(&self) {
        let namespaces = Api::<KubeNamespace>::all(self.cluster.client.clone());
        if let Err(error) = namespaces.delete(&self.name, &DeleteParams::background()).await {
            eprintln!("cannot delete the namespace {}: {error}", self.name);
        }
    }
}

/// The API for an object's own kind.
///
/// # Errors
/// When it does not say its kind.
pub fn flint_dynamic(
    cluster: &Cluster,
    namespace: &str,
    object: &Value,
) -> Result<Api<kube::core::DynamicObject>> {
    let version = object["apiVersion"].as_str().context("an object without apiVersion")?;
    let kind = object["kind"].as_str().context("an object without kind")?;
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = kube::core::GroupVersionKind::gvk(group, version, kind);
    let resource = kube::core::ApiResource::from_gvk(&kind);
    Ok(if kind.kind == "Runtime" || kind.kind == "Namespace" {
        Api::all_with(cluster.client.clone(), &resource)
    } else {
        Api::namespaced_with(cluster.client.clone(), namespace, &resource)
    })
}
