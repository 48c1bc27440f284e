//! What the path carries: much at once with the kernel's offloads and without, and no more than its narrowest link takes
//! (path MTU discovery, RFC 4301 §8.2; RFC 1191).

use std::time::Duration;

use super::{Net, PAIR, Pair, Plan, Tunnel};
use crate::error::{LabError, ensure};
use crate::labs::setup::{SITE, SOON};
use crate::registry::{Lab, LabContext, Report};
use crate::sys;
use crate::topology::{Internet, address};
use crate::traffic::{Eavesdropper, SizedEcho, burst, echo_sized, transfer, transfer_through};

/// Bytes of a transfer that is meant to be much.
const MUCH: u64 = 50 << 20;
/// How long that may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// Bytes of a transfer over a narrow path.
const SOME: u64 = 8 << 20;
/// MTU of the narrow link.
const NARROW: u16 = 1400;
/// Sends of one size until somebody has said what is wrong with it.
const TRIES: usize = 6;
/// Echoes that may be lost for each gateway to learn the path once, and for the client to hear of it.
const LEARNING: usize = 4;

pub(super) const LABS: &[Lab] = &[
    Lab { name: "pair_carries_50_mib_both_ways_in_plain_esp", needs: PAIR, run: |lab| much(lab, "auto", true) },
    Lab { name: "pair_carries_50_mib_both_ways_in_udp", needs: PAIR, run: |lab| much(lab, "force", true) },
    Lab { name: "pair_carries_50_mib_both_ways_without_offloads", needs: PAIR, run: |lab| much(lab, "auto", false) },
    Lab { name: "pair_carries_50_mib_in_udp_without_offloads", needs: PAIR, run: |lab| much(lab, "force", false) },
    Lab { name: "pair_learns_a_narrow_path_in_plain_esp", needs: PAIR, run: |lab| narrow(lab, "auto") },
    Lab { name: "pair_learns_a_narrow_path_in_udp", needs: PAIR, run: |lab| narrow(lab, "force") },
    Lab { name: "pair_connections_survive_a_path_that_narrows", needs: PAIR, run: narrowing },
];

fn encapsulated(how: &str) -> Tunnel {
    Tunnel::site().line(format!("encapsulation = \"{how}\""))
}

/// 50 MiB of TCP each way at the same time, and bursts of UDP; every byte is compared.
fn much(lab: &mut LabContext, encapsulation: &str, offloads: bool) -> Result<Report, LabError> {
    let pair = Pair::connected(lab, &encapsulated(encapsulation).into())?;
    pair.ensure_works()?;
    let (c1, c2) = (&pair.sites.c1, &pair.sites.c2);
    if !offloads {
        let off = |name| move || sys::switch_offloads_off(name).map_err(|error| LabError::harness(name, error));
        for client in [c1, c2] {
            client.enter(off("lan"))?;
        }
        for gateway in [&pair.sites.g1, &pair.sites.g2] {
            ["lan", "wan", "underpass0"].into_iter().try_for_each(|name| gateway.enter(off(name)))?;
        }
    }
    let (there, back) = std::thread::scope(|scope| {
        let there = scope.spawn(|| transfer(c1, c2, address::C2, 5002, MUCH, PATIENCE));
        let back = transfer(c2, c1, address::C1, 5002, MUCH, PATIENCE);
        let panicked = |_| Err(LabError::Harness("a thread of the lab panicked".to_owned()));
        (there.join().unwrap_or_else(panicked), back)
    });
    let (there, back) = (there?, back?);
    // A burst is 40 datagrams; none may stay behind.
    let bursts = burst(c1, c2, address::C2, 5003, 200, 1200)?;
    ensure(bursts.received == bursts.sent, || format!("lost of a burst: {bursts}"))?;
    pair.ensure_works()?;
    Ok(format!("{there} there, {back} back; {bursts}").into())
}

/// Nobody clamps the MSS here: TCP and echoes learn the path from the gateways' ICMP alone.
fn unclamped(tunnel: Tunnel) -> Plan {
    Plan::from(tunnel.between(address::G1_PRIVATE, address::G2_PRIVATE)).gateway_line("clamp_mss = false")
}

/// A link of 1400 bytes in the middle from the beginning.
fn narrow(lab: &mut LabContext, encapsulation: &str) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Routed)?;
    sites.narrow(NARROW)?;
    let ear = Eavesdropper::start(sites.router()?, None)?;
    let pair = Pair::start_in(lab, sites, &unclamped(encapsulated(encapsulation)))?;
    pair.ensure_works()?;
    let there = transfer(&pair.sites.c1, &pair.sites.c2, address::C2, 5002, SOME, SOON)?;
    let back = transfer(&pair.sites.c2, &pair.sites.c1, address::C1, 5002, SOME, SOON)?;
    let (mtu, lost) = sweep(&pair)?;
    ear.ensure_nothing_in_clear()?;
    Ok(format!("{there} there, {back} back; largest packet inside {mtu} bytes, {lost} lost while learning that").into())
}

/// Echoes of all sizes: with the don't-fragment bit, they pass up to one size and are refused above it; without it, all
/// pass. An echo may be lost where a gateway has yet to learn the path from it. Returns that size, and how many were.
fn sweep(pair: &Pair) -> Result<(usize, usize), LabError> {
    let mut lost = 0;
    let mut send = |size, dont_fragment| {
        for _ in 0..TRIES {
            let answer = echo_sized(&pair.sites.c1, address::C2, size, dont_fragment, Duration::from_millis(400))?;
            if answer != SizedEcho::Silence {
                return Ok(answer);
            }
            lost += 1;
        }
        Err(LabError::Broken(format!("packets of {size} bytes vanish, and nobody says why")))
    };
    let (mut passed, mut refused) = (0, usize::MAX);
    for size in (1200..=1500).step_by(4) {
        match send(size, true)? {
            SizedEcho::Answered => passed = size,
            SizedEcho::TooBig | SizedEcho::Silence => refused = refused.min(size),
        }
    }
    // What ESP costs is no more than 80 bytes (RFC 4303, RFC 4106, RFC 3948).
    ensure(passed + 4 == refused && (1320..1400).contains(&passed), || {
        format!("packets pass up to {passed} bytes and are refused from {refused}")
    })?;
    let told = pair.g1.installed(SITE)?[0]["mtu"].as_u64().unwrap_or(0) as usize;
    ensure((passed..refused).contains(&told), || format!("{passed} bytes pass, and the status says {told}"))?;
    for size in (passed - 8..passed + 24).chain([1500, 2000, 4000]) {
        let answer = send(size, false)?;
        ensure(answer == SizedEcho::Answered, || {
            format!("a packet of {size} bytes that may be fragmented: {answer:?}")
        })?;
    }
    ensure(lost <= LEARNING, || format!("{lost} echoes were lost until the path was known"))?;
    Ok((passed, lost))
}

/// The link narrows to 1400 bytes while TCP connections are in the middle of their work, in both directions.
fn narrowing(lab: &mut LabContext) -> Result<Report, LabError> {
    let child = Net::first();
    let pair = Pair::start(lab, Internet::Routed, &unclamped(Tunnel::site().with(vec![child])))?;
    pair.ensure_works()?;
    let (c1, c2) = (&pair.sites.c1, &pair.sites.c2);
    let there = transfer_through(c1, c2, address::C2, 5002, SOME, SOON, || pair.sites.narrow(NARROW))?;
    pair.sites.narrow(1500)?;
    let back = transfer_through(c2, c1, address::C1, 5002, SOME, SOON, || pair.sites.narrow(NARROW))?;
    let (mtu, lost) = sweep(&pair)?;
    pair.ensure_works()?;
    Ok(format!("{there} there, {back} back; largest packet inside {mtu} bytes, {lost} lost while learning that").into())
}
