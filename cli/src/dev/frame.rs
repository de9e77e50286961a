//! A code frame: the lines of the user's source around the one that an error came from.

use std::{
    fmt::Write as _,
    path::{Component, Path, PathBuf},
};

use crate::output::{BAD, DIM};

/// A line of a source file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Spot {
    /// The file.
    pub(super) file: PathBuf,
    /// From 1.
    pub(super) line: usize,
    /// From 1; none where the error does not say.
    pub(super) column: Option<usize>,
}

/// Lines before and after.
const AROUND: usize = 2;
/// A file that is larger was not written by hand.
const LARGEST: u64 = 1024 * 1024;
/// Of a line; what is beyond does not fit a terminal.
const WIDEST: usize = 160;
/// How files of code end: `12:30` and `example.com:80` are none.
const SOURCES: [&str; 11] = ["cjs", "cts", "go", "js", "jsx", "mjs", "mts", "rs", "sh", "ts", "tsx"];
/// Folders with code that is not the user's.
const FOREIGN: [&str; 5] = ["node_modules", ".venv", "venv", "site-packages", ".cargo"];

/// The place in the user's own code, below `folder`, that an error's text names: the innermost one.
#[must_use]
pub(super) fn find(text: &str, folder: &Path) -> Option<Spot> {
    let mine = |spot: &Spot| {
        spot.file.strip_prefix(folder).is_ok_and(|path| {
            !path
                .components()
                .any(|part| FOREIGN.iter().any(|foreign| part == Component::Normal(foreign.as_ref())))
        })
    };
    let mut spots = text.split(['\n', '\r']).filter_map(|line| spot(line, folder)).filter(mine);
    // Python tells the innermost call last, all others first.
    if text.contains("  File \"") { spots.next_back() } else { spots.next() }
}

/// The place that one line of an error names.
fn spot(line: &str, folder: &Path) -> Option<Spot> {
    python(line).or_else(|| colons(line, folder))
}

/// `File "/code/app.py", line 3, in handler`, and `File "/code/app.py" Line 3`.
fn python(line: &str) -> Option<Spot> {
    let (file, rest) = line.trim_start().strip_prefix("File \"")?.split_once('"')?;
    let digits = rest.trim_start_matches(',').trim_start();
    let digits = digits.strip_prefix("line ").or_else(|| digits.strip_prefix("Line "))?;
    Some(Spot { file: file.into(), line: number(digits)?, column: None })
}

/// `at handler (/code/index.js:3:11)`, `file:///code/app.mjs:3`, `/code/main.go:12 +0x1d`, `./main.go:7:2: undefined: x`,
/// `src/main.rs:4:5`.
fn colons(line: &str, folder: &Path) -> Option<Spot> {
    line.split([' ', '(', ')', '\t']).find_map(|word| {
        let word = word.strip_prefix("file://").unwrap_or(word);
        let mut parts = word.split(':');
        let file = Path::new(parts.next()?);
        file.extension().filter(|end| SOURCES.iter().any(|source| *end == *source))?;
        let line = number(parts.next()?)?;
        let column = parts.next().and_then(number);
        let file = folder.join(file.strip_prefix("./").unwrap_or(file));
        Some(Spot { file, line, column })
    })
}

fn number(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok().filter(|number| *number > 0)
}

/// The source around the spot, to be printed under an error.
#[must_use]
pub(super) fn draw(spot: &Spot, root: &Path) -> Option<String> {
    if spot.file.metadata().ok()?.len() > LARGEST {
        return None;
    }
    let source = std::fs::read_to_string(&spot.file).ok()?;
    Some(render(&source, spot, root))
}

fn render(source: &str, spot: &Spot, root: &Path) -> String {
    let name = spot.file.strip_prefix(root).unwrap_or(&spot.file).display();
    let column = spot.column.map_or_else(String::new, |column| format!(":{column}"));
    let mut drawn = format!("  {DIM}╭─{DIM:#} {name}:{}{column}\n", spot.line);
    let first = spot.line.saturating_sub(AROUND).max(1);
    let width = (spot.line + AROUND).to_string().len();
    for (number, line) in source.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        if number < first || number > spot.line + AROUND {
            continue;
        }
        let line: String =
            line.replace('\t', "    ").chars().filter(|c| !c.is_control()).take(WIDEST).collect();
        let _ = if number == spot.line {
            writeln!(drawn, "  {BAD}>{BAD:#} {number:width$} {DIM}│{DIM:#} {line}")
        } else {
            writeln!(drawn, "  {DIM}│ {number:width$} │ {line}{DIM:#}")
        };
    }
    let _ = write!(drawn, "  {DIM}╰─{DIM:#}");
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(String, usize, Option<usize>)> {
        let spot = find(text, Path::new("/code"))?;
        Some((spot.file.display().to_string(), spot.line, spot.column))
    }

    #[test]
    fn the_innermost_line_of_the_users_own_code_is_found() {
        let python = "[ERROR] KeyError: 'x'\rTraceback (most recent call last):\r  File \"/code/app.py\", line 3, in handler\r    \
                      inner()\r  File \"/code/lib.py\", line 9, in inner\r  File \"/usr/lib/python3/json.py\", line 1, in loads\r  \
                      File \"/code/.venv/lib/x.py\", line 7, in x";
        assert_eq!(found(python), Some(("/code/lib.py".into(), 9, None)));
        let node = "[ERROR] TypeError: no\r    at inner (/code/node_modules/x/i.js:1:2)\r    at exports.handler (/code/index.js:3:11)\r    \
                    at outer (/code/other.js:4:1)";
        assert_eq!(found(node), Some(("/code/index.js".into(), 3, Some(11))));
        assert_eq!(found("file:///code/app.mjs:3\nx x\n  ^"), Some(("/code/app.mjs".into(), 3, None)));
    }

    #[test]
    fn compilers_and_panics_are_understood() {
        assert_eq!(found("./main.go:7:2: undefined: x"), Some(("/code/main.go".into(), 7, Some(2))));
        assert_eq!(found("goroutine 1:\n\t/code/main.go:12 +0x1d"), Some(("/code/main.go".into(), 12, None)));
        assert_eq!(
            found("thread panicked at src/main.rs:4:5:"),
            Some(("/code/src/main.rs".into(), 4, Some(5)))
        );
    }

    #[test]
    fn what_is_elsewhere_or_nowhere_is_not_found() {
        assert_eq!(found("at x (/elsewhere/index.js:3:11)"), None);
        assert_eq!(found("it is 12:30 in example.com:80 and nothing happened"), None);
    }

    #[test]
    fn the_line_is_marked_among_its_neighbours() {
        let spot = Spot { file: "/code/app.py".into(), line: 2, column: None };
        let drawn = anstream::adapter::strip_str(&render(
            "one\n\ttwo\nthree\nfour\nfive\n",
            &spot,
            Path::new("/code"),
        ))
        .to_string();
        assert_eq!(drawn, "  ╭─ app.py:2\n  │ 1 │ one\n  > 2 │     two\n  │ 3 │ three\n  │ 4 │ four\n  ╰─");
    }
}
