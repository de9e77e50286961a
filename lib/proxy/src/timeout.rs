//! Deadlines for requests at the price of a list insertion: a hashed wheel per worker, turned by one task.
//!
//! A tokio timer costs a lock and, whenever it is the earliest, a wake-up of the driver. A proxy sets a deadline per request
//! and almost never reaches one, so what counts is setting and dropping. Here both are O(1) on a worker's own memory, and
//! the price is precision: a deadline is noticed up to one [`TICK`] late, never early.
//!
//! The one task behind it sleeps until the next deadline that it knows of. A deadline that is dropped before leaves it asleep, and one
//! that is set wakes it only if it is the next: where all requests have the same time, that is never.

use std::{
    cell::RefCell,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::Instant;

/// The wheel's precision. 10 ms, because timeouts of functions are seconds, and a tick costs a wake-up.
pub const TICK: Duration = Duration::from_millis(10);

/// A power of two, so that the slot is a mask: a turn of the wheel is 10 s, and longer deadlines stay for several.
const SLOTS: usize = 1024;

/// No entry: the end of a slot's list.
const NIL: u32 = u32::MAX;

/// A worker's deadlines. Clones are the same wheel.
#[derive(Clone)]
pub struct Timers {
    wheel: Rc<RefCell<Wheel>>,
    epoch: Instant,
}

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deadline passed")]
pub struct Elapsed;

pin_project! {
    /// See [`Timers::timeout`].
    pub struct Timeout<F> {
        #[pin]
        future: F,
        entry: Entry,
    }
}

/// A deadline in the wheel, removed when dropped.
struct Entry {
    timers: Timers,
    tick: u64,
    index: Option<u32>,
}

struct Wheel {
    /// The first entry of each slot.
    slots: Box<[u32; SLOTS]>,
    entries: Vec<Node>,
    free: u32,
    set: usize,
    /// Ticks up to this one have been handled.
    now: u64,
    /// The tick that the task sleeps until, or [`NEVER`].
    alarm: u64,
    /// The task.
    task: Option<Waker>,
}

/// The tick of an alarm that is not set.
const NEVER: u64 = u64::MAX;
/// Further than this nobody sleeps at once: about a year, which every clock can add to its time.
const FURTHEST: u64 = 3_000_000_000;

struct Node {
    previous: u32,
    next: u32,
    tick: u64,
    fired: bool,
    waker: Option<Waker>,
}

// === impl Timers ===

impl Timers {
    /// A wheel and its task, on this thread's local runtime.
    ///
    /// # Panics
    ///
    /// Outside of a `LocalRuntime` or `LocalSet`.
    #[must_use]
    pub fn start() -> Self {
        let timers = Self {
            wheel: Rc::new(RefCell::new(Wheel {
                slots: Box::new([NIL; SLOTS]),
                entries: Vec::new(),
                free: NIL,
                set: 0,
                now: 0,
                alarm: NEVER,
                task: None,
            })),
            epoch: Instant::now(),
        };
        tokio::task::spawn_local(turn(Rc::downgrade(&timers.wheel), timers.epoch));
        timers
    }

    /// Waits for the future, at most until the deadline.
    pub fn timeout<F: Future>(&self, deadline: Instant, future: F) -> Timeout<F> {
        let tick = ticks(self.epoch, deadline);
        Timeout { future, entry: Entry { timers: self.clone(), tick, index: None } }
    }

    /// Waits until the deadline.
    pub async fn sleep_until(&self, deadline: Instant) {
        let _elapsed = self.timeout(deadline, std::future::pending::<()>()).await;
    }

    /// Deadlines that are set and not passed.
    #[must_use]
    pub fn set(&self) -> usize {
        self.wheel.borrow().set
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("set", &self.set()).finish()
    }
}

/// The first tick that is not before the deadline.
fn ticks(epoch: Instant, deadline: Instant) -> u64 {
    let after = deadline.saturating_duration_since(epoch);
    passed(after).saturating_add(u64::from(!after.subsec_nanos().is_multiple_of(TICK.subsec_nanos())))
}

/// Whole ticks in a length of time: of the seconds and of their rest each by themselves, so that no 128 bits are divided.
fn passed(time: Duration) -> u64 {
    const { assert!(1_000_000_000_u128.is_multiple_of(TICK.as_nanos())) };
    let a_second = 1_000_000_000 / TICK.subsec_nanos();
    time.as_secs()
        .saturating_mul(u64::from(a_second))
        .saturating_add((time.subsec_nanos() / TICK.subsec_nanos()).into())
}

async fn turn(wheel: Weak<RefCell<Wheel>>, epoch: Instant) {
    loop {
        let Some(alarm) = poll_fn(|cx| poll_alarm(&wheel, cx)).await else { return };
        let time = TICK.saturating_mul(u32::try_from(alarm.min(FURTHEST)).unwrap_or(u32::MAX));
        let mut sleep = std::pin::pin!(tokio::time::sleep_until(epoch + time));
        poll_fn(|cx| {
            // An earlier deadline was set, or nobody is left: begin again.
            let stands = wheel.upgrade().is_some_and(|wheel| wheel.borrow().alarm == alarm);
            if stands { sleep.as_mut().poll(cx) } else { Poll::Ready(()) }
        })
        .await;
        let Some(wheel) = wheel.upgrade() else { return };
        let elapsed = passed(Instant::now().saturating_duration_since(epoch));
        wheel.borrow_mut().advance(elapsed);
    }
}

/// Waits until a deadline is set, and sets the alarm for the next one. None when the wheel is gone.
fn poll_alarm(wheel: &Weak<RefCell<Wheel>>, cx: &Context<'_>) -> Poll<Option<u64>> {
    let Some(wheel) = wheel.upgrade() else { return Poll::Ready(None) };
    let mut wheel = wheel.borrow_mut();
    wheel.task = Some(cx.waker().clone());
    wheel.alarm = wheel.next();
    if wheel.alarm == NEVER { Poll::Pending } else { Poll::Ready(Some(wheel.alarm)) }
}

// === impl Timeout ===

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if this.entry.poll(cx) { Poll::Ready(Err(Elapsed)) } else { Poll::Pending }
    }
}

// === impl Entry ===

impl Entry {
    /// Whether the deadline passed; otherwise the task is woken when it does.
    fn poll(&mut self, cx: &Context<'_>) -> bool {
        let mut wheel = self.timers.wheel.borrow_mut();
        if let Some(index) = self.index {
            let node = &mut wheel.entries[index as usize];
            if !node.fired && !node.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                node.waker = Some(cx.waker().clone());
            }
            return node.fired;
        }
        if self.tick <= wheel.now {
            return true;
        }
        self.index = Some(wheel.insert(self.tick, cx.waker().clone()));
        false
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            self.timers.wheel.borrow_mut().remove(index);
        }
    }
}

// === impl Wheel ===

impl Wheel {
    /// The tick of the next deadline, or [`NEVER`]: a look at every deadline, once for each alarm.
    fn next(&self) -> u64 {
        let set = self.slots.iter().flat_map(|first| {
            let node = |index: u32| self.entries.get(index as usize);
            std::iter::successors(node(*first), move |last| node(last.next))
        });
        set.map(|node| node.tick).min().unwrap_or(NEVER)
    }

    fn insert(&mut self, tick: u64, waker: Waker) -> u32 {
        let slot = slot(tick);
        let node = Node { previous: NIL, next: self.slots[slot], tick, fired: false, waker: Some(waker) };
        let index = if self.free == NIL {
            self.entries.push(node);
            u32::try_from(self.entries.len() - 1).unwrap_or(NIL)
        } else {
            let index = self.free;
            self.free = self.entries[index as usize].next;
            self.entries[index as usize] = node;
            index
        };
        let next = std::mem::replace(&mut self.slots[slot], index);
        if next != NIL {
            self.entries[next as usize].previous = index;
        }
        self.set += 1;
        if tick < self.alarm {
            self.alarm = tick;
            if let Some(task) = &self.task {
                task.wake_by_ref();
            }
        }
        index
    }

    fn remove(&mut self, index: u32) {
        if !self.entries[index as usize].fired {
            self.unlink(index);
        }
        let node = &mut self.entries[index as usize];
        node.waker = None;
        node.next = std::mem::replace(&mut self.free, index);
    }

    fn unlink(&mut self, index: u32) {
        let Node { previous, next, tick, .. } = self.entries[index as usize];
        if previous == NIL {
            self.slots[slot(tick)] = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        if next != NIL {
            self.entries[next as usize].previous = previous;
        }
        self.set -= 1;
    }

    /// Fires every entry up to the tick.
    fn advance(&mut self, tick: u64) {
        // After a turn every slot has been seen, however long the task was away.
        let first = (self.now + 1).max(tick.saturating_sub(SLOTS as u64 - 1));
        self.now = self.now.max(tick);
        for passed in first..=tick {
            let mut index = self.slots[slot(passed)];
            while index != NIL {
                let node = &mut self.entries[index as usize];
                let next = node.next;
                if node.tick <= tick {
                    let waker = node.waker.take();
                    self.unlink(index);
                    self.entries[index as usize].fired = true;
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
                index = next;
            }
        }
    }
}

fn slot(tick: u64) -> usize {
    usize::try_from(tick % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn a_deadline_passes_when_its_time_comes_and_not_before() {
        let timers = Timers::start();
        let start = Instant::now();
        let outcome = timers.timeout(start + Duration::from_secs(30), std::future::pending::<()>()).await;
        assert_eq!(outcome, Err(Elapsed));
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(30), "{waited:?}");
        assert!(waited <= Duration::from_secs(30) + 2 * TICK, "{waited:?}");
        assert_eq!(timers.set(), 0);
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn deadlines_pass_in_order_whatever_turn_of_the_wheel_they_are_in() {
        let timers = Timers::start();
        let start = Instant::now();
        let seconds = [25, 5, 15, 5, 1];
        let mut passed: Vec<u64> = Vec::new();
        let mut waits = futures::stream::FuturesUnordered::new();
        for second in seconds {
            let timers = timers.clone();
            waits.push(async move {
                timers.sleep_until(start + Duration::from_secs(second)).await;
                second
            });
        }
        while let Some(second) = futures::StreamExt::next(&mut waits).await {
            passed.push(second);
        }
        assert_eq!(passed, [1, 5, 5, 15, 25]);
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn a_future_that_is_done_leaves_no_deadline_behind() {
        let timers = Timers::start();
        let work = tokio::time::sleep(Duration::from_secs(1));
        assert_eq!(timers.timeout(Instant::now() + Duration::from_secs(30), work).await, Ok(()));
        assert_eq!(timers.set(), 0);
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn an_earlier_deadline_is_not_kept_waiting_by_a_later_one() {
        let timers = Timers::start();
        let start = Instant::now();
        let later = timers.sleep_until(start + Duration::from_secs(3600));
        let earlier = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            timers.sleep_until(start + Duration::from_secs(2)).await;
            let waited = start.elapsed();
            assert!(
                waited >= Duration::from_secs(2) && waited <= Duration::from_secs(2) + 2 * TICK,
                "{waited:?}"
            );
        };
        tokio::join!(earlier, later);
        assert!(start.elapsed() <= Duration::from_secs(3600) + 2 * TICK, "{:?}", start.elapsed());
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn deadlines_that_are_set_and_dropped_do_not_wake_the_task() {
        let timers = Timers::start();
        let hour = Duration::from_secs(3600);
        for _ in 0..100 {
            let work = tokio::time::sleep(Duration::from_millis(100));
            timers.timeout(Instant::now() + hour, work).await.unwrap();
        }
        // It sleeps until the first of them would have passed.
        assert_eq!(timers.wheel.borrow().alarm, hour.as_millis() as u64 / 10);
        assert_eq!(timers.wheel.borrow().now, 0);
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn a_wheel_that_stood_still_is_right_again() {
        let timers = Timers::start();
        tokio::time::sleep(Duration::from_secs(100)).await;
        let start = Instant::now();
        timers.sleep_until(start + Duration::from_millis(50)).await;
        assert!(start.elapsed() <= Duration::from_millis(50) + 2 * TICK, "{:?}", start.elapsed());
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn a_deadline_in_the_past_passes_at_once() {
        let timers = Timers::start();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let past = Instant::now() - Duration::from_millis(500);
        assert_eq!(timers.timeout(past, std::future::pending::<()>()).await, Err(Elapsed));
    }
}
