//! JSON lines to a file or to standard output.
//!
//! Keeps lines whole: a short write goes on where it stopped, in another file a torn line is
//! repeated from its start, and a file that ends inside a line gets the line's end first.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Sink;
use crate::audit::record::Record;

/// A file descriptor that takes bytes, and the batch that is being written to it.
#[derive(Debug)]
pub(in crate::audit) struct Stream {
    out: File,
    /// Where to open it anew; `None` for standard output.
    path: Option<PathBuf>,
    /// The lines of the batch; empty between batches.
    text: Vec<u8>,
    /// How many bytes of `text` are written.
    written: usize,
}

impl Stream {
    /// Appends to the file at `path`, made with mode 0640 if need be.
    pub(in crate::audit) fn file(path: &Path) -> io::Result<Self> {
        let out = open(path)?;
        end_line(path, &out)?;
        Ok(Self { out, path: Some(path.to_owned()), text: Vec::new(), written: 0 })
    }

    /// Writes to standard output, past the buffer of `std`, which would hide short writes.
    pub(in crate::audit) fn stdout() -> io::Result<Self> {
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { out, path: None, text: Vec::new(), written: 0 })
    }
}

impl Sink for Stream {
    fn write(&mut self, batch: &[Record]) -> io::Result<()> {
        if self.text.is_empty() {
            for record in batch {
                self.text.extend(record.json().as_bytes());
                self.text.push(b'\n');
            }
        }
        while let Some(rest) = self.text.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.out.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.text.clear();
        self.written = 0;
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let out = open(path)?;
        if !is_same(&self.out, &out)? {
            end_line(path, &out)?;
            self.out = out;
            self.written = line_start(&self.text, self.written);
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Where the line begins that `position` is in.
fn line_start(text: &[u8], position: usize) -> usize {
    let before = text.get(..position).unwrap_or_default();
    before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

/// Ends the last line of a file that a killed process left torn, lest the next record be lost with it.
fn end_line(path: &Path, mut out: &File) -> io::Result<()> {
    if is_torn(path, out).unwrap_or(false) {
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Whether the file ends inside a line. Needs a descriptor of its own, as `out` is for appending only.
fn is_torn(path: &Path, out: &File) -> io::Result<bool> {
    let metadata = out.metadata()?;
    let Some(last) = metadata.len().checked_sub(1).filter(|_| metadata.is_file()) else {
        return Ok(false);
    };
    let mut byte = [0];
    File::open(path)?.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::time::SystemTime;
    use std::{env, fs, process};

    use super::*;
    use crate::session::{Event, EventKind};

    /// A stream into a socket that takes part of [`batch`] and then refuses, like a full disk.
    fn narrow(path: Option<PathBuf>) -> (Stream, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let out = File::from(OwnedFd::from(near));
        (Stream { out, path, text: Vec::new(), written: 0 }, far)
    }

    fn batch() -> Vec<Record> {
        let record = |number: usize| {
            let mut event = Event::new(EventKind::PinholeClosed);
            event.transfer = Some(format!("RETR /{number}/{}", "x".repeat(4000)));
            Record::new(SystemTime::UNIX_EPOCH, None, event)
        };
        (0..200).map(record).collect()
    }

    fn text(batch: &[Record]) -> String {
        batch.iter().map(|record| record.json() + "\n").collect()
    }

    #[test]
    fn a_short_write_goes_on_where_it_stopped() {
        let (mut stream, mut far) = narrow(None);
        let batch = batch();
        let mut read = Vec::new();
        while stream.write(&batch).is_err() {
            let mut some = vec![0; 10_000];
            let count = far.read(&mut some).unwrap();
            read.extend(&some[..count]);
        }
        drop(stream);
        far.read_to_end(&mut read).unwrap();
        assert!(String::from_utf8(read).unwrap() == text(&batch));
    }

    #[test]
    fn a_reader_that_went_away_is_an_error() {
        let (mut stream, far) = narrow(None);
        drop(far);
        assert_eq!(stream.write(&batch()).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_torn_line_is_repeated_whole_in_another_file() {
        let path = env::temp_dir().join(format!("ftp-pinhole-torn-{}", process::id()));
        let (mut stream, _far) = narrow(Some(path.clone()));
        let batch = batch();
        assert!(stream.write(&batch).is_err());
        let torn = stream.written;
        assert!(torn > 0);

        stream.reopen().unwrap();
        stream.write(&batch).unwrap();
        let text = text(&batch);
        let start = text[..torn].rfind('\n').map_or(0, |end| end + 1);
        let written = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(written == text[start..]);
    }

    #[test]
    fn a_file_that_ends_inside_a_line_gets_its_end_first_and_only_once() {
        let path = env::temp_dir().join(format!("ftp-pinhole-end-{}", process::id()));
        fs::write(&path, "{\"ts\":").unwrap();
        let batch = batch();
        for _ in 0..2 {
            Stream::file(&path).unwrap().write(&batch).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(written == format!("{{\"ts\":\n{0}{0}", text(&batch)));
    }
}
