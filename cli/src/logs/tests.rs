//! History and following against an API server in memory whose streams break and whose pods come and go.

use std::{collections::BTreeMap, convert::Infallible, io, sync::Arc};

use bytes::Bytes;
use flint_testing::apiserver::ApiServer;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::ListParams, client::Body};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::{
    filter::Filter,
    follow,
    history::{self, Left, Screen, Wanted},
    line::Line,
};

type Reply = Response<UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// A cluster whose pods have logs.
#[derive(Clone)]
struct Cluster {
    objects: ApiServer,
    logs: Arc<Mutex<BTreeMap<String, Log>>>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    /// How often streams were cut.
    cuts: u32,
    /// So many requests are refused with a 500.
    refusals: u32,
    ended: bool,
}

/// What the user sees, line by line.
struct Seen(mpsc::UnboundedSender<String>);

// === impl Cluster ===

impl Cluster {
    fn new() -> Self {
        Self { objects: ApiServer::new(), logs: Arc::default(), changed: watch::Sender::new(()) }
    }

    /// A running pod of the function `hello` with these lines: `SECOND.NANOS text`.
    fn pod(&self, name: &str, lines: &[&str]) {
        self.objects.put(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "labels": {"flint.dev/function": "hello"}},
            "spec": {"nodeName": "n", "containers": [{"name": "function"}, {"name": "sidecar"}]},
            "status": {"phase": "Running", "containerStatuses": [
                {"name": "function", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}},
            ]},
        }));
        self.change(name, |log| log.lines.extend(lines.iter().map(|line| stamped(line))));
    }

    fn change(&self, pod: &str, change: impl FnOnce(&mut Log)) {
        change(self.logs.lock().entry(pod.to_owned()).or_default());
        self.changed.send_replace(());
    }

    fn write(&self, pod: &str, line: &str) {
        self.change(pod, |log| log.lines.push(stamped(line)));
    }

    fn api(&self) -> Api<Pod> {
        let cluster = self.clone();
        let objects = self.objects.client();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (cluster, objects) = (cluster.clone(), objects.clone());
            async move {
                if request.uri().path().ends_with("/log") {
                    return Ok::<_, Infallible>(cluster.log(&request));
                }
                Ok(boxed(objects.send(request).await.unwrap()))
            }
        });
        Api::namespaced(Client::new(service, "shop"), "shop")
    }

    async fn pods(&self) -> Vec<Pod> {
        self.api().list(&ListParams::default()).await.unwrap().items
    }

    fn log(&self, request: &Request<Body>) -> Reply {
        let pod = request.uri().path().rsplit('/').nth(1).unwrap().to_owned();
        let query = request.uri().query().unwrap_or_default();
        let asked = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        assert_eq!(
            (asked("container").as_deref(), asked("timestamps").as_deref()),
            (Some("function"), Some("true"))
        );
        let mut logs = self.logs.lock();
        let log = logs.entry(pod.clone()).or_default();
        if log.refusals > 0 {
            log.refusals -= 1;
            let status =
                json!({"kind": "Status", "status": "Failure", "code": 500, "reason": "x", "message": "no"});
            let body = Body::from(status.to_string().into_bytes());
            return boxed(Response::builder().status(500).body(body).unwrap());
        }
        let since =
            asked("sinceTime").map(|since| since.replace("%3A", ":").trim_end_matches('Z').to_owned());
        let tail: usize = asked("tailLines").map_or(usize::MAX, |tail| tail.parse().unwrap());
        let first = log.lines.len().saturating_sub(tail);
        let since =
            since.map_or(0, |since| log.lines.iter().take_while(|line| line[..19] < since[..]).count());
        let follow = query.contains("follow=true");
        let state = (self.clone(), pod, first.max(since), log.cuts, self.changed.subscribe());
        let stream =
            futures::stream::unfold(state, move |(cluster, pod, next, cuts, mut changed)| async move {
                loop {
                    changed.borrow_and_update();
                    {
                        let logs = cluster.logs.lock();
                        let log = &logs[&pod];
                        if log.cuts > cuts {
                            return None;
                        }
                        if let Some(line) = log.lines.get(next) {
                            let frame = http_body::Frame::data(Bytes::from(format!("{line}\n")));
                            let state = (cluster.clone(), pod.clone(), next + 1, cuts, changed);
                            return Some((Ok(frame), state));
                        }
                        if log.ended || !follow {
                            return None;
                        }
                    }
                    changed.changed().await.ok()?;
                }
            });
        Response::new(StreamBody::new(stream).boxed_unsync())
    }

    /// Follows in the background from where `left` stopped.
    fn follow(&self, left: Left, wanted: Wanted) -> mpsc::UnboundedReceiver<String> {
        let (screen, seen) = mpsc::unbounded_channel();
        let api = self.api();
        tokio::spawn(async move { follow::run(api, "hello", left, &wanted, &mut Seen(screen)).await });
        seen
    }
}

fn boxed(response: Response<Body>) -> Reply {
    response.map(|body| body.map_err(Into::into).boxed_unsync())
}

/// `7.5 text` as the API server has it: seconds and nanoseconds within a minute, the text.
fn stamped(line: &str) -> String {
    let (time, text) = line.split_once(' ').unwrap();
    let (second, nanos) = time.split_once('.').unwrap();
    format!("2026-11-21T14:03:{second:0>2}.{nanos:0>9}Z {text}")
}

impl Screen for Seen {
    fn line(&mut self, line: &Line) -> io::Result<()> {
        self.0.send(line.text.clone()).map_err(io::Error::other)
    }

    fn say(&mut self, text: &str) {
        let _ = self.0.send(format!("said: {text}"));
    }
}

async fn history_of(cluster: &Cluster, wanted: &Wanted) -> (Vec<String>, Left) {
    let (screen, mut seen) = mpsc::unbounded_channel();
    let left =
        history::read(&cluster.api(), &cluster.pods().await, wanted, &mut Seen(screen)).await.ok().unwrap();
    let mut lines = Vec::new();
    while let Some(line) = seen.recv().await {
        lines.push(line);
    }
    (lines, left)
}

#[tokio::test(start_paused = true)]
async fn all_instances_are_shown_in_the_order_of_time() {
    let cluster = Cluster::new();
    cluster.pod("hello-a", &["1.0 one", "3.0 three", "5.0 five"]);
    cluster.pod("hello-b", &["2.0 two", "4.0 four"]);
    assert_eq!(history_of(&cluster, &Wanted::default()).await.0, ["one", "two", "three", "four", "five"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_lines_are_the_last_of_all_instances() {
    let cluster = Cluster::new();
    cluster.pod("hello-a", &["1.0 one", "3.0 three", "5.0 five"]);
    cluster.pod("hello-b", &["2.0 two", "4.0 four"]);
    let wanted = Wanted { tail: Some(2), ..Wanted::default() };
    assert_eq!(history_of(&cluster, &wanted).await.0, ["four", "five"]);
    let filter = Filter { grep: Some(regex::Regex::new("^t").unwrap()), ..Filter::default() };
    let wanted = Wanted { filter, ..wanted };
    assert_eq!(history_of(&cluster, &wanted).await.0, ["two", "three"]);
}

#[tokio::test(start_paused = true)]
async fn following_goes_on_where_history_stopped_even_if_nothing_of_it_was_shown() {
    let cluster = Cluster::new();
    cluster.pod("hello-a", &["1.1 old", "1.2 last"]);
    let wanted = Wanted { tail: Some(0), ..Wanted::default() };
    let (shown, left) = history_of(&cluster, &wanted).await;
    assert!(shown.is_empty());
    let mut seen = cluster.follow(left, wanted);
    cluster.write("hello-a", "1.3 new");
    assert_eq!(seen.recv().await.unwrap(), "new");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_taken_up_again_without_a_line_twice() {
    let cluster = Cluster::new();
    cluster.pod("hello-a", &["1.1 one"]);
    let mut seen = cluster.follow(Left::new(), Wanted::default());
    assert_eq!(seen.recv().await.unwrap(), "one");
    cluster.change("hello-a", |log| log.cuts += 1);
    cluster.write("hello-a", "1.1 of the same time");
    assert_eq!(seen.recv().await.unwrap(), "of the same time");
    cluster.change("hello-a", |log| log.cuts += 1);
    cluster.write("hello-a", "2.0 two");
    assert_eq!(seen.recv().await.unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_away_is_told_once_and_told_again_when_it_is_back() {
    let cluster = Cluster::new();
    cluster.pod("hello-a", &["1.0 one"]);
    let mut seen = cluster.follow(Left::new(), Wanted::default());
    assert_eq!(seen.recv().await.unwrap(), "one");
    cluster.change("hello-a", |log| (log.cuts, log.refusals) = (1, 3));
    cluster.write("hello-a", "2.0 two");
    let said = seen.recv().await.unwrap();
    assert!(said.starts_with("said: the log of hello-a broke off, trying again"), "{said}");
    assert_eq!(seen.recv().await.unwrap(), "said: following again");
    assert_eq!(seen.recv().await.unwrap(), "two");
}

#[tokio::test(start_paused = true)]
async fn instances_that_come_are_followed_and_those_that_go_are_read_to_their_end() {
    let cluster = Cluster::new();
    let mut seen = cluster.follow(Left::new(), Wanted::default());
    cluster.pod("hello-a", &["1.0 first"]);
    assert_eq!(seen.recv().await.unwrap(), "first");
    cluster.objects.remove("/api/v1/namespaces/shop/pods/hello-a");
    cluster.write("hello-a", "2.0 last words");
    cluster.change("hello-a", |log| log.ended = true);
    assert_eq!(seen.recv().await.unwrap(), "last words");
    cluster.pod("hello-b", &["3.0 second"]);
    assert_eq!(seen.recv().await.unwrap(), "second");
}
