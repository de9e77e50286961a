//! The announcement: the instance calls home the moment it is ready.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flint_core::pool::{CLAIMED_PATH, Claimed};
use flint_core::wire::{Announcement, SIGNATURE_HEADER, sign};
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use serde::Serialize;
use tokio::time::Instant;

use crate::home::Line;
use crate::instance::Instance;
use crate::logs::{Field, Level};
use crate::termination::Failure;

/// After this long the gateways' own watch and probes have found the instance.
const WORTH_TRYING: Duration = Duration::from_secs(30);
/// As long as an instance lives.
const ALWAYS_WORTH_TRYING: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the operator said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    /// Said once, it stays so.
    Refused,
    /// Not known yet, or nobody there.
    Again,
}

/// Waits for the child and tells home. Where there is no home, no key or no address, only the log hears of it.
pub async fn announce(instance: Arc<Instance>, port: u16) {
    let config = &instance.config;
    let mut line = config.home.as_ref().map(|home| Line::new(home, instance.home_address));
    if let Some(line) = &mut line {
        // So that the name is resolved and the connection there when the child is ready; if not, it is tried again then.
        let _ = line.open().await;
    }
    let init = instance.ready().await;
    let since_start = instance.started.elapsed();
    let fields = [("initMs", Field::Millis(init)), ("sinceStartMs", Field::Millis(since_start))];
    instance.log.log(Level::Info, None, "ready", &fields);
    let (Some(mut line), Some(home), Some(ip)) = (line, &config.home, config.identity.ip) else { return };
    if config.key.0.is_empty() {
        return;
    }
    let announcement = Announcement {
        namespace: config.identity.namespace.clone(),
        function: config.identity.function.clone(),
        revision: config.identity.revision.clone(),
        pod: config.identity.pod.clone(),
        uid: config.identity.uid.clone(),
        address: SocketAddr::new(ip, port).to_string(),
        init_ms: u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX),
    };
    tell(&instance, &mut line, home, "/announce", &announcement, WORTH_TRYING).await;
}

/// Tells home whose a pod from a pool has become. The answer comes when that is on record, so it is said again until then, however long home
/// is away. A pod that home does not take for the function's must not go on as that.
pub async fn claimed(instance: Arc<Instance>) {
    let config = &instance.config;
    let (Some(pool), Some(home)) = (&instance.pool, &config.home) else { return };
    let claimed = Claimed {
        pool: pool.clone(),
        namespace: config.identity.namespace.clone(),
        function: config.identity.function.clone(),
        revision: config.identity.revision.clone(),
        pod: config.identity.pod.clone(),
        uid: config.identity.uid.clone(),
    };
    let mut line = Line::new(home, instance.home_address);
    if tell(&instance, &mut line, home, CLAIMED_PATH, &claimed, ALWAYS_WORTH_TRYING).await == Verdict::Refused
    {
        let message = "the operator does not take this pod for the function's";
        instance.fail(Failure::new("Runtime.Pool", message));
    }
}

async fn tell(
    instance: &Instance,
    line: &mut Line,
    home: &Uri,
    path: &str,
    what: &impl Serialize,
    patience: Duration,
) -> Verdict {
    let Ok(body) = serde_json::to_vec(what).map(Bytes::from) else { return Verdict::Again };
    let signature = sign(&instance.config.key.0, &body);
    let path = format!("{}{path}", home.path().trim_end_matches('/'));
    let until = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    while !instance.gate.is_closing() {
        let request = Request::post(&path)
            .header(CONTENT_TYPE, "application/json")
            .header(SIGNATURE_HEADER, &signature)
            .body(Full::new(body.clone()));
        let Ok(request) = request else { return Verdict::Again };
        let (verdict, said) = match line.send(request).await {
            Ok(response) => (verdict(response.status()), response.status().to_string()),
            Err(error) => (Verdict::Again, error.to_string()),
        };
        match verdict {
            Verdict::Accepted => {
                let fields = [("path", Field::Text(path.as_str()))];
                instance.log.log(Level::Info, None, "announced", &fields);
                return verdict;
            }
            Verdict::Refused => {
                let message = format!(
                    "the announcement was refused ({said}): the gateways will find this instance later"
                );
                instance.log.say(Level::Warn, &message);
                return verdict;
            }
            Verdict::Again if Instant::now() + pause > until => {
                let message = format!(
                    "nobody took the announcement ({said}): the gateways will find this instance later"
                );
                instance.log.say(Level::Warn, &message);
                return verdict;
            }
            Verdict::Again => {
                instance.log.say(Level::Debug, &format!("the announcement is tried again ({said})"));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    Verdict::Again
}

fn verdict(status: StatusCode) -> Verdict {
    match status {
        status if status.is_success() => Verdict::Accepted,
        StatusCode::FORBIDDEN => Verdict::Refused,
        _ => Verdict::Again,
    }
}
