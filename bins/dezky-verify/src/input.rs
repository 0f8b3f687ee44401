//! Files and standard input, plain or gzip, with a progress bar when a person watches.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};

/// Files other than events are read whole; none of them is larger.
pub(crate) const MAX_SMALL_FILE: u64 = 8 << 20;

/// Reads a small file whole.
pub(crate) fn read_small(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(MAX_SMALL_FILE + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(bytes.len() as u64 <= MAX_SMALL_FILE, "{} has more than 8 MiB: it is not what it should be", path.display());
    Ok(bytes)
}

/// Opens lines of events; `-` is standard input. Gzip is detected by its first bytes.
pub(crate) fn open_lines(path: &Path, progress: &ProgressBar) -> Result<Box<dyn BufRead + Send>> {
    let raw: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let metadata = file.metadata().with_context(|| format!("cannot look at {}", path.display()))?;
        ensure!(!metadata.is_dir(), "{} is a folder; an archive is verified by 'dezky-verify archive'", path.display());
        progress.set_length(metadata.len());
        Box::new(file)
    };
    let mut raw = BufReader::with_capacity(1 << 20, progress.wrap_read(raw));
    let head = raw.fill_buf().with_context(|| format!("cannot read {}", path.display()))?;
    if head.starts_with(&[0x1F, 0x8B]) {
        return Ok(Box::new(BufReader::with_capacity(1 << 20, MultiGzDecoder::new(raw))));
    }
    Ok(Box::new(raw))
}

/// A bar on standard error when that is a terminal, else nothing.
pub(crate) fn progress(length: u64, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

/// Whole lines, a chunk at a time.
pub(crate) struct Chunks<R> {
    reader: R,
    ended: bool,
}

/// Some lines of a file, each with its LF but perhaps the last of all.
pub(crate) enum Chunk {
    Lines(Vec<u8>),
    /// The compressed data breaks off or is broken here.
    Broken,
    Failed(io::Error),
}

const CHUNK: usize = 1 << 20;
/// A line that never ends is cut into what no event can be.
const MAX_CHUNK: usize = 4 << 20;

impl<R: BufRead> Chunks<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, ended: false }
    }

    fn fill(&mut self, chunk: &mut Vec<u8>) -> io::Result<()> {
        self.reader.by_ref().take(CHUNK as u64).read_to_end(chunk)?;
        if chunk.last().is_some_and(|byte| *byte != b'\n') {
            let room = (MAX_CHUNK - chunk.len()) as u64;
            self.reader.by_ref().take(room).read_until(b'\n', chunk)?;
        }
        Ok(())
    }
}

impl<R: BufRead> Iterator for Chunks<R> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        if self.ended {
            return None;
        }
        let mut chunk = Vec::with_capacity(CHUNK + 4_096);
        match self.fill(&mut chunk) {
            Ok(()) if chunk.is_empty() => None,
            Ok(()) => Some(Chunk::Lines(chunk)),
            Err(error) => {
                self.ended = true;
                let broken = matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
                );
                Some(if broken { Chunk::Broken } else { Chunk::Failed(error) })
            }
        }
    }
}
