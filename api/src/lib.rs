//! The kinds: the types of `flint.dev/v1alpha1`, their validation, labels and defaults; no client, no runtime.

pub mod crds;
pub mod duration;
pub mod effective;
pub mod function;
pub mod labels;
pub mod quantity;
pub mod reference;
pub mod revision;
mod rules;
pub mod runtime;
mod schema;

pub use crds::all_crds;
pub use duration::Duration;
pub use effective::Effective;
pub use function::{
    Archive, BuildOutput, BuildSettings, Canary, CanaryPhase, CanaryStatus, Condition, Function,
    FunctionSpec, FunctionStatus, Git, Mount, NameRef, Oci, PackageStatus, RevisionRef, Scaling,
    ScalingMetric, Schedule, ScheduleStatus, Source, SourceStatus, Sticky, Template, TemplateMetadata,
    TrafficStatus, TrafficTarget, VersionStatus,
};
pub use revision::{Revision, RevisionPackage, RevisionSpec, RevisionStatus};
pub use runtime::{Build, Mode, Pool, Runtime, RuntimeSpec};

/// The API group of every kind.
pub const GROUP: &str = "flint.dev";
/// The served and stored version.
pub const VERSION: &str = "v1alpha1";
