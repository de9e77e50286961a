//! The operator's life: ports, watches, the contest for the Lease, the leader's work, and an orderly end.
//!
//! Every replica watches and serves packages; the one that holds the Lease does the rest. It is fail-stop: whoever loses the Lease
//! ends the whole process, because no task can be trusted to have noticed. A new process starts in milliseconds.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use flint_control::v1::Firing;
use flint_kube::{Applier, Events, Lease, WatchMetrics, lease};
use flint_telemetry::{Admin, init_logs};
use futures::future::BoxFuture;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    args::{Args, USAGE},
    build::{Builds, Caches, Depot},
    control::{self, Control, ControlConfig, Firings, MOST_GATEWAYS, watch_starts, write_invocations},
    fetch::{Fetcher, Reach, Trust, Workshop},
    function,
    home::{self, Home, PackageSource, Packages},
    images::Images,
    leader,
    metrics::Metrics,
    packages::{Kept, Peers, Storehouse, Volume, mirror, sweep},
    pool::{self, Recorder},
    scaler,
    schedules::Schedules,
    stores::Stores,
};

/// Work under way may end in its own time; Kubernetes gives 30 s in all.
const GOODBYE: Duration = Duration::from_secs(10);

/// Runs until a signal, the loss of the Lease, or a defect.
pub(crate) fn run(args: Args) -> ExitCode {
    if let Err(error) = init_logs(&args.log, args.log_format) {
        eprintln!("flint-operator: {error}");
        return ExitCode::from(USAGE);
    }
    // Only the first installation counts, and this is it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the runtime cannot start");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(operate(args));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the operator ends");
            ExitCode::FAILURE
        }
    }
}

async fn operate(args: Args) -> anyhow::Result<()> {
    let settings = Arc::new(args.settings());
    let admin = Admin::new()?;
    let registry = admin.registry.clone();
    let watching = admin.readiness.part("watches");
    let copied = admin.readiness.part("packages");
    let admin_listener = Admin::bind(args.admin_address).await?;
    let home_listener = home::bind(args.home_address).await?;
    let control_listener = control::bind(args.control_address).await?;
    let client = flint_kube::client(concat!("flint-operator/", env!("CARGO_PKG_VERSION"))).await?;

    let mut tasks = JoinSet::new();
    let servers = CancellationToken::new();
    tasks.spawn(admin.serve(admin_listener, servers.clone()));

    let stores = Stores::spawn(&client, &WatchMetrics::new(&registry)?, &mut tasks);
    let control = Arc::new(Control::new(stores.clone(), MOST_GATEWAYS, &registry)?);
    let schedules = Arc::new(Schedules::new(client.clone(), stores.clone()));
    let (leads, leader) = watch::channel(false);

    let volume = Arc::new(Volume::open(&args.package_dir, args.package_capacity).with_context(|| {
        format!("the folder of packages, {} (FLINT_PACKAGE_DIR), cannot be used", args.package_dir.display())
    })?);
    let insecure = args.insecure_registries();
    let shared = args.package_store.as_ref().map(|place| {
        let store = place.open(args.package_store_auth.as_deref(), &insecure);
        store.context("the package store (FLINT_PACKAGE_STORE) cannot be used")
    });
    let peers =
        Peers::new(settings.replicas(), args.pod_ip).context("the other operators cannot be asked")?;
    let store = Storehouse::new(Arc::clone(&volume), shared.transpose()?).among(peers);
    let kept = Kept::new(client.clone(), stores.clone(), store.clone(), leader.clone());
    let missed = kept.missed();
    let kept = Arc::new(kept);
    let packages = Packages::new(Arc::clone(&kept) as Arc<dyn PackageSource>);
    let images = Arc::new(Images::new(stores.clone(), args.images(), kept, Arc::clone(&volume), &registry)?);
    let fetcher = Arc::new(Fetcher::new(
        client.clone(),
        stores.clone(),
        Workshop { volume: Arc::clone(&volume), store: store.clone(), bounds: args.bounds(), insecure },
        Reach::default(),
        Trust::new(args.source_ca_file.clone()),
        args.source_interval(),
        &registry,
    )?);
    let builds = args.builds();
    let caches = Caches::open(&args.package_dir, args.build_cache_capacity)
        .with_context(|| format!("the folder of caches in {} cannot be used", args.package_dir.display()))?;
    let master = settings.master_key.bytes().to_vec();
    let pool_metrics = pool::Metrics::new(&registry)?;
    let recorder = Recorder::new(
        client.clone(),
        stores.clone(),
        Arc::clone(&control),
        master.clone(),
        pool_metrics.clone(),
    );
    let most = (builds.unpacked, builds.cache);
    let depot = Depot::new(master.clone(), stores.clone(), store.clone(), Arc::new(caches), most);
    let home = Home::new(master, stores.clone(), Arc::clone(&control), packages, depot, leader.clone());
    let home = home.recording(recorder);
    tasks.spawn(home::serve(home_listener, Arc::new(home), servers.clone()));
    let serving = control::serve(
        control_listener,
        ControlConfig { key: args.control_key.clone() },
        Arc::clone(&control),
        Arc::clone(&schedules) as Arc<dyn Firings>,
        leader,
        servers.clone(),
    );
    tasks.spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(error = format!("{error:#}"), "the control server ended");
        }
    });

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        ready = stores.ready() => ready.context("a watch ended")?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    }
    watching.ready();
    tasks.spawn(sweep(
        Arc::clone(&volume),
        store.clone(),
        leads.subscribe(),
        stores.clone(),
        Arc::clone(&fetcher),
    ));
    tasks.spawn(mirror(store.clone(), stores.clone(), missed, copied));
    tracing::info!(functions = stores.functions.len(), "the watches are ready");

    let leasing = CancellationToken::new();
    let identity = format!("{}_{:08x}", args.pod_name, rand::random::<u32>());
    let config = lease::Config::new(&args.pod_namespace, leader::LEASE, &identity);
    let (holding, contest) = Lease::new(client.clone(), config).spawn(leasing.clone());
    let metrics = Metrics::new(&registry)?;
    let scaler_metrics = scaler::Metrics::new(&registry)?;

    let working = CancellationToken::new();
    let mut work = JoinSet::new();
    let acquired = tokio::select! {
        () = holding.acquired() => true,
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        _ = tasks.join_next() => anyhow::bail!("a server or a watch ended"),
    };
    let mut result = Ok(());
    if acquired {
        metrics.leads(true);
        leads.send_replace(true);
        let pool_settings = Arc::clone(&settings);
        let applier = Applier::new(client.clone(), flint_api::labels::FIELD_MANAGER);
        let builds = Builds::new(applier.clone(), stores.clone(), Arc::clone(&settings), builds, store);
        let context = Arc::new(function::Context::new(
            client.clone(),
            stores.clone(),
            settings,
            Events::new(client.clone(), "flint-operator", &args.pod_name),
            schedules,
            holding.clone(),
            metrics.clone(),
            Arc::clone(&control),
            fetcher,
            Arc::new(builds),
            images,
            usize::from(args.max_starting),
        ));
        let pools = pool::Context {
            applier: applier.clone(),
            stores: stores.clone(),
            control: Arc::clone(&control),
            settings: pool_settings,
            events: Events::new(client.clone(), "flint-operator", &args.pod_name),
            holding: holding.clone(),
            metrics: pool_metrics,
        };
        work.spawn(pool::run(pools, working.clone()));
        let namespace = args.pod_namespace.clone();
        work.spawn(leader::advertise(applier, namespace, args.pod_ip, holding.clone(), working.clone()));
        work.spawn(function::run(context, working.clone()));
        work.spawn(write_invocations(client.clone(), stores.clone(), Arc::clone(&control), working.clone()));
        work.spawn(scaler::run(
            client,
            stores.clone(),
            Arc::clone(&control),
            scaler_metrics,
            working.clone(),
        ));
        work.spawn(watch_starts(stores, control, working.clone()));
        result = tokio::select! {
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            () = holding.lost() => anyhow::bail!("the lease is lost, and another may lead already"),
            _ = work.join_next() => Err(anyhow::anyhow!("a part of the leader's work ended")),
            _ = tasks.join_next() => Err(anyhow::anyhow!("a server or a watch ended")),
        };
    }

    // Whoever acts under the Lease ends before it is released, so that the next leader is alone.
    tracing::info!("ending");
    working.cancel();
    let finish = async { while work.join_next().await.is_some() {} };
    if timeout(GOODBYE, finish).await.is_err() {
        tracing::warn!("work under way was cut off");
    }
    work.shutdown().await;
    leads.send_replace(false);
    metrics.leads(false);
    leasing.cancel();
    // Bounds itself; a panic in it is over with the process.
    let _ = contest.await;
    servers.cancel();
    result
}

impl Firings for Schedules {
    fn store(&self, firing: Firing) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move { self.store_firing(&firing).await })
    }
}
