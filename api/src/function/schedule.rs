//! Times at which a function is called.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::rules::{invalid, label};

/// Times at which the function is called.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Unique within the function.
    #[schemars(length(max = 63))]
    #[x_kube(validation = label())]
    pub name: String,
    /// `rate(5 minutes)`, `cron(0 2 * * ? *)` with EventBridge's six fields, five Unix fields `0 2 * * *`, `@daily` and
    /// its like, or `at(2027-01-31T09:00:00)` for once.
    #[schemars(length(max = 256))]
    #[x_kube(
        validation = invalid(
            "self.matches('^((rate|cron|at)[(].*[)]|@[a-z]+|[^ (@]+( +[^ ]+){4})$')",
            "write rate(5 minutes), cron(0 2 * * ? *) with six fields, five Unix fields such as 0 2 * * *, @daily, \
             or at(2027-01-31T09:00:00)"
        ),
        validation = invalid(
            "!self.startsWith('rate(') || self.matches('^rate[(](1 (minute|hour|day)|([2-9]|[1-9][0-9]{1,5}) (minutes|hours|days))[)]$')",
            "write a rate as rate(1 minute), rate(5 minutes), rate(2 hours) or rate(1 day): a whole number, and the unit in \
             the singular for 1 only"
        ),
        validation = invalid(
            "!self.startsWith('cron(') || self.matches('^cron[(][^ ]+( [^ ]+){5}[)]$')",
            "write six fields in cron(…): minute hour day-of-month month day-of-week year, such as cron(0 2 * * ? *)"
        ),
        validation = invalid(
            "!self.startsWith('@') || self in ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly']",
            "write one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually"
        )
    )]
    pub cron: String,
    /// IANA name, such as Europe/Berlin. Default UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = invalid(
        "self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$')",
        "write an IANA time zone, such as Europe/Berlin or UTC"
    ))]
    pub time_zone: Option<String>,
    /// The event; by default one in EventBridge's shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::any_value")]
    pub input: Option<serde_json::Value>,
    /// false keeps the schedule without firing it. Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}
