//! What a connection of the capture is to the replay: a control connection, a data connection, or nothing.

use std::net::SocketAddr;

use super::detect::{Candidate, Verdict};
use super::dialogue::Dialogue;
use super::pinholes::{Match, Pinhole};
use super::rules::{Case, legs};
use super::scene::Scene;
use super::stage::{Role, Stage};
use crate::audit::SessionContext;
use crate::ids::{PinholeId, SessionId};
use crate::pinhole::{DataEvent, Direction as Flow};
use crate::policy::TransferMode;
use crate::reason::Reason;
use crate::session::{Event, EventKind};
use crate::stream::{Connection, Direction, End, FlowEvent, FlowId, Interest, Sink};
use crate::time::Timestamp;

impl Sink for Stage {
    fn opened(&mut self, flow: FlowId, connection: Connection) -> Interest {
        if !connection.midstream && self.is_data(flow, &connection) {
            return Interest::CountOnly;
        }
        if let Some(client) = self.client_by_address(&connection) {
            return self.begin(flow, connection, client, late(&connection));
        }
        let dialler = (!connection.midstream).then_some(Direction::Original);
        self.connections.insert(flow, Role::Candidate(Candidate::new(dialler), connection));
        Interest::Bytes
    }

    fn bytes(&mut self, flow: FlowId, side: Direction, bytes: &[u8]) -> Interest {
        match self.connections.get_mut(&flow) {
            Some(Role::Control(session, ..)) => {
                let session = *session;
                self.with(session, |dialogue, now, scene| dialogue.handle_bytes(now, side, bytes, scene));
                self.interest_in(session)
            }
            Some(Role::Candidate(candidate, _)) => match candidate.hear(side, bytes) {
                Verdict::Open => Interest::Bytes,
                Verdict::Control(client) => self.recognise(flow, client),
                Verdict::Other => self.ignore(flow),
            },
            Some(Role::Data(_)) | None => Interest::CountOnly,
        }
    }

    fn event(&mut self, flow: FlowId, event: FlowEvent) {
        match (self.connections.get(&flow), event) {
            (Some(Role::Control(session, ..)), FlowEvent::Fin { direction }) => {
                self.with(*session, |dialogue, now, scene| dialogue.handle_end(now, direction, scene));
            }
            (Some(&Role::Control(session, connection, client)), FlowEvent::Gap { .. }) => {
                self.handle_gap(flow, session, connection, client);
            }
            (Some(Role::Control(session, ..)), FlowEvent::Conflict { .. }) => {
                self.with(*session, |dialogue, _, scene| violation(dialogue, scene, Reason::SegmentConflict));
            }
            (Some(&Role::Control(session, ..)), FlowEvent::Closed { end, .. }) => {
                self.connections.remove(&flow);
                self.with(session, |dialogue, now, scene| end_control(dialogue, now, end, scene));
            }
            (Some(&Role::Data(id)), FlowEvent::Closed { end, original, reply }) => {
                self.connections.remove(&flow);
                self.end_data(id, end, original, reply);
            }
            (Some(Role::Candidate(..)), FlowEvent::Gap { .. } | FlowEvent::Closed { .. }) => {
                self.ignore(flow);
            }
            _ => {}
        }
    }
}

impl Stage {
    /// Whether it is a data connection, of a pinhole or of none.
    fn is_data(&mut self, flow: FlowId, connection: &Connection) -> bool {
        let Connection { from, to, .. } = *connection;
        let announced = self.scene.take_announced(from.ip(), to);
        match self.scene.pinholes.dialled(self.now, from.ip(), to) {
            Some(Match::First(id, mode)) => {
                self.connections.insert(flow, Role::Data(id));
                self.tell(id, DataEvent::Connected { from });
                if mode == TransferMode::Active {
                    self.tell(id, DataEvent::Joined);
                }
                true
            }
            Some(Match::Second(id)) => {
                self.tell(id, DataEvent::SecondConnection { from });
                true
            }
            // What somebody announces cannot hide a control connection.
            None if self.client_by_address(connection).is_some() => false,
            None => announced.is_some_and(|context| {
                let (from, to, reason) = (Some(from.ip()), Some(to), Some(Reason::NoPinhole));
                let event = Event { from, to, reason, ..Event::new(EventKind::Violation) };
                self.scene.record(Some(&context), event);
                true
            }),
        }
    }

    /// Which side is the client, if the addresses say that it is a control connection.
    fn client_by_address(&self, connection: &Connection) -> Option<Direction> {
        let sides = match connection.midstream {
            true => &[Direction::Original, Direction::Reply][..],
            false => &[Direction::Original][..],
        };
        let is_control = |client: &&Direction| {
            let (client, server) = ends(connection, **client);
            self.rules.name_control(client, server)
        };
        sides.iter().find(is_control).copied()
    }

    /// A control connection whose client is the side `client`; its beginning is missing for the reason `late`.
    fn begin(
        &mut self,
        flow: FlowId,
        connection: Connection,
        client: Direction,
        late: Option<Reason>,
    ) -> Interest {
        let (from, to) = ends(&connection, client);
        let Some(Case { service, policy, refused }) = self.rules.case(from, to) else {
            self.scene.summary.uncovered += 1;
            return self.ignore(flow);
        };
        let session = self.names.next();
        let context = SessionContext { service, session, client: from, server: None };
        if refused.is_some() {
            let event = Event { reason: refused, ..Event::new(EventKind::SessionClosed) };
            self.scene.record(Some(&context), event);
            return self.ignore(flow);
        }
        let context = SessionContext { server: Some(to), ..context };
        self.make_room();
        let dialogue = Dialogue::new(&policy, context, legs(from, to), client, self.now, late);
        self.dialogues.insert(session, Box::new(dialogue));
        self.connections.insert(flow, Role::Control(session, connection, client));
        self.with(session, Dialogue::go_on);
        self.interest_in(session)
    }

    /// A connection speaks FTP: what it has said is the beginning.
    fn recognise(&mut self, flow: FlowId, client: Direction) -> Interest {
        let Some(Role::Candidate(candidate, connection)) = self.connections.remove(&flow) else {
            return Interest::CountOnly;
        };
        let mut interest = self.begin(flow, connection, client, late(&connection));
        for (side, bytes) in candidate.into_said() {
            if interest == Interest::Bytes {
                interest = self.bytes(flow, side, &bytes);
            }
        }
        interest
    }

    fn ignore(&mut self, flow: FlowId) -> Interest {
        self.connections.remove(&flow);
        Interest::CountOnly
    }

    fn interest_in(&self, session: SessionId) -> Interest {
        let reads = self.dialogues.get(&session).is_some_and(|dialogue| dialogue.reads());
        if reads { Interest::Bytes } else { Interest::CountOnly }
    }

    /// Bytes of a control connection are missing: what was, is over, and what comes may be anything.
    fn handle_gap(&mut self, flow: FlowId, session: SessionId, connection: Connection, client: Direction) {
        if self.interest_in(session) == Interest::CountOnly {
            return;
        }
        self.with(session, |dialogue, now, scene| dialogue.handle_lost(now, Reason::CaptureGap, scene));
        self.begin(flow, connection, client, Some(Reason::CaptureGap));
    }

    fn end_data(&mut self, id: PinholeId, end: End, original: Option<u64>, reply: Option<u64>) {
        let Some(pinhole) = self.scene.pinholes.get(id) else { return };
        let (to_server, to_client) = match pinhole.mode {
            TransferMode::Passive => (original, reply),
            TransferMode::Active => (reply, original),
        };
        let reason = match end {
            End::Finished if goes_against(pinhole, to_server, to_client) => Some(Reason::WrongDirection),
            End::Finished if to_server.is_some() && to_client.is_some() => None,
            End::Finished | End::Replaced | End::Evicted => Some(Reason::CountLost),
            End::Reset { .. } => Some(Reason::DataReset),
            End::CaptureEnded => Some(Reason::CaptureEnded),
        };
        self.close(id, to_server, to_client, reason);
    }
}

/// Who is the client and who the server.
fn ends(connection: &Connection, client: Direction) -> (SocketAddr, SocketAddr) {
    match client {
        Direction::Original => (connection.from, connection.to),
        Direction::Reply => (connection.to, connection.from),
    }
}

fn late(connection: &Connection) -> Option<Reason> {
    connection.midstream.then_some(Reason::BeganBefore)
}

/// Whether payload went against the direction of the transfer command.
fn goes_against(pinhole: &Pinhole, to_server: Option<u64>, to_client: Option<u64>) -> bool {
    let moved = |bytes: Option<u64>| bytes.is_some_and(|bytes| bytes > 0);
    match pinhole.direction {
        Some(Flow::ToClient) => moved(to_server),
        Some(Flow::ToServer) => moved(to_client),
        Some(Flow::Both) | None => false,
    }
}

fn violation(dialogue: &Dialogue, scene: &mut Scene, reason: Reason) {
    let event = Event { reason: Some(reason), ..Event::new(EventKind::Violation) };
    scene.record(Some(&dialogue.context), event);
}

fn end_control(dialogue: &mut Dialogue, now: Timestamp, end: End, scene: &mut Scene) {
    match end {
        // Both FINs were told.
        End::Finished => {}
        End::Reset { direction } => {
            dialogue.handle_end(now, direction, scene);
            dialogue.handle_end(now, direction.opposite(), scene);
        }
        End::Replaced | End::Evicted => dialogue.handle_lost(now, Reason::CaptureGap, scene),
        End::CaptureEnded => dialogue.handle_lost(now, Reason::CaptureEnded, scene),
    }
}
