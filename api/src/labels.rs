//! Every label, annotation, field manager and fixed name, once.

/// The Function an object belongs to.
pub const FUNCTION: &str = "flint.dev/function";
/// The revision an object belongs to.
pub const REVISION: &str = "flint.dev/revision";
/// What kind of package a ConfigMap holds; its presence marks the object as a package.
pub const PACKAGE: &str = "flint.dev/package";
/// The build that a Job, its pod and its Secret belong to.
pub const BUILD: &str = "flint.dev/build";
/// Annotation on a Function: `v1` asks for API Gateway v1.0 events.
pub const EVENT_FORMAT: &str = "flint.dev/event-format";
/// Annotation of a Function of lambda mode: its routes, such as `GET /users/{id}, POST /users`, which its events name as API Gateway's do.
pub const ROUTES: &str = "flint.dev/routes";
/// The pool that a pod waits in.
pub const POOL: &str = "flint.dev/pool";
/// The pool that an instance waited in before it was claimed.
pub const FROM_POOL: &str = "flint.dev/from-pool";
/// Annotation on a Function: `off` keeps it out of warm pools.
pub const WARM_START: &str = "flint.dev/warm-start";
/// `app.kubernetes.io/part-of`, always [`PART_OF_FLINT`].
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// The value of [`PART_OF`].
pub const PART_OF_FLINT: &str = "flint";
/// `app.kubernetes.io/managed-by`, always [`FIELD_MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// `app.kubernetes.io/name`: the Function's name.
pub const NAME: &str = "app.kubernetes.io/name";
/// `app.kubernetes.io/instance`: the revision's name.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// `app.kubernetes.io/component`: `function` on function pods, `build` on those that make packages.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The one field manager of the operator's server-side apply.
pub const FIELD_MANAGER: &str = "flint-operator";
/// Name of the container that runs the user's code.
pub const FUNCTION_CONTAINER: &str = "function";
/// Name of the watchdog's container beside a user's image.
pub const WATCHDOG_CONTAINER: &str = "watchdog";
