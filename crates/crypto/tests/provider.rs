//! Both providers: agreement, lengths and repeatability for every group, and the simulation's refusals.

mod support;

use crypto::{CryptoError, Group, Provider, RealProvider, SeededRng, SimProvider};

#[test]
fn two_sides_agree_in_every_group_with_the_lengths_of_the_wire() {
    for provider in [&RealProvider as &dyn Provider, &SimProvider] {
        let mut rng = SeededRng::new(1);
        for group in Group::ALL {
            let ours = provider.key_exchange(group, &mut rng).unwrap();
            let theirs = provider.key_exchange(group, &mut rng).unwrap();
            let (our_public, their_public) = (ours.public().to_vec(), theirs.public().to_vec());
            assert_ne!(our_public, their_public);
            assert_eq!((ours.group(), our_public.len()), (group, group.public_len()));
            let secret = ours.agree(&their_public).unwrap();
            assert_eq!(secret.len(), group.secret_len(), "{} {group:?}", provider.name());
            assert!(theirs.agree(&our_public).unwrap().ct_eq(secret.expose()), "{} {group:?}", provider.name());
            assert!(!secret.ct_eq(&vec![0; secret.len()]));
        }
    }
}

#[test]
fn equal_seeds_give_equal_exchanges_and_other_seeds_others() {
    for provider in [&RealProvider as &dyn Provider, &SimProvider] {
        for group in Group::ALL {
            let public = |seed| provider.key_exchange(group, &mut SeededRng::new(seed)).unwrap().public().to_vec();
            assert_eq!(public(5), public(5), "{} {group:?}", provider.name());
            assert_ne!(public(5), public(6), "{} {group:?}", provider.name());
        }
    }
}

#[test]
fn a_key_exchange_shows_nothing_but_its_group() {
    for provider in [&RealProvider as &dyn Provider, &SimProvider] {
        let exchange = provider.key_exchange(Group::Modp2048, &mut SeededRng::new(1)).unwrap();
        assert_eq!(format!("{exchange:?}"), "KeyExchange { group: Modp2048, .. }");
    }
}

#[test]
fn the_simulation_refuses_what_a_real_group_would_refuse() {
    let mut rng = SeededRng::new(2);
    for group in Group::ALL {
        let public = SimProvider.key_exchange(group, &mut rng).unwrap().public().to_vec();
        let one = [vec![0; 7], vec![1], vec![0; public.len() - 8]].concat();
        let refused = [
            vec![],
            vec![0; public.len()],
            vec![255; public.len()],
            one,
            public[1..].to_vec(),
            [public.clone(), vec![0]].concat(),
        ];
        for wrong in refused {
            let refusal = SimProvider.key_exchange(group, &mut rng).unwrap().agree(&wrong).map(|_| ());
            assert!(
                matches!(refusal, Err(CryptoError::BadPublicValue { group: named, .. }) if named == group),
                "{group:?} {wrong:?}"
            );
        }
    }
}

#[test]
fn a_public_value_damaged_on_its_way_never_leads_to_a_common_secret_in_the_simulation() {
    let mut rng = SeededRng::new(3);
    for group in Group::ALL {
        for octet in 0..group.public_len() {
            let ours = SimProvider.key_exchange(group, &mut rng).unwrap();
            let theirs = SimProvider.key_exchange(group, &mut rng).unwrap();
            let mut damaged = theirs.public().to_vec();
            damaged[octet] ^= 0x10;
            let their_secret = theirs.agree(ours.public()).unwrap();
            if let Ok(our_secret) = ours.agree(&damaged) {
                assert!(!our_secret.ct_eq(their_secret.expose()), "{group:?} octet {octet}");
            }
        }
    }
}

#[test]
fn group_facts_are_those_of_the_rfcs() {
    // (number, octets of Key Exchange Data, octets of secret, name)
    let expected = [
        (2, 128, 128, "modp1024"),
        (5, 192, 192, "modp1536"),
        (14, 256, 256, "modp2048"),
        (15, 384, 384, "modp3072"),
        (16, 512, 512, "modp4096"),
        (17, 768, 768, "modp6144"),
        (18, 1024, 1024, "modp8192"),
        (19, 64, 32, "ecp256"),
        (20, 96, 48, "ecp384"),
        (21, 132, 66, "ecp521"),
        (22, 128, 128, "modp1024s160"),
        (23, 256, 256, "modp2048s224"),
        (24, 256, 256, "modp2048s256"),
        (31, 32, 32, "curve25519"),
    ];
    let facts = Group::ALL.map(|group| (group.number(), group.public_len(), group.secret_len(), group.name()));
    assert_eq!(facts, expected);
}
