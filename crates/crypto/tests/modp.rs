//! MODP known answers: RFC 5114 appendices A.1 to A.3 for groups 22 to 24. Those for groups 2, 5 and 14 to 18 come from no
//! publication: they were computed independently, with Python's built-in `pow` from the primes of RFC 3526, and are
//! given as SHA-256 of the values. All but the two largest groups' secrets begin with a zero octet.

mod support;

use crypto::{Group, sha256};
use support::{exchange_with, hex};

struct Computed {
    group: Group,
    private: [&'static str; 2],
    public_sha256: [&'static str; 2],
    secret_sha256: &'static str,
    secret_starts_with_zero: bool,
}

const COMPUTED: &[Computed] = &[
    Computed {
        group: Group::Modp1024,
        private: [
            "c63bfef874068a5ca321b3ff9de2a28a4e6248fd10dce3bf3ab24cce93386ae0",
            "b4ae7043a4bc1a1147da5b507e872bdbb5a568191b94a72f7bb35e44d10f0599",
        ],
        public_sha256: [
            "393d845e0068c09842a111e8610daa92f6c5dfee41f8a57bf8df1cafe1634836",
            "d8dd0ec24f84e3720390f06b6c9fba07f9b1e273e9b056fe5bb00bf51c83f31f",
        ],
        secret_sha256: "9f19a1bf9fd45bdab2743194784b0ebe2502d234dfeed6732118d3d46307abd3",
        secret_starts_with_zero: true,
    },
    Computed {
        group: Group::Modp1536,
        private: [
            "4b8393c0bb6d66cda029e6062bf6b581564044c9158a6dae9997082943e2c99a",
            "5521000846fc37a8c754a503fe7329188d998d37db842ed96b3d89b18fbcd850",
        ],
        public_sha256: [
            "025e2cf5618af343359b395a07d3c3346481c6fc49de4bf9c24b7358c0f7b40a",
            "099ca9c515eb32af368fc65056a049118ff17daf20d07f406f1559eab7037882",
        ],
        secret_sha256: "a21644b3fb5a43a0bd99178805f770e00d06485dbb03ebeff8be2d456f53652a",
        secret_starts_with_zero: true,
    },
    Computed {
        group: Group::Modp2048,
        private: [
            "d6c27ac399c2f474dde14cca97fe348e24723c7d8d63cd3eb561e227af5b0bfc",
            "870bed62ea8c53e16a6ee83bb9a63c78dd0db90cfe8d5c22535bf11b2074a0ec",
        ],
        public_sha256: [
            "f0808170eb16a6671cdd5302505b4a4f483eb4188b75ae1bd0a0dfec1db24766",
            "12e3869a21086c7d4c2ef7bacc82077522822e60ad249f97e7013b2e57d860f6",
        ],
        secret_sha256: "dbe1ffc0b39c19badbf1386fcccb18b85b0c354b8e9ad9640495dfedc34fee1d",
        secret_starts_with_zero: true,
    },
    Computed {
        group: Group::Modp3072,
        private: [
            "d6983dd801b3b4c408ebeb5f9f1fb9d7ee474d47b4cc869f6fe412f9ad5d436dcf28",
            "37bd5875a13beb946efc376cfadf0608ed3aa285b86ea75fb139b54ac3a09d2a7b4e",
        ],
        public_sha256: [
            "1db440db5fc80302f04ef1935c1c4b6b919bd5b344df8e42e790f1e48ebbc94d",
            "7e2eab96092fb819468daecd6f4a07c88c875afd5e0cdb60c8b7045b917c1136",
        ],
        secret_sha256: "0545211970070b48793aa4a4f0259affa6597950e93b7285ab207f259f007511",
        secret_starts_with_zero: true,
    },
    Computed {
        group: Group::Modp4096,
        private: [
            "1ce1a6f5402840ee499550951e37f7d6e50b7ca95058b59ac66b90492f1dbcb16eea887a8972",
            "b1202bc4d46118947d49ec97e0c33f9bc87f106a3164707015bcacc0e7325d3ccbedd95af58c",
        ],
        public_sha256: [
            "bc4c0706eb0b5d4ffebd40da3d1ebff54c11bab519304ec448997f1e0c65dd87",
            "dde752791a632e62299343b82fa584455eac1e7ba5bd3685b60855d305ec65a0",
        ],
        secret_sha256: "99c2317d3f9e76de78b91ed5be3f551d6a2b2ed293903144366eca59fa1b9a42",
        secret_starts_with_zero: true,
    },
    Computed {
        group: Group::Modp6144,
        private: [
            "a8403b83afcb9c0b1b4c42f77f588193f343192ababba481df900060fbea52eb476fb2b2e474fcc0b6bd8f01",
            "79a435b6fdf98b924f88b7d847f74f299c7632def04fd8970ef340e8182a7563a248670c2fe580ac8318ccec",
        ],
        public_sha256: [
            "0f57af5362bde46ea27a61569c54b8693f58f23a112f3801c9ccec44c165be44",
            "18039322ac136d331217bbd23ee8b63007356bc927ffcc41d1ee89fe369620e9",
        ],
        secret_sha256: "ffbc77568e7184002a69944e4e5ea4191c146b1ea77c8a67262162543807a5cd",
        secret_starts_with_zero: false,
    },
    Computed {
        group: Group::Modp8192,
        private: [
            "bb057f6b98936772d665157c979a7cf906b11588443e1a042eafd74f7ca8c267702c8d431d6853148b141e809c883c73a4d6",
            "37210f04f8068c2ccd894c27fa1d971373709673ec7561f59246756f15dafe0c2e96c6bdbe15ab1e58b7a2153dc8cdce9f56",
        ],
        public_sha256: [
            "f698e1f99054adc50858739675004b1ed3540550e4c00f7a2e605fd5ae8fc9cb",
            "78ee3f116ab4a26ca7c365c3f4b9ed03ab3832f4d51be9bf693f72706981afd4",
        ],
        secret_sha256: "e8ffcc296b5c79d30fb9d884a759d4d437d767271707b39b8c356c666506f8c3",
        secret_starts_with_zero: false,
    },
];

#[test]
fn safe_prime_groups_agree_with_an_independent_computation_and_keep_leading_zeros() {
    for vector in COMPUTED {
        let group = vector.group;
        let [first, second] = vector.private.map(|private| exchange_with(group, &hex(private)));
        let publics = [first.public().to_vec(), second.public().to_vec()];
        for (public, expected) in publics.iter().zip(vector.public_sha256) {
            assert_eq!(public.len(), group.public_len(), "{group:?}");
            assert_eq!(sha256(&[public])[..], hex(expected), "{group:?}");
        }
        let secrets = [first.agree(&publics[1]).unwrap(), second.agree(&publics[0]).unwrap()];
        for secret in secrets {
            // RFC 7296 §2.14: padded to the modulus' length.
            assert_eq!(secret.len(), group.secret_len(), "{group:?}");
            assert_eq!(sha256(&[secret.expose()])[..], hex(vector.secret_sha256), "{group:?}");
            if vector.secret_starts_with_zero {
                assert_eq!(secret.expose()[0], 0, "{group:?}");
            }
        }
    }
}

struct Published {
    group: Group,
    private: [&'static str; 2],
    public: [&'static str; 2],
    secret: &'static str,
}

const RFC_5114: &[Published] = &[
    Published {
        group: Group::Modp1024S160,
        private: ["b9a3b3ae8fefc1a2930496507086f8455d48943e", "9392c9f9eb6a7a6a9022f7d83e7223c6835bbdda"],
        public: [
            "2a853b3d92197501b9015b2deb3ed84f5e021dcc3e52f109d3273d2b7521281c
             babe0e76ff5727fa8acce26956ba9a1fca26f20228d8693feb10841d84a73600
             54ece5a7f5b7a61ad3dfb3c60d2e43106d8727da37df9cce95b478755d06bcea
             8f9d45965f75a5f3d1df3701165fc9e50c4279ceb07f989540ae96d5d88ed776",
            "717a6cb053371ff4a3b932941c1e5663f861a1d6ad34ae66576dfb98f6c6cbf9
             ddd5a56c7833f6bcfdff095582ad868e440e8d09fd769e3ceccdc3d3b1e4cfa0
             57776caaf9739b6a9fee8e7411f8d6dac09d6a4edb46cc2b5d5203090eae6126
             311e53fd2c14b574e6a3109a3da1be41bdceaa186f5ce06716a2b6a07b3c33fe",
        ],
        secret: "5c804f454d30d9c4df85271f93528c91df6b48ab5f80b3b59caac1b28f8acba9
             cd3e39f3cb614525d9521d2e644c53b807b810f340062f257d7d6fbfe8d5e8f0
             72e9b6e9afda9413eafb2e8b0699b1fb5a0caceddeaead7e9cfbb36ae2b42083
             5bd83a19fb0b5e96bf8fa4d09e345525167ecd9155416f46f408ed31b63c6e6d",
    },
    Published {
        group: Group::Modp2048S224,
        private: [
            "22e62601dbffd06708a680f747f361f76d8f4f721a0548e483294b0c",
            "4ff3bc96c7fc6a6d71d3b363800a7cdfef6fc41b4417ea15353b7590",
        ],
        public: [
            "1b3a63451bd886e699e67b494e288bd7f8e0d370badda7a0efd2fde7d8f66145
             cc9f280419975eb808877c8a4c0c8e0bd48d4a5401eb1e8776bfeee134c03831
             ac273cd9d635ab0ce006a42a887e3f52fb8766b650f38078bc8ee8580cefe243
             968cfc4f8dc3db084554171d41bf2e861b7bb4d69dd0e01ea387cbaa5ca672af
             cbe8bdb9d62d4ce15f17dd36f91ed1eedd65ca4a06455cb94cd40a52ec360e84
             b3c926e22c4380a3bf309d56849768b7f52cfdf655fd053a7ef706979e7e5806
             b17dfae53ad2a5bc568ebb529a7a61d68d256f8fc97c074a861d827e2ebc8c61
             34553115b70e7103920aa16d85e52bcbab8d786a68178fa8ff7c2f5c71648d6f",
            "4dcee992a9762a13f2f83844ad3d77ee0e31c9718b3db6c2035d3961182c3e0b
             a247ec4182d760cd48d99599970622a1881bba2dc822939c78c3912c6661fa54
             38b20766222b75e24c2e3ad0c7287236129525ee15b5dd7998aa04c4a9696cac
             d7172083a97a81664ead2c479e444e4c0654cc19e28d7703cee8dacd6126f5d6
             65ec52c67255db92014b037eb621a2ac8e365de071ffc1400acf077a12913dd8
             de89473437ab7ba346743c1b215dd9c12164a7e4053118d199bec8ef6fc56117
             0c84c87d10ee9a674a1fa8ffe13bdfba1d44de48946d68dc0cdd777635a7ab5b
             fb1e4bb7b856f96827734c184138e915d9c3002ebce53120546a7e2002142b6c",
        ],
        secret: "34d9bddc1b42176c313fea034c21034d074a6313bb4ecdb3703fff424567a46b
             df75530ede0a9da5229de7d76732286cbc0f91da4c3c852fc099c679531d94c7
             8ab03d9decb0a4e4ca8b2bb4591c4021cf8ce3a20a541d33994017d0200ae2c9
             516e2ff5145779269e862b0fb474a2d56dc31ed569a7700b4c4ab16b22a45513
             531ef523d71212077b5a169bdeffad7ad9608284c7795b6d5a5183b87066de17
             d8d671c9ebd8ec89544d45ec061593d442c62ab9ce3b1cb9943a1d23a5ea3bcf
             21a01471e67e003e7f8a69c728be490b2fc88cfeb92db6a215e5d03c17c464c9
             ac1a46e203e13f952995fb03c69d3cc47fcb510b6998ffd3aa6de73cf9f63869",
    },
    Published {
        group: Group::Modp2048S256,
        private: [
            "0881382cdb87660c6dc13e614938d5b9c8b2f248581cc5e31b35454397fce50e",
            "7d62a7e3ef36de617b13d1afb82c780d83a23bd4ee6705645121f371f546a53d",
        ],
        public: [
            "2e9380c8323af97545bc4941deb0ec3742c62fe0ece824a6abdbe66c59bee024
             2911bfb967235ceba35ae13e4ec752be630b92dc4bde2847a9c62cb815274542
             1fb7eb60a63c0fe9159fcce726ce7cd8523d7450667ef840e4919121eb5f01c8
             c9b0d3d648a93bfb75689e8244ac134af544711ce79a02dcc34226684780dddc
             b498594106c37f5bc79856487af5ab022a2e5e42f09897c1a85a11ea0212af04
             d9b4cebc937c3c1a3e15a8a0342e337615c84e7fe3b8b9b87fb1e73a15af12a3
             0d746e06dfc34f290d797ce51aa13aa785bf6658aff5e4b093003cbeaf665b3c
             2e113a3a4e905269341dc0711426685f4ef37e868a8126ff3f2279b57ca67e29",
            "575f0351bd2b1b817448bdf87a6c362c1e289d3903a30b9832c5741fa250363e
             7acbc7f77f3dacbc1f131add8e03367eff8fbbb3e1c5784424809b25afe4d226
             2a1a6fd2fab64105ca30a674e07f7809852088632fc049233791ad4edd083a97
             8b883ee618bc5e0dd047415f2d95e683cf14826b5fbe10d3ce41c6c120c78ab2
             0008c698bf7f0bcab9d7f407bed0f43afb2970f57f8d12043963e66ddd320d59
             9ad9936c8f44137c08b180ec5e985cebe186f3d549677e80607331ee17af3380
             a725b0782317d7dd43f59d7af9568a9bb63a84d365f92244ed120988219302f4
             2924c7ca90b89d24f71b0ab697823d7deb1aff5b0e8e4a45d49f7f53757e1913",
        ],
        secret: "86c70bf8d0bb81bb01078a17219cb7d27203db2a19c877f1d1f19fd7d77ef225
             46a68f005ad52dc84553b78fc60330be51ea7c0672cac1515e4b35c047b9a551
             b88f39dc26da14a09ef74774d47c762dd177f9ed5bc2f11e52c879bd95098504
             cd9eecd8a8f9b3efbd1f008ac5853097d9d1837f2b18f77cd7be01af80a7c7b5
             ea3ca54cc02d0c116fee3f95bb87399385875d7e86747e676e728938acbff709
             8e05be4dcfb24052b83aeffb14783f029adbde7f53fae92084224090e007cee9
             4d4bf2bace9ffd4b57d2af7c724d0caa19bf0501f6f17b4aa10f425e3ea76080
             b4b9d6b3cefea115b2ceb8789bb8a3b0ea87febe63b6c8f846ec6db0c26c5d7c",
    },
];

#[test]
fn groups_22_to_24_are_those_of_rfc_5114() {
    for vector in RFC_5114 {
        let group = vector.group;
        let publics = vector.public.map(hex);
        let secret = hex(vector.secret);
        for (ours, theirs) in [(0, 1), (1, 0)] {
            let exchange = exchange_with(group, &hex(vector.private[ours]));
            assert_eq!(exchange.public(), publics[ours], "{group:?}");
            assert!(exchange.agree(&publics[theirs]).unwrap().ct_eq(&secret), "{group:?}");
        }
    }
}
