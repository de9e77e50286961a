//! Sample events of the services that call functions, as those services send them.
//!
//! A sample is a file of JSON in which `{{FIELD}}` stands for a field; `{{FIELD|base64}}` and its like say how the value is
//! written there. Times and ids are always the same, so that what is made of them can be compared.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, GzBuilder};
use serde_json::Value;

use crate::error::Error;

mod catalogue;
#[cfg(test)]
mod tests;

pub use catalogue::CATALOGUE;

/// A sample event.
#[derive(Debug)]
pub struct Sample {
    /// Its name: service and occasion.
    pub name: &'static str,
    /// When it is sent.
    pub about: &'static str,
    /// What of it can be set: names, and what they are without.
    pub fields: &'static [(&'static str, &'static str)],
    template: &'static str,
}

/// A sample event with some of its fields set.
///
/// # Errors
/// When there is no such event or field, or a field takes another kind of value; says which there are.
pub fn sample(name: &str, fields: &[(String, String)]) -> Result<Value, Error> {
    find(name)?.with(fields)
}

/// The sample event of this name.
///
/// # Errors
/// When there is none.
pub fn find(name: &str) -> Result<&'static Sample, Error> {
    CATALOGUE.iter().find(|sample| sample.name == name).ok_or_else(|| {
        let names: Vec<_> = CATALOGUE.iter().map(|sample| sample.name).collect();
        let error = Error::not_found(format!("there is no sample event {name}"));
        match crate::project::closest(name, &names) {
            Some(meant) => error.try_this(format!("flint event gen {meant}")),
            None => error.try_this("flint event ls"),
        }
    })
}

// === impl Sample ===

impl Sample {
    /// The event with some of its fields set.
    ///
    /// # Errors
    /// When there is no such field, or it takes another kind of value.
    pub fn with(&self, fields: &[(String, String)]) -> Result<Value, Error> {
        if let Some((field, _)) =
            fields.iter().find(|(field, _)| !self.fields.iter().any(|(known, _)| known == field))
        {
            let known: Vec<_> = self.fields.iter().map(|(field, _)| format!("--{field}")).collect();
            return Err(Error::usage(format!("{} has no field --{field}", self.name))
                .try_this(format!("one of {}", known.join(" "))));
        }
        let event = serde_json::from_str(self.template).map_err(|error| {
            Error::platform(format!("the sample {} is no JSON", self.name)).because(error)
        })?;
        let event = self.filled(event, fields)?;
        Ok(if self.name == "cloudwatch-logs" { packed(event) } else { event })
    }

    fn value<'a>(&self, field: &str, fields: &'a [(String, String)]) -> &'a str {
        let given = fields.iter().rev().find(|(name, _)| name == field).map(|(_, value)| value.as_str());
        let default =
            || self.fields.iter().find(|(name, _)| *name == field).map_or("", |(_, default)| default);
        given.unwrap_or_else(default)
    }

    fn filled(&self, value: Value, fields: &[(String, String)]) -> Result<Value, Error> {
        Ok(match value {
            Value::String(text) => self.text(&text, fields)?,
            Value::Array(items) => Value::Array(
                items.into_iter().map(|item| self.filled(item, fields)).collect::<Result<_, _>>()?,
            ),
            Value::Object(entries) => {
                let entry = |(key, value): (String, Value)| {
                    let key = match self.text(&key, fields)? {
                        Value::String(key) => key,
                        other => other.to_string(),
                    };
                    Ok((key, self.filled(value, fields)?))
                };
                Value::Object(entries.into_iter().map(entry).collect::<Result<_, Error>>()?)
            }
            other => other,
        })
    }

    /// Text with fields in it; a field that is all of the text may be of another kind.
    fn text(&self, text: &str, fields: &[(String, String)]) -> Result<Value, Error> {
        let mut whole = String::new();
        let mut rest = text;
        while let Some((before, (inner, behind))) =
            rest.split_once("{{").and_then(|(before, rest)| Some((before, rest.split_once("}}")?)))
        {
            let (field, how) = inner.split_once('|').unwrap_or((inner, ""));
            let value = self.value(field, fields);
            if how == "json" {
                return serde_json::from_str(value).map_err(|error| {
                    Error::usage(format!("--{field} takes JSON"))
                        .because(error)
                        .try_this(format!("--{field} '{{\"a\": 1}}'"))
                });
            }
            if how == "number" {
                return value.parse::<u64>().map(Value::from).map_err(|_| {
                    Error::usage(format!("--{field} takes a whole number, and {value:?} is none"))
                });
            }
            whole.push_str(before);
            match how {
                "base64" => whole.push_str(&STANDARD.encode(value)),
                "url" => whole.push_str(&form_encoded(value)),
                _ => whole.push_str(value),
            }
            rest = behind;
        }
        whole.push_str(rest);
        Ok(Value::String(whole))
    }
}

/// CloudWatch Logs sends its data as JSON, compressed, in base64.
fn packed(mut event: Value) -> Value {
    if let Some(data) = event.pointer_mut("/awslogs/data") {
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
        // Writing to memory cannot fail.
        let _ = gzip.write_all(data.to_string().as_bytes());
        *data = STANDARD.encode(gzip.finish().unwrap_or_default()).into();
    }
    event
}

/// As S3 writes keys in its events: like a form.
fn form_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'*' => {
                encoded.push(char::from(byte))
            }
            b' ' => encoded.push('+'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
