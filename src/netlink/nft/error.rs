//! Why a change of elements was refused.

use std::io;

use rustix::io::Errno;

use super::element::Change;

/// The kernel, or the way to it, refused a transaction.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// ENOENT: the table or the set is missing. Someone flushed the ruleset, or it was never loaded.
    #[error("the table or its set {set} is missing")]
    Gone {
        /// The set of the refused element.
        set: &'static str,
    },
    /// ENFILE: the set has as many elements as its `size`. Elements whose time is over count until the
    /// kernel collects them, about a second later.
    #[error("set {set} is full")]
    Full {
        /// The set of the refused element.
        set: &'static str,
    },
    /// EEXIST: an element with this key is there already.
    #[error("set {set} has an element with this key already")]
    Exists {
        /// The set of the refused element.
        set: &'static str,
    },
    /// Another error about one element: a key or value of the wrong length (EINVAL), for example.
    #[error("the kernel refused an element of set {set}")]
    Refused {
        /// The set of the refused element.
        set: &'static str,
        /// The errno.
        #[source]
        source: io::Error,
    },
    /// The transaction as a whole failed: no permission, no memory, the socket.
    #[error("netlink transaction failed")]
    Netlink(#[source] io::Error),
}

impl NftError {
    /// From an errno and the change that it is about, if it is about one.
    pub(super) fn refused(errno: i32, change: Option<&Change>) -> Self {
        let source = io::Error::from_raw_os_error(errno);
        let Some(set) = change.map(|change| change.element().set) else {
            return Self::Netlink(source);
        };
        match Errno::from_raw_os_error(errno) {
            Errno::NOENT => Self::Gone { set },
            Errno::NFILE => Self::Full { set },
            Errno::EXIST => Self::Exists { set },
            _ => Self::Refused { set, source },
        }
    }

    pub(super) fn too_many() -> Self {
        Self::Netlink(io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{Data, Element};

    #[test]
    fn errno_decides_the_variant() {
        let change = Change::Remove(Element::new("gate4", Data::new()));
        let of = |errno| NftError::refused(errno, Some(&change));
        assert!(matches!(of(2), NftError::Gone { .. }));
        assert!(matches!(of(23), NftError::Full { .. }));
        assert!(matches!(of(17), NftError::Exists { .. }));
        assert!(matches!(of(22), NftError::Refused { .. }));
        assert!(matches!(NftError::refused(2, None), NftError::Netlink(_)));
        assert_eq!(of(23).to_string(), "set gate4 is full");
    }
}
