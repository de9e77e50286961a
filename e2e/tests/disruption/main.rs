//! Things that happen to a platform while it is used. These tests disturb the control plane and run one at a time.

mod control_plane;
mod instances;
mod many;
mod packages;
mod private_registry;
mod rollout;
mod security;
mod system;
mod upgrade;
