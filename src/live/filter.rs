//! What the kernel hands over: a program of the classic packet filter (BPF), which it runs for each frame.
//!
//! Segments of the wanted ports come whole. Of all others come those with SYN, FIN or RST, and the few whose
//! sequence number stands at a milestone, all cut short: enough to know a connection, its end, and how many bytes
//! it carried. Where FTP may be at any port, short segments and those that look like a reply come whole, too.
//! Fragments come, as they have no ports.
//!
//! `X` is the register that says where in the frame we are. A load outside the frame ends the program, and the
//! frame is left out.

use std::collections::BTreeSet;

use socket2::SockFilter;

use super::interface::Kind;

/// Which control connections are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Ports of servers.
    pub ports: BTreeSet<u16>,
    /// Whether servers at other ports are looked for as well.
    pub any_port: bool,
}

/// One instruction, as the kernel has it (linux/filter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to leave out when a test holds.
    pub when_true: u8,
    /// The same when it does not hold.
    pub when_false: u8,
    /// The operand.
    pub operand: u32,
}

/// A program for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Vec<Instruction>);

impl Filter {
    /// The filter for an interface of this kind.
    pub fn new(kind: Kind, wanted: &Wanted) -> Self {
        let link = match kind {
            Kind::Ethernet => ethernet(),
            Kind::Loopback => {
                [vec![Packet(TYPE), If(Is, OUTGOING, vec![Take(NOTHING)])], ethernet()].concat()
            }
            Kind::Other => vec![At(0)],
        };
        Self(compile(&[link, ip(), tcp(wanted)].concat()))
    }

    /// The program. Its result is how many bytes of the frame are taken; 0: the frame is left out.
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }

    /// The same, to be attached to a socket.
    pub fn for_kernel(&self) -> Vec<SockFilter> {
        let of =
            |step: &Instruction| SockFilter::new(step.code, step.when_true, step.when_false, step.operand);
        self.0.iter().map(of).collect()
    }
}

/// From the EtherType over at most two VLAN tags to the IP header. The kernel has taken the outer tag off already,
/// but not always.
fn ethernet() -> Vec<Step> {
    let skip_tag = |tag| If(Is, tag, vec![FromX, Add(4), ToX, Half(0)]);
    let tag = || TAGS.map(skip_tag).to_vec();
    let start = vec![At(12), Half(0)];
    let end = vec![Unless(Is, 0x0800, vec![Unless(Is, 0x86dd, vec![Take(NOTHING)])]), FromX, Add(2), ToX];
    [start, tag(), tag(), end].concat()
}

/// From the IP header to that of TCP; notes where the packet ends, since padding may follow.
fn ip() -> Vec<Step> {
    let v4 = vec![
        Byte(9),
        Unless(Is, TCP, vec![Take(NOTHING)]),
        Half(6),
        If(HasBits, FRAGMENT, vec![Take(WHOLE)]),
        Half(2),
        // Longer than the header can say; only the whole frame tells how long.
        If(Is, 0, vec![Take(WHOLE)]),
        AddX,
        Store(END),
        Byte(0),
        And(0xf),
        ShiftLeft(2),
        AddX,
        ToX,
    ];
    let mut v6 = vec![Byte(6)];
    // Extension headers are rare, and are where packets over 64 KiB have their length.
    v6.extend(EXTENSIONS.map(|header| If(Is, header, vec![Take(WHOLE)])));
    v6.extend([
        Unless(Is, TCP, vec![Take(NOTHING)]),
        Half(4),
        AddX,
        Add(40),
        Store(END),
        FromX,
        Add(40),
        ToX,
    ]);
    vec![
        Byte(0),
        ShiftRight(4),
        Store(VERSION),
        // The kernel wants to see every cell filled on every way to where it is read.
        Store(END),
        If(Is, 4, v4),
        Load(VERSION),
        If(Is, 6, v6),
        Load(VERSION),
        Unless(Is, 4, vec![Unless(Is, 6, vec![Take(NOTHING)])]),
    ]
}

fn tcp(wanted: &Wanted) -> Vec<Step> {
    let mut steps = Vec::new();
    for place in [0, 2] {
        steps.push(Half(place));
        steps.extend(wanted.ports.iter().map(|port| If(Is, (*port).into(), vec![Take(WHOLE)])));
    }
    steps.extend([
        Byte(13),
        If(HasBits, SYN_FIN_RST, vec![Take(PART)]),
        Word(4),
        Store(SEQUENCE),
        // Where the payload begins, and how long it is.
        Byte(12),
        ShiftRight(2),
        And(0x3c),
        AddX,
        ToX,
        Load(END),
        SubX,
        Unless(IsAbove, 0, vec![Take(NOTHING)]),
    ]);
    if wanted.any_port {
        steps.extend([
            Unless(IsAbove, SHORT, vec![Take(WHOLE)]),
            Word(0),
            And(0xf0f0_f0ff),
            If(Is, u32::from_be_bytes(*b"000 "), vec![Take(WHOLE)]),
            If(Is, u32::from_be_bytes(*b"000-"), vec![Take(WHOLE)]),
        ]);
    }
    steps.extend([Load(SEQUENCE), And(MILESTONE), If(Is, 0, vec![Take(PART)]), Take(NOTHING)]);
    steps
}

/// What the program is written in; `A` is the other register.
#[derive(Debug, Clone)]
enum Step {
    /// `A` becomes the byte so far behind `X`.
    Byte(u32),
    /// The same with two bytes.
    Half(u32),
    /// The same with four bytes.
    Word(u32),
    /// `A` becomes what the kernel knows of the packet.
    Packet(u32),
    /// `X` becomes this.
    At(u32),
    Store(u32),
    Load(u32),
    Add(u32),
    AddX,
    SubX,
    And(u32),
    ShiftLeft(u32),
    ShiftRight(u32),
    ToX,
    FromX,
    /// Does the steps when the test of `A` holds.
    If(Test, u32, Vec<Step>),
    /// Does the steps when it does not hold.
    Unless(Test, u32, Vec<Step>),
    /// Ends with so many bytes of the frame.
    Take(u32),
}

/// A test of `A`; the number is the instruction's code.
#[derive(Debug, Clone, Copy)]
enum Test {
    Is = 0x15,
    IsAbove = 0x25,
    HasBits = 0x45,
}

use Step::*;
use Test::*;

fn compile(steps: &[Step]) -> Vec<Instruction> {
    steps.iter().flat_map(Step::compile).collect()
}

impl Step {
    fn compile(&self) -> Vec<Instruction> {
        let (code, operand) = match self {
            Byte(place) => (0x50, *place),
            Half(place) => (0x48, *place),
            Word(place) => (0x40, *place),
            Packet(what) => (0x30, *what),
            At(place) => (0x01, *place),
            Store(cell) => (0x02, *cell),
            Load(cell) => (0x60, *cell),
            Add(number) => (0x04, *number),
            AddX => (0x0c, 0),
            SubX => (0x1c, 0),
            And(bits) => (0x54, *bits),
            ShiftLeft(bits) => (0x64, *bits),
            ShiftRight(bits) => (0x74, *bits),
            ToX => (0x07, 0),
            FromX => (0x87, 0),
            Take(bytes) => (0x06, *bytes),
            If(test, operand, steps) => return branch(*test, *operand, steps, true),
            Unless(test, operand, steps) => return branch(*test, *operand, steps, false),
        };
        vec![Instruction { code, when_true: 0, when_false: 0, operand }]
    }
}

fn branch(test: Test, operand: u32, steps: &[Step], holds: bool) -> Vec<Instruction> {
    let mut body = compile(steps);
    let over = u8::try_from(body.len()).expect("no block of the filter has 256 instructions");
    let (when_true, when_false) = if holds { (0, over) } else { (over, 0) };
    body.insert(0, Instruction { code: test as u16, when_true, when_false, operand });
    body
}

/// The whole frame.
const WHOLE: u32 = 1 << 20;

/// Its headers, and a last short line.
const PART: u32 = 1024;

const NOTHING: u32 = 0;

/// The longest payload of any port that comes whole, in bytes: a command before login has 512 at most.
const SHORT: u32 = 512;

/// Segments whose sequence number has none of these bits come: those that begin in the first 512 KiB of each
/// 256 MiB. No segment is longer, not even those that a network card puts together, so one begins there, and
/// no count is in doubt for want of segments.
const MILESTONE: u32 = 0x0ff8_0000;

/// VLAN tags: 802.1Q, 802.1ad, and what was used before that.
const TAGS: [u32; 3] = [0x8100, 0x88a8, 0x9100];

/// Hop-by-hop options, routing, fragment, destination options (RFC 8200 section 4).
const EXTENSIONS: [u32; 4] = [0, 43, 44, 60];

const TCP: u32 = 6;

/// More fragments follow, or this is not the first.
const FRAGMENT: u32 = 0x3fff;

const SYN_FIN_RST: u32 = 7;

/// Whether a packet comes or goes (SKF_AD_PKTTYPE, linux/filter.h).
const TYPE: u32 = 0xffff_f004;

/// It goes (linux/if_packet.h).
const OUTGOING: u32 = 4;

/// Cells of the program's memory.
const VERSION: u32 = 0;
const END: u32 = 1;
const SEQUENCE: u32 = 2;
