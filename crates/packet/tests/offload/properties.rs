//! What holds for every packet and every batch.

use packet::checksum::{Verdict, verify_transport};
use packet::offload::{GSO_NONE, MAX_SEGMENTS, Merging, VnetHeader};
use packet::{FlowKey, IpView, flow_key};
use proptest::prelude::*;

use crate::packets::{ACK, ALL, PSH, Spec, merge, noise, normal, split};

fn spec() -> impl Strategy<Value = Spec> {
    let lengths = prop_oneof![Just(0_usize), 1..100_usize, 1000..6000_usize];
    let options = prop_oneof![Just(vec![]), Just(vec![1, 1, 8, 10, 9, 9, 9, 9, 8, 8, 8, 8]), Just(vec![2; 40])];
    let ip = (any::<bool>(), any::<bool>(), any::<u8>(), 1..=255_u8, any::<u16>(), any::<bool>());
    let tcp = (any::<u32>(), any::<u32>(), any::<u8>(), any::<u16>(), options);
    (ip, tcp, lengths, any::<u8>()).prop_map(|(ip, tcp, length, seed)| Spec {
        v6: ip.0,
        udp: ip.1,
        host: 1,
        port: 1000,
        tos: ip.2,
        ttl: ip.3,
        identification: ip.4,
        dont_fragment: ip.5,
        sequence: tcp.0,
        acknowledgement: tcp.1,
        flags: tcp.2,
        window: tcp.3,
        options: tcp.4,
        payload: noise(length, seed),
    })
}

/// What happens to one packet of a generated batch.
#[derive(Debug, Clone, Copy)]
enum Twist {
    None,
    Damage(usize),
    NoUdpChecksum,
    Flags(u8),
    Tos(u8),
    Window,
    Repeat,
    Reorder,
    Push,
    Short,
    Fragment,
    Identification,
    Padding,
    Garbage,
}

fn twist() -> impl Strategy<Value = Twist> {
    prop_oneof![
        24 => Just(Twist::None),
        2 => (0..1600_usize).prop_map(Twist::Damage),
        1 => Just(Twist::NoUdpChecksum),
        1 => any::<u8>().prop_map(Twist::Flags),
        1 => any::<u8>().prop_map(Twist::Tos),
        1 => Just(Twist::Window),
        1 => Just(Twist::Repeat),
        1 => Just(Twist::Reorder),
        1 => Just(Twist::Push),
        1 => Just(Twist::Short),
        1 => Just(Twist::Fragment),
        1 => Just(Twist::Identification),
        1 => Just(Twist::Padding),
        1 => Just(Twist::Garbage),
    ]
}

/// A batch of up to four flows, some packets twisted.
fn batch() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let flow = (any::<bool>(), any::<bool>(), any::<bool>(), 1..1400_usize);
    let flows = proptest::collection::vec(flow, 1..4);
    let steps = proptest::collection::vec((0..4_usize, twist(), any::<u8>()), 0..130);
    (flows, steps).prop_map(|(flows, steps)| {
        let mut state: Vec<Spec> = Vec::new();
        for (index, (v6, udp, dont_fragment, length)) in flows.into_iter().enumerate() {
            let index = u16::try_from(index).expect("few");
            state.push(Spec { dont_fragment, port: 1000 + index, ..Spec::plain(v6, udp, length) });
        }
        let mut packets = Vec::new();
        for (flow, twist, seed) in steps {
            let index = flow % state.len();
            let current = state[index].clone();
            packets.push(apply(twist, &current));
            let length = current.payload.len();
            state[index] = match twist {
                Twist::Repeat => current,
                Twist::Reorder => current.next(length, seed).next(length, seed),
                _ => current.next(length, seed),
            };
        }
        packets
    })
}

fn apply(twist: Twist, current: &Spec) -> Vec<u8> {
    let mut spec = current.clone();
    match twist {
        Twist::Flags(flags) => spec.flags = flags,
        Twist::Tos(tos) => spec.tos = tos,
        Twist::Window => spec.window ^= 1,
        Twist::Push => spec.flags |= PSH,
        Twist::Short => spec.payload.truncate(spec.payload.len() / 2),
        Twist::Identification => spec.identification ^= 0x5000,
        _ => {}
    }
    let mut bytes = spec.bytes();
    match twist {
        Twist::Damage(bit) => {
            let at = bit % (bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
        }
        Twist::NoUdpChecksum if spec.udp => {
            let at = if spec.v6 { 46 } else { 26 };
            bytes[at..at + 2].fill(0);
        }
        Twist::Fragment if !spec.v6 => {
            bytes[6] |= 0x20;
            packet::checksum::refresh_ipv4_header(&mut bytes);
        }
        Twist::Padding => bytes.extend_from_slice(&[0; 7]),
        Twist::Garbage => bytes = noise(30, spec.tos),
        _ => {}
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_split_equals_packets_built_one_at_a_time(spec in spec(), size in 1..3000_u16) {
        // The kernel's partial checksum is of no interest to the split, so any will do.
        let bytes = spec.bytes();
        let parts = split(&spec.vnet(size), &bytes);
        prop_assert_eq!(&parts, &spec.reference_split(usize::from(size)));
        for part in parts {
            let view = IpView::parse(&part).expect("whole packets");
            prop_assert_eq!(verify_transport(&view), Verdict::Valid);
        }
    }

    #[test]
    fn a_batch_loses_damages_repairs_and_reorders_nothing(packets in batch(), tcp in any::<bool>(), udp in any::<bool>()) {
        let emitted = merge(Merging { tcp, udp }, &packets);
        let mut out = Vec::new();
        for (header, bytes, slices) in &emitted {
            prop_assert!(*slices <= MAX_SEGMENTS);
            if header.gso_type == GSO_NONE {
                prop_assert_eq!(*header, VnetHeader::NONE);
                out.push(bytes.clone());
            } else {
                let parts = split(header, bytes);
                prop_assert_eq!(parts.len(), *slices);
                out.extend(parts);
            }
        }
        let before: Vec<Vec<u8>> = packets.iter().map(|packet| normal(packet)).collect();
        let after: Vec<Vec<u8>> = out.iter().map(|packet| normal(packet)).collect();

        let sorted = |list: &[Vec<u8>]| { let mut list = list.to_vec(); list.sort(); list };
        prop_assert_eq!(sorted(&before), sorted(&after));

        let keys: std::collections::BTreeSet<FlowKey> = packets.iter().filter_map(|packet| flow_key(packet).ok()).collect();
        for key in keys {
            let of = |list: &[Vec<u8>]| -> Vec<Vec<u8>> {
                let belongs = |packet: &&Vec<u8>| flow_key(packet).is_ok_and(|other| {
                    let hosts = other.source == key.source && other.destination == key.destination;
                    other == key || (hosts && !other.ports_known)
                });
                list.iter().filter(belongs).cloned().collect()
            };
            prop_assert_eq!(of(&before), of(&after));
        }
    }

    #[test]
    fn split_then_merge_gives_back_the_super_packet(
        v6 in any::<bool>(), udp in any::<bool>(), dont_fragment in any::<bool>(), push in any::<bool>(),
        size in 8..1400_usize, count in 2..=MAX_SEGMENTS, last in 0..1400_usize, identification in any::<u16>(), sequence in any::<u32>(),
    ) {
        let count = count.min(60_000 / size);
        prop_assume!(count >= 2);
        let length = size * (count - 1) + last % size + 1;
        let spec = Spec {
            dont_fragment, identification, sequence,
            flags: if push { ACK | PSH } else { ACK },
            ..Spec::plain(v6, udp, length)
        };
        let header = spec.vnet(u16::try_from(size).expect("short"));
        let parts = split(&header, &spec.bytes());
        let emitted = merge(ALL, &parts);
        prop_assert_eq!(emitted.len(), 1);
        let (merged_header, merged, _) = &emitted[0];
        prop_assert_eq!(*merged_header, header);
        prop_assert_eq!(merged.len(), spec.bytes().len());
        prop_assert_eq!(split(merged_header, merged), parts);
        // As the kernel's own stack would verify it: a plain packet whose checksum is to be completed.
        let plain = VnetHeader { gso_type: GSO_NONE, gso_size: 0, ..*merged_header };
        prop_assert_eq!(&split(&plain, merged)[0], &spec.bytes());
    }
}
