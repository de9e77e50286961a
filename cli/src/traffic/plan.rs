//! What `spec.traffic` is to be for a wish, and whether the status shows it. Pure.

use flint_api::{Function, FunctionStatus, RevisionRef, TrafficStatus, TrafficTarget};
use kube::ResourceExt;

use crate::{
    callable::{condition, is_current},
    error::Error,
};

/// What a user wants a version to get.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wish {
    /// Which version.
    pub version: RevisionRef,
    /// Percent of the requests; none leaves the shares as they are.
    pub weight: Option<u32>,
    /// A name that is to be this version's alone.
    pub alias: Option<String>,
}

/// How far the cluster is with what was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// On its way.
    Going,
    /// It is in effect.
    Done,
    /// A version that is to get requests cannot start, or is not there: the message of the condition.
    Stuck(String),
    /// Somebody has asked for something else since.
    Overtaken,
}

/// What the function asks for, every weight written out; where it asks for nothing, all to the latest.
#[must_use]
pub fn asked(function: &Function) -> Vec<TrafficTarget> {
    let targets = &function.spec.traffic;
    if targets.is_empty() {
        return vec![TrafficTarget { weight: Some(100), ..TrafficTarget::default() }];
    }
    let written =
        |target: &TrafficTarget| TrafficTarget { weight: Some(target.weight(targets)), ..target.clone() };
    targets.iter().map(written).collect()
}

/// What the function is to ask for. The other versions share the rest as they shared before; names stay where they are, but for the
/// one that was wished for.
///
/// # Errors
/// When there is no such version, or nobody who could get the rest.
pub fn wanted(function: &Function, wish: &Wish) -> Result<Vec<TrafficTarget>, Error> {
    let name = function.name_any();
    exists(function, wish.version)?;
    let mut targets = asked(function);
    if let Some(alias) = &wish.alias {
        for target in targets.iter_mut().filter(|target| target.alias.as_ref() == Some(alias)) {
            target.alias = None;
        }
    }
    if let Some(weight) = wish.weight {
        let is_other = |target: &TrafficTarget| target.revision != wish.version;
        let others: u32 =
            targets.iter().filter(|target| is_other(target)).filter_map(|target| target.weight).sum();
        if weight < 100 && others == 0 {
            let rest = 100 - weight;
            return Err(Error::usage(format!("nobody would get the other {rest}% of {name}'s requests"))
                .try_this("give another version what this one is to lose: its number, and --weight"));
        }
        share(&mut targets, is_other, others, 100 - weight);
        let mut own = Some(weight);
        for target in targets.iter_mut().filter(|target| !is_other(target)) {
            target.weight = Some(own.take().unwrap_or_default());
        }
        if let Some(weight) = own {
            let target =
                TrafficTarget { revision: wish.version, weight: Some(weight), ..TrafficTarget::default() };
            targets.insert(0, target);
        }
    }
    if let Some(alias) = &wish.alias {
        name_it(&mut targets, wish.version, alias);
    }
    targets.retain(|target| target.weight != Some(0) || target.alias.is_some());
    Ok(targets)
}

/// Divides `all` percent among the others as they shared `before`; what rounding leaves goes to the largest rests.
fn share(targets: &mut [TrafficTarget], is_other: impl Fn(&TrafficTarget) -> bool, before: u32, all: u32) {
    let mut rests = Vec::new();
    let mut given = 0;
    for (index, target) in targets.iter_mut().enumerate().filter(|(_, target)| is_other(target)) {
        let exact = target.weight.unwrap_or_default() * all;
        let whole = exact.checked_div(before).unwrap_or_default();
        rests.push((exact.checked_rem(before).unwrap_or_default(), index));
        target.weight = Some(whole);
        given += whole;
    }
    rests.sort_by_key(|(rest, index)| (std::cmp::Reverse(*rest), *index));
    for (_, index) in rests.into_iter().filter(|(rest, _)| *rest > 0) {
        if given < all {
            targets[index].weight = targets[index].weight.map(|weight| weight + 1);
            given += 1;
        }
    }
}

/// Gives the version the name: beside its share where that has none yet, else in an entry without a share.
fn name_it(targets: &mut Vec<TrafficTarget>, version: RevisionRef, alias: &str) {
    let alias = Some(alias.to_owned());
    match targets.iter_mut().find(|target| target.revision == version && target.alias.is_none()) {
        Some(target) => target.alias = alias,
        None => targets.push(TrafficTarget { revision: version, weight: Some(0), alias }),
    }
}

fn exists(function: &Function, version: RevisionRef) -> Result<(), Error> {
    let RevisionRef::Number(number) = version else { return Ok(()) };
    let known = function.status.as_ref().map(|status| status.versions.as_slice()).unwrap_or_default();
    if known.iter().any(|known| known.number == number) {
        return Ok(());
    }
    let name = function.name_any();
    let numbers: Vec<_> = known.iter().map(|known| known.number.to_string()).collect();
    let there = if numbers.is_empty() { "none yet".to_owned() } else { numbers.join(", ") };
    Err(Error::not_found(format!("{name} has no version {number}"))
        .because(format!("there are: {there}"))
        .try_this(format!("`flint versions {name}` lists them; older ones are not kept")))
}

/// The version to go back to: the newest before the newest that gets requests, of those that were ready once.
///
/// # Errors
/// When there is none.
pub fn before(function: &Function, ready: impl Fn(&str) -> bool) -> Result<u32, Error> {
    let name = function.name_any();
    let status = function.status.clone().unwrap_or_default();
    let newest = status.traffic.iter().filter(|share| share.weight > 0).map(|share| share.number).max();
    let newest = newest.ok_or_else(|| {
        Error::usage(format!("no version of {name} gets requests yet"))
            .try_this(format!("`flint describe {name}` tells why"))
    })?;
    let earlier =
        status.versions.iter().filter(|version| version.number < newest && ready(&version.revision));
    earlier.map(|version| version.number).max().ok_or_else(|| {
        Error::not_found(format!("there is nothing before version {newest} of {name} to go back to"))
            .because("no earlier version is kept that was ready once")
            .try_this(format!("`flint versions {name}` lists them all; give one by its number"))
    })
}

/// How far the cluster is. `generation` is that of the change.
#[must_use]
pub fn standing(function: &Function, wanted: &[TrafficTarget], generation: i64) -> Standing {
    if asked(function) != wanted {
        return Standing::Overtaken;
    }
    let status = function.status.clone().unwrap_or_default();
    if status.observed_generation.unwrap_or_default() < generation {
        return Standing::Going;
    }
    if in_effect(&status.traffic, wanted) {
        // Until the latest has an instance, another version stands in for it, under its name.
        let stood_in =
            wanted.iter().any(|target| target.revision == RevisionRef::Latest && target.weight != Some(0))
                && !status.traffic.iter().any(|share| share.canary)
                && condition(function, "Deployed").is_some_and(|deployed| deployed.status == "Unknown");
        return if stood_in { Standing::Going } else { Standing::Done };
    }
    let deployed = condition(function, "Deployed").filter(|deployed| deployed.status == "False");
    let stuck = deployed.filter(|deployed| {
        let names = |name: &str| deployed.message.contains(&format!("({name})"));
        deployed.reason == "RevisionNotFound" || involved(&status, wanted).any(names)
    });
    match stuck {
        Some(deployed) if is_current(function) => Standing::Stuck(deployed.message.clone()),
        _ => Standing::Going,
    }
}

/// The Revisions that are to get requests.
fn involved<'a>(status: &'a FunctionStatus, wanted: &'a [TrafficTarget]) -> impl Iterator<Item = &'a str> {
    let has_share = |number: u32| {
        let wants = |target: &TrafficTarget| target.revision == RevisionRef::Number(number);
        wanted.iter().any(|target| wants(target) && target.weight != Some(0))
    };
    let versions = status.versions.iter().filter(move |version| has_share(version.number));
    versions.map(|version| version.revision.as_str())
}

/// Whether the shares are those that are wanted, one by one. A new version on trial has a part of what `latest` is to have.
fn in_effect(shares: &[TrafficStatus], wanted: &[TrafficTarget]) -> bool {
    let mut shares = shares.iter().peekable();
    for target in wanted {
        let Some(share) = shares.next() else { return false };
        let mut weight = share.weight;
        while let Some(trial) = shares.next_if(|share| share.canary) {
            weight += trial.weight;
        }
        let is_it = match target.revision {
            RevisionRef::Latest => share.latest,
            RevisionRef::Number(number) => share.number == number && !share.latest,
        };
        if !is_it || share.alias != target.alias || Some(weight) != target.weight {
            return false;
        }
    }
    shares.next().is_none()
}

#[cfg(test)]
mod tests;
