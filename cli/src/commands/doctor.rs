//! `flint doctor`: look at the cluster piece by piece: each passes, or what to do.

use std::{future::Future, time::Duration};

use serde::Serialize;

use super::Context;
use crate::{
    cluster::Cluster,
    error::Error,
    output::{BAD, DIM, GOOD, Table, WARN},
    progress::Progress,
    text,
};

mod machine;
mod rights;
mod system;

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 nothing failed (warnings may be there), 5 something did.")]
pub struct Args {
    /// Only look at this machine, for `flint dev`
    #[arg(long, env = "FLINT_LOCAL")]
    local: bool,
}

/// What was found of one thing.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Finding {
    check: String,
    verdict: Verdict,
    /// What was seen.
    said: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// How it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Verdict {
    Pass,
    Warn,
    Fail,
}

/// No single check may hold up the others.
const PATIENCE: Duration = Duration::from_secs(15);

/// # Errors
/// When anything failed.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let mut findings = Vec::new();
    let mut progress = Progress::new(context.output);
    if !args.local {
        progress.hint("doctor", "looks at the cluster");
        findings.extend(cluster(context).await);
    }
    progress.hint("doctor", "looks at this machine");
    findings.extend(machine::look().await);
    drop(progress);
    context.output.result(&findings, || render(&findings))?;
    match findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count() {
        0 => Ok(()),
        failed => {
            Err(Error::platform(format!("{} of {} failed", failed, text::count(findings.len(), "check"))))
        }
    }
}

/// All about the cluster; when it cannot be reached, that alone.
async fn cluster(context: Context<'_>) -> Vec<Finding> {
    let cluster = match Cluster::connect(context.global).await {
        Ok(cluster) => cluster,
        Err(error) => return vec![Finding::failed("kubeconfig", &error)],
    };
    let reached = system::reach(&cluster).await;
    if reached.iter().any(|finding| finding.verdict == Verdict::Fail) {
        return reached;
    }
    let namespace = match crate::system::namespace(&cluster, &[]).await {
        Ok(namespace) => namespace,
        Err(error) => return reached.into_iter().chain([Finding::failed("flint", &error)]).collect(),
    };
    let (kinds, parts, runtimes, gateway, dns, images, rights) = tokio::join!(
        within("kinds", system::kinds(&cluster)),
        within("flint", system::parts(&cluster, &namespace)),
        within("runtimes", system::runtimes(&cluster)),
        within("gateway's URL", system::gateway(&cluster, context.global)),
        within("DNS", system::dns(&cluster)),
        within("images", system::images(&cluster, &namespace)),
        within("rights", rights::look(&cluster, &namespace)),
    );
    [reached, kinds, parts, runtimes, gateway, dns, images, rights].concat()
}

async fn within(check: &str, findings: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    match tokio::time::timeout(PATIENCE, findings).await {
        Ok(findings) => findings,
        Err(_) => {
            let text = format!("no answer within {} s", PATIENCE.as_secs());
            vec![Finding::fail(check, text, "is the API server overloaded, or a proxy in between?")]
        }
    }
}

// === impl Finding ===

impl Finding {
    fn pass(check: &str, said: impl Into<String>) -> Self {
        Self { check: check.to_owned(), verdict: Verdict::Pass, said: said.into(), remedy: None }
    }

    fn warn(check: &str, said: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { check: check.to_owned(), verdict: Verdict::Warn, said: said.into(), remedy }
    }

    fn fail(check: &str, said: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(check, said, remedy) }
    }

    /// An error that a command would have ended with.
    fn failed(check: &str, error: &Error) -> Self {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        // Commands send people here; here they are already.
        let elsewhere = |remedy: &str| {
            let rest: Vec<_> =
                remedy.split("; ").filter(|part| !part.starts_with("`flint doctor`")).collect();
            (!rest.is_empty()).then(|| rest.join("; "))
        };
        let remedy = error.remedy().and_then(elsewhere);
        Self { check: check.to_owned(), verdict: Verdict::Fail, said: format!("{error}{cause}"), remedy }
    }

    /// What could not be seen for want of a right is no failure of the cluster.
    fn unseen(check: &str, error: &Error) -> Self {
        let verdict = if error.code() == crate::error::DENIED { Verdict::Warn } else { Verdict::Fail };
        Self { verdict, ..Self::failed(check, error) }
    }
}

fn render(findings: &[Finding]) -> String {
    let mut table = Table::bare();
    for finding in findings {
        let (style, word) = match finding.verdict {
            Verdict::Pass => (GOOD, "PASS"),
            Verdict::Warn => (WARN, "WARN"),
            Verdict::Fail => (BAD, "FAIL"),
        };
        table.row([format!("{style}{word}{style:#}"), finding.check.clone(), finding.said.clone()]);
        if let Some(remedy) = &finding.remedy {
            table.row([String::new(), String::new(), format!("{GOOD}try:{GOOD:#} {remedy}")]);
        }
    }
    let of = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (warned, failed) = (of(Verdict::Warn), of(Verdict::Fail));
    let summary = match (warned, failed) {
        (0, 0) => format!("{GOOD}all is well{GOOD:#}"),
        (_, 0) => text::count(warned, "warning"),
        (0, _) => text::count(failed, "failure"),
        _ => format!("{} and {}", text::count(failed, "failure"), text::count(warned, "warning")),
    };
    format!("{table}\n\n{DIM}{} checks:{DIM:#} {summary}", findings.len())
}

#[cfg(test)]
mod tests;
