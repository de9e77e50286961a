//! A request's body that can be sent again: what was read of it is kept while it fits the replay buffer, and a longer
//! one is held back until the instance says `100 Continue`.
//!
//! An attempt reads first what the buffer has and then the body itself. The body stays outside the attempt, so an attempt
//! that ends early (refused before the 100, connection lost) takes nothing with it but what it read beyond the buffer.
//! Two attempts never read at once: a new one puts the old one off.

use std::{
    cell::{Cell, RefCell},
    fmt,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::{
    body::{Body, BodyError},
    gate::Gate,
};

/// How much of a body is kept for another attempt, in bytes: a small JSON event fits, and ten thousand waiting requests
/// still stay under a GiB.
pub const REPLAY_BUFFER: usize = 64 * 1024;

/// A request's body, ready to be sent once, and again where nothing of it was lost.
///
/// An empty body costs nothing here.
#[derive(Clone, Default)]
pub struct Replay {
    shared: Option<Rc<Shared>>,
}

/// One attempt's view of the body; inside a [`Body`].
pub(crate) struct Attempt {
    shared: Rc<Shared>,
    number: u32,
    /// Chunks of the buffer that this attempt has read.
    chunk: usize,
    told_trailers: bool,
    gate: Option<Arc<Gate>>,
}

/// Puts an attempt off from outside: once its answer has been read, nobody wants the rest of its body.
///
/// Dropped, it does so.
pub(crate) struct Recall {
    shared: Option<Rc<Shared>>,
    number: u32,
}

struct Shared {
    /// The attempt that may read. Later ones put earlier ones off.
    current: Cell<u32>,
    /// The attempt that has read the body to its end.
    finished: Cell<u32>,
    /// Whoever waits for more of the body, to be told when it is put off.
    reader: RefCell<Option<Waker>>,
    state: RefCell<State>,
}

struct State {
    source: Body,
    limit: usize,
    /// What was read so far, until an attempt has read more than the limit.
    chunks: Vec<Bytes>,
    kept: usize,
    forgotten: bool,
    read: u64,
    trailers: Option<HeaderMap>,
    end: SourceEnd,
    /// Why it broke, until an attempt has told.
    failure: Option<BodyError>,
    declared: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SourceEnd {
    No,
    Reached,
    Broken,
}

// === impl Replay ===

impl Replay {
    /// Takes a body, to keep up to `limit` bytes of it ([`REPLAY_BUFFER`]) for another attempt.
    #[must_use]
    pub fn new(body: Body, limit: usize) -> Self {
        if body.is_end_stream() {
            return Self::default();
        }
        let declared = body.declared();
        let state = State {
            source: body,
            limit,
            chunks: Vec::new(),
            kept: 0,
            forgotten: false,
            read: 0,
            trailers: None,
            end: SourceEnd::No,
            failure: None,
            declared,
        };
        Self {
            shared: Some(Rc::new(Shared {
                current: Cell::new(0),
                finished: Cell::new(0),
                reader: RefCell::new(None),
                state: RefCell::new(state),
            })),
        }
    }

    /// Reads what has already arrived of a body that is short or of unknown length, without waiting: most are here whole by
    /// then, and the cheapest to send. It makes hyper send a waiting client its `100 Continue`: not for requests that carry `expect`.
    pub fn look_ahead(&self) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.state.borrow_mut();
        if state.declared.is_some_and(|length| length > state.limit as u64) {
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        while state.end == SourceEnd::No && state.kept < state.limit {
            match state.poll_source(&mut cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(failure))) => state.failure = Some(failure),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
    }

    /// The body for one more attempt, from its first byte.
    ///
    /// It fails with [`BodyError::Superseded`] if a part is lost: ask [`Self::intact`] before.
    #[must_use]
    pub fn attempt(&self) -> Body {
        let Some(shared) = &self.shared else { return Body::empty() };
        let number = shared.next_attempt();
        let gate = shared.state.borrow().wants_gate().then(Arc::default);
        Body::attempt(Attempt { shared: Rc::clone(shared), number, chunk: 0, told_trailers: false, gate })
    }

    /// Whether another attempt can send the whole body.
    #[must_use]
    pub fn intact(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| {
            let state = shared.state.borrow();
            !state.forgotten && state.end != SourceEnd::Broken
        })
    }

    /// The whole body, where it was read to its end and is still kept.
    #[must_use]
    pub fn whole(&self) -> Option<Bytes> {
        self.shared.as_ref().map_or_else(|| Some(Bytes::new()), |shared| shared.state.borrow().whole())
    }

    /// What another attempt can send in one piece: the whole body, if no trailers follow it. It takes the body over from
    /// attempts before.
    pub(crate) fn loan(&self) -> Option<Bytes> {
        let Some(shared) = &self.shared else { return Some(Bytes::new()) };
        let whole = shared.state.borrow().whole_without_trailers()?;
        shared.next_attempt();
        Some(whole)
    }

    /// Whether the client's side of the body failed: it went away, or sent more than its limit.
    #[must_use]
    pub fn broken(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.state.borrow().end == SourceEnd::Broken)
    }

    /// Bytes read of the body so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.as_ref().map_or(0, |shared| shared.state.borrow().read)
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("bytes", &self.bytes()).field("intact", &self.intact()).finish()
    }
}

// === impl State ===

impl State {
    fn whole(&self) -> Option<Bytes> {
        let ended = self.end == SourceEnd::Reached || self.declared == Some(self.read);
        if self.forgotten || !ended {
            return None;
        }
        match self.chunks.as_slice() {
            [only] => Some(only.clone()),
            chunks => Some(chunks.concat().into()),
        }
    }

    fn whole_without_trailers(&self) -> Option<Bytes> {
        if self.trailers.is_none() && self.end != SourceEnd::Broken { self.whole() } else { None }
    }

    /// A body that is longer than the buffer, or may be, is better refused before it is sent.
    fn wants_gate(&self) -> bool {
        match self.declared {
            Some(length) => length > self.limit as u64,
            None => self.end == SourceEnd::No,
        }
    }

    /// It turned out to be empty: no attempt is ever asked for a frame.
    fn is_nothing(&self) -> bool {
        self.end == SourceEnd::Reached && self.read == 0 && self.trailers.is_none()
    }

    /// The next frame of the body itself, kept for later attempts while it fits.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.source).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.keep(data);
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.trailers = Some(trailers.clone());
                }
                if self.source.is_end_stream() {
                    self.end = SourceEnd::Reached;
                }
            }
            Some(Err(_)) => self.end = SourceEnd::Broken,
            None => self.end = SourceEnd::Reached,
        }
        Poll::Ready(frame)
    }

    fn keep(&mut self, data: &Bytes) {
        self.read += data.len() as u64;
        if !self.forgotten {
            self.kept += data.len();
            self.chunks.push(data.clone());
        }
    }

    /// Gives up on other attempts once this one has read the whole buffer and there is more than its limit.
    fn forget_if_full(&mut self, chunk: &mut usize) {
        if self.kept > self.limit && *chunk == self.chunks.len() {
            self.forgotten = true;
            self.chunks = Vec::new();
            self.kept = 0;
            *chunk = 0;
        }
    }
}

// === impl Shared ===

impl Shared {
    fn next_attempt(&self) -> u32 {
        let number = self.current.get().wrapping_add(1);
        self.current.set(number);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        number
    }

    fn wait(&self, cx: &Context<'_>) {
        let mut reader = self.reader.borrow_mut();
        if !reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            *reader = Some(cx.waker().clone());
        }
    }
}

// === impl Attempt ===

impl Attempt {
    /// The means to put this attempt off.
    pub(crate) fn recall(&self) -> Recall {
        Recall { shared: Some(Rc::clone(&self.shared)), number: self.number }
    }

    /// The gate to open on `100 Continue`, for a body that is held back.
    pub(crate) fn gate(&self) -> Option<&Arc<Gate>> {
        self.gate.as_ref()
    }

    /// All that it would read, if that is here and can be sent in one piece.
    pub(crate) fn whole(&self) -> Option<Bytes> {
        if self.shared.current.get() != self.number || self.chunk > 0 {
            return None;
        }
        self.shared.state.borrow().whole_without_trailers()
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.shared.current.get() != self.number {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(gate) = &self.gate {
            if gate.poll_open(cx).is_pending() {
                self.shared.wait(cx);
                return Poll::Pending;
            }
            self.gate = None;
        }
        let mut state = self.shared.state.borrow_mut();
        if let Some(chunk) = state.chunks.get(self.chunk) {
            let chunk = chunk.clone();
            self.chunk += 1;
            state.forget_if_full(&mut self.chunk);
            self.note_end(&state);
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let frame = match state.end {
            SourceEnd::No => match state.poll_source(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    self.shared.wait(cx);
                    return Poll::Pending;
                }
            },
            SourceEnd::Broken => Some(Err(state.failure.take().unwrap_or(BodyError::Superseded))),
            SourceEnd::Reached if self.told_trailers => None,
            SourceEnd::Reached => state.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))),
        };
        match &frame {
            Some(Ok(frame)) if frame.is_data() => {
                self.chunk = state.chunks.len();
                state.forget_if_full(&mut self.chunk);
            }
            Some(Ok(_)) => self.told_trailers = true,
            _ => {}
        }
        self.note_end(&state);
        Poll::Ready(frame)
    }

    /// The reader may not ask again after the last frame.
    fn note_end(&self, state: &State) {
        if self.at_end(state) {
            self.shared.finished.set(self.number);
        }
    }

    fn at_end(&self, state: &State) -> bool {
        state.end == SourceEnd::Reached
            && self.chunk >= state.chunks.len()
            && (self.told_trailers || state.trailers.is_none())
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.at_end(&self.shared.state.borrow())
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let state = self.shared.state.borrow();
        match state.declared {
            Some(length) if self.chunk == 0 => SizeHint::with_exact(length),
            // Read to its end ahead of time: it goes out with a length, not in chunks.
            None if self.chunk == 0 && state.end == SourceEnd::Reached && state.trailers.is_none() => {
                SizeHint::with_exact(state.kept as u64)
            }
            _ => SizeHint::default(),
        }
    }
}

// === impl Recall ===

impl Recall {
    /// Whether the attempt has read the whole body; if it has not, it never will.
    pub(crate) fn finished(mut self) -> bool {
        self.end()
    }

    /// Leaves the attempt as it is.
    pub(crate) fn forgo(mut self) {
        self.shared = None;
    }

    fn end(&mut self) -> bool {
        let Some(shared) = self.shared.take() else { return false };
        if shared.current.get() != self.number {
            return false;
        }
        let finished = shared.finished.get() == self.number || shared.state.borrow().is_nothing();
        if !finished {
            shared.next_attempt();
        }
        finished
    }
}

impl Drop for Recall {
    fn drop(&mut self) {
        self.end();
    }
}
