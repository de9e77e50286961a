//! Runs at times: flint.yaml says when.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    run(service_fn(|event: LambdaEvent<Value>| async move { Ok::<_, Error>(handle(&event.payload)) })).await
}

fn handle(event: &Value) -> Value {
    let due = event["time"].as_str().unwrap_or("now");
    println!("the report of {due} is made");
    json!({"reported": due})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_the_time_that_was_due() {
        let event = json!({"time": "2027-01-31T02:00:00Z"});
        assert_eq!(handle(&event), json!({"reported": "2027-01-31T02:00:00Z"}));
    }
}
