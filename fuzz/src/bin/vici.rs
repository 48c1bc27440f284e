//! A VICI stream: nothing in it panics, every packet that is read is written as the same bytes, and cutting the stream
//! differently changes nothing.
#![no_main]

use formats::vici::{Frames, Packet, ViciError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (whole, end) = read(data, data.len().max(1));
    let written: Vec<u8> =
        whole.iter().flat_map(|packet| packet.encode().expect("what was read can be written")).collect();
    assert!(data.starts_with(&written), "{whole:?}");
    let step = data.first().map_or(1, |byte| usize::from(*byte) % 7 + 1);
    assert_eq!(read(data, step), (whole, end));
});

fn read(data: &[u8], step: usize) -> (Vec<Packet>, Option<ViciError>) {
    let mut frames = Frames::new();
    let mut packets = Vec::new();
    for piece in data.chunks(step) {
        frames.push(piece);
        loop {
            match frames.next_packet() {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => return (packets, Some(error)),
            }
        }
    }
    (packets, None)
}
