//! Kubernetes events about an object: the same news again counts up one event instead of writing another.

use k8s_openapi::api::events::v1::Event as Stored;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::ListParams,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

/// Publishes events under one reporter. Losing one never fails the work that it speaks of.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

/// Longest note that the API server takes, in bytes.
const NOTE_LIMIT: usize = 1024;
/// Events of one object for one reason: there are more where its name is another each time.
const MOST_EVENTS: u32 = 20;

// === impl Events ===

impl Events {
    /// Reports as `controller`, from the instance (pod) named.
    #[must_use]
    pub fn new(client: Client, controller: &str, instance: &str) -> Self {
        let reporter = Reporter { controller: controller.to_owned(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Something went as it should.
    pub async fn normal<K: Resource<DynamicType = ()>>(
        &self,
        about: &K,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        self.publish(about, EventType::Normal, reason, action, note).await;
    }

    /// Something is wrong, and the note says what to do.
    pub async fn warning<K: Resource<DynamicType = ()>>(
        &self,
        about: &K,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        self.publish(about, EventType::Warning, reason, action, note).await;
    }

    async fn publish<K>(&self, about: &K, type_: EventType, reason: &str, action: &str, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            action: action.to_owned(),
            note: Some(shorten(note, NOTE_LIMIT).to_owned()),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &about.object_ref(&())).await {
            tracing::warn!(%error, reason, "an event was not written");
        }
    }
}

/// What was last said of an object for that reason, by whoever reports of it.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn last_said<K>(client: &Client, about: &K, reason: &str) -> Result<Option<String>, kube::Error>
where
    K: Resource<DynamicType = ()>,
{
    let events: Api<Stored> = match about.namespace() {
        Some(namespace) => Api::namespaced(client.clone(), &namespace),
        None => Api::default_namespaced(client.clone()),
    };
    let fields = format!("regarding.uid={},reason={reason}", about.uid().unwrap_or_default());
    let found = events.list(&ListParams::default().fields(&fields).limit(MOST_EVENTS)).await?;
    // Who reports by the older kind has its times in the older fields.
    let time = |event: &Stored| {
        let series = event.series.as_ref().map(|series| series.last_observed_time.0);
        let older = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
        series.or(older).or(event.event_time.as_ref().map(|time| time.0))
    };
    Ok(found.items.into_iter().max_by_key(time).and_then(|event| event.note))
}

/// The longest beginning of `text` that is at most `limit` bytes and ends between characters.
#[must_use]
pub fn shorten(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use flint_testing::apiserver::ApiServer;
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(shorten("aé", 2), "a");
        assert_eq!(shorten("short", 1024), "short");
    }

    #[tokio::test]
    async fn what_was_said_last_of_an_object_is_found() {
        let server = ApiServer::new();
        for (name, said, at) in
            [("a", "first", "2026-11-21T10:00:00Z"), ("b", "last", "2026-11-21T10:00:09Z")]
        {
            server.put(&serde_json::json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": said, "reason": "FailedCreate",
                "metadata": {"name": name, "namespace": "shop"}, "eventTime": null, "deprecatedLastTimestamp": at}));
        }
        let mut about = ConfigMap::default();
        (about.metadata.namespace, about.metadata.uid) = (Some("shop".into()), Some("uid-1".into()));
        let said = last_said(&server.client(), &about, "FailedCreate").await.expect("an answer");
        assert_eq!(said.as_deref(), Some("last"));
        let query = &server.requests()[0].query;
        assert!(query.contains("regarding.uid%3Duid-1%2Creason%3DFailedCreate"), "{query}");
    }

    #[tokio::test]
    async fn the_same_news_twice_counts_up_one_event() {
        let server = ApiServer::new();
        let events = Events::new(server.client(), "flint-operator", "pod-1");
        let mut about = ConfigMap::default();
        about.metadata.name = Some("code".into());
        about.metadata.namespace = Some("shop".into());
        events.warning(&about, "RevisionFailed", "Deploying", "no such image").await;
        events.warning(&about, "RevisionFailed", "Deploying", "no such image").await;
        let methods: Vec<_> = server.requests().iter().map(|request| request.method.clone()).collect();
        assert_eq!(methods, ["POST", "PATCH"]);
    }
}
