//! What moves through a data connection, what does not, and how it ends.

use super::*;

/// Sends `bytes` from one end, reads them at the other, lets both close; the reader says whether what
/// came is what was sent.
async fn transfer(mut from: TcpStream, mut to: TcpStream, bytes: Vec<u8>) -> bool {
    let sent = bytes.clone();
    let sender = tokio::spawn(async move { from.write_all(&sent).await.unwrap() });
    let got = read_all(&mut to).await;
    sender.await.unwrap();
    got.is_some_and(|got| got == bytes)
}

#[tokio::test]
async fn bytes_arrive_unchanged_and_are_counted_exactly() {
    let mut bed = Bed::new();
    for len in [0, 1, 10_000_000] {
        for direction in [Direction::ToClient, Direction::ToServer, Direction::Both] {
            let (pinhole, client, far) = bed.connect_passive().await;
            bed.order(pinhole, Order::Flow(direction));
            let up = direction == Direction::ToServer;
            let (from, to) = if up { (client, far) } else { (far, client) };
            assert!(transfer(from, to, payload(len)).await, "{len} bytes {direction:?}");
            let closed = bed.closed().await;
            let counts = if up { (len as u64, 0) } else { (0, len as u64) };
            assert_eq!((closed.bytes_to_server, closed.bytes_to_client), (Some(counts.0), Some(counts.1)));
            assert_eq!(closed.reason, None);
        }
    }
    bed.assert_quiet();
}

#[tokio::test]
async fn an_ipv6_data_connection_leads_to_an_ipv4_server() {
    let gateway: IpAddr = "::1".parse().unwrap();
    if StdListener::bind((gateway, 0)).is_err() {
        skip!("this machine has no ::1");
    }
    let mut bed = Bed::at(gateway);
    let server = server();
    let to = server.local_addr().unwrap();
    let legs = Legs { source: SocketAddr::new(CLIENT, 21), ..bed.legs(gateway, CLIENT) };
    let permit = bed.policy.permit_passive(&legs, to.port(), None).unwrap().permit;
    let pinhole = bed.open(Expectation::new(permit, None)).unwrap();
    let client = TcpStream::connect(bed.listen(pinhole)).await.unwrap();
    assert_eq!(bed.connected().await, client.local_addr().unwrap());
    bed.order(pinhole, Order::Flow(Direction::ToClient));
    let (far, _) = server.accept().await.unwrap();
    assert!(transfer(far, client, payload(100_000)).await);
    assert_eq!(bed.closed().await.bytes_to_client, Some(100_000));
}

#[tokio::test]
async fn a_byte_against_the_direction_cuts_both_ends_and_is_not_forwarded() {
    for direction in [Direction::ToClient, Direction::ToServer] {
        let mut bed = Bed::new();
        let (pinhole, client, far) = bed.connect_passive().await;
        let (mut allowed, mut wrong) = match direction {
            Direction::ToServer => (client, far),
            _ => (far, client),
        };
        bed.order(pinhole, Order::Flow(direction));
        wrong.write_all(b"!").await.unwrap();
        assert_eq!(read_all(&mut allowed).await, None);
        assert_eq!(read_all(&mut wrong).await, None);
        let closed = bed.closed().await;
        assert_eq!((closed.bytes_to_client, closed.bytes_to_server), (Some(0), Some(0)));
        assert_eq!(closed.reason, Some(Reason::WrongDirection));
    }
}

#[tokio::test]
async fn no_byte_moves_before_the_transfer_command() {
    let mut bed = Bed::new();
    let (pinhole, mut client, mut far) = bed.connect_passive().await;
    far.write_all(b"early").await.unwrap();
    let mut byte = [0];
    let wait = tokio::time::timeout(Duration::from_millis(20), client.read(&mut byte)).await;
    assert!(wait.is_err(), "it came before its time");
    bed.order(pinhole, Order::Flow(Direction::ToClient));
    far.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await.unwrap(), b"early");
}

#[tokio::test]
async fn a_half_close_of_the_receiver_is_passed_on_and_the_transfer_goes_on() {
    let mut bed = Bed::new();
    let (pinhole, mut client, mut far) = bed.connect_passive().await;
    bed.order(pinhole, Order::Flow(Direction::ToClient));
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await.unwrap(), b"");
    assert!(transfer(far, client, payload(1000)).await);
    assert_eq!(bed.closed().await.reason, None);
}

#[tokio::test]
async fn a_direction_once_given_is_never_widened() {
    let mut bed = Bed::new();
    let (pinhole, mut client, _far) = bed.connect_passive().await;
    bed.order(pinhole, Order::Flow(Direction::ToClient));
    bed.order(pinhole, Order::Flow(Direction::Both));
    client.write_all(b"!").await.unwrap();
    assert_eq!(bed.closed().await.reason, Some(Reason::WrongDirection));
}

#[tokio::test]
async fn a_reset_by_the_sender_reaches_the_receiver_as_a_reset() {
    let mut bed = Bed::new();
    let (pinhole, mut client, mut far) = bed.connect_passive().await;
    bed.order(pinhole, Order::Flow(Direction::ToServer));
    client.write_all(b"half a file").await.unwrap();
    let mut got = [0; 11];
    far.read_exact(&mut got).await.unwrap();
    reset(client);
    assert_eq!(read_all(&mut far).await, None, "half a file must not look whole");
    let closed = bed.closed().await;
    assert_eq!((closed.reason, closed.bytes_to_server), (Some(Reason::DataReset), Some(11)));
}

/// With TLS 1.3 a server says something during an upload (tickets, close_notify), and many a client does not wait
/// for it.
#[tokio::test]
async fn an_upload_is_whole_though_the_server_has_words_for_a_client_that_is_gone() {
    let mut bed = Bed::new();
    let server = server();
    // So that most of the upload is still at the gateway when the client is found gone.
    SockRef::from(&server).set_recv_buffer_size(4096).unwrap();
    let pinhole = bed.open_passive(CLIENT, server.local_addr().unwrap()).unwrap();
    let mut client = TcpStream::connect(bed.listen(pinhole)).await.unwrap();
    bed.order(pinhole, Order::Flow(Direction::Both));
    bed.connected().await;
    let (mut far, _) = server.accept().await.unwrap();
    client.write_all(&payload(100_000)).await.unwrap();
    drop(client);
    let mut got = vec![0; 40_000];
    for part in got.chunks_mut(20_000) {
        far.write_all(b"a ticket").await.unwrap();
        far.read_exact(part).await.unwrap();
    }
    got.extend(read_all(&mut far).await.expect("the end is in order"));
    assert!(got == payload(100_000), "{} bytes arrive", got.len());
    far.write_all(b"close_notify").await.unwrap();
    drop(far);
    let closed = bed.closed().await;
    assert_eq!((closed.reason, closed.bytes_to_server), (None, Some(100_000)));
}

#[tokio::test]
async fn a_client_that_stops_a_download_in_the_middle_stops_the_server() {
    let mut bed = Bed::new();
    let (pinhole, client, mut far) = bed.connect_passive().await;
    bed.order(pinhole, Order::Flow(Direction::Both));
    reset(client);
    let bytes = payload(1 << 20);
    while far.write_all(&bytes).await.is_ok() {}
    assert_eq!(bed.closed().await.reason, Some(Reason::DataReset));
}

#[tokio::test]
async fn a_receiver_that_goes_away_cuts_the_sender() {
    let mut bed = Bed::new();
    let (pinhole, client, mut far) = bed.connect_passive().await;
    bed.order(pinhole, Order::Flow(Direction::ToClient));
    drop(client);
    let bytes = payload(1 << 20);
    while far.write_all(&bytes).await.is_ok() {}
    assert_eq!(bed.closed().await.reason, Some(Reason::DataReset));
}

#[tokio::test]
async fn closing_a_connected_pinhole_cuts_both_ends() {
    for flow in [None, Some(Direction::ToClient)] {
        let mut bed = Bed::new();
        let (pinhole, mut client, mut far) = bed.connect_passive().await;
        if let Some(direction) = flow {
            bed.order(pinhole, Order::Flow(direction));
            far.write_all(b"abc").await.unwrap();
            client.read_exact(&mut [0; 3]).await.unwrap();
        }
        bed.order(pinhole, Order::Close);
        let closed = bed.closed().await;
        assert_eq!(closed.reason, Some(Reason::Aborted));
        assert_eq!(closed.bytes_to_client, Some(if flow.is_some() { 3 } else { 0 }));
        assert_eq!((read_all(&mut client).await, read_all(&mut far).await), (None, None));
    }
}

#[tokio::test]
async fn a_far_end_that_cannot_be_dialled_resets_the_near_end() {
    let mut bed = Bed::new();
    let nobody = SocketAddr::new(CLIENT, free_port(CLIENT));
    let pinhole = bed.open_passive(CLIENT, nobody).unwrap();
    let mut client = TcpStream::connect(bed.listen(pinhole)).await.unwrap();
    bed.connected().await;
    let closed = bed.closed().await;
    assert_eq!(closed.reason, Some(Reason::DialFailed));
    assert_eq!((closed.bytes_to_client, closed.bytes_to_server), (Some(0), Some(0)));
    assert_eq!(read_all(&mut client).await, None);
}

#[tokio::test]
async fn a_data_connection_that_moves_nothing_is_cut() {
    let mut bed = Bed::new();
    bed.policy.timeouts.data_idle = Duration::from_millis(50);
    let (pinhole, mut client, mut far) = bed.connect_passive().await;
    bed.order(pinhole, Order::Flow(Direction::ToClient));
    far.write_all(b"x").await.unwrap();
    let closed = bed.closed().await;
    assert_eq!((closed.reason, closed.bytes_to_client), (Some(Reason::DataIdle), Some(1)));
    assert!(closed.duration >= Duration::from_millis(50));
    assert_eq!((read_all(&mut client).await, read_all(&mut far).await), (None, None));
}

#[tokio::test]
async fn a_receiver_that_never_closes_does_not_hold_a_complete_transfer_open() {
    let mut bed = Bed::new();
    bed.policy.timeouts.data_idle = Duration::from_millis(50);
    let (pinhole, mut client, mut far) = bed.connect_passive().await;
    bed.order(pinhole, Order::Flow(Direction::ToClient));
    far.write_all(b"all").await.unwrap();
    drop(far);
    let closed = bed.closed().await;
    assert_eq!((closed.reason, closed.bytes_to_client), (None, Some(3)));
    assert_eq!(read_all(&mut client).await.unwrap(), b"all");
}
