//! OCIS's event bus: a durable pull consumer of our own on the JetStream stream `main-queue`.
//!
//! Messages are acknowledged after they are durable in the log, all that came before one with it. A stream that was made anew
//! counts its messages from one again: it is noticed by the time at which it was created, and said.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::{self, Message};
use async_nats::{ConnectErrorKind, ServerAddr};
use async_trait::async_trait;
use dezky_audit_core::source::ocis;
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;

use crate::cursor::Cursor;
use crate::delivery::Delivery;
use crate::problem::Problem;
use crate::worker::{Progress, Work};

/// The cursor's name in the store.
pub const CURSOR: &str = "ingest/ocis-bus";
/// The stream, and its only subject.
pub const STREAM: &str = "main-queue";
/// OCIS's own consumers are called like its services; this one is nobody else's.
pub const CONSUMER: &str = "dezky-audit";
/// The most messages that are fetched at once.
const BATCH: usize = 500;
/// The most bytes of them.
const BATCH_BYTES: usize = 16 << 20;
/// When the server gives a message out again that was not acknowledged: longer than recording a batch takes.
const ACK_WAIT: Duration = Duration::from_secs(300);
/// How long the server may take to say what it has; it need not wait for news.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the bus is, and who we are there. Never shown.
#[derive(Clone)]
pub struct BusSettings {
    address: ServerAddr,
    user_and_password: Option<(String, String)>,
}

/// `OCIS_NATS_URL` is no address of a bus. It does not repeat it: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBusUrl {
    #[error("no address of an event bus, such as nats://127.0.0.1:9233 or tls://bus.example.eu:9233")]
    Form,
    #[error("the address names a user, and so does another setting; set one of them")]
    TwoUsers,
}

impl BusSettings {
    /// `nats://host:9233` or `tls://…`; by default nobody is asked who they are. A user and password may stand in the address.
    ///
    /// # Errors
    /// When it is no such address.
    pub fn new(url: &str, user_and_password: Option<(String, String)>) -> Result<Self, InvalidBusUrl> {
        let address: ServerAddr = url.parse().map_err(|_| InvalidBusUrl::Form)?;
        if !matches!(address.scheme(), "nats" | "tls") || address.host().is_empty() {
            return Err(InvalidBusUrl::Form);
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let in_address = address.username().map(|user| (decoded(user), decoded(address.password().unwrap_or_default())));
        let user_and_password = match (in_address, user_and_password) {
            (Some(_), Some(_)) => return Err(InvalidBusUrl::TwoUsers),
            (in_address, given) => in_address.or(given),
        };
        Ok(Self { address, user_and_password })
    }
}

impl fmt::Debug for BusSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BusSettings(…)")
    }
}

/// Reads the bus.
pub struct Bus {
    delivery: Delivery,
    cursor: Cursor,
    consumer: PullConsumer,
    /// When the stream was created, in seconds since 1970: names it among its successors.
    created: i64,
}

impl Bus {
    /// Connects, and finds the consumer or makes it, to begin behind what was read before.
    ///
    /// # Errors
    /// When the server, the stream or the store does not answer.
    pub async fn resume(delivery: Delivery, settings: &BusSettings) -> Result<Self, Problem> {
        let mut cursor = Cursor::load(Arc::clone(delivery.log.store()), CURSOR).await?;
        let mut options = async_nats::ConnectOptions::new().name("dezky-audit").max_reconnects(1);
        if let Some((user, password)) = settings.user_and_password.clone() {
            options = options.user_and_password(user, password);
        }
        let client = options.connect(settings.address.clone()).await.map_err(|error| match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => Problem::new(
                "the event bus of OCIS does not know us",
                "set ocis.nats_user and ocis.nats_password_file to what its server asks for",
            ),
            _ => Problem::new(
                format!("the event bus of OCIS cannot be reached: {error}"),
                "look at OCIS_NATS_URL; OCIS listens on 127.0.0.1:9233 unless NATS_NATS_HOST says otherwise",
            ),
        })?;
        let context = jetstream::new(client);
        let stream = context.get_stream(STREAM).await.map_err(|error| {
            Problem::new(
                format!("there is no stream {STREAM}: {error}"),
                "OCIS makes it when its first service starts; is this its NATS server?",
            )
        })?;
        let created = stream.cached_info().created.unix_timestamp();
        let mut known = cursor.value().and_then(|value| value.split_once(':'));
        if known.is_some_and(|(known, _)| known != created.to_string()) {
            let message = format!("the stream {STREAM} was made anew; messages of the old one that were not read are gone");
            tracing::warn!("{message}");
            delivery.health.held().warning = Some(message);
            cursor.move_to(format!("{created}:0")).await?;
            known = None;
        }
        let read = known.and_then(|(_, sequence)| sequence.parse::<u64>().ok()).unwrap_or(0);
        let config = Config {
            durable_name: Some(CONSUMER.to_owned()),
            description: Some("the audit log reads here".to_owned()),
            filter_subject: STREAM.to_owned(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: read + 1 },
            ack_policy: AckPolicy::All,
            ack_wait: ACK_WAIT,
            ..Config::default()
        };
        let failed = |error: &dyn fmt::Display| {
            Problem::new(
                format!("the consumer {CONSUMER} cannot be made: {error}"),
                "one with other settings may be there; remove it with `nats consumer rm`",
            )
        };
        let mut consumer = stream.get_or_create_consumer(CONSUMER, config.clone()).await.map_err(|error| failed(&error))?;
        // What a process had taken that died would come again minutes later only.
        if consumer.cached_info().num_ack_pending > 0 {
            stream.delete_consumer(CONSUMER).await.map_err(|error| failed(&error))?;
            consumer = stream.create_consumer(config).await.map_err(|error| failed(&error))?;
        }
        Ok(Self { delivery, cursor, consumer, created })
    }
}

#[async_trait]
impl Work for Bus {
    async fn round(&mut self) -> Result<Progress, Problem> {
        let broken = |error: &dyn fmt::Display| Problem::new(format!("the event bus broke off: {error}"), "");
        let fetch = async {
            let batch = self.consumer.fetch().max_messages(BATCH).max_bytes(BATCH_BYTES).messages().await;
            let mut batch = batch.map_err(|error| broken(&error))?;
            let mut messages: Vec<Message> = Vec::new();
            while let Some(message) = batch.next().await {
                messages.push(message.map_err(|error| broken(&error))?);
            }
            Ok::<_, Problem>(messages)
        };
        // A consumer that is gone never answers.
        let messages = tokio::time::timeout(PATIENCE, fetch).await.map_err(|_| broken(&"the consumer does not answer"))??;
        let Some(last) = messages.last() else {
            // Whether it is quiet, or gone.
            let info = self.consumer.info().await.map_err(|error| broken(&error))?;
            self.delivery.health.held().waiting = Some(info.num_pending);
            return Ok(Progress::CaughtUp);
        };
        let place =
            |message: &Message| message.info().map(|info| (info.stream_sequence, info.pending)).map_err(|error| broken(&error));
        let (sequence, pending) = place(last)?;
        let mut mapped = Vec::with_capacity(messages.len());
        for message in &messages {
            let id = format!("{STREAM}:{}:{}", self.created, place(message)?.0);
            mapped.push(ocis::map_message(&message.payload, &id, self.delivery.key()));
        }
        self.delivery.deliver(mapped).await?;
        self.cursor.move_to(format!("{}:{sequence}", self.created)).await?;
        // With it all before it; the server's word that it knows.
        last.double_ack().await.map_err(|error| broken(&error))?;
        let mut health = self.delivery.health.held();
        health.waiting = Some(pending);
        self.cursor.value().unwrap_or_default().clone_into(&mut health.cursor);
        Ok(Progress::More)
    }
}
