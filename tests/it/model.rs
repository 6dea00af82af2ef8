//! Every short dialogue between a pipelining client and a server that answers in order or at once,
//! with every way to answer ABOR and every interleaving: each command gets its own replies, all of
//! them, in its turn, and the queue is in step afterwards.

use std::collections::VecDeque;

use crate::pair::Pair;

const COMMANDS: [&str; 6] = ["NOOP", "PASV", "RETR f", "ABOR", "STAT", "XYZZY"];

/// How a server answers ABOR during a transfer: the transfer's final reply and ABOR's own, if any.
const ABORTS: [(Option<u16>, Option<u16>); 8] = [
    (Some(426), Some(226)),
    (Some(426), Some(225)),
    (Some(226), Some(226)),
    (Some(226), Some(225)),
    (Some(226), Some(502)),
    (Some(226), None),
    (Some(426), None),
    (None, Some(225)),
];

/// A way through all combinations of choices, one after the other.
#[derive(Default)]
struct Choices {
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Choices {
    fn pick(&mut self, count: usize) -> usize {
        if self.at == self.taken.len() {
            self.taken.push((0, count));
        }
        self.at += 1;
        self.taken[self.at - 1].0
    }

    /// On to the next combination; `false` after the last one.
    fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, count)) = self.taken.pop() {
            if choice + 1 < count {
                self.taken.push((choice + 1, count));
                return true;
            }
        }
        false
    }
}

/// What the server does with the commands that reach it.
struct Server {
    at_once: bool,
    abort: (Option<u16>, Option<u16>),
    inbox: VecDeque<String>,
    /// Replies that are on their way.
    outbox: VecDeque<String>,
    running: bool,
    replies: usize,
    /// All that it said, as the client has to see it.
    all: Vec<String>,
}

impl Server {
    fn can_step(&self) -> bool {
        self.running || !self.inbox.is_empty() || !self.outbox.is_empty()
    }

    /// One reply sent; before it, one command taken or the transfer brought to its end.
    fn step(&mut self) -> Option<String> {
        if self.outbox.is_empty() {
            let said = self.act();
            self.outbox.extend(said);
        }
        self.outbox.pop_front()
    }

    fn act(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        let next = self.inbox.front().cloned().unwrap_or_default();
        if self.running && next == "ABOR" {
            self.inbox.pop_front();
            let (transfer, abort) = self.abort;
            if self.at_once && abort == Some(502) {
                return vec![self.say(502)];
            }
            self.running = false;
            said.extend(transfer.map(|code| self.say(code)));
            said.extend(abort.map(|code| self.say(code)));
        } else if self.running && (!self.at_once || next.is_empty() || next.starts_with("RETR")) {
            self.running = false;
            said.push(self.say(226));
        } else {
            self.inbox.pop_front();
            said.push(match next.as_str() {
                "NOOP" => self.say(200),
                "STAT" => self.say(211),
                "ABOR" => self.say(self.abort.1.unwrap_or(225)),
                "PASV" => self.say(227),
                "RETR f" => {
                    self.running = true;
                    self.say(150)
                }
                other => panic!("{other:?} reached the server"),
            });
        }
        said
    }

    fn say(&mut self, code: u16) -> String {
        self.replies += 1;
        let port = 40_000 + self.replies;
        let (line, seen) = if code == 227 {
            let [high, low] = u16::to_be_bytes(port as u16);
            (format!("227 (10,0,0,5,{high},{low})"), format!("227 {port}"))
        } else {
            (format!("{code} reply {port}"), format!("{code} reply {port}"))
        };
        self.all.push(seen);
        line
    }
}

/// Plays the dialogue that the choices make.
fn play(commands: &[&str], abort: (Option<u16>, Option<u16>), at_once: bool, choices: &mut Choices) {
    let mut pair = Pair::passive_ready();
    let mut server = Server {
        at_once,
        abort,
        inbox: VecDeque::new(),
        outbox: VecDeque::new(),
        running: false,
        replies: 0,
        all: Vec::new(),
    };
    let mut seen = Vec::new();
    let mut unsent = commands.iter();
    loop {
        let send = match (unsent.len() > 0, server.can_step()) {
            (false, false) => break,
            (can_send, can_step) if can_send && can_step => choices.pick(2) == 0,
            (can_send, _) => can_send,
        };
        if send {
            pair.client(unsent.next().unwrap());
        } else {
            let line = server.step().expect("every step says something");
            pair.server(&line);
        }
        look(&mut pair, &mut server, &mut seen);
    }
    check(commands, &server, &seen);
    // In step: the next set-up is answered by its own 227.
    let opens = pair.opens();
    pair.client("PASV").server("227 (10,0,0,5,200,0)").client("NOOP").server("200 probe");
    assert_eq!(pair.opens(), opens + 1, "{commands:?} {:?}: the queue has shifted", server.all);
    assert!(pair.trace.iter().any(|line| line == "open passive to 10.0.0.5:51200"));
    let text = String::from_utf8(std::mem::take(&mut pair.client_bytes)).unwrap();
    assert!(text.ends_with("200 probe\r\n") && text.lines().count() == 2, "{text}");
}

/// Takes what arrived on both sides.
fn look(pair: &mut Pair, server: &mut Server, seen: &mut Vec<String>) {
    let sent = String::from_utf8(std::mem::take(&mut pair.server_bytes)).unwrap();
    server.inbox.extend(sent.lines().map(str::to_owned));
    let got = String::from_utf8(std::mem::take(&mut pair.client_bytes)).unwrap();
    for line in got.lines() {
        let open = pair.trace.iter().rev().find_map(|line| line.strip_prefix("open passive to 10.0.0.5:"));
        seen.push(match line.strip_prefix("227 ") {
            Some(_) => format!("227 {}", open.expect("a pinhole before its 227")),
            None => line.to_owned(),
        });
    }
}

/// `seen` against what the server said and the gateway has to say.
fn check(commands: &[&str], server: &Server, seen: &[String]) {
    let context = || format!("{commands:?} server {:?} client {seen:?}", server.all);
    let own = |line: &&String| line.starts_with("500 XYZZY") || line.starts_with("425 Use");
    // A NOOP in the place of a denied command was answered by the server, and is not shown.
    let shown: Vec<_> = seen.iter().filter(|line| !own(line)).collect();
    let swallowed = server.all.iter().filter(|line| !shown.contains(line)).collect::<Vec<_>>();
    assert!(swallowed.iter().all(|line| line.starts_with("200")), "{}", context());
    let told: Vec<_> = server.all.iter().filter(|line| !swallowed.contains(line)).collect();
    assert_eq!(shown, told, "{}", context());

    // By command, as the client counts: each one but ABOR has one final reply, in the order sent.
    let denied = seen.iter().filter(|line| line.starts_with("500 XYZZY")).count();
    assert_eq!(denied, commands.iter().filter(|command| **command == "XYZZY").count(), "{}", context());
    for (command, code) in [("NOOP", "200"), ("STAT", "211"), ("PASV", "227")] {
        let replies = seen.iter().filter(|line| line.starts_with(code)).count();
        assert_eq!(replies, commands.iter().filter(|name| **name == command).count(), "{}", context());
    }
    let begun = seen.iter().filter(|line| line.starts_with("150")).count();
    let refused = seen.iter().filter(|line| line.starts_with("425")).count();
    let asked = commands.iter().filter(|command| **command == "RETR f").count();
    assert_eq!(begun + refused, asked, "{}", context());

    // The replies to all but transfers and ABOR come in the order of the commands.
    let codes = |line: &String| match &line[..3] {
        "200" => Some("NOOP"),
        "211" => Some("STAT"),
        "227" => Some("PASV"),
        "500" => Some("XYZZY"),
        _ => None,
    };
    let answered: Vec<_> = seen.iter().filter_map(codes).collect();
    let others: Vec<_> =
        commands.iter().copied().filter(|name| !matches!(*name, "RETR f" | "ABOR")).collect();
    assert_eq!(answered, others, "{}", context());
}

fn enumerate(length: usize, pick: impl Fn(&[&str]) -> bool) -> usize {
    let mut played = 0;
    for index in 0..COMMANDS.len().pow(length as u32) {
        let commands: Vec<_> = (0..length)
            .map(|place| COMMANDS[index / COMMANDS.len().pow(place as u32) % COMMANDS.len()])
            .collect();
        if !pick(&commands) {
            continue;
        }
        let aborts = if commands.contains(&"ABOR") { &ABORTS[..] } else { &ABORTS[..1] };
        for (abort, at_once) in aborts.iter().flat_map(|abort| [(abort, false), (abort, true)]) {
            let mut choices = Choices::default();
            loop {
                play(&commands, *abort, at_once, &mut choices);
                played += 1;
                if !choices.next() {
                    break;
                }
            }
        }
    }
    played
}

#[test]
fn every_dialogue_of_up_to_three_commands_stays_in_step() {
    let played: usize = (1..=3).map(|length| enumerate(length, |_| true)).sum();
    assert!(played > 5_000, "{played}");
}

#[test]
fn every_dialogue_of_four_commands_around_a_transfer_stays_in_step() {
    let played = enumerate(4, |commands| commands[0] == "RETR f");
    assert!(played > 10_000, "{played}");
}

#[test]
#[ignore = "takes minutes"]
fn every_dialogue_of_four_commands_stays_in_step() {
    enumerate(4, |_| true);
}
