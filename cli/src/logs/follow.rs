//! What is being written: every instance's log as it grows, whatever becomes of instances, streams and the API server.
//!
//! A task reads each container's log and opens it again when it ends before the container does. A watch of pods starts a task
//! for each container that appears, and tells it when nothing more will come. Lines and troubles go through one bounded channel,
//! so a slow terminal slows the reading down, and nothing piles up here.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    io,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::LogParams,
    runtime::{
        WatchStreamExt,
        utils::Backoff,
        watcher::{self, Event},
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    history::{Left, Screen, Wanted, as_count},
    line::{Line, Origin},
    merge::Merger,
    pods,
    source::{Lines, Resume},
};

/// What tasks tell.
enum News {
    Line(Line),
    /// Something is in the way of this log, or of the watch; it is tried again.
    Trouble(Option<Arc<Origin>>, String),
    /// It is gone.
    Well(Option<Arc<Origin>>),
}

/// What is in the way, so that the user hears of an outage once, and once that it is over.
#[derive(Debug, Default)]
struct Troubles(HashSet<Option<Arc<Origin>>>);

/// The containers that are read.
struct Followers {
    api: Api<Pod>,
    since: Option<Duration>,
    started: Instant,
    left: Left,
    /// Each is told when nothing more will come.
    known: HashMap<Origin, watch::Sender<bool>>,
    tasks: JoinSet<()>,
    news: mpsc::Sender<News>,
}

/// One container's log, read again and again.
struct Follower {
    api: Api<Pod>,
    origin: Arc<Origin>,
    resume: Resume,
    since: Option<Duration>,
    started: Instant,
    ended: watch::Receiver<bool>,
    news: mpsc::Sender<News>,
}

/// Longer and longer pauses, never long: somebody is looking.
#[derive(Clone, Debug)]
struct Pace(Duration);

/// Lines and troubles under way between tasks and the screen.
const UNDER_WAY: usize = 1024;
/// The first pause: a container that starts is looked at again so soon.
const SHORT: Duration = Duration::from_millis(100);
/// The longest pause: an outage that is over is noticed so soon.
const LONG: Duration = Duration::from_secs(2);
/// How long the log of a container that is gone may still come.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Shows what a function's instances write until nobody reads it. `left` is where [`super::history::read`] stopped.
///
/// # Errors
/// When nobody reads any more.
pub async fn run(
    api: Api<Pod>,
    function: &str,
    left: Left,
    wanted: &Wanted,
    screen: &mut impl Screen,
) -> io::Result<()> {
    let (news, mut arriving) = mpsc::channel(UNDER_WAY);
    let events = watcher::watcher(api.clone(), watcher::Config::default().labels(&pods::selector(function)))
        .backoff(Pace::default());
    pin_mut!(events);
    let mut followers = Followers {
        api,
        since: wanted.since,
        started: Instant::now(),
        left,
        known: HashMap::new(),
        tasks: JoinSet::new(),
        news,
    };
    let mut merger = Merger::default();
    let mut listed = Vec::new();
    let mut troubles = Troubles::default();
    loop {
        let due = merger.deadline();
        let told = tokio::select! {
            Some(event) = events.next() => followers.on_pod(event, &mut listed),
            Some(news) = arriving.recv() => Some(news),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => None,
        };
        match told {
            Some(News::Line(line)) if wanted.filter.wants(&line) => merger.push(line, Instant::now()),
            Some(News::Trouble(what, text)) if troubles.is_first(what.clone()) => screen.say(&text),
            Some(News::Well(what)) if troubles.are_over(&what) => screen.say("following again"),
            _ => {}
        }
        while let Some(line) = merger.pop(Instant::now()) {
            screen.line(&line)?;
        }
    }
}

// === impl Troubles ===

impl Troubles {
    /// Whether nothing was in the way before this.
    fn is_first(&mut self, what: Option<Arc<Origin>>) -> bool {
        let first = self.0.is_empty();
        self.0.insert(what);
        first
    }

    /// Whether nothing is in the way any more, and something was.
    fn are_over(&mut self, what: &Option<Arc<Origin>>) -> bool {
        // A log that opens comes from the server that the watch waits for, which may have nothing to say for long.
        let removed = self.0.remove(what) | self.0.remove(&None);
        removed && self.0.is_empty()
    }
}

// === impl Followers ===

impl Followers {
    fn on_pod(&mut self, event: watcher::Result<Event<Pod>>, listed: &mut Vec<String>) -> Option<News> {
        while self.tasks.try_join_next().is_some() {}
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pod)) => {
                listed.extend(pod.metadata.name.clone());
                self.see(&pod);
            }
            // What is not in the list went while nobody watched.
            Ok(Event::InitDone) => {
                self.known.retain(|origin, _| listed.contains(&origin.pod));
                return Some(News::Well(None));
            }
            Ok(Event::Apply(pod)) => self.see(&pod),
            Ok(Event::Delete(pod)) => {
                self.known.retain(|origin, _| Some(&origin.pod) != pod.metadata.name.as_ref())
            }
            Err(error) => return Some(News::Trouble(None, trouble("the watch of instances", &error))),
        }
        None
    }

    fn see(&mut self, pod: &Pod) {
        // Before it has a node there is nobody to ask.
        if pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()).is_none() {
            return;
        }
        for container in pods::containers(pod) {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let origin = Origin { pod: name, container: container.to_owned() };
            if let Some(known) = self.known.get(&origin) {
                known.send_replace(pods::ended(pod));
                continue;
            }
            let (known, ended) = watch::channel(pods::ended(pod));
            let follower = Follower {
                api: self.api.clone(),
                resume: self.left.remove(&origin).unwrap_or_default(),
                since: self.since,
                started: self.started,
                origin: Arc::new(origin.clone()),
                ended,
                news: self.news.clone(),
            };
            self.known.insert(origin, known);
            self.tasks.spawn(follower.run());
        }
    }
}

// === impl Follower ===

impl Follower {
    async fn run(mut self) {
        self.follow().await;
        let _ = self.news.send(News::Well(Some(self.origin))).await;
    }

    async fn follow(&mut self) {
        let mut pace = Pace::default();
        let mut ended = self.ended.clone();
        let over = async move {
            // An error: the pod is gone.
            while !*ended.borrow_and_update() && ended.changed().await.is_ok() {}
            sleep(LAST_WORDS).await;
        };
        pin_mut!(over);
        loop {
            let how = LogParams {
                follow: true,
                since_time: self.resume.since(),
                // Nothing was read yet: what was wanted then is older by now.
                since_seconds: self
                    .since
                    .filter(|_| self.resume.since().is_none())
                    .map(|since| as_count((since + self.started.elapsed()).as_secs().max(1))),
                ..LogParams::default()
            };
            self.resume.reopen();
            let read = tokio::select! {
                read = self.read(&how, &mut pace) => read,
                () = &mut over => return,
            };
            if let Some(text) = read {
                let _ = self.news.send(News::Trouble(Some(Arc::clone(&self.origin)), text)).await;
            } else if self.is_over() {
                return;
            }
            let pause = pace.next().unwrap_or(LONG);
            tokio::select! {
                () = sleep(pause) => {}
                () = &mut over => return,
            }
        }
    }

    /// Reads until the log ends; says what was in the way, if anything was.
    async fn read(&mut self, how: &LogParams, pace: &mut Pace) -> Option<String> {
        let mut lines = match Lines::open(&self.api, &self.origin, how).await {
            Ok(lines) => lines,
            // It has not started yet, or is gone.
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404) => return None,
            Err(error) => return Some(trouble(&format!("the log of {}", self.origin.pod), &error)),
        };
        self.news.send(News::Well(Some(Arc::clone(&self.origin)))).await.ok()?;
        loop {
            match lines.next().await {
                Ok(Some(line)) => {
                    pace.reset();
                    if self.resume.is_new(line.time) {
                        self.news.send(News::Line(line)).await.ok()?;
                    }
                }
                Ok(None) => return None,
                // Opening it again will tell whether anything is wrong.
                Err(_) => return None,
            }
        }
    }

    fn is_over(&self) -> bool {
        *self.ended.borrow() || self.ended.has_changed().is_err()
    }
}

// === impl Pace ===

impl Default for Pace {
    fn default() -> Self {
        Self(SHORT)
    }
}

impl Iterator for Pace {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(LONG);
        Some(pause)
    }
}

impl Backoff for Pace {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// What is in the way, with all its causes, in one line.
fn trouble(what: &str, error: &dyn std::error::Error) -> String {
    let mut text = format!("{what} broke off, trying again: {error}");
    let mut cause = error.source();
    while let Some(because) = cause {
        let because_text = because.to_string();
        // Many an error says its cause already.
        if !text.contains(&because_text) {
            let _ = write!(text, ": {because_text}");
        }
        cause = because.source();
    }
    text
}
