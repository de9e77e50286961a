//! Functions that are the same but for their names, so that one can be started while the others are on their way to zero.

use std::time::Duration;

use anyhow::{Context, bail};
use flint_api::Function;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, PostParams},
};
use tokio::{task::JoinSet, time::Instant};

/// A function and its copies.
pub(crate) struct Copies {
    api: Api<Function>,
    /// The function that was copied first.
    names: Vec<String>,
}

/// How often readiness is asked for.
const LOOK: Duration = Duration::from_millis(200);

// === impl Copies ===

impl Copies {
    /// Makes copies until there are `count` in all, and waits until each has been ready once.
    pub(crate) async fn make(
        client: &Client,
        namespace: &str,
        name: &str,
        count: usize,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let api: Api<Function> = Api::namespaced(client.clone(), namespace);
        let original = api.get(name).await.with_context(|| format!("{name} is not there"))?;
        let names: Vec<String> = std::iter::once(name.to_owned())
            .chain((2..=count).map(|number| format!("{name}-{number}")))
            .collect();
        let copies = Self { api, names };
        for name in &copies.names[1..] {
            let mut copy = Function::new(name, original.spec.clone());
            copy.metadata.annotations = original.metadata.annotations.clone();
            copy.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
            match copies.api.create(&PostParams::default(), &copy).await {
                // Of a run that was cut off.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                made => {
                    made.with_context(|| format!("{name} cannot be made"))?;
                }
            }
        }
        let mut waits = JoinSet::new();
        for name in copies.names.clone() {
            waits.spawn(ready(copies.api.clone(), name, patience));
        }
        while let Some(waited) = waits.join_next().await {
            waited??;
        }
        Ok(copies)
    }

    /// Their names.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Removes the copies, not the function.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        for name in &self.names[1..] {
            self.api.delete(name, &DeleteParams::default()).await?;
        }
        Ok(())
    }
}

async fn ready(api: Api<Function>, name: String, patience: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let function = api.get(&name).await?;
        let conditions = function.status.map(|status| status.conditions).unwrap_or_default();
        if conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True") {
            return Ok(());
        }
        if start.elapsed() > patience {
            bail!("{name} is not ready after {patience:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
}
