//! OCIS's event bus: a durable pull consumer of our own on the JetStream stream `main-queue`.
//!
//! Messages are acknowledged after they are durable in the log, all that came before one with it. A stream that was made anew
//! counts its messages from one again: it is noticed by the time at which it was created, and said.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::{self, Message};
use async_trait::async_trait;
use dezky_audit_core::source::ocis;
use futures_util::StreamExt;

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

/// Who may read the bus; by default nobody is asked.
#[derive(Clone, Default)]
pub struct BusSettings {
    /// `OCIS_NATS_URL`: `nats://host:9233` or `tls://…`.
    pub url: String,
    pub user_and_password: Option<(String, String)>,
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
    /// Connects, and finds the consumer or makes it, to begin with the oldest message that is still there.
    ///
    /// # Errors
    /// When the server, the stream or the store does not answer.
    pub async fn resume(delivery: Delivery, settings: &BusSettings) -> Result<Self, Problem> {
        let mut cursor = Cursor::load(Arc::clone(delivery.log.store()), CURSOR).await?;
        let mut options = async_nats::ConnectOptions::new().name("dezky-audit").max_reconnects(1);
        if let Some((user, password)) = settings.user_and_password.clone() {
            options = options.user_and_password(user, password);
        }
        let unreachable = |error: &dyn std::fmt::Display| {
            Problem::new(
                format!("the event bus of OCIS cannot be reached: {error}"),
                "look at OCIS_NATS_URL; OCIS listens on 127.0.0.1:9233 unless NATS_NATS_HOST says otherwise",
            )
        };
        let client = options.connect(&settings.url).await.map_err(|error| unreachable(&error))?;
        let context = jetstream::new(client);
        let stream = context.get_stream(STREAM).await.map_err(|error| {
            Problem::new(
                format!("there is no stream {STREAM}: {error}"),
                "OCIS makes it when its first service starts; is this its NATS server?",
            )
        })?;
        let created = stream.cached_info().created.unix_timestamp();
        let config = Config {
            durable_name: Some(CONSUMER.to_owned()),
            description: Some("the audit log reads here".to_owned()),
            filter_subject: STREAM.to_owned(),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::All,
            ack_wait: ACK_WAIT,
            ..Config::default()
        };
        let consumer = stream.get_or_create_consumer(CONSUMER, config).await.map_err(|error| {
            Problem::new(
                format!("the consumer {CONSUMER} cannot be made: {error}"),
                "one with other settings may be there; remove it with `nats consumer rm`",
            )
        })?;
        if let Some(known) = cursor.value().and_then(|value| value.split(':').next())
            && known != created.to_string()
        {
            let message = format!("the stream {STREAM} was made anew; messages of the old one that were not read are gone");
            tracing::warn!("{message}");
            delivery.health.held().warning = Some(message);
            cursor.move_to(format!("{created}:0")).await?;
        }
        Ok(Self { delivery, cursor, consumer, created })
    }
}

#[async_trait]
impl Work for Bus {
    async fn round(&mut self) -> Result<Progress, Problem> {
        let broken = |error: &dyn std::fmt::Display| Problem::new(format!("the event bus broke off: {error}"), "");
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
