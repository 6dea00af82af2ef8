//! Who the client is to the server: what USER, PASS and ACCT have come to (RFC 959 section 5.4).

/// Who the client is to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// Not logged in.
    Nobody,
    /// The server took the USER and wants a password.
    Named(String),
    /// The server wants an account (332).
    NeedsAccount(String),
    /// Logged in under this name.
    In(String),
    /// Who it is was said before anyone listened.
    Unseen,
}

impl Login {
    /// The name that the last accepted USER gave.
    pub(super) fn user(&self) -> Option<&str> {
        match self {
            Login::Nobody | Login::Unseen => None,
            Login::Named(user) | Login::NeedsAccount(user) | Login::In(user) => Some(user),
        }
    }

    /// Whether pinholes may be asked for.
    pub(super) fn is_in(&self) -> bool {
        matches!(self, Login::In(_) | Login::Unseen)
    }
}
