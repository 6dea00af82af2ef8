//! Why: the stable kebab-case codes that stand in audit records, metrics and documentation.

use std::fmt;

/// Makes the enum, its list and its codes from one table.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// Why something was denied, cut or ended. Each has one heading in `docs/audit.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The code: stable, kebab-case.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Reason::$name => $code,)+
                }
            }
        }
    };
}

reasons! {
    // Pinholes that were denied.
    /// PORT or EPRT named an address that is not the client's (bounce attack, RFC 2577 section 3).
    ForeignAddress = "foreign-address",
    /// The port is below 1024.
    PortNotAllowed = "port-not-allowed",
    /// The address or port text is not what RFC 959 or RFC 2428 define, or could be read in two ways.
    BadHostPort = "bad-host-port",
    /// EPRT or EPSV named a family other than that of the control connection.
    AddressFamily = "address-family",
    /// The client sent EPSV ALL and then another set-up command (RFC 2428 section 4).
    EpsvAll = "epsv-all",
    /// The client has not logged in.
    LoginRequired = "login-required",
    /// The service has `active: deny`.
    ActiveDenied = "active-denied",
    /// A transfer command came without PASV, EPSV, PORT or EPRT before it.
    NoSetup = "no-setup",
    /// Every port of the range is taken by a pinhole for the same pair of addresses.
    NoFreePort = "no-free-port",
    /// The session has as many pinholes as a session may have.
    PinholeLimit = "pinhole-limit",
    /// The firewall backend could not open the pinhole.
    FirewallFailed = "firewall-failed",
    /// The audit sink cannot take records, so nothing is opened.
    AuditUnavailable = "audit-unavailable",
    /// The server's reply to PASV or EPSV holds no port that can be read in one way only.
    BadPassiveReply = "bad-passive-reply",
    /// The server announced a port outside `server_ports`.
    ServerPort = "server-port",
    /// The server's 227 names an address that is not the server's.
    ServerAddress = "server-address",

    // Pinholes that the relay carries though the service has `data_path: nftables`.
    /// The two legs differ in family, which the kernel does not translate.
    RelayedFamily = "relayed-family",
    /// The server or the client is this host, whose packets the kernel does not forward.
    RelayedLocal = "relayed-local",

    /// The server dialled before it had agreed to PORT or EPRT.
    RelayedEarly = "relayed-early",
    /// The gateway encrypts or decrypts the bytes itself.
    RelayedTls = "relayed-tls",

    /// The session is encrypted from end to end: the range of `tls.data_ports` is open to its client.
    Blind = "blind",

    // Pinholes that ended.
    /// A pending pinhole gave way to the client's next set-up command.
    NewSetup = "new-setup",
    /// ABOR closed a pending pinhole or cut a transfer.
    Aborted = "aborted",
    /// AUTH closed a pending pinhole.
    Authentication = "authentication",
    /// REIN closed a pending pinhole.
    Reinitialized = "reinitialized",
    /// The session is clear again (CCC): pinholes open one by one.
    Ccc = "ccc",
    /// The server refused PORT or EPRT, or the transfer.
    RefusedByServer = "refused-by-server",
    /// The session ended while the pinhole was pending.
    SessionEnded = "session-ended",
    /// No connection, or no transfer command, came within `timeouts.pinhole`.
    PinholeTimeout = "pinhole-timeout",
    /// The gateway could not connect to the other side of the data connection.
    DialFailed = "dial-failed",
    /// No byte moved for `timeouts.data_idle`.
    DataIdle = "data-idle",
    /// Payload came against the direction of the transfer (tunnel, `data_direction: enforce`).
    WrongDirection = "wrong-direction",
    /// One end reset the data connection.
    DataReset = "data-reset",
    /// The client's TLS handshake on the data connection failed, or did not come.
    DataTls = "data-tls",
    /// The client's data connection did not resume the TLS session of its control connection
    /// (`data_tls: resume-required`).
    DataNotResumed = "data-not-resumed",
    /// The client's data connection did not show the certificate of its control connection
    /// (`data_tls: same-certificate`).
    DataCertificate = "data-certificate",
    /// The TLS handshake with the server on the data connection failed.
    UpstreamDataTls = "upstream-data-tls",
    /// The sender closed the data connection without TLS's close_notify: bytes may be missing.
    DataTruncated = "data-truncated",
    /// The end of the data connection was not seen, so that nobody knows how many bytes it carried.
    CountLost = "count-lost",

    // Commands that were denied.
    /// A rule of the rules file denies the command, or ends the session for it.
    Rule = "rule",
    /// The preset does not hold the command.
    Preset = "preset",
    /// The verb is not in the registry of RFC 5797 or its extensions.
    UnknownCommand = "unknown-command",
    /// The gateway does not do what the command asks for (LPRT, LPSV, options of EPSV).
    NotSupported = "not-supported",
    /// TLS, or what was asked for under it, is not to be had: `tls: {mode: deny}`, or the server has none.
    TlsDenied = "tls-denied",
    /// A login or a transfer without the protection that `tls.min_protection` asks for.
    TlsRequired = "tls-required",
    /// AUTH, PBSZ or PROT out of their order (RFC 4217 section 4).
    TlsOrder = "tls-order",

    // Violations.
    /// A line, or a multi-line reply, is longer than the limit.
    LineTooLong = "line-too-long",
    /// A line ended with LF without CR.
    BareLf = "bare-lf",
    /// CR without LF inside a line.
    BareCr = "bare-cr",
    /// NUL inside a line.
    NulByte = "nul-byte",
    /// A Telnet command inside a line, or one that the gateway does not know.
    Telnet = "telnet",
    /// The line is not a command: no verb of letters, or an argument where none may be.
    BadCommand = "bad-command",
    /// The peer speaks HTTP, TLS or something else that is not FTP.
    NotFtp = "not-ftp",
    /// Plain text came behind AUTH, where TLS has to begin (CVE-2011-0411).
    PlaintextAfterAuth = "plaintext-after-auth",
    /// The server sent a line that is not a reply.
    BadReply = "bad-reply",
    /// A line inside a multi-line reply looks like another reply (VU#288905).
    ReplyInBlock = "reply-in-block",
    /// The server replied though no command was pending, or gave a second preliminary reply.
    UnsolicitedReply = "unsolicited-reply",
    /// Someone other than the expected peer connected to a pinhole's port.
    Stranger = "stranger",
    /// The expected peer connected twice; the second connection was cut.
    SecondConnection = "second-connection",
    /// In a capture: a data connection to an address and port that was announced, and no pinhole was open for it.
    NoPinhole = "no-pinhole",
    /// In a capture: two segments of a connection differ in the bytes that they claim for the same place.
    SegmentConflict = "segment-conflict",
    /// Somebody changed or removed the gateway's nftables table; it was put back.
    TableLost = "table-lost",

    // Sessions that ended.
    /// The client said QUIT.
    Quit = "quit",
    /// The client closed the control connection.
    ClientClosed = "client-closed",
    /// The server closed the control connection or replied 421.
    ServerClosed = "server-closed",
    /// No login within `timeouts.login`.
    LoginTimeout = "login-timeout",
    /// No command within `timeouts.idle`.
    IdleTimeout = "idle-timeout",
    /// More violations than `limits.violations`.
    TooManyViolations = "too-many-violations",
    /// More refused logins than `limits.login_failures`.
    TooManyLogins = "too-many-logins",
    /// The server could not be reached.
    UpstreamUnreachable = "upstream-unreachable",
    /// The server did not greet in time.
    UpstreamSilent = "upstream-silent",
    /// The client's TLS handshake failed.
    ClientTls = "client-tls",
    /// The server has no TLS, or its handshake or its certificate is not acceptable.
    UpstreamTls = "upstream-tls",
    /// The client's address is not in `clients`.
    ClientNotAllowed = "client-not-allowed",
    /// The client dialled the gateway itself where the gateway only takes intercepted connections.
    NotIntercepted = "not-intercepted",
    /// The server that the client dialled is not in `servers` or, in role reverse, not in `upstream`.
    ServerNotAllowed = "server-not-allowed",
    /// `limits.sessions` is reached.
    SessionLimit = "session-limit",
    /// `limits.sessions_per_client` is reached.
    ClientSessionLimit = "client-session-limit",
    /// In a capture: the connection began before it, and counts as logged in.
    BeganBefore = "began-before",
    /// In a capture: bytes of the connection are missing from it.
    CaptureGap = "capture-gap",
    /// In a capture: it ends before the connection does.
    CaptureEnded = "capture-ended",
    /// In a capture: the connection is encrypted from here on.
    Encrypted = "encrypted",
    /// The gateway is stopping.
    Draining = "draining",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_kebab_case_and_unique() {
        let codes: HashSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(codes.iter().all(|code| code.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
    }
}
