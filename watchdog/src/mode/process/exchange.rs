//! One request and its program: the body in, the answer out, the end.

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flint_core::wire::ErrorCode;
use flint_proxy::Body;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::{Runner, environment};
use crate::answer::{Answer, Cut, refusal};
use crate::child::{Child, Exit, StartError};
use crate::logs::{Attribution, Pipes, Pump};
use crate::mode::worker::exit_message;
use crate::report::Status;
use crate::ticket::{Ticket, Worker};

/// One read from a pipe, which holds as much.
const CHUNK: usize = 64 * 1024;
/// Chunks between the program and the client; a slow client slows the program.
const IN_BETWEEN: usize = 4;

type Reply = oneshot::Sender<Response<Answer>>;
type Frames = mpsc::Sender<Result<Frame<Bytes>, Cut>>;

/// A started program and our ends of its streams.
struct Started {
    child: Child,
    stdin: pipe::Sender,
    stdout: pipe::Receiver,
    stderr: Pump,
    attribution: Arc<Attribution>,
}

/// How an exchange ended.
enum End {
    /// The program did, in this way.
    Exited(Exit),
    /// Its time was up.
    TimedOut,
    /// Nobody waits for the answer any more.
    ClientGone,
}

/// Where the answer goes: nowhere yet, or after a head that has been sent.
enum Way {
    Unsent(Reply),
    Sent(Frames),
}

// === impl Runner ===

impl Runner {
    /// Runs the program for one request, to the very end of both.
    pub(super) async fn exchange(self: Arc<Self>, request: Request<Body>, mut ticket: Ticket, reply: Reply) {
        let (parts, body) = request.into_parts();
        let mut started = match self.start_program(&parts, &ticket.id) {
            Ok(started) => started,
            Err(error) => {
                let message = format!("{}: {error}", error.error_type());
                let response = refusal(ErrorCode::FunctionFailed, &message, &ticket.id);
                ticket.finish(Status::Error, response.status());
                let _ = reply.send(response);
                return;
            }
        };
        ticket.begin(None, Worker { attribution: started.attribution.clone(), pipes: None, tail: None });
        let handle = started.child.handle();
        self.running.lock().push(handle);
        self.instance.child_started(handle.pid());

        let mut way = Way::Unsent(reply);
        let feeding = tokio::task::spawn_local(feed(body, started.stdin));
        let end = tokio::select! {
            exit = transfer(&mut started.stdout, &mut way, &mut started.child) => exit,
            () = sleep_until(ticket.deadline) => End::TimedOut,
        };
        feeding.abort();
        if !matches!(end, End::Exited(_)) {
            handle.kill();
            started.child.exited().await;
        }
        // What it started in its group and left behind ends with it.
        handle.kill();
        self.running.lock().retain(|other| other.pid() != handle.pid());
        self.instance.child_ended(handle.pid());
        self.instance.reaper.kill_strays();
        started.stderr.finish().await;
        self.conclude(end, way, ticket, &started.attribution).await;
    }

    fn start_program(&self, parts: &http::request::Parts, id: &str) -> Result<Started, StartError> {
        let program = self.program.lock().clone();
        let Some(program) = program else {
            return Err(StartError::NotFound(String::new(), self.instance.config.task_root.clone()));
        };
        let attribution = Arc::<Attribution>::default();
        let (pipes, stderr) =
            Pipes::stderr_only(&self.instance.log, &attribution).map_err(StartError::Pipes)?;
        let (stdin, ours_in) = std::io::pipe().map_err(StartError::Pipes)?;
        let (ours_out, stdout) = std::io::pipe().map_err(StartError::Pipes)?;
        let variables = environment::environment(parts, id);
        let streams = [Stdio::from(stdin), Stdio::from(stdout), stderr];
        let child = program.start(&self.instance.reaper, variables, streams)?;
        Ok(Started {
            child,
            stdin: pipe::Sender::from_owned_fd(OwnedFd::from(ours_in)).map_err(StartError::Pipes)?,
            stdout: pipe::Receiver::from_owned_fd(OwnedFd::from(ours_out)).map_err(StartError::Pipes)?,
            stderr: pipes.pump(),
            attribution,
        })
    }

    async fn conclude(&self, end: End, way: Way, ticket: Ticket, attribution: &Attribution) {
        let (status, code, message) = match end {
            End::Exited(Exit::Code(0)) => (Status::Success, ErrorCode::FunctionFailed, String::new()),
            End::Exited(exit) => {
                let mut message = exit_message(&self.instance, exit);
                if let Some(last) = attribution.last_error() {
                    message = format!("{message}: {last}");
                }
                (Status::Error, ErrorCode::FunctionFailed, message)
            }
            End::TimedOut => (Status::Timeout, ErrorCode::Timeout, ticket.timeout_message()),
            End::ClientGone => return drop(ticket),
        };
        match way {
            Way::Sent(frames) => {
                ticket.finish(status, StatusCode::OK);
                if status != Status::Success {
                    let _ = frames.send(Err(Cut(message))).await;
                }
            }
            Way::Unsent(reply) => {
                let response = if status == Status::Success {
                    Response::new(Answer::Whole(None))
                } else {
                    refusal(code, &message, &ticket.id)
                };
                ticket.finish(status, response.status());
                let _ = reply.send(response);
            }
        }
    }
}

/// Feeds the body to the program. One that does not read it all is in its right.
async fn feed(mut body: Body, mut stdin: pipe::Sender) {
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        if stdin.write_all(&data).await.is_err() {
            return;
        }
    }
}

/// Carries the program's output to the client until the program has ended.
async fn transfer(stdout: &mut pipe::Receiver, way: &mut Way, child: &mut Child) -> End {
    let mut open = true;
    let mut exit = None;
    let mut chunk = Vec::new();
    // A process that was left behind may hold the output open: after the program's end only what is there counts.
    loop {
        if open && chunk.capacity() == 0 {
            chunk.reserve(CHUNK);
        }
        let gone = async {
            match &mut *way {
                Way::Unsent(reply) => reply.closed().await,
                Way::Sent(frames) => frames.closed().await,
            }
        };
        tokio::select! {
            biased;
            read = stdout.read_buf(&mut chunk), if open => match read {
                Ok(0) | Err(_) => open = false,
                Ok(_) => {
                    if !pass(Bytes::from(std::mem::take(&mut chunk)), way).await {
                        return End::ClientGone;
                    }
                }
            },
            () = gone => return End::ClientGone,
            () = tokio::time::sleep(LEFT_OPEN), if exit.is_some() => open = false,
            ended = child.exited(), if exit.is_none() => exit = Some(ended),
        }
        if let Some(exit) = exit.filter(|_| !open) {
            return End::Exited(exit);
        }
    }
}

/// How long an output that stays open after its program is still read.
const LEFT_OPEN: Duration = Duration::from_millis(20);

async fn pass(data: Bytes, way: &mut Way) -> bool {
    if let Way::Sent(frames) = way {
        return frames.send(Ok(Frame::data(data))).await.is_ok();
    }
    let (frames, receiver) = mpsc::channel(IN_BETWEEN);
    let content_type = if is_text(&data) { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    let mut response = Response::new(Answer::Frames(receiver));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Before the head: the channel has room, and head and data leave together.
    let _ = frames.try_send(Ok(Frame::data(data)));
    match std::mem::replace(way, Way::Sent(frames)) {
        Way::Unsent(reply) => reply.send(response).is_ok(),
        Way::Sent(_) => false,
    }
}

/// Whether it begins as text; a character may be cut at the end.
fn is_text(data: &[u8]) -> bool {
    let text = match std::str::from_utf8(data) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    text && !data.contains(&0)
}
