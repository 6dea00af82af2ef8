//! Clients and servers of either address family: the verbs are translated, the addresses are the legs'
//! own (RFC 2428, RFC 6384).

use std::net::Ipv4Addr;

use ftp_pinhole::policy::{Policy, ServerAddress};

use crate::pair::{FOREIGN, Pair, legs, policy};

fn between(client: u8, server: u8) -> Pair {
    Pair::between(Policy::default(), legs(client, server)).log_in()
}

#[test]
fn passive_set_ups_are_translated_between_all_families() {
    let (pasv, v227) = ("PASV", "227 Entering Passive Mode (10,0,0,5,160,2)");
    let (epsv, v229) = ("EPSV", "229 Entering Extended Passive Mode (|||40962|)");
    let announced_227 = "227 Entering Passive Mode (203,0,113,10,195,80).";
    let announced_229 = "229 Entering Extended Passive Mode (|||50000|)";
    for (client, server, command, forwarded, reply, announced) in [
        (4, 4, pasv, pasv, v227, announced_227),
        (4, 4, epsv, pasv, v227, announced_229),
        (4, 4, "EPSV 1", pasv, v227, announced_229),
        (4, 6, pasv, epsv, v229, announced_227),
        (4, 6, epsv, epsv, v229, announced_229),
        (6, 4, epsv, pasv, v227, announced_229),
        (6, 4, "EPSV 2", pasv, v227, announced_229),
        (6, 6, epsv, epsv, v229, announced_229),
    ] {
        let mut pair = between(client, server);
        let to = if server == 4 { "10.0.0.5:40962" } else { "[fd00::5]:40962" };
        pair.client(command).at_server(forwarded).server(reply).at_client(announced);
        pair.did(&format!("open passive to {to}; pinhole.opened"));
    }
}

#[test]
fn active_set_ups_are_translated_between_all_families() {
    let port = "PORT 198,51,100,10,200,1";
    let eprt4 = "EPRT |1|198.51.100.10|51201|";
    let eprt6 = "EPRT |2|2001:db8:c::10|51201|";
    let (to_v4, to_v6) = ("PORT 10,0,0,1,156,64", "EPRT |2|fd00::1|40000|");
    for (client, server, command, forwarded) in [
        (4, 4, port, to_v4),
        (4, 4, eprt4, to_v4),
        (4, 6, port, to_v6),
        (4, 6, eprt4, to_v6),
        (6, 4, eprt6, to_v4),
        (6, 6, eprt6, to_v6),
    ] {
        let mut pair = between(client, server);
        let to = if client == 4 { "198.51.100.10:51201" } else { "[2001:db8:c::10]:51201" };
        pair.client(command).at_server(forwarded).did(&format!("open active to {to}"));
        pair.server("200 ok").at_client("200 ok").did("pinhole.opened; p-1 activate");
    }
}

#[test]
fn another_family_is_answered_522_with_the_one_that_would_do() {
    for (client, command, number) in [
        (4, "EPSV 2", 1),
        (4, "EPRT |2|2001:db8:c::10|51201|", 1),
        (4, "EPSV 3", 1),
        (4, "EPRT |3|x|51201|", 1),
        (6, "EPSV 1", 2),
        (6, "EPRT |1|198.51.100.10|51201|", 2),
    ] {
        let mut pair = between(client, 4);
        pair.client(command).at_server("").did("pinhole.denied address-family");
        pair.at_client(&format!("522 Network protocol not supported, use ({number})."));
    }
}

#[test]
fn pasv_from_ipv6_is_refused() {
    let mut pair = between(6, 6);
    pair.client("PASV").at_server("").at_client("425 PASV needs IPv4; use EPSV.");
    pair.did("pinhole.denied address-family");
}

#[test]
fn epsv_all_is_answered_by_the_gateway_and_held_to() {
    let mut pair = between(4, 4);
    pair.client("EPSV all").at_server("").at_client("200 EPSV ALL is accepted.");
    for command in ["PASV", "PORT 198,51,100,10,200,1", "EPRT |1|198.51.100.10|51201|"] {
        pair.client(command).at_server("").at_client("503 Only EPSV is accepted after EPSV ALL.");
        pair.did("pinhole.denied epsv-all");
    }
    pair.client("EPSV").at_server("PASV").server("227 (10,0,0,5,160,2)").client("REIN").server("220 hi");
    pair.client("USER a").server("230 in").forget().client("PASV").did("pinhole.denied epsv-all");
}

#[test]
fn epsv_all_is_refused_where_the_families_differ() {
    let mut pair = between(6, 4);
    pair.client("EPSV ALL").at_server("").at_client("504 EPSV ALL is not possible between IPv6 and IPv4.");
    pair.client("EPSV").at_server("PASV");
}

#[test]
fn the_address_written_into_a_227_can_be_configured() {
    let advertise = Some(Ipv4Addr::new(192, 0, 2, 1));
    let mut pair = Pair::logged_in_with(policy(|policy| policy.advertise = advertise));
    pair.client("PASV")
        .server("227 (10,0,0,5,160,2)")
        .at_client("227 Entering Passive Mode (192,0,2,1,195,80).");
}

#[test]
fn an_address_in_a_227_that_is_not_the_servers_is_never_used() {
    let [a, b, c, d] = FOREIGN.octets();
    let reply = format!("227 Entering Passive Mode ({a},{b},{c},{d},160,2)");
    let mut pair = between(4, 4);
    pair.client("PASV").server(&reply).at_client("227 Entering Passive Mode (203,0,113,10,195,80).");
    pair.did("violation server-address; open passive to 10.0.0.5:40962; pinhole.opened");

    let mut pair = Pair::logged_in_with(policy(|policy| policy.server_address = ServerAddress::Deny));
    pair.client("PASV").server(&reply).did("pinhole.denied server-address");
    pair.at_client("425 The server announced an address that is not allowed.");
}

#[test]
fn commands_of_other_protocol_families_are_refused() {
    for verb in ["LPRT", "LPSV", "ALGS"] {
        let mut pair = between(4, 4);
        pair.client(&format!("{verb} 4,4,1,2,3,4,2,5,6")).at_server("").did("command.denied not-supported");
        pair.at_client(&format!("502 {verb} is not supported; use EPRT or EPSV."));
    }
}

#[test]
fn feat_shows_what_the_gateway_passes() {
    let mut pair = between(4, 4);
    pair.client("FEAT");
    pair.server_raw(b"211-Features:\r\n AUTH TLS\r\n EPSV\r\n MLST type*;size*;\r\n PBSZ\r\n LPRT\r\n UTF8\r\n211 End\r\n");
    pair.at_client("211-Features:\n MLST type*;size*;\n UTF8\n EPRT\n EPSV\n211 End");
    pair.client("FEAT").server_raw(b"211-Features:\r\n211-AUTH TLS\r\n211-SIZE\r\n211 End\r\n");
    pair.at_client("211-Features:\n211-SIZE\n EPRT\n EPSV\n211 End");
    pair.client("FEAT").server("502 no").at_client("502 no");
    pair.client("FEAT").server("211 none").at_client("211 none");
}
