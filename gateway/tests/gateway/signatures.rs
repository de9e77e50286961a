//! Lambda's Invoke where the gateway knows access keys: who may call, and what the others hear.

use std::sync::Arc;

use flint_api::Mode;
use flint_gateway::{app::Config, credentials::Credentials, function::Seen};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{Timestamp, ToSpan};
use sha2::{Digest, Sha256};

use crate::support::{Answer, Running, ask, config, function, get, mirror};

const PATH: &str = "/2015-03-31/functions/hello/invocations";
const BODY: &str = "{\"a\":1}";
const KEYS: &str = "[ci]\naws_access_key_id = AKIA1\naws_secret_access_key = s3cret\n";

/// A request as a client of AWS's signs it.
struct Signed {
    path: &'static str,
    key_id: &'static str,
    secret: &'static str,
    time: Timestamp,
    body: &'static str,
}

impl Signed {
    fn good() -> Self {
        Self { path: PATH, key_id: "AKIA1", secret: "s3cret", time: Timestamp::now(), body: BODY }
    }

    fn text(&self) -> String {
        let time = self.time.strftime("%Y%m%dT%H%M%SZ").to_string();
        let scope = format!("{}/eu-west-1/lambda/aws4_request", &time[..8]);
        let digest = hex::encode(Sha256::digest(BODY));
        let canonical = format!(
            "POST\n{}\n\nhost:gateway.example.com\nx-amz-date:{time}\n\nhost;x-amz-date\n{digest}",
            self.path
        );
        let to_sign =
            format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
        let mac = |key: &[u8], text: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        };
        let key =
            scope.split('/').fold(format!("AWS4{}", self.secret).into_bytes(), |key, part| mac(&key, part));
        let signature = hex::encode(mac(&key, &to_sign));
        format!(
            "POST {} HTTP/1.1\r\nhost: gateway.example.com\r\nx-amz-date: {time}\r\ncontent-length: {}\r\nauthorization: \
             AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}\r\n\r\n{}",
            self.path,
            self.body.len(),
            self.key_id,
            self.body
        )
    }
}

async fn gateway() -> (Running, flint_testing::upstream::Upstream) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    std::fs::write(&file, KEYS).unwrap();
    let mut config: Config = config();
    config.settings.credentials = Some(Arc::new(Credentials::read(&file).unwrap()));
    let mirror = mirror().await;
    let lambda = Seen { mode: Mode::Lambda, ..function("hello") };
    (Running::start_as(config).await.knowing(lambda, &[mirror.address()]).await, mirror)
}

fn denied(answer: &Answer, name: &str) {
    assert_eq!((answer.status, answer.header("x-flint-error")), (403, Some("forbidden")), "{}", answer.body);
    assert_eq!(answer.header("x-amzn-errortype"), Some(name.to_ascii_lowercase().as_str()));
    let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    assert!(!answer.body.contains("s3cret"));
}

#[tokio::test]
async fn a_good_signature_lets_the_payload_through_whole() {
    let (gateway, _mirror) = gateway().await;
    let answer = gateway.ask(&Signed::good().text()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.ends_with(BODY), "{}", answer.body);
}

#[tokio::test]
async fn a_bad_one_is_told_as_lambda_tells_it_and_reaches_nobody() {
    let (gateway, _mirror) = gateway().await;
    let other = |change: fn(&mut Signed)| {
        let mut signed = Signed::good();
        change(&mut signed);
        signed.text()
    };
    for (request, name) in [
        (other(|signed| signed.secret = "guessed"), "InvalidSignatureException"),
        (other(|signed| signed.body = "{\"a\":2}"), "InvalidSignatureException"),
        (other(|signed| signed.time -= 6.minutes()), "InvalidSignatureException"),
        (other(|signed| signed.key_id = "AKIA2"), "UnrecognizedClientException"),
        // What is not there is not told to those who may not ask.
        (
            other(|signed| {
                (signed.path, signed.secret) = ("/2015-03-31/functions/nobody/invocations", "guessed")
            }),
            "InvalidSignatureException",
        ),
        (crate::support::post(PATH, "", BODY), "MissingAuthenticationTokenException"),
        (crate::support::post(PATH, "authorization: Bearer abc\r\n", BODY), "IncompleteSignatureException"),
        (
            crate::support::post(PATH, "x-amz-invocation-type: DryRun\r\n", BODY),
            "MissingAuthenticationTokenException",
        ),
    ] {
        denied(&gateway.ask(&request).await, name);
    }
    let unknown = Signed { path: "/2015-03-31/functions/nobody/invocations", ..Signed::good() };
    assert_eq!(gateway.ask(&unknown.text()).await.status, 404, "who may ask hears that it is not there");
    let metrics = ask(gateway.admin, &get("/metrics")).await.body;
    assert!(!metrics.contains("function=\"hello\",code="), "nothing of it reached the function: {metrics}");
}

#[tokio::test]
async fn other_addresses_need_no_signature() {
    let (gateway, _mirror) = gateway().await;
    assert_eq!(gateway.get("/function/hello").await.status, 200);
    assert_eq!(gateway.ask(&get("/")).await.status, 404);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_before_it_is_read() {
    let (gateway, _mirror) = gateway().await;
    let request = Signed::good().text().replace("content-length: 7", "content-length: 2000");
    let answer = gateway.ask(&request).await;
    assert_eq!((answer.status, answer.header("x-amzn-errortype")), (413, Some("requesttoolargeexception")));
}
