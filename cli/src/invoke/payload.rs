//! What is sent to a function.

use std::{fs::File, io::Read, path::Path};

use crate::{error::Error, text};

/// Lambda's Invoke takes no more, and the gateway refuses it.
pub const LIMIT: usize = 6 * 1024 * 1024;

/// JSON as it was typed.
///
/// # Errors
/// When it is no JSON: a forgotten quote is found here sooner than in the function.
pub fn typed(text: &str) -> Result<Vec<u8>, Error> {
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        return Err(Error::usage("what -d says is no JSON")
            .because(error)
            .try_this("quote it for the shell: -d '{\"key\": \"value\"}'; what is no JSON goes by -f FILE"));
    }
    Ok(text.as_bytes().to_vec())
}

/// What a file holds, as it is.
///
/// # Errors
/// When it cannot be read, or is larger than `limit`.
pub fn file(path: &Path, limit: Option<usize>) -> Result<Vec<u8>, Error> {
    let unreadable = |error| Error::usage(format!("{} cannot be read", path.display())).because(error);
    read(File::open(path).map_err(unreadable)?, limit)?.map_err(unreadable)
}

/// What comes on standard input, as it is.
///
/// # Errors
/// When it cannot be read, or is larger than `limit`.
pub fn stdin(limit: Option<usize>) -> Result<Vec<u8>, Error> {
    let unreadable = |error| Error::usage("standard input cannot be read").because(error);
    read(std::io::stdin().lock(), limit)?.map_err(unreadable)
}

/// No more than a byte above the limit is read.
fn read(from: impl Read, limit: Option<usize>) -> Result<std::io::Result<Vec<u8>>, Error> {
    let most = limit.map_or(u64::MAX, |limit| limit as u64 + 1);
    let mut bytes = Vec::new();
    let read = from.take(most).read_to_end(&mut bytes);
    if limit.is_some_and(|limit| bytes.len() > limit) {
        return Err(too_large());
    }
    Ok(read.map(|_| bytes))
}

fn too_large() -> Error {
    let limit = text::size(i64::try_from(LIMIT).unwrap_or(i64::MAX));
    Error::usage(format!("the payload is larger than {limit}, and Lambda's Invoke takes no more"))
        .try_this("put it where the function can fetch it, or send it to an http function: --http POST /PATH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_goes_as_it_is() {
        assert_eq!(typed("{ \"a\":1 }").unwrap(), b"{ \"a\":1 }");
        assert_eq!(typed("\"text\"").unwrap(), b"\"text\"");
    }

    #[test]
    fn what_is_no_json_is_found_before_it_is_sent() {
        let error = typed("{a: 1}").unwrap_err();
        assert_eq!(error.code(), crate::error::USAGE);
        assert!(error.remedy().unwrap().contains("-f FILE"));
    }

    #[test]
    fn a_payload_above_the_limit_is_refused_and_not_read_to_its_end() {
        let error = read(std::io::repeat(b'x'), Some(LIMIT)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the payload is larger than 6.0 MiB, and Lambda's Invoke takes no more"
        );
        let most = read(std::io::repeat(b'x').take(LIMIT as u64), Some(LIMIT)).unwrap().unwrap();
        assert_eq!(most.len(), LIMIT);
    }

    #[test]
    fn files_are_sent_whatever_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event");
        std::fs::write(&path, [0xff, 0x00]).unwrap();
        assert_eq!(file(&path, None).unwrap(), [0xff, 0x00]);
        let missing = file(&folder.path().join("missing"), None).unwrap_err();
        assert!(missing.to_string().ends_with("missing cannot be read"), "{missing}");
    }
}
