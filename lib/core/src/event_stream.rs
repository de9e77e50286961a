//! `application/vnd.amazon.eventstream`, as Lambda's InvokeWithResponseStream answers: a frame for each piece of the answer, and one
//! that says how it ended.
//!
//! A frame is its length, the length of its fields, a CRC of the two, the fields, the payload, and a CRC of all of it; numbers are
//! big-endian. <https://smithy.io/2.0/aws/amazon-eventstream.html>

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value};

/// The answer's media type.
pub const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// How an invocation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// `Handled` or `Unhandled`, as `X-Amz-Function-Error` of an answer in one piece.
    pub code: &'a str,
    /// The error as JSON text, as the body of an answer in one piece.
    pub details: &'a str,
}

/// A string, among the types of a field.
const STRING: u8 = 7;
/// The two lengths and their CRC.
const PRELUDE: usize = 12;

/// A piece of the answer.
#[must_use]
pub fn chunk(payload: &[u8]) -> Bytes {
    frame("PayloadChunk", "application/octet-stream", payload)
}

/// The end of the answer: how it failed, if it did, and the end of the log in base64, if anybody asked for it.
#[must_use]
pub fn complete(failure: Option<Failure<'_>>, log: Option<&str>) -> Bytes {
    let mut fields = Map::new();
    if let Some(Failure { code, details }) = failure {
        fields.insert("ErrorCode".to_owned(), code.into());
        fields.insert("ErrorDetails".to_owned(), details.into());
    }
    if let Some(log) = log {
        fields.insert("LogResult".to_owned(), log.into());
    }
    frame("InvokeComplete", "application/json", Value::Object(fields).to_string().as_bytes())
}

fn frame(event: &str, content_type: &str, payload: &[u8]) -> Bytes {
    let mut fields = BytesMut::with_capacity(96);
    for (name, value) in [(":event-type", event), (":content-type", content_type), (":message-type", "event")]
    {
        // All of them are short.
        fields.put_u8(u8::try_from(name.len()).unwrap_or_default());
        fields.put_slice(name.as_bytes());
        fields.put_u8(STRING);
        fields.put_u16(u16::try_from(value.len()).unwrap_or_default());
        fields.put_slice(value.as_bytes());
    }
    let length = PRELUDE + fields.len() + payload.len() + 4;
    let mut frame = BytesMut::with_capacity(length);
    frame.put_u32(saturated(length));
    frame.put_u32(saturated(fields.len()));
    frame.put_u32(crc32fast::hash(&frame));
    frame.put_slice(&fields);
    frame.put_slice(payload);
    frame.put_u32(crc32fast::hash(&frame));
    frame.freeze()
}

/// What a payload may have (6 MiB) is far below.
fn saturated(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a frame back: its fields and its payload.
    fn read(frame: &[u8]) -> (Vec<(String, String)>, Vec<u8>) {
        let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        let (length, fields) = (number(0) as usize, number(4) as usize);
        assert_eq!(length, frame.len());
        assert_eq!(number(8), crc32fast::hash(&frame[..8]));
        assert_eq!(number(length - 4), crc32fast::hash(&frame[..length - 4]));
        let mut rest = &frame[PRELUDE..PRELUDE + fields];
        let mut found = Vec::new();
        while let Some((&length, tail)) = rest.split_first() {
            let (name, tail) = tail.split_at(length.into());
            assert_eq!(tail[0], STRING);
            let length = u16::from_be_bytes([tail[1], tail[2]]);
            let (value, tail) = tail[3..].split_at(length.into());
            found.push((
                String::from_utf8(name.to_vec()).unwrap(),
                String::from_utf8(value.to_vec()).unwrap(),
            ));
            rest = tail;
        }
        (found, frame[PRELUDE + fields..length - 4].to_vec())
    }

    #[test]
    fn a_piece_is_an_event_with_its_bytes_as_they_are() {
        let (fields, payload) = read(&chunk(&[0, 255, 10]));
        let expected = [
            (":event-type", "PayloadChunk"),
            (":content-type", "application/octet-stream"),
            (":message-type", "event"),
        ];
        assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(payload, [0, 255, 10]);
    }

    #[test]
    fn the_end_says_what_failed_and_nothing_that_is_not_so() {
        let payload = |frame: &[u8]| String::from_utf8(read(frame).1).unwrap();
        assert_eq!(payload(&complete(None, None)), "{}");
        let failure = Failure { code: "Unhandled", details: r#"{"errorType":"KeyError"}"# };
        assert_eq!(
            payload(&complete(Some(failure), Some("TE9H"))),
            r#"{"ErrorCode":"Unhandled","ErrorDetails":"{\"errorType\":\"KeyError\"}","LogResult":"TE9H"}"#
        );
    }

    #[test]
    fn the_published_vector_of_a_frame_has_these_checksums() {
        // `empty_message` of the encoding's own test suite: no fields, no payload.
        let empty = [0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(crc32fast::hash(&empty[..8]).to_be_bytes(), empty[8..12]);
        assert_eq!(crc32fast::hash(&empty[..12]).to_be_bytes(), empty[12..]);
    }
}
