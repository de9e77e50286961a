//! Where functions and instances come from: the cluster's watches, or a file that says it all.

pub mod fixed;
pub mod kube;

use std::future::Future;

use tokio::sync::mpsc;

use crate::index::Event;

/// Tells of functions and instances, for as long as the gateway runs.
///
/// The laptop and the cluster differ here and nowhere else: what is told goes through the same index to the same table.
pub trait Source: Send + 'static {
    /// Tells all there is, then [`Event::Complete`], then every change. It returns when nobody listens any more.
    ///
    /// # Errors
    /// When it can never tell anything.
    fn run(self, events: mpsc::Sender<Event>) -> impl Future<Output = anyhow::Result<()>> + Send;
}
