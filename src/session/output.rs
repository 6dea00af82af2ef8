//! What the engine wants done.

use super::{Event, Side};
use crate::ids::PinholeId;
use crate::pinhole::{Expectation, Order};
use crate::policy::RangePermit;

/// A named leniency of `tolerate:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tolerance {
    /// AUTH SSL was taken for AUTH TLS.
    AuthSsl,
    /// A line ended with LF alone.
    BareLf,
    /// A protected data connection ended without close_notify.
    MissingCloseNotify,
    /// One PORT or EPRT served another transfer.
    ReusedPort,
    /// A line with another code ended a multi-line reply.
    UnpaddedMultiline,
}

impl Tolerance {
    /// Every leniency.
    pub const ALL: &'static [Tolerance] = &[
        Tolerance::AuthSsl,
        Tolerance::BareLf,
        Tolerance::MissingCloseNotify,
        Tolerance::ReusedPort,
        Tolerance::UnpaddedMultiline,
    ];

    /// The name of its counter.
    pub const fn counter(self) -> &'static str {
        match self {
            Tolerance::AuthSsl => "tolerated.auth-ssl",
            Tolerance::BareLf => "tolerated.bare-lf",
            Tolerance::MissingCloseNotify => "tolerated.missing-close-notify",
            Tolerance::ReusedPort => "tolerated.reused-port",
            Tolerance::UnpaddedMultiline => "tolerated.unpadded-multiline",
        }
    }

    /// As it stands in the rules file.
    pub const fn code(self) -> &'static str {
        match self {
            Tolerance::AuthSsl => "auth-ssl",
            Tolerance::BareLf => "bare-lf",
            Tolerance::MissingCloseNotify => "missing-close-notify",
            Tolerance::ReusedPort => "reused-port",
            Tolerance::UnpaddedMultiline => "unpadded-multiline",
        }
    }
}

/// One thing for the shell to do, in the order given.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes to the client.
    ToClient(Vec<u8>),
    /// Send these bytes to the server.
    ToServer(Vec<u8>),
    /// Send these bytes to the server behind a Telnet Synch: IAC IP, then IAC DM with the IAC urgent
    /// (RFC 959 section 4.1.3, RFC 1123 section 4.1.3.3).
    SynchToServer(Vec<u8>),
    /// Have a TLS handshake on this leg, the gateway being the server towards the client and the client
    /// towards the server, once everything for that leg has gone out; answer with
    /// [`handle_handshake`](super::Session::handle_handshake) before anything of that leg.
    Handshake(Side),
    /// Open this pinhole and answer with [`handle_opened`](super::Session::handle_opened) before
    /// anything else.
    Open(Expectation),
    /// Open this range of ports and answer with [`handle_range`](super::Session::handle_range) before
    /// anything else.
    OpenRange(RangePermit),
    /// Pass this on to the backend.
    Order(PinholeId, Order),
    /// Write this to the audit record.
    Record(Event),
    /// Count that this leniency was used.
    Tolerated(Tolerance),
    /// Send what is left and close both legs of the control connection. Data connections go on.
    HangUp,
    /// Nothing is left to do; drop the session.
    Over,
}
