//! A sign of life while something takes its time.

use std::{io::IsTerminal, pin::pin, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;

/// What takes less needs no sign.
const PATIENCE: Duration = Duration::from_secs(1);
/// Smooth enough for the eye.
const TURN: Duration = Duration::from_millis(100);

/// Waits for `work`; after a second a terminal shows that, and for how long.
pub async fn show<T>(output: &Output, what: &str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if output.is_quiet() || !std::io::stderr().is_terminal() {
        return work.await;
    }
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
        return done;
    }
    let spinner = ProgressBar::new_spinner().with_elapsed(PATIENCE).with_message(what.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(TURN);
    let done = work.await;
    spinner.finish_and_clear();
    done
}
