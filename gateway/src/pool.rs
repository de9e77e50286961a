//! Warm pools as the gateway knows them: pods that wait, and the tickets that make them a function's instances.
//!
//! A function without instances that gets its first request is offered a claim before the operator hears of it. If there is a ticket for
//! it and a pod that waits, one task claims the pod over the network ([`claim`]) and tells the index, as an announcement would; then the
//! line drains as ever. If there is none, if every pod was taken by somebody else, or if the claim takes longer than [`HEAD_START`], the
//! operator is told of the demand and an ordinary pod starts: later by no more than that.
//!
//! Several gateways may hear the first requests of one function in the same moment. They do not ask each other: each takes the same pod of
//! those that wait, because it is chosen by the function's name and revision, and a pod answers all of them alike ([`Inner::member`]).
//!
//! What is known comes from the operator and stays when it is away. A pod leaves the list when it is claimed here; that others
//! claimed it is heard from the operator, or from the pod, which takes one claim in its life.

mod claim;

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use flint_control::v1::{self, PoolNews};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{function::Key, live::Live};

pub use claim::claim;

/// What is known of pools.
#[derive(Debug, Default)]
pub struct Pools {
    inner: Mutex<Inner>,
    claims: OnceLock<mpsc::Sender<Offer>>,
}

#[derive(Debug, Default)]
struct Inner {
    tickets: HashMap<Holder, Arc<Ticket>>,
    /// The pods that wait, by namespace and pool.
    waiting: HashMap<Key, Vec<Member>>,
    /// The uids of pods that were claimed from here, until the operator does not name them any more.
    taken: HashSet<String>,
}

/// Whose a ticket is: a function, and the revision where that is beside the one that the traffic goes to.
type Holder = (Key, Option<String>);

/// What makes a pod of a pool an instance of one function.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The revision.
    pub revision: String,
    /// The pool, by namespace and name.
    pub pool: Key,
    /// What the pod opens.
    pub sealed: Bytes,
    /// Proves the claim.
    pub proof_key: String,
    expires: u64,
}

/// A pod that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// Its watchdog's traffic.
    pub address: SocketAddr,
    /// Where it is claimed.
    pub claims: SocketAddr,
}

/// A function that waits, a ticket for it, and a pod to be claimed with it.
#[derive(Debug)]
pub struct Offer {
    /// The function.
    pub live: Arc<Live>,
    /// Its ticket.
    pub ticket: Arc<Ticket>,
    /// The pod.
    pub member: Member,
}

/// For so long a claim has the start to itself: far longer than a claim takes, and not long beside an ordinary start.
pub const HEAD_START: Duration = Duration::from_millis(100);
/// Claims that may wait to be made.
const OFFERS: usize = 1024;
/// The most tickets that are kept, one or two KiB each; functions beyond start as ordinary pods.
const TICKETS: usize = 20_000;
/// The most pods of one pool that are remembered; a Runtime may ask for as many.
const MEMBERS: usize = 200;

// === impl Pools ===

impl Pools {
    /// Where offers come out; without it nothing is ever offered.
    pub fn offers(&self) -> mpsc::Receiver<Offer> {
        let (sender, offers) = mpsc::channel(OFFERS);
        // A gateway has one claimer: a second one would get nothing.
        let _ = self.claims.set(sender);
        offers
    }

    /// Takes in what the operator says; gives how many tickets there are now.
    pub fn hear(&self, news: PoolNews) -> usize {
        let mut inner = self.inner.lock();
        for pool in news.pools {
            inner.pool(pool);
        }
        for ticket in news.tickets {
            inner.ticket(ticket, false);
        }
        for ticket in news.beside {
            inner.ticket(ticket, true);
        }
        inner.tickets.len()
    }

    /// Offers a pod to a function that has begun to wait. False when there is none for it.
    pub fn offer(&self, live: &Arc<Live>) -> bool {
        let Some(claims) = self.claims.get() else { return false };
        let Some((ticket, member)) = self.take(live) else { return false };
        live.claims_for(HEAD_START);
        let offered = claims.try_send(Offer { live: Arc::clone(live), ticket, member });
        if let Err(refused) = &offered {
            let (mpsc::error::TrySendError::Full(offer) | mpsc::error::TrySendError::Closed(offer)) = refused;
            self.give_back(&offer.ticket.pool, offer.member.clone());
            live.claims_for(Duration::ZERO);
        }
        offered.is_ok()
    }

    /// Another pod for the same ticket.
    pub fn next(&self, function: &Key, ticket: &Ticket) -> Option<Member> {
        self.inner.lock().member(&ticket.pool, function, &ticket.revision)
    }

    /// A ticket was refused: it is not tried again. The operator sends a new one when there is one.
    pub fn drop_ticket(&self, live: &Live, ticket: &Arc<Ticket>) {
        let holder = holder(live);
        let mut inner = self.inner.lock();
        if inner.tickets.get(&holder).is_some_and(|known| Arc::ptr_eq(known, ticket)) {
            inner.tickets.remove(&holder);
        }
    }

    fn take(&self, live: &Live) -> Option<(Arc<Ticket>, Member)> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut inner = self.inner.lock();
        let ticket = inner.tickets.get(&holder(live)).filter(|ticket| ticket.expires > now).cloned()?;
        let member = inner.member(&ticket.pool, live.key(), &ticket.revision)?;
        Some((ticket, member))
    }

    fn give_back(&self, pool: &Key, member: Member) {
        let mut inner = self.inner.lock();
        inner.taken.remove(&member.uid);
        inner.waiting.entry(pool.clone()).or_default().push(member);
    }
}

// === impl Inner ===

impl Inner {
    fn pool(&mut self, pool: v1::Pool) {
        let key = Key::new(pool.namespace, pool.name);
        let members: Vec<Member> = pool.members.into_iter().take(MEMBERS).filter_map(read_member).collect();
        // What the operator does not name any more, it knows to be taken or gone.
        let named: HashSet<&str> = members.iter().map(|member| member.uid.as_str()).collect();
        for member in self.waiting.remove(&key).into_iter().flatten() {
            if !named.contains(member.uid.as_str()) {
                self.taken.remove(&member.uid);
            }
        }
        if self.taken.len() > TICKETS {
            self.taken.clear();
        }
        let waiting: Vec<Member> =
            members.iter().filter(|member| !self.taken.contains(&member.uid)).cloned().collect();
        if !waiting.is_empty() {
            self.waiting.insert(key, waiting);
        }
    }

    fn ticket(&mut self, ticket: v1::PoolTicket, beside: bool) {
        let Some(function) = ticket.function else { return };
        let key = Key::new(function.namespace, function.name);
        let holder = (key.clone(), beside.then(|| ticket.revision.clone()));
        if ticket.sealed.is_empty() {
            self.tickets.remove(&holder);
            return;
        }
        if self.tickets.len() >= TICKETS && !self.tickets.contains_key(&holder) {
            return;
        }
        let ticket = Ticket {
            revision: ticket.revision,
            pool: Key::new(key.namespace, ticket.pool),
            sealed: ticket.sealed.into(),
            proof_key: ticket.proof_key,
            expires: ticket.expires,
        };
        self.tickets.insert(holder, Arc::new(ticket));
    }

    /// A pod that waits, chosen by the function and its revision (rendezvous hashing): every gateway that knows the same pods takes the same
    /// one for it, and most of the time another one for another function.
    fn member(&mut self, pool: &Key, function: &Key, revision: &str) -> Option<Member> {
        let waiting = self.waiting.get_mut(pool)?;
        let (at, _) =
            waiting.iter().enumerate().max_by_key(|(_, member)| weight(function, revision, &member.uid))?;
        let member = waiting.swap_remove(at);
        self.taken.insert(member.uid.clone());
        Some(member)
    }
}

fn holder(live: &Live) -> Holder {
    (live.key().clone(), live.revision().map(str::to_owned))
}

/// The same in every gateway of one version; of two versions, each takes its own, which costs a pod too many.
fn weight(function: &Key, revision: &str, uid: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&function.namespace, &function.name, revision, uid).hash(&mut hasher);
    hasher.finish()
}

fn read_member(member: v1::PoolMember) -> Option<Member> {
    Some(Member {
        address: member.address.parse().ok()?,
        claims: member.claims.parse().ok()?,
        pod: member.pod,
        uid: member.uid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, hub::Hub};

    fn member(name: &str) -> v1::PoolMember {
        v1::PoolMember {
            pod: name.into(),
            uid: format!("uid-{name}"),
            address: "10.0.0.1:8012".into(),
            claims: "10.0.0.1:8013".into(),
        }
    }

    fn pool(members: &[&str]) -> PoolNews {
        let members = members.iter().map(|name| member(name)).collect();
        let pool = v1::Pool { namespace: "shop".into(), name: "pool".into(), members };
        PoolNews { pools: vec![pool], ..PoolNews::default() }
    }

    fn ticket(sealed: &[u8], expires: u64) -> PoolNews {
        let function = v1::FunctionRef { namespace: "shop".into(), name: "cart".into() };
        let ticket = v1::PoolTicket {
            function: Some(function),
            revision: "cart-1".into(),
            pool: "pool".into(),
            sealed: sealed.to_vec(),
            proof_key: "key".into(),
            expires,
        };
        PoolNews { tickets: vec![ticket], ..PoolNews::default() }
    }

    fn live() -> Arc<Live> {
        let (hub, _bell) = Hub::new(Clock::start(), 10);
        Arc::new(Live::new(Key::new("shop", "cart"), hub))
    }

    #[test]
    fn a_function_is_offered_a_pod_when_it_has_a_ticket_and_one_waits() {
        let (pools, live) = (Pools::default(), live());
        let mut offers = pools.offers();
        assert!(!pools.offer(&live), "nothing is known");
        pools.hear(pool(&["a"]));
        assert!(!pools.offer(&live), "no ticket");
        pools.hear(ticket(b"sealed", u64::MAX));
        assert!(pools.offer(&live));
        assert_eq!(offers.try_recv().unwrap().member.pod, "a");
        assert!(!pools.offer(&live), "it is taken");
    }

    #[test]
    fn a_pod_taken_here_is_not_offered_again_though_the_operator_still_names_it() {
        let (pools, live) = (Pools::default(), live());
        let _offers = pools.offers();
        pools.hear(ticket(b"sealed", u64::MAX));
        pools.hear(pool(&["a"]));
        assert!(pools.offer(&live));
        pools.hear(pool(&["a"]));
        assert!(!pools.offer(&live));
        pools.hear(pool(&["b"]));
        assert!(pools.offer(&live));
    }

    #[test]
    fn gateways_that_know_the_same_pods_take_the_same_one_for_a_function_and_not_the_same_for_all() {
        let names: Vec<String> = (0..10).map(|number| format!("pod-{number}")).collect();
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let reversed: Vec<&str> = known.iter().rev().copied().collect();
        let taken = |known: &[&str], function: &str| {
            let pools = Pools::default();
            pools.hear(pool(known));
            let (pool, function) = (Key::new("shop", "pool"), Key::new("shop", function));
            let member = pools.inner.lock().member(&pool, &function, "cart-1");
            member.unwrap().pod
        };
        let chosen: HashSet<String> = (0..30)
            .map(|number| {
                let function = format!("cart-{number}");
                assert_eq!(taken(&known, &function), taken(&reversed, &function));
                taken(&known, &function)
            })
            .collect();
        assert!(chosen.len() > 5, "{chosen:?}");
    }

    #[test]
    fn a_revision_with_a_share_has_a_ticket_of_its_own_and_is_not_started_with_the_other_ones() {
        let (pools, main) = (Pools::default(), live());
        let (hub, _bell) = Hub::new(Clock::start(), 10);
        let beside = Live::of_revision(Key::new("shop", "cart"), "cart-2", hub, Arc::default());
        let beside = Arc::new(beside);
        let mut offers = pools.offers();
        pools.hear(pool(&["a", "b"]));
        pools.hear(ticket(b"of cart-1", u64::MAX));
        assert!(!pools.offer(&beside));
        let mut other = ticket(b"of cart-2", u64::MAX).tickets;
        other[0].revision = "cart-2".into();
        pools.hear(PoolNews { beside: other, ..PoolNews::default() });
        assert!(pools.offer(&beside) && pools.offer(&main));
        assert_eq!(offers.try_recv().unwrap().ticket.revision, "cart-2");
        assert_eq!(offers.try_recv().unwrap().ticket.revision, "cart-1");
    }

    #[test]
    fn a_ticket_that_was_withdrawn_or_is_too_old_is_none() {
        let (pools, live) = (Pools::default(), live());
        let _offers = pools.offers();
        pools.hear(pool(&["a"]));
        pools.hear(ticket(b"sealed", 1));
        assert!(!pools.offer(&live));
        pools.hear(ticket(b"sealed", u64::MAX));
        pools.hear(ticket(b"", 0));
        assert!(!pools.offer(&live));
    }

    #[test]
    fn without_anybody_to_make_claims_nothing_is_offered() {
        let (pools, live) = (Pools::default(), live());
        pools.hear(pool(&["a"]));
        pools.hear(ticket(b"sealed", u64::MAX));
        assert!(!pools.offer(&live));
    }
}
