//! Where images go, and how the operator reaches registries that nodes know by another name.

use std::str::FromStr;

use flint_api::{Function, Runtime};
use flint_image::Reference;

use super::Order;
use crate::{
    fetch::REFRESH,
    function::problem::{self, Problem},
    key::Key,
    package::Package,
};

/// Where images go.
#[derive(Clone)]
pub(crate) struct Place {
    /// `HOST/PREFIX`, as nodes know it.
    pub(crate) registry: String,
    /// The text of a Docker configuration to sign in by.
    pub(crate) docker: Option<String>,
    /// Registries that are asked without TLS.
    pub(crate) insecure: Vec<String>,
    /// Registries that the operator reaches otherwise than nodes do.
    pub(crate) reached: Vec<Reached>,
}

/// `NAME=ADDRESS`, each HOST:PORT: nodes say the one, the operator the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    name: String,
    address: String,
}

// === impl Place ===

impl Place {
    /// What is to be made for a function.
    pub(super) fn order(
        &self,
        key: &Key,
        function: &Function,
        runtime: &Runtime,
        package: &Package,
    ) -> Result<Order, Problem> {
        let own = &runtime.spec.image;
        let base = function.spec.runtime_image.as_ref().unwrap_or(own);
        let invalid = |error: &dyn std::fmt::Display| {
            let text = format!("The image {base} cannot be read: {error}.");
            Problem::build(problem::BASE_IMAGE_UNREADABLE, text)
        };
        let reference: Reference = base.parse().map_err(|error| invalid(&error))?;
        let target: Reference = self.image(key, "latest").parse().map_err(|error| invalid(&error))?;
        let known = [Some(target.resolve_registry().to_owned()), registry_of(own)];
        // The operator asks no server that only a user named.
        if !known.contains(&Some(reference.resolve_registry().to_owned())) {
            let text = format!(
                "spec.runtimeImage {base} is in a registry that the operator does not ask: copy it to {}, or remove spec.build.output.",
                self.registry
            );
            return Err(Problem::build(problem::BASE_IMAGE_UNREADABLE, text));
        }
        Ok(Order {
            repository: format!("{}/{}", key.namespace, key.name),
            trusted: base == own,
            base: base.clone(),
            package: package.digest.clone(),
            refresh: function.metadata.annotations.as_ref().and_then(|all| all.get(REFRESH)).cloned(),
        })
    }

    fn image(&self, key: &Key, tag: &str) -> String {
        format!("{}/{}/{}:{tag}", self.registry, key.namespace, key.name)
    }

    /// A reference as the operator asks for it.
    pub(super) fn reach(&self, reference: &str) -> Result<Reference, flint_image::Error> {
        let reference: Reference = reference.parse()?;
        let registry = reference.resolve_registry();
        let Some(reached) = self.reached.iter().find(|reached| reached.name == registry) else {
            return Ok(reference);
        };
        let whole = reference.whole();
        let rest = whole.strip_prefix(registry).unwrap_or(&whole);
        Ok(format!("{}{rest}", reached.address).parse()?)
    }

    /// Credentials by the names under which the operator asks.
    pub(super) fn credentials(&self) -> Result<flint_image::Credentials, String> {
        let docker = self.docker.as_ref().map(|json| flint_image::Credentials::from_json(json.as_bytes()));
        let mut credentials = docker.transpose()?.unwrap_or_default();
        for Reached { name, address } in &self.reached {
            let pair = credentials.get(name).map(|(user, password)| (user.to_owned(), password.to_owned()));
            if let Some((user, password)) = pair {
                credentials.set(address, &user, &password);
            }
        }
        Ok(credentials)
    }
}

fn registry_of(image: &str) -> Option<String> {
    image.parse::<Reference>().ok().map(|reference| reference.resolve_registry().to_owned())
}

// === impl Reached ===

impl FromStr for Reached {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = |part: &str| !part.is_empty() && !part.contains(['/', '=', ' ']);
        match text.split_once('=') {
            Some((name, address)) if good(name) && good(address) => {
                Ok(Self { name: name.to_owned(), address: address.to_owned() })
            }
            _ => Err("write NAME=ADDRESS, each HOST:PORT, such as 127.0.0.1:5000=10.244.0.1:5000".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            registry: "127.0.0.1:5000/functions".into(),
            docker: Some(r#"{"auths": {"127.0.0.1:5000": {"username": "anna", "password": "x"}}}"#.into()),
            insecure: Vec::new(),
            reached: vec!["127.0.0.1:5000=10.244.0.1:5000".parse().unwrap()],
        }
    }

    #[test]
    fn a_registry_that_nodes_know_by_another_name_is_asked_by_its_address() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (name, reached) in [
            ("127.0.0.1:5000/flint/python:1".to_owned(), "10.244.0.1:5000/flint/python:1".to_owned()),
            (format!("127.0.0.1:5000/python@{digest}"), format!("10.244.0.1:5000/python@{digest}")),
            ("registry.example/python:1".to_owned(), "registry.example/python:1".to_owned()),
        ] {
            assert_eq!(place().reach(&name).unwrap().whole(), reached);
        }
        assert_eq!(place().credentials().unwrap().get("10.244.0.1:5000"), Some(("anna", "x")));
        assert!("127.0.0.1:5000".parse::<Reached>().is_err() && "a/b=c".parse::<Reached>().is_err());
    }
}
