//! Real files that others wrote, where the folder with them is there: what a careful person would make of each.
//!
//! The folder is named by `UNDERPASS_SAMPLES`, or lies beside the project. Where it is not, that is said.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use crate::support::*;
use formats::import::{Here, Imported, InMemory, Input, Level, import};
use std::path::PathBuf;

/// The folder, or a word about its absence.
fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("UNDERPASS_SAMPLES").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| PathBuf::from("../../../../shared/samples"));
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no samples in {}; UNDERPASS_SAMPLES names the folder", folder.display());
    None
}

/// Imports files of the folder; the others are (path in the folder, path at which an include finds it).
fn sample(folder: &std::path::Path, files: &[&str], others: &[(&str, &str)], here: &Here) -> Imported {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let inputs: Vec<Input> = files.iter().map(|name| Input::new(*name, read(name))).collect();
    let mut sources = InMemory::default();
    for (name, path) in others {
        sources.0.insert((*path).to_owned(), read(name));
    }
    import(&inputs, &mut sources, None, here)
}

#[test]
fn look() {
    let Some(folder) = folder() else { return };
    for (files, others, here) in [
        (
            &["ipsec-conf/01-strongswan-bgp-aws-2tunnel.ipsec.conf"][..],
            &[(
                "ipsec-conf/01-strongswan-bgp-aws-2tunnel.ipsec.secrets",
                "ipsec-conf/01-strongswan-bgp-aws-2tunnel.ipsec.secrets",
            )][..],
            here(&["192.168.0.61"]),
        ),
        (
            &["ipsec-conf/02-zillow-linuxgateway.ipsec.conf", "ipsec-conf/02-zillow-linuxgateway.ipsec.secrets"],
            &[
                ("ipsec-conf/02-zillow-linuxgateway-se1.ipsec.conf", "/zillow/se1.ipsec.conf"),
                ("ipsec-conf/02-zillow-linuxgateway-se1.ipsec.secrets", "/zillow/se1.ipsec.secrets"),
            ],
            here(&["198.51.100.7"]),
        ),
        (
            &["ipsec-conf/06-chinese-comments-idc.ipsec.conf", "ipsec-conf/06-chinese-comments-idc.ipsec.secrets"],
            &[],
            here(&["10.101.0.66"]),
        ),
        (
            &["ipsec-conf/07-openswan-aws-cgw.ipsec.conf"],
            &[("ipsec-conf/07-openswan-aws-cgw-home-to-aws.conf", "/etc/ipsec.d/home-to-aws.conf")],
            here(&["10.101.0.66"]),
        ),
        (
            &["ipsec-conf/12-site-to-site.ipsec.conf", "ipsec-conf/12-site-to-site.ipsec.secrets"],
            &[],
            here(&["10.0.0.1"]),
        ),
        (
            &["ipsec-conf/18-libreswan-aws-updown-north.conf"],
            &[("ipsec-conf/18-libreswan-aws-updown-north.secrets", "ipsec-conf/18-libreswan-aws-updown-north.secrets")],
            here(&["192.1.3.33"]),
        ),
        (
            &["seeds/openswan-tunnel1.conf"],
            &[("seeds/openswan-tunnel1.secrets", "seeds/openswan-tunnel1.secrets")],
            here(&["10.0.0.4"]),
        ),
        (&["seeds/strongswan-ipsec.conf"], &[("seeds/ipsec.conf.inc", "seeds/ipsec.conf.inc")], here(&["172.50.0.10"])),
    ] {
        let imported = sample(&folder, files, others, &here);
        println!("==== {files:?}");
        for finding in &imported.findings {
            println!("{finding}");
        }
        println!("{}", imported.to_toml(formats::import::Keys::Hidden, None).config);
        println!("{}", *imported.to_toml(formats::import::Keys::Hidden, None).secrets);
        let _ = Level::Error;
    }
}
