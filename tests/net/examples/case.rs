//! One set-up command in one family: a download and an upload, and the records that they leave.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use super::Example;
use super::ground::{Hosts, Pair, address};
use crate::audit::{Audit, Bytes, Transfer};
use crate::lab::FTP;
use crate::operation::{content, put_file};
use crate::raw::Raw;
use crate::route::{Family, Setup};
use crate::server::Server;

pub(super) struct Case<'a> {
    pub(super) example: &'a Example,
    pub(super) hosts: &'a Hosts,
    pub(super) audit: Audit,
    pub(super) server: &'a Server,
    /// The server's addresses.
    pub(super) pair: Pair,
    pub(super) family: Family,
    pub(super) setup: Setup,
}

impl Case<'_> {
    /// Panics with what is wrong.
    pub(super) fn run(self) {
        let (file, size) = (content("data.bin"), content("data.bin").len() as u64);
        put_file(&self.server.home().join("data.bin"), &file);
        let got = Transfer::of("RETR", "data.bin", Bytes::ToClient(size));
        self.session(got, |raw| {
            assert!(raw.get(self.setup, "data.bin") == file, "the file arrives changed");
        });
        let put = Transfer::of("STOR", "new.bin", Bytes::ToServer(size));
        self.session(put, |raw| raw.put(self.setup, "new.bin", &file));
        let stored = fs::read(self.server.home().join("new.bin")).expect("the file has been stored");
        assert!(stored == file, "the file is stored changed");
    }

    /// A session that does one transfer, and its records.
    fn session(&self, transfer: Transfer, act: impl FnOnce(&mut Raw) + Send) {
        let mark = self.audit.mark();
        self.hosts.client.run(|| {
            let mut raw = Raw::login(SocketAddr::new(self.dialled(), FTP), self.server.login(), false);
            self.server_sees(self.ip(self.example.seen));
            act(&mut raw);
            raw.quit();
        });
        let verified = self.audit.verify(mark, self.setup, Some(transfer));
        verified.unwrap_or_else(|why| panic!("{:?} {:?}: {why}", self.family, self.setup));
        let records = self.audit.records(mark).expect("the records are JSON");
        let life = records.iter().filter(|record| record["pinhole"].is_string());
        life.for_each(|record| self.check(record));
    }

    /// Who could dial whom, and where to; that nothing took another data path.
    fn check(&self, record: &Value) {
        let client = self.ip(self.example.ground.client);
        let server = self.ip(self.pair);
        assert_eq!(record["reason"], Value::Null, "{record}");
        assert_eq!(record["server"], json!(SocketAddr::new(server, FTP).to_string()), "{record}");
        let (from, to, listen, ports) = match self.setup.passive() {
            true => (client, server, self.dialled(), Some(self.example.passive_ports)),
            false => (server, client, self.ip(self.example.seen), self.example.active_ports),
        };
        assert_eq!(record["from"], json!(from.to_string()), "{record}");
        assert_eq!(end(record, "to").ip(), to, "{record}");
        let told = end(record, "listen");
        let inside = ports.is_some_and(|[low, high]| (low..=high).contains(&told.port()));
        assert!(told.ip() == listen && inside, "{record}");
    }

    fn server_sees(&self, ip: IpAddr) {
        let peers = self.hosts.servers.peers_of(FTP);
        assert!(peers.iter().any(|peer| peer.ip() == ip), "the server sees {peers:?}, not {ip}");
    }

    /// Whom the client dials.
    fn dialled(&self) -> IpAddr {
        self.ip(self.example.dialled.unwrap_or(self.pair))
    }

    fn ip(&self, pair: Pair) -> IpAddr {
        address(self.family, pair)
    }
}

fn end(record: &Value, key: &str) -> SocketAddr {
    let text = record[key].as_str().unwrap_or_default();
    text.parse().unwrap_or_else(|_| panic!("{key} is no address: {record}"))
}
