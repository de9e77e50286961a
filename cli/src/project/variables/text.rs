//! The grammar of variables.

/// A part of a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part<'a> {
    Text(&'a str),
    /// What is within `${` and `}`; the offset is that of the `$`, in characters.
    Variable {
        inner: &'a str,
        offset: usize,
    },
}

/// The parts of a text; or where a variable is open, in characters.
pub(super) fn parts(text: &str) -> Result<Vec<Part<'_>>, usize> {
    let mut parts = Vec::new();
    let mut rest = text;
    let mut done = 0;
    while let Some(start) = rest.find("${") {
        let offset = text[..done + start].chars().count();
        let inner = &rest[start + 2..];
        let end = end_of(inner).ok_or(offset)?;
        if start > 0 {
            parts.push(Part::Text(&rest[..start]));
        }
        parts.push(Part::Variable { inner: inner[..end].trim(), offset });
        done += start + 2 + end + 1;
        rest = &text[done..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

/// Where the `}` is that belongs to the `${` before.
fn end_of(inner: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    for (at, any) in inner.char_indices() {
        match (quote, any) {
            (Some(open), _) if open == any => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(any),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(at),
            (None, '}') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The candidates of a variable: what is between commas that are in no quotes, parentheses or other variables.
pub(super) fn split(inner: &str) -> Vec<&str> {
    let mut candidates = Vec::new();
    let (mut depth, mut start) = (0, 0);
    let mut quote = None;
    for (at, any) in inner.char_indices() {
        match (quote, any) {
            (Some(open), _) if open == any => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(any),
            (None, '{' | '(') => depth += 1,
            (None, '}' | ')') => depth -= 1,
            (None, ',') if depth == 0 => {
                candidates.push(inner[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    candidates.push(inner[start..].trim());
    candidates
}

/// What is within quotes.
pub(super) fn quoted(text: &str) -> Option<&str> {
    ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
}

/// `SOURCE:ADDRESS` or `SOURCE(ARGUMENTS):ADDRESS`.
pub(super) fn source(text: &str) -> Option<(&str, &str, &str)> {
    let end = text.find(|any: char| !(any.is_ascii_alphanumeric() || "_-".contains(any)))?;
    let (source, rest) = text.split_at(end);
    if source.is_empty() {
        return None;
    }
    if let Some(rest) = rest.strip_prefix('(') {
        let (arguments, rest) = rest.split_once(')')?;
        return Some((source, arguments, rest.strip_prefix(':').unwrap_or_default()));
    }
    let address = rest.strip_prefix(':')?;
    // `AWS::Region` is CloudFormation's.
    (!address.starts_with(':')).then_some((source, "", address.trim()))
}
