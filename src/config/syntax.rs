//! From text to YAML nodes that know their line and column: one document, no aliases, no key twice.

use std::sync::Arc;

use marked_yaml::types::MarkedMappingNode;
use marked_yaml::{LoadError, LoaderOptions, Marker, Node};

use super::error::{ConfigError, ConfigErrors, Position};

/// Parses `text`; the file is refused at its first syntax error.
pub(super) fn parse(name: &str, text: &str) -> Result<MarkedMappingNode, ConfigErrors> {
    let file = super::error::printable(name).into();
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if let Some((line, problem)) = refused_line(text) {
        return Err(invalid(&file, Position { line, column: 1 }, problem));
    }
    let options = LoaderOptions::default().error_on_duplicate_keys(true).prevent_coercion(true);
    match marked_yaml::parse_yaml_with_options(0, text, options) {
        Ok(Node::Mapping(root)) => Ok(root),
        Ok(other) => Err(invalid(&file, position(other.span().start()), NOT_KEYS)),
        Err(error) => {
            let (at, problem) = explain(&error);
            Err(invalid(&file, at, &problem))
        }
    }
}

/// Where a node begins.
pub(super) fn position(marker: Option<&Marker>) -> Position {
    marker.map_or(Position::START, |marker| Position { line: marker.line(), column: marker.column() })
}

fn invalid(file: &Arc<str>, at: Position, problem: &str) -> ConfigErrors {
    ConfigErrors::Invalid(vec![ConfigError::new(file, at, "", problem)])
}

fn explain(error: &LoadError) -> (Position, String) {
    match error {
        LoadError::TopLevelMustBeMapping(at) | LoadError::TopLevelMustBeSequence(at) => {
            (position(Some(at)), NOT_KEYS.to_owned())
        }
        LoadError::UnexpectedAnchor(at) => (position(Some(at)), "anchors are not allowed".to_owned()),
        LoadError::UnexpectedTag(at) => (position(Some(at)), "tags are not allowed".to_owned()),
        LoadError::MappingKeyMustBeScalar(at) => (position(Some(at)), "a key must be one word".to_owned()),
        LoadError::ScanError(at, cause) => (position(Some(at)), format!("not YAML: {}", cause.info())),
        LoadError::DuplicateKey(keys) => {
            let first = position(keys.prev_key.span().start());
            let problem = format!("the key {} stands here twice (first at {first})", keys.key.as_str());
            (position(keys.key.span().start()), problem)
        }
    }
}

/// The first line that the YAML parser would accept and we do not: a second document, which it leaves
/// out silently, and nesting that overflows the stack, since it recurses once for each level.
fn refused_line(text: &str) -> Option<(usize, &'static str)> {
    let mut begun = false;
    // To YAML a carriage return alone ends a line too.
    let lines =
        text.split('\n').zip(1..).flat_map(|(line, number)| line.split('\r').map(move |part| (number, part)));
    for (number, line) in lines.filter(|(_, line)| !is_blank_or_comment(line)) {
        if begun && is_document_marker(line) {
            return Some((number, "a second document (allowed: one)"));
        }
        if columns_of_nesting(line) > MAX_NESTING_COLUMNS {
            return Some((number, "nested too deeply"));
        }
        begun |= !line.starts_with('%');
    }
    None
}

fn is_blank_or_comment(line: &str) -> bool {
    line.trim_start().is_empty() || line.trim_start().starts_with('#')
}

fn is_document_marker(line: &str) -> bool {
    let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// An upper bound for how many levels a line can add to: its indentation, and what opens a level in it.
/// Brackets are left out, the parser itself bounds them.
fn columns_of_nesting(line: &str) -> usize {
    let indent = line.len() - line.trim_start().len();
    let opening = line.split_ascii_whitespace().filter(|word| ["-", "?", ":"].contains(word));
    indent + 2 * opening.count()
}

/// Far above what a rules file needs; some 500 levels fit, with the brackets, in a file made to hurt.
const MAX_NESTING_COLUMNS: usize = 128;

/// Some editors begin a file with it; to YAML it is no part of the text.
const BYTE_ORDER_MARK: char = '\u{feff}';

const NOT_KEYS: &str = "a rules file is a mapping of keys (allowed: version, gateway, services)";

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse("f", text).unwrap_err().to_string()
    }

    #[test]
    fn a_key_written_twice_is_refused_with_both_places() {
        assert_eq!(error("a: 1\nb: 2\na: 3\n"), "f:3:1: the key a stands here twice (first at 1:1)");
    }

    #[test]
    fn text_that_is_no_mapping_is_refused() {
        assert!(error("- a\n").starts_with("f:1:1: a rules file is a mapping"), "{}", error("- a\n"));
        assert!(error("word\n").starts_with("f:1:1: a rules file is a mapping"), "{}", error("word\n"));
        assert!(error("a: [1\n").starts_with("f:2:1: not YAML: "), "{}", error("a: [1\n"));
    }

    #[test]
    fn anchors_aliases_and_tags_are_refused() {
        assert_eq!(error("a: &x 1\nb: *x\n"), "f:1:7: anchors are not allowed");
        assert!(error("b: *x\n").contains("unknown anchor"));
        assert!(error("a: !!str 1\n").contains("tags are not allowed"));
    }

    #[test]
    fn a_second_document_is_refused_and_not_left_out() {
        assert_eq!(error("# c\n---\na: 1\n---\nb: 2\n"), "f:4:1: a second document (allowed: one)");
        assert_eq!(error("a: 1\r---\rb: 2\n"), "f:1:1: a second document (allowed: one)");
        assert_eq!(error("a: 1\n...\nb: 2\n"), "f:2:1: a second document (allowed: one)");
        assert!(parse("f", "\u{feff}%YAML 1.2\n---\na: ---x\n").is_ok());
    }

    #[test]
    fn nesting_made_to_overflow_the_stack_is_refused() {
        let stairs: String = (0..1000).map(|level| format!("{}- \n", " ".repeat(level))).collect();
        let broad: String =
            (0..60).map(|line| format!("{}{}\n", " ".repeat(line * 126), "- ".repeat(63))).collect();
        for deep in ["- ".repeat(200_000), "? ".repeat(200_000), ": ".repeat(200_000), stairs, broad] {
            assert!(error(&format!("# deep\r{deep}")).ends_with("nested too deeply"));
        }
        assert!(error(&format!("a: {}", "[".repeat(100_000))).contains("recursion limit"));
    }

    #[test]
    fn the_deepest_file_that_is_accepted_can_be_parsed() {
        let level = |column| format!("{0}a:\n{0}-\n", " ".repeat(column));
        let stairs: String = (0..124).map(level).collect();
        let brackets = format!("{}{}{}\n", " ".repeat(124), "[".repeat(250), "]".repeat(250));
        parse("f", &format!("{stairs}{brackets}")).unwrap();
    }
}
