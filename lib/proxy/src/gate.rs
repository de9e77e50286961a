//! Holds a body back until the instance wants it.
//!
//! It is the only part of a body that other threads could see, because hyper wants its callback for informational answers
//! `Send`: an atomic flag and a waker.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use futures::task::AtomicWaker;

/// Closed until the instance says `100 Continue`, or has said nothing for a while.
#[derive(Default)]
pub(crate) struct Gate {
    open: AtomicBool,
    waker: AtomicWaker,
}

// === impl Gate ===

impl Gate {
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(crate) fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_open() {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        if self.is_open() { Poll::Ready(()) } else { Poll::Pending }
    }
}
