//! A file as the body of a request: read from its beginning at every attempt, a piece at a time.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

/// What is read at once.
const PIECE: u64 = 256 << 10;

/// The first `length` bytes of a file, which must not change meanwhile. Where the file stands does not matter.
pub(crate) fn of_file(file: Arc<File>, length: u64) -> ByteStream {
    let again = move || SdkBody::from_body_1_x(FileBody { file: Arc::clone(&file), at: 0, length, reading: None });
    ByteStream::new(SdkBody::retryable(again))
}

struct FileBody {
    file: Arc<File>,
    at: u64,
    length: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let body = self.get_mut();
        let left = body.length.saturating_sub(body.at);
        if left == 0 {
            return Poll::Ready(None);
        }
        let reading = body.reading.get_or_insert_with(|| {
            let (file, at) = (Arc::clone(&body.file), body.at);
            tokio::task::spawn_blocking(move || piece(&file, at, left.min(PIECE)))
        });
        let read = ready!(Pin::new(reading).poll(context));
        body.reading = None;
        let read = read.unwrap_or_else(|_| Err(io::Error::other("the program is ending")));
        if let Ok(bytes) = &read {
            body.at += bytes.len() as u64;
        }
        Poll::Ready(Some(read.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.length
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length.saturating_sub(self.at))
    }
}

fn piece(file: &File, at: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes.into())
}
