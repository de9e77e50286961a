//! Prometheus' text format, version 0.0.4, as far as reading samples goes.

/// A sample: a name, labels, a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The metric's name.
    pub name: &'a str,
    labels: Vec<(&'a str, String)>,
    /// The value.
    pub value: f64,
}

/// The samples of a text; comments, and lines that are no samples, are passed over.
pub fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter_map(Sample::parse)
}

// === impl Sample ===

impl<'a> Sample<'a> {
    /// Reads one line.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let end = line.find(['{', ' ', '\t'])?;
        let (name, mut rest) = line.split_at(end);
        if name.is_empty() || name.starts_with('#') {
            return None;
        }
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside.trim_start();
            while !rest.starts_with('}') {
                let (label, after) = rest.split_once("=\"")?;
                let (value, after) = quoted(after)?;
                labels.push((label.trim(), value));
                rest = after.trim_start();
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
            }
            rest = &rest[1..];
        }
        // A time may follow the value.
        let value = rest.split_whitespace().next()?;
        let value = match value {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            number => number.parse().ok()?,
        };
        Some(Self { name, labels, value })
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_str())
    }
}

/// The text up to the closing quote, without its escapes, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_a_name_labels_and_a_value() {
        let sample =
            Sample::parse(r#"requests_total{code="2xx", path="a \"b\" \\ c\n",} 12 1700000000000"#).unwrap();
        assert_eq!((sample.name, sample.value), ("requests_total", 12.0));
        assert_eq!(sample.label("code"), Some("2xx"));
        assert_eq!(sample.label("path"), Some("a \"b\" \\ c\n"));
        assert_eq!(sample.label("none"), None);
    }

    #[test]
    fn values_may_be_infinite_and_labels_absent() {
        assert_eq!(Sample::parse("up 1").unwrap().value, 1.0);
        assert_eq!(Sample::parse("x{} +Inf").unwrap().value, f64::INFINITY);
        assert_eq!(Sample::parse("x 1.5e3").unwrap().value, 1500.0);
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        let text = "# HELP up Help.\n# TYPE up gauge\n\nup 1\nbroken{a=\"b} 1\nbroken{a} 1\nbroken x\nname\n";
        assert_eq!(samples(text).count(), 1);
    }
}
