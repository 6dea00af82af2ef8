//! What can be wrong with a capture.

use std::io;

/// Why a capture cannot be read, or read on.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened, or reading failed.
    #[error("cannot read the capture")]
    Read(#[from] io::Error),
    /// There is not one byte.
    #[error("the capture is empty")]
    Empty,
    /// The first bytes are those of no capture format.
    #[error("not a capture: it begins with {}, neither pcap nor pcapng", hex(.0))]
    NotACapture(Vec<u8>),
    /// A version of the format that does not exist yet, or not any more.
    #[error("{format} version {major}.{minor} is not supported")]
    Version {
        /// `pcap` or `pcapng`.
        format: &'static str,
        /// The major version.
        major: u16,
        /// The minor version.
        minor: u16,
    },
    /// A block or record contradicts itself; what follows cannot be found.
    #[error("broken at byte {offset}: {what}")]
    Broken {
        /// Where the block begins, in bytes from the start of the uncompressed capture.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A block or record is longer than any that is worth holding in memory.
    #[error("the block at byte {offset} has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// Where the block begins, in bytes from the start of the uncompressed capture.
        offset: u64,
        /// Its length in bytes.
        bytes: usize,
        /// The longest that is read, in bytes.
        limit: usize,
    },
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
