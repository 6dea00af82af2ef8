//! The layers of docs/architecture.md: imports run down, and the core has no IO, clock or async.

use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up; modules of one row do not import each other.
const LAYERS: &[&[&str]] = &[
    &["addr", "ids", "reason", "time"],
    &["ftp", "packet"],
    &["policy", "stream"],
    &["pinhole"],
    &["session"],
    &["config"],
    &["capture", "host", "netlink", "tls"],
    &["audit", "firewall", "live", "telemetry"],
    &["proxy", "replay", "trial"],
    &["cli"],
];

/// What the core, up to `session`, must not know.
const FORBIDDEN_IN_CORE: &[&str] = &[
    "tokio",
    "async fn",
    ".await",
    "std::fs",
    "std::env",
    "std::io",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "getrandom",
    "rustix",
    "socket2",
    "tracing",
];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect()
}

/// The module, the path and the code (without its tests and comments) of every file under src/.
fn modules() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let code = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap().lines();
        code.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    let modules = sources(&src).into_iter().map(|path| {
        let first = path.strip_prefix(&src).unwrap().components().next().unwrap();
        let name = first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let code = code(&path);
        (name, path, code)
    });
    modules.filter(|(name, ..)| name != "lib" && name != "main").collect()
}

fn layer(module: &str) -> usize {
    LAYERS
        .iter()
        .position(|layer| layer.contains(&module))
        .unwrap_or_else(|| panic!("module {module} has no layer"))
}

fn imports(code: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    code.split("crate::").skip(1).filter_map(move |rest| rest.split(ends).next())
}

#[test]
fn imports_only_run_down_the_layers() {
    let modules = modules();
    assert!(modules.len() > 30, "the sources were found");
    for (module, path, code) in &modules {
        for import in imports(code).filter(|import| import != module) {
            let down = layer(import) < layer(module);
            assert!(down, "{} ({module}) imports crate::{import}", path.display());
        }
    }
}

#[test]
fn netlink_and_capture_stand_alone() {
    for (module, path, code) in modules().iter().filter(|(name, ..)| name == "netlink" || name == "capture") {
        let foreign: Vec<_> = imports(code).filter(|import| import != module).collect();
        assert_eq!(foreign, [""; 0], "{}", path.display());
    }
}

#[test]
fn the_core_has_no_io_no_clock_and_no_async() {
    let top = layer("session");
    for (module, path, code) in modules().iter().filter(|(module, ..)| layer(module) <= top) {
        for word in FORBIDDEN_IN_CORE {
            assert!(!code.contains(word), "{} ({module}) holds `{word}`", path.display());
        }
    }
}
