//! Messages from the kernel: any bytes may come, none make it panic.

use super::{DONE, ERROR};

/// Bits of an attribute's kind that are no flags.
const KIND_MASK: u16 = 0x3fff;
/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// `struct nfgenmsg`: family, version, resource.
const NFGEN_BYTES: usize = 4;
/// `struct nlattr`.
const ATTRIBUTE_BYTES: usize = 4;

/// A message from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Subsystem and operation, or [`ERROR`], [`DONE`].
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// That of the request; 0 for what nobody asked for.
    pub sequence: u32,
    /// All after `struct nlmsghdr`.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The errno of an [`ERROR`] or [`DONE`] message, 0 when there was no error. `None` for other
    /// messages, and for one that is cut short.
    pub fn errno(&self) -> Option<i32> {
        let number = match self.kind {
            ERROR | DONE => self.body.first_chunk::<4>().map(|code| i32::from_ne_bytes(*code))?,
            _ => return None,
        };
        Some(number.saturating_neg())
    }

    /// The attributes after `struct nfgenmsg`.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes(self.body.get(NFGEN_BYTES..).unwrap_or_default())
    }
}

/// The messages of one datagram.
#[derive(Debug, Clone)]
pub struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    /// Messages in `datagram`, up to the first that does not fit.
    pub fn of(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        let length = usize::try_from(u32::from_ne_bytes(*rest.first_chunk()?)).ok()?;
        let message = Message {
            kind: u16::from_ne_bytes(*rest.get(4..)?.first_chunk()?),
            flags: u16::from_ne_bytes(*rest.get(6..)?.first_chunk()?),
            sequence: u32::from_ne_bytes(*rest.get(8..)?.first_chunk()?),
            body: rest.get(HEADER_BYTES..length)?,
        };
        self.0 = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Which one, without the flag bits.
    pub kind: u16,
    /// Its bytes, without padding.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The first byte.
    pub fn byte(&self) -> Option<u8> {
        self.value.first().copied()
    }

    /// The first 2 bytes, big-endian.
    pub fn be16(&self) -> Option<u16> {
        self.value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// The first 4 bytes, big-endian.
    pub fn be32(&self) -> Option<u32> {
        self.value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// The first 8 bytes, big-endian.
    pub fn be64(&self) -> Option<u64> {
        self.value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// The bytes before the first NUL.
    pub fn string(&self) -> &'a [u8] {
        self.value.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The attributes within.
    pub fn nested(&self) -> Attributes<'a> {
        Attributes(self.value)
    }
}

/// A row of attributes.
#[derive(Debug, Clone)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// The first attribute of that kind.
    pub fn find(&self, kind: u16) -> Option<Attribute<'a>> {
        Iterator::find(&mut self.clone(), |attribute| attribute.kind == kind)
    }

    /// The attribute that `path` leads to, one nesting deeper with each step.
    pub fn at(&self, path: &[u16]) -> Option<Attribute<'a>> {
        let (first, rest) = path.split_first()?;
        let found = self.find(*first)?;
        if rest.is_empty() { Some(found) } else { found.nested().at(rest) }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?) & KIND_MASK;
        let value = rest.get(ATTRIBUTE_BYTES..length)?;
        self.0 = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind, value })
    }
}
