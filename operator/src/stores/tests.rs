//! Stores that a test fills by hand.

use kube::runtime::{reflector::store::Writer, watcher::Event};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

/// The writing ends of a [`Stores`].
pub(crate) struct Fill {
    stores: Stores,
    functions: Writer<Function>,
    runtimes: Writer<Runtime>,
    revisions: Writer<Revision>,
    pods: Writer<Pod>,
    deployments: Writer<Deployment>,
    services: Writer<Service>,
    config_maps: Writer<PartialObjectMeta<ConfigMap>>,
    jobs: Writer<Job>,
    builders: Writer<Pod>,
}

/// Empty stores that are ready, and the means to fill them.
pub(crate) fn stores() -> (Stores, Fill) {
    let (functions, functions_writer) = store();
    let (runtimes, runtimes_writer) = store();
    let (revisions, revisions_writer) = store();
    let (pods, pods_writer) = store();
    let (deployments, deployments_writer) = store();
    let (services, services_writer) = store();
    let (config_maps, config_maps_writer) = store();
    let (jobs, jobs_writer) = store();
    let (builders, builders_writer) = store();
    let stores = Stores {
        functions,
        runtimes,
        revisions: Indexed::new(revisions),
        pods: Indexed::new(pods),
        deployments: Indexed::new(deployments),
        services: Indexed::new(services),
        config_maps: Indexed::new(config_maps),
        jobs,
        builders,
        wanted: Wanted::default(),
        changes: Changes::default(),
        pool_changes: Changes::default(),
    };
    let mut fill = Fill {
        stores: stores.clone(),
        functions: functions_writer,
        runtimes: runtimes_writer,
        revisions: revisions_writer,
        pods: pods_writer,
        deployments: deployments_writer,
        services: services_writer,
        config_maps: config_maps_writer,
        jobs: jobs_writer,
        builders: builders_writer,
    };
    ready(&mut fill.functions);
    ready(&mut fill.runtimes);
    ready(&mut fill.revisions);
    ready(&mut fill.pods);
    ready(&mut fill.deployments);
    ready(&mut fill.services);
    ready(&mut fill.config_maps);
    ready(&mut fill.jobs);
    ready(&mut fill.builders);
    (stores, fill)
}

fn ready<K>(writer: &mut Writer<K>)
where
    K: Lookup<DynamicType = ()> + Clone + 'static,
{
    writer.apply_watcher_event(&Event::Init);
    writer.apply_watcher_event(&Event::InitDone);
}

fn typed<K: DeserializeOwned>(object: &Value) -> K {
    serde_json::from_value(object.clone()).expect("an object of its kind")
}

impl Fill {
    /// Stores an object by its `kind`, as its watch would.
    pub(crate) fn put(&mut self, object: &Value) {
        self.event(object, true);
    }

    /// Removes an object by its `kind` and name, as its watch would.
    pub(crate) fn remove(&mut self, object: &Value) {
        self.event(object, false);
    }

    fn event(&mut self, object: &Value, present: bool) {
        let stores = self.stores.clone();
        match object["kind"].as_str() {
            Some("Function") => {
                let function: Function = typed(object);
                tell(&mut self.functions, &function, present);
                stores.heard_of(&function);
            }
            Some("Runtime") => {
                let runtime: Runtime = typed(object);
                tell(&mut self.runtimes, &runtime, present);
                stores.runtime_changed(&runtime);
            }
            Some("Revision") => {
                let revision: Revision = typed(object);
                tell(&mut self.revisions, &revision, present);
                stores.owned(&stores.revisions, &revision);
            }
            Some("Pod") => {
                let mut pod: Pod = typed(object);
                shed_pod(&mut pod);
                if pod.labels().contains_key(labels::BUILD) {
                    tell(&mut self.builders, &pod, present);
                    stores.of_build(&pod);
                } else {
                    tell(&mut self.pods, &pod, present);
                    stores.owned(&stores.pods, &pod);
                }
            }
            Some("Job") => {
                let job: Job = typed(object);
                tell(&mut self.jobs, &job, present);
                stores.of_build(&job);
            }
            Some("Deployment") => {
                let deployment: Deployment = typed(object);
                tell(&mut self.deployments, &deployment, present);
                stores.owned(&stores.deployments, &deployment);
            }
            Some("Service") => {
                let service: Service = typed(object);
                tell(&mut self.services, &service, present);
                stores.owned(&stores.services, &service);
            }
            Some("ConfigMap") => {
                let map: PartialObjectMeta<ConfigMap> = typed(object);
                tell(&mut self.config_maps, &map, present);
                stores.config_map_changed(&map);
            }
            // Secrets and the like are not watched.
            _ => {}
        }
    }
}

fn tell<K>(writer: &mut Writer<K>, object: &K, present: bool)
where
    K: Lookup<DynamicType = ()> + Clone + 'static,
{
    let event = if present { Event::Apply(object.clone()) } else { Event::Delete(object.clone()) };
    writer.apply_watcher_event(&event);
}

fn pod(name: &str, function: &str) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {
        "name": name, "namespace": "shop", "labels": {labels::FUNCTION: function}}})
}

#[test]
fn objects_are_found_by_their_function_until_they_go() {
    let (stores, mut fill) = stores();
    let cart = Key::new("shop", "cart");
    fill.put(&pod("cart-1", "cart"));
    fill.put(&pod("cart-2", "cart"));
    fill.put(&pod("till-1", "till"));
    let names = |stores: &Stores| stores.pods.of(&cart).iter().map(|pod| pod.name_any()).collect::<Vec<_>>();
    assert_eq!(names(&stores), ["cart-1", "cart-2"]);
    fill.remove(&pod("cart-1", "cart"));
    assert_eq!(names(&stores), ["cart-2"]);
    fill.put(&pod("cart-2", "till"));
    assert!(names(&stores).is_empty());
}

#[tokio::test]
async fn a_runtime_and_a_source_touch_the_functions_that_use_them() {
    let (stores, mut fill) = stores();
    fill.put(&json!({"kind": "Function", "apiVersion": "flint.dev/v1alpha1", "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"runtime": "nodejs", "handler": "app.handler", "source": {"configMap": {"name": "code"}}}}));
    let heard = stores.subscribe();
    fill.put(&json!({"kind": "Runtime", "apiVersion": "flint.dev/v1alpha1", "metadata": {"name": "nodejs"},
        "spec": {"mode": "lambda", "image": "nodejs:1"}}));
    assert_eq!(heard.next().await, Key::new("shop", "cart"));
    fill.put(
        &json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "code", "namespace": "shop"}}),
    );
    assert_eq!(heard.next().await, Key::new("shop", "cart"));
}
