//! Patterns for users and paths.

use std::fmt;

use globset::{Candidate, Glob, GlobBuilder};

/// A pattern. Those of a file are compiled together.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    exact: bool,
    glob: Glob,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).field(&self.exact).finish()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.exact) == (&other.text, other.exact)
    }
}

impl Pattern {
    /// For the name of a user: `*` and `?` stand for anything, and case does not count.
    pub fn user(text: &str) -> Option<Self> {
        Self::new(text, false, GlobBuilder::new(text).case_insensitive(true).backslash_escape(true).build())
    }

    /// For a path. Without a `/` it is for the last component, otherwise for the whole path; `*` does not cross a
    /// `/`, and `**` does. `exact`: case counts.
    pub fn path(text: &str, exact: bool) -> Option<Self> {
        let whole = if text.contains('/') { text.to_owned() } else { format!("**/{text}") };
        let mut builder = GlobBuilder::new(&whole);
        let glob = builder.case_insensitive(!exact).literal_separator(true).backslash_escape(true).build();
        Self::new(text, exact, glob)
    }

    fn new(text: &str, exact: bool, glob: Result<Glob, globset::Error>) -> Option<Self> {
        Some(Self { text: text.to_owned(), exact, glob: glob.ok()? })
    }

    /// Whether case counts.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn glob(&self) -> &Glob {
        &self.glob
    }

    /// Whether it stands for `name`; for explanations, as it is compiled anew each time.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.glob.compile_matcher().is_match_candidate(&Candidate::from_bytes(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_a_slash_is_for_the_last_component() {
        let exe = Pattern::path("*.exe", false).unwrap();
        assert!(exe.matches(b"/a.exe") && exe.matches(b"/x/y/SETUP.EXE"));
        assert!(!exe.matches(b"/x.exe/readme") && !exe.matches(b"/exe"));
    }

    #[test]
    fn a_pattern_with_a_slash_is_for_the_whole_path() {
        let one = Pattern::path("/pub/*", true).unwrap();
        assert!(one.matches(b"/pub/a") && !one.matches(b"/pub/a/b") && !one.matches(b"/PUB/a"));
        let all = Pattern::path("/pub/**", true).unwrap();
        assert!(all.matches(b"/pub/a/b") && !all.matches(b"/public/a"));
    }

    #[test]
    fn users_are_compared_without_regard_to_case() {
        let user = Pattern::user("svc-*").unwrap();
        assert!(user.matches(b"SVC-backup") && !user.matches(b"mysvc-1"));
    }

    #[test]
    fn bytes_that_are_no_text_are_matched_as_bytes() {
        assert!(Pattern::path("*.exe", false).unwrap().matches(b"/\xff\xfe.exe"));
    }
}
