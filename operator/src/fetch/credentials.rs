//! What a Secret says about how to ask: who we are, and whose certificates are good.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client};
use reqwest::{
    Certificate, RequestBuilder,
    header::{HeaderName, HeaderValue},
};

use super::failure::Failure;
use crate::function::problem;

/// How to ask.
#[derive(Default)]
pub(crate) struct Credentials {
    basic: Option<(String, String)>,
    token: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Names and passwords of registries.
    registries: Option<flint_image::Credentials>,
    /// Certificates that are good beside the usual ones.
    pub(crate) authorities: Vec<Certificate>,
}

/// A key that begins so is a header.
const HEADER: &str = "header.";
/// The key of a Secret of the type kubernetes.io/dockerconfigjson.
const DOCKER: &str = ".dockerconfigjson";

// === impl Credentials ===

impl Credentials {
    /// Reads the Secret of that name; without one there is nothing to say.
    ///
    /// # Errors
    /// When it is not there, may not be read, or says nothing that is understood.
    pub(crate) async fn read(client: &Client, namespace: &str, name: Option<&str>) -> Result<Self, Failure> {
        let Some(name) = name else { return Ok(Self::default()) };
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        match secrets.get(name).await {
            Ok(secret) => Self::parse(name, secret.data.unwrap_or_default()),
            Err(kube::Error::Api(status)) if status.code == 404 => Err(unreadable(format!(
                "The Secret {name} does not exist in this namespace: create it, with username and password, or token."
            ))),
            Err(kube::Error::Api(status)) if status.code == 403 => Err(unreadable(format!(
                "The operator may not read the Secret {name}: let it, by a Role in this namespace with `get` on this Secret for the \
                 operator's service account, or by sources.readSecrets of the chart (docs/rbac.md)."
            ))),
            Err(error) => {
                Err(unreadable(format!("The Secret {name} cannot be read: {error}. It is tried again.")))
            }
        }
    }

    fn parse(name: &str, data: BTreeMap<String, ByteString>) -> Result<Self, Failure> {
        let wrong = |what: &str| unreadable(format!("The Secret {name} is of no use: {what}."));
        let mut text = BTreeMap::new();
        for (key, value) in data {
            let value = String::from_utf8(value.0).map_err(|_| wrong(&format!("{key} is no text")))?;
            text.insert(key, value);
        }
        let mut credentials = Self::default();
        // What people put into Secrets with an editor ends with a line.
        let mut take =
            |key: &str| text.remove(key).map(|value| value.trim_end_matches(['\r', '\n']).to_owned());
        if let Some(password) = take("password") {
            credentials.basic = Some((take("username").unwrap_or_default(), password));
        }
        credentials.token = take("token");
        if let Some(pem) = take("ca.crt") {
            credentials.authorities = Certificate::from_pem_bundle(pem.as_bytes())
                .map_err(|_| wrong("ca.crt holds no certificates in PEM"))?;
        }
        if let Some(json) = take(DOCKER) {
            let registries = flint_image::Credentials::from_json(json.as_bytes());
            credentials.registries =
                Some(registries.map_err(|error| wrong(&format!("{DOCKER} cannot be read: {error}")))?);
        }
        for (key, value) in text {
            let Some(header) = key.strip_prefix(HEADER) else { continue };
            let header = header.parse().map_err(|_| wrong(&format!("{key} names no header")))?;
            let mut value: HeaderValue =
                value.trim_end().parse().map_err(|_| wrong(&format!("{key} is no header's value")))?;
            value.set_sensitive(true);
            credentials.headers.push((header, value));
        }
        if credentials.basic.is_none()
            && credentials.token.is_none()
            && credentials.headers.is_empty()
            && credentials.registries.is_none()
            && credentials.authorities.is_empty()
        {
            return Err(wrong(
                "it has none of username and password, token, header.NAME, .dockerconfigjson, ca.crt",
            ));
        }
        Ok(credentials)
    }

    /// The name and the password for a registry, which says itself how it wants to hear them: they are not said unasked then.
    pub(crate) fn take_basic(&mut self, registry: &str) -> Option<(String, String)> {
        let docker = self.registries.as_ref().and_then(|all| all.get(registry));
        let docker = docker.map(|(name, password)| (name.to_owned(), password.to_owned()));
        self.basic.take().or(docker)
    }

    /// Says who asks.
    pub(crate) fn sign(&self, mut request: RequestBuilder) -> RequestBuilder {
        if let Some((name, password)) = &self.basic {
            request = request.basic_auth(name, Some(password));
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }
}

fn unreadable(message: String) -> Failure {
    Failure::passing(problem::CREDENTIALS_UNREADABLE, message)
}

#[cfg(test)]
mod tests {
    use flint_testing::apiserver::ApiServer;
    use serde_json::json;

    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Credentials, Failure> {
        let data =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
        Credentials::parse("repo", data.collect())
    }

    #[test]
    fn a_secret_is_understood_in_each_of_its_forms() {
        let basic = parse(&[("username", "anna"), ("password", "secret\n")]).unwrap();
        assert_eq!(basic.basic, Some(("anna".into(), "secret".into())));
        assert_eq!(parse(&[("token", "t")]).unwrap().token.as_deref(), Some("t"));
        let docker = r#"{"auths": {"registry.example": {"auth": "YW5uYTpzZWNyZXQ="}}}"#;
        let mut docker = parse(&[(".dockerconfigjson", docker)]).unwrap();
        assert_eq!(docker.take_basic("registry.example"), Some(("anna".into(), "secret".into())));
        assert_eq!(docker.take_basic("another.example"), None);
        let headers = parse(&[("header.PRIVATE-TOKEN", "t"), ("other", "x")]).unwrap().headers;
        assert_eq!(headers.len(), 1);
        assert!(headers[0].0 == "private-token" && headers[0].1.is_sensitive());
    }

    #[test]
    fn a_secret_that_says_nothing_is_named_with_what_it_lacks() {
        for wrong in [
            &[("user", "anna")][..],
            &[("ca.crt", "x")],
            &[(".dockerconfigjson", "x")],
            &[("header.a b", "x")],
            &[("header.a", "\u{1}")],
        ] {
            let failure = parse(wrong).err().unwrap();
            assert_eq!(failure.reason, problem::CREDENTIALS_UNREADABLE);
            assert!(failure.message.contains("Secret repo") && failure.heals, "{failure:?}");
        }
    }

    #[tokio::test]
    async fn one_secret_is_read_by_its_name_and_nothing_else_is_asked() {
        let server = ApiServer::new();
        server.put(
            &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "repo", "namespace": "shop"},
            "data": {"token": "dA=="}}),
        );
        let read = Credentials::read(&server.client(), "shop", Some("repo")).await.unwrap();
        assert_eq!(read.token.as_deref(), Some("t"));
        let rights: Vec<_> = server.requests().iter().map(|request| request.rbac()).collect();
        assert_eq!(rights, [(String::new(), "secrets".to_owned(), "get".to_owned())]);
    }

    #[tokio::test]
    async fn a_missing_and_a_forbidden_secret_say_what_to_do() {
        let server = ApiServer::new();
        let missing = Credentials::read(&server.client(), "shop", Some("repo")).await.err().unwrap();
        assert!(missing.message.contains("does not exist"), "{missing:?}");
        server.fail("GET", "/secrets/", 403, "Forbidden", "no");
        let forbidden = Credentials::read(&server.client(), "shop", Some("repo")).await.err().unwrap();
        assert!(forbidden.message.contains("sources.readSecrets") && forbidden.heals, "{forbidden:?}");
    }
}
