//! A function over the `lambda_runtime` crate, for the watchdog's tests.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    match event.payload["rawPath"].as_str() {
        Some("/error") => Err("boom".into()),
        Some("/panic") => panic!("at the handler"),
        _ => Ok(json!({"statusCode": 200, "body": event.context.request_id})),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(handle)).await
}
