//! What the engine wants done.

use super::Event;
use crate::ids::PinholeId;
use crate::pinhole::{Expectation, Order};

/// A named leniency of `tolerate:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tolerance {
    /// A line ended with LF alone.
    BareLf,
    /// One PORT or EPRT served another transfer.
    ReusedPort,
    /// A line with another code ended a multi-line reply.
    UnpaddedMultiline,
}

impl Tolerance {
    /// Every leniency.
    pub const ALL: &'static [Tolerance] =
        &[Tolerance::BareLf, Tolerance::ReusedPort, Tolerance::UnpaddedMultiline];

    /// The name of its counter.
    pub const fn counter(self) -> &'static str {
        match self {
            Tolerance::BareLf => "tolerated.bare-lf",
            Tolerance::ReusedPort => "tolerated.reused-port",
            Tolerance::UnpaddedMultiline => "tolerated.unpadded-multiline",
        }
    }

    /// As it stands in the rules file.
    pub const fn code(self) -> &'static str {
        match self {
            Tolerance::BareLf => "bare-lf",
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
    /// Open this pinhole and answer with [`handle_opened`](super::Session::handle_opened) before
    /// anything else.
    Open(Expectation),
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
