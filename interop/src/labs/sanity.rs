//! Labs of the labs: two strongSwan gateways and our traffic tools. What fails here is no fault of our gateway.

use std::net::UdpSocket;
use std::time::Duration;

use super::setup;
use crate::error::{LabError, ensure};
use crate::registry::{Lab, LabContext, Need, Report};
use crate::strongswan::CharonOptions;
use crate::topology::{Internet, address};
use crate::traffic::{Eavesdropper, Stream, echo, transfer};

const NEEDS: &[Need] = &[Need::Root, Need::Tun, Need::Nftables, Need::StrongSwan];

pub(super) const LABS: &[Lab] = &[
    Lab { name: "strongswan_pair_sanity", needs: NEEDS, run: pair },
    Lab { name: "strongswan_pair_rekeys_lose_nothing", needs: NEEDS, run: pair_rekeys },
    Lab { name: "traffic_counts_what_a_lossy_path_loses", needs: &[Need::Root, Need::Nftables], run: lossy_path },
    Lab { name: "the_eavesdropper_hears_what_is_in_clear", needs: &[Need::Root], run: eavesdropper },
    Lab { name: "the_nat_router_translates_and_rebinds", needs: &[Need::Root, Need::Nftables], run: nat_router },
];

fn pair(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    let _g2 = lab.strongswan(&sites.g2, "g2", &setup::swan_at_g2(), &CharonOptions::default())?;
    let g1 = lab.strongswan(&sites.g1, "g1", &setup::swan_at_g1(), &CharonOptions::default())?;
    let before = echo(&sites.c1, address::C2, 1, Duration::from_millis(200))?;
    ensure(before.received == 0, || "the clients reach each other without a tunnel".to_owned())?;
    g1.initiate("net")?;
    let pings = echo(&sites.c1, address::C2, 5, Duration::from_secs(2))?;
    ensure(pings.received == 5, || pings.to_string())?;
    let stream = Stream::start(&sites.c1, &sites.c2, address::C2, 5001, 1000)?;
    stream.wait_received(3000, Duration::from_secs(15))?;
    let report = stream.finish()?;
    report.ensure_complete(3000)?;
    let tcp = transfer(&sites.c1, &sites.c2, address::C2, 5002, 4 << 20, Duration::from_secs(20))?;
    let children = g1.installed()?;
    ensure(children.len() == 1 && children[0].packets_out > 3000, || format!("{children:?}"))?;
    Ok(format!("{pings}; {report}; {tcp}; {}", children[0].encryption).into())
}

/// The control of the rekey labs: what is lost there and not here is our gateway's doing.
fn pair_rekeys(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    let g2 = lab.strongswan(&sites.g2, "g2", &setup::swan_at_g2(), &CharonOptions::default())?;
    let g1 = lab.strongswan(&sites.g1, "g1", &setup::swan_at_g1(), &CharonOptions::default())?;
    g1.initiate(setup::NET)?;
    let streams = [
        Stream::start(&sites.c1, &sites.c2, address::C2, 5001, setup::RATE)?,
        Stream::start(&sites.c2, &sites.c1, address::C1, 5001, setup::RATE)?,
    ];
    setup::let_flow(&streams, 500)?;
    for round in 0..4 {
        match round {
            0 => g1.rekey_child(setup::NET)?,
            1 => g2.rekey_child(setup::NET)?,
            2 => g1.rekey_ike(setup::SITE)?,
            _ => g2.rekey_ike(setup::SITE)?,
        }
        setup::let_flow(&streams, 500)?;
    }
    Ok(setup::finish(streams, 2500, &[&sites.g1, &sites.g2])?.into())
}

fn lossy_path(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    sites.c1.ip(&["route replace default via 10.91.1.1"])?;
    sites.g1.ip(&["route add 10.93.1.0/24 via 192.0.2.2"])?;
    sites.g2.ip(&["route add 10.91.1.0/24 via 192.0.2.1"])?;
    let whole = Stream::start(&sites.c1, &sites.c2, address::C2, 5001, 1000)?;
    whole.wait_received(1000, Duration::from_secs(10))?;
    let whole = whole.finish()?;
    whole.ensure_complete(1000)?;
    sites.lose(50)?;
    let lossy = Stream::start(&sites.c1, &sites.c2, address::C2, 5001, 1000)?;
    lossy.wait_received(1000, Duration::from_secs(20))?;
    let lossy = lossy.finish()?;
    let share = lossy.lost() as f64 / lossy.sent as f64;
    ensure((0.4..0.6).contains(&share), || format!("half of the packets should be lost: {lossy}"))?;
    sites.lose(0)?;
    sites.watch_for_plaintext()?;
    let clear = echo(&sites.c1, address::C2, 3, Duration::from_secs(1))?;
    let seen = sites.plaintext_packets()?;
    ensure(clear.received == 3 && seen == 12, || format!("{clear} in clear, each packet counted twice: {seen}"))?;
    sites.cut(true)?;
    let none = echo(&sites.c1, address::C2, 2, Duration::from_millis(200))?;
    ensure(none.received == 0, || format!("{none} through a cut"))?;
    Ok(format!("{lossy}").into())
}

/// Whoever finds nothing in clear later must find everything here, where there is no tunnel.
fn eavesdropper(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    sites.add_ipv6()?;
    sites.g1.ip(&["route add 10.93.1.0/24 via 192.0.2.2", "route add 2001:db8:93::/64 via 2001:db8:1::2"])?;
    sites.g2.ip(&["route add 10.91.1.0/24 via 192.0.2.1", "route add 2001:db8:91::/64 via 2001:db8:1::1"])?;
    let ear = Eavesdropper::start(&sites.g2, Some("wan"))?;
    let pings = [
        echo(&sites.c1, address::C2, 3, Duration::from_secs(2))?,
        echo(&sites.c1, address::C2_V6, 3, Duration::from_secs(2))?,
    ];
    ensure(pings.iter().all(|pings| pings.received == 3), || format!("{pings:?} in clear"))?;
    let stream = Stream::start(&sites.c1, &sites.c2, address::C2, 5001, 1000)?;
    stream.wait_received(200, Duration::from_secs(10))?;
    let report = stream.finish()?;
    let heard = ear.finish()?;
    let said = 12 + report.received;
    ensure(heard.clear == said && heard.esp + heard.esp_in_udp + heard.ike == 0, || {
        format!("{said} packets were sent in clear; {heard}")
    })?;
    Ok(heard.to_string().into())
}

fn nat_router(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Nat)?;
    let broke = |error: std::io::Error| LabError::harness("UDP through the router", error);
    let outside = sites.g2.enter(|| UdpSocket::bind((address::G2, 4500)).map_err(broke))?;
    let inside = sites.g1.enter(|| UdpSocket::bind((address::G1_PRIVATE, 4500)).map_err(broke))?;
    for socket in [&outside, &inside] {
        socket.set_read_timeout(Some(Duration::from_secs(2))).map_err(broke)?;
    }
    let seen = |text: &[u8]| {
        inside.send_to(text, (address::G2, 4500)).map_err(broke)?;
        let mut buffer = [0; 64];
        let (len, source) = outside.recv_from(&mut buffer).map_err(broke)?;
        ensure(&buffer[..len] == text, || "another datagram".to_owned())?;
        outside.send_to(text, source).map_err(broke)?;
        inside.recv(&mut buffer).map_err(broke)?;
        Ok::<_, LabError>(source)
    };
    let (first, again) = (seen(b"first")?, seen(b"again")?);
    ensure(first == again && first.ip() == address::G1, || format!("{first}, then {again}"))?;
    sites.rebind_port()?;
    let port = seen(b"another port")?;
    ensure(port.ip() == first.ip() && port.port() != first.port(), || format!("{first}, then {port}"))?;
    sites.rebind_address()?;
    let moved = seen(b"another address")?;
    ensure(moved.ip() == address::G1_MOVED, || format!("{port}, then {moved}"))?;
    Ok(format!("{first} → {port} → {moved}").into())
}
