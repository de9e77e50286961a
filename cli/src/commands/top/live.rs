//! `flint top` on a terminal: a screen that is drawn anew until somebody has seen enough.

use std::{
    io::{Write, stdout},
    time::Duration,
};

use anstream::adapter::strip_str;
use crossterm::{
    cursor,
    event::{Event, EventStream, KeyCode, KeyEvent, KeyModifiers},
    execute, queue,
    style::Print,
    terminal::{self, ClearType},
};
use futures::StreamExt;
use tokio::time::{Instant, sleep_until};

use super::Looks;
use crate::{error::Error, metrics::table};

/// A terminal in the state of a full screen; given back as it was when dropped.
struct Screen;

/// Draws the numbers, and draws them again, until q, Esc or Ctrl-C.
///
/// # Errors
/// When the terminal cannot be used.
pub(super) async fn run(
    looks: &mut Looks<'_>,
    interval: Duration,
    namespace: Option<&str>,
) -> Result<(), Error> {
    let broken = |error: std::io::Error| Error::platform("the terminal cannot be used").because(error);
    let _screen = Screen::enter().map_err(broken)?;
    let mut keys = EventStream::new();
    let mut numbers = "counting …".to_owned();
    let mut text = numbers.clone();
    loop {
        draw(&text).map_err(broken)?;
        let due = Instant::now() + interval;
        let look = async {
            sleep_until(due).await;
            looks.next().await
        };
        let mut look = std::pin::pin!(look);
        // A gateway that takes its time to answer must not keep anybody from leaving.
        let seen = loop {
            tokio::select! {
                seen = &mut look => break seen,
                event = keys.next() => match event {
                    Some(Ok(Event::Key(key))) if ends(&key) => return Ok(()),
                    Some(Ok(Event::Resize(..))) => draw(&text).map_err(broken)?,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(broken(error)),
                    None => return Ok(()),
                },
            }
        };
        // An API server that is away for a while must not end it.
        text = match seen {
            Ok(window) => {
                numbers = table::top(&window, namespace);
                numbers.clone()
            }
            Err(error) => format!("{error}; trying again\n\n{numbers}"),
        };
    }
}

fn ends(key: &KeyEvent) -> bool {
    let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}

/// Draws what fits: lines are cut, not wrapped.
fn draw(text: &str) -> std::io::Result<()> {
    let (width, height) = terminal::size()?;
    let mut out = stdout().lock();
    queue!(out, cursor::MoveTo(0, 0))?;
    for line in text.lines().take(usize::from(height)) {
        let line: String = strip_str(line).to_string().chars().take(usize::from(width)).collect();
        queue!(out, Print(line), terminal::Clear(ClearType::UntilNewLine), cursor::MoveToNextLine(1))?;
    }
    queue!(out, terminal::Clear(ClearType::FromCursorDown))?;
    out.flush()
}

// === impl Screen ===

impl Screen {
    fn enter() -> std::io::Result<Self> {
        terminal::enable_raw_mode()?;
        let screen = Self;
        execute!(stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(stdout(), cursor::Show, terminal::LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}
