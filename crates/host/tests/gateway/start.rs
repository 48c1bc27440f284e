//! What keeps a gateway from starting, and how it says so.

use crate::Test;
use crate::lab::{self, ENDS_A, INSIDE_A, Site};
use serde_json::json;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::{env, fs};

pub const TESTS: &[Test] = &[
    ("a_taken_port_is_reported_with_the_process_that_has_it", a_taken_port_is_reported),
    ("a_taken_interface_name_is_reported_with_what_to_do", a_taken_interface_name_is_reported),
    ("the_control_socket_of_a_living_gateway_is_not_replaced", a_living_control_socket_is_not_replaced),
    ("without_the_capability_it_says_what_to_do_and_leaves_nothing", without_the_capability_it_says_what_to_do),
    ("an_address_of_another_machine_is_refused", an_address_of_another_machine_is_refused),
];

fn site() -> Site {
    let site = Site::new(INSIDE_A);
    lab::configure(&site.namespace, "lo", &["192.0.2.1/32"]);
    site.write_config(&ENDS_A, "", "", "");
    site
}

fn a_taken_port_is_reported() {
    for port in [500, 4500] {
        let site = site();
        let _taken = site.namespace.run(|| UdpSocket::bind(("192.0.2.1", port)).unwrap()).unwrap();
        let said = site.start_in_vain();
        let pid = format!("pid {}", std::process::id());
        assert!(said.contains(&format!("port {port}")) && said.contains(&pid), "{said}");
        assert!(lab::routes(&site.namespace).is_empty() && !site.control_path().exists());
    }
}

fn a_taken_interface_name_is_reported() {
    let site = site();
    lab::netlink(&site.namespace, |netlink| netlink.create_veth("up0", "other", None).unwrap());
    let said = site.start_in_vain();
    assert!(said.contains("up0 exists already") && said.contains("ip link delete up0"), "{said}");
    assert!(lab::routes(&site.namespace).is_empty());
}

fn a_living_control_socket_is_not_replaced() {
    let mut first = site();
    first.start();
    let second = site();
    let text = fs::read_to_string(second.folder.join("underpass.toml")).unwrap();
    let (ours, theirs) = (second.control_path().display().to_string(), first.control_path().display().to_string());
    second.write_raw(&text.replace(&ours, &theirs));
    let said = second.start_in_vain();
    assert!(said.contains("another gateway already answers"), "{said}");
    assert!(first.try_ask(&json!({"command": "status"})).is_some(), "the first still answers");
}

fn without_the_capability_it_says_what_to_do() {
    const NOBODY: u32 = 65_534;
    let site = site();
    // A copy where everybody may execute it, files that everybody may read, and ports that everybody may open.
    let program = site.folder.join("program");
    fs::copy(env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&site.folder, fs::Permissions::from_mode(0o777)).unwrap();
    let ports = site.namespace.run(|| fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")).unwrap();
    ports.unwrap();
    let mut command = std::process::Command::new(&program);
    command.arg(lab::RUN_GATEWAY).arg(site.folder.join("underpass.toml")).uid(NOBODY).gid(NOBODY);
    let output = site.namespace.run(|| command.output().unwrap()).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    let says_what_to_do =
        said.contains("CAP_NET_ADMIN") || said.contains("run as root") || said.contains("/dev/net/tun");
    assert!(says_what_to_do, "{said}");
    assert!(lab::routes(&site.namespace).is_empty() && !site.control_path().exists());
}

fn an_address_of_another_machine_is_refused() {
    let site = Site::new(INSIDE_A);
    site.write_config(&ENDS_A, "", "", "");
    let said = site.start_in_vain();
    assert!(said.contains("192.0.2.1:500 is not an address of this machine"), "{said}");
}
