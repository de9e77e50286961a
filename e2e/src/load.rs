//! A steady load in the background, to see whether anything fails while something happens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use reqwest::Method;
use tokio::{task::JoinHandle, time::sleep};

use crate::FunctionBuilder;

/// A steady load that goes on until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<LoadReport>>,
}

/// What became of a load's requests.
#[derive(Debug, Default)]
pub struct LoadReport {
    /// Requests answered 200.
    pub good: usize,
    /// Everything else, as text.
    pub bad: Vec<String>,
    /// The different bodies that came, in order of appearance.
    pub bodies: Vec<String>,
}

// === impl Load ===

impl Load {
    /// Starts clients that each repeat a request with a pause between.
    #[must_use]
    pub fn start(
        function: &FunctionBuilder,
        clients: usize,
        method: &Method,
        path: &str,
        pause: Duration,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..clients)
            .map(|_| {
                let (function, stop, method, path) =
                    (function.clone(), stop.clone(), method.clone(), path.to_owned());
                tokio::spawn(async move {
                    let mut report = LoadReport::default();
                    while !stop.load(Ordering::Relaxed) {
                        match function.request(method.clone(), &path, "").await {
                            Ok(answer) if answer.status == 200 => {
                                report.good += 1;
                                if !report.bodies.contains(&answer.body) {
                                    report.bodies.push(answer.body);
                                }
                            }
                            Ok(answer) => report.bad.push(format!("{answer:?}")),
                            Err(error) => report.bad.push(format!("{error:#}")),
                        }
                        sleep(pause).await;
                    }
                    report
                })
            })
            .collect();
        Self { stop, clients }
    }

    /// Stops it after its last answers.
    ///
    /// # Panics
    /// When a client did.
    pub async fn stop(self) -> LoadReport {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = LoadReport::default();
        for report in join_all(self.clients).await {
            let report = report.expect("a client that did not panic");
            all.good += report.good;
            all.bad.extend(report.bad);
            for body in report.bodies {
                if !all.bodies.contains(&body) {
                    all.bodies.push(body);
                }
            }
        }
        all
    }
}

impl LoadReport {
    /// Fails the test unless every request was answered 200, and there were some.
    ///
    /// # Panics
    /// When one failed.
    pub fn assert_flawless(&self, what: &str) {
        let some = &self.bad[..self.bad.len().min(5)];
        assert!(
            self.bad.is_empty(),
            "{what}: {} of {} requests failed, such as {some:#?}",
            self.bad.len(),
            self.bad.len() + self.good
        );
        assert!(self.good > 10, "{what}: only {} requests were made", self.good);
        println!("{what}: {} requests, none failed", self.good);
    }
}
