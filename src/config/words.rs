//! The words of a rules file that stand for a value. Reading and printing go by the same tables.

use super::model::{
    ClientCertificates, Integration, Intercept, LogFormat, LogLevel, OnStop, Role, Source, TlsVersion,
};
use crate::policy::rules::{self, Action};
use crate::policy::{
    DataPath, DataTls, MinProtection, Preset, ServerAddress, Tolerances, TransferMode, UpstreamTls,
};

/// Words and what they mean, in the order in which an error lists them.
pub(super) type Words<T> = &'static [(&'static str, T)];

/// The word for `value`.
pub(super) fn word_for<T: PartialEq>(words: Words<T>, value: T) -> &'static str {
    let found = words.iter().find(|(_, meaning)| *meaning == value);
    found.map(|(word, _)| *word).expect("every value has a word, as the tests print each of them")
}

/// `role`.
pub(super) const ROLE: Words<Role> = &[("reverse", Role::Reverse), ("forward", Role::Forward)];

/// `intercept`.
pub(super) const INTERCEPT: Words<Intercept> =
    &[("listen", Intercept::Listen), ("redirect", Intercept::Redirect), ("tproxy", Intercept::Tproxy)];

/// `source`.
pub(super) const SOURCE: Words<Source> = &[("gateway", Source::Gateway), ("client", Source::Client)];

/// `data_path`.
pub(super) const DATA_PATH: Words<DataPath> = &[("relay", DataPath::Relay), ("nftables", DataPath::Nftables)];

/// `gateway.nftables.integration`.
pub(super) const INTEGRATION: Words<Integration> =
    &[("standalone", Integration::Standalone), ("cooperative", Integration::Cooperative)];

/// `gateway.nftables.on_stop`.
pub(super) const ON_STOP: Words<OnStop> = &[("remove", OnStop::Remove), ("keep", OnStop::Keep)];

/// `require_login`.
pub(super) const YES_NO: Words<bool> = &[("true", true), ("false", false)];

/// `active`.
pub(super) const ACTIVE: Words<bool> = &[("allow", true), ("deny", false)];

/// `data_direction`.
pub(super) const DATA_DIRECTION: Words<bool> = &[("enforce", true), ("any", false)];

/// `active_source_port`.
pub(super) const ACTIVE_SOURCE_PORT: Words<Option<u16>> = &[("any", None), ("20", Some(20))];

/// `server_address`.
pub(super) const SERVER_ADDRESS: Words<ServerAddress> =
    &[("ignore", ServerAddress::Ignore), ("deny", ServerAddress::Deny)];

/// `preset`.
pub(super) const PRESET: Words<Preset> =
    &[("anonymous-ro", Preset::AnonymousRo), ("ro", Preset::Ro), ("rw", Preset::Rw), ("any", Preset::Any)];

/// `rules.then` and `tests.expect`.
pub(super) const ACTION: Words<Action> =
    &[("allow", Action::Allow), ("deny", Action::Deny), ("close", Action::Close)];

/// `rules.when.mode`.
pub(super) const MODE: Words<TransferMode> =
    &[("active", TransferMode::Active), ("passive", TransferMode::Passive)];

/// `rules.when.tls`.
pub(super) const RULE_TLS: Words<rules::Tls> =
    &[("none", rules::Tls::None), ("control", rules::Tls::Control), ("private", rules::Tls::Private)];

/// `rules.when.path_case`: whether case counts.
pub(super) const PATH_CASE: Words<bool> = &[("ignore", false), ("exact", true)];

/// `tls.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsMode {
    Deny,
    Terminate,
    Blind,
}

/// `tls.mode`.
pub(super) const TLS_MODE: Words<TlsMode> =
    &[("deny", TlsMode::Deny), ("terminate", TlsMode::Terminate), ("blind", TlsMode::Blind)];

/// `tls.min_version` and `tls.upstream_max_version`.
pub(super) const TLS_VERSION: Words<TlsVersion> = &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];

/// `tls.min_protection`.
pub(super) const MIN_PROTECTION: Words<MinProtection> = &[
    ("private", MinProtection::Private),
    ("control", MinProtection::Control),
    ("clear", MinProtection::Clear),
];

/// `tls.client_certificates`.
pub(super) const CLIENT_CERTIFICATES: Words<ClientCertificates> = &[
    ("none", ClientCertificates::None),
    ("request", ClientCertificates::Request),
    ("require", ClientCertificates::Require),
];

/// `tls.data_tls`.
pub(super) const DATA_TLS: Words<DataTls> = &[
    ("resume-required", DataTls::ResumeRequired),
    ("same-certificate", DataTls::SameCertificate),
    ("any", DataTls::Any),
];

/// `tls.upstream_tls`.
pub(super) const UPSTREAM_TLS: Words<UpstreamTls> = &[
    ("none", UpstreamTls::None),
    ("explicit", UpstreamTls::Explicit),
    ("implicit", UpstreamTls::Implicit),
    ("as-client", UpstreamTls::AsClient),
];

/// `tls.upstream_verify`.
pub(super) const UPSTREAM_VERIFY: Words<()> = &[("insecure-none", ())];

/// `tls.data`: whether it passes the gateway's own TLS by.
pub(super) const DATA: Words<bool> = &[("relay", false), ("passthrough", true)];

/// `tolerate`: each word turns its leniency on.
pub(super) const TOLERATE: Words<Tolerance> = &[
    ("auth-ssl", Tolerance::AuthSsl),
    ("bare-lf", Tolerance::BareLf),
    ("missing-close-notify", Tolerance::MissingCloseNotify),
    ("reused-port", Tolerance::ReusedPort),
    ("unpadded-multiline", Tolerance::UnpaddedMultiline),
];

/// `gateway.log.level`.
pub(super) const LOG_LEVEL: Words<LogLevel> = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// `gateway.log.format`.
pub(super) const LOG_FORMAT: Words<LogFormat> =
    &[("text", LogFormat::Text), ("json", LogFormat::Json), ("journald", LogFormat::Journald)];

/// One leniency of [`Tolerances`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tolerance {
    AuthSsl,
    BareLf,
    MissingCloseNotify,
    ReusedPort,
    UnpaddedMultiline,
}

impl Tolerance {
    /// Its switch.
    pub(super) fn switch(self, tolerances: &mut Tolerances) -> &mut bool {
        match self {
            Tolerance::AuthSsl => &mut tolerances.auth_ssl,
            Tolerance::BareLf => &mut tolerances.bare_lf,
            Tolerance::MissingCloseNotify => &mut tolerances.missing_close_notify,
            Tolerance::ReusedPort => &mut tolerances.reused_port,
            Tolerance::UnpaddedMultiline => &mut tolerances.unpadded_multiline,
        }
    }
}
