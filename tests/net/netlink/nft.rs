//! Transactions of elements.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ftp_pinhole::netlink::{Change, Data, Element, Nft, NftError};

use super::wait_until;
use crate::unshared::{load, unshared};

const RULESET: &str = "
table inet t {
    set gate4 { type ipv4_addr . ipv4_addr . inet_service; flags timeout; }
    set gate6 { type ipv6_addr . ipv6_addr . inet_service; flags timeout; }
    set ports { type inet_service; }
    set small { type mark; flags timeout; size 2; }
    map dnat4 { type mark : ipv4_addr . inet_service; flags timeout; }
    map dnat6 { type mark : ipv6_addr . inet_service; flags timeout; }
}
";

fn gate(set: &'static str, n: u16) -> Element {
    let ip: IpAddr = if set == "gate6" { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    Element::new(set, Data::new().ip(ip).ip(ip).port(n)).timeout(Duration::from_secs(60))
}

/// A field of type `mark`, which nftables keeps in the byte order of the machine.
fn mark(mark: u32) -> Data {
    Data::new().field(&mark.to_ne_bytes())
}

fn small(n: u32) -> Change {
    Change::Add(Element::new("small", mark(n)))
}

fn keys(nft: &mut Nft, set: &str) -> Vec<Data> {
    nft.keys(set).unwrap().unwrap()
}

/// The kernel as it is, then as one without DESTROYSETELEM; a fresh table each time.
fn with_both(body: impl Fn(Nft)) {
    for connect in [Nft::connect, Nft::without_destroy] {
        load(&format!("flush ruleset\n{RULESET}"));
        body(connect("t").unwrap());
    }
}

#[test]
fn elements_of_every_kind_come_and_go_in_one_transaction() {
    unshared(module_path!(), "elements_of_every_kind_come_and_go_in_one_transaction", || {
        with_both(|mut nft| {
            let mark = mark(0x8000_0a01);
            let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
            let elements = [
                gate("gate4", 21),
                gate("gate6", 21),
                Element::new("ports", Data::new().port(21)),
                Element::new("dnat4", mark).value(Data::new().ip(v4).port(2121)),
                Element::new("dnat6", mark).value(Data::new().ip(v6).port(2121)),
            ];
            nft.apply(&elements.clone().map(Change::Add)).unwrap();
            for element in &elements {
                assert_eq!(keys(&mut nft, element.set), [element.key]);
            }
            nft.apply(&elements.clone().map(Change::Remove)).unwrap();
            for element in &elements {
                assert_eq!(keys(&mut nft, element.set), []);
            }
        });
    });
}

#[test]
fn nft_reads_the_elements_as_they_were_meant() {
    unshared(module_path!(), "nft_reads_the_elements_as_they_were_meant", || {
        load(RULESET);
        let v4 = Ipv4Addr::new(192, 0, 2, 10).into();
        let mark = mark(0x8000_0a01);
        let to = Data::new().ip(v4).port(30_001);
        Nft::connect("t")
            .unwrap()
            .apply(&[Change::Add(Element::new("dnat4", mark).value(to).timeout(Duration::from_secs(60)))])
            .unwrap();
        let listed = std::process::Command::new("/usr/sbin/nft").args(["list", "ruleset"]).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains("0x80000a01 timeout 1m expires"), "{listed}");
        assert!(listed.contains(" : 192.0.2.10 . 30001"), "{listed}");
    });
}

#[test]
fn element_vanishes_after_its_timeout() {
    unshared(module_path!(), "element_vanishes_after_its_timeout", || {
        load(RULESET);
        let mut nft = Nft::connect("t").unwrap();
        let brief = gate("gate4", 1).timeout(Duration::from_millis(50));
        nft.apply(&[Change::Add(brief), Change::Add(gate("gate4", 2))]).unwrap();
        wait_until("the end of a timeout", || keys(&mut nft, "gate4") == [gate("gate4", 2).key]);
    });
}

#[test]
fn refused_change_rolls_the_others_back() {
    unshared(module_path!(), "refused_change_rolls_the_others_back", || {
        with_both(|mut nft| {
            nft.apply(&[Change::Add(gate("gate4", 1))]).unwrap();
            let changes = [gate("gate6", 1), gate("gate4", 1), gate("gate4", 2)].map(Change::Add);
            let refused = nft.apply(&changes);
            assert!(matches!(&refused, Err(NftError::Exists { set }) if *set == "gate4"), "{refused:?}");
            assert_eq!(keys(&mut nft, "gate6"), []);
            assert_eq!(keys(&mut nft, "gate4"), [gate("gate4", 1).key]);
            let wrong = Change::Add(Element::new("gate6", Data::new().port(1)));
            let refused = nft.apply(&[Change::Add(gate("gate4", 3)), wrong]);
            assert!(matches!(refused, Err(NftError::Refused { .. })), "{refused:?}");
            assert_eq!(keys(&mut nft, "gate4"), [gate("gate4", 1).key]);
        });
    });
}

#[test]
fn absent_element_counts_as_removed() {
    unshared(module_path!(), "absent_element_counts_as_removed", || {
        with_both(|mut nft| {
            nft.apply(&[Change::Add(gate("gate4", 1))]).unwrap();
            let removals = [gate("gate4", 9), gate("gate4", 1), gate("gate6", 9)].map(Change::Remove);
            nft.apply(&removals).unwrap();
            assert_eq!(keys(&mut nft, "gate4"), []);
            nft.apply(&removals).unwrap();
        });
    });
}

#[test]
fn removal_comes_before_the_addition_of_the_same_key() {
    unshared(module_path!(), "removal_comes_before_the_addition_of_the_same_key", || {
        with_both(|mut nft| {
            let both = [Change::Add(gate("gate4", 1)), Change::Remove(gate("gate4", 1))];
            nft.apply(&both).unwrap();
            nft.apply(&both).unwrap();
            assert_eq!(keys(&mut nft, "gate4"), [gate("gate4", 1).key]);
        });
    });
}

#[test]
fn full_set_says_full() {
    unshared(module_path!(), "full_set_says_full", || {
        with_both(|mut nft| {
            nft.apply(&[small(1), small(2)]).unwrap();
            let refused = nft.apply(&[Change::Add(gate("gate4", 1)), small(3)]);
            assert!(matches!(&refused, Err(NftError::Full { set }) if *set == "small"), "{refused:?}");
            assert_eq!(keys(&mut nft, "gate4"), []);
        });
    });
}

#[test]
fn missing_table_or_set_says_gone() {
    unshared(module_path!(), "missing_table_or_set_says_gone", || {
        with_both(|mut nft| {
            let gone = |result| matches!(result, Err(NftError::Gone { .. }));
            assert!(gone(nft.apply(&[Change::Add(gate("gate9", 1))])));
            assert_eq!(nft.keys("gate9").unwrap(), None);
            load("flush ruleset\n");
            assert!(gone(nft.apply(&[Change::Add(gate("gate4", 1))])));
            assert_eq!(nft.keys("gate4").unwrap(), None);
        });
    });
}

#[test]
fn thousands_of_elements_go_in_one_transaction() {
    unshared(module_path!(), "thousands_of_elements_go_in_one_transaction", || {
        load(RULESET);
        let mut nft = Nft::connect("t").unwrap();
        let changes: Vec<_> = (1..=20_000).map(|n| Change::Add(gate("gate6", n))).collect();
        nft.apply(&changes).unwrap();
        assert_eq!(keys(&mut nft, "gate6").len(), changes.len());
        // Twenty thousand refusals are more than the receive buffer holds.
        let refused = nft.apply(&changes);
        assert!(matches!(refused, Err(NftError::Exists { .. })), "{refused:?}");
        nft.apply(&[Change::Add(gate("gate4", 1))]).unwrap();
    });
}
