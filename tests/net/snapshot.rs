//! What the gateway may change on its host and must put back: rules, routes and settings.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::host::Host;

/// Commands whose output describes the host; what rules have counted is no part of it.
const COMMANDS: [&[&str]; 5] = [
    &["nft", "-s", "list", "ruleset"],
    &["ip", "rule"],
    &["ip", "-6", "rule"],
    &["ip", "route", "show", "table", "all"],
    &["ip", "-6", "route", "show", "table", "all"],
];
/// Where the settings are.
const SETTINGS: &str = "/proc/sys/net";
/// Settings that count instead of setting.
const COUNTERS: [&str; 2] = ["nf_conntrack_count", "nf_conntrack_buckets"];

/// The state of a host: a name and a text for each thing.
#[derive(PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, String>);

impl Host {
    /// The rules, routes and settings of now.
    pub fn snapshot(&self) -> Snapshot {
        let mut state = BTreeMap::new();
        for command in COMMANDS {
            let [name, args @ ..] = command else { continue };
            state.insert(command.join(" "), self.output(name, args));
        }
        self.run(|| settings(Path::new(SETTINGS), &mut state));
        Snapshot(state)
    }
}

impl Snapshot {
    /// The same without settings, and without the routes that come and go with forwarding: what they were
    /// before a gateway that was killed, its successor cannot know.
    pub fn without_settings(mut self) -> Self {
        self.0.retain(|name, _| !name.starts_with(SETTINGS));
        for text in self.0.values_mut() {
            let kept = text.split_inclusive('\n').filter(|line| !line.starts_with("anycast "));
            *text = kept.collect();
        }
        self
    }

    /// Panics with every difference; settings that only `later` has came with a kernel module.
    pub fn assert_same(&self, later: &Self) {
        let changed = self.0.iter().filter_map(|(name, text)| {
            let now = later.0.get(name).map_or("", String::as_str);
            (now != text).then(|| format!("{name} was\n{text}\nand is\n{now}"))
        });
        let changed: Vec<_> = changed.collect();
        assert!(changed.is_empty(), "the gateway leaves behind:\n{}", changed.join("\n"));
    }
}

fn settings(dir: &Path, state: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            settings(&path, state);
        } else if !COUNTERS.iter().any(|name| path.ends_with(name)) {
            // Some settings can only be written.
            if let Ok(text) = fs::read_to_string(&path) {
                state.insert(path.display().to_string(), text);
            }
        }
    }
}
