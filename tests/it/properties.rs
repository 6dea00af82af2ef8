//! The security properties P1 to P11, as far as the engine keeps them. P5 is in `cuts`.

use ftp_pinhole::pinhole::OpenError;

use crate::pair::{Pair, legs, policy};

#[test]
fn p1_a_pinhole_is_the_effect_of_greeting_login_and_a_set_up_with_its_own_reply() {
    let steps: [fn(&mut Pair) -> &mut Pair; 5] = [
        |pair| pair.server("120 wait").server("220 hi"),
        |pair| pair.client("USER a").server("331 p"),
        |pair| pair.client("PASS b").server("230 in"),
        |pair| pair.client("PASV"),
        |pair| pair.server("227 (10,0,0,5,160,2)"),
    ];
    let mut pair = Pair::default();
    for (i, step) in steps.iter().enumerate() {
        assert_eq!(pair.opens(), 0, "before step {i}");
        step(&mut pair);
    }
    assert_eq!(pair.opens(), 1);
    for left_out in 0..steps.len() {
        let mut pair = Pair::default();
        steps.iter().enumerate().filter(|(i, _)| *i != left_out).for_each(|(_, step)| {
            step(&mut pair);
        });
        assert_eq!(pair.opens(), 0, "without step {left_out}");
    }
}

#[test]
fn p1_an_active_pinhole_is_activated_by_its_own_2yz_and_by_nothing_else() {
    for (reply, activated) in
        [("200 ok", true), ("250 ok", true), ("300 hm", false), ("500 no", false), ("425 no", false)]
    {
        let mut pair = Pair::logged_in();
        pair.client("NOOP\r\nPORT 198,51,100,10,200,1").server("200 noop");
        assert!(!pair.trace.iter().any(|line| line.contains("activate")));
        pair.server(reply);
        assert_eq!(pair.trace.contains(&"p-1 activate".to_owned()), activated, "{reply}");
    }
}

#[test]
fn p1_a_227_leaves_behind_the_opening_and_a_port_behind_the_reservation() {
    let mut pair = Pair::logged_in();
    pair.answer_later = true;
    pair.client("PASV").server("227 (10,0,0,5,160,2)").at_client("").answer_open();
    pair.at_client("227 Entering Passive Mode (203,0,113,10,195,80).").at_server("PASV");
    pair.client("PORT 198,51,100,10,200,1").at_server("").answer_open().at_server("PORT 10,0,0,1,156,65");
}

#[test]
fn p2_peers_come_from_the_sockets() {
    // The harness compares every opening with the legs.
    for reply in ["227 (192,0,2,66,160,2)", "227 (127,0,0,1,160,2)", "227 (0,0,0,0,160,2)"] {
        let mut pair = Pair::logged_in();
        pair.client("PASV").server(reply);
        assert!(pair.trace.contains(&"open passive to 10.0.0.5:40962".to_owned()), "{:?}", pair.trace);
        assert!(pair.trace.contains(&"violation server-address".to_owned()));
    }
    for command in
        ["PORT 192,0,2,66,200,1", "PORT 10,0,0,5,200,1", "PORT 0,0,0,0,200,1", "EPRT |1|127.0.0.1|51201|"]
    {
        let mut pair = Pair::logged_in();
        pair.client(command)
            .at_server("")
            .did("pinhole.denied foreign-address")
            .at_client("501 The address is not yours.");
    }
}

#[test]
fn p3_ports_that_are_low_or_readable_in_two_ways_are_denied() {
    for argument in
        ["0,0", "0,22", "3,255", "256,1", "65558,1", "+1,1", "007,1", "200,01", "200,1,1", "200", "-1,1"]
    {
        let mut pair = Pair::logged_in();
        pair.client(&format!("PORT 198,51,100,10,{argument}")).at_server("");
        let mut pair = Pair::logged_in();
        pair.client("PASV").server(&format!("227 (10,0,0,5,{argument})"));
        pair.at_client("425 The server announced an address that is not allowed.");
    }
    for port in ["0", "22", "1023", "65536", "65558", "+51201", "051201", "-1", "", "51201 "] {
        let mut pair = Pair::logged_in();
        pair.client(&format!("EPRT |1|198.51.100.10|{port}|")).at_server("");
        let mut pair = Pair::between(policy(|_| {}), legs(6, 6)).log_in();
        pair.client("EPSV").server(&format!("229 ok (|||{port}|)"));
        pair.at_client("425 The server announced an address that is not allowed.");
    }
}

#[test]
fn p3_a_server_port_outside_the_configured_ranges_is_denied() {
    let ports = ftp_pinhole::addr::PortRange::new(60_000, 60_010).unwrap();
    let ports = ftp_pinhole::addr::PortSet::new(vec![ports]).unwrap();
    let mut pair = Pair::logged_in_with(policy(|policy| policy.server_ports = ports));
    pair.client("PASV").server("227 (10,0,0,5,160,2)").did("pinhole.denied server-port");
    pair.client("PASV").server("227 (10,0,0,5,234,96)").did("open passive to 10.0.0.5:60000; pinhole.opened");
}

#[test]
fn p4_a_pending_pinhole_closes_at_every_one_of_its_ends() {
    for (command, reason) in [
        ("ABOR", "aborted"),
        ("REIN", "reinitialized"),
        ("USER b", "reinitialized"),
        ("AUTH TLS", "authentication"),
        ("PASV", "new-setup"),
    ] {
        let mut pair = Pair::passive_ready();
        pair.client(command);
        assert_eq!(pair.trace[..2], [format!("pinhole.revoked {reason}"), "p-1 close".into()], "{command}");
    }
    let mut pair = Pair::passive_ready();
    pair.client("QUIT").server("221 bye");
    assert_eq!(pair.open_pinholes(), 0);
}

#[test]
fn p4_a_running_transfer_is_cut_by_abor_alone() {
    for dialogue in [
        &[("", "226 done")][..],
        &[("QUIT", "226 done"), ("", "221 bye")],
        &[("REIN", "226 done"), ("", "220 hi")],
        &[("PASV", "226 done"), ("", "227 (10,0,0,5,160,3)")],
        &[("PORT 198,51,100,10,200,1", "226 done"), ("", "200 ok")],
        &[("AUTH TLS", "226 done")],
        &[("USER b", "226 done"), ("", "331 p")],
    ] {
        let mut pair = Pair::retrieving();
        for (command, reply) in dialogue {
            if !command.is_empty() {
                pair.client(command);
            }
            pair.server(reply);
        }
        pair.wait_secs(29);
        assert!(!pair.trace.contains(&"p-1 close".to_owned()), "{dialogue:?}: {:?}", pair.trace);
    }
    let mut pair = Pair::retrieving();
    pair.client("ABOR").did("").server("426 cut").did("p-1 close");
}

#[test]
fn p4_bytes_flow_the_way_that_the_command_says() {
    for (command, flow) in [
        ("RETR f", "to-client"),
        ("LIST", "to-client"),
        ("NLST", "to-client"),
        ("MLSD", "to-client"),
        ("STOR f", "to-server"),
        ("STOU", "to-server"),
        ("APPE f", "to-server"),
    ] {
        let mut pair = Pair::passive_ready();
        pair.client(command).did(&format!("p-1 {flow}"));
    }
    let mut pair = Pair::logged_in_with(policy(|policy| policy.enforce_direction = false)).pasv();
    pair.client("RETR f").did("p-1 both");
}

#[test]
fn p6_a_pipelining_client_is_held_back_at_the_bound() {
    let mut pair = Pair::logged_in();
    pair.client_raw("NOOP\r\n".repeat(100_000).as_bytes());
    assert_eq!(pair.server_bytes.len(), 20 * "NOOP\r\n".len(), "commands without a reply");
    assert!(!pair.session.wants_client());
}

#[test]
fn p6_replies_without_end_end_the_session() {
    let mut pair = Pair::logged_in();
    pair.client("STAT /").server("211-x").server_raw("y\r\n".repeat(98).as_bytes()).did("");
    pair.server("211 end").forget().client("STAT /").server("211-x");
    pair.server_raw("y\r\n".repeat(100).as_bytes())
        .did("violation line-too-long; hang-up; session.closed line-too-long; over");
    let mut pair = Pair::logged_in();
    pair.server_raw(&[b'2'; 100_000])
        .did("violation line-too-long; hang-up; session.closed line-too-long; over");
}

#[test]
fn p6_pinholes_that_linger_are_bounded() {
    let mut pair = Pair::logged_in();
    for id in 1..=1000 {
        pair.client("PASV")
            .server("227 (10,0,0,5,160,2)")
            .connect(id)
            .client("LIST")
            .server("150 x\r\n226 y");
    }
    pair.forget()
        .client("PASV")
        .at_server("")
        .at_client("425 The gateway cannot open a data connection now.");
    pair.did("pinhole.denied pinhole-limit").close(1, 0, 0).client("PASV").at_server("PASV");
}

#[test]
fn p8_a_backend_or_audit_sink_that_fails_means_a_4yz_and_nothing_open() {
    for error in [OpenError::Backend, OpenError::Audit] {
        let mut pair = Pair::logged_in();
        pair.fail.extend([error, error]);
        pair.client("PASV").server("227 (10,0,0,5,160,2)").client("PORT 198,51,100,10,200,1").client("LIST");
        let failed = "425 The gateway cannot open a data connection now.";
        pair.at_client(&format!("{failed}\n{failed}\n425 Use PASV, EPSV, PORT or EPRT first."));
        assert_eq!(pair.open_pinholes(), 0);
        assert!(!pair.trace.iter().any(|line| line.starts_with("pinhole.opened")));
    }
}

#[test]
fn p9_the_backends_byte_counts_are_recorded_as_they_are() {
    let mut pair = Pair::retrieving();
    pair.close(1, u64::MAX, 0);
    assert_eq!((pair.events[0].bytes_to_server, pair.events[0].bytes_to_client), (Some(u64::MAX), Some(0)));
}

#[test]
fn p10_no_password_and_no_control_byte_reaches_an_event() {
    let mut pair = Pair::default();
    pair.server("220 hi")
        .client("USER a\x1b]0;x\x07")
        .server("331 p")
        .client("PASS hunter2")
        .server("332 account");
    pair.client("ACCT hunter2").server("230 in").client("PASV").server("227 (10,0,0,5,160,2)");
    pair.client("RETR \x1b[31m\u{202e}").server("150 x").connect(1).close(1, 0, 0).client("PASS hunter2 x\0");
    let events = format!("{:?}", pair.events);
    assert!(!events.contains("hunter2"));
    let texts = pair.events.iter().flat_map(|event| [&event.user, &event.command, &event.transfer]);
    for text in texts.flatten() {
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
    }
}

#[test]
fn p11_no_time_out_ends_a_control_connection_whose_data_connection_is_up() {
    let mut pair = Pair::retrieving();
    pair.wait_secs(7 * 24 * 3600).quiet();
    pair.close(1, 0, 5).server("226 done").at_client("226 done");
}
