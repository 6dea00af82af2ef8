//! What the gateway needs of its host: it says what is missing, keeps no privilege that it does not need,
//! and takes no connection that nobody intercepted.

use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::EventKind;

use super::CLIENT;
use super::lab::{Gate, free_at, own_address, rules};
use super::peer::Peer;
use super::program::Program;
use super::skip;
use super::start::{complaint, run_without};

const NET_BIND_SERVICE: u64 = 1 << 10;

/// A service that has to be intercepted or seen as the client, in front of a server that nobody dials.
fn privileged(more: &str) -> String {
    rules("stdout: true", &[free_at(own_address())], &["192.0.2.5:21".parse().unwrap()], more)
}

#[test]
fn a_service_that_needs_net_admin_says_so_and_how_to_get_it() {
    let test = "a_service_that_needs_net_admin_says_so_and_how_to_get_it";
    for key in ["intercept: redirect", "intercept: tproxy", "source: client", "data_path: nftables"] {
        let Some(command) = run_without("net_admin") else {
            return skip(test, "setpriv cannot take CAP_NET_ADMIN away");
        };
        let expected = format!(
            "CAP_NET_ADMIN is missing, which service lab needs for {key} \
             (setcap cap_net_admin,cap_net_bind_service+ep on the program, \
             or AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE in its systemd unit)\n"
        );
        assert_eq!(complaint(command, &privileged(key)), expected);
    }
}

#[test]
fn every_thread_keeps_low_ports_at_most() {
    let program = Program::start("stdout: true", "");
    let kept = program.capabilities();
    assert!(kept.len() > 1, "it has threads");
    assert!(kept.iter().all(|kept| kept & !NET_BIND_SERVICE == 0), "{kept:x?}");
}

#[test]
fn a_connection_that_nobody_intercepted_is_turned_away() {
    let addr = free_at(own_address());
    let gate = Gate::start(&[addr], &["192.0.2.5:21".parse().unwrap()], "intercept: redirect");
    let mut client = Peer::connect(CLIENT, addr);
    client.expect("421 Connect to the server, not to the gateway.");
    gate.recorded(EventKind::SessionClosed, Reason::NotIntercepted);
}
