//! Asks every gateway for its numbers, through the API server, with the user's own rights.

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};

use super::{Counted, Reading, numbers};
use crate::{
    cluster::{Cluster, failure},
    error::Error,
    output::Output,
    system,
};

/// The gateways' admin port.
const PORT: u16 = 8081;

/// Where the gateways are.
pub struct Gateways {
    cluster: Cluster,
    namespace: String,
}

// === impl Gateways ===

impl Gateways {
    /// Finds the namespace that they are in.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn find(cluster: Cluster) -> Result<Self, Error> {
        let namespace = system::namespace(&cluster, &[]).await?;
        Ok(Self { cluster, namespace })
    }

    /// What they count now. One that does not answer is left out, and said.
    ///
    /// # Errors
    /// When there is none, none answers, or the user may not ask.
    pub async fn read(&self, output: &Output) -> Result<Reading, Error> {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let selector = ListParams::default().labels(system::GATEWAY_SELECTOR);
        let pods = pods
            .list(&selector)
            .await
            .map_err(|error| failure(&format!("list the gateways in {}", self.namespace), error))?;
        let ready: Vec<_> = pods.items.iter().filter(|pod| system::is_ready(pod)).collect();
        if ready.is_empty() {
            return Err(Error::platform(format!("no gateway is ready in {}", self.namespace))
                .try_this("`flint doctor` says why"));
        }
        let answers = join_all(ready.iter().map(|pod| self.ask(pod))).await;
        let mut reading = Reading::default();
        let mut failed = None;
        for (pod, answer) in ready.iter().zip(answers) {
            match answer {
                Ok(text) => {
                    let counted = Counted { since: started(pod), functions: numbers::read(&text) };
                    reading.gateways.insert(pod.name_any(), counted);
                }
                Err(error) => {
                    if failed.is_none() {
                        output.warn(&format!("{} is left out: {error}", pod.name_any()));
                    }
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if reading.gateways.is_empty() => {
                Err(failure("read the gateways' metrics (get pods/proxy)", error))
            }
            _ => Ok(reading),
        }
    }

    async fn ask(&self, pod: &Pod) -> kube::Result<String> {
        let path =
            format!("/api/v1/namespaces/{}/pods/{}:{PORT}/proxy/metrics", self.namespace, pod.name_any());
        let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        self.cluster.client.request_text(request).await
    }
}

/// When the pod's container started, and with it the counting.
fn started(pod: &Pod) -> Option<jiff::Timestamp> {
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    Some(container.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use flint_testing::apiserver::ApiServer;
    use http::{Request, Response};
    use kube::{Client, client::Body};
    use serde_json::json;

    use super::*;
    use crate::{args::Global, error::PLATFORM};

    /// Two gateways, one of which does not answer.
    fn gateways(ready: &str) -> Gateways {
        let objects = ApiServer::new();
        for name in ["gateway-a", "gateway-b"] {
            objects.put(&json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "flint-system", "labels": {
                    "app.kubernetes.io/name": "flint", "app.kubernetes.io/component": "gateway",
                }},
                "status": {"conditions": [{"type": "Ready", "status": ready}], "containerStatuses": [
                    {"name": "gateway", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                     "state": {"running": {"startedAt": "2026-11-21T14:00:00Z"}}},
                ]},
            }));
        }
        let client = objects.client();
        let service = tower::service_fn(move |request: Request<Body>| {
            let client = client.clone();
            async move {
                let path = request.uri().path().to_owned();
                if path.ends_with("/pods/gateway-a:8081/proxy/metrics") {
                    let text =
                        "flint_gateway_requests_total{namespace=\"shop\",function=\"cart\",code=\"2xx\"} 7\n";
                    return Ok::<_, Infallible>(Response::new(Body::from(text.as_bytes().to_vec())));
                }
                if path.ends_with("/metrics") {
                    let status = json!({"kind": "Status", "status": "Failure", "code": 503, "message": "no route", "reason": ""});
                    let body = Body::from(status.to_string().into_bytes());
                    return Ok(Response::builder().status(503).body(body).unwrap());
                }
                Ok(client.send(request).await.unwrap())
            }
        });
        let client = Client::new(service, "default");
        let cluster = Cluster { client, namespace: "default".to_owned(), context: "test".to_owned() };
        Gateways { cluster, namespace: "flint-system".to_owned() }
    }

    #[tokio::test]
    async fn a_gateway_that_does_not_answer_is_left_out() {
        let reading = gateways("True").read(&Output::new(&Global::default())).await.unwrap();
        assert_eq!(reading.gateways.keys().collect::<Vec<_>>(), ["gateway-a"]);
        let counted = &reading.gateways["gateway-a"];
        assert_eq!(counted.since.unwrap().to_string(), "2026-11-21T14:00:00Z");
        assert_eq!(counted.functions[&("shop".to_owned(), "cart".to_owned())].requests(), 7.0);
    }

    #[tokio::test]
    async fn without_a_gateway_it_is_said_what_to_do() {
        let error = gateways("False").read(&Output::new(&Global::default())).await.unwrap_err();
        assert_eq!(error.code(), PLATFORM);
        assert!(error.remedy().unwrap().contains("flint doctor"));
    }
}
