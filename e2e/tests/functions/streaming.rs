//! WebSocket, server-sent events, gRPC and a large upload through the gateway.

use std::time::Duration;

use bytes::Bytes;
use flint_e2e::{
    FunctionBuilder, Namespace,
    echo::{Message, echo_client::EchoClient},
    namespace::with_namespace,
};
use futures::{SinkExt, StreamExt, stream};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite;
use tonic::{metadata::MetadataValue, transport::Endpoint};

async fn echo(namespace: &Namespace) -> FunctionBuilder {
    let function = namespace.function("echo").image("flint-e2e-echo").apply().await;
    function.ok("/").await;
    function
}

#[tokio::test]
async fn server_sent_events_arrive_one_by_one() {
    with_namespace("sse", |namespace| async move {
        let function = echo(&namespace).await;
        let begin = Instant::now();
        let response = namespace.cluster.http.get(function.url("/events")).send().await.expect("an answer");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let (mut first, mut text) = (None, String::new());
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            first.get_or_insert(begin.elapsed());
            text.push_str(&String::from_utf8_lossy(&chunk.expect("a chunk")));
        }
        assert_eq!(text, (0..5).map(|number| format!("data: {number}\n\n")).collect::<String>());
        let (first, all) = (first.expect("an event"), begin.elapsed());
        assert!(
            all - first > Duration::from_millis(500),
            "the first came at {first:?}, the last at {all:?}: nothing may buffer"
        );
    })
    .await;
}

#[tokio::test]
async fn a_web_socket_talks_both_ways() {
    with_namespace("websocket", |namespace| async move {
        let function = echo(&namespace).await;
        let url = function.url("/websocket").replacen("http://", "ws://", 1);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("a WebSocket");
        for number in 0..20 {
            let message = tungstenite::Message::text(format!("message {number}"));
            socket.send(message.clone()).await.expect("a message is sent");
            assert_eq!(socket.next().await.expect("an answer").expect("a message"), message);
        }
        socket.close(None).await.expect("a goodbye");
    })
    .await;
}

#[tokio::test]
async fn grpc_streams_both_ways_and_its_trailers_arrive() {
    with_namespace("grpc", |namespace| async move {
        let function = echo(&namespace).await;
        // gRPC clients cannot put a prefix before the path: they name the function by host.
        let host = format!("http://{}.{}", function.name(), namespace.name);
        let channel = Endpoint::from_shared(namespace.cluster.url.clone())
            .expect("a URL")
            .origin(host.parse().expect("a URL"));
        let mut client = EchoClient::new(channel.connect().await.expect("a connection"));
        let message = |text: &str| Message { text: text.to_owned() };
        let answer = client.once(message("once")).await.expect("an answer").into_inner();
        assert_eq!(answer.text, "once");

        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let outgoing = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|item| (item, receiver))
        });
        let mut request = tonic::Request::new(outgoing);
        request.metadata_mut().insert("x-test", MetadataValue::from_static("yes"));
        sender.send(message("0")).await.expect("room");
        let mut answers = client.stream(request).await.expect("a stream").into_inner();
        for number in 0..10 {
            // The next message goes out only after the answer to the last: nothing may buffer in either direction.
            assert_eq!(
                answers.message().await.expect("a message").expect("not the end").text,
                number.to_string()
            );
            sender.send(message(&(number + 1).to_string())).await.expect("room");
        }
        drop(sender);
        assert_eq!(answers.message().await.expect("a message").expect("not the end").text, "10");
        assert!(answers.message().await.expect("the end").is_none());
        let status = client.fail(message("")).await.expect_err("a status");
        assert_eq!((status.code(), status.message()), (tonic::Code::FailedPrecondition, "as asked"));
    })
    .await;
}

#[tokio::test]
async fn a_hundred_megabytes_go_up() {
    with_namespace("upload", |namespace| async move {
        let function = echo(&namespace).await;
        let chunk = Bytes::from(vec![7_u8; 1024 * 1024]);
        let body = reqwest::Body::wrap_stream(stream::iter(
            (0..100).map(move |_| Ok::<_, std::io::Error>(chunk.clone())),
        ));
        let answer = namespace
            .cluster
            .http
            .post(function.url("/count"))
            .body(body)
            .timeout(Duration::from_secs(60))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.expect("a body"), (100 * 1024 * 1024).to_string());
    })
    .await;
}

#[tokio::test]
async fn a_functions_own_status_passes_unchanged() {
    with_namespace("status", |namespace| async move {
        let function = echo(&namespace).await;
        let answer = function.get("/teapot").await;
        assert_eq!((answer.status, answer.body.as_str(), answer.error), (418, "short and stout", None));
    })
    .await;
}
