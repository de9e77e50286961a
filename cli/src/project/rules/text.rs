//! The forms of text that rules ask for, as the definitions' patterns have them.

use std::sync::LazyLock;

use regex::Regex;

/// A DNS-1123 label.
pub(super) fn is_label(text: &str) -> bool {
    bounded(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(), b"-")
}

/// A DNS-1123 subdomain, the form of most Kubernetes names.
pub(super) fn is_name(text: &str) -> bool {
    bounded(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(), b"-.")
}

/// An image reference, loosely.
pub(super) fn is_image(text: &str) -> bool {
    bounded(text, |byte| byte.is_ascii_alphanumeric(), b"._/:@-")
}

/// Of these bytes throughout, and with one of the first sort at both ends.
fn bounded(text: &str, ends: impl Fn(u8) -> bool, within: &[u8]) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| ends(*byte))
        && bytes.last().is_some_and(|byte| ends(*byte))
        && bytes.iter().all(|byte| ends(*byte) || within.contains(byte))
}

/// A quantity of Kubernetes: a number with a suffix of tens or of twos, or with an exponent.
pub(super) fn is_quantity(text: &str) -> bool {
    const SUFFIXES: &[&str] =
        &["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let end = text.find(|any: char| !any.is_ascii_digit() && any != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|rest| rest.parse::<i16>().is_ok());
    number.parse::<f64>().is_ok() && (SUFFIXES.contains(&suffix) || exponent)
}

/// A variable's name.
pub(super) fn is_variable(text: &str) -> bool {
    let good = |any: char| any.is_ascii_alphanumeric() || "-._".contains(any);
    !text.is_empty() && !text.starts_with(|first: char| first.is_ascii_digit()) && text.chars().all(good)
}

/// An absolute path of a folder to mount.
pub(super) fn is_absolute(text: &str) -> bool {
    let parts = text.strip_prefix('/').map(|rest| rest.split('/'));
    parts.is_some_and(|mut parts| parts.all(|part| !part.is_empty() && !part.contains([':', ' '])))
        && !text.contains("..")
}

/// An IANA time zone, by its form.
pub(super) fn is_zone(text: &str) -> bool {
    let good = |any: char| any.is_ascii_alphanumeric() || "_+-".contains(any);
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.split('/').all(|part| !part.is_empty() && part.chars().all(good))
}

/// `rate(N unit)`, in the singular for 1 only.
pub(super) fn is_rate(text: &str) -> bool {
    let inner = text.strip_prefix("rate(").and_then(|rest| rest.strip_suffix(')'));
    let Some((number, unit)) = inner.and_then(|inner| inner.split_once(' ')) else { return false };
    let digits =
        number.len() <= 6 && !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    match number {
        "" => false,
        "1" => matches!(unit, "minute" | "hour" | "day"),
        _ => digits && matches!(unit, "minutes" | "hours" | "days"),
    }
}

/// 64 lower-case hex digits.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A repository's https URL, without a name in it.
pub(super) fn is_repository(text: &str) -> bool {
    let Some((host, path)) = text.strip_prefix("https://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    !host.is_empty()
        && !host.contains([' ', '?', '#', '@'])
        && !path.is_empty()
        && !path.contains([' ', '?', '#'])
}

/// An artifact with its tag, its digest, or both.
pub(super) fn is_artifact(text: &str) -> bool {
    // The definition's own expression.
    static ARTIFACT: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            "^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+\
             (:[a-zA-Z0-9_][a-zA-Z0-9._-]*(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$",
        )
        .ok()
    });
    ARTIFACT.as_ref().is_some_and(|artifact| artifact.is_match(text))
}
