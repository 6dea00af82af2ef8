//! Entries of real connections over loopback.

use std::fs;
use std::net::TcpStream;

use ftp_pinhole::netlink::{Conntrack, Entry, Flow, TcpState};

use super::{any_ports, connection};
use crate::unshared::{load, unshared};

/// Connection tracking starts with the first rule that asks for it.
const RULESET: &str = "
table inet t {
    chain start {
        type filter hook input priority 0; policy accept;
        ct state new accept
    }
}
";

fn flow_of(client: &TcpStream) -> Flow {
    Flow { src: client.local_addr().unwrap(), dst: client.peer_addr().unwrap() }
}

fn turned(flow: Flow) -> Flow {
    Flow { src: flow.dst, dst: flow.src }
}

fn dumped(conntrack: &mut Conntrack, mark: u32, mask: u32) -> Vec<Flow> {
    let mut flows = Vec::new();
    conntrack.dump(mark, mask, |entry| flows.push(entry.original)).unwrap();
    flows
}

#[test]
fn entry_is_found_by_its_original_tuple_alone() {
    unshared(module_path!(), "entry_is_found_by_its_original_tuple_alone", || {
        load(RULESET);
        let mut conntrack = Conntrack::connect().unwrap();
        for at in any_ports() {
            let (client, _server) = connection(at);
            let flow = flow_of(&client);
            let entry = conntrack.get(&flow).unwrap().unwrap();
            let expected = Entry { original: flow, reply: turned(flow), mark: 0, ..entry };
            assert_eq!(entry, expected);
            assert_eq!(entry.tcp_state, Some(TcpState::Established));
            assert_eq!(conntrack.get(&turned(flow)).unwrap(), None);
            assert_eq!(conntrack.get_by_reply(&turned(flow)).unwrap(), Some(entry));
            assert_eq!(conntrack.get_by_reply(&flow).unwrap(), None);
        }
    });
}

#[test]
fn counters_are_there_when_accounting_is_on() {
    unshared(module_path!(), "counters_are_there_when_accounting_is_on", || {
        load(RULESET);
        let mut conntrack = Conntrack::connect().unwrap();
        for (setting, counted) in [("0", false), ("1", true)] {
            fs::write("/proc/sys/net/netfilter/nf_conntrack_acct", setting).unwrap();
            let (client, _server) = connection(any_ports()[0]);
            let entry = conntrack.get(&flow_of(&client)).unwrap().unwrap();
            assert_eq!(entry.original_counter.is_some(), counted);
            let answers = entry.reply_counter.map(|counter| (counter.packets, counter.bytes >= 40));
            assert_eq!(answers, counted.then_some((1, true)), "the SYN-ACK");
        }
    });
}

#[test]
fn mark_is_set_within_its_mask() {
    unshared(module_path!(), "mark_is_set_within_its_mask", || {
        load(RULESET);
        let mut conntrack = Conntrack::connect().unwrap();
        for at in any_ports() {
            let (client, _server) = connection(at);
            let flow = flow_of(&client);
            assert!(conntrack.set_mark(&flow, 0x0000_1234, u32::MAX).unwrap());
            assert!(conntrack.set_mark(&flow, 0xffff_ffff, 0xe000_0000).unwrap());
            assert!(conntrack.set_mark(&flow, 0x8000_0000, 0xe000_0000).unwrap());
            assert_eq!(conntrack.get(&flow).unwrap().unwrap().mark, 0x8000_1234);
        }
    });
}

#[test]
fn entry_is_deleted_by_either_tuple() {
    unshared(module_path!(), "entry_is_deleted_by_either_tuple", || {
        load(RULESET);
        let mut conntrack = Conntrack::connect().unwrap();
        for at in any_ports() {
            let (one, _server) = connection(at);
            let (other, _server) = connection(at);
            let (one, other) = (flow_of(&one), flow_of(&other));
            assert!(!conntrack.delete(&turned(one)).unwrap());
            assert!(conntrack.delete(&one).unwrap());
            assert!(!conntrack.delete(&one).unwrap());
            assert!(conntrack.get(&other).unwrap().is_some(), "the other stays");
            assert!(!conntrack.delete_by_reply(&other).unwrap());
            assert!(conntrack.delete_by_reply(&turned(other)).unwrap());
            assert_eq!(conntrack.get(&other).unwrap(), None);
        }
        let mixed = Flow { src: any_ports()[0], dst: any_ports()[1] };
        assert!(conntrack.delete(&mixed).is_err());
    });
}

#[test]
fn dump_has_the_marked_entries_of_both_families() {
    unshared(module_path!(), "dump_has_the_marked_entries_of_both_families", || {
        load(RULESET);
        let mut conntrack = Conntrack::connect().unwrap();
        let streams: Vec<_> = any_ports().into_iter().cycle().take(300).map(connection).collect();
        let flows: Vec<_> = streams.iter().map(|(client, _)| flow_of(client)).collect();
        assert!(dumped(&mut conntrack, 0x8000_0000, 0xe000_0000).is_empty());
        flows.iter().skip(1).for_each(|flow| {
            assert!(conntrack.set_mark(flow, 0x8000_0007, u32::MAX).unwrap());
        });
        let found = dumped(&mut conntrack, 0x8000_0000, 0xe000_0000);
        assert_eq!(found.len(), flows.len() - 1);
        assert!(flows.iter().skip(1).all(|flow| found.contains(flow)));
        assert!(dumped(&mut conntrack, 0x4000_0000, 0xe000_0000).is_empty());
    });
}
