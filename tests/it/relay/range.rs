//! Ranges: every port of one is open to its client, any number of times, while a session lasts that nobody can
//! read.

use ftp_pinhole::policy::Tls;

use super::*;

const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const OTHER_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));

impl Bed {
    /// Opens a range of the ports at which these servers listen, all at one address.
    fn open_range(&mut self, client: IpAddr, servers: &[&TcpListener]) -> Result<PinholeId, OpenError> {
        let ports = servers.iter().map(|server| port(server)).map(|port| PortRange::new(port, port).unwrap());
        self.policy.tls = Tls::Blind(PortSet::new(ports.collect()).unwrap());
        let server = servers[0].local_addr().unwrap().ip();
        let permit = self.policy.permit_range(&self.legs(client, server)).unwrap();
        self.relay.open_range(permit, &Arc::new(self.policy.clone()), Arc::clone(&self.inbox) as _)
    }

    fn close(&self, range: PinholeId) {
        self.relay.order(range, Order::Close);
    }

    fn at_port_of(&self, server: &TcpListener) -> SocketAddr {
        SocketAddr::new(self.gateway, port(server))
    }

    /// The client comes in at the port of `server`: its end, the server's end and the connection's name.
    async fn enter(&mut self, range: PinholeId, server: &TcpListener) -> (TcpStream, TcpStream, PinholeId) {
        let client = into_tokio(dial_from(CLIENT, self.at_port_of(server)).unwrap());
        let entered = self.event().await;
        let (of, DataEvent::Entered { pinhole, port: at }) = entered else { panic!("{entered:?}") };
        assert_eq!((of, at), (range, port(server)));
        let from = client.local_addr().unwrap();
        assert_eq!(self.event().await, (pinhole, DataEvent::Connected { from }));
        let (far, from) = server.accept().await.unwrap();
        assert_eq!(from.ip(), self.gateway, "the server sees the address of its control connection");
        (client, far, pinhole)
    }

    fn is_refused(&self, from: IpAddr, server: &TcpListener) {
        let refused = dial_from(from, self.at_port_of(server)).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}

fn port(server: &TcpListener) -> u16 {
    server.local_addr().unwrap().port()
}

/// Bytes go both ways, until both ends close.
async fn converse(client: &mut TcpStream, far: &mut TcpStream) {
    for end in [&mut *client, &mut *far] {
        end.write_all(b"ciphertext").await.unwrap();
        end.shutdown().await.unwrap();
    }
    for end in [client, far] {
        assert_eq!(read_all(end).await.unwrap(), b"ciphertext");
    }
}

#[tokio::test]
async fn every_port_of_a_range_leads_to_the_same_port_of_the_server_any_number_of_times() {
    let mut bed = Bed::new();
    let servers = [server(), server()];
    let range = bed.open_range(CLIENT, &[&servers[0], &servers[1]]).unwrap();
    for server in [&servers[1], &servers[0], &servers[1]] {
        let (mut client, mut far, pinhole) = bed.enter(range, server).await;
        converse(&mut client, &mut far).await;
        let closed = bed.event().await;
        assert!(
            matches!(closed, (id, DataEvent::Closed(Closed { bytes_to_server: Some(10), bytes_to_client: Some(10), reason: None, .. })) if id == pinhole),
            "{closed:?}"
        );
    }
    bed.assert_quiet();
}

#[tokio::test]
async fn a_range_is_open_to_its_client_alone() {
    let mut bed = Bed::new();
    let server = server();
    let range = bed.open_range(CLIENT, &[&server]).unwrap();
    let stranger = dial_from(STRANGER, bed.at_port_of(&server)).unwrap();
    let from = stranger.local_addr().unwrap();
    assert_eq!(read_all(&mut into_tokio(stranger)).await, None, "a reset, not an end");
    assert_eq!(*bed.strangers.lock().unwrap(), [(from, bed.at_port_of(&server))]);
    bed.enter(range, &server).await;
}

#[tokio::test]
async fn closing_a_range_stops_listening_at_once_and_who_is_in_stays() {
    let mut bed = Bed::new();
    let server = server();
    let range = bed.open_range(CLIENT, &[&server]).unwrap();
    let (mut client, mut far, _) = bed.enter(range, &server).await;
    bed.close(range);
    bed.is_refused(CLIENT, &server);
    converse(&mut client, &mut far).await;
    assert_eq!(bed.closed().await.reason, None);
}

#[tokio::test]
async fn who_has_not_been_let_in_when_a_range_closes_is_cut() {
    let mut bed = Bed::new();
    let server = server();
    let range = bed.open_range(CLIENT, &[&server]).unwrap();
    let waiting = dial_from(CLIENT, bed.at_port_of(&server)).unwrap();
    bed.close(range);
    assert_eq!(read_all(&mut into_tokio(waiting)).await, None);
    bed.assert_quiet();
}

#[tokio::test]
async fn an_order_to_close_a_connection_of_a_range_cuts_it_and_leaves_the_range_open() {
    let mut bed = Bed::new();
    let server = server();
    let range = bed.open_range(CLIENT, &[&server]).unwrap();
    let (mut client, mut far, pinhole) = bed.enter(range, &server).await;
    bed.relay.order(pinhole, Order::Close);
    assert_eq!(bed.closed().await.reason, Some(Reason::Aborted));
    assert_eq!((read_all(&mut client).await, read_all(&mut far).await), (None, None));
    bed.enter(range, &server).await;
}

#[tokio::test]
async fn two_ranges_of_one_client_are_open_until_the_last_closes() {
    let mut bed = Bed::new();
    let server = server();
    let first = bed.open_range(CLIENT, &[&server]).unwrap();
    let second = bed.open_range(CLIENT, &[&server]).unwrap();
    bed.close(second);
    bed.enter(first, &server).await;
    bed.close(first);
    bed.is_refused(CLIENT, &server);
}

#[tokio::test]
async fn ranges_of_two_clients_share_their_ports() {
    let mut bed = Bed::new();
    let server = server();
    let strangers = bed.open_range(STRANGER, &[&server]).unwrap();
    let clients = bed.open_range(CLIENT, &[&server]).unwrap();
    bed.close(strangers);
    bed.enter(clients, &server).await;
    let late = dial_from(STRANGER, bed.at_port_of(&server)).unwrap();
    assert_eq!(read_all(&mut into_tokio(late)).await, None);
}

#[tokio::test]
async fn a_client_with_a_range_gets_none_of_its_ports_to_another_server() {
    let mut bed = Bed::new();
    let one = server();
    let other = TcpListener::bind((OTHER_SERVER, port(&one))).await.unwrap();
    let range = bed.open_range(CLIENT, &[&one]).unwrap();
    let taken = OpenError::NoFreePort { dialler: CLIENT, listen: bed.gateway };
    assert_eq!(bed.open_range(CLIENT, &[&other]), Err(taken), "nobody could tell whose a connection is");
    bed.open_range(STRANGER, &[&other]).expect("another client can be told apart");
    let _in = bed.enter(range, &one).await;
    bed.close(range);
    let range = bed.open_range(CLIENT, &[&other]).expect("the range is closed");
    bed.enter(range, &other).await;
}

#[tokio::test]
async fn ranges_that_share_no_port_may_lead_a_client_to_two_servers() {
    let mut bed = Bed::new();
    let (one, other) = (server(), server_at(OTHER_SERVER));
    let ranges = [&one, &other].map(|server| (bed.open_range(CLIENT, &[server]).unwrap(), server));
    for (range, server) in ranges {
        let (mut client, mut far, _) = bed.enter(range, server).await;
        converse(&mut client, &mut far).await;
        bed.closed().await;
    }
}

#[tokio::test]
async fn a_port_that_another_program_holds_leaves_nothing_listening() {
    let mut bed = Bed::new();
    let (first, held, shared) = (server(), server(), server());
    let _program = StdListener::bind(bed.at_port_of(&held)).unwrap();
    let open = bed.open_range(CLIENT, &[&shared]).unwrap();
    assert_eq!(bed.open_range(CLIENT, &[&first, &shared, &held]), Err(OpenError::Backend));
    bed.is_refused(CLIENT, &first);
    bed.enter(open, &shared).await;
    bed.close(open);
    bed.is_refused(CLIENT, &shared);
}

#[tokio::test]
async fn connections_that_were_intercepted_are_taken_from_where_they_arrived() {
    let mut bed = Bed::new();
    bed.policy.intercepted = true;
    let (server, door) = (server(), server_at(bed.gateway));
    let range = bed.open_range(CLIENT, &[&server]).unwrap();
    bed.is_refused(CLIENT, &server);
    let dialled = bed.at_port_of(&server);
    let beside = SocketAddr::new(bed.gateway, port(&door));
    for (from, dialled, taken) in
        [(STRANGER, dialled, false), (CLIENT, beside, false), (CLIENT, dialled, true)]
    {
        let mut client = into_tokio(dial_from(from, beside).unwrap());
        let (stream, peer) = door.accept().await.unwrap();
        let left = bed.relay.enter_range(stream, peer, dialled);
        assert_eq!(left.is_none(), taken, "{from} dialled {dialled}");
        if taken {
            converse(&mut client, &mut server.accept().await.unwrap().0).await;
        }
    }
    bed.close(range);
    let _client = dial_from(CLIENT, beside).unwrap();
    let (stream, peer) = door.accept().await.unwrap();
    assert!(bed.relay.enter_range(stream, peer, dialled).is_some(), "the range is closed");
}
