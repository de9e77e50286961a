//! A function's requests among its revisions: by weight, by name, and by what keeps a client where it was.
//!
//! The revision that gets the traffic (the first, where several do) is the function's own entry in the table. Every other one that
//! gets requests has an entry of its own, with instances, a line and demand of its own, and shares the rest. So behind the choice
//! made here nothing else knows that there are several.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use flint_api::Mode;
use flint_core::split;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    function::{Function, Key, Seen},
    hub::Hub,
    live::Live,
    names,
};

/// Which revisions get requests, as the operator has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// The shares in effect.
    pub shares: Vec<Share>,
    /// All revisions that can be called by their numbers.
    pub versions: Vec<(u32, String)>,
    /// What revisions keep of the Function as it was.
    pub own: Vec<Own>,
    /// What `latest` stands for.
    pub latest: Option<String>,
    /// What keeps a client with a revision.
    pub sticky: Option<Sticky>,
    /// A request to a revision on trial that takes longer than this is slow.
    pub slow_after: Option<Duration>,
}

/// What a revision keeps of the Function as it was when it was made: its instances go by it.
#[derive(Clone, Debug, PartialEq)]
pub struct Own {
    /// The revision.
    pub revision: String,
    /// How the watchdog speaks to its code.
    pub mode: Mode,
    /// Its timeout.
    pub timeout: Duration,
}

/// A revision's share of the requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Share {
    /// The revision.
    pub revision: String,
    /// Percent.
    pub weight: u32,
    /// Its name among qualifiers.
    pub alias: Option<String>,
}

/// What keeps a client with a revision.
#[derive(Clone, Debug, PartialEq)]
pub enum Sticky {
    /// The value of a header.
    Header(HeaderName),
    /// The value of a cookie, which a client without one is given.
    Cookie(String),
}

/// The entries of the revisions beside the function's own.
#[derive(Debug)]
pub struct Split {
    /// By weight; none stands for the function's own entry.
    weighted: Vec<(u32, Option<Arc<Function>>)>,
    aliases: HashMap<Box<str>, Option<Arc<Function>>>,
    /// By number, and made when they are first called: most never are.
    versions: Vec<Version>,
    latest: Option<Version>,
    sticky: Option<Sticky>,
}

#[derive(Debug)]
struct Version {
    number: u32,
    revision: String,
    entry: OnceLock<Arc<Function>>,
}

/// Where a request goes.
#[derive(Debug)]
pub struct Picked {
    /// The entry.
    pub function: Arc<Function>,
    /// What keeps the client there, for its answer.
    pub cookie: Option<HeaderValue>,
    /// The revision's number, where it is one of several.
    pub version: Option<u32>,
}

/// Lambda's name for what was deployed last.
const LATEST: &str = "$LATEST";

// === impl Split ===

impl Split {
    /// The entries that `seen` asks for; none where there is one revision and nothing to call it by.
    pub(crate) fn of(seen: &Seen, live: &Arc<Live>, hub: &Arc<Hub>) -> Option<Self> {
        let traffic = &seen.traffic;
        if traffic.shares.iter().all(|share| share.alias.is_none() && seen.is_main(&share.revision))
            && traffic.versions.iter().all(|(_, revision)| seen.is_main(revision))
            && traffic.latest.as_deref().is_none_or(|latest| seen.is_main(latest))
        {
            return None;
        }
        let entry = |revision: &str| (!seen.is_main(revision)).then(|| other(seen, live, hub, revision));
        let mut made: HashMap<&str, Option<Arc<Function>>> = HashMap::new();
        for share in &traffic.shares {
            made.entry(&share.revision).or_insert_with(|| entry(&share.revision));
        }
        let of = |share: &Share| made.get(share.revision.as_str()).cloned().flatten();
        let weighted: Vec<_> = traffic
            .shares
            .iter()
            .filter(|share| share.weight > 0)
            .map(|share| (share.weight, of(share)))
            .collect();
        let aliased =
            traffic.shares.iter().filter_map(|share| Some((share.alias.as_deref()?.into(), of(share))));
        let number = |name: &str| {
            traffic.versions.iter().find(|(_, revision)| revision == name).map_or(0, |(number, _)| *number)
        };
        let version = |number: u32, revision: &str| {
            let entry = made.get(revision).cloned().flatten();
            Version {
                number,
                revision: revision.to_owned(),
                entry: entry.map(OnceLock::from).unwrap_or_default(),
            }
        };
        Some(Self {
            // With one revision there is nothing to choose.
            weighted: if weighted.iter().all(|(_, entry)| entry.is_none()) { Vec::new() } else { weighted },
            aliases: aliased.collect(),
            versions: traffic.versions.iter().map(|(number, revision)| version(*number, revision)).collect(),
            latest: traffic.latest.as_deref().map(|latest| version(number(latest), latest)),
            sticky: traffic.sticky.clone(),
        })
    }

    fn named(&self, function: &Arc<Function>, hub: &Arc<Hub>, qualifier: &str) -> Option<Arc<Function>> {
        let own = |entry: &Option<Arc<Function>>| entry.clone().unwrap_or_else(|| Arc::clone(function));
        if let Some(entry) = self.aliases.get(qualifier) {
            return Some(own(entry));
        }
        let version = match qualifier {
            LATEST | "latest" => self.latest.as_ref()?,
            number => {
                let number: u32 = number.parse().ok()?;
                self.versions.iter().find(|version| version.number == number)?
            }
        };
        if function.seen.is_main(&version.revision) {
            return Some(Arc::clone(function));
        }
        let entry =
            version.entry.get_or_init(|| other(&function.seen, &function.live, hub, &version.revision));
        Some(Arc::clone(entry))
    }

    fn weighted(
        &self,
        function: &Arc<Function>,
        headers: &HeaderMap,
    ) -> (Arc<Function>, Option<HeaderValue>) {
        let in_turn = || split::in_turn(function.live.next_turn());
        let (place, cookie) = match &self.sticky {
            None => (in_turn(), None),
            Some(Sticky::Header(name)) => {
                (headers.get(name).map_or_else(in_turn, |value| split::of(value.as_bytes())), None)
            }
            Some(Sticky::Cookie(name)) => match cookie(headers, name) {
                Some(value) => (split::of(value.as_bytes()), None),
                None => {
                    let value = format!("{:016x}", rand::random::<u64>());
                    let cookie =
                        HeaderValue::try_from(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax"));
                    (split::of(value.as_bytes()), cookie.ok())
                }
            },
        };
        let chosen = split::choose(self.weighted.iter().map(|(weight, _)| *weight), place);
        let entry = chosen.and_then(|index| self.weighted.get(index)).and_then(|(_, entry)| entry.as_ref());
        (Arc::clone(entry.unwrap_or(function)), cookie)
    }

    fn number(&self, revision: Option<&str>) -> Option<u32> {
        let version = self.versions.iter().find(|version| Some(version.revision.as_str()) == revision)?;
        Some(version.number)
    }
}

// === impl Function ===

impl Function {
    /// Where a request goes: to what `qualifier` names, or else to what the weights say. By value, so that a function with one
    /// revision costs nothing here.
    ///
    /// # Errors
    /// Nothing is called that; the function comes back.
    pub fn pick(
        self: Arc<Self>,
        hub: &Arc<Hub>,
        qualifier: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Picked, Arc<Self>> {
        let own = |function, version| Ok(Picked { function, cookie: None, version });
        match (&self.split, qualifier.filter(|qualifier| !qualifier.is_empty())) {
            (None, None) => own(self, None),
            // There is one revision, or none that is known yet.
            (None, Some(LATEST | "latest")) => own(self, None),
            (None, Some(number)) => {
                let only = self.seen.traffic.versions.first().map(|(number, _)| *number);
                match number.parse().ok().filter(|asked| Some(*asked) == only) {
                    Some(number) => own(self, Some(number)),
                    None => Err(self),
                }
            }
            (Some(split), None) if split.weighted.is_empty() => own(self, None),
            (Some(split), None) => {
                let (function, cookie) = split.weighted(&self, headers);
                let version = split.number(function.seen.revision.as_deref());
                Ok(Picked { function, cookie, version })
            }
            (Some(split), Some(qualifier)) => match split.named(&self, hub, qualifier) {
                Some(function) => {
                    let version = split.number(function.seen.revision.as_deref());
                    own(function, version.filter(|_| qualifier != LATEST))
                }
                None => Err(self),
            },
        }
    }
}

// === impl Traffic ===

impl Traffic {
    /// What a revision keeps of the Function as it was, where the operator says so.
    pub(crate) fn own(&self, revision: &str) -> Option<&Own> {
        self.own.iter().find(|own| own.revision == revision)
    }
}

// === impl Seen ===

impl Seen {
    /// Whether it is the revision of the function's own entry.
    pub(crate) fn is_main(&self, revision: &str) -> bool {
        self.revision.as_deref() == Some(revision)
    }
}

/// The entry of another revision: the function's settings around a living part of its own.
fn other(seen: &Seen, live: &Arc<Live>, hub: &Arc<Hub>, revision: &str) -> Arc<Function> {
    let own = hub.revisions.get(&seen.key, revision, || {
        Live::of_revision(seen.key.clone(), revision, Arc::clone(hub), Arc::clone(&live.metrics))
    });
    own.set_slow_after(seen.traffic.slow_after);
    let (mode, timeout) =
        seen.traffic.own(revision).map_or((seen.mode, seen.timeout), |own| (own.mode, own.timeout));
    let seen = Seen {
        mode,
        timeout,
        revision: Some(revision.to_owned()),
        traffic: Arc::default(),
        schedules: Arc::default(),
        blocked: None,
        ..seen.clone()
    };
    Arc::new(Function::new(seen, own))
}

/// The value of a cookie; the first of that name.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|pairs| pairs.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// The qualifier in a request's header.
pub(crate) fn in_header(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    headers.get(names::QUALIFIER).map(|value| String::from_utf8_lossy(value.as_bytes()))
}

/// The living parts of revisions beside the functions' own, by function and revision: a revision never has two, or those who wait
/// at one would not hear of the slots that come back at the other.
#[derive(Debug, Default)]
pub struct Revisions {
    inner: parking_lot::Mutex<HashMap<Key, Vec<Arc<Live>>>>,
    /// Somebody called one that nobody has called before.
    pub(crate) made: tokio::sync::Notify,
}

// === impl Revisions ===

impl Revisions {
    /// The revision's living part, made by `make` if need be. Bounded by the revisions that functions say they have.
    fn get(&self, key: &Key, revision: &str, make: impl FnOnce() -> Live) -> Arc<Live> {
        let mut inner = self.inner.lock();
        let lives = inner.entry(key.clone()).or_default();
        if let Some(live) = lives.iter().find(|live| live.revision() == Some(revision)) {
            return Arc::clone(live);
        }
        let live = Arc::new(make());
        lives.push(Arc::clone(&live));
        self.made.notify_one();
        live
    }

    /// Those of a function.
    pub fn of(&self, key: &Key) -> Vec<Arc<Live>> {
        self.inner.lock().get(key).cloned().unwrap_or_default()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Live>> {
        self.inner.lock().values().flatten().cloned().collect()
    }

    /// The functions that have any.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.inner.lock().keys().cloned().collect()
    }

    /// Keeps those of which `keep` is true.
    pub(crate) fn retain(&self, key: &Key, keep: impl Fn(&Live) -> bool) {
        let mut inner = self.inner.lock();
        if let Some(lives) = inner.get_mut(key) {
            lives.retain(|live| keep(live));
            if lives.is_empty() {
                inner.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
