//! TLS records, as far as their ends go: where a stream that is encrypted becomes clear again (CCC).

/// The bytes before a record's payload: its type, its version and its length (RFC 8446 section 5.1).
const HEADER: usize = 5;

/// Follows the records of one direction without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Records {
    header: [u8; HEADER],
    /// How much of the header has come.
    read: usize,
    /// How much of the payload has not.
    left: usize,
}

impl Records {
    /// How many of `bytes` belong to records; what follows is clear. Text never begins like a record.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(&byte) = bytes.get(taken) {
            if self.left > 0 {
                let payload = self.left.min(bytes.len() - taken);
                self.left -= payload;
                taken += payload;
                continue;
            }
            if self.read == 0 && !is_type(byte) {
                break;
            }
            self.read_header(byte);
            taken += 1;
        }
        taken
    }

    fn read_header(&mut self, byte: u8) {
        if let Some(place) = self.header.get_mut(self.read) {
            *place = byte;
            self.read += 1;
        }
        if self.read == HEADER {
            let [.., high, low] = self.header;
            self.left = usize::from(u16::from_be_bytes([high, low]));
            self.read = 0;
        }
    }
}

/// change_cipher_spec to heartbeat.
fn is_type(byte: u8) -> bool {
    (20..=24).contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: &[u8] = b"\x16\x03\x01\x00\x03abc\x17\x03\x03\x00\x00\x15\x03\x03\x00\x02zz";

    #[test]
    fn the_end_of_the_records_is_found_however_the_stream_is_cut() {
        let stream = [RECORDS, b"PASV\r\n"].concat();
        for cut in 0..stream.len() {
            let (first, second) = stream.split_at(cut);
            let mut records = Records::default();
            let taken = records.take(first);
            assert_eq!(taken, cut.min(RECORDS.len()));
            if taken == first.len() {
                assert_eq!(records.take(second), RECORDS.len() - taken);
            }
        }
    }

    #[test]
    fn text_is_no_record() {
        for text in [&b"USER x\r\n"[..], b"227 ", b"\xff\xf4", b"\r\n", b"\x00"] {
            assert_eq!(Records::default().take(text), 0);
        }
    }
}
