//! Reads typed values out of YAML nodes and takes note of everything that is wrong on the way.
//!
//! A [`Section`] hands out its values by key and knows in the end which keys nobody asked for. Reading
//! goes on after an error, with the default in its place: the [`Report`] decides at the end.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use marked_yaml::Node;
use marked_yaml::types::MarkedMappingNode;

use super::error::{ConfigError, ConfigErrors, Position, printable};
use super::syntax::position;
use super::value::Kind;

/// The errors of one file.
pub(super) struct Report {
    file: Arc<str>,
    errors: RefCell<Vec<ConfigError>>,
}

/// A mapping of keys that are known beforehand.
pub(super) struct Section<'a> {
    here: Place<'a>,
    node: &'a MarkedMappingNode,
    known: Vec<&'static str>,
    unavailable: Vec<&'static str>,
}

/// A value that has not been looked at yet.
pub(super) struct Value<'a> {
    here: Place<'a>,
    node: &'a Node,
}

/// Where in the file and under which key something stands.
#[derive(Clone)]
pub(super) struct Place<'a> {
    report: &'a Report,
    path: String,
    at: Position,
}

/// A value together with where it stands.
#[derive(Clone)]
pub(super) struct Located<'a, T> {
    pub(super) value: T,
    pub(super) here: Place<'a>,
}

impl Report {
    pub(super) fn new(file: &str) -> Self {
        Self { file: printable(file).into(), errors: RefCell::default() }
    }

    /// The errors, sorted by position; `Ok` when there are none.
    pub(super) fn finish(self) -> Result<(), ConfigErrors> {
        let mut errors = self.errors.into_inner();
        errors.sort_by_key(ConfigError::position);
        if errors.is_empty() { Ok(()) } else { Err(ConfigErrors::Invalid(errors)) }
    }
}

impl<'a> Place<'a> {
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn position(&self) -> Position {
        self.at
    }

    /// Notes that what stands here is wrong.
    pub(super) fn refuse(&self, problem: &str) {
        let error = ConfigError::new(&self.report.file, self.at, &self.path, problem);
        self.report.errors.borrow_mut().push(error);
    }

    fn below(&self, key: &str, at: Position) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { report: self.report, path: format!("{}{dot}{key}", self.path), at }
    }
}

/// The file, the position and the key, as in an error.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.report.file, self.at, self.path)
    }
}

impl<'a> Section<'a> {
    /// The file as a whole.
    pub(super) fn root(report: &'a Report, node: &'a MarkedMappingNode) -> Self {
        Self::new(Place { report, path: String::new(), at: Position::START }, node)
    }

    fn new(here: Place<'a>, node: &'a MarkedMappingNode) -> Self {
        Self { here, node, known: Vec::new(), unavailable: Vec::new() }
    }

    /// The value of `key`, when the file has it.
    pub(super) fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let (name, node) = self.node.iter().find(|(name, _)| name.as_str() == key)?;
        // A value that is not there is placed by YAML at whatever comes next.
        let span = if is_empty(node) { name.span() } else { node.span() };
        Some(Value { here: self.here.below(key, position(span.start())), node })
    }

    /// Puts the value of `key` into `slot`, which keeps its default when the file does not have it.
    pub(super) fn set<T>(&mut self, key: &'static str, slot: &mut T, kind: Kind<T>) {
        if let Some(value) = self.value(key).and_then(|value| value.read(&kind)) {
            *slot = value;
        }
    }

    /// The value of `key`, which has to be there.
    pub(super) fn require<T>(&mut self, key: &'static str, kind: Kind<T>) -> Option<T> {
        let value = self.value(key);
        if value.is_none() {
            self.missing(key, kind.allowed());
        }
        value?.read(&kind)
    }

    /// As [`require`](Self::require), with its place.
    pub(super) fn require_located<T>(&mut self, key: &'static str, kind: &Kind<T>) -> Option<Located<'a, T>> {
        let value = self.value(key);
        if value.is_none() {
            self.missing(key, kind.allowed());
        }
        value?.locate(kind)
    }

    /// The one value or the list of values of `key`, which has to hold at least one.
    pub(super) fn list<T>(&mut self, key: &'static str, kind: &Kind<T>) -> Option<Vec<Located<'a, T>>> {
        let value = self.value(key)?;
        let items = value.items();
        if items.is_empty() {
            value.here.refuse(&format!("the list is empty (allowed: {})", kind.allowed()));
        }
        Some(items.into_iter().filter_map(|item| item.locate(kind)).collect())
    }

    /// As [`list`](Self::list), for a key that has to be there.
    pub(super) fn require_list<T>(&mut self, key: &'static str, kind: &Kind<T>) -> Vec<Located<'a, T>> {
        self.list(key, kind).unwrap_or_else(|| {
            self.missing(key, kind.allowed());
            Vec::new()
        })
    }

    /// The section `key`, when the file has it.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'a>> {
        self.value(key)?.section()
    }

    /// Refuses keys that a later version will know.
    pub(super) fn unavailable(&mut self, keys: &[&'static str]) {
        self.unavailable.extend(keys);
    }

    /// Refuses a key that is not there, at the section that misses it.
    pub(super) fn missing(&self, key: &str, allowed: &str) {
        self.here.below(key, self.here.at).refuse(&format!("is missing (allowed: {allowed})"));
    }

    /// Notes that `key`, or its default when the file does not have it, does not fit the other keys.
    pub(super) fn refuse(&mut self, key: &'static str, problem: &str) {
        match self.value(key) {
            Some(value) => value.here.refuse(problem),
            None => self.here.below(key, self.here.at).refuse(problem),
        }
    }

    /// Refuses `key` when the file has it.
    pub(super) fn refuse_present(&mut self, key: &'static str, problem: &str) {
        if let Some(value) = self.value(key) {
            value.here.refuse(problem);
        }
    }

    /// Every key with its value, for sections whose keys are names.
    pub(super) fn entries(&self) -> Vec<(&'a str, Value<'a>)> {
        let entry = |(key, node): (&'a marked_yaml::types::MarkedScalarNode, &'a Node)| {
            let here = self.here.below(key, position(key.span().start()));
            (key.as_str(), Value { here, node })
        };
        self.node.iter().map(entry).collect()
    }

    /// Where the section stands.
    pub(super) fn here(&self) -> &Place<'a> {
        &self.here
    }

    /// Refuses the keys that nobody asked for.
    pub(super) fn finish(self) {
        for (key, _) in self.node.iter().filter(|(key, _)| !self.known.contains(&key.as_str())) {
            let here = self.here.below(key, position(key.span().start()));
            here.refuse(&self.unknown(key));
        }
    }

    fn unknown(&self, key: &str) -> String {
        if self.unavailable.contains(&key) {
            return "is not available in this version".to_owned();
        }
        match nearest(key, &self.known) {
            Some(known) => format!("is not a known key (did you mean {known}?)"),
            None => format!("is not a known key (allowed: {})", self.known.join(", ")),
        }
    }
}

impl<'a> Value<'a> {
    /// Where the value stands.
    pub(super) fn here(&self) -> &Place<'a> {
        &self.here
    }

    /// The value as `kind`; `None` after noting why not.
    pub(super) fn read<T>(&self, kind: &Kind<T>) -> Option<T> {
        let refuse = |problem: &str| self.here.refuse(&format!("{problem} (allowed: {})", kind.allowed()));
        match self.node {
            node if is_empty(node) => refuse("has no value"),
            Node::Scalar(text) => match kind.read(text) {
                Ok(value) => return Some(value),
                Err(problem) => refuse(&format!("{} {problem}", shown(text))),
            },
            Node::Sequence(_) => refuse("a list stands where one value belongs"),
            Node::Mapping(_) => refuse("a section stands where one value belongs"),
        }
        None
    }

    /// The text of a single value.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.node.as_scalar().map(|text| text.as_str())
    }

    /// The items of a list; a single value is a list of one.
    pub(super) fn items(&self) -> Vec<Value<'a>> {
        let item = |node: &'a Node| {
            let at = position(node.span().start());
            Value { here: Place { at, ..self.here.clone() }, node }
        };
        match self.node {
            Node::Sequence(list) => list.iter().map(item).collect(),
            node => vec![item(node)],
        }
    }

    /// The value as a section of keys.
    pub(super) fn section(self) -> Option<Section<'a>> {
        match self.node {
            Node::Mapping(node) => Some(Section::new(self.here, node)),
            _ => {
                self.here.refuse("is not a section (allowed: keys with values, one a line)");
                None
            }
        }
    }

    fn locate<T>(self, kind: &Kind<T>) -> Option<Located<'a, T>> {
        self.read(kind).map(|value| Located { value, here: self.here })
    }
}

/// The values alone.
pub(super) fn values<T: Clone>(located: &[Located<T>]) -> Vec<T> {
    located.iter().map(|located| located.value.clone()).collect()
}

/// Whether nothing, or the `~` that means nothing, stands where a value belongs.
fn is_empty(node: &Node) -> bool {
    node.as_scalar().is_some_and(|text| text.may_coerce() && ["", "~"].contains(&text.as_str()))
}

/// The known key that was most likely meant: at most a third of its letters are off.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let distances = known.iter().map(|known| (strsim::osa_distance(key, known), *known));
    distances.filter(|(distance, known)| distance * 3 <= known.len()).min().map(|(_, known)| known)
}

/// A value as it stands in an error.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        None if text.is_empty() => "\"\"".to_owned(),
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

/// Characters of a value that an error shows.
const MAX_SHOWN: usize = 80;
