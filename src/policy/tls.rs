//! What happens to FTPS (RFC 4217).

use crate::addr::PortSet;

/// What happens to FTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// AUTH is refused.
    Deny,
    /// TLS passes through from end to end; these ports are open to the session's client meanwhile.
    Blind(PortSet),
    /// The gateway ends the client's TLS, and may begin another towards the server.
    Terminate(Terminate),
}

/// What `tls: {mode: terminate}` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminate {
    /// TLS towards the server.
    pub upstream: UpstreamTls,
    /// What clients have to protect.
    pub min_protection: MinProtection,
    /// What ties a client's data connection to its control connection.
    pub data: DataTls,
    /// Whether protected data goes from end to end, past the gateway's own TLS.
    pub passthrough: bool,
}

/// TLS towards the server. Where there is TLS, data is protected too, and nothing falls back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamTls {
    /// Plain FTP.
    None,
    /// AUTH TLS as soon as the server has greeted.
    Explicit,
    /// From the first byte on.
    Implicit,
    /// AUTH TLS when the client protects its leg.
    AsClient,
}

/// What clients have to protect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MinProtection {
    /// Nothing.
    Clear,
    /// The control connection, before USER.
    Control,
    /// Data, too (PROT P).
    Private,
}

/// What a client's protected data connection must have in common with its control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataTls {
    /// The TLS session: it resumes that of the control connection (RFC 4217 section 10.2).
    ResumeRequired,
    /// The client's certificate, or the TLS session.
    SameCertificate,
    /// The address alone.
    Any,
}

impl Tls {
    /// What is asked for where the gateway ends the client's TLS.
    pub fn terminate(&self) -> Option<&Terminate> {
        match self {
            Tls::Terminate(terminate) => Some(terminate),
            Tls::Deny | Tls::Blind(_) => None,
        }
    }

    /// The same with a plain server: what is left where no server's leg is played.
    pub fn without_upstream(&self) -> Self {
        match self {
            Tls::Terminate(terminate) => {
                Tls::Terminate(Terminate { upstream: UpstreamTls::None, ..*terminate })
            }
            other => other.clone(),
        }
    }

    /// What clients have to protect.
    pub fn min_protection(&self) -> MinProtection {
        self.terminate().map_or(MinProtection::Clear, |terminate| terminate.min_protection)
    }

    /// TLS towards the server.
    pub fn upstream(&self) -> UpstreamTls {
        self.terminate().map_or(UpstreamTls::None, |terminate| terminate.upstream)
    }

    /// Whether protected data goes from end to end.
    pub fn passes_data(&self) -> bool {
        self.terminate().is_some_and(|terminate| terminate.passthrough)
    }
}

impl Default for Terminate {
    fn default() -> Self {
        Self {
            upstream: UpstreamTls::None,
            min_protection: MinProtection::Private,
            data: DataTls::ResumeRequired,
            passthrough: false,
        }
    }
}
