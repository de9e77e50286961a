//! CEL rules in three kinds, so that the API server's refusal names the field and says what to write instead.

use kube::core::{Reason, Rule};

/// A [`crate::Duration`] as text; six digits, so that no single number overflows CEL's own type.
const DURATION: &str = "^([0-9]{1,6}(h|m|s|ms))+$";
/// A DNS-1123 label.
const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A DNS-1123 subdomain, the form of most Kubernetes names.
const NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// An image reference, loosely: what kubelet would refuse without pulling.
const IMAGE: &str = "^[a-zA-Z0-9]([a-zA-Z0-9._/:@-]*[a-zA-Z0-9])?$";

/// A value that is not acceptable. The answer shows the value, so this is for fields, not for whole objects.
pub(crate) fn invalid(rule: impl Into<String>, message: &str) -> Rule {
    Rule::new(rule).message(message)
}

/// The same, said of a field below the rule's place: `field` is its path with the leading dot.
pub(crate) fn invalid_at(field: &str, rule: impl Into<String>, message: &str) -> Rule {
    invalid(rule, message).field_path(field)
}

/// A field that is missing: `field` is its path below the rule's place, with the leading dot.
pub(crate) fn required(field: &str, rule: impl Into<String>, message: &str) -> Rule {
    Rule::new(rule).message(message).reason(Reason::FieldValueRequired).field_path(field)
}

/// A field that may not stand beside another, or not be set at all.
pub(crate) fn forbidden(field: &str, rule: impl Into<String>, message: &str) -> Rule {
    Rule::new(rule).message(message).reason(Reason::FieldValueForbidden).field_path(field)
}

/// A time between two bounds, both included.
pub(crate) fn duration(least: &str, most: &str) -> Rule {
    invalid(
        format!(
            "self.matches('{DURATION}') && duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
        ),
        &format!("write a time from {least} to {most}: numbers with units, such as 30s, 250ms or 1m30s"),
    )
}

/// A DNS label.
pub(crate) fn label() -> Rule {
    invalid(
        format!("self.matches('{LABEL}')"),
        "write lower-case letters, digits and '-', with a letter or digit at both ends, such as nightly-report",
    )
}

/// The name of another object.
pub(crate) fn object_name(of: &str, example: &str) -> Rule {
    invalid(
        format!("self.matches('{NAME}')"),
        &format!("write the name of a {of}, such as {example}: lower-case letters, digits, '-' and '.'"),
    )
}

/// An image reference.
pub(crate) fn image() -> Rule {
    invalid(
        format!("self.matches('{IMAGE}')"),
        "write an image reference without spaces, such as registry.example.com/team/app:1.4",
    )
}

/// Image references by name.
pub(crate) fn images() -> Rule {
    invalid(
        format!("self.all(name, self[name].matches('{IMAGE}'))"),
        "write an image reference without spaces for each file, such as Cargo.toml: registry.example.com/team/rust:1.96",
    )
}

/// A port that the watchdog beside or around the code does not need for itself.
pub(crate) fn free_port() -> Rule {
    invalid(
        "self != 8012 && self != 8013",
        "ports 8012 and 8013 belong to the watchdog in the same pod: let the code listen on another, such as 8080",
    )
}
