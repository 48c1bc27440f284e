//! The codec of IKEv1: what it reads, what it refuses, and that it writes what it read.

use ike::id::Id;
use ike::v1::wire::*;
use ipsec::{Spi, TrafficSelector};

/// Octets from hexadecimal digits; everything else is separation.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    assert!(digits.len().is_multiple_of(2), "odd number of digits in {text}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The first message of main mode, octet by octet: AES-128, SHA-1, PSK, group 2, 28,800 seconds in the variable form;
/// then the vendor ID of RFC 3947.
fn first_message() -> Vec<u8> {
    hex("
        c0ffee0011223344 0000000000000000 01 10 02 00 00000000 00000074
        0d 00 0034  00000001 00000001
            00 00 0028  01 01 00 01
                00 00 0020  01 01 0000
                    8001 0007  800e 0080  8002 0002  8003 0001  8004 0002  800b 0001
        00 00 0014  4a131c81070358455c5728f20e95452f
    ")
}

#[test]
fn the_samples_header_is_read() {
    let mut message = first_message();
    let length = message.len() as u32;
    message[24..28].copy_from_slice(&length.to_be_bytes());
    let header = Header::parse(&message).unwrap();
    assert_eq!(header.exchange, ExchangeType::MainMode);
}
