//! The report of an invocation: what Lambda writes after each, in one line.

use std::time::Duration;

use crate::logs::{Field, Level, Logger};

/// One invocation, when it is over.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Its id.
    pub request_id: &'a str,
    /// Time at the function.
    pub duration: Duration,
    /// Time from the child's start to its readiness, on the first invocation after it.
    pub init: Option<Duration>,
    /// The memory limit, in bytes.
    pub memory_size: Option<u64>,
    /// The most memory used so far, in bytes.
    pub max_memory_used: Option<u64>,
    /// How it ended.
    pub status: Status,
}

/// How an invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The function answered.
    Success,
    /// It raised, crashed or answered nonsense.
    Error,
    /// Its deadline ended it.
    Timeout,
    /// The client went away.
    Gone,
}

const MIB: u64 = 1024 * 1024;

// === impl Report ===

impl Report<'_> {
    /// Billed time: whole milliseconds, rounded up, with the time to initialize.
    #[must_use]
    pub fn billed_ms(&self) -> u64 {
        let billed = self.duration + self.init.unwrap_or_default();
        u64::try_from(billed.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }

    /// Lambda's REPORT line.
    #[must_use]
    pub fn line(&self) -> String {
        use std::fmt::Write as _;
        let mut line = format!(
            "REPORT RequestId: {}\tDuration: {:.2} ms\tBilled Duration: {} ms",
            self.request_id,
            millis(self.duration),
            self.billed_ms()
        );
        if let Some(bytes) = self.memory_size {
            let _ = write!(line, "\tMemory Size: {} MB", bytes / MIB);
        }
        if let Some(bytes) = self.max_memory_used {
            let _ = write!(line, "\tMax Memory Used: {} MB", bytes.div_ceil(MIB));
        }
        if let Some(init) = self.init {
            let _ = write!(line, "\tInit Duration: {:.2} ms", millis(init));
        }
        if self.status != Status::Success {
            let _ = write!(line, "\tStatus: {}", self.status.as_str());
        }
        line
    }

    /// Writes it to the log, as a line and as fields.
    pub fn write(&self, logger: &Logger, line: &str) {
        let mut fields = Vec::with_capacity(6);
        fields.push(("durationMs", Field::Millis(millis(self.duration))));
        fields.push(("billedDurationMs", Field::Count(self.billed_ms())));
        if let Some(bytes) = self.memory_size {
            fields.push(("memorySizeMB", Field::Count(bytes / MIB)));
        }
        if let Some(bytes) = self.max_memory_used {
            fields.push(("maxMemoryUsedMB", Field::Count(bytes.div_ceil(MIB))));
        }
        if let Some(init) = self.init {
            fields.push(("initDurationMs", Field::Millis(millis(init))));
        }
        fields.push(("status", Field::Text(self.status.as_str())));
        logger.log(Level::Info, Some(self.request_id), line, &fields);
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

// === impl Status ===

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Gone => "gone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_lambdas() {
        let mut report = Report {
            request_id: "8f5",
            duration: Duration::from_micros(12_341),
            init: Some(Duration::from_micros(61_500)),
            memory_size: Some(128 * MIB),
            max_memory_used: Some(38 * MIB + 1),
            status: Status::Success,
        };
        assert_eq!(
            report.line(),
            "REPORT RequestId: 8f5\tDuration: 12.34 ms\tBilled Duration: 74 ms\tMemory Size: 128 MB\tMax Memory Used: 39 MB\tInit Duration: 61.50 ms"
        );
        report.init = None;
        report.status = Status::Timeout;
        assert_eq!(report.billed_ms(), 13);
        assert!(report.line().ends_with("\tStatus: timeout"));
    }

    #[test]
    fn billed_time_is_rounded_up() {
        let billed = |duration| {
            Report {
                request_id: "",
                duration,
                init: None,
                memory_size: None,
                max_memory_used: None,
                status: Status::Success,
            }
            .billed_ms()
        };
        assert_eq!(billed(Duration::from_nanos(1)), 1);
        assert_eq!(billed(Duration::from_millis(3)), 3);
        assert_eq!(billed(Duration::from_micros(3_001)), 4);
    }
}
