//! What happens around a gateway: addresses and routes that vanish and return, paths that carry less, traffic around it.

use crate::Test;
use crate::lab::{self, ENDS_A, ENDS_B, Ends, INSIDE_A, INSIDE_B, Site, prefix, until};
use host::netlink::{Route, STATIC_PROTOCOL};
use host::netns::NetNs;
use std::fs;

pub const TESTS: &[Test] = &[
    ("a_tunnel_returns_with_the_address_it_lost", a_tunnel_returns_with_the_address_it_lost),
    ("a_deleted_route_of_ours_is_set_again", a_deleted_route_is_set_again),
    ("an_interface_set_down_comes_up_again_with_its_routes", an_interface_set_down_comes_up_again),
    ("a_narrow_link_on_the_way_shrinks_the_tunnel_in_udp", a_narrow_link_shrinks_the_tunnel_in_udp),
    ("a_narrow_link_on_the_way_shrinks_the_tunnel_in_plain_esp", a_narrow_link_shrinks_the_tunnel_in_esp),
    ("a_narrow_link_of_our_own_shrinks_the_tunnel", a_narrow_link_of_our_own_shrinks_the_tunnel),
    ("bypassed_traffic_takes_the_route_it_had_and_follows_it", bypassed_traffic_takes_the_route_it_had),
    ("a_name_that_does_not_resolve_is_reported_and_holds_up_nothing", a_name_that_does_not_resolve),
];

const QUICK: &str = "dpd_interval_seconds = 1\ndpd_timeout_seconds = 3\nretransmit_initial_milliseconds = 200";

fn a_tunnel_returns_with_the_address_it_lost() {
    let (a, b) = lab::tunnel("", QUICK);
    let address = prefix("192.0.2.1/24");
    let link = lab::netlink(&a.namespace, |netlink| {
        let link = netlink.link_by_name("wan").unwrap().unwrap().index;
        assert!(netlink.delete_address(link, address).unwrap());
        link
    });
    until("both ends notice", || (!a.is_up() && !b.is_up()).then_some(()));
    lab::netlink(&a.namespace, |netlink| netlink.add_address(link, address).unwrap());
    a.wait_up();
    lab::wait_for_traffic(&a, &b);
}

fn a_deleted_route_is_set_again() {
    let (a, b) = lab::tunnel("", "");
    let before = lab::routes(&a.namespace);
    assert_eq!(before.len(), 2);
    lab::netlink(&a.namespace, |netlink| {
        for route in netlink.our_routes().unwrap() {
            assert!(netlink.delete_route(&route).unwrap());
        }
    });
    until("the routes are back", || (lab::routes(&a.namespace) == before).then_some(()));
    lab::wait_for_traffic(&a, &b);
    let told = a.events("routes_repaired").len();
    assert!((1..=2).contains(&told), "told for each look at most, not for what it did itself: {told}");
}

fn an_interface_set_down_comes_up_again() {
    let (a, b) = lab::tunnel("", "");
    let before = lab::routes(&a.namespace);
    lab::netlink(&a.namespace, |netlink| {
        let link = netlink.link_by_name("up0").unwrap().unwrap().index;
        netlink.set_up(link, false).unwrap();
    });
    until("the routes are back", || (lab::routes(&a.namespace) == before).then_some(()));
    lab::wait_for_traffic(&a, &b);
}

/// Addresses of two sites and of the router between them, on both of its sides.
struct Way {
    a: [&'static str; 2],
    b: [&'static str; 2],
    everywhere: &'static str,
    len: u8,
    forwarding: &'static str,
}

const OVER_V4: Way = Way {
    a: ["198.51.100.1", "198.51.100.2"],
    b: ["198.51.100.5", "198.51.100.6"],
    everywhere: "198.51.100.0/24",
    len: 30,
    forwarding: "/proc/sys/net/ipv4/ip_forward",
};
const OVER_V6: Way = Way {
    a: ["2001:db8:1::1", "2001:db8:1::2"],
    b: ["2001:db8:2::1", "2001:db8:2::2"],
    everywhere: "2001:db8::/32",
    len: 64,
    forwarding: "/proc/sys/net/ipv6/conf/all/forwarding",
};

/// Two sites with a router between them whose link to B carries 1400 bytes.
fn with_narrow_router(way: &Way, connection: &str) -> (Site, Site, NetNs) {
    let (mut a, mut b, router) = (Site::new(INSIDE_A), Site::new(INSIDE_B), NetNs::new().unwrap());
    lab::wire((&a.namespace, "wan"), (&router, "to-a"));
    lab::wire((&b.namespace, "wan"), (&router, "to-b"));
    router.run(|| fs::write(way.forwarding, "1").unwrap()).unwrap();
    let with_len = |address: &str| format!("{address}/{}", way.len);
    for (site, [ours, hop]) in [(&a, way.a), (&b, way.b)] {
        lab::configure(&site.namespace, "wan", &[&with_len(ours)]);
        let route = Route::via(prefix(way.everywhere), hop.parse().unwrap()).protocol(STATIC_PROTOCOL);
        lab::netlink(&site.namespace, |netlink| netlink.add_route(&route).unwrap());
    }
    lab::configure(&router, "to-a", &[&with_len(way.a[1])]);
    let narrow = lab::configure(&router, "to-b", &[&with_len(way.b[1])]);
    lab::netlink(&router, |netlink| netlink.set_mtu(narrow, 1400).unwrap());
    let ends_a = Ends { local: way.a[0], remote: way.b[0], ..ENDS_A };
    let ends_b = Ends { local: way.b[0], remote: way.a[0], ..ENDS_B };
    a.write_config(&ends_a, "", connection, "");
    b.write_config(&ends_b, "", connection, "start = \"passive\"");
    b.start();
    a.start();
    a.wait_up();
    (a, b, router)
}

/// Sends large datagrams from A until its tunnel is narrower than `before`; then one of the new size must cross.
fn shrinks(a: &Site, b: &Site, expected_path: u64) {
    let before = a.child()["mtu"].as_u64().unwrap();
    let (here, there) = (lab::socket(&a.namespace, INSIDE_A), lab::socket(&b.namespace, INSIDE_B));
    let to = there.local_addr().unwrap();
    let payload = vec![7; before as usize - 28];
    let after = until("the tunnel is narrower", || {
        // Our own kernel refuses it once it knows better.
        let _ = here.send_to(&payload, to);
        a.child()["mtu"].as_u64().filter(|mtu| *mtu < before)
    });
    assert!((before - after).abs_diff(1500 - expected_path) <= 4, "{before} to {after}");
    let mtu = lab::netlink(&a.namespace, |netlink| netlink.link_by_name("up0").unwrap().unwrap().mtu);
    assert_eq!(u64::from(mtu), after, "the interface follows");
    assert_eq!(a.events("path_mtu").len(), 1, "told once");
    let payload = vec![9; after as usize - 28];
    let mut buffer = vec![0; 2000];
    until("a datagram of that size crosses", || {
        here.send_to(&payload, to).ok()?;
        let (len, _) = there.recv_from(&mut buffer).ok()?;
        (buffer.get(..len) == Some(&payload[..])).then_some(())
    });
}

fn a_narrow_link_shrinks_the_tunnel_in_udp() {
    for way in [OVER_V4, OVER_V6] {
        let (a, b, _router) = with_narrow_router(&way, "df = \"set\"\nencapsulation = \"force\"");
        assert_eq!(a.child()["encapsulation"], "udp");
        shrinks(&a, &b, 1400);
    }
}

fn a_narrow_link_shrinks_the_tunnel_in_esp() {
    for way in [OVER_V4, OVER_V6] {
        let (a, b, _router) = with_narrow_router(&way, "df = \"set\"");
        assert_eq!(a.child()["encapsulation"], "esp");
        shrinks(&a, &b, 1400);
    }
}

fn a_narrow_link_of_our_own_shrinks_the_tunnel() {
    for connection in ["encapsulation = \"force\"", ""] {
        let (a, b) = lab::tunnel("", connection);
        lab::netlink(&a.namespace, |netlink| {
            let link = netlink.link_by_name("wan").unwrap().unwrap().index;
            netlink.set_mtu(link, 1300).unwrap();
        });
        shrinks(&a, &b, 1300);
    }
}

fn bypassed_traffic_takes_the_route_it_had() {
    let (mut a, mut b) = lab::pair("", "");
    let policy = "[policy.printer]\naction = \"bypass\"\nlocal = [\"10.91.1.0/24\"]\nremote = [\"10.93.1.9/32\"]\n";
    a.write_config(&ENDS_A, "", "", policy);
    // Beside the wire to B one to where 10.93.1.9 is.
    let side = NetNs::new().unwrap();
    lab::wire((&a.namespace, "side"), (&side, "side"));
    let link = lab::configure(&a.namespace, "side", &["203.0.113.1/24"]);
    lab::configure(&side, "side", &["203.0.113.2/24", "203.0.113.3/24"]);
    lab::configure(&side, "lo", &["10.93.1.9/32"]);
    let towards = |hop: &str| Route::via(prefix("10.93.0.0/16"), hop.parse().unwrap()).protocol(STATIC_PROTOCOL);
    lab::netlink(&a.namespace, |netlink| netlink.add_route(&towards("203.0.113.2")).unwrap());
    b.start();
    a.start();
    lab::wait_for_traffic(&a, &b);
    let copy = |hop: &str| format!("10.93.1.9/32 via {hop} dev #{link} metric 49");
    assert!(lab::routes(&a.namespace).contains(&copy("203.0.113.2")), "{:?}", lab::routes(&a.namespace));
    let (here, printer) = (lab::socket(&a.namespace, INSIDE_A), lab::socket(&side, "10.93.1.9"));
    here.send_to(b"print this", printer.local_addr().unwrap()).unwrap();
    let mut buffer = [0; 64];
    assert_eq!(printer.recv_from(&mut buffer).unwrap().0, 10, "in clear, to where it always went");
    lab::netlink(&a.namespace, |netlink| netlink.replace_route(&towards("203.0.113.3")).unwrap());
    until("the copy follows", || lab::routes(&a.namespace).contains(&copy("203.0.113.3")).then_some(()));
    a.signal("TERM");
    a.wait();
    assert!(lab::routes(&a.namespace).iter().all(|route| !route.contains("dev")), "the original stays, the copy goes");
}

fn a_name_that_does_not_resolve() {
    let (mut a, mut b) = lab::pair("", "");
    let text = fs::read_to_string(a.folder.join("underpass.toml")).unwrap();
    let more = "[connection.y]\nlocal_address = \"192.0.2.1\"\nremote_address = \"peer.invalid\"\npsk = \"x\"\n\
                remote_id = \"peer.invalid\"\n[connection.y.child.net]\nlocal_subnets = [\"10.91.1.0/24\"]\n\
                remote_subnets = [\"10.95.0.0/16\"]\n";
    a.write_raw(&format!("{text}\n{more}"));
    b.start();
    a.start();
    lab::wait_for_traffic(&a, &b);
    let told = until("it says so", || a.events("name_unresolved").into_iter().next());
    assert!(told["message"].as_str().unwrap().contains("peer.invalid"), "{told}");
}
