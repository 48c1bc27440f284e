//! An ordinary user becomes root of namespaces of their own, without a trace outside. Runs in a process with a single thread.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::{env, fs};

use host::netlink::{Netlink, Route};
use host::netns::{NetNs, NetNsError, become_root_in_user_namespace};
use host::tun::{TunError, TunOptions, TunQueue};

/// Set in the process that has given root away.
const CHILD: &str = "UNDERPASS_TEST_UNPRIVILEGED";
const NOBODY: u32 = 65_534;

fn main() -> ExitCode {
    if env::var_os(CHILD).is_some() {
        return as_ordinary_user();
    }
    let running_as_root = fs::metadata("/proc/self").is_ok_and(|metadata| {
        use std::os::unix::fs::MetadataExt;
        metadata.uid() == 0
    });
    if !running_as_root {
        return as_ordinary_user();
    }
    assert!(!become_root_in_user_namespace().unwrap(), "root needs none");
    // A copy where everybody may execute it: the build directory may be closed to others.
    let copy = env::temp_dir().join(format!("underpass-userns-{}", std::process::id()));
    let prepared = env::current_exe().and_then(|program| fs::copy(program, &copy));
    if let Err(error) = prepared {
        eprintln!("skipped: cannot copy this program: {error}");
        return ExitCode::SUCCESS;
    }
    let status = Command::new(&copy).env(CHILD, "1").uid(NOBODY).gid(NOBODY).current_dir("/").status();
    fs::remove_file(&copy).unwrap();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => panic!("as an ordinary user: {status}"),
        Err(error) => {
            eprintln!("skipped: cannot run as an ordinary user: {error}");
            ExitCode::SUCCESS
        }
    }
}

fn as_ordinary_user() -> ExitCode {
    match become_root_in_user_namespace() {
        Ok(became_root) => assert!(became_root),
        Err(error @ NetNsError::UserNamespacesRestricted { .. }) => {
            assert!(error.to_string().contains("run with sudo"), "{error}");
            eprintln!("skipped: {error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => panic!("{error}"),
    }
    let (left, right) = (NetNs::new().unwrap(), NetNs::new().unwrap());
    left.run(|| {
        use std::os::fd::AsFd;
        let mut netlink = Netlink::open().unwrap();
        netlink.create_veth("left0", "right0", Some(right.as_fd())).unwrap();
        let wall = Route::unreachable("10.0.0.0/8".parse().unwrap(), 1000);
        netlink.add_route(&wall).unwrap();
        match TunQueue::open(&TunOptions::new("up0")) {
            Ok(queue) => println!("TUN device: {:?}", queue.capabilities()),
            Err(error @ (TunError::NoDevice | TunError::DeviceNotPermitted)) => {
                println!("skipped the TUN device: {error}");
            }
            Err(error) => panic!("{error}"),
        }
    })
    .unwrap();
    let moved = right.run(|| Netlink::open().unwrap().link_by_name("right0").unwrap());
    assert!(moved.unwrap().is_some());
    println!("an ordinary user has namespaces, links and routes of their own");
    ExitCode::SUCCESS
}
