//! What an image is made of: whatever could make another one of it is in the text. Pure.

use sha2::{Digest as _, Sha256};

/// One image to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// `NAMESPACE/FUNCTION`: the repository's last two parts, so that who may pull one function's images need not see another's.
    pub(super) repository: String,
    /// The image beneath, as nodes know it.
    pub(super) base: String,
    /// The base is the Runtime's own. One that the function names is read without credentials: what they open is not its.
    pub(super) trusted: bool,
    /// The package's digest.
    pub(super) package: String,
    /// Said by hand: the registry is to be asked again.
    pub(super) refresh: Option<String>,
}

// === impl Order ===

impl Order {
    /// The order in one line, for the revision that comes of it.
    pub(crate) fn text(&self) -> String {
        let Self { base, package, .. } = self;
        match &self.refresh {
            Some(refresh) => format!("{base} {package} {}", &hex::encode(Sha256::digest(refresh))[..8]),
            None => format!("{base} {package}"),
        }
    }

    /// The image's tag: by what is beneath, as it is at this moment, and by the package.
    pub(super) fn tag(&self, base: &flint_image::Digest) -> String {
        // The number is that of the layer's form.
        let all = format!("1\n{base}\n{}", self.package);
        hex::encode(Sha256::digest(all))[..32].to_owned()
    }
}
