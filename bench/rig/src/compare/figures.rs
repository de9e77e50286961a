//! What the page of `proxy` shows.

use super::{Results, Row};
use crate::plot::{Figure, Group, Shape};

pub(super) fn of(results: &Results) -> Vec<Figure> {
    let rows = &results.rows;
    let ratio = |title: &str, of: fn(&Row) -> Option<f64>| {
        Figure::new(title, "nginx is 1", bars(rows, of)).with_mark(1.0, "nginx")
    };
    let times = if results.rate.is_some() { "from when it was due" } else { "closed loop" };
    vec![
        ratio("Requests per CPU-second of the proxy beside nginx's, by connections", |row| row.against_nginx),
        ratio("Requests per second beside nginx's, by connections", |row| row.throughput_against_nginx),
        Figure::new(
            "CPU of the proxy, by connections",
            "µs a request",
            bars(rows, |row| Some(row.cpu_micros_per_request)),
        ),
        Figure::new(
            "Added to the direct call's median, by connections",
            "ms",
            bars(rows, |row| row.added_p50_ms),
        ),
        Figure::new(
            format!("p99 latency, {times}, by connections"),
            "ms",
            bars(rows, |row| Some(row.p99_ms)),
        ),
        Figure::new(
            "Context switches, by connections",
            "a request",
            bars(rows, |row| Some(row.switches_per_request)),
        ),
        Figure::new("Resident memory, by connections", "MiB", bars(rows, |row| Some(row.resident_mib))),
    ]
}

/// A group for each number of connections, a bar for each rival that has such a number.
fn bars(rows: &[Row], of: fn(&Row) -> Option<f64>) -> Shape {
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        let name = row.connections.to_string();
        if groups.last().is_none_or(|(last, _)| *last != name) {
            groups.push((name, Vec::new()));
        }
        // The floor has no proxy that could be accounted.
        if let (Some((_, bars)), Some(value)) = (groups.last_mut(), of(row).filter(|value| *value != 0.0)) {
            bars.push((row.rival.to_owned(), value));
        }
    }
    Shape::Bars(groups)
}
