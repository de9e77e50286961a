//! The operator: the only writer of Kubernetes objects.

mod changes;
mod key;
mod stores;

fn main() {}
