//! The grammar of the control connection: lines, commands, replies and the addresses inside them.
//!
//! Pure functions and small state machines over bytes; no policy, no session state. Strict by
//! default: what two parsers could read differently is refused, not repaired. Used by `policy` and
//! `session`. RFC 959, 1123, 2389, 2428, 2640, 3659, 5797.

mod command;
mod host_port;
mod line;
mod records;
mod reply;
mod text;
mod verb;

pub use command::{Command, CommandError};
pub use host_port::{
    AddressError, EpsvArgument, emit_227, emit_229, emit_eprt, emit_port, parse_227, parse_229, parse_eprt,
    parse_epsv_argument, parse_port,
};
pub use line::{LineEvent, LineFault, LineReader};
pub use records::Records;
pub use reply::{Reply, ReplyCode, ReplyError, ReplyEvent, ReplyReader};
pub use text::{emit_line, printable};
pub use verb::{Access, Argument, Transfer, Verb};
