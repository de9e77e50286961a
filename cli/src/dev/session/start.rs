//! The start: the project is read, the port is taken, the page is served, and what there is to know is printed.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use flint_local::{Config, Platform, Program};
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::Instant,
};

use super::{Session, Signals, Wishes, all_remarks, debug, schedules};
use crate::{
    INSTANCE,
    dev::{
        actions, banner,
        keys::Keyboard,
        load::{Loaded, Loader},
        page, port, reload,
        screen::Screen,
        terminal::Terminal,
        watch::{Changes, Watcher},
    },
    error::Error,
    output::{DIM, Output},
    project::{self, Severity},
};

/// Starts everything.
pub(super) async fn start(wishes: Wishes, output: &Output) -> Result<Session, Error> {
    let started = Instant::now();
    let deaf = |error: std::io::Error| Error::platform("signals cannot be heard").because(error);
    let signals = Signals::listen().map_err(deaf)?;
    let resumed = signal(SignalKind::from_raw(nix::libc::SIGCONT)).map_err(deaf)?;
    let (terminal, flushing) =
        Terminal::open(output).map_err(|error| Error::platform("no thread can be started").because(error))?;

    let say = |what: &str| output.say(&format!("{DIM}{what}{DIM:#}"));
    let mut loader = Loader::new(wishes.path.clone(), wishes.options.clone())?;
    let loaded = load(&mut loader, output, &say).await?;
    let (loaded, debugged) = if wishes.inspect {
        inspected(&mut loader, loaded, output, &say).await?
    } else {
        (loaded, BTreeMap::new())
    };

    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, wishes.port));
    let program = std::env::current_exe()
        .map_err(|error| Error::platform("flint does not find itself").because(error))?;
    let config = Config::new(listen, Program { path: program, args: vec![INSTANCE.into()] });
    let platform =
        Platform::start(config, loaded.served.clone()).await.map_err(|error| refused(error, wishes.port))?;
    let address = platform.address();
    let url = format!("http://localhost:{}", address.port());
    let events = platform.events();
    let (actions, ending) = actions::share(platform);

    let (about, seen) = watch::channel(json!({"name": loaded.name, "url": url, "root": loaded.root}));
    let (page_url, page) = match page::serve(address.port(), actions.clone(), seen).await {
        Ok((address, task)) => {
            (Some(format!("http://localhost:{}{}", address.port(), page::PATH)), Some(task))
        }
        Err(error) => {
            terminal.warn(&format!("there is no page: no port can be had for it ({error})"));
            (None, None)
        }
    };
    let mut screen = Screen::new(wishes.level);
    screen.know(&loaded);
    let keyboard = if terminal.is_for_people() { Keyboard::take() } else { None };
    let took = started.elapsed();
    if terminal.is_for_people() {
        project::args::say(output, &loaded.notes);
        let remarks = banner::remarks(all_remarks(&loaded), &loaded.root);
        if !remarks.is_empty() {
            terminal.print(remarks.trim_end());
        }
        terminal.print(&banner::ready(&url, page_url.as_deref(), took));
        terminal.print(&format!("\n{}", banner::routes(&loaded)));
        if let Some(schedules) = schedules(&actions).await {
            terminal.print(&format!("\n{schedules}"));
        }
        terminal.print("");
        if keyboard.is_some() {
            terminal.print(&format!("{}\n", banner::keys()));
        }
    } else {
        let ready =
            json!({"kind": "ready", "url": url, "page": page_url, "tookMs": took.as_secs_f64() * 1000.0});
        terminal.print(&ready.to_string());
    }

    let watcher = wishes.reload.then(|| Watcher::new(loaded.watched.clone()));
    let reloading = reload::spawn(loader, watcher);
    Ok(Session {
        terminal,
        flushing,
        actions,
        ending,
        events,
        screen,
        loaded,
        about,
        page,
        reloading,
        signals,
        resumed,
        keyboard,
        choice: None,
        last: None,
        debugged,
    })
}

async fn load(loader: &mut Loader, output: &Output, say: &(dyn Fn(&str) + Sync)) -> Result<Loaded, Error> {
    loader.load(&Changes::default(), say).await.map_err(|notes| {
        project::args::say(output, &notes);
        let wrong = notes.iter().filter(|note| note.severity == Severity::Error).count();
        Error::usage(match wrong {
            1 => "the project cannot be served: one thing is wrong".to_owned(),
            wrong => format!("the project cannot be served: {wrong} things are wrong"),
        })
        .try_this("`flint new --list` shows templates to begin with")
    })
}

/// With a debugger for every function that can have one.
async fn inspected(
    loader: &mut Loader,
    loaded: Loaded,
    output: &Output,
    say: &(dyn Fn(&str) + Sync),
) -> Result<(Loaded, BTreeMap<flint_local::Key, u16>), Error> {
    let mut debugged = BTreeMap::new();
    for (key, known) in &loaded.functions {
        if let Some(port) = known.language.and_then(|language| debug::port_for(language, &debugged)) {
            debugged.insert(key.clone(), port);
        }
    }
    loader.debugged().clone_from(&debugged);
    Ok((load(loader, output, say).await?, debugged))
}

/// A port that is taken has somebody who took it.
fn refused(error: flint_local::Error, port: u16) -> Error {
    match error {
        flint_local::Error::Listen { .. } => {
            let by = port::holder(port).map_or_else(String::new, |holder| format!(" by {holder}"));
            let remedy = port::next_free(port)
                .map_or_else(|| "flint dev --port 0".to_owned(), |free| format!("flint dev --port {free}"));
            Error::platform(format!("port {port} is in use{by}")).try_this(remedy)
        }
        flint_local::Error::Twice(_)
        | flint_local::Error::Route { .. }
        | flint_local::Error::RouteNowhere { .. } => {
            Error::usage("the project cannot be served").because(error)
        }
        error => Error::platform("the platform does not start").because(error),
    }
}
