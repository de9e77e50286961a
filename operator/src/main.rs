//! The operator: the only writer of Kubernetes objects.

mod args;
mod build;
mod changes;
mod control;
mod drift;
mod fetch;
mod function;
mod home;
mod images;
mod jobs;
mod key;
mod leader;
mod listen;
mod metrics;
mod overlay;
mod package;
mod packages;
mod pool;
mod process;
#[cfg(test)]
mod rbac;
mod rollout;
mod scaler;
mod schedules;
mod settings;
mod startability;
mod starts;
mod stores;
mod template;

use std::process::ExitCode;

/// Gives memory back when a burst is over, which glibc's allocator hardly does.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match args::Args::read() {
        Ok(args) => process::run(args),
        Err(code) => ExitCode::from(code),
    }
}
