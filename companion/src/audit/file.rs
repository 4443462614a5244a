//! The log's file: whole lines, synced, and never a half one behind a good one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How much of the end is read back at start to recognise repeats.
const TAIL_BYTES: u64 = 32 << 20;

/// An append-only file of lines.
pub(super) struct LogFile {
    file: File,
    /// Everything before it is acknowledged and synced.
    end: u64,
    /// After a failed fsync the system may have dropped the pages and report success the next time: nothing that this
    /// process writes can be promised any more.
    broken: bool,
}

impl LogFile {
    /// Opens or creates the file and cuts off what stands behind the last line feed; returns how much that was.
    pub(super) fn open(path: &Path) -> io::Result<(Self, u64)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        // Two writers would tear each other's lines.
        file.try_lock()?;
        let length = file.seek(SeekFrom::End(0))?;
        let end = last_line_end(&mut file, length)?;
        if end < length {
            file.set_len(end)?;
        }
        file.sync_all()?;
        // The name must survive as well as the bytes.
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            File::open(directory)?.sync_all()?;
        }
        file.seek(SeekFrom::Start(end))?;
        let broken = false;
        Ok((Self { file, end, broken }, length - end))
    }

    /// The newest whole lines.
    pub(super) fn tail(path: &Path) -> io::Result<Vec<String>> {
        let mut file = File::open(path)?;
        let length = file.seek(SeekFrom::End(0))?;
        let from = length.saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // The first line is cut unless the whole file was read.
        let skip = usize::from(from > 0);
        Ok(text.lines().skip(skip).map(str::to_owned).collect())
    }

    /// The oldest line, if there is a whole one.
    pub(super) fn first_line(path: &Path) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        io::BufRead::read_until(&mut io::BufReader::new(File::open(path)?), b'\n', &mut line)?;
        let text = line
            .strip_suffix(b"\n")
            .map(|line| String::from_utf8_lossy(line).into_owned());
        Ok(text)
    }

    /// Its size in bytes.
    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// Writes lines and syncs them. After an error none of them is in the file, or the log stays broken.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier sync failed; restart the companion"));
        }
        if let Err(error) = self.file.write_all(lines) {
            // Disk full, for one: take back the half line, so that the next record starts on a line of its own.
            self.broken = self.rewind().is_err();
            return Err(error);
        }
        if let Err(error) = self.file.sync_data() {
            self.broken = true;
            return Err(error);
        }
        self.end += lines.len() as u64;
        Ok(())
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.sync_data()
    }
}

/// The offset behind the last line feed, found from the back.
fn last_line_end(file: &mut File, length: u64) -> io::Result<u64> {
    const BLOCK: u64 = 4096;
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        Read::by_ref(file).take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|&b| b == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
impl LogFile {
    /// Fault injection: a handle that cannot be written to, as on a file system that went read-only.
    pub(super) fn unwritable(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
            end: 0,
            broken: false,
        })
    }
}
