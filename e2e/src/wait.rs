//! Waiting for something to become true, with the last thing seen in the failure.

use std::{fmt::Debug, future::Future, time::Duration};

use tokio::time::{Instant, sleep};

/// Asks every 100 ms until `check` answers `Ok`; fails with the last `Err` once `limit` is over.
///
/// # Panics
/// When it did not become true in time.
pub async fn eventually<T, E, F, Fut>(what: &str, limit: Duration, mut check: F) -> T
where
    E: Debug,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let end = Instant::now() + limit;
    loop {
        match check().await {
            Ok(value) => return value,
            Err(seen) => assert!(Instant::now() < end, "{what}: not within {limit:?}; last seen: {seen:?}"),
        }
        sleep(Duration::from_millis(100)).await;
    }
}
