//! The report of an invocation: what Lambda writes after each, in one line.

use std::time::Duration;

use crate::logs::{Level, Logger, push_millis, push_number};

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
        // Not in one division: it would be of 128 bits.
        billed.as_secs().saturating_mul(1000).saturating_add(billed.subsec_nanos().div_ceil(1_000_000).into())
    }

    /// Lambda's REPORT line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = Vec::new();
        self.push_line(&mut line, b"\t");
        String::from_utf8(line).unwrap_or_default()
    }

    /// Writes it to the log, as a line and as fields.
    pub fn write(&self, logger: &Logger) {
        logger.compose(Level::Info, Some(self.request_id), |line| {
            line.push(b'"');
            // Nothing else in it has to be escaped: see `ticket::request_id`.
            self.push_line(line, b"\\t");
            line.extend_from_slice(b"\",\"durationMs\":");
            push_millis(line, self.duration);
            line.extend_from_slice(b",\"billedDurationMs\":");
            push_number(line, self.billed_ms());
            if let Some(bytes) = self.memory_size {
                line.extend_from_slice(b",\"memorySizeMB\":");
                push_number(line, bytes / MIB);
            }
            if let Some(bytes) = self.max_memory_used {
                line.extend_from_slice(b",\"maxMemoryUsedMB\":");
                push_number(line, bytes.div_ceil(MIB));
            }
            if let Some(init) = self.init {
                line.extend_from_slice(b",\"initDurationMs\":");
                push_millis(line, init);
            }
            line.extend_from_slice(b",\"status\":\"");
            line.extend_from_slice(self.status.as_str().as_bytes());
            line.push(b'"');
        });
    }

    fn push_line(&self, line: &mut Vec<u8>, tab: &[u8]) {
        line.extend_from_slice(b"REPORT RequestId: ");
        line.extend_from_slice(self.request_id.as_bytes());
        let mut field = |name: &[u8], value: &dyn Fn(&mut Vec<u8>), unit: &[u8]| {
            for part in [tab, name] {
                line.extend_from_slice(part);
            }
            value(line);
            line.extend_from_slice(unit);
        };
        field(b"Duration: ", &|line| push_millis(line, self.duration), b" ms");
        field(b"Billed Duration: ", &|line| push_number(line, self.billed_ms()), b" ms");
        if let Some(bytes) = self.memory_size {
            field(b"Memory Size: ", &|line| push_number(line, bytes / MIB), b" MB");
        }
        if let Some(bytes) = self.max_memory_used {
            field(b"Max Memory Used: ", &|line| push_number(line, bytes.div_ceil(MIB)), b" MB");
        }
        if let Some(init) = self.init {
            field(b"Init Duration: ", &|line| push_millis(line, init), b" ms");
        }
        if self.status != Status::Success {
            field(b"Status: ", &|line| line.extend_from_slice(self.status.as_str().as_bytes()), b"");
        }
    }
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
