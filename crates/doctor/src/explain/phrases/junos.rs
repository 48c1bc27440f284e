//! Phrases of Junos OS (system log explorer, VPN troubleshooting guides).

use super::{Dialect, Phrase};
use crate::catalogue::*;
use crate::finding::Confidence::*;

/// In the order in which they are tried: the longer ones before those they contain.
pub(super) const JUNOS: &[Phrase] = &[
    Phrase {
        dialect: Dialect::Junos,
        pattern: "IKE negotiation failed with error: No proposal chosen",
        code: IKE_02,
        confidence: Certain,
        advice: false,
        sample: "kmd[1393]: IKE negotiation failed with error: No proposal chosen. IKE Version: 1, VPN: site Gateway: gw-site, Local: 192.0.2.1/500, Remote: 198.51.100.7/500",
    },
    Phrase {
        dialect: Dialect::Junos,
        pattern: "IKE negotiation failed with error: Authentication failed",
        code: IKE_04,
        confidence: Likely,
        advice: false,
        sample: "kmd[1393]: IKE negotiation failed with error: Authentication failed. IKE Version: 2, VPN: site Gateway: gw-site",
    },
    Phrase {
        dialect: Dialect::Junos,
        pattern: "IKE negotiation failed with error: Invalid syntax",
        code: IKE_04,
        confidence: Likely,
        advice: false,
        sample: "kmd[1393]: IKE negotiation failed with error: Invalid syntax. IKE Version: 1, VPN: site Gateway: gw-site",
    },
    Phrase {
        dialect: Dialect::Junos,
        pattern: "IKE negotiation failed with error: Timed out",
        code: NET_01,
        confidence: Likely,
        advice: false,
        sample: "kmd[1393]: IKE negotiation failed with error: Timed out. IKE Version: 1, VPN: site Gateway: gw-site",
    },
    Phrase {
        dialect: Dialect::Junos,
        pattern: "negotiation failed with error: TS unacceptable",
        code: CHD_03,
        confidence: Certain,
        advice: false,
        sample: "kmd[1393]: IPSec negotiation failed with error: TS unacceptable. IKE Version: 2, VPN: site Gateway: gw-site",
    },
    Phrase {
        dialect: Dialect::Junos,
        pattern: "IPSec negotiation failed with error: No proposal chosen",
        code: CHD_01,
        confidence: Certain,
        advice: false,
        sample: "kmd[1393]: IPSec negotiation failed with error: No proposal chosen. IKE Version: 2, VPN: site Gateway: gw-site",
    },
    Phrase {
        dialect: Dialect::Junos,
        pattern: "KMD_PM_P1_POLICY_LOOKUP_FAILURE",
        code: IKE_05,
        confidence: Likely,
        advice: false,
        sample: "kmd[1393]: KMD_PM_P1_POLICY_LOOKUP_FAILURE: Policy lookup for Phase-1 [responder] failed for p1_local=ipv4(udp:500,[0..3]=192.0.2.1)",
    },
    Phrase {
        dialect: Dialect::Junos,
        pattern: "KMD_PM_P2_POLICY_LOOKUP_FAILURE",
        code: CHD_03,
        confidence: Certain,
        advice: false,
        sample: "kmd[1393]: KMD_PM_P2_POLICY_LOOKUP_FAILURE: Policy lookup for Phase-2 [responder] failed for p1_local=ipv4(udp:500,[0..3]=192.0.2.1)",
    },
];
