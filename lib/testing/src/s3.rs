//! S3-compatible storage on loopback, without TLS: as much of it as clients of objects use.
//!
//! Objects by path, whole or in parts, ranges, writes on condition, and lists in pages. Where S3 is strict it is too: a request is signed, its
//! body is the one that was signed, and no part but the last is small.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::whole::serve;

/// A listening server; it ends when dropped.
pub struct S3 {
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shelf {
    /// By `/BUCKET/KEY`.
    objects: BTreeMap<String, Bytes>,
    /// Begun and not completed, by id: the object's path, and its parts by number.
    uploads: BTreeMap<String, (String, BTreeMap<usize, Bytes>)>,
    begun: usize,
    seen: Vec<String>,
}

type Answer = Response<Full<Bytes>>;

/// Whose signatures are taken.
pub const ACCESS_KEY: &str = "anna";
/// A list has no more on one page.
const PAGE: usize = 2;
/// Of each part but the last.
const SMALLEST_PART: usize = 5 << 20;
const DATE: &str = "Sat, 21 Nov 2026 20:00:00 GMT";

// === impl S3 ===

impl S3 {
    /// A server without objects, on a free port. Any bucket is there.
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

    /// Its endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The paths of all objects: `/BUCKET/KEY`.
    pub fn paths(&self) -> Vec<String> {
        self.shelf.lock().objects.keys().cloned().collect()
    }

    /// Puts an object down.
    pub fn put(&self, path: &str, content: impl Into<Bytes>) {
        self.shelf.lock().objects.insert(path.to_owned(), content.into());
    }

    /// What was asked for, in order: method, path and query.
    pub fn seen(&self) -> Vec<String> {
        self.shelf.lock().seen.clone()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Shelf ===

impl Shelf {
    fn answer(&mut self, request: &Request<Bytes>) -> Answer {
        self.seen.push(format!("{} {}", request.method(), request.uri()));
        if let Some(refusal) = unsigned(request) {
            return refusal;
        }
        let (path, query) = (request.uri().path().to_owned(), query(request));
        let upload = query.get("uploadId");
        match (request.method().clone(), upload) {
            (Method::POST, None) if query.contains_key("uploads") => self.begin(path),
            (Method::PUT, Some(id)) => self.part(id, query.get("partNumber"), request.body()),
            (Method::POST, Some(id)) => self.complete(id, request.body()),
            (Method::DELETE, Some(id)) => {
                self.uploads.remove(id);
                status(204)
            }
            (Method::PUT, None) => {
                let only_new = request.headers().get("if-none-match").is_some_and(|value| value == "*");
                if only_new && self.objects.contains_key(&path) {
                    return error(412, "PreconditionFailed", "it is there");
                }
                let answer = tagged(status(200), request.body());
                self.objects.insert(path, request.body().clone());
                answer
            }
            (Method::DELETE, None) => {
                self.objects.remove(&path);
                status(204)
            }
            (Method::GET, None) if query.get("list-type").is_some_and(|kind| kind == "2") => {
                self.list(&path, &query)
            }
            (Method::GET | Method::HEAD, None) => match self.objects.get(&path) {
                Some(object) => part_of(object, request.headers()),
                None => error(404, "NoSuchKey", &path),
            },
            _ => error(405, "MethodNotAllowed", "no such method here"),
        }
    }

    fn begin(&mut self, path: String) -> Answer {
        self.begun += 1;
        let id = format!("upload-{}", self.begun);
        self.uploads.insert(id.clone(), (path, BTreeMap::new()));
        xml(
            200,
            format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            ),
        )
    }

    fn part(&mut self, id: &str, number: Option<&String>, body: &Bytes) -> Answer {
        let Some((_, parts)) = self.uploads.get_mut(id) else { return error(404, "NoSuchUpload", id) };
        let Some(number) = number.and_then(|number| number.parse().ok()).filter(|number| *number > 0) else {
            return error(400, "InvalidArgument", "partNumber");
        };
        parts.insert(number, body.clone());
        tagged(status(200), body)
    }

    fn complete(&mut self, id: &str, body: &Bytes) -> Answer {
        let Some((path, parts)) = self.uploads.remove(id) else { return error(404, "NoSuchUpload", id) };
        let body = String::from_utf8_lossy(body);
        let said: Vec<_> =
            body.split("<ETag>").skip(1).filter_map(|rest| rest.split("</ETag>").next()).collect();
        let are: Vec<_> = parts.values().map(|part| tag(part)).collect();
        let unquoted: Vec<_> = said.iter().map(|tag| tag.replace("&quot;", "\"")).collect();
        if unquoted != are {
            return error(400, "InvalidPart", &format!("{unquoted:?} are {are:?}"));
        }
        let small = parts.values().rev().skip(1).any(|part| part.len() < SMALLEST_PART);
        if small {
            return error(400, "EntityTooSmall", "a part that is not the last has less than 5 MiB");
        }
        let object = Bytes::from(parts.values().flatten().copied().collect::<Vec<u8>>());
        let tag = tag(&object);
        self.objects.insert(path, object);
        xml(200, format!("<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"))
    }

    fn list(&self, bucket: &str, query: &HashMap<String, String>) -> Answer {
        let bucket = format!("{}/", bucket.trim_end_matches('/'));
        let prefix = query.get("prefix").map(String::as_str).unwrap_or_default();
        let after = query.get("continuation-token").map(String::as_str).unwrap_or_default();
        let all =
            self.objects.iter().filter_map(|(path, object)| Some((path.strip_prefix(&bucket)?, object)));
        let mut left = all.filter(|(key, _)| key.starts_with(prefix) && *key > after);
        let page: Vec<_> = left.by_ref().take(PAGE).collect();
        let more = left.next().is_some();
        let mut text = format!("<ListBucketResult><IsTruncated>{more}</IsTruncated>");
        if let Some((last, _)) = page.last().filter(|_| more) {
            text += &format!("<NextContinuationToken>{last}</NextContinuationToken>");
        }
        for (key, object) in page {
            text += &format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-21T20:00:00.000Z</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                tag(object),
                object.len()
            );
        }
        xml(200, text + "</ListBucketResult>")
    }
}

/// Why a request is not taken for the owner's.
fn unsigned(request: &Request<Bytes>) -> Option<Answer> {
    let header =
        |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let begin = format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/");
    let authorization = header("authorization");
    if !authorization.starts_with(&begin) || !authorization.contains("/s3/aws4_request") {
        return Some(error(403, "AccessDenied", "it is not signed"));
    }
    let (said, is) = (header("x-amz-content-sha256"), hex::encode(Sha256::digest(request.body())));
    (said != is && said != "UNSIGNED-PAYLOAD").then(|| error(400, "XAmzContentSHA256Mismatch", said))
}

fn query(request: &Request<Bytes>) -> HashMap<String, String> {
    let pairs = request.uri().query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let decoded = |text: &str| text.replace("%2F", "/").replace("%3A", ":").replace('+', " ");
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), decoded(value))
    };
    pairs.map(pair).collect()
}

/// An object, or the range of it that is asked for.
fn part_of(object: &Bytes, headers: &HeaderMap) -> Answer {
    let range =
        headers.get("range").and_then(|value| value.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let Some((first, last)) = range else {
        let mut answer = status(200);
        *answer.body_mut() = Full::new(object.clone());
        return tagged(answer, object);
    };
    let length = object.len();
    let (first, last): (Option<usize>, Option<usize>) = (first.parse().ok(), last.parse().ok());
    let (begin, end) = match (first, last) {
        (Some(first), last) => (first, last.map_or(length, |last| last + 1).min(length)),
        (None, last) => (length - last.unwrap_or_default().min(length), length),
    };
    if begin >= end {
        return error(416, "InvalidRange", "it ends before");
    }
    let mut answer = tagged(status(206), object);
    let range = format!("bytes {begin}-{}/{length}", end - 1);
    answer.headers_mut().insert("content-range", range.parse().expect("a range"));
    *answer.body_mut() = Full::new(object.slice(begin..end));
    answer
}

fn tag(content: &[u8]) -> String {
    format!("\"{}\"", &hex::encode(Sha256::digest(content))[..32])
}

fn tagged(mut answer: Answer, content: &[u8]) -> Answer {
    answer.headers_mut().insert("etag", tag(content).parse().expect("a tag"));
    answer.headers_mut().insert("last-modified", DATE.parse().expect("a date"));
    answer
}

fn status(code: u16) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::from_u16(code).expect("a status");
    answer
}

fn xml(code: u16, text: String) -> Answer {
    let mut answer = status(code);
    answer.headers_mut().insert("content-type", "application/xml".parse().expect("a type"));
    *answer.body_mut() = Full::new(text.into());
    answer
}

fn error(code: u16, name: &str, message: &str) -> Answer {
    xml(code, format!("<Error><Code>{name}</Code><Message>{message}</Message></Error>"))
}
