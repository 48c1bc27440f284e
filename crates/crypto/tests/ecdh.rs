//! Elliptic-curve known answers — RFC 5903 §8 (P-256, P-384, P-521), RFC 7748 §6.1 (Curve25519) — and refusals.

mod support;

use crypto::{CryptoError, Group, Provider, RealProvider, SecretBytes, SeededRng};
use support::{PreparedRng, StuckRng, exchange_with, hex};

struct Vector {
    group: Group,
    private: [&'static str; 2],
    /// x and y, or u alone.
    public: [[&'static str; 2]; 2],
    secret: &'static str,
}

const VECTORS: &[Vector] = &[
    Vector {
        group: Group::Ecp256,
        private: [
            "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
            "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
        ],
        public: [
            [
                "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180",
                "5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3",
            ],
            [
                "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63",
                "56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB",
            ],
        ],
        secret: "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE",
    },
    Vector {
        group: Group::Ecp384,
        private: [
            "099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655
             E35B538041E649EE3FAEF896783AB194",
            "41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942
             E0308312916B8ED2960E4BD55A7448FC",
        ],
        public: [
            [
                "667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6
                 DE3AC808ACB4BDB4C88732AEE95F41AA",
                "9482ED1FC0EEB9CAFC4984625CCFC23F65032149E0E144ADA024181535A0F38E
                 EB9FCFF3C2C947DAE69B4C634573A81C",
            ],
            [
                "E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D
                 0D1AC43A0336DEF96FDA41D0774A3571",
                "DCFBEC7AACF3196472169E838430367F66EEBE3C6E70C416DD5F0C68759DD1FF
                 F83FA40142209DFF5EAAD96DB9E6386C",
            ],
        ],
        secret: "11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4
                 D603135569B9E9D09CF5D4A270F59746",
    },
    Vector {
        group: Group::Ecp521,
        private: [
            "0037ADE9319A89F4DABDB3EF411AACCCA5123C61ACAB57B5393DCE47608172A0
             95AA85A30FE1C2952C6771D937BA9777F5957B2639BAB072462F68C27A57382D
             4A52",
            "0145BA99A847AF43793FDD0E872E7CDFA16BE30FDC780F97BCCC3F078380201E
             9C677D600B343757A3BDBF2A3163E4C2F869CCA7458AA4A4EFFC311F5CB15168
             5EB9",
        ],
        public: [
            [
                "0015417E84DBF28C0AD3C278713349DC7DF153C897A1891BD98BAB4357C9ECBE
                 E1E3BF42E00B8E380AEAE57C2D107564941885942AF5A7F4601723C4195D176C
                 ED3E",
                "017CAE20B6641D2EEB695786D8C946146239D099E18E1D5A514C739D7CB4A10A
                 D8A788015AC405D7799DC75E7B7D5B6CF2261A6A7F1507438BF01BEB6CA3926F
                 9582",
            ],
            [
                "00D0B3975AC4B799F5BEA16D5E13E9AF971D5E9B984C9F39728B5E5739735A21
                 9B97C356436ADC6E95BB0352F6BE64A6C2912D4EF2D0433CED2B6171640012D9
                 460F",
                "015C68226383956E3BD066E797B623C27CE0EAC2F551A10C2C724D9852077B87
                 220B6536C5C408A1D2AEBB8E86D678AE49CB57091F4732296579AB44FCD17F0F
                 C56A",
            ],
        ],
        secret: "01144C7D79AE6956BC8EDB8E7C787C4521CB086FA64407F97894E5E6B2D79B04
                 D1427E73CA4BAA240A34786859810C06B3C715A3A8CC3151F2BEE417996D19F3
                 DDEA",
    },
    Vector {
        group: Group::Curve25519,
        private: [
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        ],
        public: [
            ["8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a", ""],
            ["de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f", ""],
        ],
        secret: "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    },
];

#[test]
fn curves_are_those_of_rfc_5903_and_rfc_7748_in_both_directions() {
    for vector in VECTORS {
        let group = vector.group;
        let publics = vector.public.map(|coordinates| hex(&coordinates.concat()));
        let secret = hex(vector.secret);
        assert_eq!(secret.len(), group.secret_len());
        for (ours, theirs) in [(0, 1), (1, 0)] {
            let exchange = exchange_with(group, &hex(vector.private[ours]));
            assert_eq!(exchange.public(), publics[ours], "{group:?}");
            assert!(exchange.agree(&publics[theirs]).unwrap().ct_eq(&secret), "{group:?}");
        }
    }
}

fn agree(group: Group, peer_public: &[u8]) -> Result<SecretBytes, CryptoError> {
    let exchange = RealProvider.key_exchange(group, &mut SeededRng::new(1))?;
    exchange.agree(peer_public)
}

fn assert_refused(group: Group, peer_public: &[u8], reason: &'static str) {
    assert_eq!(
        agree(group, peer_public).map(|_| ()),
        Err(CryptoError::BadPublicValue { group, reason }),
        "{peer_public:02x?}"
    );
}

#[test]
fn points_off_the_curve_are_refused() {
    // RFC 6989 §2.3.
    for vector in &VECTORS[..3] {
        let group = vector.group;
        let public = hex(&vector.public[0].concat());
        assert!(agree(group, &public).is_ok());
        let half = public.len() / 2;
        for octet in [half - 1, half, public.len() - 1] {
            let mut damaged = public.clone();
            damaged[octet] ^= 1;
            assert_refused(group, &damaged, "it is not a point of the curve");
        }
        // Zeros, as the point at infinity might be written; coordinates beyond the field.
        assert_refused(group, &vec![0; public.len()], "it is not a point of the curve");
        assert_refused(group, &vec![255; public.len()], "it is not a point of the curve");
    }
}

#[test]
fn public_values_of_another_length_or_encoding_are_refused() {
    for vector in VECTORS {
        let group = vector.group;
        let public = hex(&vector.public[0].concat());
        let with_prefix = [vec![4], public.clone()].concat();
        let compressed = [vec![2 + (public[public.len() - 1] & 1)], public[..public.len() / 2].to_vec()].concat();
        for wrong in [&[][..], &public[1..], &public[..public.len() - 1], &with_prefix, &compressed] {
            assert_refused(group, wrong, "its length is not the group's");
        }
    }
}

#[test]
fn curve25519_values_that_lead_to_a_zero_secret_are_refused() {
    // RFC 8031 §3.2; the points of order 1, 2, 4 and 8 of RFC 7748 §6's curve and its twist, and their equals
    // modulo p = 2^255 − 19 (little-endian).
    let zeros = "00".repeat(30);
    let ones = "ff".repeat(30);
    let low_order = [
        format!("00{zeros}00"),
        format!("01{zeros}00"),
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800".to_owned(),
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157".to_owned(),
        format!("ec{ones}7f"),
        format!("ed{ones}7f"),
        format!("ee{ones}7f"),
        format!("00{zeros}80"),
    ];
    for point in low_order {
        assert_refused(Group::Curve25519, &hex(&point), "the shared secret would be zero");
    }
}

#[test]
fn a_scalar_at_or_above_the_order_is_drawn_anew_and_a_stuck_generator_is_found_out() {
    // (group, order n, x and y of the base point): RFC 5114 §2.6 to §2.8.
    let cases = [
        (
            Group::Ecp256,
            "FFFFFFFF 00000000 FFFFFFFF FFFFFFFF BCE6FAAD A7179E84 F3B9CAC2 FC632551",
            "6B17D1F2 E12C4247 F8BCE6E5 63A440F2 77037D81 2DEB33A0 F4A13945 D898C296
             4FE342E2 FE1A7F9B 8EE7EB4A 7C0F9E16 2BCE3357 6B315ECE CBB64068 37BF51F5",
        ),
        (
            Group::Ecp384,
            "FFFFFFFF FFFFFFFF FFFFFFFF FFFFFFFF FFFFFFFF FFFFFFFF
             C7634D81 F4372DDF 581A0DB2 48B0A77A ECEC196A CCC52973",
            "AA87CA22 BE8B0537 8EB1C71E F320AD74 6E1D3B62 8BA79B98
             59F741E0 82542A38 5502F25D BF55296C 3A545E38 72760AB7
             3617DE4A 96262C6F 5D9E98BF 9292DC29 F8F41DBD 289A147C
             E9DA3113 B5F0B8C0 0A60B1CE 1D7E819D 7A431D7C 90EA0E5F",
        ),
        (
            Group::Ecp521,
            "01FF FFFFFFFF FFFFFFFF FFFFFFFF FFFFFFFF FFFFFFFF FFFFFFFF FFFFFFFF FFFFFFFA
             51868783 BF2F966B 7FCC0148 F709A5D0 3BB5C9B8 899C47AE BB6FB71E 91386409",
            "00C6 858E06B7 0404E9CD 9E3ECB66 2395B442 9C648139 053FB521 F828AF60
             6B4D3DBA A14B5E77 EFE75928 FE1DC127 A2FFA8DE 3348B3C1 856A429B F97E7E31 C2E5BD66
             0118 39296A78 9A3BC004 5C8A5FB4 2C7D1BD9 98F54449 579B4468 17AFBD17
             273E662C 97EE7299 5EF42640 C550B901 3FAD0761 353C7086 A272C240 88BE9476 9FD16650",
        ),
    ];
    for (group, order, base_point) in cases {
        let order = hex(order);
        let zero = vec![0; order.len()];
        let mut one = zero.clone();
        *one.last_mut().unwrap() = 1;
        // The order and zero are passed over, one is taken: the public value is the base point itself.
        let mut rng = PreparedRng([order, zero, one].concat());
        let exchange = RealProvider.key_exchange(group, &mut rng).unwrap();
        assert_eq!(exchange.public(), hex(base_point), "{group:?}");
        assert!(rng.0.is_empty(), "{group:?}: three draws");
        for stuck in [0, 255] {
            let refused = RealProvider.key_exchange(group, &mut StuckRng(stuck)).map(|_| ());
            assert_eq!(refused, Err(CryptoError::BadRandomness { group }), "{stuck}");
        }
    }
}
