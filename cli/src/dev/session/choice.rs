//! A question that a digit answers: which schedule, which function.

use flint_local::Key;

use super::Session;
use crate::output::{DIM, STRONG};

/// What may be chosen.
#[derive(Clone, Debug)]
pub(super) struct Choice(Vec<Chosen>);

/// What was chosen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Chosen {
    /// Fire this schedule of this function.
    Fire(Key, String),
    /// Let a debugger attach to this function, or no longer.
    Debug(Key),
}

/// As many as there are digits.
const MOST: usize = 9;

// === impl Choice ===

impl Choice {
    /// By its number, from 1.
    pub(super) fn pick(self, number: u32) -> Option<Chosen> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.0.into_iter().nth(index)
    }
}

// === impl Session ===

impl Session {
    pub(super) async fn choose_schedule(&mut self) {
        let functions = self.actions.functions().await.unwrap_or_default();
        let all = functions.into_iter().flat_map(|function| {
            let key = function.key;
            function.schedules.into_iter().map(move |firing| Chosen::Fire(key.clone(), firing.name))
        });
        self.choose("which schedule?", "there are no schedules", all.collect()).await;
    }

    pub(super) async fn choose_debugged(&mut self) {
        let called = self.last.as_ref().and_then(|(_, function)| function.clone());
        let called = called.filter(|function| self.loaded.functions.contains_key(function));
        let all: Vec<_> = match called {
            Some(function) => vec![Chosen::Debug(function)],
            None => self.loaded.functions.keys().cloned().map(Chosen::Debug).collect(),
        };
        self.choose("debug which function?", "there are no functions", all).await;
    }

    /// Does the only thing there is, or asks.
    async fn choose(&mut self, question: &str, nothing: &str, mut of: Vec<Chosen>) {
        match of.len() {
            0 => self.say(&format!("{DIM}{nothing}{DIM:#}")),
            1 => {
                if let Some(only) = of.pop() {
                    self.chosen(only).await;
                }
            }
            _ => {
                of.truncate(MOST);
                let named = of.iter().enumerate().map(|(index, chosen)| {
                    let what = match chosen {
                        Chosen::Fire(function, schedule) => format!("{} {schedule}", function.name),
                        Chosen::Debug(function) => function.name.clone(),
                    };
                    format!("[{STRONG}{}{STRONG:#}] {what}", index + 1)
                });
                self.say(&format!("{question}  {}", named.collect::<Vec<_>>().join("  ")));
                self.choice = Some(Choice(of));
            }
        }
    }

    pub(super) async fn chosen(&mut self, chosen: Chosen) {
        match chosen {
            Chosen::Fire(function, schedule) => self.fire(function, schedule),
            Chosen::Debug(function) => self.toggle_debugger(function).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_picks_by_number_and_others_pick_nothing() {
        let choice =
            || Choice(vec![Chosen::Debug(Key::new("default", "a")), Chosen::Debug(Key::new("default", "b"))]);
        assert_eq!(choice().pick(2), Some(Chosen::Debug(Key::new("default", "b"))));
        assert_eq!(choice().pick(0), None);
        assert_eq!(choice().pick(3), None);
    }
}
