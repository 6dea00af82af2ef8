//! A service's `tls:` section: what the engine goes by, and the files behind it.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::model::{
    CertificateFiles, ClientCertificates, Intercept, NamedFile, Pin, Role, Tls, TlsVersion, Trust,
    UpstreamSettings, Where,
};
use super::placement::Placement;
use super::reader::{Located, Section, Value, values};
use super::service::refuse_shared_ports;
use super::value;
use super::words::{
    CLIENT_CERTIFICATES, DATA, DATA_TLS, MIN_PROTECTION, TLS_MODE, TLS_VERSION, TlsMode, UPSTREAM_TLS,
    UPSTREAM_VERIFY,
};
use crate::addr::PortSet;
use crate::policy::{self, DataTls, MinProtection, Terminate, UpstreamTls};

/// What the section says; all is off without it.
pub(super) struct TlsSection<'a> {
    pub(super) policy: policy::Tls,
    pub(super) settings: Option<Tls>,
    pub(super) implicit: Vec<Located<'a, SocketAddr>>,
}

/// Reads `tls`.
pub(super) fn read<'a>(service: &mut Section<'a>, placement: &Placement) -> TlsSection<'a> {
    let off = TlsSection { policy: policy::Tls::Deny, settings: None, implicit: Vec::new() };
    let Some(mut section) = service.section("tls") else { return off };
    match section.require("mode", value::word(TLS_MODE)) {
        Some(TlsMode::Terminate) => terminate(section, placement),
        Some(TlsMode::Blind) => TlsSection { policy: blind(section, placement), ..off },
        Some(TlsMode::Deny) => {
            section.finish();
            off
        }
        // The other keys belong to a mode: naming them too would only distract.
        None => off,
    }
}

fn blind(mut section: Section, placement: &Placement) -> policy::Tls {
    let ranges = section.require_list("data_ports", &value::ports());
    section.finish();
    let Some(ports) = PortSet::new(values(&ranges)) else {
        refuse_shared_ports(&ranges);
        return policy::Tls::Deny;
    };
    let many = placement.intercept == Intercept::Listen && ports.count() > MOST_BLIND_PORTS;
    if let Some(first) = ranges.first().filter(|_| many) {
        let allowed = format!("(allowed with intercept: listen: at most {MOST_BLIND_PORTS})");
        first.here.refuse(&format!("{ports} are {} ports {allowed}", ports.count()));
    }
    policy::Tls::Blind(ports)
}

fn terminate<'a>(mut section: Section<'a>, placement: &Placement) -> TlsSection<'a> {
    if placement.role == Role::Forward {
        section.refuse("mode", "terminate is for role: reverse (allowed with role: forward: deny, blind)");
    }
    let mut terminate = Terminate::default();
    let certificates = certificates(&mut section);
    let implicit = section.list("implicit_listen", &value::listen_address()).unwrap_or_default();
    if placement.intercept != Intercept::Listen {
        section.refuse_present("implicit_listen", "is for intercept: listen");
    }
    let (min_version, max_version) = versions(&mut section);
    section.set("min_protection", &mut terminate.min_protection, value::word(MIN_PROTECTION));
    let (client_certificates, client_ca) = client_certificates(&mut section);
    section.set("data_tls", &mut terminate.data, value::word(DATA_TLS));
    if terminate.data == DataTls::SameCertificate && client_certificates == ClientCertificates::None {
        section.refuse("data_tls", "same-certificate needs client_certificates: request or require");
    }
    section.set("upstream_tls", &mut terminate.upstream, value::word(UPSTREAM_TLS));
    let upstream = upstream(&mut section, terminate.upstream);
    section.set("data", &mut terminate.passthrough, value::word(DATA));
    refuse_passthrough(&mut section, &terminate);
    section.finish();
    let implicit_listen = values(&implicit);
    let settings = Tls {
        certificates,
        implicit_listen,
        min_version,
        max_version,
        client_certificates,
        client_ca,
        upstream,
    };
    TlsSection { policy: policy::Tls::Terminate(terminate), settings: Some(settings), implicit }
}

/// Data that passes the gateway by is protected on both legs or on none.
fn refuse_passthrough(section: &mut Section, terminate: &Terminate) {
    if !terminate.passthrough {
        return;
    }
    if terminate.upstream == UpstreamTls::None {
        section
            .refuse("data", "passthrough needs TLS to the server (allowed with upstream_tls: none: relay)");
    } else if terminate.min_protection == MinProtection::Clear {
        section.refuse(
            "data",
            "passthrough is for clients with TLS (allowed with min_protection: clear: relay)",
        );
    }
}

/// The oldest and the newest version for clients.
fn versions(section: &mut Section) -> (TlsVersion, TlsVersion) {
    let (mut oldest, mut newest) = (TlsVersion::V1_2, TlsVersion::V1_3);
    section.set("min_version", &mut oldest, value::word(TLS_VERSION));
    section.set("max_version", &mut newest, value::word(TLS_VERSION));
    if oldest > newest {
        section.refuse("max_version", "1.2 is older than min_version (allowed with min_version: 1.3: 1.3)");
    }
    (oldest, newest)
}

/// `certificates`, at least one.
fn certificates(section: &mut Section) -> Vec<CertificateFiles> {
    let Some(value) = section.value("certificates") else {
        section.missing("certificates", CERTIFICATES);
        return Vec::new();
    };
    let items = value.items();
    if items.is_empty() {
        value.here().refuse(&format!("the list is empty (allowed: {CERTIFICATES})"));
    }
    items.into_iter().filter_map(Value::section).filter_map(certificate).collect()
}

fn certificate(mut section: Section) -> Option<CertificateFiles> {
    let chain = required_file(&mut section, "chain");
    let key = required_file(&mut section, "key");
    let names = section.list("names", &value::host_name()).unwrap_or_default();
    section.finish();
    Some(CertificateFiles { chain: chain?, key: key?, names: values(&names) })
}

fn client_certificates(section: &mut Section) -> (ClientCertificates, Option<NamedFile>) {
    let mut wanted = ClientCertificates::None;
    section.set("client_certificates", &mut wanted, value::word(CLIENT_CERTIFICATES));
    if wanted == ClientCertificates::None {
        section.refuse_present("client_ca", "is for client_certificates: request or require");
        return (wanted, None);
    }
    (wanted, required_file(section, "client_ca"))
}

/// The keys of TLS towards the server.
fn upstream(section: &mut Section, wanted: UpstreamTls) -> Option<UpstreamSettings> {
    if wanted == UpstreamTls::None {
        for key in UPSTREAM_KEYS {
            section.refuse_present(key, "is for upstream_tls: explicit, implicit or as-client");
        }
        return None;
    }
    let trust = trust(section);
    let mut name = None;
    section.set("upstream_name", &mut name, value::server_name());
    let certificate = match (file(section, "upstream_certificate"), file(section, "upstream_key")) {
        (Some(chain), Some(key)) => Some(CertificateFiles { chain, key, names: Vec::new() }),
        (None, None) => None,
        (Some(_), None) => {
            section.missing("upstream_key", "the key of upstream_certificate");
            None
        }
        (None, Some(_)) => {
            section.missing("upstream_certificate", "the certificate of upstream_key");
            None
        }
    };
    // Servers that want the session resumed give tickets of TLS 1.3 for few data connections only.
    let mut max_version = TlsVersion::V1_2;
    section.set("upstream_max_version", &mut max_version, value::word(TLS_VERSION));
    Some(UpstreamSettings { trust: trust?, name, certificate, max_version })
}

/// Whom to take for the server: exactly one of three keys says so.
fn trust(section: &mut Section) -> Option<Trust> {
    let authorities = file(section, "upstream_ca").map(Trust::Authorities);
    let pins = section.list("upstream_pin", &value::pin()).map(|pins| {
        let pin = |pin: Located<Result<[u8; 32], PathBuf>>| match pin.value {
            Ok(fingerprint) => Pin::Fingerprint(fingerprint),
            Err(path) => Pin::File(NamedFile { path, place: Where(pin.here.to_string()) }),
        };
        Trust::Pins(pins.into_iter().map(pin).collect())
    });
    let anyone = section.value("upstream_verify").map(|value| {
        value.read(&value::word(UPSTREAM_VERIFY));
        Trust::Anyone
    });
    let mut named = [authorities, pins, anyone].into_iter().flatten();
    match (named.next(), named.next()) {
        (Some(trust), None) => Some(trust),
        (None, _) => {
            section.missing("upstream_ca", TRUST);
            None
        }
        (Some(_), Some(_)) => {
            section.here().refuse(&format!("names the server's certificate twice (allowed: {TRUST})"));
            None
        }
    }
}

fn required_file(section: &mut Section, key: &'static str) -> Option<NamedFile> {
    let found = section.value(key);
    if found.is_none() {
        section.missing(key, value::file_path().allowed());
    }
    named_file(&found?)
}

fn file(section: &mut Section, key: &'static str) -> Option<NamedFile> {
    named_file(&section.value(key)?)
}

fn named_file(value: &Value) -> Option<NamedFile> {
    let path = value.read(&value::file_path())?;
    Some(NamedFile { path, place: Where(value.here().to_string()) })
}

/// Each listens while a session of its address is encrypted.
const MOST_BLIND_PORTS: u32 = 1000;

const CERTIFICATES: &str = "{chain: FILE, key: FILE}, or a list of them";
const TRUST: &str =
    "one of upstream_ca: FILE, upstream_pin: FILE or sha256:HEX, upstream_verify: insecure-none";

const UPSTREAM_KEYS: [&str; 7] = [
    "upstream_ca",
    "upstream_pin",
    "upstream_verify",
    "upstream_name",
    "upstream_certificate",
    "upstream_key",
    "upstream_max_version",
];
