//! The reason of an end, where Kubernetes shows it: the pod's status.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

/// Kubernetes keeps 4096 bytes of a termination message; this leaves room for the other fields.
const MESSAGE: usize = 2048;
/// Frames of a stack that are worth showing in a status.
const FRAMES: usize = 10;
const FRAME: usize = 120;

/// What went wrong for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Lambda's type: `Runtime.ImportModuleError`.
    pub error_type: String,
    /// What happened.
    pub error_message: String,
    /// Where, the innermost frames.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stack_trace: Vec<String>,
}

// === impl Failure ===

impl Failure {
    /// A failure without a stack.
    #[must_use]
    pub fn new(error_type: &str, message: impl Into<String>) -> Self {
        Self { error_type: error_type.to_owned(), error_message: message.into(), stack_trace: Vec::new() }
    }

    /// Reads what a runtime posted: `errorType`, `errorMessage`, and `stackTrace` or `trace`. A body that is none of it
    /// becomes the message.
    #[must_use]
    pub fn from_runtime(body: &[u8], header_type: Option<&str>) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let text = |name| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let error_type = text("errorType").or(header_type).unwrap_or("Runtime.Unknown");
        let error_message = match text("errorMessage") {
            Some(message) => message.to_owned(),
            None if value.is_object() => String::new(),
            None => String::from_utf8_lossy(body).into_owned(),
        };
        let frames = value.get("stackTrace").or_else(|| value.get("trace")).and_then(Value::as_array);
        let stack_trace = frames.into_iter().flatten().filter_map(|frame| match frame {
            Value::String(text) => Some(text.trim_end().to_owned()),
            Value::Null => None,
            other => Some(other.to_string()),
        });
        Self { error_type: error_type.to_owned(), error_message, stack_trace: stack_trace.collect() }
    }

    /// One line: `TYPE: MESSAGE`.
    #[must_use]
    pub fn line(&self) -> String {
        if self.error_message.is_empty() {
            self.error_type.clone()
        } else {
            format!("{}: {}", self.error_type, self.error_message)
        }
    }

    /// The short form, which fits into a pod's status.
    #[must_use]
    pub fn shortened(&self) -> Self {
        let frames = &self.stack_trace[self.stack_trace.len().saturating_sub(FRAMES)..];
        Self {
            error_type: cut(&self.error_type, FRAME),
            error_message: cut(&self.error_message, MESSAGE),
            stack_trace: frames.iter().map(|frame| cut(frame, FRAME)).collect(),
        }
    }

    /// Writes the short form where Kubernetes looks for it. Without such a place (a laptop) there is nothing to write.
    ///
    /// # Errors
    /// When the file is there and cannot be written.
    pub fn write_to(&self, path: &Path) -> io::Result<()> {
        if !path.parent().is_some_and(Path::is_dir) {
            return Ok(());
        }
        let text = serde_json::to_vec(&self.shortened()).map_err(io::Error::other)?;
        std::fs::write(path, text)
    }
}

fn cut(text: &str, length: usize) -> String {
    if text.len() <= length {
        return text.to_owned();
    }
    let mut end = length - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_runtime_posts_is_read_in_all_its_forms() {
        let python = br#"{"errorMessage":"No module named 'x'","errorType":"Runtime.ImportModuleError","stackTrace":["a\n","b"]}"#;
        let failure = Failure::from_runtime(python, None);
        assert_eq!(failure.line(), "Runtime.ImportModuleError: No module named 'x'");
        assert_eq!(failure.stack_trace, ["a", "b"]);
        let go = br#"{"errorMessage":"boom","errorType":"errorString","stackTrace":[{"path":"main.go","line":7,"label":"main"}]}"#;
        assert_eq!(Failure::from_runtime(go, None).stack_trace.len(), 1);
        assert_eq!(Failure::from_runtime(b"plain", Some("Runtime.X")).line(), "Runtime.X: plain");
        assert_eq!(Failure::from_runtime(b"{}", None).line(), "Runtime.Unknown");
    }

    #[test]
    fn the_short_form_fits_into_a_pods_status() {
        let failure = Failure {
            error_type: "E".repeat(9999),
            error_message: "\u{20ac}".repeat(9999),
            stack_trace: vec!["frame".repeat(999); 999],
        };
        let text = serde_json::to_vec(&failure.shortened()).unwrap();
        assert!(text.len() < 4096, "{}", text.len());
    }

    #[test]
    fn without_a_place_to_write_to_nothing_is_written() {
        assert!(Failure::new("T", "m").write_to(Path::new("/no/such/folder/log")).is_ok());
    }
}
