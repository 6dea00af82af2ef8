//! A capture that is made up: one control connection and its data connections, packet by packet.

use std::net::SocketAddr;
use std::time::Duration;

use ftp_pinhole::capture::{Conversation, Frame, Speaker};
use ftp_pinhole::config::Config;
use ftp_pinhole::replay::{Replay, Seen, Sent, suggest};
use serde_json::Value;

/// Link headers: none.
const RAW: u32 = 101;

/// The packets, with the time of each since 1970.
#[derive(Clone, Default)]
pub struct Tape {
    pub packets: Vec<(Duration, Vec<u8>)>,
    now: Duration,
}

/// A control connection on a tape.
pub struct Control {
    pub tape: Tape,
    pub client: SocketAddr,
    pub server: SocketAddr,
    conversation: Conversation,
    /// How a line becomes packets; by default one for each line.
    pub send: fn(&mut Conversation, Speaker, &[u8]) -> Vec<Vec<u8>>,
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl Tape {
    pub fn add(&mut self, packets: impl IntoIterator<Item = Vec<u8>>) {
        for packet in packets {
            self.now += Duration::from_millis(1);
            self.packets.push((self.now, packet));
        }
    }

    /// What another tape holds comes next.
    pub fn append(&mut self, other: Self) {
        self.add(other.packets.into_iter().map(|(_, packet)| packet));
    }

    pub fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// A data connection that moves `bytes` from who dialled, or towards it.
    pub fn data(&mut self, from: SocketAddr, to: SocketAddr, by: Speaker, bytes: usize) {
        let mut data = Conversation::new(from, to).unwrap();
        self.add(data.open());
        self.add(data.say(by, &vec![b'x'; bytes]));
        self.add(data.close(by));
    }

    /// Plays it by `rules`, or by the defaults.
    pub fn play(&self, rules: Option<&str>) -> Played {
        let config = rules.map(|rules| Config::parse("rules.yaml", rules).unwrap());
        let mut replay = Replay::new(config, true);
        let (mut records, mut sent) = (Vec::new(), Vec::new());
        for (number, (at, packet)) in self.packets.iter().enumerate() {
            let (data, length) = (packet.as_slice(), packet.len());
            replay.handle_frame(&Frame { number: number as u64 + 1, at: *at, link_type: RAW, data, length });
            records.extend(std::iter::from_fn(|| replay.poll_record()));
            sent.extend(std::iter::from_fn(|| replay.poll_sent()));
        }
        replay.finish();
        records.extend(std::iter::from_fn(|| replay.poll_record()));
        let summary = serde_json::to_value(replay.summary()).unwrap();
        Played { records, sent, summary, suggested: suggest(replay.summary()) }
    }
}

impl Control {
    /// Between 198.51.100.10 and 10.0.0.5, port 21, greeted.
    pub fn greeted() -> Self {
        let mut control = Self::between("198.51.100.10:40122", "10.0.0.5:21");
        control.server("220 hi");
        control
    }

    pub fn between(client: &str, server: &str) -> Self {
        let (client, server) = (addr(client), addr(server));
        let mut conversation = Conversation::new(client, server).unwrap();
        let mut tape = Tape::default();
        tape.add(conversation.open());
        Self { tape, client, server, conversation, send: Conversation::say }
    }

    pub fn logged_in() -> Self {
        let mut control = Self::greeted();
        control.log_in();
        control
    }

    pub fn log_in(&mut self) {
        self.dialogue("C: USER alice\nS: 331 password\nC: PASS secret\nS: 230 in");
    }

    /// Lines that begin with `C: ` and `S: `.
    pub fn dialogue(&mut self, lines: &str) {
        for line in lines.lines() {
            match line.split_at(3) {
                ("C: ", line) => self.client(line),
                (_, line) => self.server(line),
            }
        }
    }

    pub fn client(&mut self, line: &str) {
        self.say(Speaker::Client, line);
    }

    pub fn server(&mut self, line: &str) {
        self.say(Speaker::Server, line);
    }

    fn say(&mut self, speaker: Speaker, line: &str) {
        let packets = (self.send)(&mut self.conversation, speaker, format!("{line}\r\n").as_bytes());
        self.tape.add(packets);
    }

    /// A passive data connection: the client dials `port` of the server.
    pub fn passive(&mut self, port: u16, by: Speaker, bytes: usize) {
        let from = SocketAddr::new(self.client.ip(), 55_000);
        self.tape.data(from, SocketAddr::new(self.server.ip(), port), by, bytes);
    }

    /// An active one: the server dials `to`.
    pub fn active(&mut self, to: SocketAddr, by: Speaker, bytes: usize) {
        self.tape.data(SocketAddr::new(self.server.ip(), 20), to, by, bytes);
    }

    pub fn close(&mut self) {
        let packets = self.conversation.close(Speaker::Client);
        self.tape.add(packets);
    }

    /// Says goodbye and plays it by the defaults.
    pub fn played(mut self) -> Played {
        self.dialogue("C: QUIT\nS: 221 bye");
        self.close();
        self.tape.play(None)
    }
}

/// What came of it.
pub struct Played {
    pub records: Vec<Seen>,
    /// What the gateway would have sent.
    pub sent: Vec<Sent>,
    pub summary: Value,
    /// The rules file that fits.
    pub suggested: Option<String>,
}

impl Played {
    /// `event reason` of each record, without dashes where there is no reason.
    pub fn story(&self) -> Vec<String> {
        let story = |seen: &Seen| {
            let event = &seen.record.event;
            let reason = event.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
            format!("{}{reason}", event.kind.name())
        };
        self.records.iter().map(story).collect()
    }

    /// `C: ` and `S: ` lines that the gateway would have sent.
    pub fn script(&self) -> Vec<String> {
        let line = |sent: &Sent| {
            let speaker = if sent.by == Speaker::Client { "C" } else { "S" };
            format!("{speaker}: {}", String::from_utf8_lossy(&sent.bytes).trim_end())
        };
        self.sent.iter().map(line).collect()
    }

    /// The records as JSON, without their time.
    pub fn json(&self) -> Vec<Value> {
        let json = |seen: &Seen| {
            let mut value: Value = serde_json::from_str(&seen.record.json()).unwrap();
            value.as_object_mut().unwrap().remove("ts");
            value.as_object_mut().unwrap().remove("duration_ms");
            value
        };
        self.records.iter().map(json).collect()
    }

    /// The one record of this event.
    #[track_caller]
    pub fn the(&self, event: &str) -> Value {
        let found: Vec<_> = self.json().into_iter().filter(|record| record["event"] == event).collect();
        assert_eq!(found.len(), 1, "{event} in {:?}", self.story());
        found[0].clone()
    }
}
