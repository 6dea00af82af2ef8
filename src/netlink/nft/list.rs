//! What is in the table: its handle, its rules, the keys of a set.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use super::element::Data;
use super::{INET, LIST_SET, LIST_TABLE, Nft, SUBSYSTEM};
use crate::netlink::message::{ACK, DUMP, Header, Message};

/// `NFT_MSG_GETTABLE`, `NFT_MSG_GETRULE`, `NFT_MSG_GETSETELEM`.
const GET_TABLE: u16 = SUBSYSTEM << 8 | 1;
const GET_RULE: u16 = SUBSYSTEM << 8 | 7;
const GET_ELEMENT: u16 = SUBSYSTEM << 8 | 13;
/// `NFTA_TABLE_NAME`, `NFTA_TABLE_HANDLE`, `NFTA_RULE_TABLE`, `NFTA_TABLE_FLAGS`.
const TABLE_NAME: u16 = 1;
const TABLE_HANDLE: u16 = 4;
const RULE_TABLE: u16 = 1;
const TABLE_FLAGS: u16 = 2;
/// `NFTA_RULE_CHAIN`, `NFTA_RULE_HANDLE`, `NFTA_RULE_EXPRESSIONS`.
const RULE_PARTS: [u16; 3] = [2, 3, 4];
/// List, element, key, value; the same numbers as in `element`.
const LIST_ELEMENTS: u16 = 3;
const KEY_VALUE: [u16; 2] = [1, 1];
/// How often a list is read again that changed while it was read.
const TRIES: u32 = 8;

/// Enough of a table to see that someone changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableState {
    /// A number that no other table has had since the system started: another one is another table, also
    /// under the same name.
    pub handle: u64,
    /// Whether it sleeps, and the like.
    pub flags: u32,
    /// A hash of its rules in their order: another rule gives another number, and so does a counter that counts.
    pub rules: u64,
}

impl Nft {
    /// The state of the table, `None` when it is gone.
    ///
    /// # Errors
    /// The kernel refused to answer.
    pub fn state(&mut self) -> io::Result<Option<TableState>> {
        let Some((handle, flags)) = self.header()? else { return Ok(None) };
        for _ in 0..TRIES {
            let mut rules = DefaultHasher::new();
            let add = |message: Message<'_>| {
                for attribute in message.attributes().filter(|attribute| RULE_PARTS.contains(&attribute.kind))
                {
                    attribute.value.hash(&mut rules);
                }
            };
            match self.dump(GET_RULE, RULE_TABLE, None, add)? {
                Dumped::Gone => return Ok(None),
                Dumped::Whole => return Ok(Some(TableState { handle, flags, rules: rules.finish() })),
                // Most likely elements changed meanwhile.
                Dumped::Interrupted => {}
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    /// The keys of all elements of `set` whose time is not over, in no order. `None` when the table or the
    /// set is gone.
    ///
    /// # Errors
    /// `Interrupted`: the ruleset changed again and again meanwhile. Others: the kernel refused to answer.
    pub fn keys(&mut self, set: &str) -> io::Result<Option<Vec<Data>>> {
        let mut keys = Vec::new();
        for _ in 0..TRIES {
            keys.clear();
            let dumped = self.dump(GET_ELEMENT, LIST_TABLE, Some(set), |message| {
                let lists = message.attributes().filter(|attribute| attribute.kind == LIST_ELEMENTS);
                let elements = lists.flat_map(|list| list.nested());
                keys.extend(elements.filter_map(|element| {
                    element.nested().at(&KEY_VALUE).and_then(|key| Data::from_kernel(key.value))
                }));
            })?;
            match dumped {
                Dumped::Gone => return Ok(None),
                Dumped::Whole => return Ok(Some(keys)),
                Dumped::Interrupted => {}
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    /// The table's handle and flags.
    fn header(&mut self) -> io::Result<Option<(u64, u32)>> {
        let sequence = self.socket.sequences(1);
        let header = Header { kind: GET_TABLE, flags: ACK, sequence, family: INET, resource: 0 };
        self.builder.clear();
        self.builder.message(header, |message| message.string(TABLE_NAME, &self.table));
        let (mut handle, mut flags) = (None, 0);
        let found = self.socket.request(&self.builder, sequence, |message| {
            handle = message.attributes().find(TABLE_HANDLE).and_then(|attribute| attribute.be64());
            flags = message.attributes().find(TABLE_FLAGS).and_then(|flags| flags.be32()).unwrap_or_default();
        })?;
        match (found, handle) {
            (None, _) => Ok(None),
            (Some(_), Some(handle)) => Ok(Some((handle, flags))),
            (Some(_), None) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn dump(
        &mut self,
        kind: u16,
        table_attribute: u16,
        set: Option<&str>,
        visit: impl FnMut(Message<'_>),
    ) -> io::Result<Dumped> {
        let sequence = self.socket.sequences(1);
        let header = Header { kind, flags: DUMP, sequence, family: INET, resource: 0 };
        self.builder.clear();
        self.builder.message(header, |message| {
            message.string(table_attribute, &self.table);
            if let Some(set) = set {
                message.string(LIST_SET, set);
            }
        });
        Ok(match self.socket.request(&self.builder, sequence, visit)? {
            None => Dumped::Gone,
            Some(answered) if answered.interrupted => Dumped::Interrupted,
            Some(_) => Dumped::Whole,
        })
    }
}

/// What a dump came to.
enum Dumped {
    Whole,
    Interrupted,
    Gone,
}
