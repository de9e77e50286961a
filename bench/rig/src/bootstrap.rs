//! A function for the whole path in lambda mode: the least that the Lambda Runtime API wants of one, over one kept connection.

use anyhow::Context;

use crate::wire::Wire;

const ANSWER: &str = r#"{"message":"hello from the other side of the watchdog"}"#;

/// Answers invocations until the watchdog ends it.
pub(crate) fn run() -> anyhow::Result<()> {
    let host = std::env::var("AWS_LAMBDA_RUNTIME_API").context("AWS_LAMBDA_RUNTIME_API is not set")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut wire = Wire::connect(host.parse()?).await?;
        let next = format!("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {host}\r\n\r\n");
        loop {
            wire.call(next.as_bytes()).await?;
            let id = id_of(wire.received()).context("an invocation without an id")?;
            let answer = format!(
                "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{ANSWER}",
                ANSWER.len()
            );
            wire.call(answer.as_bytes()).await?;
        }
    })
}

fn id_of(answer: &[u8]) -> Option<String> {
    let head = answer.split(|byte| *byte == b'\n').map_while(|line| str::from_utf8(line).ok());
    head.filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("lambda-runtime-aws-request-id"))
        .map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_among_the_fields() {
        let answer =
            b"HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: 8476a536\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(id_of(answer).as_deref(), Some("8476a536"));
        assert_eq!(id_of(b"HTTP/1.1 202 Accepted\r\n\r\n"), None);
    }
}
