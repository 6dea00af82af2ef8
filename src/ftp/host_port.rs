//! Addresses and ports as text: PORT, EPRT and the replies to PASV and EPSV.
//!
//! Numbers are decimal, without sign, blank or leading zero and within their range; anything else
//! could be read differently by another parser and is an error (D5, D6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use crate::addr::{AdvertisedAddr, Family};

/// Why an address could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not of the form that the RFC defines, or a number out of range.
    #[error("the address is not of the form that RFC 959 or RFC 2428 define")]
    Syntax,
    /// Port 0.
    #[error("port 0 is not a port")]
    PortZero,
    /// A network protocol other than 1 and 2 (RFC 2428 section 2).
    #[error("the network protocol is neither 1 nor 2")]
    Protocol,
}

/// The argument of EPSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpsvArgument {
    /// None: the family of the control connection.
    Same,
    /// A family, by its number.
    Family(Family),
    /// ALL: no other set-up command will be used any more.
    All,
}

/// Reads `h1,h2,h3,h4,p1,p2` (RFC 959 section 4.1.2).
pub fn parse_port(argument: &[u8]) -> Result<AdvertisedAddr, AddressError> {
    let mut fields = argument.split(|&byte| byte == b',');
    let mut next = || fields.next().and_then(octet).ok_or(AddressError::Syntax);
    let ip = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    let port = u16::from_be_bytes([next()?, next()?]);
    if fields.next().is_some() {
        return Err(AddressError::Syntax);
    }
    advertised(ip.into(), port)
}

/// Reads `|protocol|address|port|` with any delimiter in 33..=126 but a digit (RFC 2428 section 2).
pub fn parse_eprt(argument: &[u8]) -> Result<AdvertisedAddr, AddressError> {
    let delimiter = delimiter(argument)?;
    let fields: Vec<&[u8]> = argument.split(|&byte| byte == delimiter).collect();
    let [b"", protocol, address, port, b""] = fields.as_slice() else {
        return Err(AddressError::Syntax);
    };
    let address = std::str::from_utf8(address).map_err(|_| AddressError::Syntax)?;
    let ip: IpAddr = match *protocol {
        b"1" => address.parse::<Ipv4Addr>().map_err(|_| AddressError::Syntax)?.into(),
        b"2" => address.parse::<Ipv6Addr>().map_err(|_| AddressError::Syntax)?.into(),
        _ => return Err(AddressError::Protocol),
    };
    advertised(ip, number(port).ok_or(AddressError::Syntax)?)
}

/// Reads the argument of EPSV (RFC 2428 section 3).
pub fn parse_epsv_argument(argument: &[u8]) -> Result<EpsvArgument, AddressError> {
    match argument {
        b"" => Ok(EpsvArgument::Same),
        b"1" => Ok(EpsvArgument::Family(Family::V4)),
        b"2" => Ok(EpsvArgument::Family(Family::V6)),
        argument if argument.eq_ignore_ascii_case(b"ALL") => Ok(EpsvArgument::All),
        _ => Err(AddressError::Protocol),
    }
}

/// Reads the six numbers of a 227. Servers put them in parentheses or not; they begin at the first
/// digit (RFC 1123 section 4.1.2.6), and no other digit may follow them.
pub fn parse_227(text: &[u8]) -> Result<AdvertisedAddr, AddressError> {
    let start = text.iter().position(u8::is_ascii_digit).ok_or(AddressError::Syntax)?;
    let (_, rest) = text.split_at(start);
    let end = rest.iter().position(|&byte| !byte.is_ascii_digit() && byte != b',').unwrap_or(rest.len());
    let (numbers, tail) = rest.split_at(end);
    if tail.iter().any(u8::is_ascii_digit) {
        return Err(AddressError::Syntax);
    }
    parse_port(numbers)
}

/// Reads the port of a 229: `(|||port|)` with two blank fields and any delimiter (RFC 2428 section 3).
pub fn parse_229(text: &[u8]) -> Result<u16, AddressError> {
    let start = text.iter().position(|&byte| byte == b'(').ok_or(AddressError::Syntax)?;
    let inner = text.get(start + 1..).unwrap_or_default();
    let delimiter = delimiter(inner)?;
    let fields: Vec<&[u8]> = inner.split(|&byte| byte == delimiter).collect();
    let [b"", b"", b"", port, tail] = fields.as_slice() else {
        return Err(AddressError::Syntax);
    };
    if tail.first() != Some(&b')') || tail.iter().any(u8::is_ascii_digit) {
        return Err(AddressError::Syntax);
    }
    non_zero(number(port).ok_or(AddressError::Syntax)?)
}

/// The argument of PORT for `addr`.
pub fn emit_port(addr: SocketAddrV4) -> String {
    let [a, b, c, d] = addr.ip().octets();
    let [p1, p2] = addr.port().to_be_bytes();
    format!("{a},{b},{c},{d},{p1},{p2}")
}

/// The argument of EPRT for `addr`.
pub fn emit_eprt(addr: SocketAddr) -> String {
    format!("|{}|{}|{}|", Family::of(addr.ip()).number(), addr.ip(), addr.port())
}

/// The text of a 227 for `addr`.
pub fn emit_227(addr: SocketAddrV4) -> String {
    format!("Entering Passive Mode ({}).", emit_port(addr))
}

/// The text of a 229 for `port`.
pub fn emit_229(port: u16) -> String {
    format!("Entering Extended Passive Mode (|||{port}|)")
}

fn advertised(ip: IpAddr, port: u16) -> Result<AdvertisedAddr, AddressError> {
    Ok(AdvertisedAddr(SocketAddr::new(ip, non_zero(port)?)))
}

fn non_zero(port: u16) -> Result<u16, AddressError> {
    if port == 0 { Err(AddressError::PortZero) } else { Ok(port) }
}

fn delimiter(text: &[u8]) -> Result<u8, AddressError> {
    let first = text.first().copied().ok_or(AddressError::Syntax)?;
    let valid = (33..=126).contains(&first) && !first.is_ascii_digit();
    valid.then_some(first).ok_or(AddressError::Syntax)
}

fn octet(text: &[u8]) -> Option<u8> {
    number(text).and_then(|value| u8::try_from(value).ok())
}

/// Decimal digits only, no leading zero, up to 65535.
fn number(text: &[u8]) -> Option<u16> {
    let leading_zero = text.len() > 1 && text.first() == Some(&b'0');
    if leading_zero || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Result<AdvertisedAddr, AddressError> {
        Ok(AdvertisedAddr(text.parse().unwrap()))
    }

    #[test]
    fn port_takes_six_octets() {
        assert_eq!(parse_port(b"10,0,0,1,4,1"), addr("10.0.0.1:1025"));
        assert_eq!(parse_port(b"255,255,255,255,255,255"), addr("255.255.255.255:65535"));
        assert_eq!(parse_port(b"10,0,0,1,0,0"), Err(AddressError::PortZero));
    }

    #[test]
    fn numbers_that_another_parser_could_read_differently_are_refused() {
        for argument in [
            "10,0,0,256,4,1",
            "10,0,0,1,4,256",
            "10,0,0,1,+4,1",
            "10,0,0,1,04,1",
            "10,0,0,007,4,1",
            "10,0,0,1,4",
            "10,0,0,1,4,1,1",
            "10,0,0,1,4,1,",
            "10, 0,0,1,4,1",
            "10,0,0,1,4,1 ",
            "",
            "10,,0,1,4,1",
            "10.0.0.1.4.1",
            "0x0a,0,0,1,4,1",
            "-1,0,0,1,4,1",
        ] {
            assert_eq!(parse_port(argument.as_bytes()), Err(AddressError::Syntax), "{argument}");
        }
        for argument in [
            "|1|10.0.0.1|65558|",
            "|1|10.0.0.1|01025|",
            "|1|10.0.0.1|+1025|",
            "|1|010.0.0.1|1025|",
            "|1|10.0.0.1|1025",
            "|1|10.0.0.1|1025||",
            "1|1|10.0.0.1|1025|",
            "|1|::1|1025|",
            "|2|10.0.0.1|1025|",
            "\x7f1\x7f10.0.0.1\x7f1025\x7f",
            " 1 10.0.0.1 1025 ",
            "|1|10.0.0.1|1025|x",
            "|2|fe80::1%lo|1025|",
            "|",
        ] {
            assert_eq!(parse_eprt(argument.as_bytes()), Err(AddressError::Syntax), "{argument}");
        }
    }

    #[test]
    fn eprt_takes_any_delimiter_and_both_families() {
        assert_eq!(parse_eprt(b"|1|10.0.0.1|1025|"), addr("10.0.0.1:1025"));
        assert_eq!(parse_eprt(b"!2!2001:db8::1!65535!"), addr("[2001:db8::1]:65535"));
        assert_eq!(parse_eprt(b"|3|10.0.0.1|1025|"), Err(AddressError::Protocol));
        assert_eq!(parse_eprt(b"|1|10.0.0.1|0|"), Err(AddressError::PortZero));
    }

    #[test]
    fn a_227_is_read_from_its_first_digit() {
        for text in [
            "Entering Passive Mode (10,0,0,1,4,1)",
            "Entering Passive Mode (10,0,0,1,4,1).",
            "Entering Passive Mode. 10,0,0,1,4,1",
            "=10,0,0,1,4,1",
            "10,0,0,1,4,1",
            "ok [10,0,0,1,4,1] go",
        ] {
            assert_eq!(parse_227(text.as_bytes()), addr("10.0.0.1:1025"), "{text}");
        }
        for text in ["Logout.", "Mode 1 (10,0,0,1,4,1)", "(10,0,0,1,4,1) (10,0,0,2,4,1)", "(10,0,0,1,4,1,)"] {
            assert_eq!(parse_227(text.as_bytes()), Err(AddressError::Syntax), "{text}");
        }
    }

    #[test]
    fn a_229_has_two_blank_fields() {
        assert_eq!(parse_229(b"Entering Extended Passive Mode (|||1025|)"), Ok(1025));
        assert_eq!(parse_229(b"ok (!!!65535!)."), Ok(65_535));
        for text in
            ["(|||65536|)", "(||10.0.0.1|1025|)", "(|1||1025|)", "(|||1025|", "|||1025|", "(1111025|)", "("]
        {
            assert_eq!(parse_229(text.as_bytes()), Err(AddressError::Syntax), "{text}");
        }
        assert_eq!(parse_229(b"(|||0|)"), Err(AddressError::PortZero));
    }

    #[test]
    fn what_is_emitted_is_parsed_again() {
        let v4: SocketAddrV4 = "203.0.113.10:50017".parse().unwrap();
        let v6: SocketAddr = "[2001:db8::10]:50017".parse().unwrap();
        assert_eq!(parse_port(emit_port(v4).as_bytes()), Ok(AdvertisedAddr(v4.into())));
        assert_eq!(parse_227(emit_227(v4).as_bytes()), Ok(AdvertisedAddr(v4.into())));
        assert_eq!(parse_eprt(emit_eprt(v6).as_bytes()), Ok(AdvertisedAddr(v6)));
        assert_eq!(parse_229(emit_229(50_017).as_bytes()), Ok(50_017));
    }
}
