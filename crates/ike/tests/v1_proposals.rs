//! Proposals of IKEv1: offers, choices, answers, and what is said when nothing fits.

use crypto::{Cipher, Group, Integrity, Prf};
use ike::config::Lifetime;
use ike::proposal::{EspProposal, IkeProposal};
use ike::v1::proposal::*;
use ike::v1::wire::*;
use ipsec::Spi;
use std::time::Duration;

fn ike(text: &str) -> Vec<IkeProposal> {
    IkeProposal::parse_list(text).unwrap()
}

fn esp(text: &str) -> Vec<EspProposal> {
    EspProposal::parse_list(text, true).unwrap()
}

fn seconds(seconds: u64) -> Lifetime {
    Lifetime::of(Duration::from_secs(seconds))
}

fn spi(value: u32) -> Spi {
    Spi::new(value).unwrap()
}

#[test]
fn two_ends_of_one_configuration_agree_on_phase_1_and_2() {
    for (text, suite) in [
        ("aes128-sha1-modp1024", "aes128-sha1-modp1024"),
        ("aes256-aes128-sha256-sha1-modp2048-modp1024", "aes256-sha256-modp2048"),
        ("aes192-sha512-ecp384", "aes192-sha512-ecp384"),
    ] {
        let ours = ike(text);
        let offer = phase1_offer(&ours, &seconds(28_800), None).unwrap();
        let selected = select_phase1(&ours, &offer).unwrap();
        assert_eq!(selected.suite.to_string(), suite);
        assert_eq!(selected.lifetime, Some(Duration::from_secs(28_800)));
        let accepted = accept_phase1(&offer, &ours, &selected.answer).unwrap();
        assert_eq!(accepted, selected);
    }
    for (text, suite) in [
        ("aes128-sha1", "aes128-sha1"),
        ("aes256gcm16", "aes256gcm16"),
        ("aes128-sha256-modp2048", "aes128-sha256-modp2048"),
    ] {
        let ours = esp(text);
        for group in phase2_groups(&ours) {
            let offer = phase2_offer(&ours, group, &seconds(3600), spi(0x1000), 1).unwrap();
            let selected = select_phase2(&ours, &offer, group.is_some(), &[1]).unwrap();
            assert_eq!((selected.choice.to_string().as_str(), selected.spi), (suite, spi(0x1000)));
            let answer = selected.answer_with(spi(0x2000));
            let accepted = accept_phase2(&offer, &ours, &answer).unwrap();
            assert_eq!((accepted.choice, accepted.spi), (selected.choice, spi(0x2000)));
        }
    }
    let _ = (Cipher::ALL, Group::ALL, Integrity::ALL, Prf::ALL);
}
