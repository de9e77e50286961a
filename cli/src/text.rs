//! Sizes, times and lists as people read them.

use jiff::{SignedDuration, Timestamp};

/// A size in bytes: `812 B`, `12 KiB`, `1.4 MiB`.
#[must_use]
pub fn size(bytes: i64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Sizes of packages are far from where a float loses bytes.
    #[allow(clippy::cast_precision_loss)]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(value < 10.0 && unit > 0);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// How long ago, or in how long, in two units at most, as kubectl has it: `42s`, `5m10s`, `3h`, `12d`.
#[must_use]
pub fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let two = |big: i64, big_unit: &str, small: i64, small_unit: &str, limit: i64| {
        if small > 0 && big < limit {
            format!("{big}{big_unit}{small}{small_unit}")
        } else {
            format!("{big}{big_unit}")
        }
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => two(seconds / 60, "m", seconds % 60, "s", 10),
        7200..172_800 => two(seconds / 3600, "h", seconds % 3600 / 60, "m", 8),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h", 8),
    }
}

/// The time since then.
#[must_use]
pub fn age(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(|| "?".to_owned(), |then| span(now.duration_since(then)))
}

/// `one`, `one and two`, `one, two and three`.
#[must_use]
pub fn list<S: AsRef<str>>(items: &[S]) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [most @ .., last] => {
            let most: Vec<_> = most.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", most.join(", "), last.as_ref())
        }
    }
}

/// `1 function`, `3 functions`.
#[must_use]
pub fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_at_most_that_matter() {
        let sizes = [0, 1023, 1024, 12_345, 1_500_000, 150_000_000].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1 KiB", "12 KiB", "1.4 MiB", "143 MiB"]);
    }

    #[test]
    fn spans_are_as_exact_as_they_are_short() {
        let spans = [0, 119, 310, 3600, 7260, 90_000, 1_100_000]
            .map(|seconds| span(SignedDuration::from_secs(seconds)));
        assert_eq!(spans, ["0s", "119s", "5m10s", "60m", "2h1m", "25h", "12d"]);
    }

    #[test]
    fn lists_end_with_and() {
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list(&["a"]), "a");
    }
}
