//! `flint dev`: the platform of `flint-local` with a terminal, a page and files that are watched around it.
//!
//! [`load`] turns files into what the platform serves, [`watch`] tells when they change, [`reload`] brings both together in a
//! task of its own, and [`session`] is the loop that people see: events onto the [`screen`], keys and signals into
//! [`actions`]. The [`page`] is a second pair of eyes on the same platform.

mod actions;
mod banner;
mod frame;
mod keys;
mod load;
mod page;
mod port;
mod reload;
mod screen;
mod session;
mod terminal;
mod watch;

pub use self::{
    screen::Level,
    session::{Wishes, run},
};
