//! Progress of several things at once: moving lines on a terminal, a line for each change elsewhere, nothing for who wants quiet.

use std::{collections::BTreeMap, io::IsTerminal as _, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::output::Output;

/// Shows how far each of several things is.
pub struct Progress<'a> {
    output: &'a Output,
    bars: Option<MultiProgress>,
    shown: BTreeMap<String, ProgressBar>,
}

/// Often enough for the eye.
const TICK: Duration = Duration::from_millis(100);

// === impl Progress ===

impl<'a> Progress<'a> {
    /// As standard error is.
    #[must_use]
    pub fn new(output: &'a Output) -> Self {
        let moves = std::io::stderr().is_terminal() && !output.is_quiet();
        Self { output, bars: moves.then(MultiProgress::new), shown: BTreeMap::new() }
    }

    /// What is being done, for who looks on; it is no news.
    pub fn hint(&mut self, name: &str, what: &str) {
        if self.bars.is_some() {
            self.phase(name, what, "");
        }
    }

    /// Something has reached a new phase.
    pub fn phase(&mut self, name: &str, phase: &str, after: &str) {
        match &self.bars {
            Some(bars) => {
                let bar = self.shown.entry(name.to_owned()).or_insert_with(|| {
                    let bar = bars.add(ProgressBar::new_spinner().with_style(style()));
                    bar.enable_steady_tick(TICK);
                    bar
                });
                bar.set_message(format!("{name}  {phase}"));
            }
            None => self.output.say(format!("{name}  {phase}  {after}").trim_end()),
        }
    }

    /// A line that stays, above what moves.
    pub fn say(&self, line: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| self.output.say(line)),
            None => self.output.say(line),
        }
    }

    /// It is over for this one; the line goes, for the result says more.
    pub fn done(&mut self, name: &str) {
        if let Some(bar) = self.shown.remove(name) {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        for bar in self.shown.values() {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    // The template is ours: should it be wrong, the plain one is good enough.
    ProgressStyle::with_template("{spinner:.green} {msg} {elapsed:.dim}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}
