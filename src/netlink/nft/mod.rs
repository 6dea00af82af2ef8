//! Elements of the sets and maps of one nftables table of family inet.
//!
//! Does: add and remove elements in transactions, tell the state of the table, list keys. Does not: make
//! tables, chains, sets or rules; those are text for nft(8). Called by the nftables backend.
//!
//! A transaction is one datagram: BATCH_BEGIN, the elements, BATCH_END. The kernel goes through all
//! elements even after an error, then commits if there was none, then queues its answers. So only the
//! last element asks for an acknowledgement: a transaction that succeeds costs one sendmsg and one recv.

mod element;
mod error;
mod list;

use std::io;

use rustix::io::Errno;

use super::message::{ACK, Builder, CREATE, EXCL, Header, Messages};
use super::socket::Socket;

pub use element::{Change, Data, Element};
pub use error::NftError;
pub use list::TableState;

/// `NFPROTO_INET`.
const INET: u8 = 1;
/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`.
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// `NFT_MSG_*SETELEM`, with the subsystem.
const NEW_ELEMENT: u16 = SUBSYSTEM << 8 | 12;
const DELETE_ELEMENT: u16 = SUBSYSTEM << 8 | 14;
const DESTROY_ELEMENT: u16 = SUBSYSTEM << 8 | 30;
/// Attributes of a message about elements: `NFTA_SET_ELEM_LIST_TABLE`, `_SET`.
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
/// A name that no set can have.
const NO_SET: &str = "no/set";

/// A connection to the kernel about one table.
pub struct Nft {
    socket: Socket,
    table: String,
    builder: Builder,
    /// Whether the kernel has DESTROYSETELEM, which takes an absent element for removed (Linux 6.3).
    destroys: bool,
}

/// What the kernel said to a batch that it did not commit.
struct Refusal {
    errno: i32,
    /// Which message of the batch, 0 being BATCH_BEGIN.
    position: u32,
}

impl Nft {
    /// Opens a socket for the table `table` of family inet, which need not exist yet, and finds out what
    /// the kernel can do.
    ///
    /// # Errors
    /// `PermissionDenied` without CAP_NET_ADMIN; `InvalidInput` or others where the kernel has no nftables.
    pub fn connect(table: &str) -> io::Result<Self> {
        let mut nft = Self::without_destroy(table)?;
        nft.destroys = nft.has_destroy()?;
        Ok(nft)
    }

    /// As [`Nft::connect`], and treats the kernel as one older than Linux 6.3.
    ///
    /// # Errors
    /// The socket could not be opened.
    pub fn without_destroy(table: &str) -> io::Result<Self> {
        let (socket, builder) = (Socket::open()?, Builder::default());
        Ok(Self { socket, table: table.to_owned(), builder, destroys: false })
    }

    /// Carries out `changes`, removals first, each kind in the given order; returns when the kernel has
    /// committed or refused them. One transaction, all or nothing.
    ///
    /// An element that is gone already counts as removed. On a kernel older than Linux 6.3 each removal
    /// is a transaction of its own, before the one of all additions.
    ///
    /// # Errors
    /// See [`NftError`]; the first refusal is told. Nothing has changed then, but for the removals on an
    /// older kernel. After [`NftError::Netlink`] the changes may have been made or not.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), NftError> {
        if self.destroys {
            let ordered = changes.iter().filter(|c| c.is_removal());
            return self.transaction(ordered.chain(changes.iter().filter(|c| !c.is_removal())));
        }
        for removal in changes.iter().filter(|change| change.is_removal()) {
            match self.transaction(std::iter::once(removal)) {
                // The element is not there, or its set is not: gone either way.
                Ok(()) | Err(NftError::Gone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.transaction(changes.iter().filter(|change| !change.is_removal()))
    }

    fn transaction<'a>(&mut self, changes: impl Iterator<Item = &'a Change> + Clone) -> Result<(), NftError> {
        let Ok(count) = u32::try_from(changes.clone().count()) else { return Err(NftError::too_many()) };
        let Some(extra) = count.checked_add(2) else { return Err(NftError::too_many()) };
        if count == 0 {
            return Ok(());
        }
        let begin = self.socket.sequences(extra);
        self.build(begin, count, changes.clone());
        let Some(refusal) = self.exchange(begin, count).map_err(NftError::Netlink)? else { return Ok(()) };
        let position = usize::try_from(refusal.position).unwrap_or_default();
        let change = position.checked_sub(1).and_then(|before| changes.clone().nth(before));
        Err(NftError::refused(refusal.errno, change))
    }

    fn build<'a>(&mut self, begin: u32, count: u32, changes: impl Iterator<Item = &'a Change>) {
        let (builder, table, destroys) = (&mut self.builder, &self.table, self.destroys);
        builder.clear();
        builder.message(batch(BATCH_BEGIN, begin), |_| {});
        for (sequence, change) in (begin + 1..).zip(changes) {
            let ack = if sequence == begin + count { ACK } else { 0 };
            let (kind, flags) = match change {
                Change::Add(_) => (NEW_ELEMENT, CREATE | EXCL),
                Change::Remove(_) if destroys => (DESTROY_ELEMENT, 0),
                Change::Remove(_) => (DELETE_ELEMENT, 0),
            };
            let header = Header { kind, flags: flags | ack, sequence, family: INET, resource: 0 };
            builder.message(header, |message| change.encode(table, message));
        }
        builder.message(batch(BATCH_END, begin + count + 1), |_| {});
    }

    /// Sends the batch of `count` elements whose BATCH_BEGIN has the number `begin`.
    fn exchange(&mut self, begin: u32, count: u32) -> io::Result<Option<Refusal>> {
        self.socket.send(&self.builder)?;
        let mut first = None;
        loop {
            match self.socket.receive() {
                Ok(datagram) => {
                    if answered(datagram, begin, count, &mut first) {
                        return Ok(first);
                    }
                }
                // Answers overran the buffer, so there were errors; the first ones are still to be read.
                Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {}
                // The last answer was lost, not the first.
                Err(_) if first.is_some() => return Ok(first),
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks for the removal of an element of a set that does not exist, which changes nothing: ENOENT from
    /// a kernel that knows the message, EINVAL from one that does not.
    fn has_destroy(&mut self) -> io::Result<bool> {
        let (begin, table) = (self.socket.sequences(3), &self.table);
        self.builder.clear();
        self.builder.message(batch(BATCH_BEGIN, begin), |_| {});
        let sequence = begin + 1;
        let header = Header { kind: DESTROY_ELEMENT, flags: ACK, sequence, family: INET, resource: 0 };
        self.builder.message(header, |message| {
            message.string(LIST_TABLE, table);
            message.string(LIST_SET, NO_SET);
        });
        self.builder.message(batch(BATCH_END, begin + 2), |_| {});
        match self.exchange(begin, 1)? {
            Some(refusal) if refusal.errno == Errno::NOENT.raw_os_error() => Ok(true),
            Some(refusal) if refusal.errno == Errno::INVAL.raw_os_error() && refusal.position == 1 => {
                Ok(false)
            }
            Some(refusal) => Err(io::Error::from_raw_os_error(refusal.errno)),
            None => Err(io::Error::other("the kernel removed an element of a set that does not exist")),
        }
    }
}

fn batch(kind: u16, sequence: u32) -> Header {
    Header { kind, flags: 0, sequence, family: 0, resource: SUBSYSTEM }
}

/// Notes the first refusal in `datagram`; true when the outcome is known. Answers come in the order of
/// the messages. One to BATCH_BEGIN is about the whole batch: no permission, no memory, commit failed.
fn answered(datagram: &[u8], begin: u32, count: u32, first: &mut Option<Refusal>) -> bool {
    for message in Messages::of(datagram) {
        let position = message.sequence.wrapping_sub(begin);
        // Numbers of earlier batches are too high: what they left unread is passed over.
        let (Some(errno), true) = (message.errno(), position <= count) else { continue };
        if errno != 0 && first.is_none() {
            *first = Some(Refusal { errno, position });
        }
        if position == count || (position == 0 && errno != 0) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::message::ERROR;
    use proptest::prelude::*;

    fn answer(sequence: u32, errno: i32) -> Vec<u8> {
        let mut bytes = 20_u32.to_ne_bytes().to_vec();
        bytes.extend(ERROR.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend((-errno).to_ne_bytes());
        bytes
    }

    #[test]
    fn first_refusal_is_kept_and_the_last_answer_ends_the_batch() {
        let mut first = None;
        assert!(!answered(&answer(3, 5), 10, 4, &mut first), "of an earlier batch");
        assert!(first.is_none());
        assert!(!answered(&answer(12, 17), 10, 4, &mut first));
        assert!(!answered(&answer(13, 2), 10, 4, &mut first));
        assert!(answered(&answer(14, 0), 10, 4, &mut first));
        let refusal = first.unwrap();
        assert_eq!((refusal.errno, refusal.position), (17, 2));
    }

    #[test]
    fn refusal_of_the_whole_batch_ends_it() {
        let mut first = None;
        assert!(answered(&answer(10, 1), 10, 4, &mut first));
        assert_eq!(first.unwrap().position, 0);
    }

    proptest! {
        #[test]
        fn random_answers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), begin: u32) {
            answered(&bytes, begin, 3, &mut None);
        }
    }
}
