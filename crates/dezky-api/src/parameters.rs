//! The part of a URL behind the `?`, read strictly: what is not understood is refused, with the nearest name that is.

use axum::extract::FromRequestParts;
use dezky_store::Query;
use dezky_store::query::PARAMETERS;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::nearest::nearest;
use crate::problem::{Code, Problem};

/// The most parameters of one request.
const MAX_PARAMETERS: usize = 80;

/// Names and values, decoded, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn parse(query: &str) -> Result<Self, Problem> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let decoded: Vec<_> = pairs
            .take(MAX_PARAMETERS + 1)
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name)?, decode(value)?))
            })
            .collect::<Result<_, Problem>>()?;
        if decoded.len() > MAX_PARAMETERS {
            return Err(invalid(format!("more than {MAX_PARAMETERS} parameters")));
        }
        Ok(Self(decoded))
    }

    /// Names and values as they are, for those who read them otherwise.
    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// The first value of a parameter, which is none any more.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// What `GET /audit` asks for.
    pub(crate) fn into_query(self) -> Result<Query, Problem> {
        self.refuse_strangers(&PARAMETERS)?;
        Query::parse(self.0.iter().map(|(name, value)| (name, value))).map_err(|error| {
            let spaced = self.0.iter().any(|(name, value)| *name == error.parameter && value.contains(' '));
            let problem = Problem::from(error);
            // A time zone's plus sign means a space in a URL.
            if spaced { problem.hint("in a URL, write '+' as %2B") } else { problem }
        })
    }

    /// What filters alone ask for: an export has no pages.
    pub(crate) fn into_filter(self) -> Result<dezky_store::Filter, Problem> {
        if let Some((name, _)) = self.0.iter().find(|(name, _)| matches!(&**name, "order" | "limit" | "before" | "cursor")) {
            return Err(invalid(format!("parameter '{name}': an export has no pages")).hint(
                "leave it out: an export holds everything that matches, in the order of seq; 'since' and 'until' bound it",
            ));
        }
        Ok(self.into_query()?.filter)
    }

    /// The value of the one parameter that there may be, once.
    pub(crate) fn only(self, name: &'static str) -> Result<Option<String>, Problem> {
        let [value] = self.each([name])?;
        Ok(value)
    }

    /// The values of these parameters, each given once at most.
    pub(crate) fn each<const N: usize>(self, names: [&'static str; N]) -> Result<[Option<String>; N], Problem> {
        self.refuse_strangers(&names)?;
        let mut values = [const { None }; N];
        for (name, value) in self.0 {
            let Some(at) = names.iter().position(|known| *known == name) else {
                return Err(invalid(format!("parameter '{name}': it cannot be negated")));
            };
            if values[at].replace(value).is_some() {
                return Err(invalid(format!("parameter '{name}': given twice")));
            }
        }
        Ok(values)
    }

    fn refuse_strangers(&self, known: &[&'static str]) -> Result<(), Problem> {
        let field = |name: &str| name.strip_suffix('!').unwrap_or(name).to_owned();
        let Some((stranger, _)) = self.0.iter().find(|(name, _)| !known.contains(&&*field(name))) else { return Ok(()) };
        let shown: String = stranger.chars().take(40).flat_map(char::escape_debug).collect();
        let hint = match nearest(&field(stranger), known.iter().copied()) {
            Some(name) => format!("did you mean '{name}'?"),
            None => format!("there are: {}", known.join(", ")),
        };
        Err(invalid(format!("parameter '{shown}': unknown")).hint(hint))
    }
}

fn decode(text: &str) -> Result<String, Problem> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().map_err(|_| invalid("a parameter is not UTF-8".to_owned()))?;
    Ok(decoded.into_owned())
}

fn invalid(detail: String) -> Problem {
    Problem::new(Code::InvalidParameter, detail)
}

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> String {
        let problem = Parameters::parse(query).and_then(Parameters::into_query).unwrap_err();
        String::from_utf8(problem.body("-").to_vec()).unwrap()
    }

    #[test]
    fn names_and_values_are_decoded_and_the_mark_of_negation_stays_with_the_name() {
        let read = Parameters::parse("action!=user.created&q=a%20b+c%3D&&q=%C3%A4").unwrap();
        let expected = [("action!", "user.created"), ("q", "a b c="), ("q", "ä")];
        assert_eq!(read, Parameters(expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into()));
        let query = read.into_query().unwrap();
        assert_eq!(query.filter.clauses().len(), 3);
        assert!(query.filter.clauses()[0].negated);
    }

    #[test]
    fn what_is_unknown_is_refused_with_the_nearest_name() {
        assert!(refused("tenant_slug=acme").contains("did you mean 'tenantSlug'?"));
        assert!(refused("actions!=x").contains("did you mean 'action'?"));
        assert!(refused("colour=red").contains("there are: since, until"));
        assert!(refused("q=%ff").contains("not UTF-8"));
        assert!(refused("since=2026-05-01T00:00:00+02:00").contains("%2B"));
        assert!(refused(&"q=a&".repeat(MAX_PARAMETERS + 1)).contains("more than"));
    }

    #[test]
    fn an_export_takes_filters_only() {
        let filter = |query: &str| Parameters::parse(query).unwrap().into_filter();
        assert!(filter("since=2026-05-01T00:00:00Z&action=tenant.*").is_ok());
        for page in ["limit=5", "order=asc", "before=2026-05-01T00:00:00Z", "cursor=x"] {
            assert_eq!(filter(page).unwrap_err().code(), Code::InvalidParameter);
        }
        assert_eq!(Parameters::parse("from=3").unwrap().only("from").unwrap().as_deref(), Some("3"));
        assert_eq!(Parameters::parse("").unwrap().only("from").unwrap(), None);
        assert!(Parameters::parse("from=3&from=4").unwrap().only("from").is_err());
        assert!(Parameters::parse("form=3").unwrap().only("from").is_err());
    }
}
