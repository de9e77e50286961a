//! Which lines a user wants to see.

use regex::Regex;

use super::line::{Level, Line};

/// What a line must have to be shown.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Its message matches.
    pub grep: Option<Regex>,
    /// Its request's id begins so.
    pub request: Option<String>,
    /// It matters as much, or more.
    pub level: Option<Level>,
}

// === impl Filter ===

impl Filter {
    /// Whether every line is wanted.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let Self { grep, request, level } = self;
        grep.is_none() && request.is_none() && level.is_none()
    }

    /// Whether this line is wanted.
    #[must_use]
    pub fn wants(&self, line: &Line) -> bool {
        self.level.is_none_or(|level| line.level() >= level)
            && self.request.as_ref().is_none_or(|wanted| {
                line.request().is_some_and(|request| request.starts_with(wanted.as_str()))
            })
            && self.grep.as_ref().is_none_or(|grep| grep.is_match(line.message()))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::line::tests::line, *};

    #[test]
    fn a_line_is_shown_when_all_is_as_asked() {
        let line = line(
            "p",
            r#"2026-11-21T14:03:07Z {"level":"warn","requestId":"8f5e21aa-1","message":"disk 90 %"}"#,
        );
        let regex = |text| Some(Regex::new(text).unwrap());
        let request = |id: &str| Some(id.to_owned());
        assert!(Filter::default().is_open() && Filter::default().wants(&line));
        for (filter, wanted) in [
            (Filter { grep: regex("disk [0-9]+"), ..Filter::default() }, true),
            (Filter { grep: regex("requestId"), ..Filter::default() }, false),
            (Filter { request: request("8f5e"), ..Filter::default() }, true),
            (Filter { request: request("21aa"), ..Filter::default() }, false),
            (Filter { level: Some(Level::Warn), ..Filter::default() }, true),
            (Filter { level: Some(Level::Error), ..Filter::default() }, false),
            (Filter { level: Some(Level::Error), grep: regex("disk"), request: None }, false),
        ] {
            assert_eq!(filter.wants(&line), wanted, "{filter:?}");
        }
    }

    #[test]
    fn a_line_of_no_request_is_not_the_requests() {
        let filter = Filter { request: Some(String::new()), ..Filter::default() };
        assert!(!filter.wants(&line("p", "2026-11-21T14:03:07Z plain")));
    }
}
