//! FTPS where the gateway ends TLS: RFC 4217 by the numbers of its clauses, and the attacks on it.

use ftp_pinhole::pinhole::DataEvent;
use ftp_pinhole::policy::{MinProtection, Policy, Terminate, Tls, UpstreamTls};
use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::Side;

use crate::pair::{Pair, policy};

const BEGIN: &str = "234 Begin TLS.";

fn terminating(change: impl FnOnce(&mut Terminate)) -> Policy {
    let mut terminate = Terminate::default();
    change(&mut terminate);
    policy(|policy| policy.tls = Tls::Terminate(terminate))
}

/// Greeted by a service with this policy; what led there is forgotten.
fn greeted(policy: Policy) -> Pair {
    let mut pair = Pair::greeted(policy);
    pair.forget();
    pair
}

fn upstream(upstream: UpstreamTls) -> Policy {
    terminating(|terminate| terminate.upstream = upstream)
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
}

/// Logged in over TLS, data private, the server in plain text.
fn private() -> Pair {
    let mut pair = greeted(terminating(|_| {}));
    pair.auth().client("PBSZ 0").client("PROT P");
    pair.client("USER alice").server("331 ?").client("PASS x").server("230 in");
    pair.forget();
    pair
}

#[test]
fn t01_auth_tls_is_answered_234_and_other_mechanisms_504() {
    for argument in ["TLS", "tls", "TLS-C", "Tls-c"] {
        greeted(terminating(|_| {}))
            .client(&format!("AUTH {argument}"))
            .at_client(BEGIN)
            .at_server("")
            .did("handshake client");
    }
    let mut pair = greeted(terminating(|_| {}));
    pair.client("AUTH GSSAPI").at_client("504 AUTH TLS is what is known here.");
    pair.did("command.denied not-supported");
}

#[test]
fn t10_data_is_clear_until_prot_p_and_t11_refused_at_the_transfer() {
    let mut pair = greeted(terminating(|_| {}));
    pair.auth().client("USER alice").server("331 ?").client("PASS x").server("230 in");
    pair.client("PASV").server("227 (10,0,0,5,160,2)").connect(1).forget();
    pair.client("RETR f").at_client("521 Data has to be protected; use PROT P.").at_server("");
    pair.client("PBSZ 0").client("PROT P").at_client("200 PBSZ=0\n200 Data will be private.");
    pair.client("RETR f").at_server("RETR f");
}

#[test]
fn d33_what_comes_in_one_flight_with_auth_ends_the_session() {
    let mut pair = greeted(terminating(|_| {}));
    pair.client_raw(b"AUTH TLS\r\nUSER mallory\r\n").at_server("");
    pair.at_client("421 Nothing may come between AUTH and the TLS handshake.");
    pair.did("violation plaintext-after-auth; hang-up; session.closed plaintext-after-auth; over");
}

#[test]
fn a_plain_client_reaches_a_tls_server() {
    let policy = terminating(|terminate| {
        terminate.upstream = UpstreamTls::Explicit;
        terminate.min_protection = MinProtection::Clear;
    });
    let mut pair = Pair::new(policy);
    pair.server("220 hi").at_client("").server_secures().at_client("220 hi");
    pair.client("USER alice").at_server("USER alice");
}

#[test]
fn a_server_without_tls_ends_the_session() {
    let mut pair = Pair::new(upstream(UpstreamTls::Explicit));
    pair.server("220 hi").server("500 what?").at_client("421 The server cannot be reached over TLS.");
    pair.forget();
    let mut pair = Pair::new(upstream(UpstreamTls::Explicit));
    pair.server("220 hi").server("234 go").shakes_hands(Side::Server, Err(Reason::UpstreamTls));
    pair.at_client("421 The server cannot be reached over TLS.");
}

#[test]
fn the_client_hears_what_became_of_a_protected_transfer() {
    let mut pair = private();
    pair.client("PASV").server("227 (10,0,0,5,160,2)").connect(1).client("RETR f").server("150 here");
    pair.forget();
    // The server is done before its bytes have gone out.
    pair.server("226 done").at_client("").data(1, DataEvent::Delivered { notified: true });
    pair.at_client("226 done");
    let mut pair = private();
    pair.client("PASV").server("227 (10,0,0,5,160,2)").connect(1).client("RETR f").server("150 here");
    pair.forget();
    pair.close_for(1, 0, 7, Some(Reason::DataTruncated)).server("226 done");
    pair.at_client("426 The data connection ended without a TLS close; bytes may be missing.");
}

#[test]
fn an_implicit_client_is_private_from_the_start() {
    let mut pair = Pair::implicit(terminating(|_| {}));
    pair.did("session.opened; handshake client").shakes_hands(Side::Client, Ok(()));
    pair.server("220 hi").at_client("220 hi");
    pair.client("USER alice").server("230 in").client("PASV").server("227 (10,0,0,5,160,2)");
    pair.client("RETR f").at_server("USER alice\nPASV\nRETR f");
}

#[test]
fn t14_a_client_that_never_shakes_hands_hears_nothing_in_plain_text() {
    let mut pair = greeted(terminating(|_| {}));
    pair.client("AUTH TLS").forget();
    pair.wait_secs(60).at_client("").did("hang-up; session.closed client-tls; over");
}
