//! Proposals as lists, for devices that write several algorithms of a kind into one proposal.

use super::device::{Device, Words};
use super::model::prf_of;
use ike::proposal::{EspProposal, IkeProposal};

/// A proposal of IKE in the device's words.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub(super) struct IkeLists {
    ciphers: Vec<&'static str>,
    integrities: Vec<&'static str>,
    /// Empty where they follow from the integrity algorithms.
    prfs: Vec<&'static str>,
    groups: Vec<&'static str>,
}

/// A proposal of ESP in the device's words.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub(super) struct EspLists {
    ciphers: Vec<&'static str>,
    integrities: Vec<&'static str>,
    groups: Vec<&'static str>,
    esn: Vec<&'static str>,
    aead: bool,
}

fn said<T: PartialEq + Copy>(list: &[T], words: Words<T>) -> Vec<&'static str> {
    list.iter().filter_map(|one| words.iter().find(|(known, _)| known == one).map(|(_, word)| *word)).collect()
}

/// What of the proposals `device` can say.
pub(super) fn ike(proposals: &[IkeProposal], device: &Device) -> Vec<IkeLists> {
    let lists = proposals.iter().filter_map(|proposal| {
        let integrities = said(&proposal.integrities, device.ike.integrities);
        let derived: Vec<crypto::Prf> = proposal.integrities.iter().copied().map(prf_of).collect();
        let prfs = if proposal.prfs == derived { Vec::new() } else { said(&proposal.prfs, device.prfs) };
        let lists = IkeLists {
            ciphers: said(&proposal.ciphers, device.ike.ciphers),
            groups: said(&proposal.groups, device.ike.groups),
            integrities,
            prfs,
        };
        let whole = !lists.ciphers.is_empty()
            && !lists.groups.is_empty()
            && (proposal.integrities.is_empty() || !lists.integrities.is_empty())
            && (proposal.prfs == derived || !lists.prfs.is_empty());
        whole.then_some(lists)
    });
    lists.collect()
}

/// What of the proposals `device` can say.
pub(super) fn esp(proposals: &[EspProposal], device: &Device) -> Vec<EspLists> {
    let lists = proposals.iter().filter_map(|proposal| {
        let esn = proposal.esn.iter().filter(|on| !**on || device.esn).map(|on| if *on { "esn" } else { "noesn" });
        let lists = EspLists {
            ciphers: said(&proposal.ciphers, device.esp.ciphers),
            integrities: said(&proposal.integrities, device.esp.integrities),
            groups: said(&proposal.groups, device.esp.groups),
            esn: if proposal.esn == [false] { Vec::new() } else { esn.collect() },
            aead: proposal.integrities.is_empty(),
        };
        let whole = !lists.ciphers.is_empty()
            && (proposal.integrities.is_empty() || !lists.integrities.is_empty())
            && (proposal.groups.is_empty() || !lists.groups.is_empty())
            && (proposal.esn == [false] || !lists.esn.is_empty());
        whole.then_some(lists)
    });
    lists.collect()
}
