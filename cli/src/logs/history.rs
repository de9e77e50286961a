//! What was written already: the logs of all instances as they stand, merged in the order of their times.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};

use super::{
    filter::Filter,
    line::{Line, Origin},
    pods,
    source::{Lines, Resume},
};

/// What a user asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only so many of the last lines.
    pub tail: Option<usize>,
    /// Only lines this young.
    pub since: Option<Duration>,
    /// Also what a container wrote before it was started again.
    pub previous: bool,
    /// Which lines.
    pub filter: Filter,
}

/// Where lines go.
pub trait Screen {
    /// Shows a line.
    ///
    /// # Errors
    /// When nobody reads any more.
    fn line(&mut self, line: &Line) -> io::Result<()>;

    /// Tells the user something about the logs.
    fn say(&mut self, text: &str);
}

/// How the logs were left, by container.
pub type Left = HashMap<Origin, Resume>;

/// Why the logs cannot be shown.
#[derive(Debug)]
pub enum Failure {
    /// The API server refuses.
    Refused(kube::Error),
    /// Nobody reads any more.
    Screen(io::Error),
}

/// A log and its next line.
struct Head {
    lines: Lines,
    next: Option<Line>,
}

/// Logs that are opened at a time: enough to hide the way to the nodes, and no burden for the API server.
const AT_ONCE: usize = 16;

/// Shows what `list` has written, and says where it stopped.
///
/// # Errors
/// When no log at all can be read, or nobody reads what is shown.
pub async fn read(
    api: &Api<Pod>,
    list: &[Pod],
    wanted: &Wanted,
    screen: &mut impl Screen,
) -> Result<Left, Failure> {
    let mut heads = open(api, list, wanted, screen).await?;
    let mut left = Left::new();
    let mut last = VecDeque::new();
    for head in &mut heads {
        head.advance(screen).await;
    }
    while let Some(line) = next(&mut heads, screen).await {
        if !left.contains_key(&*line.origin) {
            left.insert(Origin::clone(&line.origin), Resume::default());
        }
        if let Some(resume) = left.get_mut(&*line.origin) {
            resume.is_new(line.time);
        }
        if !wanted.filter.wants(&line) {
            continue;
        }
        let Some(most) = wanted.tail else {
            screen.line(&line).map_err(Failure::Screen)?;
            continue;
        };
        last.push_back(line);
        if last.len() > most {
            last.pop_front();
        }
    }
    for line in last {
        screen.line(&line).map_err(Failure::Screen)?;
    }
    Ok(left)
}

/// The oldest of the next lines.
async fn next(heads: &mut [Head], screen: &mut impl Screen) -> Option<Line> {
    let time = |head: &Head| head.next.as_ref().map(|line| line.time);
    let oldest = heads.iter_mut().filter(|head| head.next.is_some()).min_by_key(|head| time(head))?;
    let line = oldest.next.take();
    oldest.advance(screen).await;
    line
}

async fn open(
    api: &Api<Pod>,
    list: &[Pod],
    wanted: &Wanted,
    screen: &mut impl Screen,
) -> Result<Vec<Head>, Failure> {
    let mut logs = Vec::new();
    for pod in list {
        for container in pods::containers(pod) {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let origin = Arc::new(Origin { pod: name, container: container.to_owned() });
            if wanted.previous && pods::restarted(pod, container) {
                logs.push((Arc::clone(&origin), true));
            }
            if pods::started(pod, container) {
                logs.push((origin, false));
            }
        }
    }
    // A filter chooses among all lines. And of no lines at all there is no last one to go on from.
    let tail = wanted.tail.filter(|_| wanted.filter.is_open()).map(|tail| as_count(tail.max(1)));
    let since = wanted.since.map(|since| as_count(since.as_secs().max(1)));
    let opened = futures::stream::iter(logs)
        .map(|(origin, previous)| async move {
            let how = LogParams { tail_lines: tail, since_seconds: since, previous, ..LogParams::default() };
            let lines = Lines::open(api, &origin, &how).await;
            (origin, lines)
        })
        .buffered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut heads = Vec::new();
    let mut failed = None;
    for (origin, lines) in opened {
        match lines {
            Ok(lines) => heads.push(Head { lines, next: None }),
            // It has not started after all, or is gone since it was listed.
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404) => {}
            Err(error @ kube::Error::Api(_)) if is_refusal(&error) => return Err(Failure::Refused(error)),
            Err(error) => {
                screen.say(&format!("the log of {} cannot be read: {error}", origin.pod));
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if heads.is_empty() => Err(Failure::Refused(error)),
        _ => Ok(heads),
    }
}

/// Whether trying again is of no use.
pub(super) fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403))
}

pub(super) fn as_count(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

// === impl Head ===

impl Head {
    async fn advance(&mut self, screen: &mut impl Screen) {
        self.next = match self.lines.next().await {
            Ok(line) => line,
            Err(error) => {
                screen.say(&format!("a log broke off: {error}"));
                None
            }
        };
    }
}
