//! The final reply of an active transfer waits for the data connection to reach the client.
//!
//! Many clients give up a transfer that is reported complete before its connection came. Without a
//! gateway that cannot happen: the server connects before it replies.

use std::time::Duration;

use super::Session;
use super::data::Pinhole;
use crate::ftp::Reply;
use crate::ids::PinholeId;
use crate::time::Timestamp;

/// How long a reply waits for a data connection of which there is no sign.
const NO_SIGN: Duration = Duration::from_secs(1);

/// A reply that waits; everything behind it waits, too.
#[derive(Debug)]
pub(super) struct Waiting {
    pinhole: PinholeId,
    pub(super) reply: Reply,
    since: Timestamp,
}

impl Session {
    /// Sends the final reply of the transfer that `id` carries, now or when its connection stands.
    pub(super) fn send_once_joined(&mut self, now: Timestamp, id: PinholeId, reply: Reply) {
        let on_its_way = self.pinhole(id).is_some_and(|pinhole| pinhole.is_on_its_way());
        if reply.code.is_positive() && on_its_way {
            self.waiting = Some(Waiting { pinhole: id, reply, since: now });
        } else {
            self.send(&reply);
        }
    }

    pub(super) fn joined(&mut self, now: Timestamp, id: PinholeId) {
        if let Some(pinhole) = self.pinhole(id) {
            pinhole.joined = true;
        }
        self.stop_waiting(now, id);
    }

    /// Nothing is to be waited for any more at the pinhole `id`.
    pub(super) fn stop_waiting(&mut self, now: Timestamp, id: PinholeId) {
        if let Some(waiting) = self.waiting.take_if(|waiting| waiting.pinhole == id) {
            self.send(&waiting.reply);
            self.reply_sent(now);
        }
    }

    /// Until when the reply waits. While the backend dials, its own time-out ends the waiting.
    pub(super) fn waiting_deadline(&self) -> Option<Timestamp> {
        let waiting = self.waiting.as_ref()?;
        let dialling = |pinhole: &Pinhole| pinhole.id() == waiting.pinhole && pinhole.is_connected();
        (!self.pinholes.iter().any(dialling)).then(|| waiting.since + NO_SIGN)
    }

    pub(super) fn expire_waiting(&mut self, now: Timestamp) {
        if self.waiting_deadline().is_some_and(|deadline| deadline <= now)
            && let Some(pinhole) = self.waiting.as_ref().map(|waiting| waiting.pinhole)
        {
            self.stop_waiting(now, pinhole);
        }
    }
}
