//! The loop that a developer sits before: events become lines, keys and saves become actions, signals become the end.

mod choice;
mod debug;
mod start;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use flint_local::{Event, Events, Key, Told};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{broadcast::error::RecvError, watch},
    task::JoinHandle,
};

use self::choice::Choice;
use super::{
    actions::{Actions, Ending},
    banner,
    keys::Keyboard,
    load::{Loaded, Remark},
    reload::{News, Reloading},
    screen::{Level, Screen},
    terminal::{Flushing, Terminal},
};
use crate::{
    error::Error,
    output::{BAD, DIM, GOOD, Output},
    project::Options,
};

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// The folder or file.
    pub path: PathBuf,
    /// The port on loopback; 0 is any.
    pub port: u16,
    /// Whether a save reloads.
    pub reload: bool,
    /// Whether debuggers can attach from the start.
    pub inspect: bool,
    /// What is shown.
    pub level: Level,
    /// What the project is read with.
    pub options: Options,
}

/// A platform with everything around it.
struct Session {
    terminal: Terminal,
    flushing: Flushing,
    actions: Actions,
    ending: Ending,
    events: Events,
    screen: Screen,
    loaded: Loaded,
    about: watch::Sender<Value>,
    page: Option<JoinHandle<()>>,
    reloading: Reloading,
    signals: Signals,
    resumed: Signal,
    keyboard: Option<Keyboard>,
    /// What a digit means at the moment.
    choice: Option<Choice>,
    /// The last invocation, for `[i]` and `[d]`.
    last: Option<(u64, Option<Key>)>,
    /// The functions that a debugger attaches to.
    debugged: BTreeMap<Key, u16>,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// Runs until it is told to end.
///
/// # Errors
/// The project is wrong, the port is taken, or the platform fails; and when a second Ctrl-C cut it short.
pub async fn run(wishes: Wishes, output: &Output) -> Result<(), Error> {
    let mut session = start::start(wishes, output).await?;
    session.serve().await;
    session.stop().await
}

// === impl Session ===

impl Session {
    async fn serve(&mut self) {
        for told in std::mem::take(&mut self.events.past) {
            self.show(&told);
        }
        loop {
            tokio::select! {
                // Signals and keys first: a function that floods the log must not keep Ctrl-C waiting.
                biased;
                () = self.signals.end() => return,
                _ = self.resumed.recv() => {
                    if let Some(keyboard) = &self.keyboard {
                        keyboard.again();
                    }
                }
                key = key(&mut self.keyboard) => {
                    if self.pressed(key).await {
                        return;
                    }
                }
                Some(news) = self.reloading.news.recv() => self.hear(news).await,
                told = self.events.live.recv() => match told {
                    Ok(told) => self.show(&told),
                    Err(RecvError::Lagged(missed)) => self.say(&format!("{DIM}({missed} events were too fast to be shown){DIM:#}")),
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    fn show(&mut self, told: &Arc<Told>) {
        if let Event::Invocation(invocation) = &told.event {
            self.last = Some((told.id, invocation.function.clone()));
        }
        if self.terminal.is_for_people() {
            if let Some(line) = self.screen.show(told) {
                self.terminal.print(&line);
            }
        } else if let Ok(line) = serde_json::to_string(told.as_ref()) {
            self.terminal.print(&line);
        }
        if let Event::InstanceReady { function, .. } = &told.event
            && let Some(port) = self.debugged.get(function)
        {
            self.say(&debug::attach(function, *port, self.loaded.functions.get(function)));
        }
    }

    /// For people: a program reads events.
    fn say(&self, text: &str) {
        self.terminal.say(text);
    }

    async fn hear(&mut self, news: News) {
        match news {
            News::Busy(what) => self.say(&format!("{DIM}{what}{DIM:#}")),
            News::Watching(note) => self.terminal.warn(&note),
            News::Wrong(notes) => {
                for note in notes {
                    self.say(&format!("{BAD}✗{BAD:#} {note}"));
                }
                self.say(&format!("{DIM}the project as it was before serves on{DIM:#}"));
            }
            News::Loaded(loaded) => self.serve_instead(*loaded).await,
        }
    }

    async fn serve_instead(&mut self, loaded: Loaded) {
        self.screen.know(&loaded);
        let before: BTreeSet<Remark> = all_remarks(&self.loaded).cloned().collect();
        let fresh = all_remarks(&loaded).filter(|remark| !before.contains(*remark));
        let text = banner::remarks(fresh, &loaded.root);
        if !text.is_empty() {
            self.say(text.trim_end());
        }
        for note in loaded.notes.iter().filter(|note| !self.loaded.notes.contains(note)) {
            self.say(&format!("{DIM}{note}{DIM:#}"));
        }
        if loaded.served.routes != self.loaded.served.routes
            || !loaded.functions.keys().eq(self.loaded.functions.keys())
        {
            self.say(&banner::routes(&loaded).to_string());
        }
        if let Err(error) = self.actions.update(loaded.served.clone()).await {
            self.say(&format!("{BAD}✗{BAD:#} {error}"));
        }
        self.loaded = loaded;
        self.about.send_modify(|about| about["name"] = json!(self.loaded.name));
    }

    /// Whether that was the end.
    async fn pressed(&mut self, key: char) -> bool {
        if let Some(choice) = self.choice.take()
            && let Some(number) = key.to_digit(10)
        {
            if let Some(choice) = choice.pick(number) {
                self.chosen(choice).await;
            }
            return false;
        }
        match key {
            'q' => return true,
            'i' => self.again(),
            's' => self.choose_schedule().await,
            'd' => self.choose_debugged().await,
            'r' => self.restart_all(),
            'l' => {
                let level = self.screen.next_level();
                self.say(&format!("{DIM}showing {level}{DIM:#}"));
            }
            '\n' => self.say(""),
            '?' | 'h' => self.say(&banner::keys()),
            _ => {}
        }
        false
    }

    fn again(&self) {
        let Some((id, _)) = self.last else {
            return self.say(&format!("{DIM}nothing was invoked yet{DIM:#}"));
        };
        let (actions, terminal) = (self.actions.clone(), self.terminal.clone());
        tokio::spawn(async move {
            if let Err(error) = actions.replay(id).await {
                terminal.warn(&error.to_string());
            }
        });
    }

    fn restart_all(&self) {
        self.say(&format!("{DIM}restarting{DIM:#}"));
        for key in self.loaded.functions.keys() {
            let (actions, terminal) = (self.actions.clone(), self.terminal.clone());
            let key = key.clone();
            tokio::spawn(async move {
                if let Err(error) = actions.restart(&key).await {
                    terminal.warn(&error.to_string());
                }
            });
        }
    }

    fn fire(&self, function: Key, schedule: String) {
        let (actions, terminal) = (self.actions.clone(), self.terminal.clone());
        tokio::spawn(async move {
            if let Err(error) = actions.fire(&function, &schedule).await {
                terminal.warn(&error.to_string());
            }
        });
    }

    /// Ends everything in order; a second signal ends it at once.
    async fn stop(self) -> Result<(), Error> {
        let functions = self.actions.functions().await.unwrap_or_default();
        let in_flight: u32 = functions.iter().map(|function| function.in_flight + function.waiting).sum();
        if in_flight > 0 {
            self.say(&format!("finishing {in_flight} in flight; Ctrl-C again ends at once"));
        }
        let Self {
            ending,
            page,
            keyboard,
            mut signals,
            terminal,
            flushing,
            mut events,
            mut screen,
            reloading,
            ..
        } = self;
        if let Some(page) = page {
            page.abort();
        }
        let mut stopping = std::pin::pin!(ending.stop());
        let outcome = loop {
            tokio::select! {
                outcome = &mut stopping => break outcome,
                () = signals.end() => return Err(Error::interrupted()),
                Ok(told) = events.live.recv() => {
                    if terminal.is_for_people() && let Some(line) = screen.show(&told) {
                        terminal.print(&line);
                    }
                }
            }
        };
        drop(keyboard);
        reloading.end().await;
        outcome.map_err(|error| Error::platform("the platform did not end as it should").because(error))?;
        terminal.say(&format!("{GOOD}bye{GOOD:#}: nothing is left running"));
        terminal.close();
        flushing.done().await;
        Ok(())
    }
}

fn all_remarks(loaded: &Loaded) -> impl Iterator<Item = &Remark> {
    loaded.functions.values().flat_map(|known| &known.remarks)
}

async fn key(keyboard: &mut Option<Keyboard>) -> char {
    match keyboard {
        Some(keyboard) => keyboard.key().await,
        None => std::future::pending().await,
    }
}

/// The tables of the banner, for a start and whenever they are asked for.
async fn schedules(actions: &Actions) -> Option<String> {
    let functions = actions.functions().await.ok()?;
    banner::schedules(&functions, Timestamp::now()).map(|table| table.to_string())
}

// === impl Signals ===

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Somebody wants it to end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
