//! Takes objects that were put into a bucket: flint event gen s3-put shows such an event.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    run(service_fn(|event: LambdaEvent<Value>| async move { Ok::<_, Error>(handle(&event.payload)) })).await
}

fn handle(event: &Value) -> Value {
    let records = event["Records"].as_array().into_iter().flatten();
    let keys: Vec<_> = records.filter_map(|record| record.pointer("/s3/object/key")?.as_str()).collect();
    for key in &keys {
        println!("{key} has arrived");
    }
    json!({"keys": keys})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_object() {
        let event = json!({"Records": [{"s3": {"object": {"key": "a.jpg"}}}]});
        assert_eq!(handle(&event), json!({"keys": ["a.jpg"]}));
        assert_eq!(handle(&json!({})), json!({"keys": []}));
    }
}
