//! `data: passthrough`: protected data goes from end to end; PBSZ and PROT are between client and server.

use ftp_pinhole::policy::{MinProtection, Policy, UpstreamTls};
use ftp_pinhole::session::Side;

use super::{BEGIN, NOT_OVER_TLS, PASSIVE, terminating};
use crate::pair::Pair;

fn passing(upstream: UpstreamTls) -> Policy {
    terminating(|terminate| {
        terminate.upstream = upstream;
        terminate.min_protection = MinProtection::Control;
        terminate.passthrough = true;
    })
}

/// Both control legs are protected, alice is logged in, and nothing was said of the level.
fn logged_in() -> Pair {
    let mut pair = Pair::new(passing(UpstreamTls::Explicit));
    pair.server("220 hi").server("234 go").shakes_hands(Side::Server, Ok(())).at_client("220 hi");
    pair.at_server("AUTH TLS").auth().login().forget();
    pair
}

#[test]
fn the_server_is_not_asked_for_a_level_before_the_client_is() {
    let mut pair = Pair::new(passing(UpstreamTls::AsClient));
    pair.server("220 hi").forget().client("AUTH TLS").server("234 go");
    pair.shakes_hands(Side::Server, Ok(())).at_client(BEGIN).at_server("AUTH TLS");
}

#[test]
fn pbsz_and_prot_go_through_to_the_server() {
    let mut pair = logged_in();
    pair.client("PBSZ 0").at_server("PBSZ 0").server("200 PBSZ=0").at_client("200 PBSZ=0");
    pair.client("PROT p").at_server("PROT p").server("200 private").at_client("200 private");
    pair.client("PASV").server(PASSIVE).did("open passive to 10.0.0.5:40962; pinhole.opened");
    pair.client("RETR f").did("p-1 both").at_server("PASV\nRETR f");
}

#[test]
fn the_level_is_what_the_server_agreed_to() {
    for (reply, flow) in
        [("200 private", "p-1 both"), ("534 no", "p-1 to-client"), ("431 no", "p-1 to-client")]
    {
        let mut pair = logged_in();
        pair.client("PBSZ 0").server("200 ok").client("PROT P").server(reply).forget();
        pair.client("PASV").server(PASSIVE).forget().client("RETR f").did(flow);
    }
    let mut pair = logged_in();
    pair.client("PBSZ 0")
        .server("200 ok")
        .client("PROT P")
        .server("200 ok")
        .client("PROT C")
        .server("200 ok");
    pair.client("PASV").server(PASSIVE).forget().client("RETR f").did("p-1 to-client");
}

#[test]
fn what_comes_behind_prot_waits_for_its_reply() {
    let mut pair = logged_in();
    pair.client("PBSZ 0").server("200 ok").client("PASV").server(PASSIVE).forget();
    pair.client("PROT P").client("RETR f").at_server("PROT P").did("");
    pair.server("200 private").at_server("RETR f").did("p-1 both");
}

#[test]
fn d36_private_is_required_where_the_service_says_so() {
    let mut pair = Pair::new(terminating(|terminate| {
        terminate.upstream = UpstreamTls::Explicit;
        terminate.passthrough = true;
    }));
    pair.server("220 hi").server("234 go").shakes_hands(Side::Server, Ok(())).forget();
    pair.auth().login().client("PBSZ 0").server("200 ok").client("PROT P").server("536 no").forget();
    pair.passive().client("RETR f").at_client("521 Data has to be protected; use PROT P.").at_server("");
}

#[test]
fn the_gateway_refuses_levels_itself_that_are_none() {
    let mut pair = logged_in();
    pair.client("PROT P").at_client("503 PBSZ comes before PROT.").client("PBSZ 0").server("200 ok").forget();
    pair.client("PROT S").at_client("536 TLS knows the levels C and P.").at_server("");
}

#[test]
fn the_final_reply_of_a_transfer_from_end_to_end_is_the_servers_at_once() {
    let mut pair = logged_in();
    pair.client("PBSZ 0").server("200 ok").client("PROT P").server("200 ok").passive();
    pair.client("RETR f").server("150 here").server("226 done").forget();
    pair.client("NOOP").server("200 ok").at_client("200 ok");
}

// An implicit client takes its data for private without PROT P, so that the server has to be told.
#[test]
fn an_implicit_clients_level_is_agreed_on_with_the_server() {
    let mut pair = Pair::implicit(passing(UpstreamTls::Explicit));
    pair.shakes_hands(Side::Client, Ok(())).server("220 hi").server_secures().at_client("220 hi");
    pair.login().passive().client("RETR f").did("p-1 both");
    let mut pair = Pair::implicit(passing(UpstreamTls::Implicit));
    pair.shakes_hands(Side::Client, Ok(())).shakes_hands(Side::Server, Ok(())).server("220 hi");
    pair.server("200 ok").at_server("PBSZ 0\nPROT P").server("536 no").at_client(NOT_OVER_TLS);
}
