//! FTPS where the gateway ends TLS: RFC 4217 by the numbers of its clauses, and the attacks on it.

mod control;
mod data;
mod life;
mod passthrough;
mod plaintext;
mod upstream;

use ftp_pinhole::policy::{MinProtection, Policy, Terminate, Tls, UpstreamTls};
use ftp_pinhole::session::Side;

use crate::pair::{Pair, policy};

const BEGIN: &str = "234 Begin TLS.";
const NOT_OVER_TLS: &str = "421 The server cannot be reached over TLS.";
/// A 227 of the server's.
const PASSIVE: &str = "227 (10,0,0,5,160,2)";

fn terminating(change: impl FnOnce(&mut Terminate)) -> Policy {
    let mut terminate = Terminate::default();
    change(&mut terminate);
    policy(|policy| policy.tls = Tls::Terminate(terminate))
}

fn upstream(upstream: UpstreamTls) -> Policy {
    terminating(|terminate| terminate.upstream = upstream)
}

fn min_protection(min_protection: MinProtection) -> Policy {
    terminating(|terminate| terminate.min_protection = min_protection)
}

/// A service that asks nothing of clients, and has TLS towards the server.
fn lax(upstream: UpstreamTls) -> Policy {
    terminating(|terminate| {
        terminate.upstream = upstream;
        terminate.min_protection = MinProtection::Clear;
    })
}

/// Greeted by a service with this policy; what led there is forgotten.
fn greeted(policy: Policy) -> Pair {
    let mut pair = Pair::greeted(policy);
    pair.forget();
    pair
}

/// The client's leg is protected, the server's is plain; what led there is forgotten.
fn protected(policy: Policy) -> Pair {
    let mut pair = greeted(policy);
    pair.auth().forget();
    pair
}

/// Logged in over TLS, data private, the server in plain text; what led there is forgotten.
fn private() -> Pair {
    protected(terminating(|_| {})).private_login()
}

/// The same, with a server that is spoken to in TLS.
fn private_both() -> Pair {
    let mut pair = Pair::new(upstream(UpstreamTls::Explicit));
    pair.server("220 hi").server_secures();
    pair.client("AUTH TLS").shakes_hands(Side::Client, Ok(()));
    pair.private_login()
}

impl Pair {
    /// AUTH TLS, with its handshake.
    fn auth(&mut self) -> &mut Self {
        self.client("AUTH TLS").at_client(BEGIN).shakes_hands(Side::Client, Ok(()))
    }

    /// The server takes AUTH TLS, PBSZ and PROT.
    fn server_secures(&mut self) -> &mut Self {
        self.at_server("AUTH TLS").server("234 go").shakes_hands(Side::Server, Ok(()));
        self.server("200 PBSZ=0").server("200 private").at_server("PBSZ 0\nPROT P")
    }

    /// PBSZ, PROT P and the login.
    fn private_login(mut self) -> Self {
        self.client("PBSZ 0").client("PROT P").login().forget();
        self
    }

    fn login(&mut self) -> &mut Self {
        self.client("USER alice").server("331 ?").client("PASS x").server("230 in")
    }

    /// A passive pinhole to which the client has connected.
    fn passive(&mut self) -> &mut Self {
        self.client("PASV").server(PASSIVE);
        let last = self.pinhole_ids().pop().unwrap();
        self.connect(last).forget()
    }
}
