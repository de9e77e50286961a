//! Room that the connections of a worker share: one that waits holds none, and the next request finds it warm.
//!
//! Bytes are read into a block. What was read is taken off it and belongs to its request; the rest of the block is the next
//! reader's. A block is free when the last request with a part of it is over, so that a slow one holds [`BLOCK`] bytes at most.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::BytesMut;

/// What is read into.
#[derive(Default)]
pub(crate) struct Block(RefCell<BytesMut>);

/// Things that are dear to make, for whoever needs one next. The last one that came back is the first that goes.
pub(crate) struct Spares<T>(RefCell<Vec<T>>);

/// Where a future runs that is too large for each connection to have room for it.
pub(crate) struct Place<F>(Pin<Box<Option<F>>>);

/// Bytes of a block: dozens of usual heads.
const BLOCK: usize = 16 * 1024;
/// The least room that a read gets: less would be a system call for little.
const LEAST: usize = 4096;
/// The most spares of a kind. More requests at a time make theirs as they come.
const SPARES: usize = 256;

// === impl Block ===

impl Block {
    /// Lets `read` fill the block from where it is free. What it filled is in `into` then, in the place of what was there.
    pub(crate) fn read<R>(&self, into: &mut BytesMut, read: impl FnOnce(&mut BytesMut) -> R) -> R {
        let mut block = self.0.borrow_mut();
        if block.capacity() < LEAST {
            block.reserve(BLOCK);
        }
        let outcome = read(&mut block);
        if !block.is_empty() {
            *into = block.split();
        }
        outcome
    }
}

// === impl Spares ===

impl<T: Default> Spares<T> {
    /// One that was kept, or a new one.
    pub(crate) fn take(&self) -> T {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps one that is as good as new.
    pub(crate) fn keep(&self, spare: T) {
        let mut spares = self.0.borrow_mut();
        if spares.len() < SPARES {
            spares.push(spare);
        }
    }
}

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

// === impl Place ===

impl<F: Future> Place<F> {
    /// Puts a future in; the one that was there is dropped.
    pub(crate) fn put(&mut self, future: F) {
        self.0.set(Some(future));
    }

    /// Drops the future that is there.
    pub(crate) fn clear(&mut self) {
        self.0.set(None);
    }

    /// Polls the future that is there. Where there is none, nothing is to come.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().as_pin_mut().map_or(Poll::Pending, |future| future.poll(cx))
    }
}

impl<F> Default for Place<F> {
    fn default() -> Self {
        Self(Box::pin(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_share_a_block_until_little_of_it_is_left() {
        let block = Block::default();
        let read = |bytes: usize| {
            let mut into = BytesMut::new();
            let room = block.read(&mut into, |free| {
                let room = free.capacity();
                free.resize(bytes, b'x');
                room
            });
            (room, into)
        };
        let (first, head) = read(100);
        let (second, _) = read(BLOCK - LEAST - 100);
        let (third, _) = read(1);
        assert_eq!((first, second, third), (BLOCK, BLOCK - 100, LEAST));
        // Another one: a part of the first is still in use.
        let (fourth, _) = read(1);
        assert_eq!((fourth, &head[..]), (BLOCK, &[b'x'; 100][..]));
    }

    #[test]
    fn a_read_of_nothing_leaves_what_was_there() {
        let mut into = BytesMut::from("half a head");
        Block::default().read(&mut into, |_| ());
        assert_eq!(into, "half a head");
    }

    #[test]
    fn no_more_spares_are_kept_than_a_busy_worker_needs() {
        let spares = Spares::<Vec<u8>>::default();
        for _ in 0..2 * SPARES {
            spares.keep(Vec::with_capacity(1));
        }
        let kept = (0..2 * SPARES).filter(|_| spares.take().capacity() > 0).count();
        assert_eq!(kept, SPARES);
    }
}
