//! Which line of a tool's log matters, and whether what it tells of may pass. Pure.

/// As much of a line as fits in a condition that people read.
const LONGEST: usize = 600;
/// What tools write before the line that matters, by tool; of all lines the last one with the first mark that any line has.
const MARKS: &[&str] = &[
    // pip says this last of all; the lines before tell which versions there would be.
    "ERROR: No matching distribution",
    "ERROR: ResolutionImpossible",
    "ERROR: ",
    // npm: the code first, then what it is about.
    "npm error notarget ",
    "npm error 404 ",
    "npm error ERESOLVE ",
    "npm error network ",
    "npm error code ",
    "npm ERR! ",
    "npm error ",
    // go, cargo, rustc, maven, javac, uv
    "error: ",
    "error[",
    "[ERROR] ",
    "Error: ",
    "fatal: ",
    "go: ",
];
/// What npm writes after a mark and says nothing.
const EMPTY: &[&str] = &["A complete log of this run", "Log files were not written"];
/// Words of an index that is away, or a network that is not there: another attempt may find them back.
const AWAY: &[&str] = &[
    "Temporary failure in name resolution",
    "Name or service not known",
    "Failed to establish a new connection",
    "Connection refused",
    "Connection reset by peer",
    "Connection timed out",
    "connection timed out",
    "Read timed out",
    "ReadTimeoutError",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Time",
    "ECONNREFUSED",
    "ECONNRESET",
    "ENOTFOUND",
    "EAI_AGAIN",
    "ETIMEDOUT",
    "i/o timeout",
    "connection refused",
    "no such host",
    "server misbehaving",
    "Could not resolve host",
    "dns error",
    "tcp connect error",
];

/// Words of an index whose certificate nobody here knows.
const STRANGER: &[&str] =
    &["CERTIFICATE_VERIFY_FAILED", "SELF_SIGNED_CERT", "UNABLE_TO_", "UnknownIssuer", "x509: "];

/// The line that matters of a log's last lines, without colours. An index that cannot be asked comes first: tools go on from there, and
/// end with the complaint that it has nothing.
pub(crate) fn telling(lines: &[String]) -> Option<String> {
    let lines: Vec<_> = lines.iter().map(|line| plain(line)).filter(|line| says_something(line)).collect();
    let of = |words: &[&str]| lines.iter().rfind(|line| words.iter().any(|word| line.contains(word)));
    if let Some(stranger) = of(STRANGER) {
        let line = cut(stranger.trim());
        return Some(format!("{line} (builds.caBundle of the chart is for authorities of your own)"));
    }
    let marked = of(AWAY).or_else(|| marked(&lines));
    marked.or(lines.last()).map(|line| cut(line.trim()))
}

fn marked(lines: &[String]) -> Option<&String> {
    MARKS.iter().find_map(|mark| lines.iter().rfind(|line| line.trim_start().starts_with(mark)))
}

/// Whether the log tells of something that was away.
pub(crate) fn heals(lines: &[String]) -> bool {
    lines.iter().any(|line| AWAY.iter().any(|away| line.contains(away)))
}

/// At most so much of a text as people read in a condition.
pub(crate) fn cut(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let end = (0..=LONGEST - '…'.len_utf8()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

fn says_something(line: &str) -> bool {
    !line.trim().is_empty() && !EMPTY.iter().any(|empty| line.contains(empty))
}

/// Without what a terminal would make colours of.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(next) = rest.next() {
        if next == '\u{1b}' {
            rest.by_ref().take_while(|next| !next.is_ascii_alphabetic()).for_each(drop);
        } else if !next.is_control() || next == '\t' {
            plain.push(next);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_last_error_of_pip_is_told() {
        let log = lines(
            "Looking in indexes: http://index/simple\nERROR: Could not find a version that satisfies the requirement nothing==9 (from versions: none)\n\
             ERROR: No matching distribution found for nothing==9\n[notice] a new release of pip is available",
        );
        assert_eq!(telling(&log).unwrap(), "ERROR: No matching distribution found for nothing==9");
        assert!(!heals(&log));
    }

    #[test]
    fn what_npm_is_about_is_told_before_its_code_and_where_its_log_is() {
        let log = lines(
            "npm error code ETARGET\nnpm error notarget No matching version found for left-pad@9.9.9.\n\
             npm error notarget In most cases you or one of your dependencies are requesting\nnpm error A complete log of this run can be found in: /x",
        );
        assert!(telling(&log).unwrap().starts_with("npm error notarget"));
    }

    #[test]
    fn a_log_without_a_mark_tells_its_last_line_without_colours() {
        assert_eq!(telling(&lines("one\n\u{1b}[31mtwo\u{1b}[0m\n\n")).unwrap(), "two");
        assert_eq!(telling(&[]), None);
    }

    #[test]
    fn an_index_that_is_away_may_come_back() {
        assert!(heals(&lines("npm error code EAI_AGAIN")));
        assert!(heals(&lines("WARNING: Retrying after: Failed to establish a new connection: [Errno 111]")));
    }

    #[test]
    fn an_index_that_cannot_be_asked_is_told_and_not_that_it_has_nothing() {
        let end = "ERROR: No matching distribution found for humanize";
        let away = format!("WARNING: Retrying after: NewConnectionError: Connection refused\n{end}");
        assert!(telling(&lines(&away)).unwrap().ends_with("Connection refused"));
        let stranger = format!("Could not fetch URL: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed\n{end}");
        let told = telling(&lines(&stranger)).unwrap();
        assert!(told.contains("self-signed") && told.contains("builds.caBundle"), "{told}");
        assert!(!heals(&lines(&stranger)));
    }

    #[test]
    fn a_long_line_is_cut_at_a_letter() {
        let cut = cut(&"ü".repeat(1000));
        assert!(cut.len() <= LONGEST && cut.ends_with('…'));
    }
}
