//! A folder of a git repository as it is at one commit, without git and without a clone of its history.
//!
//! Nothing here talks to a network: [`Server`] says what to ask and understands the answers, by version 2 of git's protocol over
//! HTTP, and whoever has a client asks. That takes two or three requests:
//!
//! 1. `GET URL/info/refs?service=git-upload-pack` tells what the server can do ([`Server::read`]);
//! 2. `POST URL/git-upload-pack` with [`Server::ask_refs`] tells which commit a branch or a tag is at ([`Server::resolve`]);
//! 3. the same with [`Server::ask_commit`] brings that commit alone, as a pack ([`Objects::receive`]). Where a folder of a large
//!    repository is wanted and the server can leave files out, it brings the names first, and the files of that folder in a
//!    second request ([`Server::ask_files`]).
//!
//! Every request has the header [`PROTOCOL`]. What came is a stranger's: packs are checked and bounded as they are read, and the
//! files become a package by a [`flint_package::Draft`], which is where paths and links that lead out are refused. Nothing is ever
//! checked out into a folder.

mod error;
mod listing;
mod objects;
mod server;

pub use error::Error;
pub use gix_hash::ObjectId;
pub use listing::Listing;
pub use objects::Objects;
pub use server::{PROTOCOL, Revision, Server};

/// What comes after a repository's URL for the first request.
pub const ADVERTISEMENT: &str = "/info/refs?service=git-upload-pack";
/// What comes after a repository's URL for all others.
pub const SERVICE: &str = "/git-upload-pack";
