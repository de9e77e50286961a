//! Those who misbehave in `fairness`, each a process of its own, so that the load is not what they disturb.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, ValueEnum};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
    time::{sleep, timeout},
};

use crate::{
    process::most_files,
    wire::{Wire, get},
};

/// What somebody does to a gateway that others use too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Many requests at a time to a function that takes its time.
    Slow,
    /// Connections that are kept and say nothing, half of them after a request.
    Idle,
    /// Heads just under the limit, and just over it, one after the other.
    Headers,
    /// Heads that come a byte at a time and never end.
    Trickle,
}

/// Misbehaves until the process is ended.
#[derive(Debug, Args)]
pub(crate) struct Attack {
    #[arg(long, value_enum)]
    kind: Kind,
    /// The gateway.
    #[arg(long)]
    target: SocketAddr,
    #[arg(long)]
    connections: usize,
    /// Where this listens once everybody has connected.
    #[arg(long)]
    ready: SocketAddr,
}

/// Between two heads of one connection: with 16 connections about 10 MB/s of heads, which no limit of requests would stop.
const BETWEEN_HEADS: Duration = Duration::from_millis(100);
/// Between two bytes of a head that never ends.
const BETWEEN_BYTES: Duration = Duration::from_secs(1);
/// Connections that come up at a time, so that the backlog has room for those of others.
const AT_A_TIME: usize = 256;

// === impl Kind ===

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Idle => "idle",
            Self::Headers => "headers",
            Self::Trickle => "trickle",
        }
    }

    async fn go_on(self, number: usize, wire: Wire, target: SocketAddr) {
        // Whoever is turned away comes again: that is what makes it an attack.
        let mut wire = Some(wire);
        loop {
            if let Some(wire) = wire.take() {
                match self {
                    Self::Slow => slow(wire).await,
                    Self::Idle => idle(wire, number.is_multiple_of(2)).await,
                    Self::Headers => headers(wire, number).await,
                    Self::Trickle => trickle(wire).await,
                }
            }
            sleep(Duration::from_secs(1)).await;
            wire = Wire::connect(target).await.ok();
        }
    }
}

// === impl Attack ===

impl Attack {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        most_files()?;
        let Self { kind, target, connections, ready } = self;
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            for number in 0..connections {
                let wire = Wire::connect(target).await?;
                tokio::task::spawn_local(kind.go_on(number, wire, target));
                if number % AT_A_TIME == AT_A_TIME - 1 {
                    sleep(Duration::from_millis(50)).await;
                }
            }
            let listener = TcpListener::bind(ready).await?;
            loop {
                let _told = listener.accept().await?;
            }
        })
    }
}

async fn slow(mut wire: Wire) {
    let request = get("bench.example", "/function/slow");
    while wire.call(&request).await.is_ok() {}
}

async fn idle(mut wire: Wire, after_a_request: bool) {
    // To nobody: what is kept is the connection.
    if after_a_request && wire.call(&get("bench.example", "/function/nobody")).await.is_err() {
        return;
    }
    closed(wire.into_stream()).await;
}

async fn headers(mut wire: Wire, number: usize) {
    // 90 fields, for more than 100 are refused by their number.
    let size = if number.is_multiple_of(2) { 600 } else { 900 };
    let fields: String = (0..90).map(|field| format!("x-field-{field}: {}\r\n", "v".repeat(size))).collect();
    let head = format!("GET /function/slow HTTP/1.1\r\nHost: bench.example\r\n{fields}\r\n");
    loop {
        // An answer ends the turn: one that was refused is on a connection that ends.
        if !matches!(timeout(Duration::from_secs(5), wire.call(head.as_bytes())).await, Ok(Ok(_))) {
            return;
        }
        sleep(BETWEEN_HEADS).await;
    }
}

async fn trickle(wire: Wire) {
    let mut stream = wire.into_stream();
    let head = b"GET /function/slow HTTP/1.1\r\nHost: bench.example\r\nx-never: ";
    if stream.write_all(head).await.is_err() {
        return;
    }
    let (mut from, mut to) = stream.into_split();
    let mut answer = [0; 64];
    let writing = async {
        while to.write_all(b"v").await.is_ok() {
            sleep(BETWEEN_BYTES).await;
        }
    };
    tokio::select! {
        () = writing => {}
        _ = from.read(&mut answer) => {}
    }
}

async fn closed(mut stream: TcpStream) {
    while matches!(stream.read(&mut [0; 64]).await, Ok(read) if read > 0) {}
}
