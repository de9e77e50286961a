//! From zero to many instances: clients that never stop asking, and what they get while the function grows, as JSON and as figures.

use std::{cell::RefCell, path::PathBuf, rc::Rc, time::Duration};

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use serde::Serialize;
use tokio::{
    task::LocalSet,
    time::{Instant, interval, sleep_until},
};

use crate::{
    cluster::{Url, client, is_ready, milliseconds, none},
    plot::{Figure, Series, Shape},
    report::{Machine, Report, Times, now},
    wire::{Wire, get},
};

/// A function at zero is called by many clients at once.
#[derive(Debug, Args)]
pub(crate) struct Climb {
    /// The gateway's URL.
    #[arg(long, env = "FLINT_URL")]
    url: String,
    /// Namespace of the function.
    #[arg(long, default_value = "default")]
    function_namespace: String,
    /// The function: one whose requests take a while, with a concurrency of 1, so that it needs an instance for each client.
    #[arg(long)]
    function_name: String,
    /// Clients, each with one request at a time.
    #[arg(long, default_value_t = 100)]
    clients: usize,
    /// How long they ask, in seconds.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// What the function may take to be at zero first, and a request, in seconds.
    #[arg(long, default_value_t = 120.0)]
    patience: f64,
    /// Where results are written.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    function: String,
    clients: usize,
    answered: usize,
    failed: usize,
    /// From the first request to the first answer.
    first_answer_ms: f64,
    /// From the first request until so many instances are ready, as the API server shows it.
    ready_half_ms: Option<f64>,
    ready_all_ms: Option<f64>,
    most_ready: usize,
    latency_ms: Times,
    moments: Vec<Moment>,
}

/// A quarter of a second.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Moment {
    /// Seconds since the first request.
    at: f64,
    answered: usize,
    failed: usize,
    /// Pods that there are, and those that are ready, as the API server shows them.
    pods: usize,
    ready: usize,
}

/// One request.
struct Done {
    at: f64,
    took: f64,
    ok: bool,
}

/// The width of a moment.
const MOMENT: Duration = Duration::from_millis(250);
/// A client that was refused or cut off comes again after this.
const AGAIN: Duration = Duration::from_millis(20);

// === impl Climb ===

impl Climb {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let machine = Machine::here();
        let client = client().await?;
        let pods: Api<Pod> = Api::namespaced(client, &self.function_namespace);
        let selector = format!("flint.dev/function={}", self.function_name);
        none(&pods, &selector, Duration::from_secs_f64(self.patience)).await?;
        let path = format!("/function/{}.{}", self.function_name, self.function_namespace);
        let url = Url::of(&self.url, path).await?;
        let list = ListParams::default().labels(&selector);

        let done = Rc::new(RefCell::new(Vec::new()));
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(self.seconds);
        let local = LocalSet::new();
        for _ in 0..self.clients {
            local.spawn_local(ask(url.clone(), start, end, Rc::clone(&done)));
        }
        let moments = local.run_until(watch(&pods, &list, start, end)).await?;
        // Each client ends with the request that it is at.
        let _ = tokio::time::timeout(Duration::from_secs_f64(self.patience), local).await;
        let results = self.results(moments, &done.borrow());
        results.print();
        let benchmark = format!("climb-{}", self.function_name.trim_start_matches("bench-"));
        let figures = results.figures();
        Report { benchmark: &benchmark, date: now(), machine, results }.write_with(&self.results, &figures)
    }

    fn results(&self, mut moments: Vec<Moment>, done: &[Done]) -> Results {
        for request in done {
            let index = (request.at / MOMENT.as_secs_f64()) as usize;
            if let Some(moment) = moments.get_mut(index) {
                moment.answered += usize::from(request.ok);
                moment.failed += usize::from(!request.ok);
            }
        }
        let answered: Vec<&Done> = done.iter().filter(|request| request.ok).collect();
        let latencies: Vec<f64> = answered.iter().map(|request| request.took).collect();
        let first = answered.iter().map(|request| request.at * 1000.0).min_by(f64::total_cmp);
        let ready = |count: usize| {
            moments.iter().find(|moment| moment.ready >= count).map(|moment| moment.at * 1000.0)
        };
        Results {
            function: format!("{}/{}", self.function_namespace, self.function_name),
            clients: self.clients,
            answered: answered.len(),
            failed: done.len() - answered.len(),
            first_answer_ms: first.unwrap_or(f64::NAN),
            ready_half_ms: ready(self.clients.div_ceil(2)),
            ready_all_ms: ready(self.clients),
            most_ready: moments.iter().map(|moment| moment.ready).max().unwrap_or(0),
            latency_ms: Times::of_samples(&latencies),
            moments,
        }
    }
}

// === impl Results ===

impl Results {
    fn print(&self) {
        println!("{} answered, {} failed", self.answered, self.failed);
        println!("first answer after {:.0} ms", self.first_answer_ms);
        let after =
            |ms: Option<f64>| ms.map_or("never".to_owned(), |ms| format!("after {:.1} s", ms / 1000.0));
        let (half, all) = (after(self.ready_half_ms), after(self.ready_all_ms));
        println!("half of {} instances ready {half}, all {all}; at most {}", self.clients, self.most_ready);
        println!("latency p50 {:.0}, p95 {:.0} ms", self.latency_ms.p50, self.latency_ms.p95);
    }

    fn figures(&self) -> [Figure; 2] {
        let per_second = 1.0 / MOMENT.as_secs_f64();
        let series = |name: &str, of: &dyn Fn(&Moment) -> f64| -> Series {
            (name.to_owned(), self.moments.iter().map(|moment| (moment.at, of(moment))).collect())
        };
        let along = || "seconds since the first request".to_owned();
        let instances =
            [series("pods", &|moment| moment.pods as f64), series("ready", &|moment| moment.ready as f64)];
        let requests = [
            series("answers", &|moment| moment.answered as f64 * per_second),
            series("errors", &|moment| moment.failed as f64 * per_second),
        ];
        let lines = |series: [Series; 2]| Shape::Lines { along: along(), series: series.into() };
        [
            Figure::new(
                format!("{} clients at once, from zero", self.clients),
                "instances",
                lines(instances),
            ),
            Figure::new("What the clients get", "requests a second", lines(requests)),
        ]
    }
}

/// One client: a request after the other until `end`.
async fn ask(url: Url, start: Instant, end: Instant, done: Rc<RefCell<Vec<Done>>>) {
    let request = get(&url.host, &url.path);
    let mut wire = None;
    while Instant::now() < end {
        let sent = Instant::now();
        let status = match &mut wire {
            Some(wire) => Wire::call(wire, &request).await.map(|answer| answer.status),
            none => match Wire::connect(url.address).await {
                Ok(fresh) => none.insert(fresh).call(&request).await.map(|answer| answer.status),
                Err(error) => Err(error),
            },
        };
        let ok = matches!(status, Ok(200));
        let at = start.elapsed().as_secs_f64();
        done.borrow_mut().push(Done { at, took: milliseconds(sent), ok });
        if status.is_err() {
            wire = None;
        }
        if !ok {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// What the API server shows of the function's pods, moment by moment.
async fn watch(
    pods: &Api<Pod>,
    list: &ListParams,
    start: Instant,
    end: Instant,
) -> anyhow::Result<Vec<Moment>> {
    let mut moments = Vec::new();
    let mut tick = interval(MOMENT);
    while Instant::now() < end {
        tick.tick().await;
        let at = start.elapsed().as_secs_f64();
        let items = pods.list(list).await?.items;
        let ready = items.iter().filter(|pod| is_ready(pod)).count();
        // A list that took long stands for all moments it took.
        let index = (at / MOMENT.as_secs_f64()) as usize;
        while moments.len() <= index {
            let at = moments.len() as f64 * MOMENT.as_secs_f64();
            moments.push(Moment { at, pods: items.len(), ready, ..Moment::default() });
        }
    }
    sleep_until(end).await;
    Ok(moments)
}
