//! Links, addresses, routes and their changes, in namespaces of their own.
#![allow(clippy::unwrap_used, clippy::panic)]

mod namespace;

use std::net::UdpSocket;

use host::netlink::{Change, Monitor, Netlink, Prefix, Route, RouteKind};
use host::netns::NetNs;
use namespace::{in_new_namespace, wait_readable};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// A veth pair between `here` (10.0.0.1, 2001:db8::1) and a new namespace (…2); returns our link's index and the namespace.
fn wire(netlink: &mut Netlink) -> (u32, NetNs) {
    use std::os::fd::AsFd;
    let other = NetNs::new().unwrap();
    netlink.create_veth("here0", "there0", Some(other.as_fd())).unwrap();
    let here = netlink.link_by_name("here0").unwrap().unwrap();
    other
        .run(|| {
            let mut netlink = Netlink::open().unwrap();
            let there = netlink.link_by_name("there0").unwrap().unwrap();
            configure(&mut netlink, there.index, ["10.0.0.2/24", "2001:db8::2/64"]);
        })
        .unwrap();
    configure(netlink, here.index, ["10.0.0.1/24", "2001:db8::1/64"]);
    (here.index, other)
}

fn configure(netlink: &mut Netlink, link: u32, addresses: [&str; 2]) {
    for address in addresses {
        netlink.add_address(link, prefix(address)).unwrap();
    }
    netlink.set_up(link, true).unwrap();
}

#[test]
fn two_namespaces_joined_by_a_wire_talk_over_both_ip_versions() {
    in_new_namespace(|_| {
        let mut netlink = Netlink::open().unwrap();
        let (link, other) = wire(&mut netlink);
        for (ours, theirs) in [("10.0.0.1:0", "10.0.0.2:7"), ("[2001:db8::1]:0", "[2001:db8::2]:7")] {
            let receiver = other.run(|| UdpSocket::bind(theirs).unwrap()).unwrap();
            let sender = UdpSocket::bind(ours).unwrap();
            sender.send_to(b"hello", theirs).unwrap();
            wait_readable(&receiver);
            let mut buffer = [0; 16];
            let (len, from) = receiver.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..len], from), (&b"hello"[..], sender.local_addr().unwrap()));
        }
        let link = netlink.link_by_index(link).unwrap().unwrap();
        assert!(link.up && link.running && !link.loopback);
        assert_eq!((link.name.as_str(), link.mtu), ("here0", 1500));
    });
}

#[test]
fn links_are_changed_moved_and_deleted() {
    in_new_namespace(|_| {
        use std::os::fd::AsFd;
        let mut netlink = Netlink::open().unwrap();
        netlink.create_veth("a0", "b0", None).unwrap();
        let a = netlink.link_by_name("a0").unwrap().unwrap().index;
        let b = netlink.link_by_name("b0").unwrap().unwrap().index;
        netlink.set_mtu(a, 1280).unwrap();
        assert_eq!(netlink.link_by_index(a).unwrap().unwrap().mtu, 1280);
        let other = NetNs::new().unwrap();
        netlink.move_link(b, other.as_fd()).unwrap();
        assert_eq!(netlink.link_by_name("b0").unwrap(), None);
        let moved = other.run(|| Netlink::open().unwrap().link_by_name("b0").unwrap());
        assert!(moved.unwrap().is_some());
        netlink.delete_link(a).unwrap();
        assert_eq!(netlink.link_by_name("a0").unwrap(), None);
        let error = netlink.delete_link(a).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENODEV));
        assert!(error.to_string().contains("delete interface"), "{error}");
    });
}

#[test]
fn addresses_come_and_go_and_ipv6_ones_are_usable_at_once() {
    in_new_namespace(|_| {
        let mut netlink = Netlink::open().unwrap();
        for text in ["192.0.2.7/32", "2001:db8::7/128"] {
            netlink.add_address(1, prefix(text)).unwrap();
            netlink.add_address(1, prefix(text)).unwrap();
            let addresses = netlink.addresses().unwrap();
            let found = addresses.iter().find(|address| address.prefix == prefix(text)).unwrap();
            assert_eq!((found.link, found.tentative), (1, false));
            UdpSocket::bind((prefix(text).address(), 0)).unwrap();
            assert!(netlink.delete_address(1, prefix(text)).unwrap());
            assert!(!netlink.delete_address(1, prefix(text)).unwrap());
        }
    });
}

#[test]
fn an_unreachable_route_takes_over_when_the_better_route_or_its_interface_goes() {
    in_new_namespace(|_| {
        let mut netlink = Netlink::open().unwrap();
        let (link, _other) = wire(&mut netlink);
        for (protected, source, target) in [
            ("10.20.0.0/16", "10.0.0.1:0", "10.20.0.1:9"),
            ("2001:db8:20::/48", "[2001:db8::1]:0", "[2001:db8:20::1]:9"),
        ] {
            let socket = UdpSocket::bind(source).unwrap();
            let wall = Route::unreachable(prefix(protected), 4_000_000_000);
            netlink.replace_route(&wall).unwrap();
            netlink.replace_route(&wall).unwrap();
            let refused = |socket: &UdpSocket| {
                let result = socket.send_to(b"clear text", target);
                result.unwrap_err().raw_os_error() == Some(libc::EHOSTUNREACH)
            };
            assert!(refused(&socket), "{protected}");
            let tunnel = Route::out_of(prefix(protected), link).metric(100);
            netlink.add_route(&tunnel).unwrap();
            let again = netlink.add_route(&tunnel).unwrap_err();
            assert_eq!(again.errno(), Some(libc::EEXIST));
            socket.send_to(b"by the tunnel", target).unwrap();
            assert!(netlink.delete_route(&tunnel).unwrap());
            assert!(!netlink.delete_route(&tunnel).unwrap());
            assert!(refused(&socket), "{protected}");
            netlink.add_route(&tunnel).unwrap();
        }
        netlink.delete_link(link).unwrap();
        let left = netlink.our_routes().unwrap();
        let expected = ["10.20.0.0/16", "2001:db8:20::/48"].map(|text| Route::unreachable(prefix(text), 4_000_000_000));
        assert_eq!(left, expected, "the walls outlive the interface");
    });
}

#[test]
fn our_routes_are_listed_as_they_were_asked_for_and_no_others() {
    in_new_namespace(|_| {
        let mut netlink = Netlink::open().unwrap();
        let (link, _other) = wire(&mut netlink);
        let mut routes = vec![
            Route::via(prefix("10.1.0.0/16"), "10.0.0.2".parse().unwrap()).metric(50),
            Route::throw(prefix("10.2.0.0/16"), 1000),
            Route::out_of(prefix("0.0.0.0/0"), link).metric(7),
            Route::via(prefix("2001:db8:1::/48"), "2001:db8::2".parse().unwrap()).metric(50),
            Route::out_of(prefix("::/0"), link).metric(7),
        ];
        routes[0].link = Some(link);
        routes[0].source = Some("10.0.0.1".parse().unwrap());
        routes[2].mtu = Some(1400);
        routes[3].link = Some(link);
        for route in &routes {
            netlink.add_route(route).unwrap();
        }
        let mut listed = netlink.our_routes().unwrap();
        let order = |route: &Route| (route.destination, route.table);
        listed.sort_by_key(order);
        routes.sort_by_key(order);
        // An IPv6 throw route without a metric would come back with the kernel's 1024, so only IPv4 is asked for here.
        assert_eq!(listed, routes, "the on-link routes of the wire are not ours");
        assert!(listed.iter().any(|route| route.kind == RouteKind::Throw));
        for route in &listed {
            assert!(netlink.delete_route(route).unwrap(), "{route}");
        }
        assert!(netlink.our_routes().unwrap().is_empty());
    });
}

#[test]
fn links_and_addresses_that_vanish_and_return_are_reported() {
    in_new_namespace(|_| {
        let mut monitor = Monitor::open().unwrap();
        monitor.changes().unwrap();
        let mut netlink = Netlink::open().unwrap();
        let (link, _other) = wire(&mut netlink);
        wait_readable(&monitor);
        let changes = monitor.changes().unwrap();
        assert!(
            changes.iter().any(|change| { matches!(change, Change::Link(found) if found.index == link && found.up) })
        );
        assert!(
            changes
                .iter()
                .any(|change| { matches!(change, Change::Address(found) if found.prefix == prefix("10.0.0.1/24")) })
        );
        netlink.delete_address(link, prefix("10.0.0.1/24")).unwrap();
        netlink.delete_link(link).unwrap();
        wait_readable(&monitor);
        let changes = monitor.changes().unwrap();
        let gone =
            |change: &Change| matches!(change, Change::AddressGone(found) if found.prefix == prefix("10.0.0.1/24"));
        assert!(changes.iter().any(gone));
        assert!(changes.iter().any(|change| { matches!(change, Change::LinkGone(found) if found.index == link) }));
    });
}
