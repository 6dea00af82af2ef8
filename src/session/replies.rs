//! What the gateway says in the server's place. Every text is 7-bit and on one line.

use crate::reason::Reason;

/// The reply to a line that breaks the grammar.
pub(super) const BAD_LINE: &str = "500 The line is not acceptable.";
pub(super) const TOO_LONG: &str = "500 The line is too long.";
pub(super) const BARE_LF: &str = "500 A line ends with CR LF; this one ended with LF.";
pub(super) const NO_VERB: &str = "500 The line is not an FTP command.";
pub(super) const NO_ARGUMENT: &str = "501 The command needs an argument.";
pub(super) const ARGUMENT: &str = "501 The command takes no argument.";

pub(super) const BAD_HOST_PORT: &str = "501 The address is not valid.";
pub(super) const FOREIGN_ADDRESS: &str = "501 The address is not yours.";
pub(super) const LOW_PORT: &str = "504 Ports below 1024 are not allowed.";
pub(super) const ACTIVE_DENIED: &str = "502 Active mode is not allowed here; use PASV or EPSV.";
pub(super) const USE_EPSV: &str = "425 PASV needs IPv4; use EPSV.";
pub(super) const EPSV_ALL: &str = "200 EPSV ALL is accepted.";
pub(super) const EPSV_ALL_TRANSLATED: &str = "504 EPSV ALL is not possible between IPv6 and IPv4.";
pub(super) const AFTER_EPSV_ALL: &str = "503 Only EPSV is accepted after EPSV ALL.";
pub(super) const LOGIN_FIRST: &str = "530 Log in first.";
pub(super) const NO_SETUP: &str = "425 Use PASV, EPSV, PORT or EPRT first.";
pub(super) const CANNOT_OPEN: &str = "425 The gateway cannot open a data connection now.";
pub(super) const NO_RANGE: &str = "421 The gateway cannot open data connections now.";
pub(super) const BAD_PASSIVE: &str = "425 The server announced an address that is not allowed.";

pub(super) const TLS_DENIED: &str = "534 TLS is not available here.";
pub(super) const NO_TLS: &str = "503 The connection is not protected.";
pub(super) const NO_SECURITY_DATA: &str = "503 AUTH TLS goes without security data.";
pub(super) const NO_CCC: &str = "533 The connection is not protected.";
pub(super) const CCC_DENIED: &str = "534 The connection stays protected.";
pub(super) const REIN_DENIED: &str = "502 REIN is not possible under TLS; connect anew.";
pub(super) const BEGIN_TLS: &str = "234 Begin TLS.";
pub(super) const OTHER_AUTH: &str = "504 AUTH TLS is what is known here.";
pub(super) const PROTECTED_ALREADY: &str = "503 The connection is protected already.";
pub(super) const AUTH_FIRST: &str = "503 AUTH comes first; connect anew.";
pub(super) const PLAINTEXT_AFTER_AUTH: &str = "421 Nothing may come between AUTH and the TLS handshake.";
pub(super) const BUFFER_SIZE: &str = "200 PBSZ=0";
pub(super) const BAD_BUFFER_SIZE: &str = "501 PBSZ takes a number of at most ten digits.";
pub(super) const PBSZ_FIRST: &str = "503 PBSZ comes before PROT.";
pub(super) const LEVEL_PRIVATE: &str = "200 Data will be private.";
pub(super) const LEVEL_CLEAR: &str = "200 Data will be clear.";
pub(super) const OTHER_LEVEL: &str = "536 TLS knows the levels C and P.";
pub(super) const UNKNOWN_LEVEL: &str = "504 The levels are C and P.";
pub(super) const TLS_FIRST: &str = "530 Log in over TLS; use AUTH TLS first.";
pub(super) const PRIVACY_FIRST: &str = "521 Data has to be protected; use PROT P.";
pub(super) const NO_TLS_TO_SERVER: &str = "421 The server cannot be reached over TLS.";

pub(super) const CLOSED_BY_RULE: &str = "421 This is not allowed here.";
pub(super) const NOT_FTP: &str = "421 This is an FTP service.";
pub(super) const SERVER_NOT_FTP: &str = "421 The server does not speak FTP.";
pub(super) const SERVER_GONE: &str = "421 The server closed the connection.";
pub(super) const SERVER_BROKE_PROTOCOL: &str = "421 The server broke the protocol.";
pub(super) const SERVER_SILENT: &str = "421 The server does not answer.";
pub(super) const LOGIN_TIMEOUT: &str = "421 Login took too long.";
pub(super) const IDLE_TIMEOUT: &str = "421 No command for too long.";
pub(super) const TOO_MANY_VIOLATIONS: &str = "421 Too many errors.";
pub(super) const TOO_MANY_LOGINS: &str = "421 Too many failed logins.";
pub(super) const DRAINING: &str = "421 The gateway is closing down.";

pub(super) const DATA_BROKE: &str = "426 The protected data connection broke; bytes may be missing.";

/// What the client hears instead of the server's final reply when its protected data connection ended
/// because of `reason`; `broken`: before everything had gone out (RFC 4217 section 10.2).
pub(super) fn failure(reason: Reason, broken: bool) -> Option<&'static str> {
    match reason {
        Reason::DataTls => Some("522 The TLS handshake of the data connection failed."),
        Reason::DataNotResumed => {
            Some("522 The data connection has to resume the TLS session of the control connection.")
        }
        Reason::DataCertificate => {
            Some("522 The data connection has to show the certificate of the control connection.")
        }
        Reason::UpstreamDataTls => Some("425 The server's data connection cannot be protected."),
        Reason::DataTruncated => {
            Some("426 The data connection ended without a TLS close; bytes may be missing.")
        }
        // A reset or a bad record: a plain server may take what came of it for the whole file.
        _ => broken.then_some(DATA_BROKE),
    }
}
