//! Which line of a tool's log matters, and whether what it tells of may pass. Pure.

use Mark::{First, Last, Place};

/// As much of a line as fits in a condition that people read.
const LONGEST: usize = 600;
/// What tools write before the line that matters, by tool; of all lines the one with the first mark that any line has.
const MARKS: &[Mark] = &[
    // pip says this last of all; the lines before tell which versions there would be.
    Last("ERROR: No matching distribution"),
    Last("ERROR: ResolutionImpossible"),
    Last("ERROR: "),
    // npm: the code first, then what it is about.
    Last("npm error notarget "),
    Last("npm error 404 "),
    Last("npm error ERESOLVE "),
    Last("npm error network "),
    Last("npm error code "),
    Last("npm ERR! "),
    Last("npm error "),
    // rustc and cargo: the first mistake; the last line says only that there were some.
    First("error["),
    First("error: "),
    // maven: a place in the code, then what failed; the last lines say where to read more.
    First("[ERROR] /"),
    First("[ERROR] Failed to execute goal"),
    First("[ERROR] "),
    Last("Error: "),
    Last("fatal: "),
    // go: of modules, and of a place in the code.
    First("go: "),
    Place(".go:"),
];

/// Which line of those that a tool marks.
enum Mark {
    /// The first that begins so.
    First(&'static str),
    /// The last that begins so.
    Last(&'static str),
    /// The first that names a line of a file with this ending: `./main.go:7:2: …`
    Place(&'static str),
}

/// What npm and go write after a mark and says nothing.
const EMPTY: &[&str] = &["A complete log of this run", "Log files were not written", "go: downloading "];
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
    "Unknown host",
    "Connect timed out",
    "Couldn't connect to server",
    "Failed to connect to",
    "tcp connect error",
];

/// Words of an index whose certificate nobody here knows.
const STRANGER: &[&str] = &[
    "CERTIFICATE_VERIFY_FAILED",
    "SELF_SIGNED_CERT",
    "UNABLE_TO_",
    "UnknownIssuer",
    "x509: ",
    "PKIX path",
    "SSL certificate problem",
];

/// The line that matters of a log's last lines, without colours. An index that cannot be asked comes first: tools go on from there, and
/// end with the complaint that it has nothing.
pub(crate) fn telling(lines: &[String]) -> Option<String> {
    let lines: Vec<_> = lines.iter().map(|line| plain(line)).filter(|line| says_something(line)).collect();
    let of = |words: &[&str]| lines.iter().rfind(|line| words.iter().any(|word| line.contains(word)));
    if let Some(stranger) = of(STRANGER) {
        let line = cut(stranger.trim());
        return Some(format!("{line} (builds.caBundle of the chart is for authorities of your own)"));
    }
    if let Some(away) = of(AWAY) {
        return Some(cut(away.trim()));
    }
    let Some(marked) = marked(&lines) else { return lines.last().map(|line| cut(line.trim())) };
    // rustc says in the line below where it is.
    let place = lines.get(marked + 1).and_then(|below| below.trim().strip_prefix("--> "));
    let line = lines[marked].trim();
    Some(cut(&place.map_or_else(|| line.to_owned(), |place| format!("{line} ({place})"))))
}

/// Where the line that matters is.
fn marked(lines: &[String]) -> Option<usize> {
    let begins = |line: &String, mark: &str| line.trim_start().starts_with(mark);
    MARKS.iter().find_map(|mark| match mark {
        First(mark) => lines.iter().position(|line| begins(line, mark)),
        Last(mark) => lines.iter().rposition(|line| begins(line, mark)),
        Place(ending) => lines.iter().position(|line| {
            let after = line.split_once(ending).map(|(_, after)| after);
            after.is_some_and(|after| after.starts_with(|first: char| first.is_ascii_digit()))
        }),
    })
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
    fn the_first_mistake_in_rust_is_told_with_its_place() {
        let log = lines(
            "   Compiling hello v0.1.0 (/work/source)\nwarning: unused import\nerror[E0425]: cannot find value `idea` in this scope\n  --> src/main.rs:37:8\n   |\n\
             error: could not compile `hello` (bin \"hello\") due to 1 previous error",
        );
        assert_eq!(
            telling(&log).unwrap(),
            "error[E0425]: cannot find value `idea` in this scope (src/main.rs:37:8)"
        );
    }

    #[test]
    fn the_first_mistake_in_java_is_told_and_otherwise_what_maven_could_not_do() {
        let help = "[ERROR] Failed to execute goal org.apache.maven.plugins:maven-compiler-plugin:3.14.0:compile: Compilation failure\n\
                    [ERROR] \n[ERROR] Re-run Maven using the -X switch\n[ERROR] [Help 1] http://cwiki.apache.org";
        let mistake = "[ERROR] COMPILATION ERROR : \n[ERROR] /work/source/src/main/java/A.java:[12,9] cannot find symbol\n[ERROR]   symbol: class Mop";
        let told = telling(&lines(&format!("{mistake}\n{help}"))).unwrap();
        assert_eq!(told, "[ERROR] /work/source/src/main/java/A.java:[12,9] cannot find symbol");
        assert!(telling(&lines(help)).unwrap().contains("Compilation failure"));
    }

    #[test]
    fn the_first_mistake_in_go_is_told_and_so_is_a_module_that_is_not_there() {
        let log = lines(
            "# example.com/hello\n./main.go:27:20: undefined: strings.Chop\n./main.go:30:2: unreachable code",
        );
        assert_eq!(telling(&log).unwrap(), "./main.go:27:20: undefined: strings.Chop");
        let log = lines(
            "go: downloading example.com/a v1.0.0\nmain.go:4:2: no required module provides package example.com/b",
        );
        assert_eq!(telling(&log).unwrap(), "main.go:4:2: no required module provides package example.com/b");
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
