//! Container images without a container engine: file trees become layers, layers become an image, an image goes to a registry.
//!
//! The same input makes the same bytes, on any machine and at any time, so a digest says whether something changed:
//! entries are sorted, times are zero, owners are what the caller says, and the gzip header names nobody.
//! An image has three stages, each of them plain data:
//!
//! 1. A [`Tree`] is what a layer shall hold: files from tar archives, folders and memory. [`Tree::without`] leaves out what
//!    the layers below already have, so that images which share a base share its blobs.
//! 2. A [`Layer`] is a tree written down as a gzipped tar: in memory ([`Layer::in_memory`]), or in a folder ([`Store::layer`])
//!    that keeps it for the next build.
//! 3. An [`Image`] is layers and a configuration. It starts from nothing ([`Image::scratch`]) or from a registry
//!    ([`Registry::pull`]: no layer is downloaded), and ends in a registry ([`Registry::push`]: base layers are mounted, blobs that
//!    are there are not sent again) or in an OCI image layout ([`Image::write_layout`]).
//!
//! ```no_run
//! # async fn example(package: &[u8]) -> Result<(), flint_image::Error> {
//! use flint_image::{Credentials, Layer, Owner, Platform, Registry, Tree};
//!
//! let registry = Registry::new(Credentials::from_docker_config()?, Platform::host());
//! let base = "registry.example/flint-python3.11:1.0".parse()?;
//! let mut code = Tree::default();
//! code.add_tar_gz(package, "var/task", 256 << 20, Some(Owner::ROOT))?;
//! let image = registry.pull(&base).await?.append(Layer::in_memory(&code, "package")?);
//! let pushed = registry.push(&image, &"registry.example/shop/thumbnail:3f9c2a71".parse()?).await?;
//! println!("{}", pushed.digest);
//! # Ok(()) }
//! ```

mod artifact;
mod credentials;
mod digest;
mod error;
mod image;
mod layer;
mod layout;
mod recipe;
mod registry;
mod store;
mod tree;

pub use artifact::{ARTIFACT_TYPE, Artifact};
pub use credentials::Credentials;
pub use digest::Digest;
pub use error::{Error, Trouble};
pub use image::{Image, Platform, RunConfig};
pub use layer::Layer;
pub use recipe::{Recipe, Variables};
pub use registry::{Pushed, Reference, Registry};
pub use store::Store;
pub use tree::{Content, Entry, Kind, Owner, Tree};
