//! Benchmarks of Flint, as ratios against a rival in the same run. `bench/README.md` says how and when they are valid.

use std::{net::SocketAddr, time::Duration};

use clap::{Parser, Subcommand};

mod apply;
mod attack;
mod audit;
mod backend;
mod bootstrap;
mod burst;
mod calls;
mod changes;
mod climb;
mod cluster;
mod cold;
mod compare;
mod copies;
mod cores;
mod dev;
mod external;
mod fairness;
mod floor;
mod idle;
mod languages;
mod load;
mod payload;
mod phases;
mod plot;
mod process;
mod report;
mod reverse;
mod rivals;
mod scale;
mod sources;
mod switch;
mod wire;

// The engine is measured with the allocator that the gateway is shipped with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures Flint beside its rivals.
#[derive(Debug, Parser)]
#[command(name = "flint-bench", version)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    Proxy(compare::Compare),
    Fairness(fairness::Fairness),
    External(external::External),
    Scale(scale::Scale),
    ColdStart(cold::Cold),
    Burst(burst::Burst),
    Climb(climb::Climb),
    Apply(apply::Apply),
    Switch(switch::Switch),
    Sources(sources::Sources),
    Dev(dev::Dev),
    Idle(idle::Idle),
    Languages(languages::Languages),
    Load(load::Single),
    /// The backend of `proxy`, as a process of its own.
    #[command(hide = true)]
    Backend {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        answer_bytes: Option<usize>,
        #[arg(long, default_value_t = 0)]
        delay_ms: u64,
    },
    /// An API server whose functions change all the time, as a process of its own.
    #[command(hide = true)]
    Changes {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        functions: usize,
        #[arg(long)]
        rate: f64,
        #[arg(long)]
        instance: SocketAddr,
    },
    /// Somebody who misbehaves, as a process of its own.
    #[command(hide = true)]
    Attack(attack::Attack),
    /// A function of the least that the Lambda Runtime API wants, as a watchdog's child.
    #[command(hide = true)]
    Bootstrap,
    /// The engine alone as a reverse proxy, as a process of its own.
    #[command(hide = true)]
    Engine {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        upstream: SocketAddr,
        #[arg(long, default_value_t = 0)]
        workers: usize,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().benchmark {
        Benchmark::Proxy(compare) => compare.run(),
        Benchmark::Fairness(fairness) => fairness.run(),
        Benchmark::External(external) => external.run(),
        Benchmark::Scale(scale) => wait(scale.run()),
        Benchmark::ColdStart(cold) => wait(cold.run()),
        Benchmark::Burst(burst) => wait(burst.run()),
        Benchmark::Climb(climb) => wait(climb.run()),
        Benchmark::Apply(apply) => wait(apply.run()),
        Benchmark::Switch(switch) => wait(switch.run()),
        Benchmark::Sources(sources) => wait(sources.run()),
        Benchmark::Dev(dev) => wait(dev.run()),
        Benchmark::Idle(idle) => idle.run(),
        Benchmark::Languages(languages) => wait(languages.run()),
        Benchmark::Load(load) => load.run(),
        Benchmark::Backend { listen, answer_bytes, delay_ms } => {
            backend::run(listen, answer_bytes, Duration::from_millis(delay_ms))
        }
        Benchmark::Changes { listen, functions, rate, instance } => {
            changes::run(listen, changes::Busy { functions, rate, instance })
        }
        Benchmark::Attack(attack) => attack.run(),
        Benchmark::Bootstrap => bootstrap::run(),
        Benchmark::Engine { listen, upstream, workers } => reverse::run(listen, upstream, workers),
    }
}

fn wait(benchmark: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(benchmark)
}
