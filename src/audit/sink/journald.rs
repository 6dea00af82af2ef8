//! Records to the systemd journal, in its native protocol: one datagram per record.
//!
//! The socket is addressed anew for each datagram, so that a journal that restarted is found again.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::Sink;
use crate::audit::record::Record;

/// Where the journal listens.
pub const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// The journal, and how far it took the present batch.
#[derive(Debug)]
pub(in crate::audit) struct Journald {
    socket: UnixDatagram,
    path: PathBuf,
    /// Records of the batch that were sent.
    sent: usize,
}

impl Journald {
    /// Makes sure that somebody listens at `path`.
    pub(in crate::audit) fn connect(path: &Path) -> io::Result<Self> {
        UnixDatagram::unbound()?.connect(path)?;
        Ok(Self { socket: UnixDatagram::unbound()?, path: path.to_owned(), sent: 0 })
    }
}

impl Sink for Journald {
    fn write(&mut self, batch: &[Record]) -> io::Result<()> {
        for record in batch.iter().skip(self.sent) {
            self.socket.send_to(&datagram(record), &self.path)?;
            self.sent += 1;
        }
        self.sent = 0;
        Ok(())
    }
}

fn datagram(record: &Record) -> Vec<u8> {
    let mut fields = Vec::with_capacity(1024);
    push(&mut fields, "MESSAGE", &record.json());
    push(&mut fields, "PRIORITY", "6");
    push(&mut fields, "SYSLOG_IDENTIFIER", "ftp-pinhole");
    push(&mut fields, "FTP_PINHOLE_EVENT", record.event.kind.name());
    if let Some(context) = &record.context {
        push(&mut fields, "FTP_PINHOLE_SESSION", &context.session.to_string());
        push(&mut fields, "FTP_PINHOLE_SERVICE", &context.service);
    }
    fields
}

/// Adds one field. A value with a line end takes the form with a length, or it could forge fields.
fn push(fields: &mut Vec<u8>, name: &str, value: &str) {
    fields.extend(name.as_bytes());
    if value.contains('\n') {
        fields.push(b'\n');
        let length = u64::try_from(value.len()).expect("a length in memory fits 64 bits");
        fields.extend(length.to_le_bytes());
    } else {
        fields.push(b'=');
    }
    fields.extend(value.as_bytes());
    fields.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_a_value_with_a_line_end_cannot_forge_a_field() {
        let mut fields = Vec::new();
        push(&mut fields, "A", "b\nPRIORITY=0");
        assert_eq!(fields, b"A\n\x0c\0\0\0\0\0\0\0b\nPRIORITY=0\n");
    }
}
