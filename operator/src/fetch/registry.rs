//! A registry, as far as an artifact's way from it goes: the distribution specification over the guarded client, with its tokens.

use std::collections::BTreeMap;

use flint_image::{Digest, Reference};
use reqwest::{Response, StatusCode, Url, header};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    failure::Failure,
    http::{Http, answered, read, shown},
};
use crate::function::problem;

/// One repository of a registry.
pub(crate) struct Registry<'a> {
    http: &'a Http,
    /// `https://HOST/v2/REPOSITORY`
    base: String,
    repository: String,
    /// The name and the password that the registry, or whoever it sends us to, may hear.
    basic: Option<(String, String)>,
    /// What it wanted to hear last time.
    authorization: Option<String>,
}

/// A manifest, or a list of them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Manifest {
    /// What is in it; empty for a list.
    pub(crate) layers: Vec<Descriptor>,
    config: Option<Descriptor>,
    manifests: Vec<Descriptor>,
}

/// A blob, as manifests write it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What it is.
    pub(crate) media_type: String,
    /// Of its bytes.
    pub(crate) digest: String,
    /// What tools say of it.
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, \
                      application/vnd.oci.image.index.v1+json";
/// The specification lets registries refuse larger manifests.
const LARGEST_MANIFEST: u64 = 4 << 20;
const LARGEST_TOKEN: u64 = 64 << 10;
/// Configurations of images: an artifact has another one.
const IMAGES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

// === impl Registry ===

impl<'a> Registry<'a> {
    /// The repository of a reference.
    pub(crate) fn new(http: &'a Http, reference: &Reference, basic: Option<(String, String)>) -> Self {
        let repository = reference.repository().to_owned();
        let base = format!("{}://{}/v2/{repository}", http.scheme(), reference.resolve_registry());
        Self { http, base, repository, basic, authorization: None }
    }

    /// The manifest behind a tag or a digest, and its own digest.
    pub(crate) async fn manifest(&mut self, reference: &Reference) -> Result<(Manifest, Digest), Failure> {
        let asked = reference.digest().or(reference.tag()).unwrap_or("latest");
        let answer = self.get(&format!("/manifests/{asked}")).await?;
        let from = shown(answer.url());
        let bytes = read(answer, LARGEST_MANIFEST).await?;
        let digest = Digest::of(&bytes);
        if reference.digest().is_some_and(|asked| asked != digest.to_string()) {
            let text = format!("{from} has the digest {digest}, and spec.source.oci.reference says another.");
            return Err(Failure::lasting(problem::DIGEST_MISMATCH, text));
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::lasting(problem::SOURCE_INVALID, format!("{from} is no artifact's manifest: {error}."))
        })?;
        Ok((manifest, digest))
    }

    /// A blob on its way.
    pub(crate) async fn blob(&mut self, digest: &str) -> Result<Response, Failure> {
        self.get(&format!("/blobs/{digest}")).await
    }

    /// Asks, and asks again as the registry wants it.
    async fn get(&mut self, path: &str) -> Result<Response, Failure> {
        let url = format!("{}{path}", self.base);
        let answer = self.ask(&url).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return good(answer);
        }
        let challenge = answer.headers().get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let Some(authorization) = self.authorize(challenge.unwrap_or_default()).await? else {
            return good(answer);
        };
        self.authorization = Some(authorization);
        good(self.ask(&url).await?)
    }

    async fn ask(&self, url: &str) -> Result<Response, Failure> {
        let mut headers = vec![("accept", ACCEPT)];
        headers.extend(self.authorization.as_deref().map(|value| ("authorization", value)));
        self.http.ask(url, &headers).await
    }

    /// What to say to a challenge; none where there is nothing to say.
    async fn authorize(&self, challenge: &str) -> Result<Option<String>, Failure> {
        let basic = self.basic.as_ref().map(|(name, password)| {
            use base64::{Engine as _, prelude::BASE64_STANDARD};
            format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")))
        });
        let Some((scheme, parameters)) = challenge.split_once(' ') else { return Ok(basic) };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Ok(basic);
        }
        let parameters = parameters_of(parameters);
        let Some(mut realm) = parameters.get("realm").and_then(|realm| Url::parse(realm).ok()) else {
            return Ok(basic);
        };
        let scope = format!("repository:{}:pull", self.repository);
        realm.query_pairs_mut().append_pair("scope", parameters.get("scope").unwrap_or(&scope));
        if let Some(service) = parameters.get("service") {
            realm.query_pairs_mut().append_pair("service", service);
        }
        let headers: Vec<_> = basic.as_deref().map(|basic| ("authorization", basic)).into_iter().collect();
        let answer = good(self.http.ask(realm.as_str(), &headers).await?)?;
        let token: Token = json(answer, LARGEST_TOKEN).await?;
        Ok(Some(format!("Bearer {}", token.token)))
    }
}

// === impl Manifest ===

impl Manifest {
    /// The one blob with the code, or what is there in its place.
    pub(crate) fn code(&self) -> Result<&Descriptor, String> {
        if !self.manifests.is_empty() {
            return Err("it is a list of several: write the digest of one".to_owned());
        }
        if self.config.as_ref().is_some_and(|config| IMAGES.contains(&config.media_type.as_str()))
            && self.layers.len() != 1
        {
            return Err("it is a container image: serve it as spec.image".to_owned());
        }
        let mut code = self.layers.iter().filter(|layer| self.layers.len() == 1 || layer.is_code());
        match (code.next(), code.next()) {
            (Some(code), None) => Ok(code),
            (None, _) => Err("there is no .zip or .tar.gz among its layers".to_owned()),
            _ => Err("it has several layers with code: push one .zip or .tar.gz".to_owned()),
        }
    }
}

// === impl Descriptor ===

impl Descriptor {
    fn is_code(&self) -> bool {
        let title = self.annotations.get("org.opencontainers.image.title").map(String::as_str);
        let named = title.is_some_and(|title| {
            [".zip", ".tar.gz", ".tgz"].iter().any(|end| title.to_ascii_lowercase().ends_with(end))
        });
        named || self.media_type.ends_with("tar+gzip") || self.media_type.ends_with("zip")
    }
}

fn good(answer: Response) -> Result<Response, Failure> {
    let status = answer.status();
    if status.is_success() { Ok(answer) } else { Err(answered(&shown(answer.url()), status)) }
}

async fn json<T: DeserializeOwned>(answer: Response, most: u64) -> Result<T, Failure> {
    let from = shown(answer.url());
    let bytes = read(answer, most).await?;
    serde_json::from_slice(&bytes).map_err(|_| Failure::unreachable(&from, "it gives no token"))
}

/// `name="value"` pairs, as challenges have them.
fn parameters_of(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name.trim().to_ascii_lowercase(), value.to_owned());
        rest = after.trim_start_matches([',', ' ']);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_with_commas_in_its_values() {
        let read = parameters_of(
            r#"realm="https://auth.example/token",service=registry,scope="repository:a:pull,push""#,
        );
        assert_eq!(read["realm"], "https://auth.example/token");
        assert_eq!(
            (read["service"].as_str(), read["scope"].as_str()),
            ("registry", "repository:a:pull,push")
        );
        assert!(parameters_of("").is_empty() && parameters_of("x").is_empty());
    }

    #[test]
    fn the_code_of_an_artifact_is_found_and_an_image_is_none() {
        let code = |json: serde_json::Value| {
            let manifest: Manifest = serde_json::from_value(json).expect("a manifest");
            manifest.code().map(|code| code.digest.clone())
        };
        let layer = |kind: &str, digest: &str, title: &str| {
            serde_json::json!({"mediaType": kind, "digest": digest, "size": 1,
                "annotations": {"org.opencontainers.image.title": title}})
        };
        let tar = layer("application/vnd.oci.image.layer.v1.tar+gzip", "a", "x");
        let zip = layer("application/vnd.oci.image.layer.v1.tar", "b", "app.zip");
        let text = layer("text/plain", "c", "README.md");
        assert_eq!(
            code(serde_json::json!({"layers": [text]})).unwrap(),
            "c",
            "what is alone is looked at itself"
        );
        assert_eq!(code(serde_json::json!({"layers": [text, zip]})).unwrap(), "b");
        assert!(code(serde_json::json!({"layers": [zip, tar]})).unwrap_err().contains("several"));
        assert!(code(serde_json::json!({"layers": []})).unwrap_err().contains("no .zip"));
        let image =
            serde_json::json!({"config": {"mediaType": IMAGES[0], "digest": "d"}, "layers": [tar, tar]});
        assert!(code(image).unwrap_err().contains("spec.image"));
        let list = serde_json::json!({"manifests": [{"mediaType": "x", "digest": "d"}]});
        assert!(code(list).unwrap_err().contains("list"));
    }
}
