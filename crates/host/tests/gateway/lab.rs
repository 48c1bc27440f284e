//! Two sites and a wire between them, each a namespace with a gateway process:
//!
//! ```text
//!   10.91.1.1 (lo)  A  192.0.2.1 wan ───── wan 192.0.2.2  B  (lo) 10.93.1.1
//! ```

use formats::underpass_toml::{self, UnreachableOnStop};
use formats::{SourceFile, rfc3339};
use host::control::ControlClient;
use host::gateway::Options;
use host::netlink::{Netlink, Prefix, Route};
use host::netns::NetNs;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// First argument of a process that is to be a gateway.
pub const RUN_GATEWAY: &str = "run-gateway";
/// Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(30);

pub const INSIDE_A: &str = "10.91.1.1";
pub const INSIDE_B: &str = "10.93.1.1";

/// Reads the configuration and the secrets beside it, and runs the gateway in this process.
pub fn run_gateway(config: &str, _rest: &[String]) -> ExitCode {
    let load = |path: &Path| underpass_toml::parse(&[source(path)], &[source(&path.with_file_name("secrets.toml"))]);
    let path = PathBuf::from(config);
    let loaded = match load(&path) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            diagnostics.iter().for_each(|diagnostic| eprintln!("{diagnostic}"));
            return ExitCode::FAILURE;
        }
    };
    let options = Options {
        desired: loaded.state,
        interface: loaded.host.interface,
        listen: loaded.host.listen,
        socket: loaded.host.socket.into(),
        metrics: loaded.host.metrics,
        state: loaded.host.state_directory.map(Into::into),
        manage_sysctls: loaded.host.manage_sysctls,
        vici_socket: loaded.host.vici_socket.map(PathBuf::from),
        keep_unreachable: loaded.host.unreachable_on_stop == UnreachableOnStop::Keep,
        json_log: true,
        reload: Box::new(move || match load(&path) {
            Ok(loaded) => Ok(loaded.state),
            Err(diagnostics) => Err(diagnostics.iter().map(ToString::to_string).collect()),
        }),
        version: "test",
        timestamp: rfc3339,
    };
    match host::gateway::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn source(path: &Path) -> SourceFile {
    SourceFile::new(path.display().to_string(), fs::read_to_string(path).unwrap_or_default())
}

/// Waits until `condition` gives something, looking often; fails the test with `what` after [`PATIENCE`].
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// Runs something with a netlink handle of a namespace.
pub fn netlink<T: Send>(namespace: &NetNs, work: impl FnOnce(&mut Netlink) -> T + Send) -> T {
    namespace.run(|| work(&mut Netlink::open().unwrap())).unwrap()
}

/// Our routes in a namespace, as text.
pub fn routes(namespace: &NetNs) -> Vec<String> {
    netlink(namespace, |netlink| netlink.our_routes().unwrap().iter().map(Route::to_string).collect())
}

/// A UDP socket in a namespace that waits a quarter of a second for a datagram.
pub fn socket(namespace: &NetNs, address: &str) -> UdpSocket {
    let socket = namespace.run(|| UdpSocket::bind((address, 0)).unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
    socket
}

/// An interface of that name with addresses, up; returns its index.
pub fn configure(namespace: &NetNs, name: &str, addresses: &[&str]) -> u32 {
    netlink(namespace, |netlink| {
        let link = netlink.link_by_name(name).unwrap().unwrap().index;
        netlink.set_up(link, true).unwrap();
        for address in addresses {
            netlink.add_address(link, prefix(address)).unwrap();
        }
        link
    })
}

/// Joins two namespaces by a wire; the ends are still to be configured.
pub fn wire(a: (&NetNs, &str), b: (&NetNs, &str)) {
    netlink(a.0, |netlink| netlink.create_veth(a.1, b.1, Some(b.0.as_fd())).unwrap());
}

/// One end: a namespace, a folder for its files, and a gateway when it runs.
pub struct Site {
    pub namespace: NetNs,
    pub folder: PathBuf,
    process: Option<Child>,
}

impl Site {
    /// A site without a gateway.
    pub fn new(inside: &str) -> Site {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("underpass-gateway-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let namespace = NetNs::new().unwrap();
        configure(&namespace, "lo", &[&format!("{inside}/32")]);
        Site { namespace, folder, process: None }
    }

    /// Writes the configuration: `gateway` and `connection` are lines of these tables, `rest` whatever else.
    pub fn write_config(&self, ends: &Ends, gateway: &str, connection: &str, rest: &str) {
        let (socket, Ends { local, remote, inside, outside }) = (self.control_path(), ends);
        let text = format!(
            "[gateway]\ninterface = \"up0\"\nlisten = [\"{local}\"]\nsocket = \"{}\"\n{gateway}\n\
             [connection.x]\nlocal_address = \"{local}\"\nremote_address = \"{remote}\"\n{connection}\n\
             [connection.x.child.net]\nlocal_subnets = [\"{inside}\"]\nremote_subnets = [\"{outside}\"]\n{rest}\n",
            socket.display()
        );
        self.write_raw(&text);
    }

    /// Writes the configuration as it is given.
    pub fn write_raw(&self, text: &str) {
        fs::write(self.folder.join("underpass.toml"), text).unwrap();
        fs::write(self.folder.join("secrets.toml"), "[psk]\nx = \"a key for this test, 32 octets!!\"\n").unwrap();
    }

    pub fn control_path(&self) -> PathBuf {
        self.folder.join("control")
    }

    /// The command that runs the gateway here; its log goes to a file.
    pub fn command(&self) -> Command {
        let log = File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(RUN_GATEWAY).arg(self.folder.join("underpass.toml")).stderr(log);
        command
    }

    /// Starts the gateway and waits until it answers.
    pub fn start(&mut self) {
        let mut command = self.command();
        self.process = Some(self.namespace.run(|| command.spawn().unwrap()).unwrap());
        until("the gateway answers", || {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the gateway ended: {}", self.log());
            self.try_ask(&json!({"command": "status"}))
        });
    }

    /// Starts the gateway, which will not run; returns what it says.
    pub fn start_in_vain(&self) -> String {
        let mut command = self.command();
        let status = self.namespace.run(|| command.status().unwrap()).unwrap();
        assert!(!status.success(), "it ran");
        self.log()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Log records of one kind.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let lines = self.log();
        let records = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records.filter(|record| record["event"] == kind).collect()
    }

    pub fn client(&self) -> Option<ControlClient> {
        ControlClient::connect(&self.control_path(), PATIENCE).ok()
    }

    pub fn try_ask(&self, request: &Value) -> Option<Value> {
        let answer = self.client()?.request(request).ok()?;
        (answer["ok"] == true).then(|| answer["result"].clone())
    }

    pub fn status(&self) -> Value {
        self.try_ask(&json!({"command": "status"})).unwrap_or_else(|| panic!("no status: {}", self.log()))
    }

    /// The first child of the only connection.
    pub fn child(&self) -> Value {
        self.status()["connections"][0]["children"][0].clone()
    }

    pub fn is_up(&self) -> bool {
        self.child()["state"] == "up"
    }

    pub fn wait_up(&self) {
        until("the tunnel is up", || self.is_up().then_some(()));
    }

    pub fn signal(&self, name: &str) {
        let pid = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        let process = self.process.as_mut().unwrap();
        let status = until("the gateway ends", || process.try_wait().unwrap());
        self.process = None;
        status
    }

    /// As a crash ends it.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("log of {}:\n{}", self.folder.display(), self.log());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Addresses of a tunnel, seen from one of its ends.
pub struct Ends {
    pub local: &'static str,
    pub remote: &'static str,
    pub inside: &'static str,
    pub outside: &'static str,
}

pub const ENDS_A: Ends =
    Ends { local: "192.0.2.1", remote: "192.0.2.2", inside: "10.91.1.0/24", outside: "10.93.1.0/24" };
pub const ENDS_B: Ends =
    Ends { local: "192.0.2.2", remote: "192.0.2.1", inside: "10.93.1.0/24", outside: "10.91.1.0/24" };

/// Two sites with a wire between them, configured alike, not started. A calls, B answers.
pub fn pair(gateway: &str, connection: &str) -> (Site, Site) {
    let (a, b) = (Site::new(INSIDE_A), Site::new(INSIDE_B));
    wire((&a.namespace, "wan"), (&b.namespace, "wan"));
    configure(&a.namespace, "wan", &["192.0.2.1/24"]);
    configure(&b.namespace, "wan", &["192.0.2.2/24"]);
    a.write_config(&ENDS_A, gateway, connection, "");
    b.write_config(&ENDS_B, gateway, connection, "start = \"passive\"");
    (a, b)
}

/// The same, started, with the tunnel up.
pub fn tunnel(gateway: &str, connection: &str) -> (Site, Site) {
    let (mut a, mut b) = pair(gateway, connection);
    b.start();
    a.start();
    a.wait_up();
    b.wait_up();
    (a, b)
}

/// Waits until a datagram from A's inside arrives at B's inside and its answer comes back.
pub fn wait_for_traffic(a: &Site, b: &Site) {
    let (here, there) = (socket(&a.namespace, INSIDE_A), socket(&b.namespace, INSIDE_B));
    let to = there.local_addr().unwrap();
    let mut buffer = [0; 64];
    until("a datagram crosses and is answered", || {
        // Refused while there is only the unreachable route.
        here.send_to(b"question", to).ok()?;
        let (len, from) = there.recv_from(&mut buffer).ok()?;
        assert_eq!((&buffer[..len], from), (&b"question"[..], here.local_addr().unwrap()));
        there.send_to(b"answer", from).ok()?;
        here.recv_from(&mut buffer).ok()
    });
}
