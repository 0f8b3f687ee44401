//! What stands around every page: where one is, who one is, and how far the log was verified.

use super::trust_card::TrustCard;
use super::visitor::Visitor;
use crate::app::App;
use crate::problem::Problem;

/// The frame of a page.
pub(crate) struct Frame {
    pub(crate) title: String,
    /// The entry of the navigation that this page belongs to.
    pub(crate) section: Section,
    pub(crate) origin: String,
    pub(crate) who: String,
    pub(crate) role: &'static str,
    pub(crate) csrf: String,
    pub(crate) is_operator: bool,
    pub(crate) sees_all: bool,
    pub(crate) trust: TrustCard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Timeline,
    Trust,
    Platform,
    Sources,
    Cold,
}

impl Frame {
    pub(crate) async fn of(app: &App, visitor: &Visitor, section: Section, title: impl Into<String>) -> Result<Self, Problem> {
        Ok(Self {
            title: title.into(),
            section,
            origin: app.log.origin().to_string(),
            who: visitor.name().to_owned(),
            role: visitor.caller.role.as_str(),
            csrf: visitor.csrf.clone(),
            is_operator: visitor.is_operator(),
            sees_all: visitor.sees_all(),
            trust: TrustCard::of(app).await?,
        })
    }

    /// For `aria-current`.
    pub(crate) fn is(&self, section: &str) -> bool {
        format!("{:?}", self.section) == section
    }
}
