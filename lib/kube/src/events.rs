//! Kubernetes events about an object: the same news again counts up one event instead of writing another.

use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

/// Publishes events under one reporter. Losing one never fails the work that it speaks of.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

/// Longest note that the API server takes, in bytes.
const NOTE_LIMIT: usize = 1024;

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
