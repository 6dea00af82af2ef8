//! What the kernel hands to `monitor`: the filter's program is run here on frames of every kind, as the kernel
//! would run it.

use etherparse::{IpNumber, Ipv4Header, PacketBuilder, VlanId};
use ftp_pinhole::live::{Filter, Instruction, Kind, Wanted};
use socket2::{Domain, Socket, Type};

/// All of the frame.
const WHOLE: usize = 1 << 20;
/// Its headers.
const PART: usize = 1024;
/// Far from every milestone.
const SEQ: u32 = 0x1234_5678;

/// For servers at ports 21 and 2100, by rules.
fn ruled(kind: Kind) -> Filter {
    Filter::new(kind, &Wanted { ports: [21, 2100].into(), any_port: false })
}

/// For servers at any port.
fn open(kind: Kind) -> Filter {
    Filter::new(kind, &Wanted { ports: [21].into(), any_port: true })
}

/// What a program makes of a frame (Documentation/networking/filter.rst of Linux).
fn run(filter: &Filter, frame: &[u8]) -> usize {
    let load = |place: u32, bytes: usize| {
        let place = place as usize;
        let loaded = frame.get(place..place + bytes)?;
        Some(loaded.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    };
    let (mut a, mut x, mut cells, mut at) = (0_u32, 0_u32, [0_u32; 16], 0);
    loop {
        let Instruction { code, when_true, when_false, operand } = filter.instructions()[at];
        at += 1;
        match code {
            0x40 | 0x48 | 0x50 => match load(x + operand, [4, 2, 1][usize::from(code - 0x40) / 8]) {
                Some(loaded) => a = loaded,
                None => return 0,
            },
            0x01 => x = operand,
            0x02 => cells[operand as usize] = a,
            0x60 => a = cells[operand as usize],
            0x04 => a = a.wrapping_add(operand),
            0x0c => a = a.wrapping_add(x),
            0x1c => a = a.wrapping_sub(x),
            0x54 => a &= operand,
            0x64 => a <<= operand,
            0x74 => a >>= operand,
            0x07 => x = a,
            0x87 => a = x,
            0x06 => return operand as usize,
            0x15 | 0x25 | 0x45 => {
                let holds = match code {
                    0x15 => a == operand,
                    0x25 => a > operand,
                    _ => a & operand != 0,
                };
                at += usize::from(if holds { when_true } else { when_false });
            }
            other => panic!("{other:#x} is no instruction of the filter"),
        }
    }
}

/// A TCP segment by its ports, flags and payload.
#[derive(Clone, Copy)]
struct Tcp<'a> {
    ports: (u16, u16),
    flags: &'a str,
    seq: u32,
    payload: &'a [u8],
}

const BULK: Tcp<'_> = Tcp { ports: (40_000, 50_000), flags: "", seq: SEQ, payload: &[b'x'; 1400] };

impl Tcp<'_> {
    /// Frames with as many VLAN tags as their place says, then IP packets without link headers; of both families.
    fn frames(self) -> Vec<(Kind, Vec<u8>)> {
        let [outer, inner] = [7, 9].map(|id| VlanId::try_new(id).unwrap());
        let link = || PacketBuilder::ethernet2([2; 6], [4; 6]);
        let (v4, v6) = (([10, 0, 0, 1], [10, 0, 0, 2], 64), ([1; 16], [2; 16], 64));
        let ethernet = [
            link().ipv4(v4.0, v4.1, v4.2),
            link().ipv6(v6.0, v6.1, v6.2),
            link().single_vlan(outer).ipv4(v4.0, v4.1, v4.2),
            link().single_vlan(outer).ipv6(v6.0, v6.1, v6.2),
            link().double_vlan(outer, inner).ipv4(v4.0, v4.1, v4.2),
            link().double_vlan(outer, inner).ipv6(v6.0, v6.1, v6.2),
        ];
        let raw = [PacketBuilder::ipv4(v4.0, v4.1, v4.2), PacketBuilder::ipv6(v6.0, v6.1, v6.2)]
            .map(|ip| (Kind::Other, ip));
        let all = ethernet.map(|ip| (Kind::Ethernet, ip)).into_iter().chain(raw);
        all.map(|(kind, ip)| {
            let mut tcp = ip.tcp(self.ports.0, self.ports.1, self.seq, 1000).options_raw(&[1; 12]).unwrap();
            for flag in self.flags.chars() {
                tcp = match flag {
                    'S' => tcp.syn(),
                    'F' => tcp.fin(),
                    'R' => tcp.rst(),
                    _ => tcp.psh(),
                };
            }
            let mut frame = Vec::new();
            tcp.ack(9).write(&mut frame, self.payload).unwrap();
            (kind, frame)
        })
        .collect()
    }

    /// What comes of it through `filter`, however it is framed.
    fn taken(self, filter: fn(Kind) -> Filter) -> usize {
        let taken: Vec<_> = self.frames().iter().map(|(kind, frame)| run(&filter(*kind), frame)).collect();
        assert!(taken.iter().all(|bytes| *bytes == taken[0]), "it depends on the frame: {taken:?}");
        taken[0]
    }
}

#[test]
fn segments_of_control_ports_come_whole() {
    for port in [21, 2100] {
        for ports in [(port, 40_000), (40_000, port)] {
            for flags in ["", "P", "S", "F", "R"] {
                assert_eq!(Tcp { ports, flags, ..BULK }.taken(ruled), WHOLE, "{ports:?} {flags}");
            }
            assert_eq!(Tcp { ports, payload: b"", ..BULK }.taken(ruled), WHOLE, "an acknowledgement");
        }
    }
}

#[test]
fn of_other_ports_come_the_headers_of_ends_and_no_bulk() {
    for filter in [ruled, open] {
        assert_eq!(BULK.taken(filter), 0);
        assert_eq!(Tcp { payload: b"", ..BULK }.taken(filter), 0, "an acknowledgement");
        for flags in ["S", "F", "R"] {
            assert_eq!(Tcp { flags, ..BULK }.taken(filter), PART, "{flags}");
            assert_eq!(Tcp { flags, payload: b"", ..BULK }.taken(filter), PART, "{flags}");
        }
    }
    let bulk = Tcp { ports: (40_000, 2100), ..BULK };
    assert_eq!((bulk.taken(ruled), bulk.taken(open)), (WHOLE, 0));
}

#[test]
fn without_rules_what_may_be_ftp_comes_from_any_port() {
    let banner = [&b"220-"[..], &[b'x'; 1396]].concat();
    let last = [&b"226 "[..], &[b'x'; 1396]].concat();
    let text = [&b"2020"[..], &[b'x'; 1396]].concat();
    for (payload, taken) in [
        (&b"USER joe\r\n"[..], WHOLE),
        (&[b'x'; 512], WHOLE),
        (&[b'x'; 513], 0),
        (&banner, WHOLE),
        (&last, WHOLE),
        (&text, 0),
    ] {
        let segment = Tcp { payload, ..BULK };
        assert_eq!((segment.taken(open), segment.taken(ruled)), (taken, 0), "{} bytes", payload.len());
    }
}

#[test]
fn padding_is_no_payload() {
    let ack = Tcp { payload: b"", ..BULK };
    for (kind, mut frame) in ack.frames() {
        frame.extend([0; 6]);
        assert_eq!(run(&open(kind), &frame), 0);
    }
}

#[test]
fn a_long_stream_shows_itself_once_in_256_mib() {
    // No segment is longer than 512 KiB, so in each stream one begins there.
    for milestone in (0..16).map(|i: u32| i << 28) {
        for (seq, taken) in
            [(0, PART), (1460, PART), ((512 << 10) - 1, PART), (512 << 10, 0), ((1 << 28) - 1, 0)]
        {
            let segment = Tcp { seq: milestone + seq, ..BULK };
            assert_eq!((segment.taken(ruled), segment.taken(open)), (taken, taken), "{seq}");
            assert_eq!(Tcp { payload: b"", ..segment }.taken(ruled), 0, "an acknowledgement");
        }
    }
}

#[test]
fn fragments_and_extension_headers_come_whole() {
    let mut ip = Ipv4Header::new(100, 64, IpNumber::TCP, [10, 0, 0, 1], [10, 0, 0, 2]).unwrap();
    for (more, offset) in [(true, 0), (true, 99), (false, 99)] {
        ip.more_fragments = more;
        ip.fragment_offset = offset.try_into().unwrap();
        assert_eq!(run(&ruled(Kind::Other), &[&ip.to_bytes()[..], &[0; 100]].concat()), WHOLE);
    }
    for header in [0, 43, 44, 60] {
        let mut frame = BULK.frames().pop().unwrap().1;
        frame[6] = header;
        assert_eq!(run(&ruled(Kind::Other), &frame), WHOLE, "{header}");
    }
}

#[test]
fn a_segment_whose_header_cannot_say_its_length_comes_whole() {
    for flags in ["", "F"] {
        let frames = Tcp { flags, ..BULK }.frames();
        let (_, mut frame) =
            frames.into_iter().find(|(kind, frame)| *kind == Kind::Other && frame[0] >> 4 == 4).unwrap();
        frame[2..4].fill(0);
        assert_eq!(run(&ruled(Kind::Other), &frame), WHOLE);
    }
}

#[test]
fn what_is_not_tcp_or_cut_is_left_out() {
    for (kind, frame) in (Tcp { ports: (21, 21), ..BULK }).frames() {
        for length in [0, 13, 17, 20] {
            assert_eq!(run(&open(kind), &frame[..length]), 0, "{length}");
        }
    }
    let mut arp = vec![2; 12];
    arp.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    assert_eq!(run(&open(Kind::Ethernet), &arp), 0);
    let mut udp = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(21, 21).write(&mut udp, b"220 ").unwrap();
    assert_eq!(run(&open(Kind::Other), &udp), 0);
}

#[test]
fn the_kernel_takes_the_program() {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    for kind in [Kind::Ethernet, Kind::Loopback, Kind::Other] {
        for filter in [ruled(kind), open(kind)] {
            socket.attach_filter(&filter.for_kernel()).unwrap();
        }
    }
}
