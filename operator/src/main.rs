//! The operator: the only writer of Kubernetes objects.

mod changes;
mod drift;
mod control;
mod home;
mod key;
mod overlay;
mod package;
mod quantity;
mod startability;
mod scaler;
mod stores;

fn main() {}
