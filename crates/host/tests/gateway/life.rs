//! Crash, restart, stop and reload: nothing leaves in clear, nothing is left over, and a bad file changes nothing.

use crate::Test;
use crate::lab::{self, INSIDE_A, INSIDE_B, Site, until};
use std::fs;

pub const TESTS: &[Test] = &[
    ("a_killed_gateway_leaves_a_wall_and_its_successor_takes_over", a_killed_gateway_leaves_a_wall),
    ("an_orderly_stop_removes_the_routes_and_tells_the_peer", an_orderly_stop_removes_the_routes),
    ("an_orderly_stop_keeps_the_wall_where_it_is_configured_to", an_orderly_stop_keeps_the_wall),
    ("a_gateway_that_loses_its_interface_ends_behind_the_wall", a_gateway_that_loses_its_interface_ends),
    ("a_broken_file_changes_nothing_on_reload", a_broken_file_changes_nothing),
    ("a_reload_touches_only_what_changed", a_reload_touches_only_what_changed),
    ("settings_of_the_machine_are_told_or_managed_and_given_back", settings_are_told_or_managed),
];

/// What happens to a datagram for the other inside now.
fn refusal(site: &Site) -> Option<i32> {
    lab::socket(&site.namespace, INSIDE_A).send_to(b"clear text", (INSIDE_B, 9)).err()?.raw_os_error()
}

const UNREACHABLE: i32 = 113;

fn a_killed_gateway_leaves_a_wall() {
    let (mut a, b) = lab::tunnel("", "");
    // A way out in clear, had it not been for the wall.
    lab::netlink(&a.namespace, |netlink| {
        let way_out = host::netlink::Route::via(lab::prefix("0.0.0.0/0"), "192.0.2.2".parse().unwrap())
            .protocol(host::netlink::STATIC_PROTOCOL);
        netlink.add_route(&way_out).unwrap();
    });
    lab::wait_for_traffic(&a, &b);
    a.kill();
    assert_eq!(refusal(&a), Some(UNREACHABLE), "nothing leaves in clear");
    let wall: Vec<String> = lab::routes(&a.namespace);
    assert!(matches!(wall.as_slice(), [one] if one.starts_with("unreachable 10.93.1.0/24")), "{wall:?}");
    a.start();
    lab::wait_for_traffic(&a, &b);
    assert_eq!(lab::routes(&a.namespace).len(), 2, "one wall, one route into the tunnel");
    // The peer learned that its SA was of a former life.
    until("one SA pair at the peer", || (b.child()["sas"] == 1).then_some(()));
}

fn an_orderly_stop_removes_the_routes() {
    let (mut a, b) = lab::tunnel("", "");
    a.signal("TERM");
    assert!(a.wait().success(), "{}", a.log());
    assert!(lab::routes(&a.namespace).is_empty());
    assert!(!a.control_path().exists());
    until("the peer knows", || (!b.is_up()).then_some(()));
    assert!(b.log().contains("peer_deleted"), "{}", b.log());
}

fn an_orderly_stop_keeps_the_wall() {
    let (mut a, _b) = lab::tunnel("unreachable_on_stop = \"keep\"", "");
    a.signal("TERM");
    assert!(a.wait().success(), "{}", a.log());
    let wall = lab::routes(&a.namespace);
    assert!(matches!(wall.as_slice(), [one] if one.starts_with("unreachable")), "{wall:?}");
    assert_eq!(refusal(&a), Some(UNREACHABLE));
}

fn a_gateway_that_loses_its_interface_ends() {
    let (mut a, b) = lab::tunnel("", "");
    lab::netlink(&a.namespace, |netlink| {
        let link = netlink.link_by_name("up0").unwrap().unwrap().index;
        netlink.delete_link(link).unwrap();
    });
    assert!(!a.wait().success(), "whoever watches it must start it again");
    assert_eq!(refusal(&a), Some(UNREACHABLE));
    a.start();
    lab::wait_for_traffic(&a, &b);
}

fn a_broken_file_changes_nothing() {
    let (a, b) = lab::tunnel("", "");
    let before = (a.child()["spi_in"].clone(), a.child()["spi_out"].clone(), lab::routes(&a.namespace));
    let path = a.folder.join("underpass.toml");
    let good = fs::read_to_string(&path).unwrap();
    for bad in ["[connection.x\n", "[connection.x]\nremote_adress = \"192.0.2.9\"\n", "\u{0}\u{1}"] {
        let (told, text) = (a.events("reload_failed").len(), format!("{good}\n{bad}"));
        fs::write(&path, text).unwrap();
        a.signal("HUP");
        until("it says that it did not reload", || (a.events("reload_failed").len() > told).then_some(()));
        let after = (a.child()["spi_in"].clone(), a.child()["spi_out"].clone(), lab::routes(&a.namespace));
        assert_eq!(before, after, "{bad:?}");
    }
    lab::wait_for_traffic(&a, &b);
}

fn a_reload_touches_only_what_changed() {
    let (a, b) = lab::tunnel("", "");
    let spi = a.child()["spi_in"].clone();
    let path = a.folder.join("underpass.toml");
    let text = fs::read_to_string(&path).unwrap();
    let more = "[connection.y]\nlocal_address = \"192.0.2.1\"\nremote_address = \"192.0.2.99\"\npsk = \"x\"\n\
                [connection.y.child.net]\nlocal_subnets = [\"10.91.1.0/24\"]\nremote_subnets = [\"10.95.0.0/16\"]\n\
                start = \"passive\"\n";
    let walls = || lab::routes(&a.namespace).into_iter().filter(|route| route.starts_with("unreachable")).count();
    fs::write(&path, format!("{text}\n{more}")).unwrap();
    a.signal("HUP");
    until("the new connection is there", || (a.status()["connections"].as_array()?.len() == 2).then_some(()));
    assert_eq!((walls(), a.child()["spi_in"].clone()), (2, spi.clone()), "the tunnel that was there is the same");
    fs::write(&path, &text).unwrap();
    a.signal("HUP");
    until("it is gone again", || (a.status()["connections"].as_array()?.len() == 1).then_some(()));
    assert_eq!((walls(), a.child()["spi_in"].clone()), (1, spi));
    assert_eq!(a.events("reloaded").len(), 2);
    lab::wait_for_traffic(&a, &b);
}

/// A setting in the namespace of a site.
fn sysctl(site: &Site, path: &str) -> String {
    let path = format!("/proc/sys/net/{path}");
    site.namespace.run(|| fs::read_to_string(path).unwrap().trim().to_owned()).unwrap()
}

fn set_sysctl(site: &Site, path: &str, value: &str) {
    let path = format!("/proc/sys/net/{path}");
    site.namespace.run(|| fs::write(path, value).unwrap()).unwrap();
}

fn settings_are_told_or_managed() {
    const RP: &str = "ipv4/conf/all/rp_filter";
    const FORWARD: &str = "ipv4/ip_forward";
    let (mut a, _b) = lab::pair("", "");
    set_sysctl(&a, RP, "1");
    set_sysctl(&a, FORWARD, "0");
    a.write_config(&lab::ENDS_A, "", "", "");
    a.start();
    until("both are told", || (a.events("sysctl").len() == 2).then_some(()));
    assert_eq!((sysctl(&a, RP), sysctl(&a, FORWARD)), ("1".to_owned(), "0".to_owned()), "told only");
    assert_eq!(sysctl(&a, "ipv4/conf/up0/rp_filter"), "0", "our own interface");
    a.signal("TERM");
    a.wait();

    let state = a.folder.join("state");
    fs::create_dir_all(&state).unwrap();
    let managed = format!("sysctls = \"manage\"\nstate_directory = \"{}\"", state.display());
    a.write_config(&lab::ENDS_A, &managed, "", "");
    a.start();
    until("they are set", || (sysctl(&a, RP) == "2" && sysctl(&a, FORWARD) == "1").then_some(()));
    a.kill();
    a.start();
    a.signal("TERM");
    assert!(a.wait().success(), "{}", a.log());
    let found = (sysctl(&a, RP), sysctl(&a, FORWARD));
    assert_eq!(found, ("1".to_owned(), "0".to_owned()), "what the first one found, though it crashed in between");
    assert!(!state.join("sysctl.json").exists());
}
