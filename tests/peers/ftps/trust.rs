//! Who speaks TLS with whom, and by which certificates each knows the other.

use std::fs;
use std::time::Duration;

use super::pki::Pki;
use super::rig::{Rig, Upstream};
use super::secure::Secure;
use crate::audit::Audit;
use crate::client::{CURL, Call, Job, Version};
use crate::matrix::{Ground, cell};
use crate::operation::{Operation, content};
use crate::process::poll;
use crate::raw::{Raw, Wire};
use crate::route::Setup;
use crate::server::{Entry, Kind};

/// How long records and a reload may take.
const SETTLE: Duration = Duration::from_secs(5);

/// The server turns plain clients away, so the gateway has to have spoken TLS.
pub fn a_plain_client_reaches_a_tls_server(kind: Kind) {
    let server = Upstream::Explicit(kind);
    let keys = format!("min_protection: clear, {}", server.keys());
    let Some(rig) = Rig::start(server, &[], &[&keys]) else { return };
    for setup in [Setup::Pasv, Setup::Epsv, Setup::Port] {
        let mut raw = Raw::login(rig.address(0, Entry::Explicit), rig.login(), false);
        moves_files(&mut raw, setup);
        raw.quit();
    }
}

/// The server takes either kind of client, and TLS sessions have to be resumed, so the gateway's are.
pub fn as_client_serves_both_kinds() {
    let server = Upstream::Optional(Kind::Vsftpd);
    let keys = format!("min_protection: clear, {}", server.keys());
    let Some(rig) = Rig::start(server, &[], &[&keys]) else { return };
    let mut plain = Raw::login(rig.address(0, Entry::Explicit), rig.login(), false);
    let mut secure = rig.session(Version::V1_3);
    moves_files(&mut plain, Setup::Pasv);
    moves_files(&mut secure, Setup::Pasv);
    plain.quit();
    secure.quit();
}

/// The server turns plain clients away, and does so with one whom the gateway leaves plain.
pub fn as_client_protects_nobody_who_did_not_ask() {
    let server = Upstream::Explicit(Kind::Vsftpd);
    let keys = format!("min_protection: clear, {}", Upstream::Optional(Kind::Vsftpd).keys());
    let Some(rig) = Rig::start(server, &[], &[&keys]) else { return };
    let mut plain = Secure::with(rig.pki(), Version::V1_3).plain(rig.address(0, Entry::Explicit));
    plain.command(&format!("USER {}", rig.login().user), &[530]);
    let mut secure = rig.session(Version::V1_3);
    moves_files(&mut secure, Setup::Epsv);
    secure.quit();
}

/// The server has no TLS: the client hears that, and may go on without.
pub fn as_client_offers_what_the_server_has() {
    let keys = format!("min_protection: clear, {}", Upstream::Optional(Kind::Vsftpd).keys());
    let Some(rig) = Rig::start(Upstream::Plain(Kind::Vsftpd), &[], &[&keys]) else { return };
    let mut raw = Secure::with(rig.pki(), Version::V1_3).plain(rig.address(0, Entry::Explicit));
    raw.command("AUTH TLS", &[534]);
    raw.log_in(rig.login());
    moves_files(&mut raw, Setup::Epsv);
    raw.quit();
}

/// Each service but the last takes the server for somebody else.
pub fn a_server_that_is_not_the_one_meant_is_not_used() {
    let services = [
        "upstream_tls: explicit, upstream_pin: $DIR/gateway.pem",
        "upstream_tls: explicit, upstream_ca: $DIR/gateway.pem",
        "upstream_tls: explicit, upstream_ca: $DIR/authority.pem, upstream_name: elsewhere.example",
        "upstream_tls: implicit, upstream_ca: $DIR/authority.pem",
        "upstream_tls: explicit, upstream_pin: $DIR/server.pem",
    ];
    let Some(rig) = Rig::start(Upstream::Explicit(Kind::Vsftpd), &[], &services) else { return };
    let opener = Secure::with(rig.pki(), Version::V1_3);
    for (number, keys) in services[..4].iter().enumerate() {
        let mark = rig.audit().mark();
        let mut raw = opener.connected(rig.address(number, Entry::Explicit));
        println!("{keys}");
        raw.expect(&[421]);
        recorded(rig.audit(), mark, "session.closed", "upstream-tls");
    }
    opener.explicit(rig.address(4, Entry::Explicit)).quit();
}

/// curl with a certificate of the authority, without one, and with another authority's.
pub fn clients_show_certificates() {
    let keys = "client_certificates: require, client_ca: $DIR/authority.pem";
    let Some(rig) = Rig::start(Upstream::Plain(Kind::Vsftpd), CURL.programs, &[keys]) else { return };
    let foreign = rig.dir().join("foreign");
    fs::create_dir(&foreign).expect("the directory is new");
    let foreign = Pki::new(&foreign);
    for pki in [rig.pki(), &foreign] {
        pki.issue("client", &[]);
    }
    curl_gets(&rig, 0, &shows(rig.pki())).unwrap_or_else(|why| panic!("{why}"));
    for arguments in [vec![], shows(&foreign)] {
        let mark = rig.audit().mark();
        curl_gets(&rig, 0, &arguments).expect_err("curl has no good certificate");
        recorded(rig.audit(), mark, "session.closed", "client-tls");
    }
}

/// curl without session reuse: its certificate will do where that is allowed.
pub fn data_has_the_session_or_the_certificate() {
    let services = [
        "client_certificates: request, client_ca: $DIR/authority.pem, data_tls: same-certificate",
        "client_certificates: request, client_ca: $DIR/authority.pem",
    ];
    let Some(rig) = Rig::start(Upstream::Plain(Kind::Vsftpd), CURL.programs, &services) else { return };
    rig.pki().issue("client", &[]);
    let forgets = vec!["--no-sessionid".to_owned()];
    let both = [forgets.clone(), shows(rig.pki())].concat();
    curl_gets(&rig, 0, &both).unwrap_or_else(|why| panic!("{why}"));
    curl_gets(&rig, 0, &forgets).expect_err("there is neither");
    recorded(rig.audit(), 0, "pinhole.closed", "data-certificate");
    curl_gets(&rig, 1, &both).expect_err("the session is not resumed");
    recorded(rig.audit(), 0, "pinhole.closed", "data-not-resumed");
}

/// Sessions that run keep what they have.
pub fn a_reload_shows_the_new_certificate() {
    let Some(mut rig) = Rig::start(Upstream::Plain(Kind::Vsftpd), &[], &["data_tls: any"]) else { return };
    let mut running = rig.session(Version::V1_3);
    let before = rig.session(Version::V1_3).into_wire().certificate();
    rig.pki().issue("gateway", &["127.0.0.1".to_owned()]);
    rig.hang_up();
    let shown = || Some(rig.session(Version::V1_3).into_wire().certificate()).filter(|new| *new != before);
    poll(SETTLE, shown).expect("new sessions have the new certificate");
    moves_files(&mut running, Setup::Epsv);
    running.quit();
}

/// Stores, fetches, lists and deletes.
fn moves_files<W: Wire>(raw: &mut Raw<W>, setup: Setup) {
    let stored = content("stored.bin");
    raw.put(setup, "stored.bin", &stored);
    assert!(raw.get(setup, "stored.bin") == stored, "the file that was stored comes back changed");
    let mut listing = String::new();
    let mut data = raw.transfer(setup, "LIST");
    data.read_to_string(&mut listing).expect("the listing arrives");
    data.finish().expect("the data connection ends in order");
    raw.expect(&[226]);
    assert!(listing.contains("stored.bin"), "the listing is {listing:?}");
    raw.command("DELE stored.bin", &[250]);
}

fn shows(pki: &Pki) -> Vec<String> {
    let path = |file| pki.path(file).display().to_string();
    vec!["--cert".to_owned(), path("client.pem"), "--key".to_owned(), path("client.key")]
}

/// Has curl fetch a file from a service with these arguments, too.
fn curl_gets(rig: &Rig, service: usize, arguments: &[String]) -> Result<(), String> {
    let work = rig.dir().join("work");
    fs::create_dir_all(&work).expect("the test's directory takes directories");
    let job = rig.job(Operation::Get("data.bin"), Version::V1_3);
    let job = Job { address: rig.address(service, Entry::Explicit), ..job };
    let call = (CURL.call)(&job).expect("curl fetches files");
    let call = Call { args: [call.args, arguments.to_vec()].concat(), ..call };
    cell(&Ground { home: rig.home(), dir: rig.dir(), audit: Some(rig.audit()) }, &job, &call)
}

/// Waits for a record since `mark` of this event with this reason.
fn recorded(audit: &Audit, mark: usize, event: &str, reason: &str) {
    let found = || {
        let records = audit.records(mark).ok()?;
        records.iter().any(|record| record["event"] == event && record["reason"] == reason).then_some(())
    };
    poll(SETTLE, found).unwrap_or_else(|| panic!("no {event} with {reason}:\n{}", audit.tail(mark)));
}
