//! `swanctl.conf`.

use crate::support::*;
use formats::import::Level;

const MOON: &str = r#"
# swanctl.conf
connections {
   gw-gw {
      version = 2
      local_addrs  = 192.0.2.1
      remote_addrs = 192.0.2.2
      proposals = aes128-sha256-x25519, aes256gcm16-prfsha384-ecp384
      rekey_time = 4h
      dpd_delay = 30s
      keyingtries = 0
      encap = yes
      local {
         auth = psk
         id = moon.example
      }
      remote { auth = psk
         id = sun.example }
      children {
         net-net {
            local_ts  = 10.1.0.0/16, 10.3.0.0/16[tcp/443]
            remote_ts = 10.2.0.0/16
            mark_in = 42
            esp_proposals = aes128gcm128-x25519
            rekey_time = 3000
            life_time = 3600
            start_action = trap
         }
         host { remote_ts = 10.9.0.0/16 }
      }
   }
}
secrets {
   ike-1 {
      id-moon = moon.example
      id-sun = sun.example
      secret = "a key # with { and }"
   }
   eap-carol { secret = x }
}
include more/*.conf
"#;

#[test]
fn a_connection_with_two_children_is_read_whole() {
    let imported = one("swanctl.conf", MOON, &here(&["192.0.2.1"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_toml(
        &imported,
        r#"
        [connection.gw-gw]
        local_address = "192.0.2.1"
        remote_address = "192.0.2.2"
        local_id = "moon.example"
        remote_id = "sun.example"
        ike_version = "ikev2"
        ike_proposals = ["aes128-sha256-x25519", "aes256gcm16-prfsha384-ecp384"]
        ike_lifetime_seconds = 15840
        rekey_margin_seconds = 1440
        dpd_interval_seconds = 30
        retry = "forever"
        encapsulation = "force"
        [connection.gw-gw.child.net-net]
        local_subnets = ["10.1.0.0/16", "10.3.0.0/16[tcp/443]"]
        remote_subnets = ["10.2.0.0/16"]
        esp_proposals = ["aes128gcm128-x25519"]
        lifetime_seconds = 3600
        rekey_margin_seconds = 600
        start = "on-demand"
        [connection.gw-gw.child.host]
        local_subnets = ["192.0.2.1"]
        remote_subnets = ["10.9.0.0/16"]
        lifetime_seconds = 3960
        rekey_margin_seconds = 360
        start = "passive"
        "#,
    );
    assert_eq!(psk(&imported, "gw-gw", 0), "a key # with { and }");
    assert_eq!(connection(&imported, "gw-gw").tunnels[0].remote_addresses[0].at.to_string(), "swanctl.conf:7:22");
    assert_told(&imported, Level::Warning, &["include more/*.conf", "fits no file"]);
    assert_told(&imported, Level::Note, &["`mark_in` has no meaning here"]);
    read_back(&imported);
}

#[test]
fn what_is_included_belongs_to_the_section_it_stands_in() {
    let main = MOON
        .replace("include more/*.conf", "")
        .replace("         host {", "         include kids/*.conf\n         host {");
    let kid = "lab {\n local_ts = 10.1.0.0/16\n remote_ts = 10.7.0.0/16\n start_action = start\n}\n";
    let imported = many(
        &[("/etc/swanctl/swanctl.conf", &main)],
        &[("/etc/swanctl/kids/a.conf", kid)],
        None,
        &here(&["192.0.2.1"]),
    );
    let names: Vec<&str> = connection(&imported, "gw-gw").children.iter().map(|child| child.name.as_str()).collect();
    assert_eq!(names, ["net-net", "lab", "host"]);
}

#[test]
fn what_cannot_be_carried_is_refused_with_its_place() {
    let with = |from: &str, to: &str| MOON.replace(from, to);
    let table = [
        ("a template", with("192.0.2.2", "PH_IP_SUN"), vec!["swanctl.conf:7:22", "`PH_IP_SUN` is the placeholder"]),
        (
            "certificates",
            with("auth = psk\n         id = moon", "auth = pubkey\n         id = moon"),
            vec!["swanctl.conf:14:17", "`auth = pubkey`", "pre-shared keys alone"],
        ),
        (
            "cut off",
            MOON.split_once("secrets {")
                .map_or(String::new(), |(before, _)| before.trim_end().trim_end_matches('}').to_owned()),
            vec!["swanctl.conf:3:1", "ends inside section `connections`"],
        ),
        ("a brace too many", format!("{MOON}\n}}\n"), vec!["a `}` closes nothing"]),
        ("prose", with("version = 2", "version 2"), vec!["swanctl.conf:5:7", "neither a section nor a key"]),
        (
            "no such suite",
            with("aes128gcm128-x25519", "3des-md5"),
            vec!["swanctl.conf:24:29", "no proposal that Underpass has"],
        ),
        ("transport", with("mark_in = 42", "mode = transport"), vec!["swanctl.conf:23:20", "tunnel mode alone"]),
        ("no children", with("children {", "kinder {"), vec!["has no children"]),
    ];
    for (what, text, words) in table {
        let imported = one("swanctl.conf", &text, &here(&["192.0.2.1"]));
        let errors = told(&imported, Level::Error);
        assert!(
            errors.iter().any(|text| words.iter().all(|word| text.contains(word))),
            "{what}: {words:?} not in {errors:#?}"
        );
        assert!(imported.connections.is_empty(), "{what}");
    }
    let imported = one("swanctl.conf", &with("dpd_delay", "dpd_dealy"), &here(&["192.0.2.1"]));
    assert_told(
        &imported,
        Level::Warning,
        &["swanctl.conf:10:7", "unknown key `dpd_dealy`", "did you mean `dpd_delay`?"],
    );
}
