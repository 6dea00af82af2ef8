//! Reading captures: bytes a second where bulk data is only counted, lines a second where every byte of
//! control connections is wanted. The capture is in memory.

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use etherparse::PacketBuilder;
use ftp_pinhole::capture::{Conversation, Reader, Speaker, Writer};
use ftp_pinhole::ftp::LineReader;
use ftp_pinhole::packet::{Decoded, Decoder, Link};
use ftp_pinhole::stream::{Connection, Direction, FlowEvent, FlowId, Flows, Interest, Limits, Sink};
use ftp_pinhole::time::Timestamp;

/// Wants the bytes of connections to port 21, and counts their lines.
#[derive(Default)]
struct Lines {
    readers: Vec<(FlowId, [LineReader; 2])>,
    lines: usize,
}

impl Sink for Lines {
    fn opened(&mut self, flow: FlowId, connection: Connection) -> Interest {
        if connection.to.port() != 21 {
            return Interest::CountOnly;
        }
        self.readers.push((flow, [(); 2].map(|()| LineReader::new(4096, false))));
        Interest::Bytes
    }

    fn bytes(&mut self, flow: FlowId, direction: Direction, bytes: &[u8]) -> Interest {
        if let Some((_, [original, reply])) = self.readers.iter_mut().rev().find(|(known, _)| *known == flow)
        {
            let reader = if direction == Direction::Original { original } else { reply };
            reader.push(bytes);
            self.lines += std::iter::from_fn(|| reader.next_event()).count();
        }
        Interest::Bytes
    }

    fn event(&mut self, _: FlowId, _: FlowEvent) {}
}

fn read(capture: &Arc<[u8]>) -> usize {
    let mut reader = Reader::new(Cursor::new(Arc::clone(capture))).expect("a capture");
    let (mut decoder, mut flows) = (Decoder::default(), Flows::new(Limits::default()));
    let mut lines = Lines::default();
    while let Some(frame) = reader.next().expect("a frame") {
        let link = Link::from_dlt(frame.link_type).expect("a link that is known");
        let at = Timestamp::from_origin(frame.at);
        if let Decoded::Segment(segment) = decoder.decode(link, at, frame.data, frame.length) {
            flows.handle(at, &segment, &mut lines);
        }
    }
    flows.finish(&mut lines);
    lines.lines
}

fn write(packets: impl IntoIterator<Item = Vec<u8>>) -> Arc<[u8]> {
    let mut writer = Writer::new(Vec::new()).expect("memory");
    for packet in packets {
        writer.write(Duration::from_secs(1), &packet, None).expect("memory");
    }
    writer.finish().expect("memory").into()
}

/// A data connection of 64 MiB in segments of `size` bytes.
fn bulk(size: usize) -> Arc<[u8]> {
    let payload = vec![b'x'; size];
    let segment = |i: usize| {
        let seq = u32::try_from(i * size).expect("64 MiB");
        let builder = PacketBuilder::ipv4([10, 0, 0, 5], [10, 0, 0, 7], 64).tcp(20, 40_001, seq, 500).ack(1);
        let mut packet = Vec::with_capacity(builder.size(size));
        builder.write_to_vec(&mut packet, &payload).expect("a packet");
        packet
    };
    let syn = {
        let mut packet = Vec::new();
        let builder =
            PacketBuilder::ipv4([10, 0, 0, 5], [10, 0, 0, 7], 64).tcp(20, 40_001, u32::MAX, 500).syn();
        builder.write_to_vec(&mut packet, &[]).expect("a packet");
        packet
    };
    write(std::iter::once(syn).chain((0..(64 << 20) / size).map(segment)))
}

/// 1000 control connections of 20 commands, each answered.
fn control() -> Arc<[u8]> {
    let server: SocketAddr = ([10, 0, 0, 5], 21).into();
    let talk = |port: u16| {
        let mut talk = Conversation::new(([10, 0, 0, 7], port).into(), server).expect("one family");
        let mut packets = talk.open();
        for _ in 0..20 {
            packets.extend(talk.say(Speaker::Client, b"RETR /pub/some/directory/file-name.iso\r\n"));
            packets
                .extend(talk.say(Speaker::Server, b"226 Transfer complete, 1024 bytes in 0.01 seconds.\r\n"));
        }
        packets.extend(talk.close(Speaker::Client));
        packets
    };
    write((2000..3000).flat_map(talk))
}

fn captures(c: &mut Criterion) {
    let mut group = c.benchmark_group("capture");
    group.sample_size(20);
    for size in [65_000, 1460] {
        let capture = bulk(size);
        group.throughput(Throughput::Bytes(capture.len() as u64));
        group.bench_function(format!("bulk, {size} bytes a segment"), |b| b.iter(|| read(&capture)));
    }
    let capture = control();
    assert_eq!(read(&capture), 40_000);
    group.throughput(Throughput::Elements(40_000));
    group.bench_function("control lines, both ways", |b| b.iter(|| read(&capture)));
    group.finish();
}

criterion_group!(benches, captures);
criterion_main!(benches);
