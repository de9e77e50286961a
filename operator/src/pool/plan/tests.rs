//! Plans of a namespace's pools.

use serde_json::json;

use super::*;
use crate::settings::tests::settings;

fn runtime(size: u32) -> Arc<Runtime> {
    let runtime = json!({
        "metadata": {"name": "python3.11", "uid": "r"},
        "spec": {"mode": "lambda", "image": "python:1", "command": ["python3"], "pool": {"size": size, "max": 5}},
    });
    Arc::new(serde_json::from_value(with_kind(runtime)).unwrap())
}

fn with_kind(mut value: serde_json::Value) -> serde_json::Value {
    value["apiVersion"] = json!("flint.dev/v1alpha1");
    value["kind"] = json!("any");
    value
}

fn function(name: &str, min: u32) -> Arc<Function> {
    let function = json!({
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"runtime": "python3.11", "handler": "app.handler", "scaling": {"minReplicas": min}},
    });
    Arc::new(serde_json::from_value(with_kind(function)).unwrap())
}

/// The Deployment of a pool or, with another name and environment, of a function that asks for nothing of its own.
fn deployment(pool: &Pool, replicas: u32) -> Deployment {
    serde_json::from_value(pool.deployment(replicas).value().clone()).unwrap()
}

fn revision(pool: &Pool, name: &str) -> Arc<Deployment> {
    let mut deployment = deployment(pool, 0);
    deployment.metadata.name = Some(name.to_owned());
    deployment.metadata.annotations = Some([("flint.dev/verified".to_owned(), "true".to_owned())].into());
    let template = &mut deployment.spec.as_mut().unwrap().template;
    template.metadata.as_mut().unwrap().labels = None;
    template.spec.as_mut().unwrap().containers[0].env =
        Some(serde_json::from_value(json!([{"name": "FLINT_FUNCTION", "value": "cart"}])).unwrap());
    Arc::new(deployment)
}

fn known(function: Arc<Function>, runtime: &Arc<Runtime>, deployment: Option<Arc<Deployment>>) -> Known {
    Known { function, runtime: Arc::clone(runtime), deployment, beside: Vec::new() }
}

fn planned(functions: Vec<Known>, pools: Vec<Arc<Deployment>>, lately: u32) -> Plan {
    let claimed_lately = move |_: &Key| lately;
    let settings = settings();
    plan(&World { settings: &settings, namespace: "shop", functions, pools, claimed_lately: &claimed_lately })
}

#[test]
fn a_namespace_has_a_pool_when_a_function_of_its_runtime_may_be_at_zero() {
    let runtime = runtime(2);
    let plan = planned(vec![known(function("cart", 0), &runtime, None)], vec![], 0);
    let [(pool, 2, true)] = plan.apply.as_slice() else { panic!("{plan:?}") };
    let there = Arc::new(deployment(pool, 2));
    let settled = planned(vec![known(function("cart", 0), &runtime, None)], vec![Arc::clone(&there)], 0);
    assert!(settled.apply.is_empty() && settled.delete.is_empty());
    let busy = planned(vec![known(function("cart", 1), &runtime, None)], vec![Arc::clone(&there)], 0);
    assert_eq!(busy.delete.len(), 1, "who is never at zero needs no pool");
    let none = planned(vec![known(function("cart", 0), &self::runtime(0), None)], vec![there], 0);
    assert!(none.apply.is_empty() && none.delete.len() == 1);
}

#[test]
fn a_pool_grows_with_what_is_claimed() {
    let runtime = runtime(2);
    let plan = planned(vec![known(function("cart", 0), &runtime, None)], vec![], 2);
    assert_eq!(plan.apply[0].1, 4);
}

#[test]
fn a_function_gets_a_ticket_when_its_revision_has_proved_itself() {
    let runtime = runtime(2);
    let pool = Pool::new(&settings(), &runtime, "shop");
    let there = vec![Arc::new(deployment(&pool, 2))];
    let verified = revision(&pool, "cart-1");
    let mut unverified = Deployment::clone(&verified);
    unverified.metadata.annotations = None;
    let tickets = |deployment: Arc<Deployment>| {
        planned(vec![known(function("cart", 0), &runtime, Some(deployment))], there.clone(), 0).tickets
    };
    assert!(tickets(Arc::new(unverified)).is_empty());
    let tickets = tickets(verified);
    let content = tickets[&Key::new("shop", "cart")].as_ref().unwrap();
    assert_eq!((content.revision.as_str(), &content.pool), ("cart-1", &pool.name));
}

#[test]
fn a_revision_with_a_share_of_the_requests_has_a_ticket_of_its_own() {
    let runtime = runtime(2);
    let pool = Pool::new(&settings(), &runtime, "shop");
    let there = vec![Arc::new(deployment(&pool, 2))];
    let mut unverified = Deployment::clone(&revision(&pool, "cart-3"));
    unverified.metadata.annotations = None;
    let known = Known {
        beside: vec![revision(&pool, "cart-2"), Arc::new(unverified)],
        ..known(function("cart", 0), &runtime, Some(revision(&pool, "cart-1")))
    };
    let plan = planned(vec![known], there, 0);
    let revisions: Vec<&str> = plan.beside.values().map(|content| content.revision.as_str()).collect();
    assert_eq!(revisions, ["cart-2"]);
    assert_eq!(plan.tickets.len(), 1);
}

#[test]
fn a_function_may_stay_out() {
    let runtime = runtime(2);
    let mut out = Function::clone(&function("cart", 0));
    out.annotations_mut().insert(labels::WARM_START.into(), "off".into());
    let plan = planned(vec![known(Arc::new(out), &runtime, None)], vec![], 0);
    assert!(plan.apply.is_empty() && plan.tickets.is_empty());
}
