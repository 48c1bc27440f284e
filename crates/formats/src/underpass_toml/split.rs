//! One child per pair of subnets, for peers and versions of IKE that put one pair into an SA.
//!
//! `net` with two local subnets and one remote one becomes `net-1x1` and `net-2x1`: numbers from 1, in the order of the
//! file, local x remote. Everything else is the same in each, except that routes stay with the first.

use super::child::Draft;
use super::section::shown;
use crate::diagnostic::{Report, code};
use crate::source::Place;
use ike::config::{ChildConfig, ChildName};
use ipsec::TrafficSelector;
use std::collections::BTreeMap;

/// Children of a connection at most: as many SAs as a peer usually keeps with one other.
pub(crate) const MOST_CHILDREN: usize = 256;

/// The pairs that a packet can match, by number: of one family, and not of two protocols.
fn pairs(child: &ChildConfig) -> impl Iterator<Item = ((usize, usize), &TrafficSelector, &TrafficSelector)> {
    let possible = |local: &TrafficSelector, remote: &TrafficSelector| {
        let protocols = local.protocol == remote.protocol || local.protocol == 0 || remote.protocol == 0;
        local.is_v4() == remote.is_v4() && protocols
    };
    child.local.iter().enumerate().flat_map(move |(l, local)| {
        let numbered = child.remote.iter().enumerate().map(move |(r, remote)| ((l + 1, r + 1), local, remote));
        numbered.filter(move |(_, local, remote)| possible(local, remote))
    })
}

/// How many pairs a child has.
pub(crate) fn count(child: &ChildConfig) -> usize {
    pairs(child).count()
}

/// Splits the drafts that want it. More than [`MOST_CHILDREN`], or a name that is there already, is an error.
pub(crate) fn split(drafts: Vec<Draft>, connection: &str, place: Place, report: &mut Report) -> Vec<Draft> {
    let wanted = |draft: &Draft| if draft.split { count(&draft.child).max(1) } else { 1 };
    let total = drafts.iter().map(wanted).fold(0_usize, usize::saturating_add);
    if total > MOST_CHILDREN {
        let unsplit = drafts.len();
        let message = if unsplit == total {
            format!("connection `{}` has {total} children; {MOST_CHILDREN} are possible", shown(connection))
        } else {
            format!(
                "connection `{}` would have {total} children, one per pair of subnets; {MOST_CHILDREN} are possible",
                shown(connection)
            )
        };
        let help = "merge neighbouring subnets, or make it several connections".to_owned();
        report.error(code::CONFLICT, place, message, Some(help));
        return drafts;
    }
    let children: Vec<Draft> = drafts.into_iter().flat_map(one).collect();
    collisions(&children, report);
    children
}

/// One draft per pair; itself when there is one pair or less.
fn one(draft: Draft) -> Vec<Draft> {
    if !draft.split || count(&draft.child) < 2 {
        return vec![draft];
    }
    let mut routes = Some(draft.routes);
    let name = &draft.child.name;
    pairs(&draft.child)
        .map(|((l, r), local, remote)| Draft {
            child: ChildConfig {
                name: ChildName::from(format!("{name}-{l}x{r}").as_str()),
                local: vec![local.clone()],
                remote: vec![remote.clone()],
                ..draft.child.clone()
            },
            place: draft.place,
            remote_place: draft.remote_place,
            routes: routes.take().unwrap_or_default(),
            split: false,
            origin: Some(name.clone()),
        })
        .collect()
}

/// Two children of one name, at least one of them made by splitting: names in the file are different already.
fn collisions(children: &[Draft], report: &mut Report) {
    let mut known: BTreeMap<&ChildName, &Draft> = BTreeMap::new();
    for draft in children {
        let Some(first) = known.insert(&draft.child.name, draft) else { continue };
        let (made, other) = if draft.origin.is_some() { (draft, first) } else { (first, draft) };
        let origin = made.origin.as_ref().map_or("", |origin| &*origin.0);
        let message = format!(
            "`{origin}` has several pairs of subnets and makes a child `{}` of one of them, but there is one of that name",
            made.child.name
        );
        let help = format!("give `{origin}` or the other another name; it is at {}", report.name_of(other.place));
        report.error(code::CONFLICT, made.place, message, Some(help));
    }
}
