//! Replay: what the gateway would have done with the connections of a capture.
//!
//! Does: find control connections, drive a session engine for each, match data connections to the pinholes that it
//! would have opened, record and count. Does not: read files or print ([`cli`](crate::cli) does), or know FTP but
//! for telling it from other protocols. The capture's time is the only clock. Called by `cli`.

mod connections;
mod detect;
mod dialogue;
mod pinholes;
mod rules;
mod scene;
mod stage;
mod suggest;
mod summary;
mod units;

use std::time::Duration;

use crate::capture::Frame;
use crate::config::Config;
use crate::packet::{Decoded, Decoder, Link};
use crate::stream::{Flows, Limits};
use crate::time::Timestamp;

pub use scene::{Seen, Sent};
pub use suggest::suggest;
pub use summary::{Server, Summary};

use rules::Rules;
use stage::Stage;

/// Takes the frames of captures and tells what the gateway would have done.
#[derive(Debug)]
pub struct Replay {
    decoder: Decoder,
    flows: Flows,
    stage: Stage,
    /// The time of the first frame.
    origin: Option<Duration>,
}

impl Replay {
    /// A replay by the rules of `config`, or by the defaults of the rules file. With `keep_sent` it
    /// [hands out](Self::poll_sent) what the gateway would have sent.
    pub fn new(config: Option<Config>, keep_sent: bool) -> Self {
        Self {
            decoder: Decoder::default(),
            flows: Flows::new(Limits::default()),
            stage: Stage::new(Rules::new(config), keep_sent),
            origin: None,
        }
    }

    /// Takes the next frame. A frame that is older than one before it counts as that one's age.
    pub fn handle_frame(&mut self, frame: &Frame<'_>) {
        let scene = &mut self.stage.scene;
        scene.frame = frame.number;
        scene.summary.frames += 1;
        let at = self.advance(frame.at);
        let summary = &mut self.stage.scene.summary;
        let Some(link) = Link::from_dlt(frame.link_type) else {
            summary.unknown_links.insert(frame.link_type);
            return;
        };
        match self.decoder.decode(link, at, frame.data, frame.length) {
            Decoded::Segment(segment) => self.flows.handle(at, &segment, &mut self.stage),
            Decoded::Fragment => {}
            Decoded::Other => summary.other_frames += 1,
            Decoded::Malformed | Decoded::Overlap => summary.malformed_frames += 1,
        }
        self.stage.settle();
    }

    /// No frame came up to `at`, since 1970 UTC: does what is due by then.
    pub fn handle_time(&mut self, at: Duration) {
        self.advance(at);
        self.stage.settle();
    }

    /// So many frames of a live capture were lost up to now.
    pub fn handle_dropped(&mut self, frames: u64) {
        self.stage.scene.summary.dropped_frames = Some(frames);
    }

    /// Lets time pass up to `at`, and tells it as time since the first frame.
    fn advance(&mut self, at: Duration) -> Timestamp {
        let origin = *self.origin.get_or_insert(at);
        let at = Timestamp::from_origin(at.saturating_sub(origin)).max(self.stage.now);
        self.stage.advance(at, origin);
        at
    }

    /// The captures are over: ends what still runs.
    pub fn finish(&mut self) {
        self.flows.finish(&mut self.stage);
        self.stage.finish();
    }

    /// The next record.
    pub fn poll_record(&mut self) -> Option<Seen> {
        self.stage.scene.records.pop_front()
    }

    /// The next bytes that the gateway would have sent.
    pub fn poll_sent(&mut self) -> Option<Sent> {
        self.stage.scene.sent.as_mut()?.pop_front()
    }

    /// What was counted so far.
    pub fn summary(&self) -> &Summary {
        &self.stage.scene.summary
    }
}
