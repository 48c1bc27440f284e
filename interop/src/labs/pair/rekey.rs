//! Rekeying between two gateways of ours under a stream of 1,000 packets a second each way: nothing is lost (RFC 7296
//! §1.3.2, §1.3.3), whoever begins and however often both begin at once (§2.8.1, §2.8.2).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Net, PAIR, Pair, Tunnel, finish_complete};
use crate::error::{LabError, ensure};
use crate::labs::setup::{NET, SITE, let_flow};
use crate::registry::{Lab, LabContext, Report};
use crate::topology::Hold;
use crate::underpass::Underpass;

/// How long both ends keep rekeying.
const STORM: Duration = Duration::from_secs(10);
/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// Packets each way between two rekeyings.
const BETWEEN: u64 = 400;

pub(super) const LABS: &[Lab] = &[
    Lab { name: "pair_rekey_with_pfs_loses_nothing", needs: PAIR, run: pfs },
    Lab { name: "pair_rekey_storm_from_both_ends_loses_nothing", needs: PAIR, run: storm },
    Lab { name: "pair_child_rekey_collision_loses_nothing", needs: PAIR, run: |lab| collision(lab, child) },
    Lab { name: "pair_ike_rekey_collision_loses_nothing", needs: PAIR, run: |lab| collision(lab, ike) },
    Lab { name: "pair_child_meets_ike_rekey_loses_nothing", needs: PAIR, run: mixed },
    Lab { name: "pair_lifetimes_run_out_and_nobody_notices", needs: PAIR, run: lifetimes },
];

/// What one end is told.
type Rekey = fn(&Underpass) -> Result<(), LabError>;

fn child(gateway: &Underpass) -> Result<(), LabError> {
    gateway.rekey_child(SITE, NET)
}

fn ike(gateway: &Underpass) -> Result<(), LabError> {
    gateway.rekey_ike(SITE)
}

/// Every group that both kinds of exchange can carry, either end beginning.
fn pfs(lab: &mut LabContext) -> Result<Report, LabError> {
    let children = vec![Net::first().line("esp_proposals = \"aes128gcm16-esn-modp2048-ecp256-x25519\"")];
    let tunnel = Tunnel::site().with(children).line("ike_proposals = \"aes128gcm16-prfsha256-ecp256-x25519\"");
    let pair = Pair::connected(lab, &tunnel.into())?;
    pair.ensure_works()?;
    let mut seen: BTreeSet<String> = pair.agreed(SITE)?.into_iter().collect();
    let streams = pair.streams()?;
    for (gateway, rekey) in [(&pair.g1, child as Rekey), (&pair.g2, child), (&pair.g1, ike), (&pair.g2, ike)] {
        let_flow(&streams, BETWEEN)?;
        rekey(gateway)?;
        replaced(&pair, &mut seen)?;
    }
    let_flow(&streams, BETWEEN)?;
    let account = finish_complete(streams, 5 * BETWEEN)?;
    pair.settled(SITE)?;
    Ok(account.into())
}

/// Waits for SAs that were not there before.
fn replaced(pair: &Pair, seen: &mut BTreeSet<String>) -> Result<(), LabError> {
    crate::process::wait_for("a new SA in place of the old", Duration::from_secs(10), || {
        let now = pair.agreed(SITE)?;
        Ok(now.iter().any(|spi| !seen.contains(spi)).then(|| seen.extend(now)))
    })
}

/// Every second each end is told to rekey the child and the IKE SA, all four at the same moment.
fn storm(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = Pair::connected(lab, &Tunnel::site().into())?;
    pair.ensure_works()?;
    let streams = pair.streams()?;
    let mut seen = BTreeSet::new();
    let start = Instant::now();
    let mut rounds = 0;
    while start.elapsed() < STORM {
        all_at_once(&[(&pair.g1, child), (&pair.g2, child), (&pair.g1, ike), (&pair.g2, ike)])?;
        rounds += 1;
        std::thread::sleep((start + EVERY * rounds).saturating_duration_since(Instant::now()));
        seen.extend(pair.agreed(SITE)?);
    }
    let account = finish_complete(streams, 5000)?;
    pair.settled(SITE)?;
    ensure(seen.len() as u32 > rounds, || format!("only {} different SAs in {rounds} rounds", seen.len()))?;
    Ok(format!("{rounds} rounds, {} different SAs; {account}", seen.len()).into())
}

/// Requests cross on the wire for certain: nothing passes until both ends have sent theirs, and no answer until each has
/// the other's.
fn collision(lab: &mut LabContext, rekey: Rekey) -> Result<Report, LabError> {
    crossing(lab, [rekey, rekey])
}

fn mixed(lab: &mut LabContext) -> Result<Report, LabError> {
    crossing(lab, [child, ike])
}

fn crossing(lab: &mut LabContext, rekey: [Rekey; 2]) -> Result<Report, LabError> {
    // The rules that hold messages up look at port 4500.
    let tunnel = Tunnel::site().line("encapsulation = \"force\"").line("retransmit_initial_milliseconds = 500");
    let pair = Pair::connected(lab, &tunnel.into())?;
    pair.ensure_works()?;
    let mut seen: BTreeSet<String> = pair.agreed(SITE)?.into_iter().collect();
    let streams = pair.streams()?;
    for round in 0..3 {
        let_flow(&streams, BETWEEN)?;
        pair.sites.hold_up_ike(Hold::Everything)?;
        let (a, b) = if round % 2 == 0 { (0, 1) } else { (1, 0) };
        rekey[a](&pair.g1)?;
        rekey[b](&pair.g2)?;
        std::thread::sleep(Duration::from_millis(100));
        pair.sites.hold_up_ike(Hold::Responses)?;
        // Both retransmit, once at least.
        std::thread::sleep(Duration::from_millis(700));
        pair.sites.hold_up_ike(Hold::Nothing)?;
        replaced(&pair, &mut seen)?;
    }
    let_flow(&streams, BETWEEN)?;
    let account = finish_complete(streams, 4 * BETWEEN)?;
    pair.settled(SITE)?;
    Ok(account.into())
}

/// Lifetimes of seconds, the same at both ends: both rekey by themselves, often at the same time.
fn lifetimes(lab: &mut LabContext) -> Result<Report, LabError> {
    let children = vec![Net::first().line("lifetime_seconds = 4").line("rekey_margin_seconds = 2")];
    let tunnel = Tunnel::site().with(children).line("ike_lifetime_seconds = 6").line("rekey_margin_seconds = 2");
    let tunnel = tunnel.line("rekey_fuzz_percent = 0");
    let pair = Pair::connected(lab, &tunnel.into())?;
    pair.ensure_works()?;
    let first: BTreeSet<String> = pair.agreed(SITE)?.into_iter().collect();
    let streams = pair.streams()?;
    let_flow(&streams, 9000)?;
    let now = pair.agreed(SITE)?;
    ensure(now.iter().all(|spi| !first.contains(spi)), || "an SA outlived its lifetime".to_owned())?;
    let account = finish_complete(streams, 9000)?;
    pair.ensure_works()?;
    Ok(account.into())
}

type Command<'a> = (&'a Underpass, Rekey);

/// Gives all commands at the same moment. One that finds its SA just being replaced may be refused.
fn all_at_once(commands: &[Command<'_>]) -> Result<(), LabError> {
    let results: Vec<Result<(), LabError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = commands.iter().map(|(gateway, command)| scope.spawn(move || command(gateway))).collect();
        let panicked = |_| Err(LabError::Harness("a thread of the lab panicked".to_owned()));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    });
    if results.iter().any(Result::is_ok) { Ok(()) } else { results.into_iter().collect() }
}
