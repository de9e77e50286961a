//! The backend behind every proxy of the rig: answers each request head with the same small answer.

use std::{net::SocketAddr, time::Duration};

use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
};

/// Serves until the process is ended, with a body of that many bytes or a small one, each answer after that time.
pub(crate) fn run(address: SocketAddr, bytes: Option<usize>, delay: Duration) -> anyhow::Result<()> {
    let small = r#"{"message":"hello from the other side of the proxy"}"#;
    let body = bytes.map_or_else(|| small.to_owned(), |bytes| "x".repeat(bytes));
    let answer: &'static [u8] = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
    .leak();
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(answer_all(stream, answer, delay));
        }
    })
}

async fn answer_all(mut stream: TcpStream, answer: &'static [u8], delay: Duration) {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        while let Some(end) = memmem::find(&buffer, b"\r\n\r\n") {
            buffer.drain(..end + 4);
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}
