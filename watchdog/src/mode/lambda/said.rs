//! What a request's headers say to this mode, found by one look over them.

use flint_core::event::Format;
use flint_core::wire;
use http::{HeaderMap, HeaderValue};

use super::outcome::Kind;

/// The fields that matter here.
#[derive(Default)]
pub(super) struct Said<'a> {
    pub(super) client_context: Option<&'a HeaderValue>,
    pub(super) log_type: Option<&'a HeaderValue>,
    invoke: Option<&'a HeaderValue>,
    event_format: Option<&'a HeaderValue>,
    amazons_trace: Option<&'a HeaderValue>,
    traceparent: Option<&'a HeaderValue>,
}

// === impl Said ===

impl<'a> Said<'a> {
    pub(super) fn look(headers: &'a HeaderMap) -> Self {
        let mut said = Self::default();
        for (name, value) in headers {
            let field = match name.as_str() {
                wire::INVOKE_HEADER => &mut said.invoke,
                wire::EVENT_FORMAT_HEADER => &mut said.event_format,
                "x-amz-client-context" => &mut said.client_context,
                "x-amz-log-type" => &mut said.log_type,
                "x-amzn-trace-id" => &mut said.amazons_trace,
                "traceparent" => &mut said.traceparent,
                _ => continue,
            };
            // The first of several.
            field.get_or_insert(value);
        }
        said
    }

    /// What the request is.
    pub(super) fn kind(&self) -> Kind {
        match self.invoke.map(HeaderValue::as_bytes) {
            Some(b"raw") => Kind::Raw,
            Some(b"stream") => Kind::Stream,
            _ if self.event_format.is_some_and(|value| value == "v1") => Kind::Http(Format::V1),
            _ => Kind::Http(Format::V2),
        }
    }

    /// X-Ray's form of the trace: as it came, or made of the `traceparent`.
    pub(super) fn trace(&self) -> Option<HeaderValue> {
        if let Some(given) = self.amazons_trace.filter(|value| value.to_str().is_ok()) {
            return Some(given.clone());
        }
        let mut fields = self.traceparent?.to_str().ok()?.split('-');
        let (_, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let (epoch, rest) = trace.split_at_checked(8)?;
        let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        let sampled = if sampled { "1" } else { "0" };
        HeaderValue::try_from(
            ["Root=1-", epoch, "-", rest, ";Parent=", parent, ";Sampled=", sampled].concat(),
        )
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(fields: &[(&'static str, &str)], check: impl FnOnce(Said<'_>)) {
        let headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        check(Said::look(&headers));
    }

    #[test]
    fn a_traceparent_becomes_an_x_ray_trace() {
        let traceparent = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        said(&[], |said| assert_eq!(said.trace(), None));
        said(&[traceparent], |said| {
            let trace = said.trace().unwrap();
            assert_eq!(trace, "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1");
        });
        said(&[traceparent, ("x-amzn-trace-id", "Root=1-5e1b4151-0;Sampled=0")], |said| {
            assert_eq!(said.trace().unwrap(), "Root=1-5e1b4151-0;Sampled=0");
        });
    }

    #[test]
    fn nonsense_in_a_traceparent_is_no_trace() {
        said(&[("traceparent", "00-0af")], |said| assert_eq!(said.trace(), None));
    }

    #[test]
    fn a_request_is_an_http_request_unless_it_says_otherwise() {
        let kind = |fields: &[(&'static str, &str)], kind| said(fields, |said| assert_eq!(said.kind(), kind));
        kind(&[], Kind::Http(Format::V2));
        kind(&[("x-flint-event-format", "v1")], Kind::Http(Format::V1));
        kind(&[("x-flint-invoke", "raw"), ("x-flint-event-format", "v1")], Kind::Raw);
        kind(&[("x-flint-invoke", "stream")], Kind::Stream);
        kind(&[("x-flint-invoke", "else")], Kind::Http(Format::V2));
    }
}
