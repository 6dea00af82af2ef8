//! Capture files: frames out of them, and packets into them.
//!
//! Reads pcap and pcapng, plain or gzip, from a file or standard input, in bounded memory and without
//! copying a frame twice. Writes pcapng. Does not look into frames and knows no connection; `packet` and
//! `stream` do. Used by the commands that read captures. The formats: draft-ietf-opsawg-pcap and
//! draft-ietf-opsawg-pcapng.

mod conversation;
mod error;
mod frame;
mod pcap;
mod pcapng;
mod reader;
mod source;
mod window;
mod writer;

pub use conversation::{Conversation, Speaker};
pub use error::CaptureError;
pub use frame::Frame;
pub use reader::Reader;
pub use writer::Writer;
