//! FTPS that ends at the gateway, over real sockets.

mod control;
mod data;
mod upstream;

use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};

use super::CLIENT;
use super::lab::{Lab, Pair};
use super::peer::Peer;
use crate::pki::{Pki, TLS12, TLS13, Version};

/// The name that clients call the gateway by.
const NAME: &str = "ftp.example.com";
const ANY_VERSION: &[Version] = &[&TLS12, &TLS13];

/// Keys of `tls:` for a server in TLS.
const TO_SERVER: &str = "upstream_tls: explicit, upstream_ca: DIR/ca.pem, upstream_name: ftp.internal";

/// A gateway whose service has TLS, and who made its certificates.
struct Ftps {
    pki: Pki,
    lab: Lab,
    /// That of a server in TLS, with the sessions that it resumes.
    server: Arc<ServerConfig>,
}

impl Ftps {
    /// `keys` are more keys of `tls:`, `more` adds keys to the service, one a line.
    fn new(keys: &str, more: &str) -> Self {
        let pki = Pki::new();
        pki.issue("ftp", &[NAME]);
        let server = Arc::new(pki.server(ANY_VERSION, &pki.issue("server", &["ftp.internal"]), false));
        let tls = "tls: {mode: terminate, certificates: {chain: DIR/ftp.pem, key: DIR/ftp.key}";
        let lab = Lab::new(&pki.rules(&format!("{tls}, {keys}}}\n{more}")));
        Self { pki, lab, server }
    }

    /// A client of its own, with a session store of its own.
    fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.pki.client(ANY_VERSION, None))
    }

    /// A client that is logged in over TLS, its data private, and the server in plain text.
    fn log_in(&self) -> Secured {
        self.log_in_with(self.client())
    }

    fn log_in_with(&self, config: Arc<ClientConfig>) -> Secured {
        let mut pair = self.lab.greet();
        pair.client.ask("AUTH TLS", "234 Begin TLS.");
        pair.client.begin_tls(&config, NAME);
        Secured { pair, config }.log_in()
    }

    /// The same, with a server that is spoken to in TLS.
    fn log_in_both(&self) -> Secured {
        let client = Peer::connect(CLIENT, self.lab.addr);
        let mut pair = Pair::connect(client, &self.lab.server);
        secure_server(&mut pair, &self.server);
        pair.client.ask("AUTH TLS", "234 Begin TLS.");
        let config = self.client();
        pair.client.begin_tls(&config, NAME);
        Secured { pair, config }.log_in()
    }
}

/// The server's part in AUTH TLS, PBSZ and PROT, and the greeting behind it.
fn secure_server(pair: &mut Pair, config: &Arc<ServerConfig>) {
    pair.server.say("220 ready");
    pair.server.expect("AUTH TLS");
    pair.server.say("234 go");
    pair.server.accept_tls(config);
    pair.server.expect("PBSZ 0");
    pair.server.say("200 PBSZ=0");
    pair.server.expect("PROT P");
    pair.server.say("200 private");
    pair.client.expect("220 ready");
}

/// A session whose client is under TLS.
struct Secured {
    pair: Pair,
    /// The client's, with the sessions that it may resume.
    config: Arc<ClientConfig>,
}

impl Secured {
    fn log_in(mut self) -> Self {
        self.pair.client.ask("PBSZ 0", "200 PBSZ=0");
        self.pair.client.ask("PROT P", "200 Data will be private.");
        self.pair.log_in();
        self
    }

    /// A passive data connection for `command`, in plain text so far: the client's and the server's end.
    fn begin(&mut self, command: &str) -> (Peer, Peer) {
        let (to, listener) = self.pair.passive();
        let client = Peer::connect(CLIENT, to);
        let server = Peer::accept(&listener);
        self.pair.pass(command, "150 go");
        (client, server)
    }

    /// The same, under TLS at the client's end.
    fn begin_tls(&mut self, command: &str) -> (Peer, Peer) {
        let (mut client, server) = self.begin(command);
        client.begin_tls(&self.config, NAME);
        (client, server)
    }

    /// The same, under TLS at both ends.
    fn begin_tls_both(&mut self, ftps: &Ftps, command: &str) -> (Peer, Peer) {
        let (mut client, mut server) = self.begin(command);
        client.begin_tls(&self.config, NAME);
        server.accept_tls(&ftps.server);
        (client, server)
    }

    /// The server reports the transfer complete; the client hears `reply`.
    fn finish(&mut self, reply: &str) {
        self.pair.server.say("226 done");
        self.pair.client.expect(reply);
    }
}
