//! The core without sockets: lines, replies, addresses and whole sessions.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ftp_pinhole::addr::Legs;
use ftp_pinhole::ftp::{LineReader, ReplyReader, parse_227, parse_eprt, parse_port};
use ftp_pinhole::ids::PinholeId;
use ftp_pinhole::pinhole::{Closed, DataEvent, Opened};
use ftp_pinhole::policy::Policy;
use ftp_pinhole::session::{Output, Session};
use ftp_pinhole::time::Timestamp;

fn grammar(c: &mut Criterion) {
    let mut group = c.benchmark_group("grammar");
    group.bench_function("parse_port", |b| b.iter(|| parse_port(black_box(b"198,51,100,10,156,65"))));
    group.bench_function("parse_eprt", |b| b.iter(|| parse_eprt(black_box(b"|2|2001:db8::10|40001|"))));
    group.bench_function("parse_227", |b| {
        b.iter(|| parse_227(black_box(b"Entering Passive Mode (198,51,100,10,156,65).")));
    });
    let commands = b"RETR /pub/some/directory/file-name.iso\r\n".repeat(100);
    group.throughput(Throughput::Elements(100));
    group.bench_function("100 command lines", |b| {
        b.iter(|| {
            let mut reader = LineReader::new(4096, false);
            reader.push(black_box(&commands));
            std::iter::from_fn(|| reader.next_event()).count()
        });
    });
    let replies = b"226 Transfer complete, 1024 bytes in 0.01 seconds.\r\n".repeat(100);
    group.bench_function("100 replies", |b| {
        b.iter(|| {
            let mut reader = ReplyReader::new(LineReader::new(4096, false), 100, false);
            reader.push(black_box(&replies));
            std::iter::from_fn(|| reader.next_event().ok().flatten()).count()
        });
    });
    group.finish();
}

/// Login, one passive transfer, QUIT: what a session costs the engine.
const DIALOGUE: [(bool, &[u8]); 15] = [
    (false, b"220 ready\r\n"),
    (true, b"USER anonymous\r\n"),
    (false, b"331 password\r\n"),
    (true, b"PASS x@y\r\n"),
    (false, b"230 welcome\r\n"),
    (true, b"TYPE I\r\n"),
    (false, b"200 binary\r\n"),
    (true, b"PASV\r\n"),
    (false, b"227 Entering Passive Mode (10,0,0,5,117,49).\r\n"),
    (true, b"RETR file\r\n"),
    (false, b"150 here it comes\r\n"),
    (false, b"226 done\r\n"),
    (true, b"QUIT\r\n"),
    (false, b"221 bye\r\n"),
    (true, b""),
];

fn session(c: &mut Criterion) {
    let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let legs = Legs {
        client: addr("198.51.100.10:40122"),
        reached: addr("203.0.113.10:21"),
        source: addr("10.0.0.1:51000"),
        server: addr("10.0.0.5:21"),
    };
    let policy = Arc::new(Policy::default());
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(1));
    group.bench_function("a session with one passive transfer", |b| b.iter(|| run(&policy, legs)));
    group.finish();
}

fn run(policy: &Arc<Policy>, legs: Legs) -> usize {
    let now = Timestamp::default();
    let mut session = Session::new(Arc::clone(policy), legs, now);
    let pinhole = PinholeId(1);
    let mut outputs = 0;
    for (from_client, bytes) in DIALOGUE {
        match from_client {
            true => session.handle_client(now, bytes),
            false => session.handle_server(now, bytes),
        }
        if bytes.starts_with(b"150") {
            session.handle_data(now, pinhole, DataEvent::Connected { from: legs.client });
        } else if bytes.starts_with(b"226") {
            let bytes = Some(1024);
            let closed = Closed {
                bytes_to_server: Some(0),
                bytes_to_client: bytes,
                duration: Default::default(),
                reason: None,
            };
            session.handle_data(now, pinhole, DataEvent::Closed(closed));
        }
        while let Some(output) = session.poll_output() {
            outputs += 1;
            if matches!(output, Output::Open(_)) {
                session.handle_opened(now, Ok(Opened { id: pinhole, port: 50_000, relayed: None }));
            }
        }
    }
    outputs
}

criterion_group!(benches, grammar, session);
criterion_main!(benches);
