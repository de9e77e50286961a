//! The sample events there are.

use super::Sample;

const REGION: (&str, &str) = ("region", "eu-central-1");
const METHOD: (&str, &str) = ("method", "GET");
const PATH: (&str, &str) = ("path", "/hello");
const BODY: (&str, &str) = ("body", "");
const HOST: (&str, &str) = ("host", "api.example.com");

/// All of them, by name.
pub const CATALOGUE: &[Sample] = &[
    Sample {
        name: "alb",
        about: "a request through an Application Load Balancer",
        fields: &[METHOD, PATH, BODY, ("host", "shop.example.com"), REGION],
        template: include_str!("alb.json"),
    },
    Sample {
        name: "apigw-v1",
        about: "a request through an API Gateway REST API (payload 1.0)",
        fields: &[METHOD, PATH, BODY, HOST, ("stage", "prod")],
        template: include_str!("apigw-v1.json"),
    },
    Sample {
        name: "apigw-v2",
        about: "a request through an API Gateway HTTP API or a Function URL (payload 2.0)",
        fields: &[METHOD, PATH, BODY, HOST],
        template: include_str!("apigw-v2.json"),
    },
    Sample {
        name: "cloudevent",
        about: "a CloudEvent 1.0, as JSON",
        fields: &[
            ("type", "com.example.order.placed"),
            ("source", "/shop/orders"),
            ("data", r#"{"order": 1017}"#),
        ],
        template: include_str!("cloudevent.json"),
    },
    Sample {
        name: "cloudwatch-alarm",
        about: "an alarm of CloudWatch changes its state",
        fields: &[("alarm", "too-many-errors"), ("state", "ALARM"), REGION],
        template: include_str!("cloudwatch-alarm.json"),
    },
    Sample {
        name: "cloudwatch-logs",
        about: "lines of a log group, compressed",
        fields: &[
            ("message", "[ERROR] it did not work"),
            ("group", "/aws/lambda/thumbnail"),
            ("stream", "2027/01/31/[$LATEST]0a1b2c3d4e5f"),
        ],
        template: include_str!("cloudwatch-logs.json"),
    },
    Sample {
        name: "cognito-post-confirmation",
        about: "a user of a Cognito pool is confirmed",
        fields: &[("user", "ada"), ("email", "ada@example.com"), ("pool", "eu-central-1_Example12"), REGION],
        template: include_str!("cognito-post-confirmation.json"),
    },
    Sample {
        name: "cognito-pre-signup",
        about: "a user signs up at a Cognito pool",
        fields: &[("user", "ada"), ("email", "ada@example.com"), ("pool", "eu-central-1_Example12"), REGION],
        template: include_str!("cognito-pre-signup.json"),
    },
    Sample {
        name: "dynamodb-insert",
        about: "an item is put into a DynamoDB table",
        fields: &[("table", "orders"), ("id", "1017"), ("note", "after"), REGION],
        template: include_str!("dynamodb-insert.json"),
    },
    Sample {
        name: "dynamodb-modify",
        about: "an item of a DynamoDB table changes",
        fields: &[("table", "orders"), ("id", "1017"), ("note", "after"), REGION],
        template: include_str!("dynamodb-modify.json"),
    },
    Sample {
        name: "dynamodb-remove",
        about: "an item is taken out of a DynamoDB table",
        fields: &[("table", "orders"), ("id", "1017"), ("note", "after"), REGION],
        template: include_str!("dynamodb-remove.json"),
    },
    Sample {
        name: "eventbridge",
        about: "an event of an EventBridge bus",
        fields: &[
            ("source", "com.example.shop"),
            ("detail-type", "Order Placed"),
            ("detail", r#"{"order": 1017}"#),
            REGION,
        ],
        template: include_str!("eventbridge.json"),
    },
    Sample {
        name: "firehose",
        about: "records of a Firehose stream, to be transformed",
        fields: &[("data", "hello"), ("stream", "clicks"), REGION],
        template: include_str!("firehose.json"),
    },
    Sample {
        name: "kafka",
        about: "records of a Kafka topic",
        fields: &[("topic", "orders"), ("key", "1017"), ("value", r#"{"order": 1017}"#), REGION],
        template: include_str!("kafka.json"),
    },
    Sample {
        name: "kinesis",
        about: "records of a Kinesis stream",
        fields: &[("data", "hello"), ("key", "1"), ("stream", "clicks"), REGION],
        template: include_str!("kinesis.json"),
    },
    Sample {
        name: "rabbitmq",
        about: "messages of a RabbitMQ queue",
        fields: &[("data", r#"{"order": 1017}"#), ("queue", "orders"), REGION],
        template: include_str!("rabbitmq.json"),
    },
    Sample {
        name: "s3-delete",
        about: "an object is deleted from a bucket",
        fields: &[("bucket", "uploads"), ("key", "images/cat.jpg"), REGION],
        template: include_str!("s3-delete.json"),
    },
    Sample {
        name: "s3-put",
        about: "an object is put into a bucket",
        fields: &[("bucket", "uploads"), ("key", "images/cat.jpg"), ("size", "1024"), REGION],
        template: include_str!("s3-put.json"),
    },
    Sample {
        name: "schedule",
        about: "a schedule fires: what Flint sends where a schedule has no input",
        fields: &[
            ("name", "nightly"),
            ("function", "report"),
            ("namespace", "default"),
            ("time", "2027-01-31T02:00:00Z"),
        ],
        template: include_str!("schedule.json"),
    },
    Sample {
        name: "ses",
        about: "a mail arrives at SES",
        fields: &[("from", "ada@example.com"), ("to", "shop@example.org"), ("subject", "Hello"), REGION],
        template: include_str!("ses.json"),
    },
    Sample {
        name: "sns",
        about: "a message is published to an SNS topic",
        fields: &[("message", "hello"), ("subject", "Greeting"), ("topic", "greetings"), REGION],
        template: include_str!("sns.json"),
    },
    Sample {
        name: "sqs",
        about: "messages of an SQS queue",
        fields: &[("body", "hello"), ("queue", "orders"), REGION],
        template: include_str!("sqs.json"),
    },
    Sample {
        name: "websocket",
        about: "a message through an API Gateway WebSocket API",
        fields: &[("body", "hello"), ("route", "$default"), ("connection", "JKJaXfRAvHcCIvA="), HOST],
        template: include_str!("websocket.json"),
    },
];
