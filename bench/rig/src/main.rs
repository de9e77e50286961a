//! Benchmarks of Flint, as ratios against a rival in the same run. `bench/README.md` says how and when they are valid.

use std::net::SocketAddr;

use clap::{Parser, Subcommand};

mod apply;
mod backend;
mod calls;
mod cluster;
mod cold;
mod compare;
mod dev;
mod idle;
mod load;
mod process;
mod report;
mod reverse;
mod rivals;
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
    ColdStart(cold::Cold),
    Apply(apply::Apply),
    Switch(switch::Switch),
    Dev(dev::Dev),
    Idle(idle::Idle),
    Load(load::Single),
    /// The backend of `proxy`, as a process of its own.
    #[command(hide = true)]
    Backend {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        answer_bytes: Option<usize>,
    },
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
        Benchmark::ColdStart(cold) => wait(cold.run()),
        Benchmark::Apply(apply) => wait(apply.run()),
        Benchmark::Switch(switch) => wait(switch.run()),
        Benchmark::Dev(dev) => wait(dev.run()),
        Benchmark::Idle(idle) => idle.run(),
        Benchmark::Load(load) => load.run(),
        Benchmark::Backend { listen, answer_bytes } => backend::run(listen, answer_bytes),
        Benchmark::Engine { listen, upstream, workers } => reverse::run(listen, upstream, workers),
    }
}

fn wait(benchmark: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(benchmark)
}
