//! Tickets and members as the gateways know them: what was told last, and what is news.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use flint_control::v1::{self, OperatorMessage, operator_message::Message};
use flint_core::pool::{NONCE, Ticket, pool_key, proof_key, seal};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::plan::Content;
use crate::{key::Key, settings::MasterKey};

/// What the gateways were told, for those that connect.
#[derive(Default)]
pub(crate) struct Told {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    pools: BTreeMap<Key, v1::Pool>,
    tickets: HashMap<Holder, Issued>,
}

/// Whose a ticket is: a function, and the revision where that is beside the one that the traffic goes to.
pub(crate) type Holder = (Key, Option<String>);

struct Issued {
    content: Content,
    at: Instant,
    message: v1::PoolTicket,
}

/// How long a ticket is good. A gateway that cannot hear of the operator goes on with those it has.
pub(crate) const LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);
/// A new one is made in time.
const RENEWAL: Duration = Duration::from_secs(60 * 60);
/// Tickets and pools of one message: a ticket has one or two KiB, seldom more.
const BATCH: usize = 32;

// === impl Told ===

impl Told {
    /// Everything, for a gateway that connects.
    pub(crate) fn all(&self) -> Vec<OperatorMessage> {
        let inner = self.inner.lock();
        let pools = inner.pools.values().cloned().collect();
        let (main, beside) =
            inner.tickets.iter().partition::<Vec<_>, _>(|((_, revision), _)| revision.is_none());
        let messages = |issued: Vec<(&Holder, &Issued)>| {
            issued.iter().map(|(_, issued)| issued.message.clone()).collect()
        };
        batches(pools, messages(main), messages(beside))
    }

    /// Takes in what a namespace's pools and tickets are now, and gives what is news. `unix` is the time in seconds, and `nonce` makes numbers that
    /// never come again.
    pub(crate) fn update(
        &self,
        namespace: &str,
        pools: Vec<v1::Pool>,
        tickets: &BTreeMap<Holder, Content>,
        master: &MasterKey,
        unix: u64,
        nonce: impl Fn() -> [u8; NONCE],
    ) -> Vec<OperatorMessage> {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let mut news = Vec::new();
        let gone: Vec<Key> = inner.pools.keys().filter(|key| key.namespace == namespace).cloned().collect();
        let mut pools: BTreeMap<Key, v1::Pool> =
            pools.into_iter().map(|pool| (Key::new(&pool.namespace, &pool.name), pool)).collect();
        for key in gone {
            if !pools.contains_key(&key) {
                inner.pools.remove(&key);
                news.push(v1::Pool { namespace: key.namespace, name: key.name, members: Vec::new() });
            }
        }
        pools.retain(|key, pool| inner.pools.get(key) != Some(pool));
        for (key, pool) in pools {
            inner.pools.insert(key, pool.clone());
            news.push(pool);
        }

        let (mut main, mut beside) = (Vec::new(), Vec::new());
        inner.tickets.retain(|holder, issued| {
            let (key, revision) = holder;
            let stays = key.namespace != namespace || tickets.contains_key(holder);
            if !stays {
                let fresh = if revision.is_none() { &mut main } else { &mut beside };
                fresh.push(withdrawn(key, &issued.message));
            }
            stays
        });
        for (holder, content) in tickets {
            let (key, revision) = holder;
            let known = inner.tickets.get(holder);
            if known.is_some_and(|issued| issued.content == *content && now - issued.at < RENEWAL) {
                continue;
            }
            let Some(message) = issue(key, content, master, unix + LIFETIME.as_secs(), nonce()) else {
                continue;
            };
            let fresh = if revision.is_none() { &mut main } else { &mut beside };
            fresh.push(message.clone());
            inner.tickets.insert(holder.clone(), Issued { content: content.clone(), at: now, message });
        }
        drop(inner);
        batches(news, main, beside)
    }
}

fn issue(
    function: &Key,
    content: &Content,
    master: &MasterKey,
    expires: u64,
    nonce: [u8; NONCE],
) -> Option<v1::PoolTicket> {
    let key = pool_key(master.bytes(), &function.namespace, &content.pool);
    let ticket = Ticket { expires, environment: content.environment.clone() };
    let sealed = seal(&key, &content.pool, nonce, &ticket).ok()?;
    Some(v1::PoolTicket {
        function: Some(reference(function)),
        revision: content.revision.clone(),
        pool: content.pool.clone(),
        proof_key: proof_key(&key, &sealed),
        sealed,
        expires,
    })
}

fn withdrawn(function: &Key, last: &v1::PoolTicket) -> v1::PoolTicket {
    v1::PoolTicket {
        function: Some(reference(function)),
        revision: last.revision.clone(),
        pool: last.pool.clone(),
        ..v1::PoolTicket::default()
    }
}

fn reference(function: &Key) -> v1::FunctionRef {
    v1::FunctionRef { namespace: function.namespace.clone(), name: function.name.clone() }
}

fn batches(
    pools: Vec<v1::Pool>,
    main: Vec<v1::PoolTicket>,
    beside: Vec<v1::PoolTicket>,
) -> Vec<OperatorMessage> {
    let message = |news| OperatorMessage { message: Some(Message::Pools(news)) };
    let main =
        main.chunks(BATCH).map(|tickets| v1::PoolNews { tickets: tickets.to_vec(), ..Default::default() });
    let beside =
        beside.chunks(BATCH).map(|beside| v1::PoolNews { beside: beside.to_vec(), ..Default::default() });
    let pools = pools.chunks(BATCH).map(|pools| v1::PoolNews { pools: pools.to_vec(), ..Default::default() });
    main.chain(beside).chain(pools).map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(revision: &str) -> Content {
        Content {
            revision: revision.into(),
            pool: "pool".into(),
            environment: vec![("A".into(), "1".into())],
        }
    }

    fn update(told: &Told, tickets: &[(&str, Content)], members: usize) -> Vec<v1::PoolNews> {
        let tickets =
            tickets.iter().map(|(name, content)| ((Key::new("shop", name), None), content.clone())).collect();
        let member = v1::PoolMember {
            pod: "p".into(),
            uid: "u".into(),
            address: "10.0.0.1:8012".into(),
            claims: "10.0.0.1:8013".into(),
        };
        let pool = v1::Pool { namespace: "shop".into(), name: "pool".into(), members: vec![member; members] };
        let master = MasterKey::new("a master key of thirty-two bytes");
        told.update("shop", vec![pool], &tickets, &master, 1_000, || [1; NONCE])
            .into_iter()
            .map(|message| match message.message {
                Some(Message::Pools(news)) => news,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn only_news_is_told_and_a_newcomer_hears_all() {
        let told = Told::default();
        assert_eq!(update(&told, &[("cart", content("cart-1"))], 1).len(), 2);
        assert!(update(&told, &[("cart", content("cart-1"))], 1).is_empty());
        assert_eq!(told.all().len(), 2);
        let news = update(&told, &[("cart", content("cart-2"))], 1);
        assert_eq!(news[0].tickets[0].revision, "cart-2");
        let news = update(&told, &[("cart", content("cart-2"))], 2);
        assert_eq!(news[0].pools[0].members.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_withdrawn_when_its_function_does_not_fit_any_more() {
        let told = Told::default();
        update(&told, &[("cart", content("cart-1"))], 1);
        let news = update(&told, &[], 1);
        assert!(news[0].tickets[0].sealed.is_empty());
        assert_eq!(told.all().len(), 1, "the pool is still there");
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_made_anew_before_it_expires() {
        let told = Told::default();
        update(&told, &[("cart", content("cart-1"))], 1);
        tokio::time::advance(RENEWAL).await;
        assert_eq!(update(&told, &[("cart", content("cart-1"))], 1)[0].tickets.len(), 1);
    }
}
