//! Phrases of FortiOS (log message reference, IPsec troubleshooting guide).

use super::{Dialect, Phrase};
use crate::catalogue::*;
use crate::finding::Confidence::*;

/// In the order in which they are tried: the longer ones before those they contain.
pub(super) const FORTIOS: &[Phrase] = &[
    Phrase {
        dialect: Dialect::Fortios,
        pattern: "peer SA proposal not match local policy",
        code: IKE_02,
        confidence: Likely,
        advice: false,
        sample: "logdesc=\"IPsec phase 1 error\" msg=\"IPsec phase 1 error\" action=\"negotiate\" status=\"negotiate_error\" reason=\"peer SA proposal not match local policy\"",
    },
    Phrase {
        dialect: Dialect::Fortios,
        pattern: "no SA proposal chosen",
        code: IKE_02,
        confidence: Certain,
        advice: false,
        sample: "ike 0:site:21: no SA proposal chosen",
    },
    Phrase {
        dialect: Dialect::Fortios,
        pattern: "probable pre-shared secret mismatch",
        code: IKE_04,
        confidence: Certain,
        advice: false,
        sample: "ike 0:site:21: probable pre-shared secret mismatch",
    },
    Phrase {
        dialect: Dialect::Fortios,
        pattern: "preshared key mismatch",
        code: IKE_04,
        confidence: Certain,
        advice: false,
        sample: "status=\"negotiate_error\" reason=\"probable preshared key mismatch\"",
    },
    Phrase {
        dialect: Dialect::Fortios,
        pattern: "IPsec DPD failed",
        code: IKE_10,
        confidence: Certain,
        advice: false,
        sample: "logid=\"0101037136\" logdesc=\"IPsec DPD failed\" msg=\"IPsec DPD failed\" status=\"dpd_failure\"",
    },
    Phrase {
        dialect: Dialect::Fortios,
        pattern: "IPsec phase 2 error",
        code: CHD_08,
        confidence: Likely,
        advice: false,
        sample: "logid=\"0101037125\" logdesc=\"IPsec phase 2 error\" msg=\"IPsec phase 2 error\" status=\"negotiate_error\"",
    },
    Phrase {
        dialect: Dialect::Fortios,
        pattern: "specified selectors mismatch",
        code: CHD_03,
        confidence: Certain,
        advice: false,
        sample: "ike 0:site:21:site: specified selectors mismatch",
    },
    Phrase {
        dialect: Dialect::Fortios,
        pattern: "Received ESP packet with unknown SPI",
        code: ESP_05,
        confidence: Certain,
        advice: false,
        sample: "logid=\"0101037131\" msg=\"IPsec ESP\" error_num=\"Received ESP packet with unknown SPI.\" spi=\"3c9a1f00\"",
    },
    Phrase {
        dialect: Dialect::Fortios,
        pattern: "Invalid ESP packet detected (replayed packet)",
        code: ESP_04,
        confidence: Certain,
        advice: false,
        sample: "error_num=\"Invalid ESP packet detected (replayed packet).\" spi=\"3c9a1f00\"",
    },
    Phrase {
        dialect: Dialect::Fortios,
        pattern: "Invalid ESP packet detected (HMAC validation failed)",
        code: ESP_03,
        confidence: Certain,
        advice: false,
        sample: "error_num=\"Invalid ESP packet detected (HMAC validation failed).\" spi=\"3c9a1f00\"",
    },
    Phrase {
        dialect: Dialect::Fortios,
        pattern: "negotiation timeout, deleting",
        code: IKE_08,
        confidence: Likely,
        advice: false,
        sample: "ike 0:site:21: negotiation timeout, deleting",
    },
    Phrase {
        dialect: Dialect::Fortios,
        pattern: "P1_RETRANSMIT",
        code: NET_01,
        confidence: Likely,
        advice: false,
        sample: "ike 0:site:21: sent IKE msg (P1_RETRANSMIT): 192.0.2.1:500->198.51.100.7:500",
    },
    Phrase {
        dialect: Dialect::Fortios,
        pattern: "gw validation failed",
        code: IKE_05,
        confidence: Likely,
        advice: false,
        sample: "ike 0:site:21: gw validation failed",
    },
];
