//! An answer's body with a limit on its time: by the function's deadline, or by how long it may say nothing.

use std::{
    future::{Future, Pending, pending},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use flint_proxy::{Body, BoxError, Timeout, Timers};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

/// What limits a body's time.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// No limit: the body is here already.
    Free,
    /// It must be over by then.
    Until(Instant),
    /// It must say something at least so often.
    Idle(Duration),
}

/// A body that fails when its time is over. It costs a timer only once it has nothing to say.
pub struct Paced {
    body: Body,
    pace: Pace,
    timers: Option<Timers>,
    timer: Option<Pin<Box<Timeout<Pending<()>>>>>,
}

/// Why a paced body failed.
#[derive(Debug, thiserror::Error)]
pub enum PaceError {
    /// It is the body's own error.
    #[error("the answer broke off")]
    Body(#[source] BoxError),
    /// Its time is over.
    #[error("the answer's time is over")]
    Late,
}

// === impl Paced ===

impl Paced {
    /// Limits a body's time.
    #[must_use]
    pub fn new(body: Body, pace: Pace, timers: &Timers) -> Self {
        Self { body, pace, timers: Some(timers.clone()), timer: None }
    }

    /// A body without a limit.
    #[must_use]
    pub fn free(body: Body) -> Self {
        Self { body, pace: Pace::Free, timers: None, timer: None }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(timers) = &self.timers else { return Poll::Pending };
        let deadline = match self.pace {
            Pace::Free => return Poll::Pending,
            Pace::Until(deadline) => deadline,
            Pace::Idle(limit) => Instant::now() + limit,
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(timers.timeout(deadline, pending())));
        timer.as_mut().poll(cx).map(|_| ())
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = PaceError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PaceError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if matches!(self.pace, Pace::Idle(_)) {
                self.timer = None;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| PaceError::Body(error.into()))));
        }
        self.poll_late(cx).map(|()| Some(Err(PaceError::Late)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, channel::Channel};
    use tokio::time::advance;

    use super::*;

    /// A body fed by hand, paced.
    fn fed(pace: Pace) -> (http_body_util::channel::Sender<Bytes, std::convert::Infallible>, Paced) {
        let (sender, body) = Channel::new(4);
        (sender, Paced::new(Body::boxed(body), pace, &Timers::start()))
    }

    async fn on_a_worker(test: impl Future<Output = ()>) {
        tokio::task::LocalSet::new().run_until(test).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_goes_on_may_last() {
        on_a_worker(async {
            let (mut sender, mut body) = fed(Pace::Idle(Duration::from_secs(10)));
            for _ in 0..5 {
                advance(Duration::from_secs(8)).await;
                sender.send_data(Bytes::from_static(b"x")).await.unwrap();
                assert!(body.frame().await.unwrap().is_ok());
            }
            assert!(matches!(body.frame().await, Some(Err(PaceError::Late))));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_ends_an_answer_that_goes_on() {
        on_a_worker(async {
            let (mut sender, mut body) = fed(Pace::Until(Instant::now() + Duration::from_secs(10)));
            sender.send_data(Bytes::from_static(b"x")).await.unwrap();
            assert!(body.frame().await.unwrap().is_ok());
            assert!(matches!(body.frame().await, Some(Err(PaceError::Late))));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_here_already_needs_no_time() {
        let mut body = Paced::free(Body::full("whole"));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "whole");
        assert!(body.is_end_stream());
    }
}
