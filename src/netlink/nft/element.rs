//! Elements: their keys and values, and how they are written into a message.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{LIST_SET, LIST_TABLE};
use crate::netlink::message::Builder;

/// `NFT_DATA_VALUE_MAXLEN`: the most that a key or a value can hold.
const MOST_BYTES: usize = 64;
/// `NFTA_SET_ELEM_LIST_ELEMENTS` and `NFTA_LIST_ELEM`.
const LIST_ELEMENTS: u16 = 3;
const LIST_ELEMENT: u16 = 1;
/// `NFTA_SET_ELEM_KEY`, `_DATA`, `_TIMEOUT`.
const KEY: u16 = 1;
const DATA: u16 = 2;
const TIMEOUT: u16 = 4;
/// `NFTA_DATA_VALUE`.
const VALUE: u16 = 1;

/// A key or a value: one field, or several, each padded with zeros to a multiple of 4 bytes; at most 64
/// bytes together. `Data::new().ip(address).port(21)` is one of type `ipv4_addr . inet_service`.
///
/// The kernel wants exactly the length of the set's type: 2 bytes for `inet_service`, 4 for each short
/// field of a concatenation. So a field that stands alone is not padded.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Data {
    bytes: [u8; MOST_BYTES],
    length: usize,
}

impl Data {
    /// No field yet.
    pub const fn new() -> Self {
        Self { bytes: [0; MOST_BYTES], length: 0 }
    }

    /// Appends a field in its own byte order.
    ///
    /// # Panics
    /// The fields are longer than 64 bytes together. The largest that nftables types of a connection need
    /// (two IPv6 addresses, two ports, a mark) are 44.
    #[must_use]
    pub fn field(mut self, value: &[u8]) -> Self {
        let start = self.length.next_multiple_of(4);
        let end = start + value.len();
        let field = self.bytes.get_mut(start..end);
        field.expect("the fields have at most 64 bytes together").copy_from_slice(value);
        self.length = if start == 0 { end } else { end.next_multiple_of(4) };
        self
    }

    /// Appends an address: `ipv4_addr` or `ipv6_addr`.
    #[must_use]
    pub fn ip(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => self.field(&v4.octets()),
            IpAddr::V6(v6) => self.field(&v6.octets()),
        }
    }

    /// Appends a port: `inet_service`.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        self.field(&port.to_be_bytes())
    }

    /// The fields as the kernel has them.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// What the kernel sent; `None` when it is longer than 64 bytes.
    pub(super) fn from_kernel(value: &[u8]) -> Option<Self> {
        (value.len() <= MOST_BYTES).then(|| Self::new().field(value))
    }
}

impl Default for Data {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An element of a set or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The name of the set or map.
    pub set: &'static str,
    /// The key; its fields are those of the set's type.
    pub key: Data,
    /// The value, for a map. A removal passes it over.
    pub value: Option<Data>,
    /// After that the kernel removes the element; `None` is the default of the set. Counted in
    /// milliseconds, rounded up, and kept in ticks of the kernel (1 to 10 ms).
    pub timeout: Option<Duration>,
}

impl Element {
    /// An element with a key alone.
    pub fn new(set: &'static str, key: Data) -> Self {
        Self { set, key, value: None, timeout: None }
    }

    /// The same with a value.
    #[must_use]
    pub fn value(self, value: Data) -> Self {
        Self { value: Some(value), ..self }
    }

    /// The same with a timeout.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }
}

/// One change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Add an element whose key must not be there.
    Add(Element),
    /// Remove the element with this key, if it is there.
    Remove(Element),
}

impl Change {
    /// The element to add or remove.
    pub fn element(&self) -> &Element {
        match self {
            Self::Add(element) | Self::Remove(element) => element,
        }
    }

    pub(super) fn is_removal(&self) -> bool {
        matches!(self, Self::Remove(_))
    }

    /// Writes the attributes of the message about this change.
    pub(super) fn encode(&self, table: &str, message: &mut Builder) {
        let element = self.element();
        message.string(LIST_TABLE, table);
        message.string(LIST_SET, element.set);
        message.nested(LIST_ELEMENTS, |list| {
            list.nested(LIST_ELEMENT, |body| {
                body.nested(KEY, |key| key.bytes(VALUE, element.key.as_bytes()));
                if !self.is_removal() {
                    element.encode_value(body);
                }
            });
        });
    }
}

impl Element {
    fn encode_value(&self, body: &mut Builder) {
        if let Some(data) = self.value {
            body.nested(DATA, |value| value.bytes(VALUE, data.as_bytes()));
        }
        if let Some(timeout) = self.timeout {
            // 0 would be "no timeout at all".
            let milliseconds = timeout.as_nanos().div_ceil(1_000_000).max(1);
            body.be64(TIMEOUT, u64::try_from(milliseconds).unwrap_or(u64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::message::{Header, Messages};
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn message(change: &Change) -> Vec<u8> {
        let mut builder = Builder::default();
        let header = Header { kind: 0, flags: 0, sequence: 1, family: 1, resource: 0 };
        builder.message(header, |message| change.encode("t", message));
        builder.finished().unwrap().to_vec()
    }

    fn at(bytes: &[u8], path: &[u16]) -> Option<Vec<u8>> {
        let message = Messages::of(bytes).next().unwrap();
        message.attributes().at(path).map(|attribute| attribute.value.to_vec())
    }

    #[test]
    fn fields_are_padded_to_four_bytes() {
        let key = Data::new().ip(Ipv4Addr::new(192, 0, 2, 1).into()).port(0x1234).field(&[7; 4]);
        assert_eq!(key.as_bytes(), [192, 0, 2, 1, 0x12, 0x34, 0, 0, 7, 7, 7, 7]);
        let widest =
            Data::new().ip(Ipv6Addr::LOCALHOST.into()).port(1).ip(Ipv6Addr::LOCALHOST.into()).port(2);
        assert_eq!(widest.as_bytes().len(), 40);
        assert_eq!(format!("{:?}", Data::new().field(&[0; 4]).port(0x15)), "0000000000150000");
        assert_eq!(Data::from_kernel(&[0; 65]), None);
    }

    #[test]
    fn single_field_is_not_padded() {
        assert_eq!(Data::new().port(0x15).as_bytes(), [0, 0x15]);
        assert_eq!(Data::from_kernel(&[0, 0x15]), Some(Data::new().port(0x15)));
        assert_eq!(Data::from_kernel(&[0, 1, 0, 0, 0, 2, 0, 0]), Some(Data::new().port(1).port(2)));
    }

    #[test]
    fn added_element_carries_key_value_and_timeout() {
        let element = Element::new("m", Data::new().port(21))
            .value(Data::new().port(22))
            .timeout(Duration::from_micros(1500));
        let bytes = message(&Change::Add(element));
        let element = [LIST_ELEMENTS, LIST_ELEMENT];
        let find = |path: &[u16]| at(&bytes, &[&element, path].concat());
        assert_eq!(at(&bytes, &[LIST_TABLE]).unwrap(), b"t\0");
        assert_eq!(at(&bytes, &[LIST_SET]).unwrap(), b"m\0");
        assert_eq!(find(&[KEY, VALUE]).unwrap(), [0, 21]);
        assert_eq!(find(&[DATA, VALUE]).unwrap(), [0, 22]);
        assert_eq!(find(&[TIMEOUT]).unwrap(), 2_u64.to_be_bytes());
    }

    #[test]
    fn removal_carries_the_key_alone() {
        let element = Element::new("m", Data::new().port(21)).timeout(Duration::from_secs(1));
        let bytes = message(&Change::Remove(element.value(Data::new().port(22))));
        assert_eq!(at(&bytes, &[LIST_ELEMENTS, LIST_ELEMENT, DATA]), None);
        assert_eq!(at(&bytes, &[LIST_ELEMENTS, LIST_ELEMENT, TIMEOUT]), None);
    }
}
