//! What other systems post, taken in and kept before it is looked at: [`Intake`] for whoever has the route, and [`Emptying`],
//! the work that maps what lies in the inbox.
//!
//! A sender may hold its events in memory only, wait a second for the answer and drop them after minutes, as Stalwart does. So
//! a body is answered as soon as its sender has proved itself and its bytes are on the disk, whatever the log's own state is; a
//! worker maps it later.

mod bearer;
mod emptying;
mod inbox;
mod signature;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::HeaderName;
use http::header::AUTHORIZATION;
use tokio::sync::{Notify, Semaphore};

pub use bearer::{BearerToken, InvalidToken};
pub use emptying::{Emptying, Form};
pub use inbox::{Inbox, InboxLimits};
pub use signature::{Encoding, InvalidKey, SignatureKey};

/// The most bodies that are written to the disk at the same moment, and the most large ones that arrive; others wait.
const AT_ONCE: usize = 8;

/// How a sender proves that it may send.
#[derive(Debug, Clone)]
pub enum Proof {
    /// It signs each body.
    Signature(SignatureKey),
    /// It knows a token: `Authorization: Bearer …` (RFC 6750).
    Bearer(BearerToken),
    /// It is on this machine.
    Place,
}

/// Who sends, and how that is proved.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// What stands in [`Intake::header`].
    pub proof: Option<&'a [u8]>,
    /// The address at the other end of the connection, proxies looked through as far as they are trusted.
    pub peer: IpAddr,
    /// Whether somebody says to have passed the request on: then `peer` may be a proxy, and proves nothing.
    pub passed_on: bool,
}

/// The body is on the disk, and will be mapped. Answer 2xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub bytes: u64,
}

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    #[error("the body is not signed: {header} is missing; set the sender's signature key to the one that is configured here")]
    Unsigned { header: HeaderName },
    #[error("what stands in {header} is not the signature of the body; the keys on both sides must be the same")]
    WrongSignature { header: HeaderName },
    #[error("this source needs its bearer token in Authorization")]
    NoToken,
    #[error("this is not the source's bearer token")]
    WrongToken,
    #[error("no key and no token is configured here, so only this machine itself may send, and not through a proxy")]
    NotThisMachine,
    #[error("the body has more than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the inbox is full: {limit} bytes wait to be recorded")]
    Full { limit: u64 },
    #[error("the body broke off")]
    Broken,
    #[error("the inbox cannot be written to")]
    Disk(#[source] std::io::Error),
}

/// Takes the bodies of one source in. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    proof: Proof,
    inbox: Arc<Inbox>,
    wake: Arc<Notify>,
    large: Arc<Semaphore>,
    writing: Arc<Semaphore>,
}

impl Intake {
    /// `wake` is told of each body.
    pub fn new(proof: Proof, inbox: Arc<Inbox>, wake: Arc<Notify>) -> Self {
        let room = || Arc::new(Semaphore::new(AT_ONCE));
        Self { proof, inbox, wake, large: room(), writing: room() }
    }

    /// The header that proves who sends, if one does.
    pub fn header(&self) -> Option<&HeaderName> {
        match &self.proof {
            Proof::Signature(key) => Some(key.header()),
            Proof::Bearer(_) => Some(&AUTHORIZATION),
            Proof::Place => None,
        }
    }

    /// Where the bodies lie.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Takes one body in: durable when it returns. A signature is checked over the bytes as they came, a token before any of
    /// them is read; both in constant time.
    ///
    /// # Errors
    /// When it was not taken; nothing of it is kept then.
    pub async fn accept<S, E>(&self, sender: Sender<'_>, mut body: S) -> Result<Accepted, Refused>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let mut check = match &self.proof {
            Proof::Signature(key) => {
                let header = || key.header().clone();
                let signature = sender.proof.ok_or_else(|| Refused::Unsigned { header: header() })?;
                Some(key.check(signature).ok_or_else(|| Refused::WrongSignature { header: header() })?)
            }
            Proof::Bearer(token) => {
                let matches = token.matches(sender.proof.ok_or(Refused::NoToken)?);
                if !matches {
                    return Err(Refused::WrongToken);
                }
                None
            }
            Proof::Place if sender.passed_on || !sender.peer.to_canonical().is_loopback() => {
                return Err(Refused::NotThisMachine);
            }
            Proof::Place => None,
        };
        // Never closed.
        let place = |room: &Arc<Semaphore>| Arc::clone(room).acquire_owned();
        let mut large = None;
        let mut arriving = self.inbox.begin();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| Refused::Broken)?;
            if let Some(check) = &mut check {
                check.update(&piece);
            }
            // Who drips a large body holds up other large ones only.
            if large.is_none() && !arriving.fits_in_memory(&piece) {
                large = Some(place(&self.large).await.map_err(|_| Refused::Broken)?);
            }
            arriving.write(&piece).await?;
        }
        if let (Some(check), Proof::Signature(key)) = (check, &self.proof)
            && !check.verifies()
        {
            return Err(Refused::WrongSignature { header: key.header().clone() });
        }
        let _place = place(&self.writing).await.map_err(|_| Refused::Broken)?;
        let bytes = arriving.keep().await?;
        self.wake.notify_one();
        Ok(Accepted { bytes })
    }
}
