//! The kinds of values in a rules file: how each is written, and what to tell who wrote it otherwise.
//!
//! Numbers are read strictly: no sign, no leading zero, no blank, so that nobody reads them differently.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::pki_types::{DnsName, ServerName};

use super::model::Mark;
use super::words::Words;
use crate::addr::PortRange;
use crate::policy::rules::{CommandName, Pattern};

/// A kind of value.
pub(super) struct Kind<T> {
    allowed: String,
    read: Box<Reading<T>>,
}

/// A text's value, or what is wrong with it.
type Reading<T> = dyn Fn(&str) -> Result<T, &'static str>;

impl<T> Kind<T> {
    pub(super) fn new(
        allowed: impl Into<String>,
        read: impl Fn(&str) -> Result<T, &'static str> + 'static,
    ) -> Self {
        Self { allowed: allowed.into(), read: Box::new(read) }
    }

    /// What may be written.
    pub(super) fn allowed(&self) -> &str {
        &self.allowed
    }

    /// The value of `text`, or what is wrong with it, as the end of a sentence that begins with it.
    pub(super) fn read(&self, text: &str) -> Result<T, &'static str> {
        (self.read)(text)
    }
}

/// One of `words`.
pub(super) fn word<T: Copy + PartialEq + 'static>(words: Words<T>) -> Kind<T> {
    let allowed: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    Kind::new(allowed.join(", "), move |text| {
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or("is not known here")
    })
}

/// Only `word`; `later` are the words that a later version will know.
pub(super) fn only(word: &'static str, later: &'static [&'static str]) -> Kind<()> {
    Kind::new(word, move |text| match text {
        text if text == word => Ok(()),
        text if later.contains(&text) => Err("is not available in this version"),
        _ => Err("is not known here"),
    })
}

/// Only `word`; whatever else one may write is for a later version.
pub(super) fn for_now(word: &'static str) -> Kind<()> {
    Kind::new(word, move |text| if text == word { Ok(()) } else { Err("is not available in this version") })
}

/// Where clients connect.
pub(super) fn listen_address() -> Kind<SocketAddr> {
    Kind::new(SOCKET_ADDRESS, |text| {
        let addr = socket_address(text)?;
        if addr.ip().is_multicast() { Err("is a multicast address") } else { Ok(addr) }
    })
}

/// A server.
pub(super) fn upstream_address() -> Kind<SocketAddr> {
    Kind::new(SOCKET_ADDRESS, |text| {
        let addr = socket_address(text)?;
        let dialled = !addr.ip().is_multicast() && !addr.ip().is_unspecified();
        if dialled { Ok(addr) } else { Err("is not an address of one server") }
    })
}

fn socket_address(text: &str) -> Result<SocketAddr, &'static str> {
    let addr: SocketAddr = text.parse().map_err(|_| "is not an address with a port")?;
    match addr.ip().to_canonical() {
        _ if addr.port() == 0 => Err("has port 0"),
        IpAddr::V4(_) if addr.is_ipv6() => Err("is an IPv4 address written as IPv6"),
        _ => Ok(addr),
    }
}

/// A network; an address alone is a network of one. As in nftables, the address of an interface with its prefix
/// names the network that it is in.
pub(super) fn network() -> Kind<IpNet> {
    Kind::new("ADDRESS/PREFIX like 10.0.0.0/8 or \"::/0\", an address, or a list of them", |text| {
        let alone = text.parse::<IpAddr>().map(IpNet::from);
        let network = alone.or_else(|_| text.parse::<IpNet>()).map_err(|_| "is not a network")?;
        Ok(network.trunc())
    })
}

/// An address of the gateway.
pub(super) fn own_address() -> Kind<IpAddr> {
    Kind::new("an address of the gateway, or one of each family", |text| {
        let addr: IpAddr = text.parse().map_err(|_| "is not an address")?;
        let one = !addr.is_unspecified() && !addr.is_multicast() && addr == addr.to_canonical();
        if one { Ok(addr) } else { Err("is not the address of one host") }
    })
}

/// The address written into a 227.
pub(super) fn advertised_address() -> Kind<Option<Ipv4Addr>> {
    Kind::new("the IPv4 address of one host", |text| {
        let addr: Ipv4Addr = text.parse().map_err(|_| "is not an IPv4 address")?;
        // 0.0.0.0/8 means this network (RFC 1122), 224.0.0.0 and above means many hosts or none.
        let [first, ..] = addr.octets();
        if (1..224).contains(&first) { Ok(Some(addr)) } else { Err("is not the address of one host") }
    })
}

/// A port or a range of ports.
pub(super) fn ports() -> Kind<PortRange> {
    Kind::new("1-65535; a range low-high, or a list of them", |text| match text.split_once('-') {
        None => {
            let port = port(text).ok_or("is not a port")?;
            PortRange::new(port, port).ok_or("is not a port")
        }
        Some((low, high)) => {
            let (low, high) = port(low).zip(port(high)).ok_or("is not a range of ports")?;
            PortRange::new(low, high).ok_or("is a range that runs backwards")
        }
    })
}

fn port(text: &str) -> Option<u16> {
    digits(text).and_then(|number| u16::try_from(number).ok()).filter(|port| *port != 0)
}

/// A whole number.
pub(super) fn integer<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> Kind<T> {
    Kind::new(format!("{}-{}", range.start(), range.end()), move |text| {
        bounded(digits(text).ok_or("is not a whole number")?, &range)
    })
}

/// A number of bytes.
pub(super) fn bytes<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> Kind<T> {
    let allowed = format!("{}-{} bytes, like 4096 or 4KiB", range.start(), range.end());
    Kind::new(allowed, move |text| {
        let unit = [("KiB", 1 << 10), ("MiB", 1 << 20)];
        let split = unit.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
        let (number, unit) = split.unwrap_or((text, 1));
        let number = digits(number).ok_or("is not a number of bytes")?;
        bounded(number.saturating_mul(unit), &range)
    })
}

fn bounded<T: TryFrom<u64>>(number: u64, range: &RangeInclusive<u64>) -> Result<T, &'static str> {
    let inside = Some(number).filter(|number| range.contains(number));
    inside.and_then(|number| T::try_from(number).ok()).ok_or("is out of range")
}

/// A time, from 1 ms to 365 days: bounded, so that adding it to a clock cannot overflow.
pub(super) fn duration() -> Kind<Duration> {
    Kind::new("1ms-365d, like 500ms 30s 5m 2h 1d", |text| {
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or("is a time without a unit")?;
        let (number, unit) = text.split_at(unit_at);
        let unit = UNITS.iter().find(|(name, _)| *name == unit).ok_or("is not a time")?;
        let millis = digits(number).ok_or("is not a time")?.saturating_mul(unit.1);
        bounded(millis, &(1..=365 * 24 * 3_600_000)).map(Duration::from_millis)
    })
}

/// `time` as [`duration`] reads it, in the largest unit that it holds twice: `60s`, `15m`.
pub(super) fn duration_text(time: Duration) -> String {
    let millis = time.as_millis();
    let fits = |size: u128| millis.is_multiple_of(size) && (millis >= 2 * size || size == 1000);
    let unit = UNITS.iter().find(|(_, size)| fits(u128::from(*size)));
    unit.map_or_else(|| format!("{millis}ms"), |(name, size)| format!("{}{name}", millis / u128::from(*size)))
}

/// The name of an nftables table.
pub(super) fn table_name() -> Kind<String> {
    Kind::new("1-32 of a-z A-Z 0-9 _, no digit first", |text| {
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let valid = (1..=32).contains(&text.len()) && text.chars().all(letter);
        let valid = valid && !text.starts_with(|c: char| c.is_ascii_digit());
        if valid { Ok(text.to_owned()) } else { Err("is not a name") }
    })
}

/// The gateway's bits in the marks of packets and connections.
pub(super) fn mark() -> Kind<Mark> {
    let allowed =
        "VALUE/MASK like 0x80000000/0xe0000000, hexadecimal, the value and two more bits in the mask";
    Kind::new(allowed, |text| {
        let (value, mask) = text.split_once('/').ok_or("is not a mark")?;
        let (value, mask) = hexadecimal(value).zip(hexadecimal(mask)).ok_or("is not a mark")?;
        Mark::new(value, mask).ok_or("does not leave two bits of the mask free")
    })
}

fn hexadecimal(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

/// A path in the file system.
pub(super) fn file_path() -> Kind<PathBuf> {
    Kind::new("a path without control characters", |text| {
        let valid = !text.is_empty() && !text.chars().any(char::is_control);
        if valid { Ok(PathBuf::from(text)) } else { Err("is not a path") }
    })
}

/// A host's name in a certificate; `*.` stands for its first label.
pub(super) fn host_name() -> Kind<String> {
    Kind::new("a host's name like ftp.example.com or *.example.com, or a list of them", |text| {
        let name = text.strip_prefix("*.").unwrap_or(text);
        DnsName::try_from(name).map(|_| text.to_owned()).map_err(|_| "is not a host's name")
    })
}

/// The name or the address that stands in a server's certificate.
pub(super) fn server_name() -> Kind<Option<ServerName<'static>>> {
    Kind::new("the name or the address in the server's certificate", |text| {
        ServerName::try_from(text.to_owned()).map(Some).map_err(|_| "is not a host's name")
    })
}

/// A certificate's fingerprint, or the file that holds the certificate.
pub(super) fn pin() -> Kind<Result<[u8; 32], PathBuf>> {
    Kind::new("a PEM file, sha256: and 64 hexadecimal digits, or a list of them", |text| {
        let Some(digits) = text.strip_prefix("sha256:") else {
            return file_path().read(text).map(Err);
        };
        let digits: String = digits.chars().filter(|c| *c != ':').collect();
        fingerprint(&digits).map(Ok).ok_or("is not a fingerprint")
    })
}

fn fingerprint(digits: &str) -> Option<[u8; 32]> {
    let plain = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate().filter(|_| plain) {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    plain.then_some(bytes)
}

/// The name of a service.
pub(super) fn service_name() -> Kind<()> {
    Kind::new("1-32 of a-z 0-9 - _", |text| {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let valid = (1..=32).contains(&text.len()) && text.chars().all(letter);
        if valid { Ok(()) } else { Err("is not a name") }
    })
}

/// One of `names`.
pub(super) fn one_of(names: &[&str], otherwise: &'static str) -> Kind<String> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Kind::new(names.join(", "), move |text| {
        if names.iter().any(|name| name == text) { Ok(text.to_owned()) } else { Err(otherwise) }
    })
}

/// The address of a client.
pub(super) fn client_address() -> Kind<IpAddr> {
    Kind::new("an address like 198.51.100.7", |text| text.parse().map_err(|_| "is not an address"))
}

/// A text on one line.
pub(super) fn text() -> Kind<Option<String>> {
    Kind::new("a text of one line", |text| {
        let plain = !text.is_empty() && text.len() <= 1000 && !text.chars().any(char::is_control);
        if plain { Ok(Some(text.to_owned())) } else { Err("is not a text of one line") }
    })
}

/// A directory of a server.
pub(super) fn directory() -> Kind<Option<String>> {
    Kind::new("a directory that begins with /", |path| match text().read(path)? {
        Some(path) if path.starts_with('/') => Ok(Some(path)),
        _ => Err("is not a directory that begins with /"),
    })
}

/// The name of a rule.
pub(super) fn rule_name() -> Kind<Arc<str>> {
    Kind::new(
        "1-64 of a-z 0-9 - _",
        |text| {
            if is_name(text, 64) { Ok(text.into()) } else { Err("is not a name") }
        },
    )
}

/// The name of a list.
pub(super) fn list_name() -> Kind<()> {
    Kind::new("1-64 of a-z 0-9 - _", |text| if is_name(text, 64) { Ok(()) } else { Err("is not a name") })
}

fn is_name(text: &str, most: usize) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    (1..=most).contains(&text.len()) && text.chars().all(letter)
}

/// A command, or a sub-command of SITE.
pub(super) fn command_name() -> Kind<CommandName> {
    Kind::new("a command like STOR, a SITE command like \"SITE CHMOD\", or a list of them", |text| {
        let (verb, site) = text.split_once(' ').map_or((text, None), |(verb, site)| (verb, Some(site)));
        let word =
            |word: &str| (1..=16).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric());
        let valid = (3..=8).contains(&verb.len()) && word(verb) && site.is_none_or(word);
        let site = site.map(str::to_ascii_uppercase);
        match (valid, verb.to_ascii_uppercase()) {
            (false, _) => Err("is not a command"),
            (true, verb) if site.is_some() && verb != "SITE" => Err("is more than a command"),
            (true, verb) => Ok(CommandName { verb, site }),
        }
    })
}

/// Names of users.
pub(super) fn user_pattern() -> Kind<Pattern> {
    Kind::new("a user, with * and ? for anything, or a list of them", |text| {
        Pattern::user(text).ok_or("is not a pattern")
    })
}

/// Paths; `exact`: case counts.
pub(super) fn path_pattern(exact: bool) -> Kind<Pattern> {
    let allowed =
        "a pattern like *.exe for the last component or /pub/** for the whole path, or a list of them";
    Kind::new(allowed, move |text| Pattern::path(text, exact).ok_or("is not a pattern"))
}

/// What the client hears when a rule denies its command.
pub(super) fn reply() -> Kind<Arc<str>> {
    reply_of("a reply of one line like \"550 Not here.\", its code 4yz or 5yz and not 421", |code| {
        code.starts_with(['4', '5']) && code != "421"
    })
}

/// What the client hears when a rule ends its session.
pub(super) fn farewell() -> Kind<Arc<str>> {
    reply_of("a reply of one line like \"421 Good bye.\", its code 421", |code| code == "421")
}

fn reply_of(allowed: &str, good: impl Fn(&str) -> bool + 'static) -> Kind<Arc<str>> {
    Kind::new(allowed, move |text| {
        let (code, words) = text.split_once(' ').ok_or("is not a reply")?;
        let digits = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
        let plain = text.len() <= 200 && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if digits && good(code) && plain && !words.is_empty() {
            Ok(text.into())
        } else {
            Err("is not a reply for this")
        }
    })
}

/// A decimal number as one would write it; above `u64` it is `u64::MAX`, which no range here holds.
fn digits(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    (plain && !text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX))
}

const SOCKET_ADDRESS: &str = "ADDRESS:PORT or \"[IPV6]:PORT\", port 1-65535, or a list of them";

/// Units of time in milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_refused<T: std::fmt::Debug>(kind: Kind<T>, texts: &[&str]) {
        for text in texts {
            assert!(kind.read(text).is_err(), "{text} was read as {:?}", kind.read(text));
        }
    }

    #[test]
    fn times_are_read_in_every_unit_and_never_zero() {
        let read = |text| duration().read(text).map(|time| time.as_millis());
        assert_eq!(
            ["500ms", "30s", "5m", "2h", "1d"].map(read),
            [Ok(500), Ok(30_000), Ok(300_000), Ok(7_200_000), Ok(86_400_000)]
        );
        assert_refused(
            duration(),
            &["", "0s", "5", "s", "05s", "+5s", "-5s", "5 s", "1.5s", "5S", "366d", "5ss"],
        );
        assert_refused(duration(), &["99999999999999999999d", "18446744073709551615ms"]);
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in ["1ms", "1500ms", "1s", "60s", "90s", "2m", "15m", "60m", "2h", "24h", "365d"] {
            assert_eq!(duration_text(duration().read(text).unwrap()), text);
        }
        assert_eq!(duration_text(Duration::from_secs(3600)), "60m");
    }

    #[test]
    fn numbers_that_could_be_read_differently_are_refused() {
        assert_refused(
            integer::<u32>(1..=100),
            &["", "0", "101", "+1", "-1", "007", "1e1", "0x1", "1_0", " 1"],
        );
        assert_refused(
            ports(),
            &["0", "65536", "65558", "+1", "007", "1-", "-1", "1 - 2", "1-2-3", "5-4", "0-5"],
        );
        assert_refused(bytes::<usize>(512..=65_536), &["64kB", "0.5KiB", "65KiB", "1MiB", "KiB", "4 KiB"]);
        assert_eq!(bytes::<usize>(512..=65_536).read("64KiB"), Ok(65_536));
    }

    #[test]
    fn addresses_that_name_no_single_host_are_refused() {
        assert_refused(
            advertised_address(),
            &["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::1", "host"],
        );
        assert_refused(
            upstream_address(),
            &["0.0.0.0:21", "[::]:21", "224.0.0.1:21", "10.0.0.1", "10.0.0.1:0"],
        );
        assert_refused(
            listen_address(),
            &["localhost:21", "[::ffff:10.0.0.1]:21", "[ff02::1]:21", ":21", "21"],
        );
    }

    #[test]
    fn a_network_is_named_by_an_address_and_a_prefix() {
        assert_eq!(network().read("10.0.0.5").unwrap().to_string(), "10.0.0.5/32");
        assert_eq!(network().read("10.0.0.5/24").unwrap().to_string(), "10.0.0.0/24");
        assert_refused(network(), &["10.0.0.0/33", "10.0.0/8", "all"]);
    }

    #[test]
    fn a_service_name_is_short_and_plain() {
        assert_refused(service_name(), &["", "Warehouse", "a.b", "a b", "ä", &"a".repeat(33)]);
        assert_eq!(service_name().read("ftp-1_a"), Ok(()));
    }
}
