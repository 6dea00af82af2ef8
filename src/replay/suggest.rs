//! A rules file that fits what was seen.

use std::fmt::Write;
use std::net::SocketAddr;

use super::Summary;
use super::summary::Server;
use crate::addr::CONTROL_PORT;

/// The first gateway port that is suggested for passive data connections.
const FIRST_PORT: u32 = 50_000;

/// Fewer ports are not worth a range.
const LEAST_PORTS: u32 = 10;

/// A rules file for the servers of `summary`, with comments that say why; `None` when none was seen.
pub fn suggest(summary: &Summary) -> Option<String> {
    // A server that nobody logged in to may be one that somebody looked for.
    let servers: Vec<_> = summary.servers.iter().filter(|(_, server)| server.used > 0).collect();
    if servers.is_empty() {
        return None;
    }
    let mut text = format!(
        "# Suggested from a capture; frames: {}, sessions: {}, servers: {}. Read it, then try it:\n\
         #   ftp-pinhole replay --rules THIS-FILE CAPTURE\n",
        summary.frames,
        summary.sessions,
        servers.len()
    );
    if summary.encrypted > 0 {
        let encrypted = summary.encrypted;
        writeln!(text, "# Sessions that went on with TLS: {encrypted}. What they did is not in here.")
            .expect(STRING);
    }
    text.push_str("version: 1\n\nservices:\n");
    for (number, (addr, server)) in servers.into_iter().enumerate() {
        text.push_str(&service(number + 1, *addr, server, summary));
    }
    Some(text)
}

fn service(number: usize, addr: SocketAddr, server: &Server, summary: &Summary) -> String {
    let listen = if addr.is_ipv6() { "[::]" } else { "0.0.0.0" };
    // One address and port is one service's, and none of its passive ports.
    let port = if number == 1 && addr.port() == CONTROL_PORT { CONTROL_PORT.into() } else { 2120 + number };
    let needed = summary.passive_ports_needed;
    let last = FIRST_PORT + needed.saturating_mul(2).clamp(LEAST_PORTS, 10_000) - 1;
    let mut lines = vec![
        (format!("ftp-{number}:"), format!("sessions: {}", server.sessions)),
        (format!("  listen: [\"{listen}:{port}\"]"), "better: the one address that clients use".to_owned()),
        (format!("  upstream: \"{addr}\""), String::new()),
        (
            format!("  passive_ports: {FIRST_PORT}-{last}"),
            format!("at most {needed} waited at one time between any client and any server"),
        ),
    ];
    lines.extend(summary.server_ports.map(|(low, high)| {
        ("  server_ports: 1024-65535".to_owned(), format!("{low} to {high} were announced by any server"))
    }));
    lines.push(match server.active {
        0 => ("  active: deny".to_owned(), "no PORT or EPRT that is allowed was sent".to_owned()),
        uses => ("  active: allow".to_owned(), format!("PORT and EPRT: {uses}")),
    });
    lines.push(preset(server));
    lines.extend(tolerances(server));
    let line = |(key, why): &(String, String)| match why.is_empty() {
        true => format!("  {key}\n"),
        false => format!("  {key:<44} # {why}\n"),
    };
    lines.iter().map(line).collect()
}

fn preset(server: &Server) -> (String, String) {
    let (name, why) = match (server.writes, server.named_users) {
        (true, _) => ("rw", "commands that change files were sent"),
        (false, true) => ("ro", "no command that changes files was sent"),
        (false, false) => {
            ("anonymous-ro", "no command that changes files was sent, nobody had a name of their own")
        }
    };
    let unusual = server.unusual.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let why = match unusual.is_empty() {
        true => why.to_owned(),
        false => format!("{why}; only `any` would let {unusual} pass"),
    };
    (format!("  preset: {name}"), why)
}

fn tolerances(server: &Server) -> Option<(String, String)> {
    let used = [
        (server.bare_lf, "bare-lf", "lines ended with LF alone"),
        // Behind a denied set-up the transfer has none either.
        (
            server.reused_port && server.denied == 0,
            "reused-port",
            "transfers came without a set-up of their own",
        ),
    ];
    let used: Vec<_> = used.iter().filter(|(used, ..)| *used).collect();
    let names = used.iter().map(|(_, name, _)| *name).collect::<Vec<_>>().join(", ");
    let why = used.iter().map(|(.., why)| *why).collect::<Vec<_>>().join("; ");
    (!used.is_empty()).then(|| (format!("  tolerate: [{names}]"), why))
}

const STRING: &str = "a string takes any text";
