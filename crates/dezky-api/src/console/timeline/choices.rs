//! What can be chosen with one click: kinds of events, outcomes, ranges; and what is chosen.

use super::range::{PRESETS, Range};
use super::search;
use super::view::View;

/// A link that chooses.
pub(super) struct Chip {
    pub(super) label: &'static str,
    pub(super) url: String,
    pub(super) chosen: bool,
}

/// A filter that holds, and the link that takes it away.
pub(super) struct Pill {
    pub(super) label: String,
    pub(super) negated: bool,
    pub(super) url: String,
}

pub(super) struct Preset {
    pub(super) label: &'static str,
    pub(super) url: String,
    pub(super) chosen: bool,
}

/// Kinds of events, by the family of their actions.
const KINDS: [(&str, &str); 7] = [
    ("Tenants", "tenant.*"),
    ("Partners", "partner.*"),
    ("Flags", "flag.*"),
    ("Users", "user.*"),
    ("Authentik", "authentik.*"),
    ("Mail", "stalwart.*"),
    ("Files", "ocis.*"),
];
const OUTCOMES: [(&str, &str); 3] = [("Success", "success"), ("Failure", "failure"), ("Denied", "denied")];

pub(super) fn chips(view: &View) -> Vec<Chip> {
    one_of(view, "All", "action", &KINDS)
}

pub(super) fn outcomes(view: &View) -> Vec<Chip> {
    one_of(view, "Any outcome", "outcome", &OUTCOMES)
}

/// One of them at a time, or none.
fn one_of(view: &View, none: &'static str, name: &str, values: &[(&'static str, &str)]) -> Vec<Chip> {
    let bare = values.iter().fold(view.newest(), |view, (_, value)| view.without(name, value));
    let chosen = |value: &str| view.has(name, value);
    let nothing = !values.iter().any(|(_, value)| chosen(value));
    let each = values.iter().map(|(label, value)| Chip { label, url: bare.with(name, value).url(), chosen: chosen(value) });
    std::iter::once(Chip { label: none, url: bare.url(), chosen: nothing }).chain(each).collect()
}

pub(super) fn presets(view: &View) -> Vec<Preset> {
    let preset = |label, range: Range| Preset { label, chosen: *view.range() == range, url: view.ranged(range).url() };
    let each = PRESETS.iter().map(|(name, label, hours)| preset(label, Range::Last(name, *hours)));
    each.chain(std::iter::once(preset("All time", Range::All))).collect()
}

/// What neither a chip nor the list of ranges shows.
pub(super) fn pills(view: &View) -> Vec<Pill> {
    let is_chip = |name: &str, value: &str| {
        (name == "action" && KINDS.iter().any(|(_, known)| *known == value))
            || (name == "outcome" && OUTCOMES.iter().any(|(_, known)| *known == value))
    };
    let shown = view.filters().iter().filter(|(name, value)| !is_chip(name, value));
    shown
        .map(|(name, value)| {
            let field = name.strip_suffix('!');
            let label = match field.unwrap_or(name) {
                "q" => format!("“{value}”"),
                field => format!("{}: {value}", search::word(field)),
            };
            Pill { label, negated: field.is_some(), url: view.without(name, value).url() }
        })
        .collect()
}
