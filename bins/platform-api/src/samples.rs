//! A file of samples, mapped as a source would map it: `ingest try`. Records nothing, and needs no log.

use std::io::{self, Read as _, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use dezky_audit_core::json::Value;
use dezky_audit_core::source::authentik::{self, Page};
use dezky_audit_core::source::generic::Mapping;
use dezky_audit_core::source::stalwart::{self, AllowList};
use dezky_audit_core::source::{Kind, Mapped, MappedEvent, SourceKey, ocis, pieces};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::settings::{Given, event_kinds};

/// The longest file.
const MAX_BYTES: u64 = 256 << 20;

/// How samples are read.
pub(crate) enum Source {
    /// Pages of `/api/v3/events/events/`, or events.
    Authentik,
    /// Bodies of webhooks.
    Stalwart(AllowList),
    /// Lines of the audit file.
    OcisFile,
    /// Messages of the event bus.
    OcisBus,
    Generic(Box<Mapping>),
}

impl Source {
    /// The source that is called so: one of ours, or a `[[generic]]` of the configuration file.
    pub(crate) fn named(name: &str, given: &Given) -> anyhow::Result<Self> {
        Ok(match name {
            "authentik" => Self::Authentik,
            "stalwart" => Self::Stalwart(given.optional("stalwart.also", event_kinds)?.unwrap_or_default()),
            "ocis" => Self::OcisFile,
            "ocis-bus" => Self::OcisBus,
            other => {
                let table = given.generic().iter().find(|table| table.name().is_ok_and(|name| name == other));
                let table = table.with_context(|| {
                    format!("there is no source {other:?}: authentik, stalwart, ocis, ocis-bus, or a [[generic]] of that name in the file that --config names")
                })?;
                Self::Generic(Box::new(table.mapping()?))
            }
        })
    }

    fn map(&self, bytes: &[u8], key: &SourceKey, each: &mut dyn FnMut(Mapped) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Authentik => match Page::parse(bytes) {
                Ok(page) => page.items.into_iter().try_for_each(|item| each(authentik::map_event(item, key))),
                Err(_) => pieces_or_all(bytes).into_iter().try_for_each(|item| each(authentik::map_event(item, key))),
            },
            Self::Stalwart(allow) => pieces_or_all(bytes)
                .into_iter()
                .try_for_each(|body| stalwart::map_batch(body, key, allow).try_for_each(&mut *each)),
            Self::OcisFile => {
                let mut position = 0;
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    let text = line.trim_ascii_end();
                    if !text.is_empty() {
                        ocis::map_line(text, 1, position, key).into_iter().try_for_each(&mut *each)?;
                    }
                    position += line.len() as u64;
                }
                Ok(())
            }
            Self::OcisBus => {
                let place = |at| format!("main-queue:0:{}", at + 1);
                let messages = pieces_or_all(bytes).into_iter().enumerate();
                messages.map(|(at, message)| ocis::map_message(message, &place(at), key)).try_for_each(each)
            }
            Self::Generic(mapping) => mapping.map(bytes, key).try_for_each(each),
        }
    }
}

fn pieces_or_all(bytes: &[u8]) -> Vec<&[u8]> {
    pieces(bytes, None).unwrap_or_else(|| vec![bytes])
}

/// What became of the samples.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
struct Counts {
    mapped: u64,
    unmapped: u64,
    skipped: u64,
    /// Events that something was taken out of.
    redacted: u64,
    unreadable: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Line<'a> {
    Event { kind: &'static str, draft: &'a RawValue, hints: Hints<'a> },
    Skipped(&'a str),
    Counts(&'a Counts),
}

/// What the directory is asked with.
#[derive(Serialize)]
struct Hints<'a> {
    groups: &'a [String],
    spaces: &'a [String],
    users: &'a [String],
    mails: &'a [String],
}

/// Writes what `file` (`-`: stdin) would become, one JSON object a line, and last the counts; 1 when something was unreadable.
pub(crate) fn try_out(source: &Source, file: &Path) -> anyhow::Result<ExitCode> {
    let bytes = read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let counts = write(source, &bytes, &mut out).and_then(|counts| out.flush().map(|()| counts));
    let counts = counts.context("stdout cannot be written to")?;
    Ok(if counts.unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let opened: Box<dyn io::Read> =
        if file == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(std::fs::File::open(file)?) };
    opened.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it is longer than {MAX_BYTES} bytes; try a part of it")));
    }
    Ok(bytes)
}

fn write(source: &Source, bytes: &[u8], out: &mut dyn Write) -> io::Result<Counts> {
    // Names of contents are made under the log's own secret; without a log, under none.
    let key = SourceKey::new([0; 32]);
    let mut counts = Counts::default();
    source.map(bytes, &key, &mut |mapped| match mapped {
        Mapped::Skipped { raw_action } => {
            counts.skipped += 1;
            line(out, &Line::Skipped(&raw_action))
        }
        Mapped::Event(event) => {
            let kind = count(&mut counts, &event);
            let draft = String::from_utf8(event.draft.content()).map_err(io::Error::other)?;
            let hints = &event.hints;
            let hints = Hints { groups: &hints.groups, spaces: &hints.spaces, users: &hints.users, mails: &hints.mails };
            line(out, &Line::Event { kind, draft: &RawValue::from_string(draft)?, hints })
        }
    })?;
    line(out, &Line::Counts(&counts))?;
    Ok(counts)
}

fn count(counts: &mut Counts, event: &MappedEvent) -> &'static str {
    let notes = event.draft.metadata.iter().flatten().find(|(name, _)| name == "_audit");
    if notes.is_some_and(|(_, notes)| notes.member("redacted").is_some_and(|list| *list != Value::Null)) {
        counts.redacted += 1;
    }
    let (count, kind) = match event.kind {
        Kind::Known => (&mut counts.mapped, "mapped"),
        Kind::Unknown => (&mut counts.unmapped, "unmapped"),
        Kind::Unreadable => (&mut counts.unreadable, "unreadable"),
    };
    *count += 1;
    kind
}

fn line(out: &mut dyn Write, line: &Line<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
