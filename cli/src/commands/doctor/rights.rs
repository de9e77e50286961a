//! What the user may do: the rights that each command needs, asked of the API server itself.

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, api::PostParams};

use super::Finding;
use crate::{cluster::Cluster, system};

/// A right: verb, group, resource with its subresource, and whether it is asked for in Flint's own namespace.
type Right = (&'static str, &'static str, &'static str, bool);

/// What each command needs. Those that only make an answer fuller are not among them.
const COMMANDS: [(&str, &[Right]); 8] = [
    ("ls, describe", &[("list", "flint.dev", "functions", false), ("get", "flint.dev", "functions", false)]),
    (
        "deploy, diff",
        &[
            ("get", "flint.dev", "functions", false),
            ("create", "flint.dev", "functions", false),
            ("patch", "flint.dev", "functions", false),
            ("list", "flint.dev", "functions", false),
            ("watch", "flint.dev", "functions", false),
        ],
    ),
    (
        "versions, promote, rollback",
        &[
            ("get", "flint.dev", "functions", false),
            ("patch", "flint.dev", "functions", false),
            ("list", "flint.dev", "revisions", false),
        ],
    ),
    ("remove", &[("get", "flint.dev", "functions", false), ("delete", "flint.dev", "functions", false)]),
    ("logs", &[("list", "", "pods", false), ("watch", "", "pods", false), ("get", "", "pods/log", false)]),
    (
        "secret",
        &[
            ("list", "", "secrets", false),
            ("get", "", "secrets", false),
            ("create", "", "secrets", false),
            ("patch", "", "secrets", false),
            ("delete", "", "secrets", false),
        ],
    ),
    ("metrics, top", &[("list", "", "pods", true), ("create", "", "pods/portforward", true)]),
    ("invoke without a URL", &[("list", "", "pods", true), ("create", "", "pods/portforward", true)]),
];

/// One finding for each command.
pub(super) async fn look(cluster: &Cluster, system: &str) -> Vec<Finding> {
    join_all(COMMANDS.map(|(command, rights)| async move {
        let asked = join_all(rights.iter().map(|right| may(cluster, system, right))).await;
        let mut missing = Vec::new();
        for (right, answer) in rights.iter().zip(asked) {
            match answer {
                Ok(true) => {}
                Ok(false) => missing.push(*right),
                Err(error) => return Finding::unseen(&format!("rights: {command}"), &error),
            }
        }
        judge(command, &missing, &cluster.namespace, system)
    }))
    .await
}

async fn may(cluster: &Cluster, system: &str, right: &Right) -> Result<bool, crate::error::Error> {
    let (verb, group, resource, in_system) = *right;
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource, None),
    };
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        namespace: Some(if in_system { system } else { &cluster.namespace }.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|error| crate::cluster::failure("ask for the user's rights", error))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

fn judge(command: &str, missing: &[Right], namespace: &str, system: &str) -> Finding {
    let check = format!("rights: {command}");
    if missing.is_empty() {
        return Finding::pass(&check, "you may");
    }
    let list: Vec<_> = missing
        .iter()
        .map(|(verb, group, resource, in_system)| {
            let group = if group.is_empty() { String::new() } else { format!(".{group}") };
            let place = if *in_system { system } else { namespace };
            format!("{verb} {resource}{group} in {place}")
        })
        .collect();
    let needs_gateway = missing.iter().any(|(_, _, _, in_system)| *in_system);
    let remedy = if needs_gateway && system == system::NAMESPACE {
        "ask for the right, or give the gateway's URL with --url or FLINT_URL"
    } else {
        "ask whoever runs the cluster for a Role with it"
    };
    Finding::warn(&check, format!("you may not {}", list.join(", ")), remedy)
}

#[cfg(test)]
mod tests {
    use flint_testing::apiserver::ApiServer;

    use super::{super::Verdict, *};

    #[test]
    fn a_missing_right_is_named_in_the_words_of_rbac() {
        let finding = judge("deploy", &[("patch", "flint.dev", "functions", false)], "shop", "flint-system");
        assert_eq!(finding.said, "you may not patch functions.flint.dev in shop");
        assert_eq!(finding.verdict, Verdict::Warn);
    }

    #[tokio::test]
    async fn the_api_server_is_asked_for_each_right() {
        let server = ApiServer::new();
        let cluster = Cluster { client: server.client(), namespace: "shop".into(), context: "test".into() };
        // The double grants nothing: it answers without a status.
        assert!(!may(&cluster, "flint-system", &("get", "", "pods/log", false)).await.unwrap());
        let asked = server.requests().pop().unwrap();
        let attributes = &asked.body["spec"]["resourceAttributes"];
        assert_eq!((&attributes["resource"], &attributes["subresource"]), (&"pods".into(), &"log".into()));
        assert_eq!(attributes["namespace"], "shop");
    }
}
