//! Records and forms as the templates show them, whatever kind they are of.

/// A line of a list.
pub(super) struct Line {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) state: State,
    pub(super) more: String,
}

/// How it stands: in words, with a sign.
pub(super) struct State {
    pub(super) word: &'static str,
    pub(super) class: &'static str,
    pub(super) sign: &'static str,
}

impl State {
    pub(super) const fn good(word: &'static str) -> Self {
        Self { word, class: "good", sign: "●" }
    }

    pub(super) const fn held(word: &'static str) -> Self {
        Self { word, class: "warn", sign: "◐" }
    }

    pub(super) const fn over(word: &'static str) -> Self {
        Self { word, class: "none", sign: "○" }
    }
}

/// One record.
pub(super) struct Sheet {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) state: State,
    pub(super) version: u64,
    pub(super) facts: Vec<(&'static str, String)>,
    /// The filter of its own timeline.
    pub(super) timeline: String,
    pub(super) forms: Vec<Form>,
}

/// Something that can be done, and what it takes.
pub(super) struct Form {
    /// The last part of where it is sent; empty for the record itself.
    pub(super) deed: &'static str,
    pub(super) title: &'static str,
    /// What happens then.
    pub(super) warning: &'static str,
    pub(super) fields: Vec<Field>,
    pub(super) danger: bool,
}

pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) hint: &'static str,
    pub(super) required: bool,
    /// What there is to choose from; empty for free text.
    pub(super) choices: Vec<&'static str>,
}

impl Field {
    pub(super) fn text(name: &'static str, label: &'static str, value: impl Into<String>) -> Self {
        Self { name, label, value: value.into(), hint: "", required: false, choices: Vec::new() }
    }

    pub(super) fn needed(mut self) -> Self {
        self.required = true;
        self
    }

    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    pub(super) fn one_of(mut self, choices: &[&'static str]) -> Self {
        self.choices = choices.to_vec();
        self
    }
}

impl Form {
    pub(super) const fn new(deed: &'static str, title: &'static str, fields: Vec<Field>) -> Self {
        Self { deed, title, warning: "", fields, danger: false }
    }

    pub(super) const fn dangerous(deed: &'static str, title: &'static str, warning: &'static str) -> Self {
        Self { deed, title, warning, fields: Vec::new(), danger: true }
    }

    pub(super) const fn careful(deed: &'static str, title: &'static str, warning: &'static str) -> Self {
        Self { deed, title, warning, fields: Vec::new(), danger: false }
    }
}
