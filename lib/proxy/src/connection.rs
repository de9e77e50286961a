//! A client's connection as the handler sees it, and the worker's list of them, swept for those that overstay.

use std::{
    cell::{Cell, RefCell},
    fmt,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue};
use tokio::{sync::Notify, time::Instant};

use crate::{
    activity::{Activity, Clock},
    stock::{Block, Spares},
};

/// How often connections are looked at. Their limits are seconds, so that half of one is precise enough.
const SWEEP: Duration = Duration::from_millis(500);

/// How long a client may go on sending after it got its last answer. nginx's 5 s: by then it has read the answer.
const LINGER: Duration = Duration::from_secs(5);

/// The length of a `date`, in bytes.
pub(crate) const DATE: usize = 29;

/// The part of its connections that a full worker closes at a time: looking for them costs a look at each.
const EVICTED: usize = 64;

/// A client's connection.
pub struct Connection {
    peer: SocketAddr,
    local: SocketAddr,
    worker: usize,
    protocol: Cell<Protocol>,
    forwarded_for: HeaderValue,
    pub(crate) activity: Arc<Activity>,
    command: Cell<Command>,
    task: RefCell<Option<Waker>>,
    /// Its place in the list.
    place: Cell<usize>,
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// What clients are allowed to take, in time and room.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections of one worker. At the limit those that have been idle the longest are closed for new ones; while none is
    /// idle, clients wait in the backlog.
    pub connections: usize,
    /// From the first byte of a head, or from the connection, until the head is whole.
    pub header_time: Duration,
    /// How long a connection may stay between requests.
    pub keep_alive: Duration,
    /// How long a client may take nothing of what is written to it.
    pub write_stall: Duration,
    /// Header fields of a request; more are answered 431.
    pub headers: usize,
    /// Bytes of a request's head; more are answered 431.
    pub header_bytes: usize,
    /// Streams at a time on one HTTP/2 connection.
    pub streams: u32,
}

/// What the sweep or the drain wants of a connection's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    GoOn,
    /// Finish what is in flight, take nothing more.
    Close,
    /// End now.
    Drop,
}

/// The open connections of one worker.
pub(crate) struct Connections {
    list: RefCell<Vec<Rc<Connection>>>,
    limits: Limits,
    clock: Clock,
    epoch: Instant,
    draining: Cell<bool>,
    /// The `date` of answers, as of the last sweep.
    date: Cell<[u8; DATE]>,
    /// Told when there is a first one.
    first: Notify,
    /// Told when one ends: the acceptor waits for room, the drain for the last, and both may at once.
    changed: Rc<Notify>,
    /// What requests are read into.
    pub(crate) block: Block,
    /// What answers are written in.
    pub(crate) runs: Spares<Vec<u8>>,
    /// Maps of answers that are sent, to be requests'.
    pub(crate) maps: Spares<HeaderMap>,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            // About 1 GiB of buffers at worst, and under the usual limit of open files.
            connections: 16_384,
            header_time: Duration::from_secs(10),
            // Over the 60 s that load balancers keep idle connections for, so that they close first.
            keep_alive: Duration::from_secs(75),
            write_stall: Duration::from_secs(60),
            // hyper parses up to 100 on the stack; any other number costs an allocation for each request.
            headers: 100,
            header_bytes: 64 * 1024,
            streams: 200,
        }
    }
}

// === impl Connection ===

impl Connection {
    /// The client's address, as the socket has it.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address it came to.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The worker that serves it.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// What it speaks.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol.get()
    }

    /// The client's address as a header's value, made once for all its requests.
    #[must_use]
    pub fn forwarded_for(&self) -> &HeaderValue {
        &self.forwarded_for
    }

    /// Lets this connection end after what is in flight on it.
    pub fn close(&self) {
        self.tell(Command::Close);
    }

    /// Whether it is to end after what is in flight on it.
    pub(crate) fn is_ending(&self) -> bool {
        self.command.get() != Command::GoOn
    }

    pub(crate) fn set_protocol(&self, protocol: Protocol) {
        self.protocol.set(protocol);
    }

    /// What the task is to do; it is woken when that changes.
    pub(crate) fn listen(&self, cx: &Context<'_>) -> Command {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        self.command.get()
    }

    fn tell(&self, command: Command) {
        if self.command.get() == command || self.command.get() == Command::Drop {
            return;
        }
        self.command.set(command);
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }

    /// Since when no request is under way on it, where none is and it has not been told to end yet.
    fn idle_since(&self) -> Option<u64> {
        let idle = self.activity.in_flight() == 0 && self.command.get() == Command::GoOn;
        idle.then(|| self.activity.idle_since())
    }

    fn overstays(&self, now: u64, limits: &Limits) -> Command {
        let longer = |since: u64, limit: Duration| u128::from(now.saturating_sub(since)) >= limit.as_millis();
        if self.activity.lingering_since().is_some_and(|since| longer(since, LINGER)) {
            return Command::Drop;
        }
        if self.activity.stalled_since().is_some_and(|since| longer(since, limits.write_stall)) {
            return Command::Drop;
        }
        if self.activity.in_flight() > 0 {
            return Command::GoOn;
        }
        match self.activity.head_since() {
            // On HTTP/2 bytes that are no request yet may be a ping: only a first request is awaited.
            Some(since) if self.protocol() == Protocol::Http1 && longer(since, limits.header_time) => {
                Command::Drop
            }
            _ if longer(self.activity.idle_since(), limits.keep_alive) => Command::Close,
            _ => Command::GoOn,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("protocol", &self.protocol())
            .field("in_flight", &self.activity.in_flight())
            .finish_non_exhaustive()
    }
}

// === impl Connections ===

impl Connections {
    pub(crate) fn new(limits: Limits, changed: Rc<Notify>) -> Rc<Self> {
        Rc::new(Self {
            list: RefCell::new(Vec::new()),
            limits,
            clock: Clock::new(),
            epoch: Instant::now(),
            draining: Cell::new(false),
            date: Cell::new(date(SystemTime::now())),
            first: Notify::new(),
            changed,
            block: Block::default(),
            runs: Spares::default(),
            maps: Spares::default(),
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The time as the `date` of an answer has it, half a second late at most.
    pub(crate) fn date(&self) -> [u8; DATE] {
        self.date.get()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.borrow().len()
    }

    /// Waits until there is room for one more. Whoever holds thousands of connections and says nothing must not keep others out.
    pub(crate) async fn room(&self) {
        while self.len() >= self.limits.connections {
            self.close_idle(self.limits.connections / EVICTED + 1);
            self.changed.notified().await;
        }
    }

    /// Closes so many of those that no request is under way on, first who has been silent the longest.
    fn close_idle(&self, count: usize) {
        let list = self.list.borrow();
        let mut idle: Vec<(u64, &Rc<Connection>)> =
            list.iter().filter_map(|connection| Some((connection.idle_since()?, connection))).collect();
        let count = count.min(idle.len());
        if count < idle.len() {
            idle.select_nth_unstable_by_key(count, |(since, _)| *since);
        }
        for (_, connection) in &idle[..count] {
            // Half a head would be waited for.
            let begun = connection.activity.head_since().is_some();
            connection.tell(if begun { Command::Drop } else { Command::Close });
        }
    }

    pub(crate) fn add(&self, peer: SocketAddr, local: SocketAddr, worker: usize) -> Rc<Connection> {
        let mut list = self.list.borrow_mut();
        if list.is_empty() {
            // The sweep, and with it clock and date, stands still while there is nobody.
            self.clock.set(self.now());
            self.date.set(date(SystemTime::now()));
            self.first.notify_one();
        }
        let connection = Rc::new(Connection {
            peer,
            local,
            worker,
            protocol: Cell::new(Protocol::Http1),
            forwarded_for: address_value(peer.ip()),
            activity: Activity::new(self.clock.clone()),
            command: Cell::new(if self.draining.get() { Command::Close } else { Command::GoOn }),
            task: RefCell::new(None),
            place: Cell::new(list.len()),
        });
        list.push(Rc::clone(&connection));
        connection
    }

    pub(crate) fn remove(&self, connection: &Connection) {
        let mut list = self.list.borrow_mut();
        let place = connection.place.get();
        list.swap_remove(place);
        if let Some(moved) = list.get(place) {
            moved.place.set(place);
        }
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// Tells those that speak HTTP/2 to end after what is in flight on them. Those of HTTP/1 hear it with their next answer.
    pub(crate) fn go_away(&self) {
        for connection in self.list.borrow().iter().filter(|one| one.protocol() == Protocol::Http2) {
            connection.tell(Command::Close);
        }
    }

    /// From now on every connection ends after what is in flight on it.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        for connection in self.list.borrow().iter() {
            connection.tell(Command::Close);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Looks after the connections for ever. A process without any is not woken for it.
    pub(crate) async fn sweep(&self) {
        loop {
            while self.len() == 0 {
                self.first.notified().await;
            }
            tokio::time::sleep(SWEEP).await;
            let now = self.now();
            self.clock.set(now);
            self.date.set(date(SystemTime::now()));
            for connection in self.list.borrow().iter() {
                let command = connection.overstays(now, &self.limits);
                if command != Command::GoOn {
                    connection.tell(command);
                }
            }
        }
    }
}

fn date(time: SystemTime) -> [u8; DATE] {
    let text = httpdate::fmt_http_date(time);
    text.as_bytes().try_into().unwrap_or(*b"Thu, 01 Jan 1970 00:00:00 GMT")
}

fn address_value(address: IpAddr) -> HeaderValue {
    // An IPv4 client of a dual-stack socket is shown as what it is.
    HeaderValue::try_from(address.to_canonical().to_string())
        .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_been_silent_the_longest_goes_first_and_nobody_with_a_request_under_way() {
        let connections = Connections::new(Limits::default(), Rc::default());
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let [busy, idle, begun, late] = [1, 2, 3, 4].map(|now| {
            connections.clock.set(now);
            connections.add(address, address, 0)
        });
        busy.activity.begin();
        idle.activity.begin();
        connections.clock.set(2);
        idle.activity.end();
        connections.close_idle(2);
        let told = [&busy, &idle, &begun, &late].map(|connection| connection.command.get());
        assert_eq!(told, [Command::GoOn, Command::Close, Command::Drop, Command::GoOn]);
        connections.close_idle(2);
        assert_eq!((busy.command.get(), late.command.get()), (Command::GoOn, Command::Drop));
    }
}
