//! Netlink messages and their attributes: building and parsing.
//!
//! Does: headers, padding, nesting, byte order (linux/netlink.h, linux/netfilter/nfnetlink.h). Does not:
//! know what a message means, or do IO. Called by the other files of this module.
//!
//! Headers are in the byte order of the machine; numbers within netfilter's attributes are big-endian.
//! [`Messages`] and [`Attributes`] end at the first header that does not fit, whatever the bytes are.

mod build;
mod parse;

pub use build::{Builder, Header};
pub use parse::{Attributes, Message, Messages};

/// `NLM_F_REQUEST`: every message to the kernel carries it.
pub const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`: answer with an error message also when there is no error (code 0).
pub const ACK: u16 = 0x4;
/// `NLM_F_DUMP`: list everything.
pub const DUMP: u16 = 0x300;
/// `NLM_F_EXCL`: what is created must not exist.
pub const EXCL: u16 = 0x200;
/// `NLM_F_CREATE`: create what does not exist.
pub const CREATE: u16 = 0x400;
/// `NLM_F_DUMP_INTR`, on an answer: the list changed while it was dumped.
pub const DUMP_INTERRUPTED: u16 = 0x10;

/// `NLMSG_ERROR`: an acknowledgement, or an error.
pub const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
pub const DONE: u16 = 3;

#[cfg(test)]
mod tests {
    use std::io;

    use super::parse::Attribute;
    use super::*;
    use proptest::prelude::*;

    const HEADER: Header = Header { kind: 0x0a0c, flags: ACK, sequence: 7, family: 1, resource: 0x1234 };

    /// All attributes, at most `depth` deep; never panics.
    fn walk(attributes: Attributes<'_>, depth: usize) -> usize {
        attributes
            .map(|a| {
                let _ = (a.byte(), a.be16(), a.be32(), a.be64(), a.string());
                1 + if depth > 0 { walk(a.nested(), depth - 1) } else { 0 }
            })
            .sum()
    }

    #[test]
    fn message_has_the_layout_of_the_kernel() {
        let mut builder = Builder::default();
        builder.message(HEADER, |m| {
            m.string(1, "abc");
            m.nested(2, |m| m.be16(3, 0x0102));
        });
        let mut expected = 40_u32.to_ne_bytes().to_vec();
        expected.extend(0x0a0c_u16.to_ne_bytes());
        expected.extend((ACK | REQUEST).to_ne_bytes());
        expected.extend(7_u32.to_ne_bytes());
        expected.extend([0, 0, 0, 0, 1, 0, 0x12, 0x34]);
        expected.extend(8_u16.to_ne_bytes());
        expected.extend(1_u16.to_ne_bytes());
        expected.extend(b"abc\0");
        let at_nested = expected.len();
        expected.extend(12_u16.to_ne_bytes());
        expected.extend(0x8002_u16.to_ne_bytes());
        expected.extend(6_u16.to_ne_bytes());
        expected.extend(3_u16.to_ne_bytes());
        expected.extend([1, 2, 0, 0]);
        assert_eq!(at_nested, 28);
        assert_eq!(expected.len(), 40);
        assert_eq!(builder.finished().unwrap(), expected);
    }

    #[test]
    fn what_was_built_is_parsed() {
        let mut builder = Builder::default();
        builder.message(HEADER, |m| m.nested(1, |m| m.nested(2, |m| m.be64(3, u64::MAX - 1))));
        builder.message(Header { sequence: 8, ..HEADER }, |m| m.string(9, "name"));
        let messages: Vec<_> = Messages::of(builder.finished().unwrap()).collect();
        let [first, second] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!(first.attributes().at(&[1, 2, 3]).unwrap().be64(), Some(u64::MAX - 1));
        assert_eq!((first.sequence, second.sequence, second.kind), (7, 8, 0x0a0c));
        assert_eq!(second.attributes().find(9).unwrap().string(), b"name");
        assert!(second.attributes().at(&[9, 1]).is_none());
    }

    #[test]
    fn attribute_longer_than_its_length_field_is_refused() {
        let mut builder = Builder::default();
        builder.message(HEADER, |m| m.bytes(1, &vec![0; 65_532]));
        assert_eq!(builder.finished().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        builder.clear();
        builder.message(HEADER, |m| m.bytes(1, &vec![0; 65_531]));
        assert!(builder.finished().is_ok());
    }

    #[test]
    fn error_code_of_the_kernel_is_an_errno() {
        let of = |code: i32| {
            let body = code.to_ne_bytes();
            Message { kind: ERROR, flags: 0, sequence: 1, body: &body }.errno()
        };
        assert_eq!((of(0), of(-17), of(i32::MIN)), (Some(0), Some(17), Some(i32::MAX)));
        let cut = Message { kind: ERROR, flags: 0, sequence: 1, body: &[0, 0] };
        assert_eq!(cut.errno(), None);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            for message in Messages::of(&bytes) {
                let _ = (message.errno(), walk(message.attributes(), 8));
            }
            walk(Attribute { kind: 1, value: &bytes }.nested(), 8);
        }

        #[test]
        fn damaged_messages_never_panic(at in 0_usize..64, value: u8, cut in 0_usize..=64) {
            let mut builder = Builder::default();
            builder.message(HEADER, |m| m.nested(1, |m| m.nested(2, |m| m.bytes(3, &[5; 30]))));
            let mut bytes = builder.finished().unwrap().to_vec();
            let at = at % bytes.len();
            bytes[at] = value;
            bytes.truncate(cut);
            for message in Messages::of(&bytes) {
                let _ = (message.errno(), walk(message.attributes(), 8));
            }
        }

        #[test]
        fn any_value_comes_back(value in prop::collection::vec(any::<u8>(), 0..300), kind in 0_u16..0x4000) {
            let mut builder = Builder::default();
            builder.message(HEADER, |m| { m.bytes(kind, &value); m.be32(kind ^ 1, 5); });
            let message = Messages::of(builder.finished().unwrap()).next().unwrap();
            prop_assert_eq!(message.attributes().find(kind).unwrap().value, &value[..]);
            prop_assert_eq!(message.attributes().find(kind ^ 1).unwrap().be32(), Some(5));
        }
    }
}
