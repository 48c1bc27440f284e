//! What the labs share: the configurations of two sites with one connection `site` and one child `net`, and a couple of
//! gateways, ours and a strongSwan, with what must hold between them.

use std::time::Duration;

use crate::error::{LabError, ensure};
use crate::process::wait_for;
use crate::registry::{LabContext, Need};
use crate::strongswan::{CharonOptions, StrongSwan, SwanChild, SwanChildSa, SwanConnection};
use crate::topology::{Internet, Sites, address};
use crate::traffic::{Stream, echo};
use crate::underpass::{Underpass, gateway_section};
use crate::world::NetNs;

/// What a lab with our gateway and a strongSwan needs.
pub(super) const COUPLE: &[Need] = &[Need::Root, Need::Tun, Need::Nftables, Need::StrongSwan, Need::Underpass];
/// The name of the connection at both ends.
pub(super) const SITE: &str = "site";
/// The name of the child at both ends.
pub(super) const NET: &str = "net";
/// How long an exchange, retransmissions included, may take.
pub(super) const SOON: Duration = Duration::from_secs(15);
/// Packets a second of the streams.
pub(super) const RATE: u32 = 1000;
/// The pre-shared key of every lab.
pub(super) const PSK: &str = "a key for the lab only, 0123456789";
/// What both ends offer and accept for IKE unless a lab says otherwise.
const IKE_PROPOSAL: &str = "aes128gcm16-prfsha256-x25519";
/// What both ends offer and accept for ESP unless a lab says otherwise.
const ESP_PROPOSAL: &str = "aes128gcm16";

/// A strongSwan as gateway 2 with gateway 1 as its peer.
pub(super) fn swan_at_g2() -> SwanConnection {
    SwanConnection {
        name: SITE.to_owned(),
        version: 2,
        aggressive: false,
        local_address: address::G2.to_string(),
        remote_address: address::G1.to_string(),
        local_id: "g2.test".to_owned(),
        remote_id: "g1.test".to_owned(),
        psk: PSK.to_owned(),
        proposals: IKE_PROPOSAL.to_owned(),
        dpd_seconds: 0,
        rekey_seconds: 0,
        fragmentation: "yes".to_owned(),
        extra: Vec::new(),
        children: vec![swan_child(address::NET2, address::NET1)],
    }
}

/// A strongSwan as gateway 1 with gateway 2 as its peer.
pub(super) fn swan_at_g1() -> SwanConnection {
    SwanConnection {
        local_address: address::G1.to_string(),
        remote_address: address::G2.to_string(),
        local_id: "g1.test".to_owned(),
        remote_id: "g2.test".to_owned(),
        children: vec![swan_child(address::NET1, address::NET2)],
        ..swan_at_g2()
    }
}

/// The child `net`.
fn swan_child(local: &str, remote: &str) -> SwanChild {
    SwanChild {
        name: NET.to_owned(),
        local_ts: local.to_owned(),
        remote_ts: remote.to_owned(),
        esp_proposals: ESP_PROPOSAL.to_owned(),
        rekey_seconds: 0,
        extra: Vec::new(),
    }
}

/// Our gateway's configuration, as far as labs differ in it.
#[derive(Debug, Clone)]
pub(super) struct Ours {
    /// Own address and identity.
    pub(super) local: [String; 2],
    /// The same of the peer.
    pub(super) remote: [String; 2],
    /// `start` of the child: `on-load`, `on-demand` or `passive`.
    pub(super) start: &'static str,
    /// IKE proposals.
    pub(super) ike: Vec<&'static str>,
    /// ESP proposals.
    pub(super) esp: Vec<&'static str>,
    /// Local selectors instead of the site's network.
    pub(super) local_subnets: Vec<String>,
    /// Remote selectors instead of the other site's network.
    pub(super) remote_subnets: Vec<String>,
    /// The key.
    pub(super) psk: &'static str,
    /// `dpd_interval_seconds`.
    pub(super) dpd_seconds: u32,
    /// Further lines of the connection.
    pub(super) connection: Vec<String>,
    /// Further lines of the child.
    pub(super) child: Vec<String>,
}

impl Ours {
    /// Gateway 1, initiating.
    pub(super) fn at_g1() -> Self {
        let owned = |texts: [&str; 2]| texts.map(str::to_owned);
        Self {
            local: owned([&address::G1.to_string(), "g1.test"]),
            remote: owned([&address::G2.to_string(), "g2.test"]),
            start: "on-load",
            ike: vec![IKE_PROPOSAL],
            esp: vec![ESP_PROPOSAL],
            local_subnets: vec![address::NET1.to_owned()],
            remote_subnets: vec![address::NET2.to_owned()],
            psk: PSK,
            dpd_seconds: 0,
            connection: Vec::new(),
            child: Vec::new(),
        }
    }

    /// Gateway 2, waiting.
    pub(super) fn at_g2() -> Self {
        let g1 = Self::at_g1();
        Self {
            local: g1.remote,
            remote: g1.local,
            start: "passive",
            local_subnets: g1.remote_subnets,
            remote_subnets: g1.local_subnets,
            ..Self::at_g1()
        }
    }

    /// The same, waiting for the peer.
    pub(super) fn passive(mut self) -> Self {
        self.start = "passive";
        self
    }

    /// The same, with another local address.
    pub(super) fn with_local_address(mut self, address: std::net::Ipv4Addr) -> Self {
        self.local[0] = address.to_string();
        self
    }

    pub(super) fn configuration(&self) -> String {
        let list = |items: &mut dyn Iterator<Item = &str>| {
            let quoted: Vec<_> = items.map(|item| format!("\"{item}\"")).collect();
            format!("[{}]", quoted.join(", "))
        };
        let texts = |items: &[String]| list(&mut items.iter().map(String::as_str));
        let mut lines = vec![
            gateway_section().to_owned(),
            format!("[connection.{SITE}]"),
            format!("local_address = \"{}\"", self.local[0]),
            format!("remote_address = \"{}\"", self.remote[0]),
            format!("local_id = \"{}\"", self.local[1]),
            format!("remote_id = \"{}\"", self.remote[1]),
            format!("ike_proposals = {}", list(&mut self.ike.iter().copied())),
            format!("dpd_interval_seconds = {}", self.dpd_seconds),
        ];
        lines.extend(self.connection.iter().cloned());
        lines.extend([
            format!("[connection.{SITE}.child.{NET}]"),
            format!("local_subnets = {}", texts(&self.local_subnets)),
            format!("remote_subnets = {}", texts(&self.remote_subnets)),
            format!("esp_proposals = {}", list(&mut self.esp.iter().copied())),
            format!("start = \"{}\"", self.start),
        ]);
        lines.extend(self.child.iter().cloned());
        lines.push(String::new());
        lines.join("\n")
    }

    pub(super) fn secrets(&self) -> String {
        format!("[psk]\n{SITE} = \"{}\"\n", self.psk)
    }

    /// Starts it in `namespace`.
    pub(super) fn start(&self, lab: &LabContext, namespace: &NetNs) -> Result<Underpass, LabError> {
        lab.underpass(namespace, "ours", &self.configuration(), &self.secrets())
    }
}

/// Our gateway and a strongSwan, each at the edge of its site, watched for plaintext.
#[derive(Debug)]
pub(super) struct Couple {
    pub(super) sites: Sites,
    /// Where the strongSwan runs.
    pub(super) swan_in: NetNs,
    pub(super) ours: Underpass,
    pub(super) swan: StrongSwan,
}

impl Couple {
    /// Ours as gateway 1, strongSwan as gateway 2, one cable between them. strongSwan runs first.
    pub(super) fn start(lab: &mut LabContext, ours: &Ours, swan: &SwanConnection) -> Result<Self, LabError> {
        Self::start_with(lab, Internet::Direct, ours, swan, &CharonOptions::default())
    }

    /// As [`Couple::start`], with this between the sites and these options of charon.
    pub(super) fn start_with(
        lab: &mut LabContext,
        internet: Internet,
        ours: &Ours,
        swan: &SwanConnection,
        options: &CharonOptions,
    ) -> Result<Self, LabError> {
        let sites = lab.sites(internet)?;
        sites.watch_for_plaintext()?;
        let (ours_in, swan_in) =
            if ours.local[1] == "g1.test" { (&sites.g1, &sites.g2) } else { (&sites.g2, &sites.g1) };
        let swan = lab.strongswan(swan_in, "strongswan", swan, options)?;
        let ours = ours.start(lab, ours_in)?;
        let swan_in = swan_in.clone();
        Ok(Self { sites, swan_in, ours, swan })
    }

    /// The usual couple with a tunnel that our end brought up.
    pub(super) fn connected(lab: &mut LabContext) -> Result<Self, LabError> {
        let couple = Self::start(lab, &Ours::at_g1(), &swan_at_g2())?;
        couple.ours.wait_up(SITE, 1, SOON)?;
        Ok(couple)
    }

    /// Both ends have one tunnel, and echoes pass both ways. Returns the child as strongSwan lists it.
    pub(super) fn ensure_works(&self) -> Result<SwanChildSa, LabError> {
        self.ours.wait_up(SITE, 1, SOON)?;
        let child = wait_for("one child at strongSwan", SOON, || {
            let mut children = self.swan.installed()?;
            Ok(children.pop().filter(|_| children.is_empty()))
        })?;
        self.ensure_passes()?;
        Ok(child)
    }

    /// Echoes pass both ways, and nothing in clear.
    pub(super) fn ensure_passes(&self) -> Result<(), LabError> {
        let patience = Duration::from_secs(2);
        for (from, to) in [(&self.sites.c1, address::C2), (&self.sites.c2, address::C1)] {
            let pings = echo(from, to, 3, patience)?;
            ensure(pings.received == pings.sent, || format!("{pings} to {to} through the tunnel"))?;
        }
        self.ensure_no_plaintext()
    }

    /// No echo passes, in clear or otherwise.
    pub(super) fn ensure_silent(&self) -> Result<(), LabError> {
        for (from, to) in [(&self.sites.c1, address::C2), (&self.sites.c2, address::C1)] {
            let pings = echo(from, to, 2, Duration::from_millis(300))?;
            ensure(pings.received == 0, || format!("{pings} to {to} without a tunnel"))?;
        }
        self.ensure_no_plaintext_of_ours()
    }

    /// Nothing of the sites crossed the path in clear.
    pub(super) fn ensure_no_plaintext(&self) -> Result<(), LabError> {
        let clear = self.sites.plaintext_packets()?;
        ensure(clear == 0, || format!("{clear} packets crossed the path in clear"))
    }

    /// Nothing site 1 sent crossed the path in clear. (Without a tunnel strongSwan's side has no such rule: what the
    /// client behind it sends may leave in clear, and is not counted here.)
    pub(super) fn ensure_no_plaintext_of_ours(&self) -> Result<(), LabError> {
        let text = self.sites.g2.run("nft", &["list", "counter", "inet", "lab_plain", "clear"])?;
        ensure(text.contains("packets 0 "), || "packets left our gateway in clear".to_owned())
    }

    /// One stream each way, 1,000 packets a second.
    pub(super) fn streams(&self) -> Result<[Stream; 2], LabError> {
        Ok([
            Stream::start(&self.sites.c1, &self.sites.c2, address::C2, 5001, RATE)?,
            Stream::start(&self.sites.c2, &self.sites.c1, address::C1, 5001, RATE)?,
        ])
    }
}

/// Lets both streams carry `packets` more.
pub(super) fn let_flow(streams: &[Stream; 2], packets: u64) -> Result<(), LabError> {
    streams.iter().try_for_each(|stream| stream.wait_received(packets, Duration::from_secs(30)))
}

/// Ends both streams of at least `least` packets, of which none may be missing. Returns the account. A strongSwan that did
/// not come to fetch its packets in time says nothing about a rekeying: then the machine was too busy, and the lab is
/// repeated, which its runner tells.
pub(super) fn finish(streams: [Stream; 2], least: u64, strongswan_in: &[&NetNs]) -> Result<String, LabError> {
    let [there, back] = streams;
    let (there, back) = (there.finish()?, back.finish()?);
    let mut overflowed = 0;
    for namespace in strongswan_in {
        overflowed += namespace.overflowed()?;
    }
    let lost = there.lost() + back.lost();
    let account = format!("there: {there}; back: {back}");
    if lost > 0 && lost <= overflowed {
        return Err(LabError::Busy(format!("strongSwan's queues overflowed by {overflowed}; {account}")));
    }
    there.ensure_complete(least)?;
    back.ensure_complete(least)?;
    Ok(account)
}
