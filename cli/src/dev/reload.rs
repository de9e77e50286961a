//! The task that reads the project again whenever its files change; a save in the middle of a reading begins it anew.

use flint_local::Key;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    load::{Loaded, Loader},
    watch::{Changes, Watcher},
};
use crate::project::Note;

/// What the task tells.
#[derive(Debug)]
pub(super) enum News {
    /// The project as it is now.
    Loaded(Box<Loaded>),
    /// The project cannot be read; what was served is served on.
    Wrong(Vec<Note>),
    /// Something takes a while.
    Busy(String),
    /// How files are watched is not as it should be.
    Watching(String),
}

/// A debugger for a function, at this port; or none any more.
#[derive(Clone, Debug)]
pub(super) struct Debug {
    /// Which function.
    pub(super) function: Key,
    /// The port on loopback.
    pub(super) port: Option<u16>,
}

/// The task, and the ways to it.
pub(super) struct Reloading {
    /// Takes wishes.
    pub(super) wish: mpsc::Sender<Debug>,
    /// Gives news.
    pub(super) news: mpsc::Receiver<News>,
    task: JoinHandle<()>,
}

/// What may wait to be shown; the task waits beyond that.
const AHEAD: usize = 16;

/// Starts the task. It ends when nobody listens any more. Without a watcher only [`Debug`] makes it read.
#[must_use]
pub(super) fn spawn(loader: Loader, watcher: Option<Watcher>) -> Reloading {
    let (wish, wishes) = mpsc::channel(AHEAD);
    let (tell, news) = mpsc::channel(AHEAD);
    let task = tokio::spawn(run(loader, watcher, wishes, tell));
    Reloading { wish, news, task }
}

async fn run(
    mut loader: Loader,
    mut watcher: Option<Watcher>,
    mut wishes: mpsc::Receiver<Debug>,
    tell: mpsc::Sender<News>,
) {
    if let Some(note) = watcher.as_ref().and_then(Watcher::note) {
        let _ = tell.send(News::Watching(note)).await;
    }
    loop {
        let mut changes = tokio::select! {
            changes = changed(&mut watcher) => changes,
            wish = wishes.recv() => match wish {
                Some(Debug { function, port }) => {
                    match port {
                        Some(port) => drop(loader.debugged().insert(function, port)),
                        None => drop(loader.debugged().remove(&function)),
                    }
                    Changes::default()
                }
                None => return,
            },
        };
        let loaded = loop {
            let busy = |what: &str| drop(tell.try_send(News::Busy(what.to_owned())));
            tokio::select! {
                loaded = loader.load(&changes, &busy) => break loaded,
                more = changed(&mut watcher) => changes.merge(more),
                () = tell.closed() => return,
            }
        };
        let news = match loaded {
            Ok(loaded) => {
                if let Some(watcher) = &mut watcher {
                    watcher.watch(loaded.watched.clone());
                }
                News::Loaded(Box::new(loaded))
            }
            Err(notes) => News::Wrong(notes),
        };
        if tell.send(news).await.is_err() {
            return;
        }
    }
}

// === impl Reloading ===

impl Reloading {
    /// Ends the task, with the compiler that it may be waiting for and what it has unpacked.
    pub(super) async fn end(self) {
        drop((self.wish, self.news));
        // It has nothing to say any more, not even that it panicked.
        let _ = self.task.await;
    }
}

async fn changed(watcher: &mut Option<Watcher>) -> Changes {
    match watcher {
        Some(watcher) => watcher.changed().await,
        None => std::future::pending().await,
    }
}
