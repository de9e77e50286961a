//! The platform without a terminal: for tests that start it, kill it and measure it.

use std::{
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use flint_api::Mode;
use flint_local::{Config, FunctionSpec, Platform, Program, Project, instance};

const USAGE: &str = "\
local-platform serve FOLDER COUNT MINIMUM [COMMAND...]

Serves COUNT functions f1, f2, ... in process mode, each with MINIMUM instances, that run COMMAND in FOLDER. Says where on
standard output, and stops when standard input ends.
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("instance") => instance::main(),
        Some("serve") => match serve(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(64)
        }
    }
}

fn serve(mut args: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let folder = PathBuf::from(args.next().context(USAGE)?);
    let count: u32 = args.next().context(USAGE)?.parse().context(USAGE)?;
    let minimum: u32 = args.next().context(USAGE)?.parse().context(USAGE)?;
    let command: Vec<String> = args.collect();
    let program = Program { path: std::env::current_exe()?, args: vec!["instance".into()] };
    let functions = (1..=count).map(|number| {
        let spec = flint_api::FunctionSpec {
            scaling: Some(flint_api::Scaling { min_replicas: Some(minimum), ..Default::default() }),
            ..Default::default()
        };
        let function = flint_api::Function::new(&format!("f{number}"), spec);
        FunctionSpec::new(&function, Mode::Process, folder.clone(), command.clone())
    });
    let project = Project { functions: functions.collect(), routes: Vec::new() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let platform = Platform::start(Config::new(listen, program), project).await?;
        println!("{}", platform.address());
        let until_closed = || std::io::stdin().read_to_end(&mut Vec::new());
        tokio::task::spawn_blocking(until_closed).await??;
        platform.stop().await?;
        Ok(())
    })
}
