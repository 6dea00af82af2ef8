//! Where the bytes of a capture come from: a file or standard input, gzip or not.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

/// Uncompressed bytes.
pub(super) type Source = Box<dyn Read + Send>;

/// Counts what is read through it, for a progress bar.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.count.fetch_add(bytes.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(bytes)
    }
}

/// Opens `path`, or standard input for `-`; the size in bytes is known for a regular file.
pub(super) fn open(path: &Path) -> io::Result<(Source, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path)?;
    let size = file.metadata().ok().filter(|file| file.is_file()).map(|file| file.len());
    Ok((Box::new(file), size))
}

/// The bytes of `raw`, uncompressed if they are gzip, and a count of those read from `raw`.
pub(super) fn uncompressed(raw: Source) -> io::Result<(Source, Arc<AtomicU64>)> {
    let count = Arc::new(AtomicU64::new(0));
    let mut raw = Counted { inner: raw, count: Arc::clone(&count) };
    let mut magic = Vec::new();
    raw.by_ref().take(2).read_to_end(&mut magic)?;
    let is_gzip = magic == [0x1f, 0x8b];
    let whole = Cursor::new(magic).chain(raw);
    match is_gzip {
        true => Ok((Box::new(MultiGzDecoder::new(whole)), count)),
        false => Ok((Box::new(whole), count)),
    }
}
