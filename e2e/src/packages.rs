//! The machine's own package indexes, for pods that have no way out: asked in their place, and kept in `build/packages` from then on.
//!
//! Which indexes those are is the machine's business (`pip config`, `npm config`). What they answer is passed on with their
//! addresses replaced by ours, so that every link leads back here: `/o/HEX/path` is `path` at the origin that HEX spells.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command, sync::Mutex};

use crate::Cluster;

/// The indexes, served on an address of this machine that pods reach.
pub struct Packages {
    /// `http://HOST:PORT`.
    url: String,
    python: String,
    npm: String,
}

/// What every request needs.
struct Shared {
    url: String,
    folder: PathBuf,
    /// One download at a time: whoever comes second finds it there.
    fetching: Mutex<()>,
}

/// A download of the largest package over a slow line.
const PATIENCE: Duration = Duration::from_secs(180);

// === impl Packages ===

impl Packages {
    /// Starts serving, for as long as the test's runtime lives.
    ///
    /// # Panics
    /// When this machine has no pip or npm, or is not the cluster's node.
    pub async fn start(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let url = format!("http://{}:{port}", node_address(cluster).await);
        let shared = Arc::new(Shared {
            url: url.clone(),
            folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/packages"),
            fetching: Mutex::default(),
        });
        tokio::spawn(serve(listener, shared));
        // pip says nothing of the index that it takes when nobody names one; its own code does.
        const PYTHON: &str = "import subprocess, sys\n\
            from pip._internal.models.index import PyPI\n\
            got = subprocess.run([sys.executable, '-m', 'pip', 'config', 'get', 'global.index-url'], capture_output=True, text=True)\n\
            print(got.stdout.strip() or PyPI.simple_url)";
        let python = told(Command::new("python3").args(["-c", PYTHON])).await;
        let npm = told(Command::new("npm").args(["config", "get", "registry"])).await;
        Self { python: ours(&url, &python), npm: ours(&url, &npm), url }
    }

    /// `spec.build` of a function whose packages come from here.
    #[must_use]
    pub fn build(&self) -> Value {
        let host = self.url.trim_start_matches("http://").split(':').next().unwrap_or_default();
        json!({"env": [
            {"name": "PIP_INDEX_URL", "value": self.python},
            {"name": "PIP_TRUSTED_HOST", "value": host},
            {"name": "npm_config_registry", "value": self.npm},
        ]})
    }
}

/// The address of this machine as pods see it: the node's own.
pub(crate) async fn node_address(cluster: &Cluster) -> IpAddr {
    assert!(cluster.node_is_local(), "packages are served by this machine, which must be the cluster's node");
    let nodes =
        Api::<Node>::all(cluster.client.clone()).list(&ListParams::default()).await.expect("the nodes");
    let addresses = nodes.items.into_iter().filter_map(|node| node.status?.addresses).flatten();
    let internal =
        addresses.filter(|address| address.type_ == "InternalIP").find_map(|one| one.address.parse().ok());
    internal.expect("the node's address")
}

/// What a program prints.
async fn told(command: &mut Command) -> String {
    let output =
        command.stderr(Stdio::null()).output().await.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The address here for one there.
fn ours(url: &str, theirs: &str) -> String {
    let (origin, path) = split(theirs);
    format!("{url}/o/{}{path}", hex(origin))
}

/// The origin of a URL (`https://HOST`), and the rest of it.
fn split(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    url.split_at(end)
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<String> {
    let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    String::from_utf8(bytes.collect::<Option<_>>()?).ok()
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(answer(&shared, &request).await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let theirs = target.strip_prefix("/o/").and_then(|rest| {
        let (origin, path) = rest.split_at(rest.find('/')?);
        Some(format!("{}{path}", unhex(origin)?))
    });
    let mut response = Response::new(Full::default());
    match theirs {
        Some(theirs) => match fetched(shared, &theirs).await {
            Ok((body, content_type)) => {
                if let Ok(content_type) = content_type.parse() {
                    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
                }
                *response.body_mut() = Full::new(body);
            }
            Err(error) => {
                eprintln!("packages: {theirs}: {error}");
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
        },
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

/// A page or a file of an index: from the folder, or from there.
async fn fetched(shared: &Shared, theirs: &str) -> Result<(Bytes, String), String> {
    let (origin, path) = split(theirs);
    let file = shared.folder.join(hex(origin)).join(hex_name(path));
    let kind = file.with_extension("type");
    let read =
        async || Some((tokio::fs::read(&file).await.ok()?, tokio::fs::read_to_string(&kind).await.ok()?));
    let _one = shared.fetching.lock().await;
    let (body, content_type) = match read().await {
        Some(found) => found,
        None => {
            download(theirs, &file, &kind).await?;
            read().await.ok_or("it was not kept")?
        }
    };
    if content_type.starts_with("text/") || content_type.contains("json") {
        let text = String::from_utf8(body).map_err(|error| error.to_string())?;
        return Ok((rewritten(&shared.url, &text).into(), content_type));
    }
    Ok((body.into(), content_type))
}

async fn download(url: &str, file: &Path, kind: &Path) -> Result<(), String> {
    let folder = file.parent().ok_or("a file has a folder")?;
    tokio::fs::create_dir_all(folder).await.map_err(|error| error.to_string())?;
    // Other tests have folders of their own process; a name of its own keeps half a file from being taken for a whole.
    let half = file.with_extension(format!("{:08x}", rand::random::<u32>()));
    // curl goes by the machine's proxies and authorities. pip's newer form of an index is asked for by nobody here.
    let output = Command::new("curl")
        .args(["-fsSL", "--retry", "2", "--write-out", "%{content_type}", "--output"])
        .arg(&half)
        .arg(url)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await.map_err(|_| "it took too long")?;
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        let _ = tokio::fs::remove_file(&half).await;
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    tokio::fs::write(kind, &output.stdout).await.map_err(|error| error.to_string())?;
    tokio::fs::rename(&half, file).await.map_err(|error| error.to_string())
}

/// A page with every absolute address replaced by the one here.
fn rewritten(url: &str, page: &str) -> String {
    let mut text = String::with_capacity(page.len() * 2);
    let mut rest = page;
    while let Some(at) = rest.find("https://") {
        let (before, address) = rest.split_at(at);
        text.push_str(before);
        let end = address[8..].find(['/', '"', '\'', '<', ' ', '\\']).map_or(address.len(), |end| 8 + end);
        let (origin, after) = address.split_at(end);
        text.push_str(url);
        text.push_str("/o/");
        text.push_str(&hex(origin));
        rest = after;
    }
    text.push_str(rest);
    text
}

/// A path as a file's name: short, and of its own.
fn hex_name(path: &str) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    let tail: String = path.chars().rev().filter(char::is_ascii_alphanumeric).take(40).collect();
    format!("{:016x}-{}", hasher.finish(), tail.chars().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_a_page_leads_back_here() {
        let page = r#"<a href="https://files.example.com/a/b.whl#sha256=1">b</a> <a href="../c.whl">c</a>"#;
        let origin = hex("https://files.example.com");
        assert_eq!(
            rewritten("http://10.0.0.1:1", page),
            format!(
                r#"<a href="http://10.0.0.1:1/o/{origin}/a/b.whl#sha256=1">b</a> <a href="../c.whl">c</a>"#
            )
        );
        assert_eq!(unhex(&origin).as_deref(), Some("https://files.example.com"));
        assert_eq!(split("https://files.example.com/simple/x"), ("https://files.example.com", "/simple/x"));
    }
}
