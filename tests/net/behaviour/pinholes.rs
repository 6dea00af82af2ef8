//! Who may use a pinhole, when, and how often.

use std::net::SocketAddr;

use super::stage::{FAMILY, Stage, accept, dial, host_port, is_shut, rest, send_whole, stays_alone};
use super::{KERNEL, OFFICE, OFFICE_GUARDED, OFFICE_RELAY, RELAY, ROUTED, scenarios};
use crate::host::Host;
use crate::lab::Who;

scenarios! {
    stranger_opens_nothing_relay: stranger_opens_nothing, RELAY, "";
    stranger_opens_nothing_nftables: stranger_opens_nothing, KERNEL, "";
    stranger_opens_nothing_routed: stranger_opens_nothing, ROUTED, "";
    stranger_opens_nothing_office: stranger_opens_nothing, OFFICE_GUARDED, "";
    stranger_opens_nothing_office_relay: stranger_opens_nothing, OFFICE_RELAY, "";

    stranger_at_an_active_port_opens_nothing_relay: active_stranger_opens_nothing, RELAY, "";
    stranger_at_an_active_port_opens_nothing_nftables: active_stranger_opens_nothing, KERNEL, "";
    stranger_at_an_active_port_opens_nothing_office: active_stranger_opens_nothing, OFFICE, "";

    second_connection_is_refused_relay: second_connection_is_refused, RELAY, "";
    second_connection_is_refused_nftables: second_connection_is_refused, KERNEL, "";
    second_connection_is_refused_routed: second_connection_is_refused, ROUTED, "";
    second_connection_is_refused_office: second_connection_is_refused, OFFICE_GUARDED, "";

    pinhole_expires_relay: pinhole_expires, RELAY, "timeouts: {pinhole: 1s},";
    pinhole_expires_nftables: pinhole_expires, KERNEL, "timeouts: {pinhole: 1s},";
    pinhole_expires_office: pinhole_expires, OFFICE_GUARDED, "timeouts: {pinhole: 1s},";

    lost_syn_is_sent_again_relay: lost_syn_is_sent_again, RELAY, "";
    lost_syn_is_sent_again_nftables: lost_syn_is_sent_again, KERNEL, "";
    lost_syn_is_sent_again_office: lost_syn_is_sent_again, OFFICE, "";

    nothing_reaches_the_client_before_the_reply_to_port_relay: early_dial_waits_for_the_reply, RELAY, "";
    nothing_reaches_the_client_before_the_reply_to_port_nftables: early_dial_waits_for_the_reply, KERNEL, "";
    nothing_reaches_the_client_before_the_reply_to_port_office: early_dial_waits_for_the_reply, OFFICE, "";

    bounce_to_a_third_host_is_refused_relay: bounce_is_refused, RELAY, "";
    bounce_to_a_third_host_is_refused_nftables: bounce_is_refused, KERNEL, "";
    bounce_to_a_third_host_is_refused_office: bounce_is_refused, OFFICE, "";
    bounce_to_a_third_host_is_refused_office_relay: bounce_is_refused, OFFICE_RELAY, "";

    active_data_comes_from_port_20_relay: data_comes_from_port_20, RELAY, "active_source_port: 20,";
    active_data_comes_from_port_20_nftables: data_comes_from_port_20, KERNEL, "active_source_port: 20,";
}

/// A third host dials the port of a pending pinhole; afterwards its client uses it as if nothing had been.
fn stranger_opens_nothing(stage: &mut Stage) {
    let mut session = stage.session();
    let announced = stage.passive(&mut session);
    is_shut(stage.lab.host(stage.stranger()), announced.told);
    stays_alone(&announced.listener);
    let (mut client, server) = stage.join_passive(&announced);
    session.exchange("RETR file", "150 here it comes");
    send_whole(server, b"for the client");
    session.answer("226 done");
    assert_eq!(rest(&mut client), b"for the client");
    drop(client);
    let closed = stage.record("the end", |record| record["event"] == "pinhole.closed");
    assert_eq!(closed["from"], stage.placement.client().ip(FAMILY).to_string());
}

/// The same for the port that the server was told: a neighbour of the server dials it.
fn active_stranger_opens_nothing(stage: &mut Stage) {
    let mut session = stage.session();
    let announced = stage.active(&mut session);
    let beside = if stage.placement.server() == Who::Near { Who::Neighbour } else { Who::Stranger };
    is_shut(stage.lab.host(beside), announced.told);
    stays_alone(&announced.listener);
    let (mut client, server) = stage.join_active(&announced);
    session.exchange("RETR file", "150 here it comes");
    send_whole(server, b"from the server");
    session.answer("226 done");
    assert_eq!(rest(&mut client), b"from the server");
}

/// The right client dials again, before the transfer and after it; the first connection stays whole.
fn second_connection_is_refused(stage: &mut Stage) {
    let mut session = stage.session();
    let announced = stage.passive(&mut session);
    let (mut client, server) = stage.join_passive(&announced);
    is_shut(stage.client(), announced.told);
    stays_alone(&announced.listener);
    session.exchange("RETR file", "150 here it comes");
    send_whole(server, b"only once");
    session.answer("226 done");
    assert_eq!(rest(&mut client), b"only once");
    drop(client);
    stage.record("the end", |record| record["event"] == "pinhole.closed");
    is_shut(stage.client(), announced.told);
    stays_alone(&announced.listener);
    assert_eq!(stage.count("pinhole.connected"), 1);
}

/// Nobody comes within `timeouts.pinhole`.
fn pinhole_expires(stage: &mut Stage) {
    let mut session = stage.session();
    let announced = stage.passive(&mut session);
    let expired = stage.record("expiry", |record| record["event"] == "pinhole.expired");
    assert_eq!(expired["listen"], announced.told.to_string());
    is_shut(stage.client(), announced.told);
    stays_alone(&announced.listener);
    session.exchange("NOOP", "200 still here");
    drop(session);
    stage.one_more_transfer_works(true);
}

/// The first SYN of each data connection is lost on its last stretch, in passive and in active mode.
fn lost_syn_is_sent_again(stage: &mut Stage) {
    let mut session = stage.session();
    let announced = stage.passive(&mut session);
    let port = announced.listener.local_addr().expect("a bound socket has an address").port();
    lose_first_syn(stage.server(), port);
    let (client, server) = stage.join_passive(&announced);
    assert!(has_lost(stage.server()), "nothing was lost");
    drop((client, server));

    let announced = stage.active(&mut session);
    let port = announced.listener.local_addr().expect("a bound socket has an address").port();
    lose_first_syn(stage.client(), port);
    let (client, server) = stage.join_active(&announced);
    assert!(has_lost(stage.client()), "nothing was lost");
    drop((client, server));
}

/// The server dials as soon as it has read PORT, as some do. The client, which has no reply, must not be
/// reached; after the reply the same connection is carried on.
fn early_dial_waits_for_the_reply(stage: &mut Stage) {
    let mut session = stage.session();
    let announced = stage.announce(&mut session);
    std::thread::scope(|scope| {
        let dialling = scope.spawn(|| dial(stage.server(), announced.told));
        stays_alone(&announced.listener);
        session.answer("200 PORT is fine");
        let server =
            dialling.join().expect("dialling does not panic").expect("the dial is answered in the end");
        session.exchange("RETR file", "150 here it comes");
        let mut client = accept(&announced.listener).expect("the client is dialled");
        send_whole(server, b"early");
        session.answer("226 done");
        assert_eq!(rest(&mut client), b"early");
    });
    stage.record("the end", |record| record["event"] == "pinhole.closed");
    assert_eq!(stage.count("pinhole.connected"), 1);
}

/// PORT names another host than the client: the server never hears of it.
fn bounce_is_refused(stage: &mut Stage) {
    let mut session = stage.session();
    for target in [stage.stranger(), stage.placement.server()] {
        session.client.say(&format!("PORT {}", host_port(target.at(FAMILY, 5000))));
        let reply = session.client.line();
        assert!(reply.starts_with('5'), "the reply is {reply}");
    }
    session.exchange("NOOP", "200 nothing in between");
    let denied = stage.record("the denial", |record| record["event"] == "pinhole.denied");
    assert_eq!(denied["reason"], "foreign-address");
    assert_eq!(denied["to"], stage.stranger().at(FAMILY, 5000).to_string());
}

/// `active_source_port: 20`: what old firewalls before clients demand.
fn data_comes_from_port_20(stage: &mut Stage) {
    let mut session = stage.session();
    let announced = stage.active(&mut session);
    let (client, _server) = stage.join_active(&announced);
    let peer: SocketAddr = client.peer_addr().expect("a connected socket has a peer");
    assert_eq!(peer, stage.placement.dialled().at(FAMILY, 20));
}

fn lose_first_syn(host: &Host, port: u16) {
    host.nft(&format!(
        "table inet loss {{
            set seen {{ type inet_service; flags dynamic; size 1024; }}
            chain incoming {{
                type filter hook prerouting priority raw; policy accept;
                tcp dport {port} tcp flags & (syn | ack) == syn tcp sport != @seen add @seen {{ tcp sport }} drop
            }}
        }}\n"
    ));
}

fn has_lost(host: &Host) -> bool {
    let seen = host.output("nft", &["list", "set", "inet", "loss", "seen"]);
    host.nft("delete table inet loss\n");
    seen.contains("elements")
}
