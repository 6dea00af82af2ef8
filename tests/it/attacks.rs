//! Known attacks on FTP-aware gateways, each under its number, and a few more.

use crate::pair::{Pair, legs, policy};

const ANNOUNCED: &str = "227 Entering Passive Mode (203,0,113,10,195,80).";

/// The client is refused with this reply, and nothing reaches the server or the backend.
#[track_caller]
fn refused(command: &[u8], reply: &str) {
    let mut pair = Pair::logged_in();
    pair.client_raw(command).at_client(reply).at_server("");
    assert_eq!(pair.opens(), 0);
}

// Bounce: PORT names a third host.
#[test]
fn d01_port_to_a_third_host_is_refused() {
    refused(b"PORT 192,0,2,66,200,1\r\n", "501 The address is not yours.");
    refused(b"EPRT |1|192.0.2.66|51201|\r\n", "501 The address is not yours.");
}

// The kernel helper of 2001 believed any address in PORT.
#[test]
fn d02_an_active_pinhole_leads_to_the_clients_own_address() {
    let mut pair = Pair::between(policy(|_| {}), legs(6, 6)).log_in();
    pair.client("EPRT |2|::ffff:192.0.2.66|51201|").at_server("").did("pinhole.denied foreign-address");
    pair.client("EPRT |2|2001:db8:c::10|51201|").did("open active to [2001:db8:c::10]:51201");
}

// A 227 sends the client, or the gateway, to a third host.
#[test]
fn d03_a_227_with_a_third_host_leads_to_the_server() {
    let mut pair = Pair::logged_in();
    pair.client("PASV").server("227 (169,254,169,254,200,80)").at_client(ANNOUNCED);
    pair.did("violation server-address; open passive to 10.0.0.5:51280; pinhole.opened");
}

// A well-known port of an allowed host.
#[test]
fn d04_low_ports_are_refused_on_both_sides() {
    refused(b"PORT 198,51,100,10,0,22\r\n", "504 Ports below 1024 are not allowed.");
    let mut pair = Pair::logged_in();
    pair.client("PASV").server("227 (10,0,0,5,0,22)").did("pinhole.denied server-port");
}

// Numbers that wrap in another parser: 65558 is 22, 256 is 0.
#[test]
fn d05_numbers_that_wrap_are_refused() {
    for argument in [
        "198,51,100,10,256,1",
        "198,51,100,266,200,1",
        "198,51,100,10,0,65558",
        "198,51,100,10,4294967496,1",
        "198,51,100,10,18446744073709551816,1",
        "198,51,100,10,00200,1",
        "198,51,100,10,0xc8,1",
        "198,51,100,10, 200,1",
        "198,51,100,10,200,1 ",
        "-58,51,100,10,200,1",
        "\u{661}98,51,100,10,200,1",
    ] {
        refused(format!("PORT {argument}\r\n").as_bytes(), "501 The address is not valid.");
    }
    for port in ["65558", "4294967317", "00051201", "5e4", "٥١٢٠١"] {
        refused(format!("EPRT |1|198.51.100.10|{port}|\r\n").as_bytes(), "501 The address is not valid.");
    }
}

// Delimiter tricks in EPRT, commas too many or too few in PORT.
#[test]
fn d06_delimiter_tricks_are_refused() {
    for argument in [
        &b"1111198.51.100.101512011"[..],
        b"|1|198.51.100.10|51201",
        b"|1|198.51.100.10|51201|22|",
        b"|1|198.51.100.10!51201|",
        b"\x7f1\x7f198.51.100.10\x7f51201\x7f",
        b"\t1\t198.51.100.10\t51201\t",
        b".1.198.51.100.10.51201.",
    ] {
        refused(&[b"EPRT ", argument, b"\r\n"].concat(), "501 The address is not valid.");
    }
    for argument in
        ["198,51,100,10,200", "198,51,100,10,200,1,1", "198,51,100,10,200,", ",198,51,100,10,200,1"]
    {
        refused(format!("PORT {argument}\r\n").as_bytes(), "501 The address is not valid.");
    }
}

// Port theft: the pinhole is for the client's address only.
#[test]
fn d07_a_pinhole_admits_the_control_connections_peer_only() {
    for (client, server) in [(4, 4), (4, 6), (6, 4), (6, 6)] {
        let mut pair = Pair::between(policy(|_| {}), legs(client, server)).log_in();
        let reply = if server == 4 { "227 (192,0,2,66,160,2)" } else { "229 ok (|||40962|)" };
        pair.client("EPSV").server(reply);
        // The harness holds the expectation itself against the sockets, too.
        assert_eq!(pair.events.last().unwrap().from, Some(legs(client, server).client.ip()));
    }
}

// Many pinholes from one session.
#[test]
fn d09_a_flood_of_set_ups_keeps_one_pinhole_pending() {
    let mut pair = Pair::logged_in();
    for i in 0..1000_u32 {
        let [.., high, low] = (20_000 + i).to_be_bytes();
        pair.client("PASV").server(&format!("227 (10,0,0,5,{high},{low})"));
        assert_eq!(pair.open_pinholes(), 1);
    }
    pair.client(&["PORT 198,51,100,10,200,1"; 15].join("\r\n"));
    for _ in 0..15 {
        pair.server("200 ok");
        assert_eq!(pair.open_pinholes(), 1);
    }
}

// A second connection through the same pinhole.
#[test]
fn d11_a_pinhole_serves_one_transfer() {
    let mut pair = Pair::passive_ready();
    pair.connect(1).client("RETR a").server("150 x").close(1, 0, 1).server("226 y").connect(1).forget();
    pair.client("RETR b").at_server("").did("command.denied no-setup");
}

// The server refuses PORT, and the pinhole is open all the same.
#[test]
fn d12_a_refused_port_opens_nothing() {
    for reply in ["500 no", "425 no", "530 no", "331 what"] {
        let mut pair = Pair::logged_in();
        pair.client("PORT 198,51,100,10,200,1").connect(1).forget();
        pair.server(reply).did("pinhole.denied refused-by-server; p-1 close");
    }
}

// A pinhole before the login, also by commands sent ahead of it.
#[test]
fn d13_nothing_opens_before_the_login() {
    let mut pair = Pair::greeted(policy(|_| {}));
    pair.client("PASV\r\nUSER a\r\nPASS b\r\nPORT 198,51,100,10,200,1").forget();
    pair.server("331 p").server("530 no").at_server("PASS b");
    pair.at_client("331 p\n530 no\n530 Log in first.");
    assert_eq!(pair.opens(), 0);
}

// A data connection without a transfer is a tunnel.
#[test]
fn d15_a_data_connection_without_a_transfer_is_cut() {
    let mut pair = Pair::passive_ready();
    pair.connect(1);
    for _ in 0..29 {
        pair.wait_secs(1).client("NOOP").server("200 ok");
    }
    pair.forget().wait_secs(1).did("p-1 close");
}

// 227 inside another reply: an echoed argument, a file name in STAT.
#[test]
fn d16_a_227_inside_another_reply_opens_nothing() {
    let mut pair = Pair::logged_in();
    pair.client("STAT /\r\nPASV");
    pair.server_raw(b"213-listing\r\n227 Entering Passive Mode (10,0,0,5,200,1)\r\n213 end\r\n");
    assert_eq!(pair.opens(), 0);
    pair.at_client("213-listing\n 227 Entering Passive Mode (10,0,0,5,200,1)\n213 end")
        .did("violation reply-in-block");
    pair.server("227 (10,0,0,5,160,2)").did("open passive to 10.0.0.5:40962; pinhole.opened");
}

// The same behind a tolerance that lets other codes end a block.
#[test]
fn d16_a_227_inside_another_reply_opens_nothing_where_unpadded_replies_are_tolerated() {
    let mut pair = Pair::logged_in_with(policy(|policy| policy.tolerate.unpadded_multiline = true));
    pair.client("STAT /\r\nPASV").server_raw(b"213-listing\r\n227 (10,0,0,5,200,1)\r\n213 end\r\n");
    assert_eq!(pair.opens(), 0);
}

// Segments that begin with "227 " or "PORT ".
#[test]
fn d17_the_begin_of_a_segment_is_not_the_begin_of_a_line() {
    let mut pair = Pair::logged_in();
    pair.client("NOOP\r\nPASV").server_raw(b"200 you said ");
    pair.server_raw(b"227 (10,0,0,5,200,1)\r\n").at_client("200 you said 227 (10,0,0,5,200,1)").did("");
    pair.client_raw(b"CWD ").client_raw(b"PORT 198,51,100,10,200,1\r\n").server("227 (10,0,0,5,160,2)");
    pair.at_server("NOOP\nPASV\nCWD PORT 198,51,100,10,200,1");
}

// Unpadded multi-line replies (VU#288905).
#[test]
fn d19_another_code_inside_a_block_is_text() {
    let mut pair = Pair::logged_in();
    pair.client("CWD /\r\nPASV").server_raw(b"250-a\r\n226 b\r\n227 (10,0,0,5,200,1)\r\n250x\r\n250 c\r\n");
    pair.at_client("250-a\n 226 b\n 227 (10,0,0,5,200,1)\n 250x\n250 c");
    assert_eq!(pair.opens(), 0);
}

// A multi-line reply that never ends.
#[test]
fn d20_a_block_without_end_ends_the_session() {
    let mut pair = Pair::logged_in();
    pair.client("PASV").server("227-x").server_raw("227-y\r\n".repeat(200).as_bytes());
    pair.at_client("421 The server broke the protocol.")
        .did("violation line-too-long; hang-up; session.closed line-too-long; over");
}

// PASV with a body of many lines.
#[test]
fn d20_a_227_of_many_lines_is_not_read() {
    let mut pair = Pair::logged_in();
    pair.client("PASV").server_raw(b"227-Entering Passive Mode (10,0,0,5,200,1)\r\n227 (10,0,0,5,200,2)\r\n");
    pair.at_client("425 The server announced an address that is not allowed.")
        .did("pinhole.denied bad-passive-reply");
}

// Pipelined set-up commands: which reply is whose?
#[test]
fn d21_one_set_up_is_outstanding_at_a_time() {
    let mut pair = Pair::logged_in();
    pair.client("PASV\r\nPORT 198,51,100,10,200,1\r\nEPSV\r\nNOOP").at_server("PASV");
    pair.server("227 (10,0,0,5,160,2)").at_server("PORT 10,0,0,1,156,65").server("200 ok").at_server("PASV");
    pair.server("227 (10,0,0,5,160,3)").at_server("NOOP").server("200 ok");
    pair.at_client(&format!("{ANNOUNCED}\n200 ok\n229 Entering Extended Passive Mode (|||50002|)\n200 ok"));
    assert_eq!(pair.open_pinholes(), 1);
}

// Replies that nobody asked for.
#[test]
fn d22_an_unsolicited_reply_ends_the_session() {
    for reply in ["227 (10,0,0,5,200,1)", "200 ok", "226 done", "150 here", "550 no", "331 who"] {
        let mut pair = Pair::logged_in();
        pair.server(reply).at_client("421 The server broke the protocol.");
        pair.did("violation unsolicited-reply; hang-up; session.closed unsolicited-reply; over");
    }
}

// One PASV, two 227: the second pinhole would be the server's choice.
#[test]
fn d22_a_second_227_opens_nothing() {
    let mut pair = Pair::logged_in();
    pair.client("PASV").server("227 (10,0,0,5,160,2)\r\n227 (10,0,0,5,160,3)");
    assert_eq!(pair.opens(), 1);
    assert!(pair.is_over());
}

// The server talks like a client, the client like a server.
#[test]
fn d23_each_side_has_its_own_grammar() {
    refused(b"227 Entering Passive Mode (10,0,0,5,200,1)\r\n", "500 The line is not an FTP command.");
    let mut pair = Pair::logged_in();
    pair.server("PORT 198,51,100,10,200,1")
        .did("violation bad-reply; hang-up; session.closed bad-reply; over");
}

// The tail of an overlong line is taken for a command.
#[test]
fn d24_the_tail_of_an_overlong_line_is_no_command() {
    let line = format!("CWD {}PORT 198,51,100,10,200,1\r\n", "a".repeat(4092));
    refused(line.as_bytes(), "500 The line is too long.");
    for length in [4096, 8192, 65_536, 1 << 20] {
        refused(format!("{}\r\n", "A".repeat(length)).as_bytes(), "500 The line is too long.");
    }
}

// Line ends that two parsers see differently.
#[test]
fn d25_only_cr_lf_ends_a_line() {
    refused(b"CWD a\nPORT 198,51,100,10,200,1\r\n", "500 A line ends with CR LF; this one ended with LF.");
    for line in
        [&b"CWD a\rPORT 198,51,100,10,200,1\r\n"[..], b"CWD a\0\r\n", b"CWD a\r\0b\r\n", b"PASV\r\r\n"]
    {
        refused(line, "500 The line is not acceptable.");
    }
}

// Line ends inside a reply: the client would see a reply of its own.
#[test]
fn d25_a_server_line_with_an_odd_end_ends_the_session() {
    for line in
        [&b"200 ok\n227 (10,0,0,5,200,1)\r\n"[..], b"200 ok\r227 (10,0,0,5,200,1)\r\n", b"200 o\0k\r\n"]
    {
        let mut pair = Pair::logged_in();
        pair.client("NOOP\r\nPASV").server_raw(line).at_client("421 The server broke the protocol.");
        assert_eq!(pair.opens(), 0);
        assert!(pair.is_over());
    }
}

// Telnet commands inside a verb hide it from a gateway.
#[test]
fn d26_telnet_inside_a_line_is_refused() {
    for line in
        [&b"PO\xff\xf1RT 198,51,100,10,200,1\r\n"[..], b"PO\xff\xfd\x01RT 1\r\n", b"\xff\xfaPASV\xff\xf0\r\n"]
    {
        refused(line, "500 The line is not acceptable.");
    }
}

// The same with the two bytes of a Telnet command in two segments.
#[test]
fn d26_telnet_commands_may_be_split() {
    let mut pair = Pair::retrieving();
    for piece in [&b"\xff"[..], b"\xf4\xff", b"\xf2", b"AB", b"OR\r", b"\n"] {
        pair.client_raw(piece);
    }
    pair.at_server("ABOR").at_client("");
    let mut pair = Pair::logged_in();
    pair.client_raw(b"CWD \xff").at_server("").client_raw(b"\xff\r\n");
    assert_eq!(pair.server_bytes, b"CWD \xff\xff\r\n");
}

// Telnet options are answered, and never reach the other side.
#[test]
fn d26_telnet_options_are_refused_by_the_gateway() {
    let mut pair = Pair::logged_in();
    pair.client_raw(b"\xff\xfb\x01\xff\xfd\x03\xff\xfe\x05NOOP\r\n").at_server("NOOP");
    assert_eq!(pair.client_bytes, b"\xff\xfe\x01\xff\xfc\x03");
    pair.forget().server_raw(b"\xff\xfd\x18200 ok\r\n").at_client("200 ok");
    assert_eq!(pair.server_bytes, b"\xff\xfc\x18");
}

// Urgent data: ABOR goes out behind a Synch of the gateway's own, only while a transfer runs.
#[test]
fn d27_a_synch_goes_before_abor_during_a_transfer_only() {
    let mut pair = Pair::retrieving();
    pair.client("NOOP\r\nSTAT\r\nABOR");
    assert_eq!(pair.urgent, ["ABOR"]);
    let mut pair = Pair::logged_in();
    pair.client("STAT\r\nABOR");
    assert!(pair.urgent.is_empty());
}

// Spellings that a gateway overlooks and a server obeys.
#[test]
fn d28_spellings_of_a_verb_are_one_or_none() {
    let mut pair = Pair::logged_in();
    pair.client("pAsV").at_server("PASV").server("227 (10,0,0,5,160,2)").at_client(ANNOUNCED);
    for line in [" PASV", "\tPASV", "PASV\t", "PASV\u{a0}", "P\u{c4}SV", "PASVPASVP", "PA", "P@SV", "-PASV"] {
        refused(format!("{line}\r\n").as_bytes(), "500 The line is not an FTP command.");
    }
    refused(b"PASV  \r\n", "501 The command takes no argument.");
    refused(b"PORT  198,51,100,10,200,1\r\n", "501 The address is not valid.");
    refused(b"XPASV\r\n", "500 XPASV is not understood.");
    refused(b"SPSV\r\n", "500 SPSV is not understood.");
    refused(b"ABCDEFGH x\r\n", "500 ABCDEFGH is not understood.");
}

// Format strings and SITE EXEC.
#[test]
fn d29_site_exec_is_refused_and_arguments_are_not_interpreted() {
    refused(b"SITE EXEC %p%n\r\n", "502 This SITE command is not allowed here.");
    refused(b"SITE  EXEC x\r\n", "502 This SITE command is not allowed here.");
    refused(b"SITE\tEXEC x\r\n", "500 The line is not an FTP command.");
    let mut pair = Pair::logged_in();
    pair.client("CWD %s%n{}\\x00").at_server("CWD %s%n{}\\x00");
}

// A URL with %0d%0aPORT in it makes a client dial out.
#[test]
fn d30_an_injected_port_obeys_the_policy_of_the_service() {
    let mut pair = Pair::logged_in_with(policy(|policy| policy.active = false));
    pair.client("CWD a\r\nPORT 198,51,100,10,200,1").at_server("CWD a").server("250 ok");
    pair.at_client("250 ok\n502 Active mode is not allowed here; use PASV or EPSV.")
        .did("pinhole.denied active-denied");
}

// Web browsers and other clients that were lured to an FTP port.
#[test]
fn d32_other_protocols_are_cut() {
    for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n"[..], b"POST /PASV HTTP/1.0\r\n", b"\x16\x03\x01\x02\x00"]
    {
        let mut pair = Pair::greeted(policy(|_| {}));
        pair.client_raw(bytes).at_client("421 This is an FTP service.").at_server("");
        assert!(pair.is_over());
    }
    // SMTP, IMAP, and a web page that prints commands one a line.
    for line in ["EHLO example.org", "a001 LOGIN x y", "<html>"] {
        let mut pair = Pair::greeted(policy(|_| {}));
        pair.client(&[line; 11].join("\r\n")).at_server("");
        assert!(pair.is_over(), "{line}");
    }
}

// Plain text behind AUTH TLS must not be taken for what comes inside it.
#[test]
fn d33_plain_text_behind_a_denied_auth_stays_plain_text() {
    let mut pair = Pair::greeted(policy(|_| {}));
    pair.client("AUTH TLS\r\nUSER a\r\nPBSZ 0\r\nPROT P\r\nCCC").at_server("USER a").server("331 p");
    pair.at_client(
        "534 TLS is not available here.\n331 p\n503 The connection is not protected.\n\
         503 The connection is not protected.\n533 The connection is not protected.",
    );
}

// Lengths that were cut to a byte in an in-place rewrite.
#[test]
fn d39_long_lines_are_rebuilt_whole() {
    for length in [255, 256, 257, 4000] {
        let mut pair = Pair::logged_in();
        let name = "n".repeat(length);
        pair.client(&format!("CWD {name}")).at_server(&format!("CWD {name}"));
        pair.server(&format!("250 {name}")).at_client(&format!("250 {name}"));
        pair.client("PASV").server(&format!("227 {name} (10,0,0,5,160,2)")).at_client(ANNOUNCED);
    }
}

// Events of pinholes that are gone.
#[test]
fn d41_events_of_unknown_pinholes_change_nothing() {
    let mut pair = Pair::passive_ready();
    pair.wait_secs(30).forget();
    for id in [0, 1, 2, u64::MAX] {
        pair.connect(id).close(id, 1, 1);
        pair.data(id, ftp_pinhole::pinhole::DataEvent::SecondConnection { from: legs(4, 4).client });
    }
    pair.quiet();
}

// Only the begin of a connection is looked at.
#[test]
fn d42_the_whole_control_stream_is_parsed_for_its_whole_life() {
    let mut pair = Pair::logged_in();
    for _ in 0..10_000 {
        pair.client("NOOP").server("200 ok");
    }
    pair.forget().client("PORT 192,0,2,66,200,1").at_server("").did("pinhole.denied foreign-address");
}

// Slow clients, and clients that send for ever.
#[test]
fn d43_a_byte_now_and_then_is_no_activity() {
    let mut pair = Pair::greeted(policy(|_| {}));
    for _ in 0..59 {
        pair.wait_secs(1).client_raw(b"A");
    }
    pair.wait_secs(1);
    assert!(pair.is_over());
    let mut pair = Pair::logged_in();
    for _ in 0..15 {
        pair.wait_secs(60).client_raw(b"\xff\xf1");
    }
    assert!(pair.is_over());
}

// Passwords tried one after the other.
#[test]
fn d44_login_failures_are_counted_over_the_session() {
    let mut pair = Pair::greeted(policy(|_| {}));
    for i in 1..=5 {
        assert!(!pair.is_over(), "before try {i}");
        pair.client(&format!("USER u{i}")).server("331 p").client("PASS x").server("530 no");
    }
    assert!(pair.is_over());
}

// Terminal control in a name reaches a log.
#[test]
fn d45_names_are_escaped_and_commands_recorded_without_arguments() {
    let mut pair = Pair::greeted(policy(|_| {}));
    pair.client("USER \x1b[2Jroot\u{9b}").server("331 p").client("PASS x").server("230 in");
    assert_eq!(pair.events.last().unwrap().user.as_deref(), Some("\\x1b[2Jroot\\u{9b}"));
    pair.client_raw(b"PORT \x1b[2J\r\n").client("XYZZY \x1b[2J");
    assert!(!format!("{:?}", pair.events).contains('\x1b'));
}

// A health check that connects must not use a pinhole up.
#[test]
fn d46_what_the_backend_did_not_admit_uses_nothing_up() {
    let mut pair = Pair::passive_ready();
    pair.close(77, 0, 0).connect(77).client("RETR f").did("p-1 to-client");
}

// A reply crafted as that to another command: 229 for PASV, 227 for EPSV to an IPv6 server, 200 for either.
#[test]
fn the_wrong_reply_to_a_set_up_opens_nothing() {
    for (server, reply) in [
        (4, "229 Entering Extended Passive Mode (|||40962|)"),
        (4, "200 (10,0,0,5,160,2)"),
        (4, "228 Entering Long Passive Mode (4,4,10,0,0,5,2,160,2)"),
        (6, "227 (10,0,0,5,160,2)"),
        (6, "229 ok (|1|10.0.0.5|40962|)"),
        (6, "229 ok (|||40962|) (|||22|)"),
    ] {
        let mut pair = Pair::between(policy(|_| {}), legs(4, server)).log_in();
        pair.client("EPSV").server(reply).did("pinhole.denied bad-passive-reply");
        pair.at_client("425 The server announced an address that is not allowed.");
    }
}

// A 227 as the reply to something else.
#[test]
fn a_227_to_another_command_opens_nothing() {
    for command in ["NOOP", "CWD x", "FEAT", "ABOR", "REIN", "USER b", "PORT 198,51,100,10,200,1", "QUIT"] {
        let mut pair = Pair::logged_in();
        pair.client(command).server("227 (10,0,0,5,160,2)");
        assert!(!pair.trace.iter().any(|line| line.starts_with("open passive")), "{command}");
    }
}

// A server floods with preliminary replies.
#[test]
fn a_flood_of_preliminary_replies_is_not_kept() {
    let mut pair = Pair::retrieving();
    for _ in 0..10_000 {
        pair.server("110 MARK 1 = 2");
        pair.forget();
    }
    pair.close(1, 0, 5).server("226 done").at_client("226 done").did("pinhole.closed");
}

// A reply in advance: the server answers PASV before it was asked.
#[test]
fn a_reply_sent_in_advance_ends_the_session() {
    let mut pair = Pair::greeted(policy(|_| {}));
    pair.client("USER a").server("331 p\r\n230 in");
    assert!(pair.is_over());
    assert_eq!(pair.opens(), 0);
}

// Bytes that are no text, in every place.
#[test]
fn bytes_beyond_ascii_pass_in_arguments_only() {
    let mut pair = Pair::logged_in();
    pair.client_raw(b"CWD \x80\xfe\xff\xff\x7f\x01\r\n");
    assert_eq!(pair.server_bytes, b"CWD \x80\xfe\xff\xff\x7f\x01\r\n");
    refused(b"\x80\x81\x82\r\n", "500 The line is not an FTP command.");
}

// QUIT, REIN and ABOR around a set-up that is outstanding.
#[test]
fn leaving_while_a_set_up_is_outstanding_leaves_nothing_open() {
    for last in ["QUIT", "REIN", "ABOR", "USER b"] {
        for (set_up, reply) in [("PASV", "227 (10,0,0,5,160,2)"), ("PORT 198,51,100,10,200,1", "200 ok")] {
            let mut pair = Pair::logged_in();
            pair.client(set_up).client(last).server(reply).server("225 ok");
            assert_eq!(pair.open_pinholes(), 0, "{set_up} {last}: {:?}", pair.trace);
        }
    }
}
