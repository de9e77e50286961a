//! hyper's executor on a worker: tasks stay on the thread that made them.

use std::future::Future;

/// Spawns on this thread's local runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExec;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExec {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
