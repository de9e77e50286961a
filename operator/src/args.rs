//! The command line. Every flag is an environment variable too; what is wrong ends the program (exit 64) before it binds a port.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::{Parser, error::ErrorKind};
use flint_api::quantity;
use flint_package::Limits;
use flint_telemetry::Format;

use crate::{
    build::{BuildConfig, PodConfig},
    fetch::Bounds,
    images::{Place as ImagePlace, Reached},
    packages::Place,
    settings::{MASTER_KEY_LENGTH, MasterKey, Settings},
};

/// Flint's operator: reconciles Functions, scales them, and is home to their instances.
#[derive(Debug, Parser)]
#[command(name = "flint-operator", version)]
pub(crate) struct Args {
    /// What is logged: a level, or target=level pairs.
    #[arg(long, env = "FLINT_LOG", default_value = "info")]
    pub(crate) log: String,
    /// How: json or text.
    #[arg(long, env = "FLINT_LOG_FORMAT", default_value_t = Format::Json)]
    pub(crate) log_format: Format,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "FLINT_ADMIN_ADDRESS", default_value = "0.0.0.0:8081")]
    pub(crate) admin_address: SocketAddr,
    /// Where instances call home and fetch their packages.
    #[arg(long, env = "FLINT_HOME_ADDRESS", default_value = "0.0.0.0:8082")]
    pub(crate) home_address: SocketAddr,
    /// Where gateways open their streams.
    #[arg(long, env = "FLINT_CONTROL_ADDRESS", default_value = "0.0.0.0:8083")]
    pub(crate) control_address: SocketAddr,
    /// The name of this pod.
    #[arg(long, env = "POD_NAME")]
    pub(crate) pod_name: String,
    /// The namespace that Flint runs in.
    #[arg(long, env = "POD_NAMESPACE")]
    pub(crate) pod_namespace: String,
    /// The address of this pod, at which gateways and instances find the leader.
    #[arg(long, env = "POD_IP")]
    pub(crate) pod_ip: IpAddr,
    /// The key from which the functions' keys are derived, at least 32 characters.
    #[arg(long, env = "FLINT_MASTER_KEY", hide_env_values = true)]
    master_key: String,
    /// What gateways show on their streams.
    #[arg(long, env = "FLINT_CONTROL_KEY", hide_env_values = true)]
    pub(crate) control_key: String,
    /// The image of the watchdog that runs beside users' images.
    #[arg(long, env = "FLINT_WATCHDOG_IMAGE")]
    watchdog_image: String,
    /// The gateway's DNS name, as pods of any namespace resolve it.
    #[arg(long, env = "FLINT_GATEWAY_SERVICE")]
    gateway_service: String,
    /// The cluster's DNS domain.
    #[arg(long, env = "FLINT_CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
    /// Where clients reach the gateway; the gateway's own name where nothing is said.
    #[arg(long, env = "FLINT_PUBLIC_URL")]
    public_url: Option<String>,
    /// Pull policy of the watchdog's image and the Runtimes'.
    #[arg(long, env = "FLINT_IMAGE_PULL_POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    image_pull_policy: Option<String>,
    /// Pull secrets of every function pod, separated by commas; they must exist in the functions' namespaces.
    #[arg(long, env = "FLINT_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    image_pull_secrets: Vec<String>,
    /// Log level of the watchdogs.
    #[arg(long, env = "FLINT_WATCHDOG_LOG", default_value = "info")]
    watchdog_log: String,
    /// How many functions may start their first instance at once.
    #[arg(long, env = "FLINT_MAX_STARTING", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_starting: u16,
    /// The folder of the packages that were fetched.
    #[arg(long, env = "FLINT_PACKAGE_DIR", default_value = "/var/lib/flint")]
    pub(crate) package_dir: PathBuf,
    /// What all packages in it may have together.
    #[arg(long, env = "FLINT_PACKAGE_CAPACITY", default_value = "4Gi", value_parser = bytes)]
    pub(crate) package_capacity: u64,
    /// A store behind that folder, which all replicas share: s3://BUCKET/PREFIX, with AWS_REGION, AWS_ENDPOINT, AWS_ACCESS_KEY_ID and so
    /// on in the environment, or oci://HOST/REPOSITORY.
    #[arg(long, env = "FLINT_PACKAGE_STORE")]
    pub(crate) package_store: Option<Place>,
    /// How to sign in to the registry of the package store: the text of a Docker configuration.
    #[arg(long, env = "FLINT_PACKAGE_STORE_AUTH", hide_env_values = true)]
    pub(crate) package_store_auth: Option<String>,
    /// The largest archive that is fetched.
    #[arg(long, env = "FLINT_ARCHIVE_LIMIT", default_value = "50Mi", value_parser = bytes)]
    archive_limit: u64,
    /// The most that one may hold when it is unpacked.
    #[arg(long, env = "FLINT_UNPACKED_LIMIT", default_value = "250Mi", value_parser = bytes)]
    unpacked_limit: u64,
    /// The most bytes of a git repository at one commit, as they are fetched.
    #[arg(long, env = "FLINT_REPOSITORY_LIMIT", default_value = "200Mi", value_parser = bytes)]
    repository_limit: u64,
    /// How often the branches and tags of sources are looked at; 0s is never, but for the annotation flint.dev/refresh.
    #[arg(long, env = "FLINT_SOURCE_INTERVAL", default_value = "2m")]
    source_interval: flint_api::Duration,
    /// Registries of sources that are asked without TLS, HOST:PORT, separated by commas.
    #[arg(long, env = "FLINT_INSECURE_REGISTRIES", value_delimiter = ',')]
    insecure_registries: Vec<String>,
    /// A file of certificates in PEM that servers of sources may be signed by, beside the public authorities. It is read at each fetch.
    #[arg(long, env = "FLINT_SOURCE_CA_FILE")]
    pub(crate) source_ca_file: Option<PathBuf>,
    /// The image with the builder in it, which every build's pod begins with.
    #[arg(long, env = "FLINT_BUILDER_IMAGE")]
    builder_image: String,
    /// Where the images of functions with spec.build.output: image go, as nodes know it: HOST/PREFIX. Without it there are none.
    #[arg(long, env = "FLINT_IMAGE_REGISTRY", value_parser = repository)]
    image_registry: Option<String>,
    /// How to sign in to it, and to the registries of the Runtimes' images: the text of a Docker configuration.
    #[arg(long, env = "FLINT_IMAGE_REGISTRY_AUTH", hide_env_values = true)]
    image_registry_auth: Option<String>,
    /// Registries of images that nodes know by another name than the address at which the operator reaches them: NAME=ADDRESS, each
    /// HOST:PORT, separated by commas.
    #[arg(long, env = "FLINT_IMAGE_REGISTRY_REACH", value_delimiter = ',')]
    image_registry_reach: Vec<Reached>,
    /// How many builds may run at once, in all namespaces.
    #[arg(long, env = "FLINT_BUILDS_AT_ONCE", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    builds_at_once: u16,
    /// How long a build may take, all attempts together, where the Function says nothing.
    #[arg(long, env = "FLINT_BUILD_TIMEOUT", default_value = "15m")]
    build_timeout: flint_api::Duration,
    /// What every build's pod has, in JSON: env, envFrom, resources, nodeSelector, tolerations, as core/v1 writes them.
    #[arg(long, env = "FLINT_BUILD_POD", default_value = "{}", value_parser = PodConfig::read)]
    build_pod: PodConfig,
    /// The most that the cache of one Runtime's builds in one namespace may hold; 0 keeps none.
    #[arg(long, env = "FLINT_BUILD_CACHE_LIMIT", default_value = "512Mi", value_parser = bytes_or_none)]
    build_cache_limit: u64,
    /// What all caches may have together.
    #[arg(long, env = "FLINT_BUILD_CACHE_CAPACITY", default_value = "2Gi", value_parser = bytes)]
    pub(crate) build_cache_capacity: u64,
    /// A file of certificates in PEM that servers of builds may be signed by, beside those of the build's image.
    #[arg(long, env = "FLINT_BUILD_CA_FILE")]
    build_ca_file: Option<PathBuf>,
}

/// A thousand functions ask their servers two hundred times a second then.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(5);
/// The command line was wrong (sysexits.h: EX_USAGE).
pub(crate) const USAGE: u8 = 64;

// === impl Args ===

impl Args {
    /// Reads the command line and the environment, or gives the code to exit with after it has said why.
    pub(crate) fn read() -> Result<Self, u8> {
        let args = Self::try_parse().map_err(|error| {
            // Says it on stderr, or the help on stdout; where both are closed nobody is left to be told.
            let _ = error.print();
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) { 0 } else { USAGE }
        })?;
        if let Err(wrong) = args.check() {
            eprintln!("flint-operator: {wrong}");
            return Err(USAGE);
        }
        Ok(args)
    }

    /// What shapes the objects that the operator writes.
    pub(crate) fn settings(&self) -> Settings {
        let public_url =
            self.public_url.clone().unwrap_or_else(|| format!("http://{}", self.gateway_service));
        Settings {
            system_namespace: self.pod_namespace.clone(),
            cluster_domain: self.cluster_domain.clone(),
            gateway_service: self.gateway_service.clone(),
            public_url,
            watchdog_image: self.watchdog_image.clone(),
            pull_policy: self.image_pull_policy.clone(),
            pull_secrets: self.image_pull_secrets.iter().filter(|name| !name.is_empty()).cloned().collect(),
            watchdog_log_level: self.watchdog_log.clone(),
            master_key: MasterKey::new(&self.master_key),
        }
    }

    /// What a source may cost.
    pub(crate) fn bounds(&self) -> Bounds {
        let limits = Limits { unpacked: self.unpacked_limit, ..Limits::default() };
        Bounds { archive: self.archive_limit, repository: self.repository_limit, limits }
    }

    /// Registries that are asked without TLS.
    pub(crate) fn insecure_registries(&self) -> Arc<[String]> {
        self.insecure_registries.iter().filter(|name| !name.is_empty()).cloned().collect()
    }

    /// How often what moves is looked at, if ever.
    pub(crate) fn source_interval(&self) -> Option<Duration> {
        Some(self.source_interval.get()).filter(|interval| !interval.is_zero())
    }

    /// What is said about builds.
    pub(crate) fn builds(&self) -> BuildConfig {
        BuildConfig {
            builder_image: self.builder_image.clone(),
            at_once: usize::from(self.builds_at_once),
            timeout: self.build_timeout.get(),
            unpacked: self.unpacked_limit,
            cache: self.build_cache_limit,
            pod: self.build_pod.clone(),
            authorities: self.build_ca_file.clone(),
        }
    }

    /// Where images go, if anywhere.
    pub(crate) fn images(&self) -> Option<ImagePlace> {
        Some(ImagePlace {
            registry: self.image_registry.clone()?,
            docker: self.image_registry_auth.clone(),
            insecure: self.insecure_registries().to_vec(),
            reached: self.image_registry_reach.clone(),
        })
    }

    fn check(&self) -> Result<(), String> {
        if self.master_key.len() < MASTER_KEY_LENGTH {
            return Err(format!("FLINT_MASTER_KEY has fewer than {MASTER_KEY_LENGTH} characters"));
        }
        if self.source_interval().is_some_and(|interval| interval < SHORTEST_INTERVAL) {
            return Err("FLINT_SOURCE_INTERVAL is below 5s: servers would take us for an attack".to_owned());
        }
        if self.control_key.is_empty() {
            return Err("FLINT_CONTROL_KEY is empty".to_owned());
        }
        if let Some(url) = &self.public_url
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            return Err(format!("FLINT_PUBLIC_URL {url:?} is no URL: write http://… or https://…"));
        }
        Ok(())
    }
}

fn repository(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let wrong = || "write HOST/PREFIX, such as registry.example.com/functions".to_owned();
    match text.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => {
            let reference = format!("{text}/namespace/function:tag").parse::<flint_image::Reference>();
            reference.map(|_| text.to_owned()).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    quantity::bytes(text)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "write a number of bytes, such as 50Mi".to_owned())
}

fn bytes_or_none(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { bytes(text) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(extra: &[&str]) -> Args {
        let mut line = vec![
            "flint-operator",
            "--pod-name=operator-1",
            "--pod-namespace=flint",
            "--pod-ip=10.0.0.1",
            "--control-key=c",
            "--watchdog-image=watchdog:1",
            "--builder-image=builder:1",
            "--gateway-service=flint-gateway.flint.svc.cluster.local",
        ];
        line.extend(extra);
        Args::try_parse_from(line).expect("a good command line")
    }

    #[test]
    fn every_flag_is_an_environment_variable() {
        Args::command().debug_assert();
        for argument in Args::command().get_arguments().filter(|argument| argument.get_id() != "help") {
            assert!(argument.get_env().is_some() || argument.get_id() == "version", "{}", argument.get_id());
        }
    }

    #[test]
    fn bounds_are_written_as_kubernetes_writes_them() {
        let key = "--master-key=a master key of thirty-two bytes";
        let bounds = parse(&[key, "--archive-limit=1Mi", "--unpacked-limit=2000"]).bounds();
        assert_eq!((bounds.archive, bounds.limits.unpacked), (1 << 20, 2000));
        assert_eq!(parse(&[key]).bounds().archive, 50 << 20);
        assert!(bytes("0").is_err() && bytes("lots").is_err());
    }

    #[test]
    fn sources_are_looked_at_now_and_then_or_never() {
        let key = "--master-key=a master key of thirty-two bytes";
        assert_eq!(parse(&[key]).source_interval(), Some(Duration::from_secs(120)));
        assert_eq!(parse(&[key, "--source-interval=0s"]).source_interval(), None);
        assert!(parse(&[key, "--source-interval=0s"]).check().is_ok());
        assert!(parse(&[key, "--source-interval=1s"]).check().is_err());
    }

    #[test]
    fn images_go_to_a_repository_of_a_registry() {
        let key = "--master-key=a master key of thirty-two bytes";
        assert!(parse(&[key]).images().is_none());
        let place = parse(&[key, "--image-registry=127.0.0.1:5000/functions/"]).images().unwrap();
        assert_eq!(place.registry, "127.0.0.1:5000/functions");
        for wrong in ["", "functions", "team/functions", "registry.example", "registry.example/UPPER"] {
            assert!(repository(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_short_master_key_is_refused() {
        assert!(parse(&["--master-key=short"]).check().is_err());
        assert!(parse(&["--master-key=a master key of thirty-two bytes"]).check().is_ok());
    }

    #[test]
    fn without_a_public_url_it_is_the_gateways_own() {
        let settings = parse(&["--master-key=a master key of thirty-two bytes"]).settings();
        assert_eq!(
            settings.url("default", "cart"),
            "http://flint-gateway.flint.svc.cluster.local/function/cart"
        );
    }
}
