//! The table of functions: immutable, read by every worker without a lock, swapped whole when a function changes.
//!
//! A swap of ten thousand functions for the sake of one would be a copy of ten thousand pointers. The table is therefore
//! cut into shards that are shared by the old table and the new one; only the shard of a changed function is copied.

use std::{collections::HashMap, sync::Arc};

use arc_swap::{ArcSwap, Guard};
use flint_core::paths::{Paths, Pattern, route_key};
use http::{HeaderValue, Method};
use smallvec::SmallVec;

use crate::function::{Function, Key};

/// An immutable table.
#[derive(Clone, Debug)]
pub struct Table {
    shards: Vec<Arc<Shard>>,
    hasher: ahash::RandomState,
    routes: Arc<Routes>,
}

/// Paths of functions, for requests that have no address of the contract.
pub type Routes = Paths<Arc<Lead>>;

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The function.
    pub function: Key,
    /// The route's name, as the watchdog is told it.
    pub name: HeaderValue,
    /// API Gateway v1.0 events or v2.0; none is what the function itself asks for.
    pub event_v1: Option<bool>,
}

/// The table in use.
#[derive(Debug, Default)]
pub struct Tables {
    current: ArcSwap<Table>,
}

/// By `NAME.NAMESPACE`. Neither part has a dot in it.
type Shard = HashMap<Box<[u8]>, Arc<Function>, ahash::RandomState>;

/// 128 shards: a swap copies 128 pointers and, of 10,000 functions, the 80 of one shard.
const SHARDS: usize = 128;

/// A key's text on the stack: two DNS labels of at most 63 bytes and the dot between them.
type Text = SmallVec<[u8; 127]>;

// === impl Table ===

impl Default for Table {
    fn default() -> Self {
        let shards = vec![Arc::default(); SHARDS];
        Self { shards, hasher: ahash::RandomState::new(), routes: Arc::default() }
    }
}

impl Table {
    /// The function of that name.
    #[must_use]
    pub fn get(&self, name: &str, namespace: &str) -> Option<&Arc<Function>> {
        let mut text = Text::new();
        text.extend_from_slice(name.as_bytes());
        text.push(b'.');
        text.extend_from_slice(namespace.as_bytes());
        self.shards.get(self.shard(&text))?.get(text.as_slice())
    }

    /// The function with that key.
    #[must_use]
    pub fn get_key(&self, key: &Key) -> Option<&Arc<Function>> {
        self.get(&key.name, &key.namespace)
    }

    /// The route that a request takes, and its function.
    #[must_use]
    pub fn routed(&self, method: &Method, path: &str) -> Option<(&Arc<Lead>, &Arc<Function>)> {
        let (_, lead) = self.routes.find(method, path)?;
        Some((lead, self.get_key(&lead.function)?))
    }

    /// Sets all routes.
    pub fn set_routes(&mut self, routes: Arc<Routes>) {
        self.routes = routes;
    }

    /// How many functions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.is_empty())
    }

    /// All functions, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.shards.iter().flat_map(|shard| shard.values())
    }

    /// Puts a function in, in the place of one of the same name.
    pub fn insert(&mut self, function: Arc<Function>) {
        let key = &function.seen.key;
        let text = format!("{}.{}", key.name, key.namespace).into_bytes();
        let shard = self.shard(&text);
        if let Some(shard) = self.shards.get_mut(shard) {
            Arc::make_mut(shard).insert(text.into(), function);
        }
    }

    /// Takes a function out.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Function>> {
        let text = format!("{}.{}", key.name, key.namespace).into_bytes();
        let shard = self.shard(&text);
        Arc::make_mut(self.shards.get_mut(shard)?).remove(text.as_slice())
    }

    fn shard(&self, text: &[u8]) -> usize {
        self.hasher.hash_one(text) as usize % SHARDS
    }
}

// === impl Lead ===

impl Lead {
    /// Where `METHOD PATTERN` leads; none where the pattern has what no header can say.
    #[must_use]
    pub fn new(
        method: Option<&Method>,
        pattern: &Pattern,
        function: Key,
        event_v1: Option<bool>,
    ) -> Option<Arc<Self>> {
        let name = HeaderValue::try_from(route_key(method, pattern.as_str())).ok()?;
        Some(Arc::new(Self { function, name, event_v1 }))
    }
}

// === impl Tables ===

impl Tables {
    /// The table in use; cheap, and good for the length of one lookup.
    pub fn load(&self) -> Guard<Arc<Table>> {
        self.current.load()
    }

    /// Puts a new table in use.
    pub fn store(&self, table: Table) {
        self.current.store(Arc::new(table));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flint_api::Mode;

    use super::*;
    use crate::{clock::Clock, function::Seen, hub::Hub, live::Live};

    fn function(name: &str) -> Arc<Function> {
        let key = Key::new("shop", name);
        let seen = Seen {
            key: key.clone(),
            mode: Mode::Http,
            timeout: Duration::from_secs(30),
            concurrency: 1,
            revision: None,
            traffic: Arc::default(),
            event_v1: false,
            blocked: None,
            schedules: Arc::default(),
            created: jiff::Timestamp::UNIX_EPOCH,
        };
        let (hub, _bell) = Hub::new(Clock::start(), 1);
        Arc::new(Function::new(seen, Arc::new(Live::new(key, hub))))
    }

    #[test]
    fn a_change_leaves_the_old_table_as_it_was_and_shares_the_rest() {
        let mut table = Table::default();
        for number in 0..1000 {
            table.insert(function(&format!("f{number}")));
        }
        let old = table.clone();
        table.remove(&Key::new("shop", "f7"));
        table.insert(function("new"));
        assert!(old.get("f7", "shop").is_some() && old.get("new", "shop").is_none());
        assert!(table.get("f7", "shop").is_none() && table.get("new", "shop").is_some());
        assert_eq!((old.len(), table.len()), (1000, 1000));
        let shared = old.shards.iter().zip(&table.shards).filter(|(old, new)| Arc::ptr_eq(old, new)).count();
        assert!(shared >= SHARDS - 2);
    }

    #[test]
    fn a_name_belongs_to_its_namespace() {
        let mut table = Table::default();
        table.insert(function("hello"));
        assert!(table.get("hello", "shop").is_some());
        assert!(table.get("hello", "default").is_none());
    }
}
