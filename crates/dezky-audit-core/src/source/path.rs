//! Where a value stands: kept on the stack while a tree is walked, and written only where something has to be noted.

use std::fmt;

#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Member(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl Path<'_> {
    /// Whether it has these names, in letters of either case; `*` stands for any one name or index.
    pub(super) fn fits(&self, pattern: &[&str]) -> bool {
        match (self, pattern) {
            (Self::Root, []) => true,
            (Self::Member(parent, name), [before @ .., wanted]) => {
                (*wanted == "*" || wanted.eq_ignore_ascii_case(name)) && parent.fits(before)
            }
            (Self::Item(parent, _), [before @ .., "*"]) => parent.fits(before),
            _ => false,
        }
    }
}

/// As a JSON pointer (RFC 6901).
impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(parent, name) => write!(f, "{parent}/{}", Token(name)),
            Self::Item(parent, at) => write!(f, "{parent}/{at}"),
        }
    }
}

/// A member's name as a reference token (RFC 6901, section 3).
struct Token<'a>(&'a str);

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(['~', '/']) { f.write_str(&self.0.replace('~', "~0").replace('/', "~1")) } else { f.write_str(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_pointers_and_fit_patterns() {
        let outer = Path::Member(&Path::Root, "a/b");
        let item = Path::Item(&outer, 3);
        let inner = Path::Member(&item, "Token");
        assert_eq!((Path::Root.to_string(), inner.to_string()), (String::new(), "/a~1b/3/Token".to_owned()));
        assert!(inner.fits(&["A/B", "*", "token"]) && inner.fits(&["*", "*", "*"]) && Path::Root.fits(&[]));
        for other in [&["a/b", "3", "token"][..], &["a/b", "*"], &["*", "*", "*", "*"], &["*", "*", "tokens"], &[]] {
            assert!(!inner.fits(other), "{other:?}");
        }
    }
}
