//! What is wrong with a Function, in the words of its conditions.

use std::time::Duration;

/// A problem that keeps the Function from being what its spec asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The condition that is false because of it, beside Ready.
    pub(crate) stage: Stage,
    /// CamelCase, for programs.
    pub(crate) reason: &'static str,
    /// What is wrong and what to do.
    pub(crate) message: String,
    /// Nothing is wrong yet: it is under way.
    pub(crate) waiting: bool,
    /// Look again after this time, even if nothing happens.
    pub(crate) again: Option<Duration>,
}

/// What a problem stands in the way of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Making a package from the source.
    Build,
    /// Making instances from the package.
    Deploy,
    /// Something beside the instances: they run and serve.
    Beside,
}

/// The Runtime does not exist.
pub(crate) const RUNTIME_NOT_FOUND: &str = "RuntimeNotFound";
/// The source is being fetched.
pub(crate) const FETCHING: &str = "Fetching";
/// The source does not exist: no ConfigMap of that name, nothing behind the URL.
pub(crate) const SOURCE_NOT_FOUND: &str = "SourceNotFound";
/// Nobody answers where the source should be, or not as they should.
pub(crate) const SOURCE_UNREACHABLE: &str = "SourceUnreachable";
/// The source's server wants other credentials.
pub(crate) const SOURCE_REFUSED: &str = "SourceRefused";
/// The Secret of the source cannot be read, or says nothing.
pub(crate) const CREDENTIALS_UNREADABLE: &str = "CredentialsUnreadable";
/// What was fetched is not what the spec says.
pub(crate) const DIGEST_MISMATCH: &str = "DigestMismatch";
/// What was fetched is no package.
pub(crate) const ARCHIVE_REFUSED: &str = "ArchiveRefused";
/// The package could not be stored.
pub(crate) const STORE_FAILED: &str = "StoreFailed";
/// The source cannot be packed, or asked for.
pub(crate) const SOURCE_INVALID: &str = "SourceInvalid";
/// The package is being built.
pub(crate) const BUILDING: &str = "Building";
/// The build waits for its turn.
pub(crate) const BUILD_QUEUED: &str = "BuildQueued";
/// The build failed.
pub(crate) const BUILD_FAILED: &str = "BuildFailed";
/// The source names dependencies, and its Runtime builds nothing.
pub(crate) const DEPENDENCIES_NOT_SUPPORTED: &str = "DependenciesNotSupported";
/// The image with the package is being pushed.
pub(crate) const IMAGE_PUSHING: &str = "ImagePushing";
/// The registry does not take the image.
pub(crate) const IMAGE_PUSH_FAILED: &str = "ImagePushFailed";
/// The image beneath the package cannot be read.
pub(crate) const BASE_IMAGE_UNREADABLE: &str = "BaseImageUnreadable";
/// The installation has no registry for images.
pub(crate) const IMAGES_NOT_CONFIGURED: &str = "ImagesNotConfigured";
/// The template asks for what cannot be granted.
pub(crate) const TEMPLATE_REFUSED: &str = "TemplateRefused";
/// A field of the spec that only the whole can judge.
pub(crate) const SPEC_INVALID: &str = "SpecInvalid";
/// The API server refuses an object.
pub(crate) const REFUSED: &str = "Refused";
/// Somebody else's Service has the function's name.
pub(crate) const SERVICE_CONFLICT: &str = "ServiceConflict";
/// `spec.traffic` names a revision that does not exist.
pub(crate) const REVISION_NOT_FOUND: &str = "RevisionNotFound";
/// Somebody else's Deployment has the revision's name.
pub(crate) const DEPLOYMENT_CONFLICT: &str = "DeploymentConflict";
/// A schedule that is none.
pub(crate) const SCHEDULE_INVALID: &str = "ScheduleInvalid";

// === impl Problem ===

impl Problem {
    /// No package can be made.
    pub(crate) fn build(reason: &'static str, message: impl Into<String>) -> Self {
        Self { stage: Stage::Build, reason, message: message.into(), waiting: false, again: None }
    }

    /// The package is being made.
    pub(crate) fn waiting(reason: &'static str, message: impl Into<String>) -> Self {
        Self { waiting: true, ..Self::build(reason, message) }
    }

    /// No instances can be made.
    pub(crate) fn deploy(reason: &'static str, message: impl Into<String>) -> Self {
        Self { stage: Stage::Deploy, reason, message: message.into(), waiting: false, again: None }
    }

    /// The instances serve, but something else is not as the spec asks.
    pub(crate) fn beside(reason: &'static str, message: impl Into<String>) -> Self {
        Self { stage: Stage::Beside, reason, message: message.into(), waiting: false, again: None }
    }
}
