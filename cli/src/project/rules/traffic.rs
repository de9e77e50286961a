//! The rules of versions and traffic.

use std::collections::BTreeSet;

use flint_api::{FunctionSpec, RevisionRef};

use super::Rules;

/// The definition takes nine digits.
const HIGHEST: u32 = 999_999_999;

impl Rules {
    pub(super) fn traffic(&mut self, spec: &FunctionSpec) {
        let targets = &spec.traffic;
        for (index, target) in targets.iter().enumerate() {
            self.hold(
                !matches!(target.revision, RevisionRef::Number(number) if number > HIGHEST),
                format!("spec.traffic[{index}].revision"),
                "write a revision's number, such as 3 (kubectl get revisions shows them), or latest",
            );
            self.hold(
                target.alias.as_deref().is_none_or(is_alias),
                format!("spec.traffic[{index}].alias"),
                "write letters, digits, '-' and '_', not only digits and not latest, such as prod",
            );
        }
        let sum: u64 = targets.iter().map(|target| u64::from(target.weight(targets))).sum();
        self.hold(
            targets.is_empty() || sum == 100,
            "spec.traffic",
            "the weights must make 100 together: write, for example, 90 and 10",
        );
        let aliases = || targets.iter().filter_map(|target| target.alias.as_ref());
        self.hold(
            aliases().collect::<BTreeSet<_>>().len() == aliases().count(),
            "spec.traffic",
            "two entries have the same alias: an alias names one revision",
        );
        if let Some(sticky) = &spec.sticky {
            let (header, cookie) = (sticky.header.as_deref(), sticky.cookie.as_deref());
            self.hold(header.is_some() != cookie.is_some(), "spec.sticky", "write either header or cookie");
            self.hold(
                header.is_none_or(is_token),
                "spec.sticky.header",
                "write a header's name, such as X-User-Id",
            );
            self.hold(
                cookie.is_none_or(is_token),
                "spec.sticky.cookie",
                "write a cookie's name, such as flint-revision",
            );
        }
        if let Some(canary) = &spec.canary {
            self.hold(
                canary.steps.is_sorted(),
                "spec.canary.steps",
                "write the steps in rising order, such as [5, 25, 50]",
            );
            self.hold(
                canary.max_error_percent.is_none_or(|percent| (0.0..=100.0).contains(&percent)),
                "spec.canary.maxErrorPercent",
                "write a percentage from 0 to 100, such as 1.5",
            );
            self.duration("spec.canary.interval", canary.interval, ("1s", 1), ("24h", 24 * 60 * 60));
            let latency = canary.max_latency.map(flint_api::Duration::as_millis);
            self.hold(
                latency.is_none_or(|latency| (1..=15 * 60 * 1000).contains(&latency)),
                "spec.canary.maxLatency",
                "write a time from 1ms to 15m: numbers with units, such as 30s, 250ms or 1m30s",
            );
        }
    }
}

fn is_token(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.bytes().all(inner)
}

fn is_alias(text: &str) -> bool {
    is_token(text) && text != "latest" && !text.bytes().all(|byte| byte.is_ascii_digit())
}
