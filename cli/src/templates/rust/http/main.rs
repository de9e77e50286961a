//! Answers requests: GET /hello?name=Ada

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    run(service_fn(|event: LambdaEvent<Value>| async move { Ok::<_, Error>(handle(&event.payload)) })).await
}

fn handle(event: &Value) -> Value {
    let name = event.pointer("/queryStringParameters/name").and_then(Value::as_str).unwrap_or("world");
    json!({"message": format!("Hello, {name}!")})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets() {
        assert_eq!(handle(&json!({})), json!({"message": "Hello, world!"}));
        let event = json!({"queryStringParameters": {"name": "Ada"}});
        assert_eq!(handle(&event), json!({"message": "Hello, Ada!"}));
    }
}
