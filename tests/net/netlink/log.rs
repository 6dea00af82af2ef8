//! Header copies of real connections over loopback.

use std::io::ErrorKind;
use std::net::SocketAddr;

use ftp_pinhole::netlink::{HeaderLog, TcpFlags};

use super::{any_ports, connection, transfer, wait_until};
use crate::unshared::{load, unshared};

const RULESET: &str = "
table inet t {
    chain start {
        type filter hook output priority 0; policy accept;
        tcp flags & (fin | syn | rst) != 0 log prefix \"data:7\" group 7 snaplen 120
    }
}
";

/// What the tests look at of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    src: SocketAddr,
    flags: TcpFlags,
    seq: u32,
    /// `None`: a packet too large for its IP header to say, as a busy machine makes them now and then.
    payload: Option<u32>,
}

fn read(log: &mut HeaderLog, seen: &mut Vec<Seen>) {
    let lost = log.read(|prefix, copy| {
        assert_eq!(prefix, b"data:7");
        assert_eq!(copy.src.ip(), copy.dst.ip());
        assert!(copy.header_bytes >= 40);
        let copy = Seen { src: copy.src, flags: copy.flags, seq: copy.seq, payload: copy.payload_bytes };
        // On a busy machine a segment is sent twice.
        if !seen.contains(&copy) {
            seen.push(copy);
        }
    });
    assert!(!lost.unwrap());
}

/// The payload that `src` sent, from its SYN and its FIN.
fn payload(seen: &[Seen], src: SocketAddr) -> Option<u32> {
    let of = |fin: bool| seen.iter().find(|copy| copy.src == src && copy.flags.fin == fin).unwrap();
    let (syn, fin) = (of(false), of(true));
    assert!(syn.flags.syn);
    Some(fin.seq.wrapping_add(fin.payload?).wrapping_sub(syn.seq).wrapping_sub(1))
}

#[test]
fn payload_follows_from_the_copies_of_syn_and_fin() {
    unshared(module_path!(), "payload_follows_from_the_copies_of_syn_and_fin", || {
        load(RULESET);
        let mut log = HeaderLog::bind(7, 120).unwrap();
        for (at, (up, down)) in
            any_ports().into_iter().cycle().zip([(0, 0), (1, 5), (3_000_000, 7), (40, 500_000)])
        {
            let (client, server) = connection(at);
            let ends = [client.local_addr().unwrap(), server.local_addr().unwrap()];
            transfer((client, server), up, down);
            let mut seen = Vec::new();
            wait_until("the fourth copy", || {
                read(&mut log, &mut seen);
                seen.len() >= 4
            });
            assert_eq!(seen.len(), 4, "{seen:?}");
            assert_eq!(seen.iter().filter(|copy| copy.flags.syn && copy.flags.ack).count(), 1);
            for (end, sent) in ends.into_iter().zip([up, down]) {
                let counted = payload(&seen, end).map(|count| count as usize);
                assert!(counted == Some(sent) || counted.is_none() && sent > 65_535, "{seen:?}");
            }
        }
    });
}

#[test]
fn group_has_one_owner() {
    unshared(module_path!(), "group_has_one_owner", || {
        let first = HeaderLog::bind(7, 120).unwrap();
        let error = HeaderLog::bind(7, 120).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy, "{error}");
        HeaderLog::bind(8, 120).unwrap();
        drop(first);
        HeaderLog::bind(7, 120).unwrap();
    });
}

#[test]
fn lost_copies_are_told() {
    unshared(module_path!(), "lost_copies_are_told", || {
        load(
            &RULESET
                .replace("tcp flags & (fin | syn | rst) != 0", "meta l4proto tcp")
                .replace("snaplen 120", ""),
        );
        let mut log = HeaderLog::bind(7, 60_000).unwrap();
        (0..10).for_each(|_| transfer(connection(any_ports()[0]), 10_000_000, 0));
        let mut copies = 0;
        let lost = log.read(|_, _| copies += 1).unwrap();
        assert!(lost && copies > 10, "{copies} copies, lost: {lost}");
    });
}
