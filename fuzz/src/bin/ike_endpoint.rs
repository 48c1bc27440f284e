//! A whole IKE endpoint with strangers on the other end: noise, invented messages, its own messages thrown back whole or
//! damaged, from any address, while time passes and it tries to reach its peer, in either version of IKE. Nobody here knows a key, so: no child is
//! ever installed, no SA established, half-open SAs stay bounded, and what it sends is well formed.
#![no_main]

use crypto::{SecretBytes, SeededRng, SimProvider};
use ike::config::{
    ChildConfig, Dpd, EncapsulationPolicy, EndpointConfig, Lifetime, Path, PeerConfig, Retransmit, Retry, StartPolicy,
    Versions,
};
use ike::proposal::{EspProposal, IkeProposal};
use ike::v1::wire as v1;
use ike::wire::{Header, IkeSpi, PayloadType};
use ike::{Endpoint, Output};
use libfuzzer_sys::fuzz_target;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use underpass_fuzz::Bytes;

const US: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const LIMIT: usize = 8;
/// Messages of ours that are remembered, to be thrown back.
const REMEMBERED: usize = 16;

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let mut now = Instant::now();
    let config = EndpointConfig { half_open_before_cookie: 4, half_open_limit: LIMIT, ..EndpointConfig::default() };
    let seed = bytes.u8();
    let mut endpoint = Endpoint::new(config, Arc::new(SimProvider), Box::new(SeededRng::new(u64::from(seed))), now);
    let versions = match seed >> 6 {
        1 => Versions::V1,
        2 => Versions::Both,
        _ => Versions::V2,
    };
    let aggressive = seed & 0x20 != 0;
    let peer = |name, id, address| PeerConfig { aggressive, ..peer(name, id, address, versions) };
    endpoint.apply(vec![peer("out", "g2.test", Some(2)), peer("in", "g3.test", None)], now);
    let mut sent = VecDeque::new();
    drain(&mut endpoint, &mut sent);
    while !bytes.is_empty() {
        let what = bytes.u8();
        match what % 4 {
            0 => {
                now += Duration::from_millis(u64::from(bytes.u16()) * 16);
                endpoint.handle_timeout(now);
            }
            1 => hand_in(&mut endpoint, &mut bytes, now, |bytes| with_length(bytes.chunk().to_vec())),
            2 if what & 0x80 != 0 => hand_in(&mut endpoint, &mut bytes, now, invented_v1),
            2 => hand_in(&mut endpoint, &mut bytes, now, invented),
            _ => hand_in(&mut endpoint, &mut bytes, now, |bytes| thrown_back(bytes, &sent)),
        }
        drain(&mut endpoint, &mut sent);
        // Each version has as many as that.
        assert!(endpoint.half_open() <= 2 * LIMIT);
        assert!(endpoint.sas().all(|sa| !sa.is_established()), "nobody knows the key");
    }
});

fn peer(name: &str, id: &str, address: Option<u8>, versions: Versions) -> PeerConfig {
    let selector = |text: &str| vec![text.parse().expect("a selector")];
    PeerConfig {
        name: name.into(),
        local_address: Some(US),
        remote_addresses: address.map(stranger).into_iter().collect(),
        local_id: "g1.test".parse().expect("an identity"),
        remote_id: Some(id.parse().expect("an identity")),
        psk: SecretBytes::from(b"nobody here knows it".to_vec()),
        proposals: IkeProposal::defaults_for(versions),
        lifetime: Lifetime::of(Duration::from_secs(600)),
        dpd: Dpd { interval: Some(Duration::from_secs(10)), timeout: Duration::from_secs(30) },
        retransmit: Retransmit::default(),
        retry: Retry::default(),
        fragment_size: Some(1280),
        encapsulation: EncapsulationPolicy::Auto,
        remote_port: 500,
        initial_contact: true,
        childless: false,
        versions,
        aggressive: false,
        children: vec![ChildConfig {
            name: "net".into(),
            local: selector("10.1.0.0/16"),
            remote: selector("10.2.0.0/16"),
            proposals: EspProposal::defaults_for(versions),
            lifetime: Lifetime::of(Duration::from_secs(300)),
            start: if address.is_some() { StartPolicy::OnLoad } else { StartPolicy::Passive },
            replay_window: 64,
            sha256_96: false,
        }],
    }
}

fn stranger(last: u8) -> IpAddr {
    Ipv4Addr::new(198, 51, 100, last).into()
}

/// Takes what the endpoint wants done, and remembers what it sends.
fn drain(endpoint: &mut Endpoint, sent: &mut VecDeque<Vec<u8>>) {
    while let Some(output) = endpoint.poll_output() {
        match output {
            Output::Transmit(transmit) => {
                let (new, old) = (Header::parse(&transmit.message), v1::Header::parse(&transmit.message));
                assert!(new.is_ok_and(|header| header.major == 2) || old.is_ok(), "what we send is well formed");
                sent.push_back(transmit.message);
                if sent.len() > REMEMBERED {
                    sent.pop_front();
                }
            }
            Output::InstallChild(_) | Output::ActivateOutbound(_) => panic!("nobody knows the key"),
            _ => {}
        }
    }
}

/// Hands in one datagram from an address the fuzzer chooses, and looks what it caused.
fn hand_in(endpoint: &mut Endpoint, bytes: &mut Bytes<'_>, now: Instant, make: impl FnOnce(&mut Bytes<'_>) -> Vec<u8>) {
    let from = bytes.u8();
    let port = if from & 0x80 == 0 { 500 } else { 4500 };
    let path = Path { local: SocketAddr::new(US, port), remote: SocketAddr::new(stranger(from & 0x07), port) };
    let message = make(bytes);
    endpoint.handle_datagram(path, &message, now);
}

fn with_length(mut datagram: Vec<u8>) -> Vec<u8> {
    let length = datagram.len() as u32;
    if let Some(field) = datagram.get_mut(24..28) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    datagram
}

/// A request or response with few SPIs, so that messages meet, and the fuzzer's payloads.
fn invented(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let (spi, first, flags) = (bytes.u8(), bytes.u8(), bytes.u8());
    let header = Header {
        initiator_spi: IkeSpi([1 + (spi & 0x07); 8]),
        responder_spi: IkeSpi([spi >> 6; 8]),
        next_payload: PayloadType::from_u8(first),
        major: 2,
        minor: 0,
        exchange: ike::wire::ExchangeType::from_u8(34 + (flags & 0x03)),
        flags: ike::wire::Flags::from_u8(flags & 0x38),
        message_id: u32::from(flags >> 6),
        length: 0,
    };
    let mut datagram = Vec::new();
    header.write(&mut datagram);
    datagram.extend_from_slice(bytes.chunk());
    with_length(datagram)
}

/// The same in IKEv1, encrypted or not.
fn invented_v1(bytes: &mut Bytes<'_>) -> Vec<u8> {
    const EXCHANGES: [u8; 4] = [2, 4, 5, 32];
    let (spi, first, flags) = (bytes.u8(), bytes.u8(), bytes.u8());
    let mut datagram = [[1 + (spi & 0x07); 8], [spi >> 6; 8]].concat();
    datagram.extend([first, 0x10, EXCHANGES[usize::from(flags & 0x03)], flags >> 2 & 0x07]);
    datagram.extend([0, 0, 0, flags >> 6, 0, 0, 0, 0]);
    datagram.extend_from_slice(bytes.chunk());
    with_length(datagram)
}

/// One of the endpoint's own messages, perhaps damaged, with its role or direction turned round, or cut short.
fn thrown_back(bytes: &mut Bytes<'_>, sent: &VecDeque<Vec<u8>>) -> Vec<u8> {
    let which = usize::from(bytes.u8()) % sent.len().max(1);
    let mut message = sent.get(which).cloned().unwrap_or_default();
    let changes = bytes.u8() % 4;
    for _ in 0..changes {
        let at = usize::from(bytes.u16()) % message.len().max(1);
        let mask = bytes.u8();
        if let Some(byte) = message.get_mut(at) {
            *byte ^= mask;
        }
    }
    with_length(message)
}
