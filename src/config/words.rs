//! The words of a rules file that stand for a value. Reading and printing go by the same tables.

use super::model::{Integration, Intercept, LogFormat, LogLevel, OnStop, Role, Source};
use crate::policy::{DataPath, Preset, ServerAddress, Tolerances};

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

/// `tolerate`: each word turns its leniency on.
pub(super) const TOLERATE: Words<Tolerance> = &[
    ("bare-lf", Tolerance::BareLf),
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
    BareLf,
    ReusedPort,
    UnpaddedMultiline,
}

impl Tolerance {
    /// Its switch.
    pub(super) fn switch(self, tolerances: &mut Tolerances) -> &mut bool {
        match self {
            Tolerance::BareLf => &mut tolerances.bare_lf,
            Tolerance::ReusedPort => &mut tolerances.reused_port,
            Tolerance::UnpaddedMultiline => &mut tolerances.unpadded_multiline,
        }
    }
}
