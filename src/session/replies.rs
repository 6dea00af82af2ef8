//! What the gateway says in the server's place. Every text is 7-bit and on one line.

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
pub(super) const BAD_PASSIVE: &str = "425 The server announced an address that is not allowed.";

pub(super) const TLS_DENIED: &str = "534 TLS is not available here.";
pub(super) const NO_TLS: &str = "503 The connection is not protected.";
pub(super) const NO_CCC: &str = "533 The connection is not protected.";

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
