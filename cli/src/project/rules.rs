//! The rules of the definitions, by hand: what `kubectl apply` would refuse where the schema alone has nothing against it.
//!
//! The definitions have them in CEL, whose interpreter is larger than this program. Each answers with the definition's own
//! message; a test holds that no message there is without its rule here.

use std::collections::{BTreeMap, BTreeSet};

use flint_api::{Duration, Function, FunctionSpec, Mount, ScalingMetric, Schedule, Source};
use flint_core::schedule;

#[cfg(test)]
mod tests;
mod text;
mod traffic;

use text::{is_absolute, is_image, is_label, is_name, is_quantity, is_rate, is_variable, is_zone};

/// A field's path, such as `spec.env[2].name`, and what is wrong with it.
pub(crate) type Broken = (String, String);

const RESERVED: &[&str] = &[
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "LAMBDA_TASK_ROOT",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
];
const SHORTHANDS: &[&str] =
    &["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// What breaks a rule. `has_code` says that a folder takes the place of `spec.source`.
pub(crate) fn broken(function: &Function, has_code: bool) -> Vec<Broken> {
    let mut rules = Rules::default();
    rules.name(function.metadata.name.as_deref().unwrap_or_default());
    rules.kinds_of_code(&function.spec, has_code);
    rules.fields(&function.spec);
    rules.environment(&function.spec);
    rules.scaling(&function.spec);
    rules.traffic(&function.spec);
    for (kind, mounts) in [("secrets", &function.spec.secrets), ("configMaps", &function.spec.config_maps)] {
        mounts.iter().enumerate().for_each(|(index, mount)| rules.mount(kind, index, mount));
    }
    let schedules = &function.spec.schedules;
    schedules.iter().enumerate().for_each(|(index, schedule)| rules.schedule(index, schedule));
    let names: BTreeSet<_> = schedules.iter().map(|schedule| &schedule.name).collect();
    rules.hold(
        names.len() == schedules.len(),
        "spec.schedules",
        "two schedules have the same name: give each a name of its own",
    );
    if let Some(source) = &function.spec.source {
        rules.source(source);
    }
    if let Some(metadata) = function.spec.template.as_ref().and_then(|template| template.metadata.as_ref()) {
        rules.template(&metadata.labels, &metadata.annotations);
    }
    rules.broken
}

#[derive(Default)]
struct Rules {
    broken: Vec<Broken>,
}

// === impl Rules ===

impl Rules {
    /// A rule about a field.
    fn hold(&mut self, holds: bool, path: impl Into<String>, message: impl Into<String>) {
        if !holds {
            self.broken.push((path.into(), message.into()));
        }
    }

    fn name(&mut self, name: &str) {
        let path = "metadata.name";
        self.hold(name.chars().count() <= 49, path, "a Function's name has at most 49 characters, so that its revisions' and pods' names fit: write a shorter metadata.name");
        self.hold(is_label(name) && name.starts_with(|first: char| first.is_ascii_lowercase()), path, "a Function gets a Service of its name: write metadata.name with lower-case letters, digits and '-', beginning with a letter");
        self.hold(name != "kubernetes", path, "a Function gets a Service of its name, and kubernetes is the API server's: write another metadata.name");
    }

    fn kinds_of_code(&mut self, spec: &FunctionSpec, has_code: bool) {
        let (runtime, image) = (spec.runtime.is_some(), spec.image.is_some());
        let source = spec.source.is_some() || has_code;
        let provided = spec.runtime.as_deref().is_some_and(|runtime| runtime.starts_with("provided"));
        self.hold(runtime || image, "spec", "write either runtime with handler and source, for code, or image, for a container that serves HTTP");
        self.hold(
            !runtime || !image,
            "spec.image",
            "runtime and image exclude each other: keep runtime for code, or image for a container",
        );
        self.hold(
            !runtime || source,
            "spec.source",
            "a runtime needs code: write source with one of inline, configMap, archive, git and oci",
        );
        self.hold(
            !runtime || spec.handler.is_some() || provided,
            "spec.handler",
            "write handler, what the runtime calls, such as app.handler for the function handler in app.py",
        );
        self.hold(
            !image || runtime || spec.source.is_none(),
            "spec.source",
            "an image brings its own code: remove source, or write runtime in the place of image",
        );
        self.hold(
            !image || runtime || spec.handler.is_none(),
            "spec.handler",
            "an image has no handler: remove it, or write runtime and source in the place of image",
        );
        self.hold(
            !image || runtime || spec.build.is_none(),
            "spec.build",
            "an image is built already: remove build, or write runtime and source in the place of image",
        );
        self.hold(
            runtime || spec.runtime_image.is_none(),
            "spec.runtimeImage",
            "runtimeImage goes with runtime only: remove it, image says what the function runs",
        );
        self.hold(
            image || spec.port.is_none(),
            "spec.port",
            "port goes with image only: remove it (a Runtime names the port of its own program)",
        );
        self.hold(
            image || spec.mode.is_none(),
            "spec.mode",
            "mode goes with image only: remove it (a Runtime says how its own code is spoken to)",
        );
        self.hold(
            spec.mode != Some(flint_api::Mode::Lambda) || spec.port.is_none(),
            "spec.port",
            "an image in lambda mode serves no port, it asks for its work: remove port, or write mode: http",
        );
        self.hold(
            image || spec.command.is_empty(),
            "spec.command",
            "command goes with image only: remove it, or name the program in handler",
        );
        self.hold(
            image || spec.args.is_empty(),
            "spec.args",
            "args go with image only: remove them, or pass settings by env",
        );
    }

    fn fields(&mut self, spec: &FunctionSpec) {
        let runtime = spec.runtime.as_deref();
        self.hold(
            runtime.is_none_or(is_name),
            "spec.runtime",
            "write the name of a Runtime, such as python3.11: lower-case letters, digits, '-' and '.'",
        );
        self.hold(
            spec.handler.as_deref() != Some(""),
            "spec.handler",
            "write what the runtime calls, such as app.handler, or remove handler",
        );
        self.hold(
            spec.image.as_deref().is_none_or(is_image),
            "spec.image",
            "write an image reference without spaces, such as registry.example.com/team/app:1.4",
        );
        self.hold(
            spec.runtime_image.as_deref().is_none_or(is_image),
            "spec.runtimeImage",
            "write an image reference without spaces, such as registry.example.com/team/app:1.4",
        );
        self.hold(
            spec.mode != Some(flint_api::Mode::Process),
            "spec.mode",
            "an image is spoken to by http or lambda: write one of them, or remove mode",
        );
        self.hold(!matches!(spec.port, Some(8012 | 8013)), "spec.port", "ports 8012 and 8013 belong to the watchdog in the same pod: let the code listen on another, such as 8080");
        for (list, quantities) in spec.resources.iter().flat_map(|resources| {
            [("limits", resources.limits.as_ref()), ("requests", resources.requests.as_ref())]
        }) {
            for (name, quantity) in quantities.into_iter().flatten() {
                let path = format!("spec.resources.{list}.{name}");
                self.hold(is_quantity(&quantity.0), path, "write a quantity, such as 512Mi or 500m");
            }
        }
        self.duration("spec.timeout", spec.timeout, ("1s", 1), ("15m", 15 * 60));
        let build = spec.build.as_ref();
        self.duration(
            "spec.build.timeout",
            build.and_then(|build| build.timeout),
            ("10s", 10),
            ("6h", 6 * 60 * 60),
        );
        let same = |mount: &Mount| spec.config_maps.iter().any(|other| other.mount_path == mount.mount_path);
        self.hold(
            !spec.secrets.iter().any(same),
            "spec.configMaps",
            "a Secret and a ConfigMap are mounted at the same path: give each its own mountPath",
        );
    }

    fn duration(&mut self, path: &str, value: Option<Duration>, least: (&str, u64), most: (&str, u64)) {
        let holds = value.is_none_or(|value| (least.1 * 1000..=most.1 * 1000).contains(&value.as_millis()));
        self.hold(
            holds,
            path,
            format!(
                "write a time from {} to {}: numbers with units, such as 30s, 250ms or 1m30s",
                least.0, most.0
            ),
        );
    }

    fn environment(&mut self, spec: &FunctionSpec) {
        for (index, variable) in spec.env.iter().enumerate() {
            let (path, name) = (format!("spec.env[{index}].name"), variable.name.as_str());
            self.hold(is_variable(name), &path, "write the variable's name with letters, digits, '_', '-' and '.', not beginning with a digit");
            self.hold(
                !name.starts_with("FLINT_"),
                &path,
                "variables that begin with FLINT_ belong to the watchdog: choose another name",
            );
            self.hold(
                !RESERVED.contains(&name),
                &path,
                "Flint sets this variable itself, as Lambda does: choose another name",
            );
            let both = variable.value.as_deref().is_some_and(|value| !value.is_empty())
                && variable.value_from.is_some();
            self.hold(
                !both,
                format!("spec.env[{index}].valueFrom"),
                "write either value or valueFrom, not both",
            );
        }
        for (index, from) in spec.env_from.iter().enumerate() {
            let path = format!("spec.envFrom[{index}]");
            let prefix = from.prefix.as_deref().unwrap_or_default();
            self.hold(
                from.config_map_ref.is_some() != from.secret_ref.is_some(),
                &path,
                "write exactly one of configMapRef and secretRef in each item",
            );
            self.hold(
                !prefix.starts_with("FLINT_"),
                format!("{path}.prefix"),
                "variables that begin with FLINT_ belong to the watchdog: choose another prefix",
            );
        }
    }

    fn scaling(&mut self, spec: &FunctionSpec) {
        let Some(scaling) = &spec.scaling else { return };
        let target = scaling.target.unwrap_or(0.5);
        let most = scaling.max_replicas.unwrap_or(100);
        self.hold(scaling.min_replicas.is_none_or(|least| least <= most), "spec.scaling.minReplicas", "minReplicas is above maxReplicas (100 where it is not written): lower minReplicas or raise maxReplicas");
        self.hold((0.01..=1_000_000.0).contains(&target), "spec.scaling.target", "write a number from 0.01 to 1000000: a share of concurrency such as 0.7, or requests per instance");
        let counts = scaling.metric == Some(ScalingMetric::Rps) || spec.concurrency == Some(0);
        self.hold(target <= 1.0 || counts, "spec.scaling.target", "scaling.target is a share of concurrency: write a number above 0 and up to 1, such as 0.7, or set concurrency to 0 for a target in requests, or metric to rps");
        self.duration("spec.scaling.window", scaling.window, ("6s", 6), ("1h", 60 * 60));
        self.duration(
            "spec.scaling.scaleToZeroAfter",
            scaling.scale_to_zero_after,
            ("1s", 1),
            ("24h", 24 * 60 * 60),
        );
    }

    fn mount(&mut self, kind: &str, index: usize, mount: &Mount) {
        let path = format!("spec.{kind}[{index}]");
        let folder = format!("{}/", mount.mount_path);
        let taken = ["/var/task/", "/flint/", "/proc/", "/sys/", "/dev/"]
            .iter()
            .any(|taken| folder.starts_with(taken));
        self.hold(is_absolute(&mount.mount_path), format!("{path}.mountPath"), "write an absolute path, such as /var/run/secrets/db: no '..', ':' or '/' at the end, and not / itself");
        self.hold(!taken, format!("{path}.mountPath"), "/var/task holds the code, /flint the watchdog, and /proc, /sys and /dev are the system's: mount elsewhere, such as /var/run/secrets/db");
        self.hold(is_name(&mount.name), format!("{path}.name"), "write the name of a Secret or ConfigMap of the same namespace, such as db: lower-case letters, digits, '-' and '.'");
    }

    fn schedule(&mut self, index: usize, schedule: &Schedule) {
        let path = format!("spec.schedules[{index}]");
        let (cron, zone) = (schedule.cron.as_str(), schedule.time_zone.as_deref());
        self.hold(is_label(&schedule.name), format!("{path}.name"), "write lower-case letters, digits and '-', with a letter or digit at both ends, such as nightly-report");
        self.hold(
            zone.is_none_or(is_zone),
            format!("{path}.timeZone"),
            "write an IANA time zone, such as Europe/Berlin or UTC",
        );
        let before = self.broken.len();
        let path = format!("{path}.cron");
        let form = |name: &str| cron.starts_with(name) && cron.ends_with(')');
        let fields = cron.split(' ').filter(|field| !field.is_empty()).count();
        let unix = fields == 5 && cron.trim() == cron && !cron.contains(['(', '@']);
        let named = cron
            .strip_prefix('@')
            .is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()));
        self.hold(form("rate(") || form("cron(") || form("at(") || named || unix, &path, "write rate(5 minutes), cron(0 2 * * ? *) with six fields, five Unix fields such as 0 2 * * *, @daily, or at(2027-01-31T09:00:00)");
        self.hold(!cron.starts_with("rate(") || is_rate(cron), &path, "write a rate as rate(1 minute), rate(5 minutes), rate(2 hours) or rate(1 day): a whole number, and the unit in the singular for 1 only");
        let six = cron.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')'));
        let six =
            six.is_some_and(|inner| inner.split(' ').count() == 6 && !inner.split(' ').any(str::is_empty));
        self.hold(!cron.starts_with("cron(") || six, &path, "write six fields in cron(…): minute hour day-of-month month day-of-week year, such as cron(0 2 * * ? *)");
        self.hold(
            !cron.starts_with('@') || SHORTHANDS.contains(&cron),
            &path,
            "write one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually",
        );
        // What is well formed may still be no schedule: minute 71, or a zone that is none.
        if self.broken.len() == before
            && let Err(error) = schedule::Schedule::parse(cron, zone)
        {
            let zone = matches!(error, schedule::ScheduleError::TimeZone(_));
            let path = if zone { format!("spec.schedules[{index}].timeZone") } else { path };
            self.broken.push((path, error.to_string()));
        }
    }

    fn source(&mut self, source: &Source) {
        let path = "spec.source";
        let kinds = [
            source.inline.is_some(),
            source.config_map.is_some(),
            source.archive.is_some(),
            source.git.is_some(),
            source.oci.is_some(),
        ];
        self.hold(
            kinds.iter().filter(|is| **is).count() == 1,
            path,
            "write exactly one of inline, configMap, archive, git and oci",
        );
        if let Some(files) = &source.inline {
            self.hold(
                !files.is_empty(),
                "spec.source.inline",
                "write at least one file, such as app.py: \"…\"",
            );
            let good = |name: &String| {
                !name.is_empty()
                    && name.chars().count() <= 255
                    && !name.starts_with('/')
                    && !name.ends_with('/')
                    && !name.contains("..")
            };
            self.hold(files.keys().all(good), "spec.source.inline", "name each file by its path below the code's folder, such as app.py or lib/util.py: no leading or trailing '/', no '..', at most 255 characters");
            let size: usize = files.values().map(|text| text.chars().count()).sum();
            self.hold(
                size <= 1_000_000,
                "spec.source.inline",
                "inline code may have 1 MB together: put more into archive, git, oci or an image",
            );
        }
        if let Some(archive) = &source.archive {
            let url = archive.url.strip_prefix("https://").and_then(|rest| rest.split_once('/'));
            self.hold(
                url.is_some_and(|(host, _)| !host.is_empty()) && !archive.url.contains(' '),
                "spec.source.archive.url",
                "write an https URL of a .zip or .tar.gz, such as https://example.com/releases/thumbnail.zip",
            );
            self.hold(
                text::is_sha256(&archive.sha256),
                "spec.source.archive.sha256",
                "write the archive's SHA-256 as 64 lower-case hex digits, as sha256sum prints it",
            );
        }
        if let Some(git) = &source.git {
            self.hold(text::is_repository(&git.url), "spec.source.git.url", "write the repository's https URL, such as https://github.com/team/functions.git; a name and a password belong into the Secret of secretRef");
            let revision = git.revision.as_deref();
            self.hold(
                revision.is_none_or(|it| !it.is_empty() && !it.starts_with('-') && !it.contains(' ')),
                "spec.source.git.revision",
                "write a branch, tag or commit, such as main, or remove revision",
            );
            let folder = git.path.as_deref();
            self.hold(folder.is_none_or(|it| !it.is_empty() && !it.starts_with('/') && !it.contains("..")), "spec.source.git.path", "write a folder below the repository's root, such as functions/thumbnail: no leading '/', no '..'");
        }
        if let Some(oci) = &source.oci {
            self.hold(text::is_artifact(&oci.reference), "spec.source.oci.reference", "write the artifact as registry/repository:tag, or registry/repository@sha256: and 64 hex digits, so that the code cannot change unseen");
        }
        let names = [
            ("configMap", source.config_map.as_ref()),
            ("archive.secretRef", source.archive.as_ref().and_then(|archive| archive.secret_ref.as_ref())),
            ("git.secretRef", source.git.as_ref().and_then(|git| git.secret_ref.as_ref())),
            ("oci.secretRef", source.oci.as_ref().and_then(|oci| oci.secret_ref.as_ref())),
        ];
        for (field, name) in names {
            self.hold(name.is_none_or(|name| is_name(&name.name)), format!("spec.source.{field}.name"), "write the name of a ConfigMap or Secret of the same namespace, such as thumbnail-code: lower-case letters, digits, '-' and '.'");
        }
    }

    fn template(&mut self, labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) {
        let ours = |key: &String| key.starts_with("flint.dev/");
        let label = |key: &String| ours(key) || key.starts_with("app.kubernetes.io/");
        self.hold(!labels.keys().any(label), "spec.template.metadata.labels", "labels of flint.dev/ and app.kubernetes.io/ tell Flint which pods are whose: choose keys of your own");
        self.hold(
            !annotations.keys().any(ours),
            "spec.template.metadata.annotations",
            "annotations of flint.dev/ on pods are Flint's: choose keys of your own",
        );
    }
}
