//! `flint schedule`: when schedules fire.

use flint_core::schedule::Schedule;
use jiff::{SignedDuration, Timestamp, Unit, tz::TimeZone};
use serde::Serialize;

use super::Context;
use crate::{
    error::Error,
    output::{DIM, Table},
};

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The next times at which a schedule fires
    Next(Next),
}

#[derive(Debug, clap::Args)]
#[command(
    long_about = "The next times at which a schedule fires.\n\n\
    Reads what a Function's schedules take: rate(5 minutes), cron(0 2 * * ? *) with EventBridge's six fields, five Unix fields, \
    @daily and its like, and at(2027-01-31T09:00:00).",
    after_help = "Examples:\n  flint schedule next '0 2 * * *' --time-zone Europe/Lisbon\n  flint schedule next 'cron(0 9 ? * MON-FRI *)' -c 10"
)]
struct Next {
    /// The schedule, in quotes
    #[arg(value_name = "EXPR")]
    expression: String,
    /// How many times
    #[arg(short, long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// IANA time zone, such as Europe/Berlin
    #[arg(long, env = "FLINT_TIME_ZONE", default_value = "UTC", value_name = "ZONE")]
    time_zone: String,
    /// The time to look from, such as 2027-01-31T09:00:00Z; now if not given
    #[arg(long, value_name = "TIME")]
    after: Option<Timestamp>,
}

/// What scripts read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Firings {
    schedule: String,
    time_zone: String,
    next: Vec<Timestamp>,
}

/// # Errors
/// When it is no schedule.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let Command::Next(next) = args.command;
    let now = next.after.unwrap_or_else(|| {
        let now = Timestamp::now();
        now.round(Unit::Second).unwrap_or(now)
    });
    let firings = firings(&next, now)?;
    context.output.result(&firings, || text(&firings, now))?;
    if next.expression.starts_with("rate(") {
        context.output.say("a rate counts from the Function's creation; these count from now");
    }
    Ok(())
}

fn firings(next: &Next, now: Timestamp) -> Result<Firings, Error> {
    let schedule = Schedule::parse(&next.expression, Some(&next.time_zone)).map_err(|error| {
        Error::usage(error.to_string()).try_this("docs/schedules.md lists what can be written, with examples")
    })?;
    let schedule = schedule.anchored_at(now);
    let times = std::iter::successors(schedule.next_after(now), |time| schedule.next_after(*time));
    Ok(Firings {
        schedule: next.expression.clone(),
        time_zone: next.time_zone.clone(),
        next: times.take(next.count.into()).collect(),
    })
}

fn text(firings: &Firings, now: Timestamp) -> String {
    if firings.next.is_empty() {
        return "never again".to_owned();
    }
    let zone = TimeZone::get(&firings.time_zone).unwrap_or(TimeZone::UTC);
    let mut table = Table::new(["TIME", "UTC", "IN"]);
    for time in &firings.next {
        let local = time.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string();
        table.row([local, time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(), length(time.duration_since(now))]);
    }
    let mut text = table.to_string();
    if firings.next.len() == 1 {
        text.push_str(&format!("\n{DIM}the only one{DIM:#}"));
    }
    text
}

/// A length of time by its two largest units: `2d 3h`.
fn length(duration: SignedDuration) -> String {
    let rounded = duration.round(Unit::Second).unwrap_or(duration).as_secs();
    let parts = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let first = parts.iter().position(|(_, seconds)| rounded >= *seconds).unwrap_or(3);
    let mut rest = rounded;
    let mut words = Vec::new();
    for (unit, seconds) in &parts[first..parts.len().min(first + 2)] {
        if rest / seconds > 0 || words.is_empty() {
            words.push(format!("{}{unit}", rest / seconds));
        }
        rest %= seconds;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, zone: &str) -> Next {
        Next { expression: expression.into(), count: 3, time_zone: zone.into(), after: None }
    }

    fn shown(expression: &str, zone: &str) -> String {
        let now = "2026-11-21T15:00:00Z".parse().unwrap();
        text(&firings(&next(expression, zone), now).unwrap(), now)
    }

    #[test]
    fn times_are_shown_in_their_zone_and_in_utc() {
        insta::assert_snapshot!(shown("0 2 * * *", "Europe/Berlin"), @r"
        TIME                          UTC                    IN
        Sun 2026-11-22 02:00:00 CET   2026-11-22 01:00:00Z   10h
        Mon 2026-11-23 02:00:00 CET   2026-11-23 01:00:00Z   1d 10h
        Tue 2026-11-24 02:00:00 CET   2026-11-24 01:00:00Z   2d 10h
        ");
    }

    #[test]
    fn a_rate_counts_from_now() {
        insta::assert_snapshot!(shown("rate(90 minutes)", "UTC"), @r"
        TIME                          UTC                    IN
        Sat 2026-11-21 16:30:00 UTC   2026-11-21 16:30:00Z   1h 30m
        Sat 2026-11-21 18:00:00 UTC   2026-11-21 18:00:00Z   3h
        Sat 2026-11-21 19:30:00 UTC   2026-11-21 19:30:00Z   4h 30m
        ");
    }

    #[test]
    fn what_has_been_is_never_again() {
        assert_eq!(shown("at(2020-01-31T09:00:00)", "UTC"), "never again");
    }

    #[test]
    fn what_is_no_schedule_is_wrong_usage() {
        let now = Timestamp::UNIX_EPOCH;
        for (expression, zone, said) in [
            ("0 25 * * *", "UTC", "the hour field \"25\" cannot be read"),
            ("rate(1 minutes)", "UTC", "\"1 minutes\" is not a rate"),
            ("@daily", "Berlin", "\"Berlin\" is not a time zone"),
        ] {
            let error = firings(&next(expression, zone), now).unwrap_err();
            assert!(error.code() == 2, "{error}");
            assert!(error.to_string().contains(said) || expression.starts_with("rate"), "{error}");
        }
    }
}
