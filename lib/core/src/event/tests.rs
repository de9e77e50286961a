use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::*;

fn event(format: Format, request: http::request::Builder, body: &[u8]) -> Value {
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let time = "2020-03-12T19:03:58.390Z".parse().unwrap();
    let context = Context { request_id: "id-1", function: "thumbnail", time, route: None };
    serde_json::from_slice(&event_from_request(format, &parts, body, context).unwrap()).unwrap()
}

fn post() -> http::request::Builder {
    Request::builder()
        .method("POST")
        .uri("/my/path?parameter1=value1&parameter1=value2&parameter2=a%20b+c")
        .header("host", "thumbnail.shop.example")
        .header("header1", "value1")
        .header("header2", "value1")
        .header("header2", "value2")
        .header("cookie", "cookie1=x; cookie2=y")
        .header("user-agent", "agent")
        .header("x-forwarded-for", "192.0.2.1, 10.0.0.1")
        .header("x-flint-timeout-ms", "3000")
}

#[test]
fn a_request_becomes_the_event_of_format_2() {
    let event = event(Format::V2, post().header("content-type", "application/json"), br#"{"a":1}"#);
    assert_eq!(
        event,
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/my/path",
            "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=a%20b+c",
            "cookies": ["cookie1=x", "cookie2=y"],
            "headers": {
                "host": "thumbnail.shop.example", "header1": "value1", "header2": "value1,value2",
                "user-agent": "agent", "x-forwarded-for": "192.0.2.1, 10.0.0.1", "content-type": "application/json"
            },
            "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "a b c"},
            "requestContext": {
                "accountId": "anonymous", "apiId": "thumbnail", "domainName": "thumbnail.shop.example",
                "domainPrefix": "thumbnail",
                "http": {"method": "POST", "path": "/my/path", "protocol": "HTTP/1.1", "sourceIp": "10.0.0.1",
                         "userAgent": "agent"},
                "requestId": "id-1", "routeKey": "$default", "stage": "$default",
                "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1_584_039_838_390_i64
            },
            "body": "{\"a\":1}", "isBase64Encoded": false
        })
    );
}

#[test]
fn a_request_becomes_the_event_of_format_1_with_every_value_of_headers_and_parameters() {
    let event = event(Format::V1, post(), b"text");
    assert_eq!(event["httpMethod"], "POST");
    assert_eq!(event["path"], "/my/path");
    assert_eq!(event["resource"], "/{proxy+}");
    assert_eq!(event["pathParameters"], json!({"proxy": "my/path"}));
    assert_eq!(event["headers"]["Header2"], "value2");
    assert_eq!(event["multiValueHeaders"]["Header2"], json!(["value1", "value2"]));
    assert_eq!(event["headers"]["Cookie"], "cookie1=x; cookie2=y");
    assert!(event["headers"].get("X-Flint-Timeout-Ms").is_none());
    assert_eq!(event["queryStringParameters"], json!({"parameter1": "value2", "parameter2": "a b c"}));
    assert_eq!(event["multiValueQueryStringParameters"]["parameter1"], json!(["value1", "value2"]));
    assert_eq!(event["requestContext"]["identity"]["sourceIp"], "10.0.0.1");
    assert_eq!(event["requestContext"]["requestTimeEpoch"], 1_584_039_838_390_i64);
    assert_eq!(event["stageVariables"], Value::Null);
    assert_eq!(event["body"], "text");
}

#[test]
fn a_request_without_query_and_body_has_neither_in_its_event() {
    let v2 = event(Format::V2, Request::builder().uri("/"), b"");
    assert_eq!(v2["rawQueryString"], "");
    assert!(
        v2.get("queryStringParameters").is_none() && v2.get("body").is_none() && v2.get("cookies").is_none()
    );
    let v1 = event(Format::V1, Request::builder().uri("/"), b"");
    assert_eq!(v1["queryStringParameters"], Value::Null);
    assert_eq!(v1["pathParameters"], Value::Null);
    assert_eq!(v1["body"], Value::Null);
}

#[test]
fn a_body_is_text_only_when_its_type_says_so_and_its_bytes_agree() {
    let encoded = |content_type: Option<&str>, encoding: Option<&str>, body: &[u8]| {
        let mut request = Request::builder().uri("/");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        event(Format::V2, request, body)["isBase64Encoded"].as_bool().unwrap()
    };
    for text in ["text/plain", "application/json; charset=utf-8", "application/ld+json", "image/svg+xml"] {
        assert!(!encoded(Some(text), None, b"x"), "{text} is text");
    }
    for binary in ["image/png", "application/octet-stream", "multipart/form-data; boundary=x"] {
        assert!(encoded(Some(binary), None, b"x"), "{binary} is binary");
    }
    assert!(encoded(Some("text/plain"), None, b"\xff\xfe"));
    assert!(encoded(Some("application/json"), Some("gzip"), b"x"));
    assert!(!encoded(None, None, b"x"));
    assert!(encoded(None, None, b"\xff"));
}

#[test]
fn the_time_of_a_request_is_as_api_gateway_writes_it() {
    for (time, text) in [
        ("2020-03-12T19:03:58.123Z", "12/Mar/2020:19:03:58 +0000"),
        ("2026-11-01T00:00:09Z", "01/Nov/2026:00:00:09 +0000"),
        ("1999-12-31T23:59:59Z", "31/Dec/1999:23:59:59 +0000"),
    ] {
        assert_eq!(log_time(time.parse().unwrap()), text);
    }
}

#[test]
fn broken_escapes_in_a_query_stay_as_they_came() {
    let event = event(Format::V2, Request::builder().uri("/?a=100%&b=%zz&c=%ff&%64=1&&e"), b"");
    let parameters = &event["queryStringParameters"];
    assert_eq!(parameters["a"], "100%");
    assert_eq!(parameters["b"], "%zz");
    assert_eq!(parameters["c"], "\u{fffd}");
    assert_eq!(parameters["d"], "1");
    assert_eq!(parameters["e"], "");
}

fn reply(payload: &'static str) -> Result<Reply, Malformed> {
    response_from_payload(Bytes::from_static(payload.as_bytes()))
}

#[test]
fn an_object_with_a_status_code_is_a_response() {
    let reply = reply(
        r#"{"statusCode": 201, "headers": {"X-One": "1", "x-number": 7, "Connection": "close", "x-flint-error": "no"},
            "multiValueHeaders": {"x-several": ["a", "b"]}, "cookies": ["a=1", "b=2; Path=/"], "body": "made"}"#,
    )
    .unwrap();
    assert_eq!(reply.status, 201);
    assert_eq!(reply.headers["x-one"], "1");
    assert_eq!(reply.headers["x-number"], "7");
    assert_eq!(reply.headers.get_all("x-several").iter().count(), 2);
    assert_eq!(reply.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(reply.headers["content-type"], "application/json");
    assert!(!reply.headers.contains_key("connection") && !reply.headers.contains_key("x-flint-error"));
    assert_eq!(reply.body, "made");
}

#[test]
fn any_other_json_is_the_body_of_a_200() {
    for payload in [r#""Hello, world!""#, r#"{"message": "hi"}"#, "[1,2]", "null", "7"] {
        let reply = reply(payload).unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(reply.headers["content-type"], "application/json");
        assert_eq!(reply.body, payload);
    }
}

#[test]
fn an_answer_without_a_status_code_passes_byte_for_byte_however_deep_it_is() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for payload in [r#" {"a": {"statusCode": 404}, "b": "\u00e4"} "#, r#"{"\u0073tatus": 1}"#, "1e400", &deep]
    {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let reply = response_from_payload(payload.clone()).unwrap();
        assert_eq!((reply.status.as_u16(), reply.body), (200, payload));
    }
    let escaped = Bytes::from_static(br#"{"status\u0043ode": 204}"#);
    assert_eq!(response_from_payload(escaped).unwrap().status, 204);
    for nonsense in [&b"{\"a\": \"\xff\"}"[..], b"{} {}", b"{\"a\":}", b"{1: 2}", b""] {
        assert!(matches!(response_from_payload(Bytes::from_static(nonsense)), Err(Malformed::Json(_))));
    }
}

#[test]
fn a_base64_body_is_decoded() {
    let reply = reply(
        r#"{"statusCode":"200","headers":{"content-type":"image/png"},"isBase64Encoded":true,"body":"AAEC"}"#,
    );
    assert_eq!(reply.unwrap().body, Bytes::from_static(&[0, 1, 2]));
}

#[test]
fn nonsense_is_refused_with_what_to_write_instead() {
    let refused = [
        ("<html>", "not JSON"),
        ("", "not JSON"),
        (r#"{"statusCode": "abc"}"#, "between 200 and 599"),
        (r#"{"statusCode": 99}"#, "between 200 and 599"),
        (r#"{"statusCode": 101}"#, "between 200 and 599"),
        (r#"{"statusCode": null}"#, "between 200 and 599"),
        (r#"{"statusCode": 200, "body": {"a": 1}}"#, "must be a string (found an object)"),
        (r#"{"statusCode": 200, "isBase64Encoded": true, "body": "%%%"}"#, "not base64"),
        (r#"{"statusCode": 200, "headers": {"bad name": "x"}}"#, "cannot be sent"),
        (r#"{"statusCode": 200, "headers": {"x": "line\nbreak"}}"#, "cannot be sent"),
        (r#"{"statusCode": 200, "headers": ["x"]}"#, "is no response"),
    ];
    for (payload, message) in refused {
        let error = reply(payload).unwrap_err().to_string();
        assert!(error.contains(message), "{payload}: {error}");
    }
}

#[test]
fn a_prelude_is_the_head_of_a_streamed_response() {
    let (status, headers) =
        head_from_prelude(br#"{"statusCode":404,"headers":{"x":"y"},"cookies":["a=1"]}"#).unwrap();
    assert_eq!(status, 404);
    assert_eq!(headers["x"], "y");
    assert_eq!(headers["set-cookie"], "a=1");
    assert_eq!(head_from_prelude(b"{}").unwrap().0, 200);
    assert!(head_from_prelude(b"[]").is_err());
}

#[test]
fn a_route_names_itself_and_its_parameters_in_both_formats() {
    let request = || {
        Request::builder()
            .uri("/users/a%20b/files/c/d?x=1")
            .header("x-flint-route", "GET /users/{id}/files/{path+}")
    };
    let parameters = json!({"id": "a b", "path": "c/d"});
    let second = event(Format::V2, request(), b"");
    assert_eq!(second["routeKey"], "GET /users/{id}/files/{path+}");
    assert_eq!(second["requestContext"]["routeKey"], second["routeKey"]);
    assert_eq!(second["rawPath"], "/users/a%20b/files/c/d");
    assert_eq!(second["pathParameters"], parameters);
    let first = event(Format::V1, request(), b"");
    assert_eq!(first["resource"], "/users/{id}/files/{path+}");
    assert_eq!(first["requestContext"]["resourcePath"], first["resource"]);
    assert_eq!(first["path"], "/users/a%20b/files/c/d");
    assert_eq!(first["pathParameters"], parameters);
}
