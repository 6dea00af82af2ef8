//! Captures of every kind that the gateway reads: the same segments come out, and what is wrong is said.

use std::io::{Cursor, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use etherparse::{IpFragOffset, IpNumber, Ipv4Header, PacketBuilder};
use flate2::Compression;
use flate2::write::GzEncoder;
use ftp_pinhole::capture::{CaptureError, Conversation, Reader, Speaker, Writer};
use ftp_pinhole::packet::{Decoded, Decoder, Link};
use ftp_pinhole::stream::{Connection, Direction, End, FlowEvent, FlowId, Flows, Interest, Limits, Sink};
use ftp_pinhole::time::Timestamp;

const LINE: &[u8] = b"USER anonymous\r\n";

/// An IPv4 packet from 10.0.0.1:1025 to 10.0.0.2:21.
fn packet() -> Vec<u8> {
    let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(1025, 21, 7, 100).ack(9);
    let mut packet = Vec::new();
    builder.write_to_vec(&mut packet, LINE).unwrap();
    packet
}

fn ethernet(ether_type: u16, packet: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &ether_type.to_be_bytes(), packet].concat()
}

fn words(big_endian: bool, words: &[u32]) -> Vec<u8> {
    let bytes = |word: &u32| if big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
    words.iter().flat_map(bytes).collect()
}

fn halves(big_endian: bool, halves: &[u16]) -> Vec<u8> {
    let bytes = |half: &u16| if big_endian { half.to_be_bytes() } else { half.to_le_bytes() };
    halves.iter().flat_map(bytes).collect()
}

/// A pcap file of one frame at 1.5 s, of which `captured` bytes are there.
fn pcap(big_endian: bool, nanoseconds: bool, link: u32, frame: &[u8], captured: usize) -> Vec<u8> {
    let (magic, fraction) = if nanoseconds { (0xa1b2_3c4d, 500_000_000) } else { (0xa1b2_c3d4, 500_000) };
    let mut file = words(big_endian, &[magic]);
    file.extend(halves(big_endian, &[2, 4]));
    file.extend(words(big_endian, &[0, 0, 0, link]));
    file.extend(words(big_endian, &[1, fraction, captured as u32, frame.len() as u32]));
    file.extend(&frame[..captured]);
    file
}

fn block(big_endian: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = body.len() as u32 + 12;
    [words(big_endian, &[kind, length]), body, words(big_endian, &[length])].concat()
}

fn section(big_endian: bool) -> Vec<u8> {
    let body = [words(big_endian, &[0x1a2b_3c4d]), halves(big_endian, &[1, 0]), vec![0xff; 8]].concat();
    block(big_endian, 0x0a0d_0d0a, &body)
}

/// An interface with the options if_tsresol and if_tsoffset.
fn interface(big_endian: bool, link: u16, snap_length: u32, resolution: u8, offset: i64) -> Vec<u8> {
    let offset = if big_endian { offset.to_be_bytes() } else { offset.to_le_bytes() };
    let mut body = [halves(big_endian, &[link, 0]), words(big_endian, &[snap_length])].concat();
    body.extend([halves(big_endian, &[9, 1]), vec![resolution, 0, 0, 0]].concat());
    body.extend([&halves(big_endian, &[14, 8])[..], &offset, &[0; 4]].concat());
    block(big_endian, 1, &body)
}

fn enhanced(big_endian: bool, interface: u32, ticks: u64, frame: &[u8]) -> Vec<u8> {
    let length = frame.len() as u32;
    let header = words(big_endian, &[interface, (ticks >> 32) as u32, ticks as u32, length, length]);
    block(big_endian, 6, &[&header, frame].concat())
}

/// A frame as the reader gave it, and its payload or what it was instead.
#[derive(Debug, PartialEq)]
struct Seen {
    at: Duration,
    link: u32,
    length: usize,
    text: String,
}

fn read_all(reader: &mut Reader) -> Result<Vec<Seen>, CaptureError> {
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    while let Some(frame) = reader.next()? {
        assert_eq!(frame.number, seen.len() as u64 + 1);
        let link = Link::from_dlt(frame.link_type).expect("a link that is known");
        let text = match decoder.decode(link, Timestamp::from_origin(frame.at), frame.data, frame.length) {
            Decoded::Segment(segment) => {
                let payload = String::from_utf8_lossy(segment.payload).into_owned();
                if segment.missing > 0 { format!("{payload}+{}", segment.missing) } else { payload }
            }
            other => format!("{other:?}"),
        };
        seen.push(Seen { at: frame.at, link: frame.link_type, length: frame.length, text });
    }
    Ok(seen)
}

fn read(file: Vec<u8>) -> Result<Vec<Seen>, CaptureError> {
    read_all(&mut Reader::new(Cursor::new(file))?)
}

fn line() -> String {
    String::from_utf8(LINE.to_vec()).unwrap()
}

fn decode(link: Link, frame: &[u8]) -> String {
    match Decoder::default().decode(link, Timestamp::default(), frame, frame.len()) {
        Decoded::Segment(segment) => String::from_utf8_lossy(segment.payload).into_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn pcap_is_read_in_both_byte_orders_and_resolutions() {
    for big_endian in [false, true] {
        for nanoseconds in [false, true] {
            let frame = ethernet(0x0800, &packet());
            let seen = read(pcap(big_endian, nanoseconds, 1, &frame, frame.len())).unwrap();
            let at = Duration::from_millis(1500);
            assert_eq!(seen, [Seen { at, link: 1, length: frame.len(), text: line() }]);
        }
    }
}

#[test]
fn pcapng_is_read_with_sections_interfaces_and_every_kind_of_packet_block() {
    let frame = ethernet(0x0800, &packet());
    for big_endian in [false, true] {
        let obsolete = [
            halves(big_endian, &[0, 7]),
            words(big_endian, &[0, 3_000_000, frame.len() as u32, frame.len() as u32]),
            frame.clone(),
        ];
        let file = [
            section(!big_endian),
            interface(!big_endian, 101, 0, 9, 0),
            enhanced(!big_endian, 0, 1_000_000_000, &packet()),
            section(big_endian),
            interface(big_endian, 1, 69, 6, 0),
            interface(big_endian, 101, 0, 0x80 | 10, 100),
            block(big_endian, 5, b"statistics that nobody can parse"),
            block(big_endian, 0xbad_cafe, b"unknown"),
            enhanced(big_endian, 1, 1536, &packet()),
            block(big_endian, 3, &[words(big_endian, &[frame.len() as u32]), frame[..69].to_vec()].concat()),
            block(big_endian, 2, &obsolete.concat()),
        ];
        let seen = read(file.concat()).unwrap();
        let texts: Vec<_> = seen.iter().map(|seen| (seen.at.as_millis(), seen.link, &*seen.text)).collect();
        let line = line();
        // The interface's limit cuts one byte off the simple packet; its time is that of the one before.
        let cut = "USER anonymous\r+1";
        let expected = [(1000, 101, &*line), (101_500, 101, &line), (101_500, 1, cut), (3000, 1, &line)];
        assert_eq!(texts, expected);
    }
}

#[test]
fn gzip_is_found_by_its_magic_also_in_several_members() {
    let frame = ethernet(0x0800, &packet());
    let plain = pcap(false, false, 1, &frame, frame.len());
    let (one, two) = plain.split_at(50);
    let member = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let mut file = [member(one), member(two)].concat();
    assert_eq!(read(file.clone()).unwrap()[0].text, line());
    for cut in [4, 8] {
        file.truncate(file.len() - cut);
        let mut reader = Reader::new(Cursor::new(file.clone())).unwrap();
        read_all(&mut reader).unwrap();
        assert!(reader.is_truncated(), "the compressed data stops {cut} bytes short");
    }
}

#[test]
fn a_capture_that_comes_in_dribs_is_read() {
    struct Dribs(Cursor<Vec<u8>>);
    impl Read for Dribs {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(&mut buffer[..1])
        }
    }
    let file = [section(true), interface(true, 101, 0, 6, 0), enhanced(true, 0, 5, &packet())].concat();
    let mut reader = Reader::new(Dribs(Cursor::new(file.clone()))).unwrap();
    assert_eq!(read_all(&mut reader).unwrap()[0].text, line());
    assert!(!reader.is_truncated());
    assert_eq!((reader.position(), reader.size()), (file.len() as u64, None));
}

#[test]
fn a_cut_tail_is_no_error_but_known() {
    let file = [section(false), interface(false, 101, 0, 6, 0), enhanced(false, 0, 5, &packet())].concat();
    let two = [file.clone(), enhanced(false, 0, 6, &packet())].concat();
    for cut in 1..two.len() - file.len() {
        let mut reader = Reader::new(Cursor::new(two[..two.len() - cut].to_vec())).unwrap();
        assert_eq!(read_all(&mut reader).unwrap().len(), 1);
        assert!(reader.is_truncated(), "{cut}");
    }
}

#[test]
fn a_header_without_frames_is_a_capture() {
    assert_eq!(read(pcap(false, false, 1, &[], 0)[..24].to_vec()).unwrap(), []);
    assert_eq!(read(section(true)).unwrap(), []);
}

#[test]
fn what_is_no_capture_says_so() {
    let message = |file: &[u8]| read(file.to_vec()).unwrap_err().to_string();
    assert_eq!(message(b""), "the capture is empty");
    let elf = message(b"\x7fELF then some more bytes, enough for a header");
    assert_eq!(elf, "not a capture: it begins with 7f 45 4c 46, neither pcap nor pcapng");
    assert_eq!(message(b"hi"), "not a capture: it begins with 68 69, neither pcap nor pcapng");
    let mut old = pcap(false, false, 1, &[], 0);
    old[4] = 1;
    assert_eq!(message(&old), "pcap version 1.4 is not supported");
    let mut new = section(false);
    new[12] = 2;
    assert_eq!(message(&new), "pcapng version 2.0 is not supported");
}

#[test]
fn broken_blocks_are_named_by_their_place() {
    let message = |tail: Vec<u8>| {
        read([section(false), interface(false, 101, 0, 6, 0), tail].concat()).unwrap_err().to_string()
    };
    let short = words(false, &[6, 8, 0, 0]);
    assert_eq!(message(short), "broken at byte 72: a block shorter than its header");
    let foreign = enhanced(false, 3, 0, &packet());
    assert_eq!(message(foreign), "broken at byte 72: a packet of an interface that is not described");
    let mut lying = enhanced(false, 0, 0, &packet());
    lying[20] = 0xff;
    assert_eq!(message(lying), "broken at byte 72: a bad packet block");
    let resolution = interface(false, 1, 0, 100, 0);
    assert_eq!(message(resolution), "broken at byte 72: a bad time resolution");
    let huge = words(false, &[6, 1 << 30, 0, 0]);
    assert_eq!(message(huge), "the block at byte 72 has 1073741824 bytes, more than 16777216");
}

#[test]
fn blocks_larger_than_the_window_are_read() {
    let comment = block(false, 0xbad, &vec![0; 5 << 20]);
    let file = [section(false), interface(false, 101, 0, 6, 0), comment, enhanced(false, 0, 5, &packet())];
    assert_eq!(read(file.concat()).unwrap()[0].text, line());
}

#[test]
fn each_link_type_is_read() {
    let packet = packet();
    let cooked = |before: &[u8], after: &[u8]| [before, &[0x08, 0x00], after, &packet].concat();
    for (number, frame) in [
        (1, ethernet(0x0800, &packet)),
        (1, ethernet(0x8100, &cooked(&[0, 5], &[]))),
        (1, ethernet(0x88a8, &[&[0, 5, 0x81, 0][..], &cooked(&[0, 6], &[])].concat())),
        (1, ethernet(0x8864, &[&[0x11, 0, 0, 1, 0, 58, 0, 0x21][..], &packet].concat())),
        (113, cooked(&[0; 14], &[])),
        (276, cooked(&[], &[0; 18])),
        (101, packet.clone()),
        (12, packet.clone()),
        (228, packet.clone()),
        (0, [&[2, 0, 0, 0][..], &packet].concat()),
        (108, [&[0, 0, 0, 2][..], &packet].concat()),
        (9, [&[0xff, 3, 0, 0x21][..], &packet].concat()),
    ] {
        assert_eq!(decode(Link::from_dlt(number).unwrap(), &frame), line(), "{number}");
    }
}

#[test]
fn padding_is_not_payload_and_a_length_of_zero_is_a_large_packet() {
    let mut frame = ethernet(0x0800, &packet());
    frame.extend([0; 9]);
    assert_eq!(decode(Link::Ethernet, &frame), line());
    let mut large = packet();
    large[2..4].fill(0);
    assert_eq!(decode(Link::Raw, &large), line());
}

#[test]
fn bytes_that_the_capture_cut_off_are_counted() {
    let frame = ethernet(0x0800, &packet());
    let texts: Vec<_> = [frame.len() - 12, 14 + 40, 14 + 39, 14 + 19]
        .iter()
        .map(|captured| read(pcap(false, false, 1, &frame, *captured)).unwrap().remove(0).text)
        .collect();
    assert_eq!(texts, ["USER+12", "+16", "Malformed", "Malformed"]);
    let mut large = packet();
    large[2..4].fill(0);
    assert_eq!(read(pcap(false, false, 101, &large, 44)).unwrap()[0].text, "USER+12");
}

#[test]
fn ipv6_with_extension_headers_is_read() {
    let mut tcp = Vec::new();
    PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp(1025, 21, 7, 100).write_to_vec(&mut tcp, LINE).unwrap();
    assert_eq!(decode(Link::Raw, &tcp), line());
    let options = [6, 0, 1, 4, 0, 0, 0, 0];
    let mut with_options = [&tcp[..40], &options, &tcp[40..]].concat();
    with_options[6] = 60;
    with_options[5] += 8;
    assert_eq!(decode(Link::Raw, &with_options), line());
}

/// The datagram of [`packet`] in pieces of 24 bytes, the last one as long as it gets; with other bytes
/// where `forged`.
fn fragments(forged: bool) -> Vec<Vec<u8>> {
    let mut body = packet()[20..].to_vec();
    if forged {
        body.iter_mut().for_each(|byte| *byte ^= 1);
    }
    let count = body.len().div_ceil(24);
    let fragment = |(i, piece): (usize, &[u8])| {
        let mut ip =
            Ipv4Header::new(piece.len() as u16, 64, IpNumber::TCP, [10, 0, 0, 1], [10, 0, 0, 2]).unwrap();
        (ip.identification, ip.dont_fragment, ip.more_fragments) = (77, false, i + 1 < count);
        ip.fragment_offset = IpFragOffset::try_new(i as u16 * 3).unwrap();
        [&ip.to_bytes()[..], piece].concat()
    };
    body.chunks(24).enumerate().map(fragment).collect()
}

fn decode_in_turn(frames: &[(u64, &Vec<u8>)]) -> Vec<String> {
    let mut decoder = Decoder::default();
    let decode = |(second, frame): &(u64, &Vec<u8>)| {
        let at = Timestamp::from_origin(Duration::from_secs(*second));
        match decoder.decode(Link::Raw, at, frame, frame.len()) {
            Decoded::Segment(segment) => String::from_utf8_lossy(segment.payload).into_owned(),
            other => format!("{other:?}"),
        }
    };
    frames.iter().map(decode).collect()
}

#[test]
fn fragments_are_put_together_in_any_order_and_copies_do_no_harm() {
    let (good, line) = (fragments(false), line());
    assert_eq!(good.len(), 2);
    assert_eq!(decode_in_turn(&[(0, &good[0]), (0, &good[1])]), ["Fragment", &line]);
    assert_eq!(
        decode_in_turn(&[(0, &good[1]), (0, &good[1]), (0, &good[0])]),
        ["Fragment", "Fragment", &line]
    );
}

#[test]
fn fragments_that_contradict_each_other_spoil_their_datagram() {
    let (good, forged) = (fragments(false), fragments(true));
    let got = decode_in_turn(&[(0, &forged[1]), (0, &good[1]), (0, &good[0])]);
    assert_eq!(got, ["Fragment", "Overlap", "Fragment"]);
}

#[test]
fn fragments_are_bounded_in_number_and_age() {
    let good = fragments(false);
    let late = decode_in_turn(&[(0, &good[0]), (40, &numbered(&good[0], 1)), (40, &good[1])]);
    assert_eq!(late, ["Fragment"; 3]);
    let others: Vec<_> = (1000..1256).map(|number| numbered(&good[0], number)).collect();
    let mut frames = vec![(0, &good[0])];
    frames.extend(others.iter().map(|other| (1, other)));
    frames.push((1, &good[1]));
    assert_eq!(decode_in_turn(&frames).pop().unwrap(), "Fragment", "256 others came between");
}

/// The fragment with another identification.
fn numbered(fragment: &[u8], identification: u16) -> Vec<u8> {
    let mut fragment = fragment.to_vec();
    fragment[4..6].copy_from_slice(&identification.to_be_bytes());
    fragment
}

#[test]
fn ipv6_fragments_are_put_together() {
    let mut whole = Vec::new();
    PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp(1025, 21, 7, 100).write_to_vec(&mut whole, LINE).unwrap();
    let fragment = |from: usize, to: usize, more: u8| {
        let header = [6, 0, 0, (from as u8) | more, 0, 0, 0, 9];
        let mut packet = [&whole[..40], &header, &whole[40 + from..40 + to]].concat();
        (packet[5], packet[6]) = ((to - from + 8) as u8, 44);
        packet
    };
    let (one, two) = (fragment(0, 24, 1), fragment(24, 36, 0));
    assert_eq!(decode_in_turn(&[(0, &one), (0, &two)]), ["Fragment".to_owned(), line()]);
}

#[test]
fn a_conversation_that_was_written_reads_back() {
    for [client, server] in [["198.51.100.7:1025", "10.0.0.5:21"], ["[2001:db8::7]:1025", "[2001:db8::5]:21"]]
    {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut talk = Conversation::new(addr(client), addr(server)).unwrap();
        let long = vec![b'x'; 3000];
        let packets = [talk.open(), talk.say(Speaker::Server, &long), talk.close(Speaker::Client)].concat();
        let mut writer = Writer::new(Vec::new()).unwrap();
        for (i, packet) in packets.iter().enumerate() {
            let at = Duration::new(1_700_000_000, i as u32);
            writer.write(at, packet, (i == 0).then_some("the gateway dials")).unwrap();
            check_checksums(packet);
        }
        let seen = read(writer.finish().unwrap()).unwrap();
        let lengths: Vec<_> = seen.iter().map(|seen| seen.text.len()).collect();
        assert_eq!(lengths, [0, 0, 0, 1460, 1460, 80, 0, 0, 0]);
        assert_eq!(seen[8].at, Duration::new(1_700_000_000, 8));
        let fin = |direction| FlowEvent::Fin { direction };
        let closed = FlowEvent::Closed { end: End::Finished, original: Some(0), reply: Some(3000) };
        assert_eq!(events(&packets), [fin(Direction::Original), fin(Direction::Reply), closed]);
    }
    assert!(Conversation::new("10.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap()).is_none());
}

/// What happened on the connection of `packets`, besides bytes.
fn events(packets: &[Vec<u8>]) -> Vec<FlowEvent> {
    #[derive(Default)]
    struct Events(Vec<FlowEvent>);
    impl Sink for Events {
        fn opened(&mut self, _: FlowId, connection: Connection) -> Interest {
            assert!(!connection.midstream);
            Interest::Bytes
        }
        fn bytes(&mut self, _: FlowId, _: Direction, _: &[u8]) -> Interest {
            Interest::Bytes
        }
        fn event(&mut self, _: FlowId, event: FlowEvent) {
            self.0.push(event);
        }
    }
    let (mut flows, mut decoder, mut events) =
        (Flows::new(Limits::default()), Decoder::default(), Events::default());
    for packet in packets {
        let Decoded::Segment(segment) = decoder.decode(Link::Raw, Timestamp::default(), packet, packet.len())
        else {
            panic!("a segment");
        };
        flows.handle(Timestamp::default(), &segment, &mut events);
    }
    events.0
}

fn check_checksums(packet: &[u8]) {
    let sliced = etherparse::SlicedPacket::from_ip(packet).unwrap();
    let (Some(net), Some(etherparse::TransportSlice::Tcp(tcp))) = (&sliced.net, &sliced.transport) else {
        panic!("not TCP");
    };
    let expected = match net {
        etherparse::NetSlice::Ipv4(ip) => {
            assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
            tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination()).unwrap()
        }
        etherparse::NetSlice::Ipv6(ip) => {
            tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination()).unwrap()
        }
        _ => panic!("not IP"),
    };
    assert_eq!(tcp.checksum(), expected);
}
