//! The dialogues of a replay and their time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
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

/// All connections and dialogues: what the flows of segments tell their story to.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) rules: Rules,
    pub(super) scene: Scene,
    pub(super) names: Names,
    pub(super) now: Timestamp,
    pub(super) connections: HashMap<FlowId, Role>,
    pub(super) dialogues: BTreeMap<SessionId, Dialogue>,
    /// When which dialogue has something due; may ring for nothing.
    timers: BinaryHeap<Reverse<(Timestamp, SessionId)>>,
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
            timers: BinaryHeap::new(),
        }
    }

    /// Lets time pass up to `now`.
    pub(super) fn advance(&mut self, now: Timestamp, origin: Duration) {
        while let Some(&Reverse((due, session))) = self.timers.peek()
            && due <= now
        {
            self.timers.pop();
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
        if dialogue.over {
            self.dialogues.remove(&session);
            return;
        }
        if let Some(due) = dialogue.poll_timeout()
            && dialogue.armed.is_none_or(|armed| due < armed)
        {
            dialogue.armed = Some(due);
            self.timers.push(Reverse((due, session)));
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
        for session in sessions {
            self.with(session, |dialogue, now, scene| dialogue.handle_lost(now, Reason::CaptureEnded, scene));
        }
        self.settle();
    }

    pub(super) fn tell(&mut self, id: PinholeId, event: DataEvent) {
        if let Some(session) = self.scene.pinholes.session(id) {
            self.with(session, |dialogue, now, scene| dialogue.handle_data(now, id, event, scene));
        }
    }
}
