//! What the driver's errors mean to a caller, in words that say what to do.

use mongodb::error::{Error, ErrorKind, WriteFailure};

use crate::error::StoreError;

/// A key that is there already.
const DUPLICATE_KEY: i32 = 11_000;
const UNAUTHORIZED: i32 = 13;
const AUTHENTICATION_FAILED: i32 = 18;
/// Cut off by its time limit.
const MAX_TIME_EXPIRED: i32 = 50;
/// Documents above 16 MB.
const TOO_LARGE: [i32; 4] = [10_334, 17_419, 17_420, 10_003];
/// An index of that name or those fields is another one.
const OTHER_INDEX: [i32; 2] = [85, 86];

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let what = match &*error.kind {
            // The driver tells it in words only, and as if there were no server.
            ErrorKind::ServerSelection { message, .. } if message.contains("wire version") => {
                return Self::refused(format!("the server of MONGODB_URI is too old, or too new: {message}"));
            }
            ErrorKind::ServerSelection { .. } => {
                "no MongoDB server that can be written to answers; see that it runs and that MONGODB_URI names it (host, port, tls, replicaSet)"
            }
            ErrorKind::DnsResolve { .. } => "the host names of MONGODB_URI cannot be resolved",
            ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => "the connection to MongoDB broke",
            ErrorKind::Shutdown => "it was closed",
            ErrorKind::Authentication { message, .. } => return refused_user(message),
            ErrorKind::InvalidArgument { message, .. } | ErrorKind::InvalidTlsConfig { message, .. } => {
                return Self::refused(format!("MONGODB_URI or a request cannot be used: {message}"));
            }
            ErrorKind::BsonDeserialization(_) | ErrorKind::Bson(_) | ErrorKind::InvalidResponse { .. } => {
                return Self::Corrupt { what: "a document is not as it was written".to_owned(), source: Some(Box::new(error)) };
            }
            _ => match code(&error) {
                Some((UNAUTHORIZED, message)) => {
                    return Self::refused(format!(
                        "the user of MONGODB_URI lacks a right: {message}; give it the role 'readWrite' on this database"
                    ));
                }
                Some((AUTHENTICATION_FAILED, message)) => return refused_user(&message),
                Some((MAX_TIME_EXPIRED, _)) => "MongoDB took too long",
                Some((number, message)) if TOO_LARGE.contains(&number) => {
                    return Self::refused(format!("larger than a document of MongoDB may be: {message}"));
                }
                Some((number, message)) if OTHER_INDEX.contains(&number) => {
                    return Self::refused(format!("an index is not as it must be: {message}; drop it and start again"));
                }
                _ => "MongoDB could not do it now",
            },
        };
        Self::Unavailable { what, source: Some(Box::new(error)) }
    }
}

fn refused_user(message: &str) -> StoreError {
    StoreError::refused(format!("MongoDB does not accept the user or the password of MONGODB_URI: {message}"))
}

/// The server's code, where it gave one.
fn code(error: &Error) -> Option<(i32, String)> {
    match &*error.kind {
        ErrorKind::Command(command) => Some((command.code, command.message.clone())),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some((write.code, write.message.clone())),
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => Some((concern.code, concern.message.clone())),
        ErrorKind::InsertMany(many) => {
            let write = many.write_errors.as_ref()?.first()?;
            Some((write.code, write.message.clone()))
        }
        _ => None,
    }
}

/// Whether a key was there already.
pub(super) fn is_duplicate(error: &Error) -> bool {
    code(error).is_some_and(|(code, _)| code == DUPLICATE_KEY)
}

/// What became of one ordered insert.
#[derive(Debug)]
pub(super) enum Sent {
    All,
    /// Those before this one were written, with the write concern asked for; its key is there already.
    Duplicate(usize),
    /// It cannot have reached a server.
    Nothing(Error),
    /// Some, all or none of it was or will be written.
    Unknown,
}

impl Sent {
    pub(super) fn of(result: Result<(), Error>) -> Self {
        let Err(error) = result else { return Self::All };
        match &*error.kind {
            ErrorKind::InsertMany(many) if many.write_concern_error.is_none() => {
                let first = many.write_errors.iter().flatten().min_by_key(|write| write.index);
                match first {
                    Some(write) if write.code == DUPLICATE_KEY => Self::Duplicate(write.index),
                    _ => Self::Unknown,
                }
            }
            ErrorKind::ServerSelection { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::Authentication { .. }
            | ErrorKind::InvalidArgument { .. }
            | ErrorKind::InvalidTlsConfig { .. }
            | ErrorKind::IncompatibleServer { .. }
            | ErrorKind::Shutdown => Self::Nothing(error),
            ErrorKind::Command(command) if command.code == UNAUTHORIZED => Self::Nothing(error),
            _ => Self::Unknown,
        }
    }
}
