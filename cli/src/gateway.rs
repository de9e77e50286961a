//! The gateway, as this machine reaches it: at a URL, or through the API server where no URL leads to it.
//!
//! In order: what `--url` or `FLINT_URL` says; what the functions' status says, which is the chart's `publicUrl`; the load balancer or
//! node port of the gateway's Service; and, when none of them answers, a port-forward to one of its pods, which needs nothing but
//! the kubeconfig and is closed with the last clone of the [`Gateway`].

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kube::{Api, ResourceExt, api::ListParams};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    args::Global,
    cluster::{Cluster, failure},
    error::Error,
    system,
};

/// The gateway, reachable.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its URL from here, without a slash at the end.
    pub url: String,
    /// How it is reached.
    pub way: Way,
    /// A client for it: follows no redirects, and has no timeout of its own.
    pub http: reqwest::Client,
    /// Lives as long as anybody uses it.
    _forward: Option<Arc<Forward>>,
}

/// How the gateway is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Way {
    /// At the URL that the user gave; nobody has looked whether it answers.
    Given,
    /// At a URL that the cluster tells, and that answered.
    Url,
    /// Through the API server, to this pod.
    Forward(String),
}

/// The traffic port of a gateway's pod.
const PORT: u16 = 8080;
/// An address that a firewall swallows must not hold up the command for long.
const PROBE: Duration = Duration::from_secs(2);

/// Takes connections on this machine and carries them to a pod.
#[derive(Debug)]
struct Forward(JoinHandle<()>);

// === impl Gateway ===

impl Gateway {
    /// The gateway of the cluster, by the first way that works.
    ///
    /// # Errors
    /// When Flint is not there, or the user has no way to it.
    pub async fn find(cluster: &Cluster, global: &Global) -> Result<Self, Error> {
        if let Some(gateway) = Self::given(global)? {
            return Ok(gateway);
        }
        let http = client(false)?;
        let urls = function_urls(cluster).await;
        let mut candidates = origins(&urls);
        let namespace = system::namespace(cluster, &urls).await?;
        let services: Api<Service> = Api::namespaced(cluster.client.clone(), &namespace);
        // Who may not read them is left with the other ways.
        if let Ok(Some(service)) = services.get_opt(system::GATEWAY).await {
            let mut nodes = Vec::new();
            if node_port(&service).is_some() {
                let all: Api<Node> = Api::all(cluster.client.clone());
                let some = all.list(&ListParams::default().limit(20)).await;
                nodes = some.map(|list| list.items).unwrap_or_default();
            }
            candidates.extend(exposed(&service, &nodes));
        }
        for url in candidates {
            if answers(&http, &url).await {
                return Ok(Self { url, way: Way::Url, http, _forward: None });
            }
        }
        Self::forwarded(cluster, &namespace).await
    }

    /// The gateway at `--url` or `FLINT_URL`, where one is given: needs no cluster.
    ///
    /// # Errors
    /// When it is no URL.
    pub fn given(global: &Global) -> Result<Option<Self>, Error> {
        global.url.as_deref().map(Self::at).transpose()
    }

    /// The gateway at this URL.
    ///
    /// # Errors
    /// When it is no URL.
    pub fn at(url: &str) -> Result<Self, Error> {
        let parsed = reqwest::Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(parsed) = parsed else {
            return Err(Error::usage(format!("{url:?} is no URL"))
                .try_this("write --url http://HOST[:PORT] or https://…, the gateway's address"));
        };
        let here = matches!(parsed.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { url, way: Way::Given, http: client(here)?, _forward: None })
    }

    /// Where a function is called, as clients do.
    #[must_use]
    pub fn function_url(&self, namespace: &str, name: &str) -> String {
        match namespace {
            "default" => format!("{}/function/{name}", self.url),
            _ => format!("{}/function/{name}.{namespace}", self.url),
        }
    }

    /// Where a function is called by Lambda's Invoke.
    #[must_use]
    pub fn invoke_url(&self, namespace: &str, name: &str) -> String {
        format!("{}/2015-03-31/functions/{name}.{namespace}/invocations", self.url)
    }

    /// Whether a gateway answers there.
    pub async fn answers(&self) -> bool {
        answers(&self.http, &self.url).await
    }

    async fn forwarded(cluster: &Cluster, namespace: &str) -> Result<Self, Error> {
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
        let selector = ListParams::default().labels(system::GATEWAY_SELECTOR);
        let list = pods.list(&selector).await.map_err(|error| {
            failure(&format!("look for the gateway's pods in {namespace}"), error)
                .or_try("give its URL: --url http://… or FLINT_URL")
        })?;
        if list.items.is_empty() {
            return Err(Error::platform(format!(
                "there is no gateway in {namespace}: Flint is not installed there"
            ))
            .try_this(format!("{}; if it is elsewhere, give its URL: --url http://…", system::INSTALL)));
        }
        let pod = list.items.iter().find(|pod| system::is_ready(pod)).map(ResourceExt::name_any);
        let pod = pod.ok_or_else(|| {
            Error::platform(format!("no gateway is ready in {namespace}"))
                .try_this("`flint doctor` says why; if it is elsewhere, give its URL: --url http://…")
        })?;
        // Once before anybody waits for it: the right to do so may be missing.
        drop(pods.portforward(&pod, &[PORT]).await.map_err(|error| {
            failure(&format!("forward a port to {namespace}/{pod}"), error).or_try(format!(
                "give the gateway's URL: --url http://…, or get the right to create pods/portforward in {namespace}"
            ))
        })?);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let unbound = |error| Error::platform("no port of this machine can be had").because(error);
        let listener = listener.map_err(unbound)?;
        let address = listener.local_addr().map_err(unbound)?;
        let forward = Forward(tokio::spawn(forward(listener, pods, pod.clone())));
        Ok(Self {
            url: format!("http://{address}"),
            way: Way::Forward(format!("{namespace}/{pod}")),
            http: client(true)?,
            _forward: Some(Arc::new(forward)),
        })
    }
}

// === impl Forward ===

impl Drop for Forward {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Every connection gets a stream of its own through the API server; one that breaks is the client's to notice.
async fn forward(listener: TcpListener, pods: Api<Pod>, pod: String) {
    let mut streams = tokio::task::JoinSet::new();
    while let Ok((mut here, _)) = listener.accept().await {
        while streams.try_join_next().is_some() {}
        let (pods, pod) = (pods.clone(), pod.clone());
        streams.spawn(async move {
            let Ok(mut there) = pods.portforward(&pod, &[PORT]).await else { return };
            if let Some(mut stream) = there.take_stream(PORT) {
                // Either end may close at any time.
                let _ = tokio::io::copy_bidirectional(&mut here, &mut stream).await;
            }
        });
    }
}

fn client(to_this_machine: bool) -> Result<reqwest::Client, Error> {
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(PROBE * 5)
        .user_agent(concat!("flint/", env!("CARGO_PKG_VERSION")));
    // A forwarded port is on this machine, where no proxy leads.
    let builder = if to_this_machine { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| Error::platform("no HTTP client can be made").because(error))
}

/// A gateway refuses a path without a function in words that only gateways have.
async fn answers(http: &reqwest::Client, url: &str) -> bool {
    let request = http.get(format!("{url}/function/")).timeout(PROBE);
    request.send().await.is_ok_and(|answer| answer.headers().contains_key("x-flint-error"))
}

/// The URLs in the status of the namespace's functions. They all begin alike: a few are enough.
async fn function_urls(cluster: &Cluster) -> Vec<String> {
    let functions = cluster.functions().list(&ListParams::default().limit(5)).await;
    let functions = functions.map(|list| list.items).unwrap_or_default();
    functions.into_iter().filter_map(|function| function.status?.url).collect()
}

/// What the functions' URLs begin with, each once.
fn origins(urls: &[String]) -> Vec<String> {
    let mut origins: Vec<_> =
        urls.iter().filter_map(|url| Some(url.rsplit_once("/function/")?.0.to_owned())).collect();
    origins.dedup();
    origins
}

fn node_port(service: &Service) -> Option<i32> {
    service.spec.as_ref()?.ports.as_ref()?.first()?.node_port
}

/// Where the Service lets the world in.
fn exposed(service: &Service, nodes: &[Node]) -> Vec<String> {
    let port =
        service.spec.as_ref().and_then(|spec| spec.ports.as_ref()?.first()).map_or(80, |port| port.port);
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let balanced = balancer
        .into_iter()
        .flatten()
        .filter_map(|ingress| ingress.ip.as_ref().or(ingress.hostname.as_ref()));
    let mut urls: Vec<_> = balanced.map(|host| at(host, port)).collect();
    if let Some(port) = node_port(service) {
        let addresses = nodes.iter().flat_map(|node| {
            node.status.as_ref().and_then(|status| status.addresses.as_ref()).into_iter().flatten()
        });
        // A node's external address first: that is the one that was made for us.
        let of = |kind: &'static str| addresses.clone().filter(move |address| address.type_ == kind);
        let found = of("ExternalIP").chain(of("InternalIP")).take(2);
        urls.extend(found.map(|address| at(&address.address, port)));
    }
    urls
}

fn at(host: &str, port: i32) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == 80 { format!("http://{host}") } else { format!("http://{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(value: Value) -> Service {
        serde_json::from_value(value).unwrap()
    }

    fn node(kind: &str, address: &str) -> Node {
        let node = json!({"metadata": {}, "status": {"addresses": [{"type": kind, "address": address}]}});
        serde_json::from_value(node).unwrap()
    }

    #[test]
    fn functions_tell_where_their_gateway_is() {
        let urls = [
            "https://fn.example.com/shop/function/cart.shop",
            "https://fn.example.com/shop/function/till.shop",
        ];
        assert_eq!(origins(&urls.map(str::to_owned)), ["https://fn.example.com/shop"]);
    }

    #[test]
    fn a_load_balancer_is_tried_before_the_nodes() {
        let service = service(json!({
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30080}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}},
        }));
        let nodes = [node("InternalIP", "10.0.0.4"), node("ExternalIP", "2001:db8::4")];
        assert_eq!(
            exposed(&service, &nodes),
            ["http://203.0.113.7", "http://[2001:db8::4]:30080", "http://10.0.0.4:30080"]
        );
    }

    #[test]
    fn a_service_of_the_cluster_alone_lets_nobody_in() {
        let service = service(json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80}]}}));
        assert!(exposed(&service, &[node("InternalIP", "10.0.0.4")]).is_empty());
    }

    #[test]
    fn a_url_from_the_user_is_taken_as_it_is() {
        let at = |url: &str| Gateway::given(&Global { url: Some(url.to_owned()), ..Global::default() });
        let gateway = at("http://127.0.0.1:3000/").unwrap().unwrap();
        assert_eq!(gateway.function_url("default", "hello"), "http://127.0.0.1:3000/function/hello");
        assert_eq!(gateway.function_url("shop", "hello"), "http://127.0.0.1:3000/function/hello.shop");
        assert_eq!(at("localhost:3000").unwrap_err().code(), crate::error::USAGE);
    }
}
