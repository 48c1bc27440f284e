//! Arbitrary bytes as an IKE message (header, then the payload chain). What parses is written and read again as the same.
#![no_main]

use ike::wire::{Header, MAX_PAYLOADS, Payload, PayloadType, encode_payloads, parse_payloads};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A datagram with its length made right, so that the fuzzer need not find it.
    let mut datagram = data.to_vec();
    if let Some(length) = datagram.get_mut(24..28) {
        length.copy_from_slice(&(data.len() as u32).to_be_bytes());
    }
    if let Ok(header) = Header::parse(&datagram) {
        let mut again = Vec::new();
        header.write(&mut again);
        assert_eq!(Header::parse(&[&again, &datagram[Header::LEN..]].concat()), Ok(header));
        chain(header.next_payload, &datagram[Header::LEN..]);
    }
    // The chain inside an SK payload is read without a header.
    if let Some((first, rest)) = data.split_first() {
        chain(PayloadType::from_u8(*first), rest);
    }
});

fn chain(first: PayloadType, bytes: &[u8]) {
    let Ok(payloads) = parse_payloads(first, bytes) else {
        return;
    };
    assert!(payloads.len() <= MAX_PAYLOADS);
    let (first, written) = encode_payloads(&payloads);
    // Unknown payloads, reserved fields and attribute formats may be written in another way, but mean the same.
    match parse_payloads(first, &written) {
        Ok(again) => assert_eq!(again, payloads),
        // Selectors of unknown types are left out when read (RFC 7296 §3.13.1): what remains may be too little to send.
        Err(error) => {
            assert!(payloads.iter().any(without_selectors) || written.len() > bytes.len(), "{error}: {payloads:?}")
        }
    }
}

fn without_selectors(payload: &Payload) -> bool {
    matches!(payload, Payload::TsInitiator(list) | Payload::TsResponder(list) if list.is_empty())
}
