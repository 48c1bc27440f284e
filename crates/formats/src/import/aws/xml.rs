//! `CustomerGatewayConfiguration`: `<vpn_connection>` with one `<ipsec_tunnel>` per tunnel.

use super::super::finding::{Findings, shown};
use super::super::place::{Sourced, Spot};
use super::super::psk;
use super::super::xml::{Element, parse};
use super::{Field, Raw, RawTunnel};
use crate::nearest::nearest;

/// Paths inside `<ipsec_tunnel>`.
const PATHS: [(&str, Field); 24] = [
    ("customer_gateway/tunnel_outside_address/ip_address", Field::LocalOutside),
    ("customer_gateway/bgp/asn", Field::LocalAsn),
    ("customer_gateway/bgp/hold_time", Field::HoldTime),
    ("vpn_gateway/tunnel_outside_address/ip_address", Field::RemoteOutside),
    ("vpn_gateway/bgp/asn", Field::RemoteAsn),
    ("ike/version", Field::IkeVersion),
    ("ike/ike_version", Field::IkeVersion),
    ("ike/authentication_method", Field::Method),
    ("ike/authentication_protocol", Field::IkeIntegrity),
    ("ike/encryption_protocol", Field::IkeEncryption),
    ("ike/lifetime", Field::IkeLifetime),
    ("ike/perfect_forward_secrecy", Field::IkeGroup),
    ("ike/mode", Field::IkeMode),
    ("ipsec/protocol", Field::EspProtocol),
    ("ipsec/authentication_protocol", Field::EspIntegrity),
    ("ipsec/encryption_protocol", Field::EspEncryption),
    ("ipsec/lifetime", Field::EspLifetime),
    ("ipsec/perfect_forward_secrecy", Field::EspGroup),
    ("ipsec/mode", Field::EspMode),
    ("ipsec/clear_df_bit", Field::ClearDf),
    ("ipsec/fragmentation_before_encryption", Field::Fragmentation),
    ("ipsec/tcp_mss_adjustment", Field::Mss),
    ("ipsec/dead_peer_detection/interval", Field::DpdInterval),
    ("ipsec/dead_peer_detection/retries", Field::DpdRetries),
];

/// Paths that are read together with another, or say the same once more.
const OTHERS: [&str; 10] = [
    "ike/pre_shared_key",
    "customer_gateway/tunnel_inside_address/ip_address",
    "customer_gateway/tunnel_inside_address/network_mask",
    "customer_gateway/tunnel_inside_address/network_cidr",
    "vpn_gateway/tunnel_inside_address/ip_address",
    "vpn_gateway/tunnel_inside_address/network_mask",
    "vpn_gateway/tunnel_inside_address/network_cidr",
    "vpn_gateway/bgp/hold_time",
    "tunnel_name",
    "vpn_gateway/bgp/neighbor",
];

/// Elements beside the tunnels that say nothing we need.
const KNOWN_TOP: [&str; 7] = [
    "customer_gateway_id",
    "vpn_gateway_id",
    "transit_gateway_id",
    "core_network_attachment_arn",
    "vpn_connection_type",
    "vpn_connection_attributes",
    "vpn_gateway_asn",
];

/// Tunnels read at most: a connection has two.
const MOST_TUNNELS: usize = 16;

/// Reads the XML `text`; `place` says where a byte of it stands.
pub(crate) fn read(text: &str, place: &dyn Fn(usize) -> Spot, findings: &mut Findings) -> Option<Raw> {
    let before = findings.errors();
    let root = match parse(text) {
        Ok(root) => root,
        Err(error) => {
            let message = format!("the XML cannot be read: {}", shown(&error.message));
            findings.error(&place(error.offset), message, "the file is damaged or cut off: download it again");
            return None;
        }
    };
    if root.name != "vpn_connection" {
        let message = format!("the XML is a <{}>, not a <vpn_connection>", shown(&root.name));
        findings.error(&place(root.offset), message, "give the CustomerGatewayConfiguration of the VPN connection");
        return None;
    }
    let at = place(root.offset);
    let id = root.attribute("id").filter(|id| !id.is_empty()).map(|id| Sourced::new(id.to_owned(), &at));
    let tunnels = root.children.iter().filter(|child| child.name == "ipsec_tunnel").take(MOST_TUNNELS).enumerate();
    let tunnels = tunnels.map(|(index, element)| tunnel(index + 1, element, place, findings)).collect();
    for other in root.children.iter().filter(|child| child.name != "ipsec_tunnel") {
        unknown(&other.name, &place(other.offset), KNOWN_TOP.iter().copied().chain(["ipsec_tunnel"]), findings);
    }
    let end = place(text.trim_end().len());
    Some(Raw { id, at, tunnels, local_cidr: None, remote_cidr: None, sound: findings.errors() == before, end })
}

fn tunnel(number: usize, element: &Element, place: &dyn Fn(usize) -> Spot, findings: &mut Findings) -> RawTunnel {
    let mut tunnel = RawTunnel::new(number, place(element.offset));
    let mut leaves = Vec::new();
    collect(element, "", &mut leaves);
    for (path, leaf) in &leaves {
        let at = place(leaf.text_offset);
        if path == "ike/pre_shared_key" {
            tunnel.psk_seen = true;
            tunnel.psk = psk::accept(&leaf.text, &at, true, findings);
        } else if let Some((_, field)) = PATHS.iter().find(|(known, _)| known == path) {
            if !leaf.text.is_empty() {
                tunnel.values.entry(*field).or_insert(Sourced::new(leaf.text.clone(), &at));
            }
        } else if !OTHERS.contains(&path.as_str()) {
            unknown(path, &at, PATHS.iter().map(|(known, _)| *known).chain(OTHERS), findings);
        }
    }
    inside(element, "customer_gateway", Field::LocalInside, place, &mut tunnel);
    inside(element, "vpn_gateway", Field::RemoteInside, place, &mut tunnel);
    // The service's end is the neighbour; the document says so by its inside address alone.
    if let (Some(_), Some(inside)) = (tunnel.get(Field::RemoteAsn), tunnel.get(Field::RemoteInside)) {
        let address = inside.map(|text| text.split('/').next().unwrap_or_default().to_owned());
        tunnel.values.insert(Field::Neighbor, address);
    }
    tunnel
}

fn inside(element: &Element, end: &str, field: Field, place: &dyn Fn(usize) -> Spot, tunnel: &mut RawTunnel) {
    let Some(inside) = element.child(end).and_then(|end| end.child("tunnel_inside_address")) else { return };
    let Some(address) = inside.child("ip_address").filter(|address| !address.text.is_empty()) else { return };
    let prefix = inside.child("network_cidr").map_or("30", |cidr| cidr.text.as_str());
    let at = place(address.text_offset);
    tunnel.values.insert(field, Sourced::new(format!("{}/{prefix}", address.text), &at));
}

/// The elements without others inside, by path.
fn collect<'e>(element: &'e Element, path: &str, leaves: &mut Vec<(String, &'e Element)>) {
    for child in &element.children {
        let path = if path.is_empty() { child.name.clone() } else { format!("{path}/{}", child.name) };
        if child.children.is_empty() {
            leaves.push((path, child));
        } else {
            collect(child, &path, leaves);
        }
    }
}

fn unknown<'k>(path: &str, at: &Spot, known: impl Iterator<Item = &'k str>, findings: &mut Findings) {
    let known: Vec<&str> = known.collect();
    if known.contains(&path) {
        return;
    }
    let near = nearest(path, known.iter().copied()).map(|near| format!("did you mean <{near}>?"));
    findings.warning(at, format!("<{}> was not understood: not used", shown(path)), near.unwrap_or_default());
}
