//! A host: a network namespace, entered by threads. What a thread starts there stays there.

use std::any::Any;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::{Group, find, poll};

/// Duplicate address detection would delay every address by a second.
const NO_DAD: [&str; 2] =
    ["/proc/sys/net/ipv6/conf/all/accept_dad", "/proc/sys/net/ipv6/conf/default/accept_dad"];
/// How long a link may take to come up.
const LINK_UP: Duration = Duration::from_secs(10);

/// A network namespace.
pub struct Host {
    namespace: File,
}

impl Host {
    /// The namespace of the calling thread.
    pub fn here() -> Self {
        let host = Self { namespace: open("/proc/thread-self/ns/net") };
        host.begin();
        host
    }

    /// A new namespace with nothing but loopback.
    pub fn new() -> Self {
        let mut unshare = program("unshare");
        unshare.args(["--net", "sh", "-c", "echo && exec cat"]);
        let mut holder = Group::start(unshare.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let mut entered = [0];
        let output = holder.leader().stdout.as_mut().expect("standard output is a pipe");
        output.read_exact(&mut entered).expect("a new namespace can be entered");
        let host = Self { namespace: open(&format!("/proc/{}/ns/net", holder.leader().id())) };
        host.begin();
        host
    }

    fn begin(&self) {
        self.run(|| {
            NO_DAD.iter().for_each(|file| fs::write(file, "0").expect("the namespace is the test's"))
        });
        self.ip("link set lo up");
    }

    /// The namespace's name in arguments of `ip`.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    /// Runs `body` on a thread in this namespace. A panic goes on to the caller.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        self.try_run(body).unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs `body` on a thread in this namespace. A panic, which has been printed, is the error.
    pub fn try_run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T, Box<dyn Any + Send>> {
        let name = thread::current().name().map(str::to_owned).unwrap_or_default();
        let inside = || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(self.namespace.as_fd(), network).expect("the test made the namespace");
            body()
        };
        thread::scope(|scope| {
            let builder = thread::Builder::new().name(name);
            builder.spawn_scoped(scope, inside).expect("a thread can be started").join()
        })
    }

    /// Waits until these interfaces have a carrier and all the routes that the kernel adds by itself.
    pub fn settle(&self, interfaces: &[&str]) {
        let settled = poll(LINK_UP, || {
            let routes =
                self.run(|| fs::read_to_string("/proc/thread-self/net/ipv6_route")).unwrap_or_default();
            let ready = |interface: &&str| {
                has_route(&routes, interface, "fe80", "80") && has_route(&routes, interface, "ff00", "08")
            };
            interfaces.iter().all(ready).then_some(())
        });
        settled.expect("veth pairs come up");
    }

    /// Runs `ip` with each of these lines.
    pub fn ip(&self, lines: &str) {
        self.feed("ip", &["-batch", "-"], lines);
    }

    /// Loads a ruleset.
    pub fn nft(&self, rules: &str) {
        self.feed("nft", &["-f", "-"], rules);
    }

    fn feed(&self, name: &str, args: &[&str], input: &str) {
        let (success, output) = self.try_feed(name, args, input);
        assert!(success, "{name} {args:?} fails with {output} for\n{input}");
    }

    /// Runs a program with this input; whether it succeeded, and what it printed.
    pub fn try_feed(&self, name: &str, args: &[&str], input: &str) -> (bool, String) {
        self.run(|| {
            let mut command = program(name);
            command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut stdin = child.stdin.take().expect("standard input is a pipe");
            // A program that has failed early does not read the rest; its output tells.
            let _ = stdin.write_all(input.as_bytes());
            drop(stdin);
            let output = child.wait_with_output().expect("the child is ours");
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&text).into_owned())
        })
    }

    /// The standard output of a program that must succeed.
    pub fn output(&self, name: &str, args: &[&str]) -> String {
        let (success, output) = self.try_feed(name, args, "");
        assert!(success, "{name} {args:?} fails with {output}");
        output
    }

    /// The other ends of established connections to this local port.
    pub fn peers_of(&self, port: u16) -> Vec<SocketAddr> {
        let tables = self.run(|| {
            let read = |name| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
            [read("tcp"), read("tcp6")]
        });
        let ends = tables.iter().flat_map(|table| table.lines().filter_map(established));
        ends.filter(|(local, _)| local.port() == port).map(|(_, remote)| remote).collect()
    }
}

/// Whether a table as in /proc/net/ipv6_route has a route through `interface`.
fn has_route(table: &str, interface: &str, start: &str, length: &str) -> bool {
    table.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [destination, prefix, .., out] = words[..] else { return false };
        out == interface && destination.starts_with(start) && prefix == length
    })
}

/// The two ends in a line of /proc/net/tcp or tcp6, if the connection is established.
fn established(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
    (state == "01").then_some(())?;
    Some((end(local)?, end(remote)?))
}

/// An address as the kernel prints it: 32-bit words in the machine's order, in hexadecimal digits.
fn end(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok();
    let words: Option<Vec<u32>> = (0..ip.len()).step_by(8).map(word).collect();
    let bytes: Vec<u8> = words?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Ipv4Addr::from(bytes).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

fn open(path: &str) -> File {
    File::open(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A program that [`crate::lab::Lab`] has looked for.
pub fn program(name: &str) -> Command {
    Command::new(find(name).unwrap_or_else(|| panic!("{name} is not installed")))
}
