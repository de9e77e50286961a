//! The Secrets with the keys of a namespace's functions: there before an instance needs one, and gone with the last function that does.
//!
//! All functions of a namespace share a few Secrets, which hold nothing of any one of them. As an owner of its Secret each would
//! make it larger, and a Secret is written whole: ten thousand functions would have written it ten thousand times, at last with
//! hundreds of kilobytes. So a few own it in the name of all, and when half of those are gone others take their places. They are
//! chosen by uid, which is random: whatever order functions are deleted in, half of the owners are there while half of the functions are.
//!
//! The operator may not read Secrets. What it wrote is remembered; a new leader writes a Secret again with the first function that
//! comes or goes, and at rest nothing.

use std::{collections::HashMap, sync::Arc};

use flint_api::Function;
use flint_kube::{Applier, Error};
use kube::ResourceExt;
use parking_lot::Mutex;

use super::{design, pod};
use crate::{key::Key, settings::Settings, stores::Stores};

/// Which Secrets were written, and who owns them.
pub(crate) struct Keyring {
    stores: Stores,
    settings: Arc<Settings>,
    /// By namespace and name; bounded by what functions there are, see [`Keyring::gone`]. Writes of one follow one another.
    written: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<Owners>>>>,
}

/// The functions that own a Secret, with their uids; none before it was written.
type Owners = Vec<(Key, String)>;

/// Owners of a Secret. More make it larger, fewer have it written more often while functions go: with eight, about nine times while ten
/// thousand do.
const OWNERS: usize = 8;

// === impl Keyring ===

impl Keyring {
    /// Nothing written yet.
    pub(crate) fn new(stores: Stores, settings: Arc<Settings>) -> Self {
        Self { stores, settings, written: Mutex::default() }
    }

    /// Makes sure that the Secret which the function's instances are given is there. `anew` writes it even if it should be.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub(crate) async fn share(
        &self,
        applier: &Applier,
        function: &Function,
        anew: bool,
    ) -> Result<(), Error> {
        let secret = secret(&Key::of(function));
        let entry = Arc::clone(self.written.lock().entry(secret.clone()).or_default());
        let mut owners = entry.lock().await;
        if !anew
            && (owners.len() >= OWNERS || owners.iter().any(|owner| is(owner, function)))
            && self.hold(&owners)
        {
            return Ok(());
        }
        self.write(applier, &secret, function, &mut owners).await
    }

    /// The function does not exist any more: should it have been an owner, another may have to be.
    ///
    /// # Errors
    /// When the API server does not take the Secret.
    pub(crate) async fn gone(&self, applier: &Applier, key: &Key) -> Result<(), Error> {
        let secret = secret(key);
        let entry = Arc::clone(self.written.lock().entry(secret.clone()).or_default());
        let mut owners = entry.lock().await;
        if self.hold(&owners) {
            return Ok(());
        }
        let Some(heir) = self.users(&secret).next() else {
            // Who waits for this entry writes once more than needed.
            self.written.lock().remove(&secret);
            return Ok(());
        };
        self.write(applier, &secret, &heir, &mut owners).await
    }

    async fn write(
        &self,
        applier: &Applier,
        secret: &Key,
        function: &Function,
        owners: &mut Owners,
    ) -> Result<(), Error> {
        let known = owners.iter().filter_map(|(key, uid)| {
            let function = self.stores.function(key)?;
            (stays(&function) && function.metadata.uid.as_ref() == Some(uid)).then_some(function)
        });
        let mut all: Vec<Arc<Function>> = known.collect();
        let mut users: Vec<_> = self.users(secret).collect();
        users.sort_unstable_by(|one, other| one.metadata.uid.cmp(&other.metadata.uid));
        // It may be newer than what the store has.
        for user in std::iter::once(Arc::new(function.clone())).chain(users) {
            if all.len() < OWNERS && all.iter().all(|one| one.metadata.uid != user.metadata.uid) {
                all.push(user);
            }
        }
        let refer: Vec<&Function> = all.iter().map(Arc::as_ref).collect();
        let manifest = design::key_secret(&self.settings, &secret.namespace, &secret.name, &refer);
        // Whatever becomes of it, it is not as it was.
        owners.clear();
        applier.apply(&manifest).await?;
        owners.extend(all.iter().map(|one| (Key::of(one), one.uid().unwrap_or_default())));
        Ok(())
    }

    /// Whether at least half of the owners that there may be, or of those that there were, are still there.
    fn hold(&self, owners: &Owners) -> bool {
        let there = |(key, uid): &&(Key, String)| {
            let function = self.stores.function(key);
            function.is_some_and(|function| stays(&function) && function.metadata.uid.as_ref() == Some(uid))
        };
        !owners.is_empty() && owners.iter().filter(there).count() * 2 >= owners.len()
    }

    /// The functions that may have instances, which are given that Secret.
    fn users<'a>(&'a self, secret: &Key) -> impl Iterator<Item = Arc<Function>> + use<'a> {
        let Key { namespace, name } = secret.clone();
        let functions = self.stores.functions.state().into_iter();
        functions.filter(move |function| {
            function.metadata.namespace.as_deref() == Some(&namespace)
                && stays(function)
                && pod::key_secret(function.metadata.name.as_deref().unwrap_or_default()) == name
                && !self.stores.deployments.of(&Key::of(function)).is_empty()
        })
    }
}

fn is((_, uid): &(Key, String), function: &Function) -> bool {
    function.metadata.uid.as_ref() == Some(uid)
}

fn stays(function: &Function) -> bool {
    function.metadata.deletion_timestamp.is_none()
}

/// The namespace and the name of the Secret that a function's instances are given.
fn secret(function: &Key) -> Key {
    Key::new(&function.namespace, &pod::key_secret(&function.name))
}

#[cfg(test)]
mod tests {
    use flint_testing::apiserver::ApiServer;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        settings::tests::settings,
        stores::tests::{Fill, stores},
    };

    struct Namespace {
        server: ApiServer,
        applier: Applier,
        stores: Stores,
        fill: Fill,
        keyring: Keyring,
    }

    impl Namespace {
        fn new() -> Self {
            let (stores, fill) = stores();
            let server = ApiServer::new();
            let applier = Applier::new(server.client(), "flint-operator");
            let keyring = Keyring::new(stores.clone(), Arc::new(settings()));
            Self { server, applier, stores, fill, keyring }
        }

        async fn comes(&mut self, name: &str) {
            self.fill.put(&function(name));
            let function = self.stores.function(&Key::new("shop", name)).expect("a Function");
            self.keyring.share(&self.applier, &function, false).await.expect("a Secret");
            self.fill.put(&deployment(name));
        }

        async fn goes(&mut self, name: &str) {
            self.fill.remove(&function(name));
            self.fill.remove(&deployment(name));
            self.keyring.gone(&self.applier, &Key::new("shop", name)).await.expect("a Secret");
        }

        fn writes(&self) -> usize {
            self.server.writes().len()
        }

        /// The owners of all Secrets, by name.
        fn owners(&self) -> Vec<Vec<String>> {
            let name = |owner: &Value| owner["name"].as_str().unwrap_or_default().to_owned();
            let of = |secret: &Value| {
                secret["metadata"]["ownerReferences"].as_array().into_iter().flatten().map(name).collect()
            };
            self.server.objects("Secret").iter().map(of).collect()
        }
    }

    fn function(name: &str) -> Value {
        json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Function",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")}, "spec": {"image": "cart:1"}})
    }

    fn deployment(function: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": format!("{function}-1"), "namespace": "shop", "labels": {"flint.dev/function": function}},
            "spec": {"selector": {}, "template": {}}})
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("f{number}")).collect()
    }

    #[tokio::test]
    async fn thousands_of_functions_write_their_secrets_a_few_times_and_some_own_them() {
        let mut shop = Namespace::new();
        for name in names(1000) {
            shop.comes(&name).await;
        }
        assert_eq!(shop.owners().len(), 16);
        assert!(shop.writes() <= 16 * OWNERS, "{}", shop.writes());
        assert!(shop.owners().iter().all(|owners| owners.len() == OWNERS));
    }

    #[tokio::test]
    async fn while_functions_go_each_secret_keeps_an_owner_that_is_there() {
        let mut shop = Namespace::new();
        let names = names(300);
        for name in &names {
            shop.comes(name).await;
        }
        let before = shop.writes();
        for (at, name) in names.iter().enumerate() {
            shop.goes(name).await;
            let left = &names[at + 1..];
            for secret in shop.owners() {
                let used = left.iter().any(|left| pod::key_secret(left) == pod::key_secret(&secret[0]));
                assert!(!used || secret.iter().any(|owner| left.contains(owner)), "{secret:?} after {name}");
            }
        }
        assert!(shop.writes() - before <= 16 * 10, "{}", shop.writes() - before);
        assert!(shop.keyring.written.lock().is_empty());
    }

    #[tokio::test]
    async fn a_new_leader_writes_a_secret_with_the_first_function_that_comes_or_goes() {
        let mut shop = Namespace::new();
        shop.comes("f1").await;
        let written = shop.writes();
        shop.keyring = Keyring::new(shop.stores.clone(), Arc::new(settings()));
        shop.comes("f1").await;
        shop.comes("f1").await;
        assert_eq!(shop.writes(), written + 1);
    }

    #[tokio::test]
    async fn for_functions_that_never_started_no_secret_is_written() {
        let mut shop = Namespace::new();
        shop.fill.put(&function("f1"));
        shop.fill.put(&function("f2"));
        shop.goes("f2").await;
        assert_eq!(shop.writes(), 0);
    }

    #[tokio::test]
    async fn a_secret_that_was_not_taken_is_written_by_the_next() {
        let mut shop = Namespace::new();
        let (first, function) = (function("f1"), Key::new("shop", "f1"));
        shop.fill.put(&first);
        shop.server.fail("PATCH", "/secrets/", 500, "InternalError", "etcd is away");
        let function = shop.stores.function(&function).unwrap();
        assert!(shop.keyring.share(&shop.applier, &function, false).await.is_err());
        shop.comes("f1").await;
        assert_eq!(shop.owners(), [["f1"]]);
    }
}
