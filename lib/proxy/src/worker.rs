//! The workers: one thread, one runtime and one listener each, sharing nothing.
//!
//! The kernel spreads connections over the listeners (`SO_REUSEPORT`), and everything about a connection then happens on one
//! thread: its parsing, its handler, the connection to the instance. So nothing on a request's way is locked, and no
//! wake-up crosses a core.
//!
//! The drain: no new connections but those that the kernel had already accepted for us, idle ones closed, the others told so
//! with their next answer (`connection: close`, GOAWAY), and a deadline for all of it.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::Poll,
    thread,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
    sync::{Notify, mpsc, watch},
};

use crate::{
    connection::{Connections, Limits},
    listener::{Trouble, listener},
    serve::{Handler, Serve, Service, serve},
    timeout::Timers,
};

/// Tasks that run between two looks at the sockets. tokio's 61 are about 15 requests; under load we take as many events
/// at a time as nginx does, and a worker with less to do looks sooner in any case.
const TASKS_PER_POLL: u32 = 256;

/// How the workers listen.
#[derive(Clone, Debug)]
pub struct WorkersConfig {
    /// Where; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// How many workers; 0 is one per core that the process may use, the cgroup's quota respected.
    pub workers: usize,
    /// Connections that wait to be accepted, per worker.
    pub backlog: u32,
    /// What clients may take.
    pub limits: Limits,
    /// How long requests in flight and tunnels may take to end after the shutdown began.
    pub drain: Duration,
}

/// Why the workers ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// A thread or its runtime cannot be started.
    #[error("cannot start worker {worker}")]
    Start {
        /// The worker's index.
        worker: usize,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// A worker ended by itself. The others were ended too: half a gateway hides its failure.
    #[error("worker {worker} ended")]
    Ended {
        /// The worker's index.
        worker: usize,
    },
}

/// Workers that hold their port and do not serve yet.
pub struct Workers {
    address: SocketAddr,
    listeners: Vec<std::net::TcpListener>,
    config: WorkersConfig,
}

/// A worker, as its handler sees it.
pub struct Worker {
    index: usize,
    timers: Timers,
    /// Tasks that the drain waits for.
    tasks: Cell<usize>,
    draining: Cell<bool>,
    changed: Rc<Notify>,
}

// === impl WorkersConfig ===

impl WorkersConfig {
    /// One worker per core on this address, with the usual limits.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            workers: 0,
            // What the kernel allows by default (net.core.somaxconn): a burst at a function at zero waits here.
            backlog: 4096,
            limits: Limits::default(),
            drain: Duration::from_secs(30),
        }
    }
}

// === impl Workers ===

impl Workers {
    /// Takes the port.
    ///
    /// # Errors
    ///
    /// When somebody else has it, or it is not ours to take.
    pub fn bind(config: WorkersConfig) -> Result<Self, WorkerError> {
        let listen = |address, shared| {
            listener(address, shared, config.backlog)
                .map_err(|source| WorkerError::Listen { address, source })
        };
        // Once alone: shared ports would hide that another program listens here.
        let alone = listen(config.address, false)?;
        let address =
            alone.local_addr().map_err(|source| WorkerError::Listen { address: config.address, source })?;
        drop(alone);
        let workers = match config.workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let listeners = (0..workers).map(|_| listen(address, true)).collect::<Result<_, _>>()?;
        Ok(Self { address, listeners, config })
    }

    /// Where they listen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.listeners.len()
    }

    /// Serves until `shutdown` is done and the drain is over.
    ///
    /// The factory makes each worker's handler on the worker's own thread, inside its runtime, so it may spawn local
    /// tasks and share `Rc`s with them.
    ///
    /// # Errors
    ///
    /// When a worker cannot start, or ends by itself.
    pub async fn run<H, F>(self, factory: F, shutdown: impl Future<Output = ()>) -> Result<(), WorkerError>
    where
        H: Handler,
        F: Fn(Rc<Worker>) -> H + Send + Sync + 'static,
    {
        let factory = Arc::new(factory);
        let (stop, stopping) = watch::channel(false);
        let (end, mut ended) = mpsc::channel(self.listeners.len());
        let mut running = self.listeners.len();
        for (worker, listener) in self.listeners.into_iter().enumerate() {
            let thread = Thread {
                index: worker,
                listener,
                limits: self.config.limits.clone(),
                drain: self.config.drain,
                stopping: stopping.clone(),
                end: end.clone(),
            };
            let factory = Arc::clone(&factory);
            thread::Builder::new()
                .name(format!("worker-{worker}"))
                .spawn(move || thread.run(&*factory))
                .map_err(|source| WorkerError::Start { worker, source })?;
        }
        drop(end);
        let mut shutdown = std::pin::pin!(shutdown);
        let mut outcome = Ok(());
        loop {
            let stopped = *stop.borrow();
            tokio::select! {
                () = &mut shutdown, if !stopped => {
                    let _old = stop.send_replace(true);
                }
                end = ended.recv() => {
                    running -= 1;
                    if let (Some(error), false, true) = (end, stopped, outcome.is_ok()) {
                        outcome = Err(error);
                        let _old = stop.send_replace(true);
                    }
                    if running == 0 {
                        return outcome;
                    }
                }
            }
        }
    }
}

/// A worker on its way into its thread.
struct Thread {
    index: usize,
    listener: std::net::TcpListener,
    limits: Limits,
    drain: Duration,
    stopping: watch::Receiver<bool>,
    end: mpsc::Sender<WorkerError>,
}

/// Tells that a thread is over, however it came to that.
struct EndOnDrop {
    end: mpsc::Sender<WorkerError>,
    error: Option<WorkerError>,
}

// === impl Thread ===

impl Thread {
    fn run<H: Handler>(self, factory: &dyn Fn(Rc<Worker>) -> H) {
        let worker = self.index;
        let mut end = EndOnDrop { end: self.end.clone(), error: Some(WorkerError::Ended { worker }) };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .event_interval(TASKS_PER_POLL)
            .build_local(LocalOptions::default());
        let outcome = runtime.and_then(|runtime| runtime.block_on(self.serve(factory)));
        if let Err(source) = outcome {
            end.error = Some(WorkerError::Start { worker, source });
        }
    }

    async fn serve<H: Handler>(mut self, factory: &dyn Fn(Rc<Worker>) -> H) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let changed = Rc::new(Notify::new());
        let connections = Connections::new(self.limits, Rc::clone(&changed));
        let worker = Rc::new(Worker {
            index: self.index,
            timers: Timers::start(),
            tasks: Cell::new(0),
            draining: Cell::new(false),
            changed,
        });
        let service = Service::new(Rc::new(factory(Rc::clone(&worker))), H::handle);
        let accept = |stream, peer| {
            begin(stream, peer, worker.index, Rc::clone(&service), Rc::clone(&connections));
        };
        let sweep = connections.sweep();
        // Who has come while there is no room. Only then is room made: the last one in its place keeps it.
        let held = RefCell::new(None);
        let accepting = async {
            let mut trouble = Trouble::default();
            loop {
                match listener.accept().await {
                    Ok(accepted) => {
                        *held.borrow_mut() = Some(accepted);
                        connections.room().await;
                    }
                    Err(error) => trouble.wait(&error).await,
                }
                if let Some((stream, peer)) = held.take() {
                    accept(stream, peer);
                }
            }
        };
        let mut sweep = std::pin::pin!(sweep);
        tokio::select! {
            () = accepting => {}
            () = &mut sweep => {}
            // A sender that is gone means the same.
            _ = self.stopping.wait_for(|stopping| *stopping) => {}
        }

        worker.draining.set(true);
        connections.drain();
        if let Some((stream, peer)) = held.take() {
            accept(stream, peer);
        }
        // Connections that the kernel made before we stopped would be reset with the listener.
        while let Some((stream, peer)) = poll_fn(|cx| match listener.poll_accept(cx) {
            Poll::Ready(Ok(accepted)) => Poll::Ready(Some(accepted)),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
        })
        .await
        {
            accept(stream, peer);
        }
        drop(listener);
        let drained = async {
            while connections.len() > 0 || worker.tasks.get() > 0 {
                worker.changed.notified().await;
            }
        };
        tokio::select! {
            () = drained => {}
            () = &mut sweep => {}
            () = tokio::time::sleep(self.drain) => {
                tracing::warn!(
                    worker = worker.index,
                    connections = connections.len(),
                    tunnels = worker.tasks.get(),
                    "drain deadline passed; ending what is left"
                );
            }
        }
        Ok(())
    }
}

/// Serves a connection, in a task of its own.
pub(crate) fn begin<S: Serve>(
    stream: TcpStream,
    peer: SocketAddr,
    worker: usize,
    service: Rc<S>,
    connections: Rc<Connections>,
) {
    // Streamed answers must not wait for acknowledgements of earlier frames.
    let (Ok(()), Ok(local)) = (stream.set_nodelay(true), stream.local_addr()) else { return };
    let connection = connections.add(peer, local, worker);
    tokio::task::spawn_local(async move {
        serve(stream, &*service, Rc::clone(&connection), &connections).await;
        connections.remove(&connection);
    });
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if let Some(error) = self.error.take() {
            // There is room for every worker's end, unless nobody waits any more.
            let _gone = self.end.try_send(error);
        }
    }
}

// === impl Worker ===

impl Worker {
    /// Its number, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its deadlines.
    #[must_use]
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.get()
    }

    /// Runs a task that the drain waits for, and ends at its deadline: a tunnel.
    pub fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        struct Counted(Rc<Worker>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.tasks.set(self.0.tasks.get() - 1);
                self.0.changed.notify_one();
            }
        }
        self.tasks.set(self.tasks.get() + 1);
        let counted = Counted(Rc::clone(self));
        tokio::task::spawn_local(async move {
            let _counted = counted;
            task.await;
        });
    }
}
