//! `ftp-pinhole monitor` on real interfaces, beside real servers and clients.
//!
//! Scenario of most tests: a client outside and a server inside, the gateway's host routes between them, and
//! monitor listens there. What it records is compared with what the client did.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use ftp_pinhole::capture::{Conversation, Speaker};
use pnet_datalink::Channel;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CapabilitySet, capability_is_in_bounding_set, remove_capability_from_bounding_set};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit::Audit;
use crate::host::Host;
use crate::lab::{FTP, Lab, Who, lab_tests};
use crate::namespace::{skip, test_name};
use crate::operation::{content, put_file};
use crate::process::{Group, plain, poll};
use crate::raw::Raw;
use crate::route::{Family, Setup};
use crate::server::{Kind, Server};

lab_tests! {
    every_setup_is_seen_with_its_bytes: |lab| every_setup(&lab, Kind::Vsftpd);
    every_setup_is_seen_with_its_bytes_pyftpdlib: |lab| every_setup(&lab, Kind::Pyftpdlib);
    a_port_to_a_foreign_address_is_denied: |lab| foreign_port(&lab);
    bulk_data_does_not_reach_user_space: |lab| bulk(&lab);
    a_bystander_hears_and_sends_nothing: |lab| bystander(&lab);
    no_privilege_is_kept: |lab| unprivileged(&lab);
    tagged_frames_are_read: |lab| tagged(&lab);
    other_ports_are_found_without_rules: |lab| other_port(&lab);
    rules_decide_and_time_passes_without_frames: |lab| rules(&lab);
    it_ends_by_itself: |lab| ends(&lab);
    what_is_missing_is_said: |lab| errors(&lab);
}

/// How long anything expected may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A monitor that runs.
struct Monitor {
    process: Group,
    files: TempDir,
}

impl Monitor {
    /// Starts it on `host` and waits until it listens.
    fn start(host: &Host, interface: &str, more: &[&str]) -> Self {
        let files = tempfile::tempdir().expect("temporary directories can be made");
        let mut command = command(interface, more);
        plain(&mut command, &files.path().join("log"));
        command.stdout(File::create(files.path().join("records")).expect("the directory takes files"));
        let monitor = Self { process: host.run(|| Group::start(&mut command)), files };
        let listens = poll(PATIENCE, || monitor.log().contains("listening to").then_some(()));
        assert!(listens.is_some(), "monitor does not listen: {}", monitor.log());
        monitor
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.path().join("log")).unwrap_or_default()
    }

    fn records(&self) -> Vec<Value> {
        Audit::of(self.files.path().join("records")).records(0).expect("the records are JSON")
    }

    /// The first record of an event that comes.
    fn wait_for(&self, event: &str) -> Value {
        let found = poll(PATIENCE, || self.records().into_iter().find(|record| record["event"] == event));
        found.unwrap_or_else(|| panic!("no {event} in {:#?}", self.records()))
    }

    /// Ends it; its exit code, records and summary.
    fn stop(mut self) -> (Option<i32>, Vec<Value>, Value) {
        let pid = Pid::from_child(self.process.leader());
        kill_process(pid, Signal::TERM).expect("monitor runs until it is told to stop");
        self.ended()
    }

    fn ended(mut self) -> (Option<i32>, Vec<Value>, Value) {
        let status = self.process.wait(PATIENCE).expect("monitor ends in time");
        let mut records = self.records();
        let last = records.pop().unwrap_or_else(|| panic!("no summary: {}", self.log()));
        (status.code(), records, last["summary"].clone())
    }
}

fn command(interface: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ftp-pinhole"));
    command.args(["monitor", "--json", "--interface", interface]).args(more);
    command
}

/// A client outside, a server inside, routed.
fn served(lab: &Lab, kind: Kind, port: u16) -> Option<Server> {
    if let Some(why) = kind.missing() {
        skip(&test_name(), &why);
        return None;
    }
    lab.route_outside();
    lab.gateway.run(|| {
        for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            fs::write(format!("/proc/sys/net/{setting}"), "1").expect("the namespace is the test's");
        }
    });
    let addresses = [Family::V4, Family::V6].map(|family| Who::Near.at(family, port));
    let server = lab.near.run(|| Server::start_at(kind, addresses));
    put_file(&server.home().join("data.bin"), &content("data.bin"));
    Some(server)
}

fn login(server: &Server, family: Family, port: u16) -> Raw {
    Raw::login(Who::Near.at(family, port), server.login(), false)
}

fn of<'a>(records: &'a [Value], event: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["event"] == event).collect()
}

fn every_setup(lab: &Lab, kind: Kind) {
    let Some(server) = served(lab, kind, FTP) else { return };
    let monitor = Monitor::start(&lab.gateway, "inside", &[]);
    let size = content("data.bin").len();
    let setups = [
        (Family::V4, Setup::Pasv),
        (Family::V4, Setup::Epsv),
        (Family::V4, Setup::Port),
        (Family::V4, Setup::Eprt),
        (Family::V6, Setup::Epsv),
        (Family::V6, Setup::Eprt),
    ];
    for (family, setup) in setups {
        lab.far.run(|| {
            let mut raw = login(&server, family, FTP);
            assert!(raw.get(setup, "data.bin") == content("data.bin"), "the file arrives changed");
            raw.put(setup, "new.bin", &content("new.bin"));
            raw.quit();
        });
    }
    let (code, records, summary) = monitor.stop();
    let closed: Vec<_> = of(&records, "pinhole.closed")
        .into_iter()
        .map(|closed| {
            let keys = ["command", "transfer", "bytes_to_server", "bytes_to_client", "reason"];
            Value::from(keys.map(|key| closed[key].clone()).to_vec())
        })
        .collect();
    let expected = setups.into_iter().flat_map(|(_, setup)| {
        [
            json!([setup.verb(), "RETR data.bin", 0, size, null]),
            json!([setup.verb(), "STOR new.bin", size, 0, null]),
        ]
    });
    assert_eq!(closed, expected.collect::<Vec<_>>());
    assert_eq!(of(&records, "session.closed").len(), setups.len());
    assert_eq!(code, Some(0), "{summary:#}");
    assert_eq!((&summary["sessions"], &summary["dropped_frames"]), (&json!(6), &json!(0)));
    assert!(records.iter().all(|record| record["capture"] == "inside" && record["frame"].is_u64()));
}

fn foreign_port(lab: &Lab) {
    let Some(server) = served(lab, Kind::Vsftpd, FTP) else { return };
    let monitor = Monitor::start(&lab.gateway, "outside", &[]);
    lab.far.run(|| {
        let mut raw = login(&server, Family::V4, FTP);
        raw.command("PORT 198,51,100,66,4,1", &[500]);
        raw.quit();
    });
    let denied = monitor.wait_for("pinhole.denied");
    assert_eq!((&denied["reason"], &denied["to"]), (&json!("foreign-address"), &json!("198.51.100.66:1025")));
    assert_eq!(monitor.stop().0, Some(1), "a denial is a finding");
}

/// 50 MB each way.
fn bulk(lab: &Lab) {
    let Some(server) = served(lab, Kind::Vsftpd, FTP) else { return };
    let bytes = vec![b'x'; 50_000_000];
    let monitor = Monitor::start(&lab.gateway, "inside", &[]);
    let before = packets(&lab.gateway, "inside", "tx");
    lab.far.run(|| {
        let mut raw = login(&server, Family::V4, FTP);
        raw.put(Setup::Pasv, "big.bin", &bytes);
        assert!(raw.get(Setup::Port, "big.bin") == bytes, "the file arrives changed");
        raw.quit();
    });
    let passed = packets(&lab.gateway, "inside", "tx") - before;
    let (_, records, summary) = monitor.stop();
    let count = |at: usize, key: &str| of(&records, "pinhole.closed")[at][key].clone();
    assert_eq!([count(0, "bytes_to_server"), count(0, "bytes_to_client")], [json!(50_000_000), json!(0)]);
    assert_eq!([count(1, "bytes_to_server"), count(1, "bytes_to_client")], [json!(0), json!(50_000_000)]);
    let frames = summary["frames"].as_u64().expect("frames are counted");
    assert!(frames < 500 && passed > 600, "{frames} frames are read of more than {passed}");
}

/// A host through which others talk to each other hears them when it asks to, and sends nothing.
fn bystander(lab: &Lab) {
    let Some(server) = served(lab, Kind::Vsftpd, FTP) else { return };
    lab.far.run(|| {
        fs::write("/proc/sys/net/ipv6/conf/eth/disable_ipv6", "1").expect("the namespace is the test's");
    });
    let sent = packets(&lab.far, "eth", "tx");
    let transfer = || {
        lab.stranger.run(|| {
            let mut raw = login(&server, Family::V4, FTP);
            raw.get(Setup::Pasv, "data.bin");
            raw.get(Setup::Port, "data.bin");
            raw.quit();
        });
    };
    let deaf = Monitor::start(&lab.far, "eth", &[]);
    transfer();
    assert!(deaf.stop().1.is_empty(), "it is in promiscuous mode unasked");
    let monitor = Monitor::start(&lab.far, "eth", &["--promiscuous"]);
    transfer();
    monitor.wait_for("session.closed");
    let (_, records, _) = monitor.stop();
    assert_eq!(of(&records, "pinhole.closed").len(), 2);
    assert_eq!(packets(&lab.far, "eth", "tx"), sent, "it has sent something");
}

/// What it could do with privileges, it does before the first frame.
fn unprivileged(lab: &Lab) {
    let mut monitor = Monitor::start(&lab.gateway, "lo", &[]);
    let pid = monitor.process.leader().id();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("monitor runs");
    for set in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{set} is kept: {status}");
    }
}

/// Frames without a VLAN tag, with one and with two, where they are sent and where they arrive: the kernel takes the
/// outer tag off in one place and not in the other.
fn tagged(lab: &Lab) {
    let tags: [&[u8]; 3] = [&[], &[0x81, 0, 0, 7], &[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7]];
    let monitors = [Monitor::start(&lab.near, "port1", &[]), Monitor::start(&lab.gateway, "inside", &[])];
    lab.near.run(|| {
        for (port, tags) in (40_000..).zip(tags) {
            let client = Who::Neighbour.at(Family::V4, port);
            send("port1", tags, &login_of(client, Who::Near.at(Family::V4, FTP)));
        }
    });
    for monitor in monitors {
        let all = poll(PATIENCE, || (of(&monitor.records(), "session.login").len() == 3).then_some(()));
        assert!(all.is_some(), "not every login is seen: {:#?}", monitor.records());
        assert_eq!(monitor.stop().2["malformed_frames"], 0);
    }
}

/// The packets of a login.
fn login_of(client: SocketAddr, server: SocketAddr) -> Vec<Vec<u8>> {
    let mut conversation = Conversation::new(client, server).expect("both are of one family");
    let mut packets = conversation.open();
    for (speaker, line) in [
        (Speaker::Server, "220 ready\r\n"),
        (Speaker::Client, "USER joe\r\n"),
        (Speaker::Server, "331 password\r\n"),
        (Speaker::Client, "PASS secret\r\n"),
        (Speaker::Server, "230 in\r\n"),
    ] {
        packets.extend(conversation.say(speaker, line.as_bytes()));
    }
    packets
}

/// Sends IPv4 packets as they are from this thread's interface.
fn send(interface: &str, tags: &[u8], packets: &[Vec<u8>]) {
    let mut interfaces = pnet_datalink::interfaces().into_iter();
    let interface = interfaces.find(|known| known.name == interface).expect("the lab has it");
    let channel = pnet_datalink::channel(&interface, pnet_datalink::Config::default());
    let Ok(Channel::Ethernet(mut sender, _)) = channel else { panic!("{interface} cannot be sent from") };
    for packet in packets {
        let frame = [&[2; 12], tags, &[0x08, 0x00], packet].concat();
        sender.send_to(&frame, None).expect("the frame fits").expect("the interface is up");
    }
}

fn other_port(lab: &Lab) {
    let Some(server) = served(lab, Kind::Pyftpdlib, 2121) else { return };
    let bytes = vec![b'x'; 20_000_000];
    let monitor = Monitor::start(&lab.gateway, "inside", &[]);
    lab.far.run(|| {
        let mut raw = login(&server, Family::V6, 2121);
        raw.put(Setup::Epsv, "big.bin", &bytes);
        raw.quit();
    });
    monitor.wait_for("session.closed");
    let (code, records, summary) = monitor.stop();
    assert_eq!(of(&records, "pinhole.closed")[0]["bytes_to_server"], 20_000_000);
    assert!(code == Some(0) && summary["frames"].as_u64() < Some(150), "{summary:#}");
}

/// A pinhole that nobody uses expires while nothing passes.
fn rules(lab: &Lab) {
    let Some(server) = served(lab, Kind::Vsftpd, FTP) else { return };
    let mut rules = tempfile::NamedTempFile::new().expect("temporary files can be made");
    let service = "listen: 0.0.0.0:21, upstream: 10.77.0.2:21, timeouts: {pinhole: 1s}";
    writeln!(rules, "version: 1\nservices: {{inside: {{{service}}}}}").expect("the file is the test's");
    let path = rules.path().to_str().expect("temporary paths are text");
    let monitor = Monitor::start(&lab.gateway, "inside", &["--rules", path]);
    lab.far.run(|| {
        let mut raw = login(&server, Family::V4, FTP);
        raw.command("PASV", &[227]);
        let expired = monitor.wait_for("pinhole.expired");
        assert_eq!((&expired["service"], &expired["reason"]), (&json!("inside"), &json!("pinhole-timeout")));
        raw.quit();
    });
    monitor.stop();
}

fn ends(lab: &Lab) {
    let timed = Monitor::start(&lab.gateway, "lo", &["--for", "1s"]);
    let (code, _, summary) = timed.ended();
    assert_eq!((code, &summary["frames"], &summary["dropped_frames"]), (Some(0), &json!(0), &json!(0)));
    // A refused connection: SYN and RST, each once though loopback shows it twice.
    let refused = || assert!(TcpStream::connect("127.0.0.1:21").is_err(), "nobody listens there");
    let both = Monitor::start(&lab.gateway, "lo", &[]);
    refused();
    assert_eq!(both.stop().2["frames"], 2);
    let one = Monitor::start(&lab.gateway, "lo", &["--frames", "1"]);
    refused();
    assert_eq!(one.ended().2["frames"], 1);
    let gone = Monitor::start(&lab.gateway, "inside", &[]);
    lab.gateway.ip("link set inside down");
    assert!(poll(PATIENCE, || gone.log().contains("any more: Network is down").then_some(())).is_some());
    assert_eq!(gone.ended().0, Some(2));
}

fn errors(lab: &Lab) {
    let said = |host: &Host, interface: &str| {
        let output = host.run(|| command(interface, &[]).output().expect("monitor can be run"));
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).expect("errors are text")
    };
    assert_eq!(said(&lab.gateway, "nosuch"), "there is no interface nosuch; there are lo, outside, inside\n");
    lab.gateway.ip("link set outside down");
    let down = "interface outside is down (ip link set outside up)\n";
    assert_eq!(said(&lab.gateway, "outside"), down);
    let without = lab.gateway.run(|| {
        for capability in CapabilitySet::all().iter() {
            if capability_is_in_bounding_set(capability).unwrap_or(false) {
                remove_capability_from_bounding_set(capability).expect("root may do this");
            }
        }
        command("inside", &[]).output().expect("monitor can be run").stderr
    });
    let missing = "CAP_NET_RAW is missing, which listening to interface inside needs";
    assert!(String::from_utf8_lossy(&without).starts_with(missing), "{}", String::from_utf8_lossy(&without));
}

/// How many packets an interface has sent (`tx`) or received (`rx`).
fn packets(host: &Host, interface: &str, way: &str) -> u64 {
    // Whatever is on its way arrives first.
    thread::sleep(Duration::from_millis(50));
    let shown = host.output("ip", &["-json", "-statistics", "link", "show", "dev", interface]);
    let shown: Value = serde_json::from_str(&shown).expect("ip prints JSON");
    shown[0]["stats64"][way]["packets"].as_u64().expect("packets are counted")
}
