//! Paths in commands: which command names one, and what it means from where the session is.

use crate::ftp::{Command, Verb};

/// The path that a command names, without options and what stands before it; `None`: it names none.
pub fn path_argument(command: &Command) -> Option<&[u8]> {
    let argument = command.argument();
    match command.verb {
        Verb::Retr
        | Verb::Stor
        | Verb::Appe
        | Verb::Stou
        | Verb::Cwd
        | Verb::Xcwd
        | Verb::Mkd
        | Verb::Xmkd
        | Verb::Rmd
        | Verb::Xrmd
        | Verb::Dele
        | Verb::Rnfr
        | Verb::Rnto
        | Verb::Size
        | Verb::Mdtm
        | Verb::Mlst
        | Verb::Mlsd
        | Verb::Stat
        | Verb::Hash
        | Verb::Dsiz
        | Verb::Avbl
        | Verb::Xcrc
        | Verb::Xmd5
        | Verb::Xsha
        | Verb::Xsha1
        | Verb::Xsha256
        | Verb::Xsha512
        | Verb::Smnt => Some(argument),
        Verb::Cdup | Verb::Xcup => Some(b".."),
        // Servers take options of ls.
        Verb::List | Verb::Nlst => Some(without_options(argument)),
        // A time or facts, a space, the path.
        Verb::Mfmt | Verb::Mfct | Verb::Mff => Some(behind_word(argument)),
        Verb::Site => match site_name(argument).as_deref() {
            Some("CHMOD" | "UTIME") => Some(behind_word(behind_word(argument))),
            _ => None,
        },
        _ => None,
    }
}

/// The sub-command of SITE, in upper case.
pub(super) fn site_name(argument: &[u8]) -> Option<String> {
    let word = argument.split(|byte| *byte == b' ').next().filter(|word| !word.is_empty())?;
    std::str::from_utf8(word).ok().map(str::to_ascii_uppercase)
}

fn without_options(mut argument: &[u8]) -> &[u8] {
    while argument.starts_with(b"-") {
        argument = behind_word(argument);
    }
    argument
}

fn behind_word(argument: &[u8]) -> &[u8] {
    let space = argument.iter().position(|byte| *byte == b' ');
    space.and_then(|space| argument.get(space + 1..)).unwrap_or_default()
}

/// `path` seen from the directory `from`, which is absolute: absolute, without `.`, `..` and empty components, and
/// without a `/` at its end. What a server makes of links in it, nobody here knows.
pub fn absolute(from: &[u8], path: &[u8]) -> Vec<u8> {
    let start: &[u8] = if path.starts_with(b"/") { b"" } else { from };
    let mut kept: Vec<&[u8]> = Vec::new();
    for component in start.split(|byte| *byte == b'/').chain(path.split(|byte| *byte == b'/')) {
        match component {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            name => kept.push(name),
        }
    }
    let mut absolute = vec![b'/'];
    absolute.extend(kept.join(&b'/'));
    absolute
}

/// The directory of a 257: between the first quote and its end, quotes in it doubled (RFC 959 appendix II).
pub fn quoted(text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text.strip_prefix(b"\"")?.iter();
    let mut path = Vec::new();
    while let Some(&byte) = rest.next() {
        if byte != b'"' {
            path.push(byte);
        } else if rest.as_slice().starts_with(b"\"") {
            path.push(b'"');
            rest.next();
        } else {
            return Some(path);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(line: &str) -> Option<String> {
        let command = Command::parse(line.as_bytes()).unwrap();
        path_argument(&command).map(|path| String::from_utf8(path.to_vec()).unwrap())
    }

    #[test]
    fn the_path_is_found_behind_options_and_times() {
        assert_eq!(path("RETR a b").as_deref(), Some("a b"));
        assert_eq!(path("LIST -la /x").as_deref(), Some("/x"));
        assert_eq!(path("LIST -l -a").as_deref(), Some(""));
        assert_eq!(path("MFMT 20260101000000 a b").as_deref(), Some("a b"));
        assert_eq!(path("SITE chmod 644 a").as_deref(), Some("a"));
        assert_eq!(path("CDUP").as_deref(), Some(".."));
        assert_eq!(path("NOOP"), None);
        assert_eq!(path("SITE HELP"), None);
    }

    #[test]
    fn a_path_is_made_absolute() {
        for (from, path, expected) in [
            ("/", "a", "/a"),
            ("/pub", "a//b/./c", "/pub/a/b/c"),
            ("/pub", "../../../etc/passwd", "/etc/passwd"),
            ("/pub", "/x/", "/x"),
            ("/pub", "", "/pub"),
            ("/", "..", "/"),
        ] {
            assert_eq!(absolute(from.as_bytes(), path.as_bytes()), expected.as_bytes(), "{from} {path}");
        }
    }

    #[test]
    fn a_quoted_directory_is_read() {
        assert_eq!(quoted(b"\"/a \"\"b\"\"\" is current").as_deref(), Some(&b"/a \"b\""[..]));
        assert_eq!(quoted(b"\"/a"), None);
        assert_eq!(quoted(b"/a"), None);
    }
}
