//! `aws ec2 describe-vpn-connections`: the XML inside a string, the tunnel options beside it, or the options alone.
//!
//! The options say what the service's end accepts; the XML says one suite of it. Where both speak, the options count.

use super::super::finding::{Findings, shown};
use super::super::input::Text;
use super::super::json::{Json, Node, parse, written_at};
use super::super::place::{Sourced, Spot};
use super::super::psk;
use super::{Allowed, Field, Raw, RawTunnel, read_xml};

/// Connections of one answer read at most.
const MOST_CONNECTIONS: usize = 1000;

/// Members of a connection that say nothing we need.
const KNOWN: [&str; 17] = [
    "Category",
    "CustomerGatewayConfiguration",
    "CustomerGatewayId",
    "CoreNetworkArn",
    "CoreNetworkAttachmentArn",
    "GatewayAssociationState",
    "Options",
    "PreSharedKeyArn",
    "Routes",
    "State",
    "Tags",
    "TransitGatewayId",
    "Type",
    "VgwTelemetry",
    "VpnConcentratorId",
    "VpnConnectionId",
    "VpnGatewayId",
];

/// Reads every connection of an answer, of a list, or one alone.
pub(crate) fn read(text: &Text, findings: &mut Findings) -> Vec<Raw> {
    let root = match parse(&text.text) {
        Ok(root) => root,
        Err(error) => {
            let at = Spot::of_offset(&text.file, &text.text, error.offset);
            let message = format!("the JSON cannot be read: {}", error.message);
            findings.error(
                &at,
                message,
                "the file is damaged or cut off: run `aws ec2 describe-vpn-connections --output json` again",
            );
            return Vec::new();
        }
    };
    let found: Vec<&Node> = match root.get("VpnConnections").or_else(|| root.get("VpnConnection")) {
        Some(Node { value: Json::List(items), .. }) => items.iter().collect(),
        Some(one) => vec![one],
        None if !root.items().is_empty() => root.items().iter().collect(),
        None => vec![&root],
    };
    let reader = Reader { text };
    let connections: Vec<Raw> =
        found.into_iter().take(MOST_CONNECTIONS).filter_map(|node| reader.connection(node, findings)).collect();
    if connections.is_empty() && findings.errors() == 0 {
        let at = reader.place(root.offset);
        findings.error(
            &at,
            "there is no VPN connection in this JSON",
            "give the answer of `aws ec2 describe-vpn-connections`",
        );
    }
    connections
}

struct Reader<'t> {
    text: &'t Text,
}

impl Reader<'_> {
    fn place(&self, offset: usize) -> Spot {
        Spot::of_offset(&self.text.file, &self.text.text, offset)
    }

    fn sourced(&self, node: &Node) -> Option<Sourced<String>> {
        let at = self.place(node.offset);
        node.text().filter(|text| !text.is_empty()).map(|text| Sourced::new(text.to_owned(), &at))
    }

    fn connection(&self, node: &Node, findings: &mut Findings) -> Option<Raw> {
        let before = findings.errors();
        let id = node.get("VpnConnectionId").and_then(|id| self.sourced(id));
        let at = id.as_ref().map_or_else(|| self.place(node.offset), |id| id.at.clone());
        if let Some(state) =
            node.get("State").filter(|state| state.text().is_some_and(|text| text.starts_with("delet")))
        {
            let name = id.as_ref().map_or("this connection", |id| &id.value);
            let message = format!("{} is {}: left out", shown(name), state.text().unwrap_or_default());
            findings.note(&self.place(state.offset), message, "");
            return None;
        }
        let xml =
            node.get("CustomerGatewayConfiguration").filter(|xml| xml.text().is_some_and(|text| !text.is_empty()));
        let tunnels = node.get("Options").and_then(|options| options.get("TunnelOptions"));
        let mut raw = match (xml.and_then(|xml| Some((xml.text()?, xml.offset))), tunnels) {
            (Some((xml, offset)), _) => {
                let place = |decoded: usize| self.place(written_at(&self.text.text, offset, decoded));
                read_xml(xml, &place, findings)?
            }
            (None, Some(_)) => {
                let end = self.place(self.text.text.trim_end().len());
                Raw {
                    id: None,
                    at: at.clone(),
                    tunnels: Vec::new(),
                    local_cidr: None,
                    remote_cidr: None,
                    sound: true,
                    end,
                }
            }
            (None, None) => {
                let message = "this connection has neither CustomerGatewayConfiguration nor Options.TunnelOptions";
                let help = "ask with a role that may see them, while the connection is pending or available";
                findings.error(&at, message, help);
                return None;
            }
        };
        raw.id = id.or(raw.id);
        raw.at = at;
        if let Some(options) = node.get("Options") {
            raw.local_cidr = options.get("LocalIpv4NetworkCidr").and_then(|cidr| self.sourced(cidr));
            raw.remote_cidr = options.get("RemoteIpv4NetworkCidr").and_then(|cidr| self.sourced(cidr));
        }
        self.unknown(node, findings);
        for (index, options) in tunnels.map(Node::items).unwrap_or_default().iter().take(16).enumerate() {
            self.tunnel(index, options, xml.is_some(), &mut raw, findings);
        }
        raw.sound = findings.errors() == before;
        Some(raw)
    }

    fn unknown(&self, node: &Node, findings: &mut Findings) {
        let Json::Object(members) = &node.value else { return };
        for (name, member) in members.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str())) {
            findings.note(&self.place(member.offset), format!("`{}` was not understood: not used", shown(name)), "");
        }
    }

    /// Adds what the options of a tunnel say to the tunnel of the same outside address.
    fn tunnel(&self, index: usize, options: &Node, has_xml: bool, raw: &mut Raw, findings: &mut Findings) {
        let at = self.place(options.offset);
        let outside = options.get("OutsideIpAddress").and_then(|outside| self.sourced(outside));
        let address = |tunnel: &RawTunnel| tunnel.get(Field::RemoteOutside).map(|at| at.value.to_owned());
        let wanted = outside.as_ref().map(|outside| outside.value.clone());
        let tunnel = match raw.tunnels.iter().position(|tunnel| wanted.is_some() && address(tunnel) == wanted) {
            Some(known) => raw.tunnels.get_mut(known),
            None if has_xml => {
                let message = format!(
                    "the options are of a tunnel to {}, which the XML of the connection does not have",
                    wanted.as_deref().map_or("nowhere".to_owned(), shown)
                );
                let at = outside.as_ref().map_or(&at, |outside| &outside.at);
                return findings.error(at, message, "the answer contradicts itself: ask for it again");
            }
            None => {
                let mut tunnel = RawTunnel::new(index + 1, at.clone());
                if let Some(outside) = outside {
                    tunnel.values.insert(Field::RemoteOutside, outside);
                }
                raw.tunnels.push(tunnel);
                raw.tunnels.last_mut()
            }
        };
        if let Some(tunnel) = tunnel {
            self.options(options, tunnel, findings);
        }
    }

    fn options(&self, options: &Node, tunnel: &mut RawTunnel, findings: &mut Findings) {
        if let Some(key) = options.get("PreSharedKey").and_then(|key| self.sourced(key)) {
            tunnel.psk_seen = true;
            let read = if key.value.eq_ignore_ascii_case("redacted") {
                let help = "the key is kept in Secrets Manager: write it into secrets.toml, or into this file";
                findings.error(&key.at, "the pre-shared key is not in this answer (REDACTED)", help);
                None
            } else {
                psk::accept(&key.value, &key.at, true, findings)
            };
            match (&tunnel.psk, read) {
                (Some(xml), Some(read)) if xml.value != read.value => {
                    let message = format!("the pre-shared key here is not the one in the XML at {}", xml.at);
                    findings.error(&key.at, message, "the answer contradicts itself: ask for it again");
                }
                (None, Some(read)) => tunnel.psk = Some(read),
                _ => {}
            }
        }
        let lists = |phase: &str| {
            ["EncryptionAlgorithms", "IntegrityAlgorithms", "DHGroupNumbers"]
                .map(|kind| self.list(options.get(&format!("{phase}{kind}"))))
        };
        tunnel.allowed = Some(Allowed { ike: lists("Phase1"), esp: lists("Phase2") });
        let single = [
            ("Phase1LifetimeSeconds", Field::IkeLifetime),
            ("Phase2LifetimeSeconds", Field::EspLifetime),
            ("DpdTimeoutSeconds", Field::DpdTimeout),
            ("DPDTimeoutSeconds", Field::DpdTimeout),
        ];
        for (name, field) in single {
            if let Some(value) = options.get(name).and_then(|value| self.sourced(value)) {
                tunnel.values.insert(field, value);
            }
        }
        let versions = self.list(options.get("IkeVersions"));
        if let Some(first) = versions.first() {
            let words: Vec<&str> = versions.iter().map(|version| version.value.as_str()).collect();
            tunnel.values.insert(Field::IkeVersion, first.with(words.join(" ")));
        }
        self.inside(options, tunnel, findings);
        for name in
            ["RekeyMarginTimeSeconds", "RekeyFuzzPercentage", "ReplayWindowSize", "DpdTimeoutAction", "StartupAction"]
        {
            if let Some(value) = options.get(name) {
                let message = format!("`{name}` is about the service's own end: of no consequence here");
                findings.note(&self.place(value.offset), message, "");
            }
        }
    }

    /// `TunnelInsideCidr`: the service's end has the first host, ours the second.
    fn inside(&self, options: &Node, tunnel: &mut RawTunnel, findings: &mut Findings) {
        if tunnel.values.contains_key(&Field::LocalInside) {
            return;
        }
        let Some(cidr) = options.get("TunnelInsideCidr").and_then(|cidr| self.sourced(cidr)) else { return };
        let network = cidr.value.strip_suffix("/30").and_then(|address| address.parse::<std::net::Ipv4Addr>().ok());
        let Some(network) = network.map(|address| u32::from(address) & !3) else {
            let message = format!("`{}` is no /30 network", shown(&cidr.value));
            return findings.error(&cidr.at, message, "write it as in `169.254.10.0/30`");
        };
        let host = |number: u32| cidr.with(format!("{}/30", std::net::Ipv4Addr::from(network | number)));
        tunnel.values.insert(Field::RemoteInside, host(1));
        tunnel.values.insert(Field::LocalInside, host(2));
    }

    /// `[{"Value": …}, …]`.
    fn list(&self, node: Option<&Node>) -> Vec<Sourced<String>> {
        let items = node.map(Node::items).unwrap_or_default().iter();
        items.filter_map(|item| self.sourced(item.get("Value").unwrap_or(item))).collect()
    }
}
