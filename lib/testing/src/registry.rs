//! A registry of container images on loopback, without TLS: blobs, manifests, uploads in one piece, and mounts between repositories.
//!
//! It takes what a registry takes and no more: a blob is its digest's, and a manifest comes after everything that it names.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::whole::serve;

/// A listening registry; it ends when dropped.
pub struct Registry {
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
    task: JoinHandle<()>,
}

/// What is in it, by repository and digest or tag.
#[derive(Default)]
struct Shelf {
    blobs: BTreeMap<(String, String), Bytes>,
    manifests: BTreeMap<(String, String), Bytes>,
    uploads: usize,
    requests: usize,
    mounts_nothing: bool,
    /// A status for repositories that begin so.
    refused: BTreeMap<&'static str, StatusCode>,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

// === impl Registry ===

impl Registry {
    /// An empty registry on a free port.
    ///
    /// # Panics
    /// When loopback cannot be listened on.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
        let address = listener.local_addr().expect("an address");
        let shelf = Arc::<Mutex<Shelf>>::default();
        let task = tokio::spawn({
            let shelf = Arc::clone(&shelf);
            serve(listener, move |request| shelf.lock().answer(request))
        });
        Self { address, shelf, task }
    }

    /// Its HOST:PORT.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Answers requests for repositories that begin so with a status from now on, or as it should. All of them begin with nothing.
    ///
    /// # Panics
    /// When the status is none.
    pub fn refuse(&self, repositories: &'static str, status: Option<u16>) {
        let mut shelf = self.shelf.lock();
        match status {
            Some(status) => {
                shelf.refused.insert(repositories, StatusCode::from_u16(status).expect("a status"))
            }
            None => shelf.refused.remove(repositories),
        };
    }

    /// Lets nothing be mounted from another repository from now on.
    pub fn mount_nothing(&self) {
        self.shelf.lock().mounts_nothing = true;
    }

    /// Puts down a manifest that names what nobody has.
    pub fn put_manifest(&self, repository: &str, tag: &str, manifest: &serde_json::Value) {
        let key = (repository.to_owned(), tag.to_owned());
        self.shelf.lock().manifests.insert(key, manifest.to_string().into());
    }

    /// Blobs that were sent to it, and not mounted.
    pub fn uploads(&self) -> usize {
        self.shelf.lock().uploads
    }

    /// All requests so far.
    pub fn requests(&self) -> usize {
        self.shelf.lock().requests
    }

    /// The manifest of a tag or a digest.
    pub fn manifest(&self, repository: &str, name: &str) -> Option<serde_json::Value> {
        let key = (repository.to_owned(), name.to_owned());
        let bytes = self.shelf.lock().manifests.get(&key).cloned()?;
        serde_json::from_slice(&bytes).ok()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Shelf ===

impl Shelf {
    fn answer(&mut self, request: &Request<Bytes>) -> Response<Full<Bytes>> {
        self.requests += 1;
        let path = request.uri().path();
        let Some(rest) = path.strip_prefix("/v2/").filter(|rest| !rest.is_empty()) else {
            return reply(StatusCode::OK);
        };
        if let Some((_, status)) = self.refused.iter().find(|(begin, _)| rest.starts_with(**begin)) {
            return reply(*status);
        }
        let query: HashMap<_, _> = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name, value.replace("%3A", ":").replace("%2F", "/")))
            .collect();
        let key = |middle: &str| {
            let (repository, name) = rest.split_once(middle).unwrap_or((rest, ""));
            (repository.to_owned(), name.to_owned())
        };
        match *request.method() {
            Method::POST => {
                let (repository, _) = key("/blobs/uploads/");
                let wanted = query.get("mount").zip(query.get("from")).filter(|_| !self.mounts_nothing);
                let mounted = wanted.and_then(|(digest, from)| {
                    Some((digest.clone(), self.blobs.get(&(from.clone(), digest.clone())).cloned()?))
                });
                match mounted {
                    Some((digest, bytes)) => {
                        let place = format!("/v2/{repository}/blobs/{digest}");
                        self.blobs.insert((repository, digest), bytes);
                        placed(StatusCode::CREATED, &place)
                    }
                    None => placed(StatusCode::ACCEPTED, &format!("/v2/{repository}/blobs/uploads/1")),
                }
            }
            Method::PUT if rest.contains("/blobs/uploads/") => {
                let (repository, _) = key("/blobs/uploads/");
                let (said, is) = (query.get("digest").cloned().unwrap_or_default(), digest(request.body()));
                if said != is {
                    return error("DIGEST_INVALID", &format!("{said} is {is}"));
                }
                self.uploads += 1;
                self.blobs.insert((repository, said), request.body().clone());
                placed(StatusCode::CREATED, path)
            }
            Method::PUT => {
                let (repository, tag) = key("/manifests/");
                let Ok(manifest) = serde_json::from_slice::<serde_json::Value>(request.body()) else {
                    return error("MANIFEST_INVALID", "it is no JSON");
                };
                let layers = manifest["layers"].as_array().into_iter().flatten();
                let missing = layers.chain(manifest.get("config")).find(|blob| {
                    let digest = blob["digest"].as_str().unwrap_or_default().to_owned();
                    !self.blobs.contains_key(&(repository.clone(), digest))
                });
                if let Some(missing) = missing {
                    return error("MANIFEST_BLOB_UNKNOWN", &missing.to_string());
                }
                self.manifests.insert((repository.clone(), digest(request.body())), request.body().clone());
                self.manifests.insert((repository, tag), request.body().clone());
                placed(StatusCode::CREATED, path)
            }
            _ if rest.contains("/manifests/") => found(self.manifests.get(&key("/manifests/")), MANIFEST),
            _ => found(self.blobs.get(&key("/blobs/")), "application/octet-stream"),
        }
    }
}

fn reply(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

fn error(code: &str, message: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string();
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer
}

fn placed(status: StatusCode, place: &str) -> Response<Full<Bytes>> {
    let mut answer = reply(status);
    answer.headers_mut().insert("location", place.parse().expect("a path"));
    answer
}

fn found(bytes: Option<&Bytes>, kind: &'static str) -> Response<Full<Bytes>> {
    let Some(bytes) = bytes else { return reply(StatusCode::NOT_FOUND) };
    let mut answer = Response::new(Full::new(bytes.clone()));
    answer.headers_mut().insert("content-type", kind.parse().expect("a type"));
    answer.headers_mut().insert("docker-content-digest", digest(bytes).parse().expect("a digest"));
    answer
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
