//! An object while it is read: fetched ahead by a task, a few pieces at most, taken by a thread that may block.

use std::io::{self, Read};
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use crate::bucket::Bucket;

/// Pieces that wait for the reader; each is what the connection gave at once, some hundred kilobytes at most.
const AHEAD: usize = 8;
/// So often in a row a download that broke off is begun again without a byte of progress.
const RESUMPTIONS: u32 = 3;

/// The content of an object. It ends with an error unless as many bytes came as were announced.
///
/// Read it on a thread that may block, while the runtime that it came from goes on. Dropping it ends the download.
#[derive(Debug)]
pub struct Object {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
    left: u64,
    length: u64,
}

impl Object {
    /// The number of bytes that were announced.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Begins to fetch what `first` announced.
    pub(crate) fn fetch(bucket: Bucket, key: String, first: GetObjectOutput, length: u64) -> Self {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let download = Download { bucket, key, tag: first.e_tag, at: 0, length, sender };
        tokio::spawn(download.run(first.body));
        Self { pieces, piece: Bytes::new(), left: length, length }
    }
}

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            if self.left == 0 {
                return Ok(0);
            }
            // Nothing more comes after an error, nor once the runtime is gone.
            let gone = || Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the download broke off"));
            self.piece = self.pieces.blocking_recv().unwrap_or_else(gone)?;
            self.left = self.left.checked_sub(self.piece.len() as u64).ok_or_else(too_long)?;
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

struct Download {
    bucket: Bucket,
    key: String,
    /// Which content it is that is fetched.
    tag: Option<String>,
    at: u64,
    length: u64,
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Download {
    async fn run(mut self, mut body: ByteStream) {
        let mut broken = 0;
        while self.at < self.length {
            let failed = match tokio::time::timeout(self.patience(), body.next()).await {
                Ok(Some(Ok(piece))) => {
                    broken = 0;
                    self.at += piece.len() as u64;
                    if self.sender.send(Ok(piece)).await.is_err() {
                        return;
                    }
                    continue;
                }
                Ok(Some(Err(error))) => io::Error::new(io::ErrorKind::ConnectionAborted, error),
                Ok(None) => io::Error::new(io::ErrorKind::ConnectionAborted, "the object broke off"),
                Err(_) => io::Error::new(io::ErrorKind::TimedOut, "nothing came for too long"),
            };
            broken += 1;
            let resumed = if broken > RESUMPTIONS { Err(failed) } else { self.resume().await };
            match resumed {
                Ok(rest) => body = rest,
                Err(error) => {
                    // Nobody may be left who wants to know.
                    drop(self.sender.send(Err(error)).await);
                    return;
                }
            }
        }
    }

    /// What is left, of the same content.
    async fn resume(&self) -> io::Result<ByteStream> {
        let rest = self.bucket.rest_of(&self.key, self.at, self.tag.as_deref()).await.map_err(io::Error::other)?;
        let range = rest.content_range.as_deref().unwrap_or_default();
        if !range.starts_with(&format!("bytes {}-", self.at)) {
            return Err(io::Error::other("the download broke off, and the server does not continue where it ended"));
        }
        Ok(rest.body)
    }

    fn patience(&self) -> Duration {
        self.bucket.settings().timeout
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "more bytes came than were announced")
}
