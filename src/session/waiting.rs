//! The final reply of a transfer waits for its data connection.
//!
//! In active mode it waits until the client is reached: many clients give up a transfer that is reported
//! complete before its connection came, which cannot happen without a gateway, since the server connects
//! before it replies. Under TLS it waits for the end of the bytes, which tells whether any are missing
//! (RFC 4217 section 12.1): the client hears what became of the transfer, not what the server thinks.

use std::time::Duration;

use super::{Session, Tolerance, replies};
use crate::ftp::Reply;
use crate::ids::PinholeId;
use crate::time::Timestamp;

/// How long a reply waits for a data connection of which there is no sign.
const NO_SIGN: Duration = Duration::from_secs(1);

/// How long a reply waits for the end of a protected data connection, which a slow receiver puts off.
const NO_END: Duration = Duration::from_secs(10);

/// A reply that waits; everything behind it waits, too.
#[derive(Debug)]
pub(super) struct Waiting {
    pinhole: PinholeId,
    pub(super) reply: Reply,
    since: Timestamp,
}

/// A transfer that failed on the gateway, which its server has not replied to yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    pinhole: PinholeId,
    /// What the client is told.
    text: &'static str,
}

impl Session {
    /// Sends the final reply of the transfer that `id` carries, now or when its connection stands and its
    /// bytes have arrived.
    pub(super) fn send_once_arrived(&mut self, now: Timestamp, id: PinholeId, reply: Reply) {
        let on_its_way = self.pinhole(id).is_some_and(|pinhole| pinhole.is_on_its_way());
        if reply.code.is_positive() && on_its_way {
            self.waiting = Some(Waiting { pinhole: id, reply, since: now });
        } else {
            self.send_final(id, &reply);
        }
    }

    /// The server's reply, or what became of the transfer on the gateway. A server that knows of the failure
    /// has its own words for one that came while bytes moved.
    fn send_final(&mut self, id: PinholeId, reply: &Reply) {
        let index = self.failed.iter().position(|failed| failed.pinhole == id);
        let failed = index.map(|index| self.failed.swap_remove(index));
        match failed.filter(|failed| reply.code.is_positive() || failed.text != replies::DATA_BROKE) {
            Some(failed) => self.send_reply(failed.text.as_bytes()),
            None => self.send(reply),
        }
    }

    /// The session ends: transfers that failed on the gateway will have no other reply.
    pub(super) fn tell_failures(&mut self) {
        for failed in std::mem::take(&mut self.failed) {
            if self.queue.has_transfer_of(failed.pinhole) {
                self.send_reply(failed.text.as_bytes());
            }
        }
    }

    /// The transfer that `id` carried failed, whatever its server will say.
    pub(super) fn fail_transfer(&mut self, id: PinholeId, text: &'static str) {
        let waits = self.waiting.as_ref().is_some_and(|waiting| waiting.pinhole == id);
        if waits || self.queue.has_transfer_of(id) {
            // An ABOR may have ended others without a reply of their own.
            self.failed.retain(|failed| self.queue.has_transfer_of(failed.pinhole));
            self.failed.push(Failed { pinhole: id, text });
        }
    }

    /// Active mode: the client is reached. A protected transfer has yet to arrive.
    pub(super) fn joined(&mut self, now: Timestamp, id: PinholeId) {
        if self.pinhole(id).is_some_and(|pinhole| !pinhole.is_protected()) {
            self.arrived(now, id);
        }
    }

    /// A protected transfer has gone out to its receiver.
    pub(super) fn delivered(&mut self, now: Timestamp, id: PinholeId, notified: bool) {
        if !notified {
            self.tolerate(Tolerance::MissingCloseNotify);
        }
        self.arrived(now, id);
    }

    fn arrived(&mut self, now: Timestamp, id: PinholeId) {
        if let Some(pinhole) = self.pinhole(id) {
            pinhole.arrived = true;
        }
        self.stop_waiting(now, id);
    }

    /// Nothing is to be waited for any more at the pinhole `id`.
    pub(super) fn stop_waiting(&mut self, now: Timestamp, id: PinholeId) {
        if let Some(waiting) = self.waiting.take_if(|waiting| waiting.pinhole == id) {
            self.send_final(id, &waiting.reply);
            self.reply_sent(now);
        }
    }

    /// Until when the reply waits. While the backend dials, its own time-out ends the waiting.
    pub(super) fn waiting_deadline(&self) -> Option<Timestamp> {
        let waiting = self.waiting.as_ref()?;
        let awaited = self.pinholes.iter().find(|pinhole| pinhole.id() == waiting.pinhole);
        match awaited.filter(|pinhole| pinhole.is_connected()) {
            None => Some(waiting.since + NO_SIGN),
            Some(pinhole) => pinhole.is_protected().then(|| waiting.since + NO_END),
        }
    }

    pub(super) fn expire_waiting(&mut self, now: Timestamp) {
        if self.waiting_deadline().is_some_and(|deadline| deadline <= now)
            && let Some(pinhole) = self.waiting.as_ref().map(|waiting| waiting.pinhole)
        {
            self.stop_waiting(now, pinhole);
        }
    }
}
