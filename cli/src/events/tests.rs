//! Every sample as it is, and its fields.

use rstest::rstest;

use super::*;

fn set(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn every_sample_is_as_it_was() {
    for known in CATALOGUE {
        let event = sample(known.name, &[]).unwrap();
        insta::assert_snapshot!(known.name, serde_json::to_string_pretty(&event).unwrap());
    }
}

#[test]
fn every_field_changes_its_event_and_none_is_left_over() {
    for known in CATALOGUE {
        let plain = known.with(&[]).unwrap();
        assert!(!plain.to_string().contains("{{"), "{}", known.name);
        for (field, default) in known.fields {
            let other = match *field {
                "size" => "7",
                "detail" => "[7]",
                "data" if default.starts_with('{') => "[7]",
                _ => "other",
            };
            assert_ne!(known.with(&set(&[(field, other)])).unwrap(), plain, "{} --{field}", known.name);
        }
    }
}

#[rstest]
#[case("s3-put", &[("bucket", "x"), ("key", "a b/ü.txt"), ("size", "7")], "/Records/0/s3/object/key", "\"a+b/%C3%BC.txt\"")]
#[case("s3-put", &[("size", "7")], "/Records/0/s3/object/size", "7")]
#[case("s3-put", &[("bucket", "x")], "/Records/0/s3/bucket/arn", "\"arn:aws:s3:::x\"")]
#[case("kinesis", &[("data", "{}")], "/Records/0/kinesis/data", "\"e30=\"")]
#[case("kafka", &[("topic", "t")], "/records/t-0/0/topic", "\"t\"")]
#[case("eventbridge", &[("detail", r#"{"a": [1]}"#)], "/detail/a/0", "1")]
#[case("sqs", &[("body", r#"{"a": "b"}"#)], "/Records/0/body", r#""{\"a\": \"b\"}""#)]
fn fields_are_written_as_the_service_does(
    #[case] name: &str,
    #[case] fields: &[(&str, &str)],
    #[case] pointer: &str,
    #[case] value: &str,
) {
    let event = sample(name, &set(fields)).unwrap();
    assert_eq!(event.pointer(pointer).unwrap().to_string(), value);
}

#[test]
fn logs_are_compressed_json() {
    use std::io::Read as _;
    let event = sample("cloudwatch-logs", &set(&[("message", "it broke")])).unwrap();
    let data = STANDARD.decode(event["awslogs"]["data"].as_str().unwrap()).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&data[..]).read_to_string(&mut text).unwrap();
    let data: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(data["logEvents"][0]["message"], "it broke");
}

#[test]
fn what_is_not_there_says_what_is() {
    let error = sample("s3-putt", &[]).unwrap_err();
    assert_eq!((error.code(), error.remedy()), (3, Some("flint event gen s3-put")));
    let error = sample("s3-delete", &set(&[("size", "1")])).unwrap_err();
    assert_eq!((error.code(), error.remedy()), (2, Some("one of --bucket --key --region")));
    assert_eq!(sample("s3-put", &set(&[("size", "big")])).unwrap_err().code(), 2);
    assert_eq!(sample("eventbridge", &set(&[("detail", "{")])).unwrap_err().code(), 2);
}
