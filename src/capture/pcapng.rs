//! The pcapng format: blocks in sections, with interfaces of their own time stamps and link types.
//!
//! Only blocks that matter are parsed; all others are skipped by their length, whatever is in them. Time
//! stamp options are read here: pcap-parser takes the offset for little-endian always, and knows no
//! resolution that is a power of two.

use std::time::Duration;

use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{
    Block, EPB_MAGIC, IDB_MAGIC, InterfaceDescriptionBlock, OptionCode, SHB_MAGIC, SPB_MAGIC,
    SectionHeaderBlock, parse_block_be, parse_block_le,
};

use super::error::CaptureError;
use super::frame::Packet;
use super::window::Window;

/// The section that is being read.
#[derive(Default)]
pub(super) struct PcapNg {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// The time of the last packet, for those that have none.
    at: Duration,
}

#[derive(Clone, Copy)]
struct Interface {
    link_type: u32,
    /// The longest captured frame; 0 is without limit.
    snap_length: u32,
    ticks_per_second: u64,
    offset_seconds: i64,
}

/// The fields of a packet block, by interface.
struct Raw<'a> {
    interface: usize,
    ticks: Option<u64>,
    data: &'a [u8],
    length: u32,
}

impl PcapNg {
    /// The next packet; `None` at the end.
    pub(super) fn next<'a>(&mut self, window: &'a mut Window) -> Result<Option<Packet<'a>>, CaptureError> {
        loop {
            let Some((kind, length)) = self.block(window)? else { return Ok(None) };
            let offset = window.offset();
            let broken = |what| CaptureError::Broken { offset, what };
            match kind {
                EPB_MAGIC | SPB_MAGIC | OPB_MAGIC => {
                    return self.packet(kind, window.take(length)).map(Some).map_err(broken);
                }
                SHB_MAGIC | IDB_MAGIC => self.describe(window.take(length)).map_err(|error| match error {
                    Description::Bad(what) => broken(what),
                    Description::Version { major, minor } => {
                        CaptureError::Version { format: "pcapng", major, minor }
                    }
                })?,
                _ => {
                    window.take(length);
                }
            }
        }
    }

    /// The type and length of the next block, which is in the window; `None` at the end.
    fn block(&mut self, window: &mut Window) -> Result<Option<(u32, usize)>, CaptureError> {
        if !window.require(MIN_BLOCK)? {
            return Ok(None);
        }
        let (kind, length) = (self.field(window.bytes(), 0), self.field(window.bytes(), 4));
        let length = match kind {
            // The same in both byte orders; the order of its length, and of what follows, is behind it.
            SHB_MAGIC => {
                self.big_endian = window.bytes().get(8..12) == Some(&[0x1a, 0x2b, 0x3c, 0x4d]);
                self.field(window.bytes(), 4)
            }
            _ => length,
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length < MIN_BLOCK {
            let offset = window.offset();
            return Err(CaptureError::Broken { offset, what: "a block shorter than its header" });
        }
        Ok(window.require(length)?.then_some((kind, length)))
    }

    fn field(&self, bytes: &[u8], at: usize) -> u32 {
        let field = bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default();
        match self.big_endian {
            true => u32::from_be_bytes(field),
            false => u32::from_le_bytes(field),
        }
    }

    fn parse<'a>(&self, block: &'a [u8]) -> Option<Block<'a>> {
        let parsed = match self.big_endian {
            true => parse_block_be(block),
            false => parse_block_le(block),
        };
        parsed.ok().map(|(_, block)| block)
    }

    /// Takes in a section header or the description of an interface.
    fn describe(&mut self, block: &[u8]) -> Result<(), Description> {
        match self.parse(block) {
            Some(Block::SectionHeader(section)) => self.begin(&section),
            Some(Block::InterfaceDescription(interface)) => self.add(&interface),
            _ => Err(Description::Bad("a bad section header or interface description")),
        }
    }

    fn begin(&mut self, section: &SectionHeaderBlock<'_>) -> Result<(), Description> {
        self.interfaces.clear();
        match (section.major_version, section.minor_version) {
            (1, _) => Ok(()),
            (major, minor) => Err(Description::Version { major, minor }),
        }
    }

    fn add(&mut self, interface: &InterfaceDescriptionBlock<'_>) -> Result<(), Description> {
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(Description::Bad("more than 65536 interfaces"));
        }
        let option =
            |code| interface.options.iter().find(|option| option.code == code).map(|option| &*option.value);
        let resolution = option(OptionCode::IfTsresol).and_then(|value| value.first()).copied().unwrap_or(6);
        let offset = option(OptionCode::IfTsoffset).and_then(|value| value.first_chunk()).copied();
        let offset = offset.unwrap_or_default();
        self.interfaces.push(Interface {
            link_type: interface.linktype.0.cast_unsigned(),
            snap_length: interface.snaplen,
            ticks_per_second: ticks_per_second(resolution)
                .ok_or(Description::Bad("a bad time resolution"))?,
            offset_seconds: match self.big_endian {
                true => i64::from_be_bytes(offset),
                false => i64::from_le_bytes(offset),
            },
        });
        Ok(())
    }

    fn packet<'a>(&mut self, kind: u32, block: &'a [u8]) -> Result<Packet<'a>, &'static str> {
        let raw = match kind {
            OPB_MAGIC => self.obsolete(block),
            _ => self.current(block),
        };
        let Raw { interface, ticks, data, length } = raw.ok_or("a bad packet block")?;
        let interface =
            *self.interfaces.get(interface).ok_or("a packet of an interface that is not described")?;
        let data = match ticks {
            Some(_) => data,
            // A simple packet does not say how much was captured.
            None => interface.simple(data),
        };
        if let Some(ticks) = ticks {
            self.at = interface.time(ticks);
        }
        Ok(Packet { at: self.at, link_type: interface.link_type, data, length })
    }

    fn current<'a>(&self, block: &'a [u8]) -> Option<Raw<'a>> {
        match self.parse(block)? {
            Block::EnhancedPacket(packet) => Some(Raw {
                interface: usize::try_from(packet.if_id).ok()?,
                ticks: Some(ticks(packet.ts_high, packet.ts_low)),
                data: packet.data.get(..usize::try_from(packet.caplen).ok()?)?,
                length: packet.orig_len(),
            }),
            Block::SimplePacket(packet) => Some(Raw {
                interface: 0,
                ticks: None,
                data: packet.data.get(..usize::try_from(packet.origlen).ok()?).unwrap_or(packet.data),
                length: packet.origlen,
            }),
            _ => None,
        }
    }

    /// The packet block of files before 2009: the interface has 16 bits, then come 16 bits of losses.
    fn obsolete<'a>(&self, block: &'a [u8]) -> Option<Raw<'a>> {
        let [a, b, ..] = *block.get(8..)?.first_chunk::<4>()?;
        let interface = match self.big_endian {
            true => u16::from_be_bytes([a, b]),
            false => u16::from_le_bytes([a, b]),
        };
        let captured = usize::try_from(self.field(block, 20)).ok()?;
        Some(Raw {
            interface: interface.into(),
            ticks: Some(ticks(self.field(block, 12), self.field(block, 16))),
            data: block.get(28..block.len() - 4)?.get(..captured)?,
            length: self.field(block, 24),
        })
    }
}

/// What is wrong with a section header or the description of an interface.
enum Description {
    Bad(&'static str),
    Version { major: u16, minor: u16 },
}

impl Interface {
    /// The time of a stamp; never before 1970.
    fn time(&self, ticks: u64) -> Duration {
        let seconds = (ticks / self.ticks_per_second).saturating_add_signed(self.offset_seconds);
        let rest = u128::from(ticks % self.ticks_per_second) * 1_000_000_000;
        let nanoseconds = rest / u128::from(self.ticks_per_second);
        Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or(0))
    }

    /// The captured bytes of a simple packet, without its padding.
    fn simple<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        match usize::try_from(self.snap_length) {
            Ok(limit @ 1..) => data.get(..limit).unwrap_or(data),
            _ => data,
        }
    }
}

fn ticks(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The option if_tsresol: a negative power of ten, or of two with the highest bit set.
fn ticks_per_second(resolution: u8) -> Option<u64> {
    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(u32::from(resolution & 0x7f))
}

/// The type of the obsolete packet block.
const OPB_MAGIC: u32 = 2;

/// Type, length, and the length again.
const MIN_BLOCK: usize = 12;

const MAX_INTERFACES: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamps_have_any_resolution_and_offset() {
        for (resolution, ticks, offset, expected) in [
            (0, 7, 0, Duration::from_secs(7)),
            (6, 1_500_000, 0, Duration::from_millis(1500)),
            (9, 1_000_000_001, 10, Duration::new(11, 1)),
            (12, 2_000_000_000_999, 0, Duration::from_secs(2)),
            (0x80 | 10, 1536, -1, Duration::from_millis(500)),
            (6, 0, i64::MIN, Duration::ZERO),
        ] {
            let ticks_per_second = ticks_per_second(resolution).unwrap();
            let interface =
                Interface { link_type: 1, snap_length: 0, ticks_per_second, offset_seconds: offset };
            assert_eq!(interface.time(ticks), expected, "{resolution}");
        }
        assert_eq!(ticks_per_second(20), None);
        assert_eq!(ticks_per_second(0x80 | 64), None);
    }
}
