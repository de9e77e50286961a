//! What is printed when the platform is ready: addresses, routes, schedules.

use std::{fmt::Write as _, path::Path, time::Duration};

use flint_local::{Firing, Function, Key};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    frame,
    load::{Loaded, Remark},
};
use crate::output::{DIM, GOOD, STRONG, Table, WARN};

/// `Ready on http://localhost:3000 (38 ms)`, and where the page is.
#[must_use]
pub(super) fn ready(url: &str, page: Option<&str>, took: Duration) -> String {
    let mut text =
        format!("{GOOD}Ready{GOOD:#} on {STRONG}{url}{STRONG:#} {DIM}({} ms){DIM:#}", took.as_millis());
    if let Some(page) = page {
        let _ = write!(text, "\n{DIM}Events, logs and replay: {DIM:#}{page}");
    }
    text
}

/// The addresses of functions, and the routes.
#[must_use]
pub(super) fn routes(loaded: &Loaded) -> Table {
    let mut table = Table::new(["METHOD", "PATH", "FUNCTION"]);
    for function in &loaded.served.functions {
        table.row(["ANY".to_owned(), address(&function.key), function.key.name.clone()]);
    }
    for route in &loaded.served.routes {
        let method = route.method.as_ref().map_or_else(|| "ANY".to_owned(), ToString::to_string);
        table.row([method, route.path.clone(), route.function.name.clone()]);
    }
    table
}

/// `/function/hello`, with the namespace where it is not the default one.
#[must_use]
pub(super) fn address(key: &Key) -> String {
    if key.namespace == flint_core::route::DEFAULT_NAMESPACE {
        format!("/function/{}", key.name)
    } else {
        format!("/function/{}.{}", key.name, key.namespace)
    }
}

/// The schedules with their next times; none where there are no schedules.
#[must_use]
pub(super) fn schedules(functions: &[Function], now: Timestamp) -> Option<Table> {
    let mut table = Table::new(["SCHEDULE", "FUNCTION", "WHEN", "NEXT"]);
    let mut any = false;
    for function in functions {
        for firing in &function.schedules {
            any = true;
            table.row([
                firing.name.clone(),
                function.key.name.clone(),
                firing.cron.clone(),
                next(firing, now),
            ]);
        }
    }
    any.then_some(table)
}

fn next(firing: &Firing, now: Timestamp) -> String {
    if let Some(problem) = &firing.problem {
        return problem.clone();
    }
    let Some(next) = firing.next else { return "never".to_owned() };
    let zone = TimeZone::system();
    let (next, today) = (next.to_zoned(zone.clone()), now.to_zoned(zone));
    let time =
        if next.date() == today.date() { next.strftime("%H:%M:%S") } else { next.strftime("%Y-%m-%d %H:%M") };
    format!("{time} ({})", until(next.timestamp().duration_since(now).unsigned_abs()))
}

/// `in 9 h 12 min`.
fn until(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("in {seconds} s"),
        (0, 0, minutes) => format!("in {minutes} min"),
        (0, hours, minutes) => format!("in {hours} h {minutes} min"),
        (days, hours, _) => format!("in {days} d {hours} h"),
    }
}

/// What the user should know about the functions.
#[must_use]
pub(super) fn remarks<'a>(remarks: impl IntoIterator<Item = &'a Remark>, root: &Path) -> String {
    let mut text = String::new();
    for remark in remarks {
        match remark {
            Remark::Note(note) => drop(writeln!(text, "{DIM}note: {note}{DIM:#}")),
            Remark::Problem(problem, remedy) => {
                let _ = writeln!(text, "{WARN}!{WARN:#} {problem}");
                // A compiler names its place, and draws the source itself where it can.
                let spot = frame::find(problem, root).filter(|_| !problem.contains(" | "));
                if let Some(drawn) = spot.and_then(|spot| frame::draw(&spot, root)) {
                    let _ = writeln!(text, "{drawn}");
                }
                if let Some(remedy) = remedy {
                    let _ = writeln!(text, "  {GOOD}try:{GOOD:#} {remedy}");
                }
            }
        }
    }
    text
}

/// The keys, where there is a keyboard.
#[must_use]
pub(super) fn keys() -> String {
    let keys = [
        ("i", "invoke last"),
        ("s", "fire schedule"),
        ("d", "debugger"),
        ("r", "restart"),
        ("l", "log level"),
        ("q", "quit"),
    ];
    keys.map(|(key, what)| format!("[{STRONG}{key}{STRONG:#}] {DIM}{what}{DIM:#}")).join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_tell_them() {
        for (seconds, text) in
            [(5, "in 5 s"), (60, "in 1 min"), (33_120, "in 9 h 12 min"), (200_000, "in 2 d 7 h")]
        {
            assert_eq!(until(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_schedule_that_cannot_be_read_says_so_in_the_place_of_its_time() {
        let firing = Firing {
            name: "nightly".into(),
            cron: "x".into(),
            time_zone: None,
            next: None,
            problem: Some("write rate(5 minutes)".into()),
        };
        assert_eq!(next(&firing, Timestamp::UNIX_EPOCH), "write rate(5 minutes)");
        assert_eq!(next(&Firing { problem: None, ..firing }, Timestamp::UNIX_EPOCH), "never");
    }
}
