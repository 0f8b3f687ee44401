//! From a URI to an open store.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use dezky_audit_core::ids::Origin;
use mongodb::bson::doc;
use mongodb::options::{
    Acknowledgment, ClientOptions, DatabaseOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::{Client, Database};
use tokio::sync::Mutex;

use super::append::Side;
use super::value::{number, text};
use super::{MongoOptions, MongoStore};
use crate::error::StoreError;
use crate::identity::Identity;

/// The schema that this program writes.
const SCHEMA: u64 = 1;
const DEFAULT_DATABASE: &str = "dezky_audit";

pub(super) async fn open(uri: &str, identity: Identity, options: MongoOptions) -> Result<MongoStore, StoreError> {
    let mut client_options = ClientOptions::parse(uri).await?;
    client_options.server_selection_timeout.get_or_insert(options.server_selection);
    client_options.app_name.get_or_insert_with(|| "dezky-audit".to_owned());
    let preference = client_options.selection_criteria.clone();
    let client = Client::with_options(client_options)?;
    let named = client.default_database().map(|database| database.name().to_owned());
    let name = options.database.or(named).unwrap_or_else(|| DEFAULT_DATABASE.to_owned());

    let hello = client.database("admin").run_command(doc! { "hello": 1 }).await?;
    let replicated = hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    let primary = certain(&client, &name, replicated);
    let mut listing = DatabaseOptions::default();
    listing.selection_criteria = preference;
    let lists = client.database_with_options(&name, listing);
    let mut store = MongoStore {
        origin: match &identity {
            Identity::Given(origin) | Identity::Otherwise(origin) => origin.clone(),
        },
        client,
        primary,
        lists,
        answer: options.answer,
        closed: AtomicBool::new(false),
        waiting: AtomicUsize::new(0),
        concern: if replicated {
            doc! { "w": "majority", "j": true }
        } else {
            doc! { "j": true }
        },
        adopted: AtomicBool::new(false),
        turns: super::turns::Turns::new(),
        streams: super::streams::Streams::default(),
        side: Mutex::new(Side::default()),
    };
    store.origin = store.settle_identity(identity).await?;
    store.create_indexes().await?;
    store.look_for_adopted().await?;
    Ok(store)
}

/// Reads and writes that a majority knows, or, without a replica set, the one server's journal.
fn certain(client: &Client, name: &str, replicated: bool) -> Database {
    let mut concern = WriteConcern::default();
    concern.journal = Some(true);
    let mut options = DatabaseOptions::default();
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    if replicated {
        concern.w = Some(Acknowledgment::Majority);
        options.read_concern = Some(ReadConcern::majority());
    }
    options.write_concern = Some(concern);
    client.database_with_options(name, options)
}

impl MongoStore {
    /// The log's origin, which is written down where there is none.
    async fn settle_identity(&self, identity: Identity) -> Result<Origin, StoreError> {
        let log = self.collection("log")?;
        // Once more when another process wrote it down in between.
        for _ in 0..2 {
            let known = self.first(log.find(doc! { "_id": "log" })).await?;
            if let Some(known) = known {
                let found = number(&known, "schema")?;
                if found > SCHEMA {
                    return Err(StoreError::NewerSchema { found, known: SCHEMA });
                }
                let stored = text(&known, "origin")?;
                let stored = Origin::new(stored).map_err(|_| StoreError::corrupt("the origin in the document 'log'"))?;
                return identity.settle(Some(stored));
            }
            let events = self.events()?;
            if self.first(events.find(doc! {}).projection(doc! { "_id": 1 })).await?.is_some() {
                return Err(StoreError::corrupt("there are documents in 'event', but none in 'log'; use another database"));
            }
            let origin = identity.clone().settle(None)?;
            let fresh = doc! {
                "_id": "log", "schema": 1_i64, "origin": origin.as_str(), "border": 0_i64, "begun": 0_i64, "version": 0_i64,
                "batches": [], "restored": [], "fences": {},
            };
            if self.insert("log", fresh).await? {
                return Ok(origin);
            }
        }
        Err(StoreError::corrupt("the document 'log' comes and goes"))
    }
}
