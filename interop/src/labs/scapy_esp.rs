//! scapy as an independent implementation of ESP.

use crate::registry::Lab;

pub(super) const LABS: &[Lab] = &[];
