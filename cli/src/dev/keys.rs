//! The keyboard: single keys, where standard input is a terminal that is ours.
//!
//! The terminal stays as it is but for two things: keys come at once, and are not shown. Ctrl-C and Ctrl-Z go on being signals
//! and lines go on ending in the first column, which they would not in raw mode. It is put back however the program ends.

use std::{
    io::{self, IsTerminal as _, Read as _},
    os::fd::AsFd as _,
};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// The keyboard, for as long as it is held.
#[derive(Debug)]
pub(super) struct Keyboard {
    before: Termios,
    keys: mpsc::Receiver<char>,
}

/// Keys that nobody has looked at yet; who types faster is not waited for.
const AHEAD: usize = 16;

// === impl Keyboard ===

impl Keyboard {
    /// Takes the keyboard. None where standard input is no terminal, or the terminal is somebody else's at the moment: a
    /// program in the background must not touch it.
    #[must_use]
    pub(super) fn take() -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || !in_front() {
            return None;
        }
        let before = tcgetattr(stdin.as_fd()).ok()?;
        let (sender, keys) = mpsc::channel(AHEAD);
        // A thread of its own: what blocks on a terminal cannot be stopped, and must not be waited for at the end.
        std::thread::Builder::new().name("keys".to_owned()).spawn(move || read(&sender)).ok()?;
        set(&quiet(&before));
        let restored = Mutex::new(before.clone());
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            set(&restored.lock());
            hook(panic);
        }));
        Some(Self { before, keys })
    }

    /// The next key. Never, when there will be none.
    pub(super) async fn key(&mut self) -> char {
        match self.keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }

    /// After the program was stopped and goes on: the shell has put the terminal back.
    pub(super) fn again(&self) {
        if in_front() {
            set(&quiet(&self.before));
        }
    }

    /// Puts the terminal back.
    pub(super) fn give_back(&self) {
        if in_front() {
            set(&self.before);
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn read(sender: &mpsc::Sender<char>) {
    let mut byte = [0];
    loop {
        match io::stdin().read(&mut byte) {
            Ok(1) => {
                let _ = sender.try_send(char::from(byte[0]));
                if sender.is_closed() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

fn quiet(before: &Termios) -> Termios {
    let mut quiet = before.clone();
    quiet.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
    quiet
}

fn set(settings: &Termios) {
    let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, settings);
}

/// Whether the terminal is ours at the moment.
fn in_front() -> bool {
    nix::unistd::tcgetpgrp(io::stdin().as_fd()).is_ok_and(|group| group == nix::unistd::getpgrp())
}
