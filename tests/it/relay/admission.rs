//! Who gets through a pinhole and when it is shut: one peer, once, in time.

use super::*;

#[tokio::test]
async fn one_connection_only_and_the_port_shuts_behind_it() {
    let mut bed = Bed::new();
    let (pinhole, _client, _far) = bed.connect_passive().await;
    let again = dial_from(CLIENT, bed.listen(pinhole));
    assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_stranger_is_reset_and_reported_and_uses_nothing_up() {
    let mut bed = Bed::new();
    let server = server();
    let pinhole = bed.open_passive(CLIENT, server.local_addr().unwrap()).unwrap();
    let mut froms = Vec::new();
    for _ in 0..10 {
        let stranger = dial_from("127.0.0.2".parse().unwrap(), bed.listen(pinhole)).unwrap();
        froms.push((stranger.local_addr().unwrap(), bed.listen(pinhole)));
        assert_eq!(read_all(&mut into_tokio(stranger)).await, None, "a reset, not an end");
    }
    froms.truncate(8);
    assert_eq!(*bed.strangers.lock().unwrap(), froms, "a flood is reported eight times");
    let client = TcpStream::connect(bed.listen(pinhole)).await.unwrap();
    assert_eq!(bed.connected().await, client.local_addr().unwrap());
    server.accept().await.unwrap();
    bed.assert_quiet();
}

#[tokio::test]
async fn one_port_serves_two_diallers_at_once() {
    let mut bed = Bed::new();
    let other: IpAddr = "127.0.0.3".parse().unwrap();
    let (to_first, to_other) = (server(), server());
    let first = bed.open_passive(CLIENT, to_first.local_addr().unwrap()).unwrap();
    let second = bed.open_passive(other, to_other.local_addr().unwrap()).unwrap();
    assert_eq!(first.port, second.port);
    let mut far = Vec::new();
    for (from, server, pinhole) in [(other, &to_other, second), (CLIENT, &to_first, first)] {
        let mut near = into_tokio(dial_from(from, bed.listen(pinhole)).unwrap());
        assert_eq!(
            bed.event().await,
            (pinhole.id, DataEvent::Connected { from: near.local_addr().unwrap() })
        );
        near.write_all(from.to_string().as_bytes()).await.unwrap();
        bed.order(pinhole, Order::Flow(Direction::ToServer));
        far.push((near, server.accept().await.unwrap().0));
    }
    for (near, far) in &mut far {
        near.shutdown().await.unwrap();
        let from = near.local_addr().unwrap().ip().to_string();
        assert_eq!(read_all(far).await.unwrap(), from.as_bytes());
    }
}

#[tokio::test]
async fn a_second_connection_in_the_backlog_is_cut_and_reported() {
    let mut bed = Bed::new();
    let server = server();
    let pinhole = bed.open_passive(CLIENT, server.local_addr().unwrap()).unwrap();
    let _first = dial_from(CLIENT, bed.listen(pinhole)).unwrap();
    let second = dial_from(CLIENT, bed.listen(pinhole)).unwrap();
    let from = second.local_addr().unwrap();
    assert_eq!(read_all(&mut into_tokio(second)).await, None);
    let events = [bed.event().await, bed.event().await];
    assert!(events.contains(&(pinhole.id, DataEvent::SecondConnection { from })), "{events:?}");
    assert!(bed.strangers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_second_connection_is_told_from_a_stranger_while_the_port_serves_others() {
    let mut bed = Bed::new();
    let server = server();
    let to = server.local_addr().unwrap();
    let pinhole = bed.open_passive(CLIENT, to).unwrap();
    bed.open_passive("127.0.0.3".parse().unwrap(), to).unwrap();
    let _first = TcpStream::connect(bed.listen(pinhole)).await.unwrap();
    bed.connected().await;
    let second = dial_from(CLIENT, bed.listen(pinhole)).unwrap();
    let from = second.local_addr().unwrap();
    assert_eq!(bed.event().await, (pinhole.id, DataEvent::SecondConnection { from }));
    assert_eq!(read_all(&mut into_tokio(second)).await, None);
}

#[tokio::test]
async fn an_early_active_connection_is_held_until_activated() {
    let mut bed = Bed::new();
    let client = server();
    let pinhole = bed.open_active(client.local_addr().unwrap(), CLIENT).unwrap();
    let mut near = TcpStream::connect(bed.listen(pinhole)).await.unwrap();
    near.write_all(b"early").await.unwrap();
    bed.order(pinhole, Order::Flow(Direction::ToClient));
    bed.connected().await;
    let dialled = std::future::poll_fn(|cx| std::task::Poll::Ready(client.poll_accept(cx).is_ready())).await;
    assert!(!dialled, "nothing is dialled before the server agreed");
    bed.order(pinhole, Order::Activate);
    let (mut far, from) = client.accept().await.unwrap();
    assert_eq!(from.ip(), bed.gateway, "the client sees the address that it knows");
    assert_eq!(bed.event().await.1, DataEvent::Joined);
    near.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await.unwrap(), b"early");
    drop(far);
    assert_eq!(bed.closed().await.bytes_to_client, Some(5));
}

#[tokio::test]
async fn active_data_comes_from_the_port_that_policy_names() {
    let mut bed = Bed::new();
    let port = free_port(bed.gateway);
    bed.policy.active_source_port = Some(port);
    let client = server();
    let pinhole = bed.open_active(client.local_addr().unwrap(), CLIENT).unwrap();
    bed.order(pinhole, Order::Activate);
    let _near = TcpStream::connect(bed.listen(pinhole)).await.unwrap();
    assert_eq!(client.accept().await.unwrap().1, SocketAddr::new(bed.gateway, port));
}

#[tokio::test]
async fn closing_a_pending_pinhole_stops_listening_at_once() {
    let mut bed = Bed::new();
    let to = server().local_addr().unwrap();
    let pinhole = bed.open_passive(CLIENT, to).unwrap();
    drop(dial_from("127.0.0.2".parse().unwrap(), bed.listen(pinhole)).expect("it listens"));
    bed.order(pinhole, Order::Close);
    let refused = dial_from(CLIENT, bed.listen(pinhole)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let next = bed.open_passive(CLIENT, to).expect("the port is free again");
    bed.order(pinhole, Order::Close);
    let _near = TcpStream::connect(bed.listen(next)).await.unwrap();
    assert_eq!(bed.event().await.0, next.id, "an order for a pinhole that is gone changes nothing");
}

#[tokio::test]
async fn an_exhausted_range_opens_nothing_until_a_peer_has_come() {
    let mut bed = Bed::new();
    let server = server();
    let to = server.local_addr().unwrap();
    let pinhole = bed.open_passive(CLIENT, to).unwrap();
    let none = OpenError::NoFreePort { dialler: CLIENT, listen: bed.gateway };
    assert_eq!(bed.open_passive(CLIENT, to), Err(none));
    let _near = TcpStream::connect(bed.listen(pinhole)).await.unwrap();
    bed.connected().await;
    let next = bed.open_passive(CLIENT, to).expect("a connected pinhole frees its port");
    assert_eq!(next.port, pinhole.port);
}

#[tokio::test]
async fn a_port_that_another_program_holds_is_skipped() {
    let mut bed = Bed::new();
    let held = StdListener::bind((bed.gateway, 0)).unwrap();
    let (taken, free) = (held.local_addr().unwrap().port(), free_port(bed.gateway));
    bed.use_ports(&[taken, free]);
    let to = server().local_addr().unwrap();
    for last in 1..=16 {
        let client = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        assert_eq!(bed.open_passive(client, to).unwrap().port, free);
    }
    bed.use_ports(&[taken]);
    let none = OpenError::NoFreePort { dialler: CLIENT, listen: bed.gateway };
    assert_eq!(bed.open_passive(CLIENT, to), Err(none));
}

#[tokio::test]
async fn the_port_that_the_engine_asks_for_is_the_one_that_opens() {
    let bed = Bed::new();
    let asked = free_port(bed.gateway);
    let to = server().local_addr().unwrap();
    let permit = || bed.policy.permit_passive(&bed.legs(CLIENT, to.ip()), to.port(), None).unwrap().permit;
    assert_eq!(bed.open(Expectation::new(permit(), Some(asked))).unwrap().port, asked);
    assert!(bed.open(Expectation::new(permit(), Some(asked))).is_err());
}

#[tokio::test]
async fn an_address_that_is_not_the_gateways_is_a_backend_failure() {
    let mut bed = Bed::new();
    bed.gateway = "192.0.2.99".parse().unwrap();
    let to = server().local_addr().unwrap();
    assert_eq!(bed.open_passive(CLIENT, to), Err(OpenError::Backend));
}

#[tokio::test]
async fn closing_a_connected_pinhole_leaves_its_successor_on_the_same_port_open() {
    let mut bed = Bed::new();
    let (first, _client, _far) = bed.connect_passive().await;
    let server = server();
    let second = bed.open_passive(CLIENT, server.local_addr().unwrap()).unwrap();
    assert_eq!(first.port, second.port);
    bed.order(first, Order::Close);
    assert_eq!(bed.closed().await.reason, Some(Reason::Aborted));
    let client = TcpStream::connect(bed.listen(second)).await.unwrap();
    assert_eq!(bed.event().await, (second.id, DataEvent::Connected { from: client.local_addr().unwrap() }));
}
