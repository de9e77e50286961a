//! The objects of the API server in memory, and what each verb does to them.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Map, Value, json};

use super::path::Path;

/// A status code and a body.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) body: Value,
}

#[derive(Default)]
pub(super) struct State {
    version: u64,
    objects: BTreeMap<Path, Value>,
    /// Namespaces that are on their way out.
    ending: BTreeSet<String>,
    /// Every change so far: its version, where, what.
    log: Vec<(u64, Path, &'static str, Value)>,
}

// === impl State ===

impl State {
    pub(super) fn get(&self, path: &Path) -> Option<&Value> {
        self.objects.get(path)
    }

    pub(super) fn names(&self, plural: &str) -> Vec<String> {
        self.objects
            .keys()
            .filter(|path| path.plural == plural)
            .filter_map(|path| path.name.clone())
            .collect()
    }

    pub(super) fn objects(&self, plural: &str) -> Vec<Value> {
        self.objects
            .iter()
            .filter(|(path, _)| path.plural == plural)
            .map(|(_, object)| object.clone())
            .collect()
    }

    pub(super) fn put(&mut self, path: &Path, object: Value) -> u64 {
        self.store(path, object);
        self.version
    }

    pub(super) fn end(&mut self, namespace: &str) {
        self.ending.insert(namespace.to_owned());
    }

    /// The refusal of anything new, where the namespace is on its way out.
    fn ending(&self, path: &Path) -> Option<Answer> {
        let namespace = path.namespace.as_ref().filter(|namespace| self.ending.contains(*namespace))?;
        let message =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut answer = Answer::failure(403, "Forbidden", &message);
        answer.body["details"] = json!({"causes": [{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}]});
        Some(answer)
    }

    pub(super) fn remove(&mut self, path: &Path) -> u64 {
        if let Some(object) = self.objects.remove(path) {
            self.version += 1;
            self.log.push((self.version, path.clone(), "DELETED", object));
        }
        self.version
    }

    /// The first change in a collection after a version, as a watch tells it.
    pub(super) fn event_after(&self, collection: &Path, after: u64) -> Option<(u64, Value)> {
        let next = self.log.iter().find(|(version, path, ..)| *version > after && collection.holds(path))?;
        Some((next.0, json!({"type": next.2, "object": next.3})))
    }

    pub(super) fn handle(
        &mut self,
        method: &Method,
        path: &Path,
        query: &str,
        body: Value,
        apply: bool,
    ) -> (Answer, u64) {
        let answer = match (method.as_str(), path.name.is_some()) {
            ("GET", false) => self.list(path, query),
            ("GET", true) => self.objects.get(&path.object()).cloned().map_or_else(|| not_found(path), ok),
            ("POST", _) => self.create(path, body),
            ("PUT", true) => self.replace(path, body),
            ("PATCH", true) => self.patch(path, body, apply),
            ("DELETE", true) => self.delete(path, &body),
            _ => Answer::failure(405, "MethodNotAllowed", "not served here"),
        };
        (answer, self.version)
    }

    fn list(&self, path: &Path, query: &str) -> Answer {
        let wanted = label_selector(query);
        let items: Vec<_> = self
            .objects
            .iter()
            .filter(|(key, _)| path.holds(key))
            .map(|(_, object)| object)
            .filter(|object| wanted.iter().all(|(name, value)| object["metadata"]["labels"][name] == **value))
            .cloned()
            .collect();
        ok(json!({
            "apiVersion": path.api, "kind": "List", "metadata": {"resourceVersion": self.version.to_string()}, "items": items,
        }))
    }

    fn create(&mut self, collection: &Path, mut body: Value) -> Answer {
        let name = body["metadata"]["name"].as_str().map(str::to_owned);
        let path = Path { name, ..collection.clone() };
        if self.objects.contains_key(&path) {
            return Answer::failure(409, "AlreadyExists", "an object of that name exists");
        }
        if let Some(refusal) = self.ending(&path) {
            return refusal;
        }
        if let Some(namespace) = &path.namespace {
            body["metadata"]["namespace"] = json!(namespace);
        }
        Answer { code: 201, body: self.store(&path, body) }
    }

    fn replace(&mut self, path: &Path, body: Value) -> Answer {
        let Some(current) = self.objects.get(&path.object()) else { return not_found(path) };
        let version = &body["metadata"]["resourceVersion"];
        if !version.is_null() && *version != current["metadata"]["resourceVersion"] {
            return Answer::failure(409, "Conflict", "the object has been modified");
        }
        ok(self.store(&path.object(), body))
    }

    fn patch(&mut self, path: &Path, mut body: Value, apply: bool) -> Answer {
        let mut object = match self.objects.get(&path.object()) {
            Some(object) => object.clone(),
            None if apply && path.subresource.is_none() => match self.ending(path) {
                Some(refusal) => return refusal,
                None => json!({}),
            },
            None => return not_found(path),
        };
        if path.subresource.as_deref() == Some("status") {
            body = json!({"status": body["status"]});
        }
        merge(&mut object, body);
        let stored = self.store(&path.object(), object);
        ok(if path.subresource.as_deref() == Some("scale") { scale(&stored) } else { stored })
    }

    fn delete(&mut self, path: &Path, body: &Value) -> Answer {
        let Some(current) = self.objects.get(&path.object()) else { return not_found(path) };
        let uid = &body["preconditions"]["uid"];
        if !uid.is_null() && *uid != current["metadata"]["uid"] {
            return Answer::failure(409, "Conflict", "the uid differs");
        }
        self.remove(&path.object());
        ok(json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}))
    }

    /// Keeps the object under its next version, unless nothing changed.
    fn store(&mut self, path: &Path, mut object: Value) -> Value {
        let before = self.objects.get(path);
        if let Some(before) = before {
            object["metadata"]["uid"] = before["metadata"]["uid"].clone();
            object["metadata"]["generation"] = before["metadata"]["generation"].clone();
            object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
            if object == *before {
                return object;
            }
        }
        self.version += 1;
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        if before.is_none_or(|before| before["spec"] != object["spec"]) {
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
            object["metadata"]["generation"] =
                json!(if before.is_some() { generation + 1 } else { generation.max(1) });
        }
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        }
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.clone(), object.clone());
        self.log.push((self.version, path.clone(), kind, object.clone()));
        object
    }
}

fn scale(object: &Value) -> Value {
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": object["metadata"],
        "spec": {"replicas": object["spec"]["replicas"]}, "status": {"replicas": 0},
    })
}

fn ok(body: Value) -> Answer {
    Answer { code: 200, body }
}

fn not_found(path: &Path) -> Answer {
    Answer::failure(404, "NotFound", &format!("{} {:?} not found", path.plural, path.name))
}

/// `labelSelector=a%3Db%2Cc%3Dd` as pairs; equality only.
fn label_selector(query: &str) -> Vec<(String, String)> {
    let Some(selector) = query.split('&').find_map(|pair| pair.strip_prefix("labelSelector=")) else {
        return Vec::new();
    };
    let selector = selector.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/").replace("%3A", ":");
    selector
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// JSON merge: objects field by field, null removes, anything else replaces.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(&name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), value);
        }
    }
}
