//! The description for people. Pure.

use std::fmt::Write as _;

use flint_api::FunctionStatus;
use jiff::Timestamp;

use super::{Facts, Revision};
use crate::{
    callable::Callable,
    output::{BAD, DIM, GOOD, STRONG, Table, WARN},
    text::{age, size, span},
};

/// All that is known, the most important first.
pub(super) fn render(facts: &Facts, now: Timestamp) -> String {
    let status = facts.function.status.clone().unwrap_or_default();
    let style = match facts.callable {
        Callable::Yes => GOOD,
        Callable::But(_) | Callable::Soon(_) => WARN,
        Callable::No(_) => BAD,
    };
    let mut text =
        format!("{style}{}{style:#}\n\n{}\n", facts.callable.headline(), head(facts, &status, now));
    let mut section = |title: &str, body: String| {
        if !body.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{STRONG}{title}{STRONG:#}\n{}\n", indented(&body));
        }
    };
    section("Revisions", revisions(&facts.revisions, now));
    section("Instances", instances(facts, now));
    section("Conditions", conditions(&status, now));
    section("Schedules", schedules(facts, &status, now));
    section("Cold starts", slow(&facts.slow));
    section("Last error in the logs", facts.last_error.clone().unwrap_or_default());
    section("Events", events(facts, now));
    text
}

fn head(facts: &Facts, status: &FunctionStatus, now: Timestamp) -> String {
    let mut table = Table::bare();
    let metadata = &facts.function.metadata;
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            table.row([name.to_owned(), value]);
        }
    };
    row("Name", metadata.name.clone());
    row("Namespace", metadata.namespace.clone());
    row("URL", status.url.clone());
    row("In the cluster", status.cluster_url.clone());
    row("Runtime", status.runtime.clone());
    row("Handler", facts.function.spec.handler.clone());
    row("Image", facts.function.spec.image.clone());
    row(
        "Package",
        status.package.as_ref().map(|package| format!("{}  {}", size(package.bytes), package.digest)),
    );
    row("Age", metadata.creation_timestamp.as_ref().map(|time| age(Some(time.0), now)));
    row("Last invocation", status.last_invocation.map(|time| format!("about {} ago", age(Some(time), now))));
    table.to_string()
}

fn revisions(revisions: &[Revision], now: Timestamp) -> String {
    if revisions.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["NAME", "TRAFFIC", "STARTED ONCE", "WANTED", "AGE"]);
    for one in revisions {
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        table.row([
            one.name.clone(),
            yes(one.traffic),
            yes(one.verified),
            one.wanted.to_string(),
            age(one.created, now),
        ]);
    }
    table.to_string()
}

fn instances(facts: &Facts, now: Timestamp) -> String {
    if facts.instances.is_empty() {
        let serves = matches!(facts.callable, Callable::Yes | Callable::But(_));
        return if serves { "none: the next request starts one" } else { "none" }.to_owned();
    }
    let mut table = Table::new(["POD", "READY", "STATE", "RESTARTS", "AGE", "NODE"]);
    for one in &facts.instances {
        let ready = if one.ready { format!("{GOOD}yes{GOOD:#}") } else { format!("{BAD}no{BAD:#}") };
        let node = one.node.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            one.pod.clone(),
            ready,
            one.state.clone(),
            one.restarts.to_string(),
            age(one.created, now),
            node,
        ]);
    }
    table.to_string()
}

fn conditions(status: &FunctionStatus, now: Timestamp) -> String {
    let mut table = Table::bare();
    for one in &status.conditions {
        let style = match one.status.as_str() {
            "True" => GOOD,
            "False" => BAD,
            _ => WARN,
        };
        table.row([
            one.type_.clone(),
            format!("{style}{}{style:#}", one.status),
            one.reason.clone(),
            format!("{DIM}{}{DIM:#}", age(Some(one.last_transition_time), now)),
            one.message.clone(),
        ]);
    }
    table.to_string()
}

fn schedules(facts: &Facts, status: &FunctionStatus, now: Timestamp) -> String {
    if facts.function.spec.schedules.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["NAME", "WHEN", "NEXT", "LAST"]);
    for schedule in &facts.function.spec.schedules {
        let seen = status.schedules.iter().find(|seen| seen.name == schedule.name);
        let next = seen.and_then(|seen| seen.next_firing);
        let next = match next {
            Some(next) => format!("in {}", span(next.duration_since(now))),
            None if schedule.enabled == Some(false) => "not enabled".to_owned(),
            None => "-".to_owned(),
        };
        let last = seen.and_then(|seen| {
            let ago = age(Some(seen.last_firing?), now);
            let outcome = match seen.last_status {
                Some(code) => format!("answered {code}"),
                None if seen.last_done => "done".to_owned(),
                None => "under way".to_owned(),
            };
            Some(format!("{ago} ago, {outcome}"))
        });
        let zone = schedule.time_zone.as_ref().map(|zone| format!(" {zone}")).unwrap_or_default();
        table.row([
            schedule.name.clone(),
            format!("{}{zone}", schedule.cron),
            next,
            last.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.to_string()
}

fn slow(slow: &[String]) -> String {
    if slow.is_empty() {
        return String::new();
    }
    format!(
        "{WARN}about 300 ms longer{WARN:#}, for kubelet is slow to start pods with {}",
        crate::text::list(slow)
    )
}

fn events(facts: &Facts, now: Timestamp) -> String {
    let mut table = Table::bare();
    for event in &facts.events {
        let times = if event.count > 1 { format!(" (×{})", event.count) } else { String::new() };
        let reason =
            if event.warning { format!("{WARN}{}{WARN:#}", event.reason) } else { event.reason.clone() };
        table.row([
            format!("{} ago{times}", age(event.time, now)),
            reason,
            event.object.clone(),
            event.message.replace('\n', " "),
        ]);
    }
    table.to_string()
}

fn indented(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}
