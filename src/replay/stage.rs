//! The dialogues of a replay and their time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use super::detect::Candidate;
use super::dialogue::Dialogue;
use super::rules::Rules;
use super::scene::{Names, Scene};
use crate::ids::{PinholeId, SessionId};
use crate::pinhole::{Closed, DataEvent};
use crate::reason::Reason;
use crate::stream::{Connection, Direction, FlowId};
use crate::time::Timestamp;

/// Dialogues at once, those included that wait for a data connection only.
const MOST_DIALOGUES: usize = 32_768;

/// Bytes of commands and replies that may wait. Whoever brings more is not listened to any more.
const MOST_WAITING: usize = 64 * 1024 * 1024;

/// All connections and dialogues: what the flows of segments tell their story to.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) rules: Rules,
    pub(super) scene: Scene,
    pub(super) names: Names,
    pub(super) now: Timestamp,
    pub(super) connections: HashMap<FlowId, Role>,
    pub(super) dialogues: BTreeMap<SessionId, Box<Dialogue>>,
    /// The most of them.
    most: usize,
    /// Bytes that wait in all dialogues.
    waiting: usize,
    /// When which dialogue has something due, one for each; may ring for nothing.
    timers: BTreeSet<(Timestamp, SessionId)>,
}

/// What a connection is. Those that are nothing to the replay are forgotten.
#[derive(Debug)]
pub(super) enum Role {
    /// It is not known yet.
    Candidate(Candidate, Connection),
    /// A control connection, whose client is this side.
    Control(SessionId, Connection, Direction),
    /// The data connection of a pinhole.
    Data(PinholeId),
}

impl Stage {
    pub(super) fn new(rules: Rules, keep_sent: bool) -> Self {
        Self {
            rules,
            scene: Scene::new(keep_sent),
            names: Names::default(),
            now: Timestamp::default(),
            connections: HashMap::new(),
            dialogues: BTreeMap::new(),
            most: MOST_DIALOGUES,
            waiting: 0,
            timers: BTreeSet::new(),
        }
    }

    /// Lets time pass up to `now`.
    pub(super) fn advance(&mut self, now: Timestamp, origin: Duration) {
        while let Some(&(due, session)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            self.set_time(due.max(self.now), origin);
            self.with(session, |dialogue, now, scene| {
                dialogue.armed = None;
                if dialogue.poll_timeout().is_some_and(|due| due <= now) {
                    dialogue.handle_timeout(now, scene);
                }
            });
        }
        self.set_time(now, origin);
    }

    fn set_time(&mut self, now: Timestamp, origin: Duration) {
        self.now = now;
        let since_epoch = origin.saturating_add(now.since_origin());
        self.scene.at = SystemTime::UNIX_EPOCH.checked_add(since_epoch).unwrap_or(self.scene.at);
    }

    /// Has a dialogue do something, then sees to its timer and its end.
    pub(super) fn with(
        &mut self,
        session: SessionId,
        act: impl FnOnce(&mut Dialogue, Timestamp, &mut Scene),
    ) {
        let Some(dialogue) = self.dialogues.get_mut(&session) else { return };
        act(dialogue, self.now, &mut self.scene);
        dialogue.count_waiting(&mut self.waiting);
        if self.waiting > MOST_WAITING {
            dialogue.handle_lost(self.now, Reason::CaptureGap, &mut self.scene);
            dialogue.count_waiting(&mut self.waiting);
        }
        let (over, armed) = (dialogue.over, dialogue.armed);
        let due = dialogue.poll_timeout().filter(|_| !over);
        // One that is too early may stay: it rings for nothing.
        if over || due.is_some_and(|due| armed.is_none_or(|armed| due < armed)) {
            dialogue.armed = due;
            self.timers.extend(due.map(|due| (due, session)));
            if let Some(armed) = armed {
                self.timers.remove(&(armed, session));
            }
        }
        if over {
            self.dialogues.remove(&session);
        }
    }

    /// Sees to it that another dialogue fits: the oldest one ends. Some wait for hours, for a data connection that may
    /// not come.
    pub(super) fn make_room(&mut self) {
        if self.dialogues.len() >= self.most
            && let Some((&oldest, _)) = self.dialogues.first_key_value()
        {
            self.forget(oldest, Reason::CaptureGap);
        }
    }

    /// Ends the data connections that the engines ordered closed.
    pub(super) fn settle(&mut self) {
        while let Some(id) = self.scene.cut.pop() {
            self.close(id, None, None, Some(Reason::Aborted));
        }
    }

    /// A data connection is over.
    pub(super) fn close(
        &mut self,
        id: PinholeId,
        bytes_to_server: Option<u64>,
        bytes_to_client: Option<u64>,
        reason: Option<Reason>,
    ) {
        let Some(duration) = self.scene.pinholes.connected_for(id, self.now) else { return };
        let closed = Closed { bytes_to_server, bytes_to_client, duration, reason };
        self.tell(id, DataEvent::Closed(closed));
        self.scene.pinholes.forget(id);
    }

    /// The captures are over, and all connections with them.
    pub(super) fn finish(&mut self) {
        self.settle();
        let sessions: Vec<_> = self.dialogues.keys().copied().collect();
        sessions.into_iter().for_each(|session| self.forget(session, Reason::CaptureEnded));
    }

    /// Nothing more will be known of a session.
    fn forget(&mut self, session: SessionId, reason: Reason) {
        self.with(session, |dialogue, now, scene| dialogue.handle_forgotten(now, reason, scene));
        self.settle();
    }

    pub(super) fn tell(&mut self, id: PinholeId, event: DataEvent) {
        if let Some(session) = self.scene.pinholes.session(id) {
            self.with(session, |dialogue, now, scene| dialogue.handle_data(now, id, event, scene));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MOST_WAITING, Reason, SessionId};
    use crate::capture::{Conversation, Frame, Speaker};
    use crate::replay::Replay;

    /// Plays these packets at `at` seconds.
    fn play(replay: &mut Replay, at: u64, packets: Vec<Vec<u8>>) {
        for data in &packets {
            let at = Duration::from_secs(at);
            replay.handle_frame(&Frame { number: 1, at, link_type: 101, data, length: data.len() });
        }
    }

    #[test]
    fn a_dialogue_has_one_timer_and_none_when_it_is_over() {
        let [client, server] = ["198.51.100.10:40122", "10.0.0.5:21"].map(|addr| addr.parse().unwrap());
        let (mut control, mut replay) =
            (Conversation::new(client, server).unwrap(), Replay::new(None, false));
        play(&mut replay, 0, control.open());
        play(&mut replay, 0, control.say(Speaker::Server, b"220 hi\r\n"));
        play(&mut replay, 0, control.say(Speaker::Client, b"USER alice\r\n"));
        play(&mut replay, 0, control.say(Speaker::Server, b"230 in\r\n"));
        for at in (0..20).map(|round| round * 31) {
            play(&mut replay, at, control.say(Speaker::Client, b"PASV\r\n"));
            play(&mut replay, at, control.say(Speaker::Server, b"227 (10,0,0,5,160,2)\r\n"));
            assert_eq!(replay.stage.timers.len(), 1, "at {at} s");
        }
        play(&mut replay, 700, control.close(Speaker::Client));
        assert_eq!(replay.stage.timers.len(), 0);
    }

    #[test]
    fn the_oldest_dialogue_ends_when_there_are_too_many() {
        let mut replay = Replay::new(None, false);
        replay.stage.most = 2;
        for port in 40_001..=40_003 {
            let (client, server) = (([198, 51, 100, 10], port).into(), ([10, 0, 0, 5], 21).into());
            let mut control = Conversation::new(client, server).unwrap();
            play(&mut replay, 0, control.open());
            play(&mut replay, 0, control.say(Speaker::Server, b"220 hi\r\n"));
            play(&mut replay, 0, control.say(Speaker::Client, b"USER alice\r\n"));
            play(&mut replay, 0, control.say(Speaker::Server, b"230 in\r\n"));
            play(&mut replay, 0, control.say(Speaker::Client, b"PASV\r\n"));
            play(&mut replay, 0, control.say(Speaker::Server, b"227 (10,0,0,5,160,2)\r\n"));
            play(&mut replay, 0, control.say(Speaker::Client, b"RETR f\r\n"));
            play(&mut replay, 0, control.close(Speaker::Client));
        }
        assert_eq!(replay.stage.dialogues.len(), 2);
        let records = std::iter::from_fn(|| replay.poll_record()).map(|seen| seen.record);
        let gone: Vec<_> = records
            .filter(|record| record.event.reason == Some(Reason::CaptureGap))
            .map(|record| (record.context.unwrap().session, record.event.kind.name()))
            .collect();
        let first = SessionId(1);
        assert_eq!(gone, [(first, "pinhole.revoked")]);
    }

    #[test]
    fn who_makes_too_much_wait_is_not_listened_to() {
        let [client, server] = ["198.51.100.10:40122", "10.0.0.5:21"].map(|addr| addr.parse().unwrap());
        let (mut control, mut replay) =
            (Conversation::new(client, server).unwrap(), Replay::new(None, false));
        replay.stage.waiting = MOST_WAITING - 5;
        play(&mut replay, 0, control.open());
        play(&mut replay, 0, control.say(Speaker::Server, b"220-a"));
        assert_eq!((replay.stage.dialogues.len(), replay.stage.waiting), (1, MOST_WAITING));
        play(&mut replay, 0, control.say(Speaker::Server, b"b"));
        assert_eq!((replay.stage.dialogues.len(), replay.stage.waiting), (0, MOST_WAITING - 5));
    }
}
