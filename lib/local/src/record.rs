//! Every request that the gateway answered, as an event.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flint_gateway::{access::Line, record};

use crate::{Caller, Event, Invocation, Recorded, tell::Teller};

/// Tells of requests.
pub(crate) struct Recorder(pub(crate) Arc<Teller>);

impl record::Recorder for Recorder {
    fn record(&self, line: &Line<'_>, recording: record::Recording) {
        let record::Recording { request, body, answer, answer_body } = recording;
        let complete = body.is_some();
        let answer_complete = line.bytes_out == answer_body.len() as u64;
        self.0.tell(Event::Invocation(Box::new(Invocation {
            request_id: line.request_id.to_owned(),
            caller: line.client.map_or(Caller::Schedule, |address| Caller::Client(address.to_canonical())),
            function: line.function.map(|function| function.seen.key.clone()),
            instance: line.instance.map(str::to_owned),
            method: line.method.to_string(),
            target: line.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            status: line.status.as_u16(),
            code: line.code.map(str::to_owned),
            duration: Duration::from_micros(line.duration),
            queued: Duration::from_micros(line.queued),
            cold: line.cold,
            attempts: line.attempts,
            bytes_in: line.bytes_in,
            bytes_out: line.bytes_out,
            request: Some(Recorded { headers: request, body: body.unwrap_or_default(), complete }),
            answer: answer.map(|headers| Recorded {
                headers,
                body: kept(answer_body),
                complete: answer_complete,
            }),
        })));
    }
}

/// Without the room that a buffer grew for.
fn kept(body: Bytes) -> Bytes {
    Bytes::copy_from_slice(&body)
}
