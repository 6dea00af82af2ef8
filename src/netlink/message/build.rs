//! Messages to the kernel.

use std::io;

use super::REQUEST;

/// Flag of an attribute that holds attributes.
const NESTED: u16 = 0x8000;

/// The fixed part of a netfilter message.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// Subsystem in the high byte, operation in the low one.
    pub kind: u16,
    /// `NLM_F_*`; [`REQUEST`] is added.
    pub flags: u16,
    /// The kernel's answers carry the same number.
    pub sequence: u32,
    /// `NFPROTO_*`, 0 for any.
    pub family: u8,
    /// What the subsystem makes of it: a group, a subsystem, mostly 0.
    pub resource: u16,
}

/// One or more messages under construction, in one buffer that is used again and again.
#[derive(Debug, Default)]
pub struct Builder {
    bytes: Vec<u8>,
    /// A length did not fit its field.
    too_long: bool,
}

impl Builder {
    /// Throws the messages away and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.too_long = false;
    }

    /// Appends a message whose attributes are what `body` puts.
    pub fn message(&mut self, header: Header, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&header.kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(header.flags | REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&header.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]); // the port id: 0 is "whoever sends"
        self.bytes.extend_from_slice(&[header.family, 0]);
        self.bytes.extend_from_slice(&header.resource.to_be_bytes());
        body(self);
        match u32::try_from(self.bytes.len() - start) {
            Ok(length) => self.patch(start, &length.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
    }

    /// Puts an attribute of raw bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |builder| builder.bytes.extend_from_slice(value));
    }

    /// Puts a string with its NUL.
    pub fn string(&mut self, kind: u16, value: &str) {
        self.attribute(kind, |builder| {
            builder.bytes.extend_from_slice(value.as_bytes());
            builder.bytes.push(0);
        });
    }

    /// Puts one byte.
    pub fn byte(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    /// Puts a big-endian number of 16 bits.
    pub fn be16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Puts a big-endian number of 32 bits.
    pub fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Puts a big-endian number of 64 bits.
    pub fn be64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Puts an attribute of attributes: those that `body` puts.
    pub fn nested(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        self.attribute(kind | NESTED, body);
    }

    /// What goes to the kernel.
    ///
    /// # Errors
    /// `InvalidInput`: an attribute is longer than its length field can say (65535 bytes).
    pub fn finished(&self) -> io::Result<&[u8]> {
        match self.too_long {
            true => Err(io::Error::new(io::ErrorKind::InvalidInput, "netlink attribute over 65535 bytes")),
            false => Ok(&self.bytes),
        }
    }

    fn attribute(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        body(self);
        // The length is without padding; what follows starts at a multiple of 4.
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.patch(start, &length.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn patch(&mut self, start: usize, value: &[u8]) {
        if let Some(field) = self.bytes.get_mut(start..start + value.len()) {
            field.copy_from_slice(value);
        }
    }
}
