//! The commands that wait for their reply, and which of them a reply belongs to.
//!
//! Replies come in the order of the commands (RFC 959 section 4.2), with three exceptions that real
//! servers make and this queue knows: a command sent during a transfer may be answered before the
//! transfer ends, ABOR may get one reply or two, and its second one may never come.

use std::collections::VecDeque;

use super::tls::Step;
use crate::ftp::{ReplyCode, Verb};
use crate::ids::PinholeId;

/// A command that was forwarded, or an answer of the gateway's own that waits its turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// Nothing hangs on its reply.
    Plain,
    /// USER, with the name that it gave.
    User(String),
    /// PASS or ACCT; ACCT may be answered 202.
    Password(Verb),
    /// REIN.
    Reinitialize,
    /// FEAT: the reply is edited.
    Features,
    /// PASV or EPSV; holds the verb that the client used.
    Passive(Verb),
    /// PORT or EPRT, with the reserved pinhole.
    Active(PinholeId),
    /// A transfer command.
    Transfer {
        /// The pinhole that carries it.
        pinhole: PinholeId,
        /// A 1yz reply came.
        started: bool,
    },
    /// ABOR, or a transfer that the reply to one ended.
    Abort {
        /// A reply came that may have been the only one.
        answered: bool,
    },
    /// QUIT.
    Quit {
        /// The server said goodbye, but a transfer still runs: its final reply comes yet.
        answered: bool,
    },
    /// CWD or CDUP, with the directory that it leads to: rules ask for that.
    Directory(Vec<u8>),
    /// PWD: rules ask where the session is.
    Whereabouts,
    /// AUTH that goes through to the server.
    Auth,
    /// PROT that goes through to the server; whether it asks for privacy.
    Protection(bool),
    /// The gateway's own command, to secure the server's leg.
    Secure(Step),
    /// The gateway's own answer; the server was not asked.
    Own(Vec<u8>),
    /// The gateway's own answer; the server was sent a NOOP instead, and its reply is swallowed.
    Instead(Vec<u8>),
}

/// What a preliminary reply begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Started {
    /// No transfer: the reply is one of a command that may have any, or a marker.
    Nothing,
    /// The transfer that this pinhole carries.
    Transfer {
        pinhole: PinholeId,
        /// The transfer before it, which got no final reply and will get none.
        given_up: Option<PinholeId>,
    },
    /// The transfer that runs had its preliminary reply.
    Again,
}

/// The queue; as long as `limits.pending_commands`, the gateway's own answers included.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pending: VecDeque<Pending>,
}

impl Queue {
    pub(super) fn push(&mut self, pending: Pending) {
        self.pending.push_back(pending);
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether no reply has to come any more.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.iter().all(|pending| matches!(pending, Pending::Abort { answered: true }))
    }

    /// Drops everything and the memory it took.
    pub(super) fn clear(&mut self) {
        self.pending = VecDeque::new();
    }

    /// The gateway's own answer, once nothing is before it any more.
    pub(super) fn pop_own(&mut self) -> Option<Vec<u8>> {
        match self.pending.front() {
            Some(Pending::Own(_)) => match self.pending.pop_front() {
                Some(Pending::Own(answer)) => Some(answer),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the next command has to wait: the reply to a login or set-up command decides what may
    /// follow it (D21).
    pub(super) fn holds(&self) -> bool {
        self.pending.iter().any(|pending| {
            matches!(
                pending,
                Pending::User(_)
                    | Pending::Password(_)
                    | Pending::Reinitialize
                    | Pending::Passive(_)
                    | Pending::Active(_)
                    | Pending::Auth
                    | Pending::Directory(_)
                    | Pending::Whereabouts
                    | Pending::Protection(_)
                    | Pending::Secure(_)
            )
        })
    }

    /// Whether a command of the gateway's own, to secure the server's leg, waits for its reply.
    pub(super) fn secures(&self) -> bool {
        self.pending.iter().any(|pending| matches!(pending, Pending::Secure(_)))
    }

    /// Whether a transfer command waits for its final reply.
    pub(super) fn has_transfer(&self) -> bool {
        self.pending.iter().any(|pending| matches!(pending, Pending::Transfer { .. }))
    }

    /// Whether the transfer that `pinhole` carries waits for its final reply.
    pub(super) fn has_transfer_of(&self, pinhole: PinholeId) -> bool {
        let mut pending = self.pending.iter();
        pending.any(|pending| matches!(pending, Pending::Transfer { pinhole: own, .. } if *own == pinhole))
    }

    /// Whether an ABOR may still be answered.
    pub(super) fn has_abort(&self) -> bool {
        self.pending.iter().any(|pending| matches!(pending, Pending::Abort { .. }))
    }

    /// Whether the client said QUIT.
    pub(super) fn has_quit(&self) -> bool {
        self.pending.iter().any(|pending| matches!(pending, Pending::Quit { .. }))
    }

    /// Whether the server said goodbye and answered everything before it.
    pub(super) fn is_over(&self) -> bool {
        self.pending.front() == Some(&Pending::Quit { answered: true })
    }

    /// Takes the command that a final reply with `code` belongs to; `None`: nobody asked. A reply that
    /// overtakes a transfer brings along the gateway's own answers before it, which go out first.
    pub(super) fn take(&mut self, code: ReplyCode) -> Option<(Vec<Vec<u8>>, Pending)> {
        let index = self.find(code)?;
        let own = self.take_own_before(index);
        let index = index - own.len();
        let taken = self.pending.remove(index)?;
        match taken {
            Pending::Abort { answered: false } if code.is_negative() && code.get() < 500 => {
                // 426 first; 225 or 226 may follow.
                self.pending.insert(index, Pending::Abort { answered: true });
            }
            Pending::Abort { .. } if code.is_positive() => self.end_transfers_before(index),
            Pending::Quit { .. } if index > 0 => self.pending.push_back(Pending::Quit { answered: true }),
            Pending::Transfer { .. } => self.mark_aborts_answered(),
            _ => {}
        }
        Some((own, taken))
    }

    /// What a preliminary reply begins. Once a transfer begins, no ABOR before it is answered any more.
    pub(super) fn start(&mut self, code: ReplyCode) -> Started {
        let is_abort = |pending: &&Pending| matches!(pending, Pending::Abort { .. });
        let head = self.pending.iter().take_while(is_abort).count();
        let Some(&Pending::Transfer { pinhole: first, started }) = self.pending.get(head) else {
            return Started::Nothing;
        };
        if is_marker(code) {
            return Started::Nothing;
        }
        if started {
            // A transfer that begins while another seems to run: the server gave that one up in silence.
            let is_next = |pending: &Pending| matches!(pending, Pending::Transfer { started: false, .. });
            if !self.pending.iter().any(is_next) {
                return Started::Again;
            }
            self.pending.remove(head);
        }
        self.pending.drain(..head);
        let waiting = self.pending.iter_mut().find_map(|pending| match pending {
            Pending::Transfer { pinhole, started: started @ false } => Some((*pinhole, started)),
            _ => None,
        });
        let Some((pinhole, begun)) = waiting else {
            return Started::Nothing;
        };
        *begun = true;
        Started::Transfer { pinhole, given_up: started.then_some(first) }
    }

    fn find(&mut self, code: ReplyCode) -> Option<usize> {
        while let Some(Pending::Abort { answered }) = self.pending.front() {
            let alone = self.pending.len() == 1;
            if answers_abort(code, *answered, alone) {
                return Some(0);
            }
            self.pending.pop_front();
        }
        match self.pending.front()? {
            Pending::Transfer { started, .. } if overtakes(code, *started) => {
                Some(self.behind_transfer(code))
            }
            _ => Some(0),
        }
    }

    /// The first command behind the transfer at the head that `code` can answer; the head itself when
    /// there is none.
    fn behind_transfer(&self, code: ReplyCode) -> usize {
        let takes = |pending: &Pending| match pending {
            Pending::Own(_) | Pending::Transfer { .. } | Pending::Quit { answered: true } => false,
            Pending::Abort { answered } => answers_abort(code, *answered, false),
            _ => true,
        };
        let mut others = self.pending.iter().enumerate().skip(1);
        others.find(|(_, pending)| takes(pending)).map_or(0, |(index, _)| index)
    }

    /// Takes out the gateway's own answers among the first `end` entries.
    fn take_own_before(&mut self, end: usize) -> Vec<Vec<u8>> {
        let mut own = Vec::new();
        let mut index = 0;
        while index + own.len() < end {
            match self.pending.get_mut(index) {
                Some(Pending::Own(text)) => {
                    own.push(std::mem::take(text));
                    self.pending.remove(index);
                }
                _ => index += 1,
            }
        }
        own
    }

    /// ABOR was answered before the transfers in front of it: their final reply may come yet, or never
    /// (pyftpdlib answers 225 alone when the data connection had not come).
    fn end_transfers_before(&mut self, index: usize) {
        for pending in self.pending.iter_mut().take(index) {
            if matches!(pending, Pending::Transfer { .. }) {
                *pending = Pending::Abort { answered: true };
            }
        }
    }

    /// The transfer's own final reply may be all that an ABOR behind it gets.
    fn mark_aborts_answered(&mut self) {
        for pending in &mut self.pending {
            if let Pending::Abort { answered } = pending {
                *answered = true;
            }
        }
    }
}

/// Whether `code` can be a reply to ABOR. In a blocking server that does not know ABOR, a 500 to 502
/// comes behind the transfer's own reply.
fn answers_abort(code: ReplyCode, answered: bool, alone: bool) -> bool {
    match code.get() {
        225 | 226 | 426 | 500..=502 => true,
        202 | 450 | 451 | 503 | 504 | 530 => !answered,
        _ => !answered && alone,
    }
}

/// A restart or progress marker: they come in any number (RFC 959 section 4.2).
fn is_marker(code: ReplyCode) -> bool {
    (110..120).contains(&code.get())
}

/// Whether `code` cannot be the final reply of a transfer, so that it belongs to a command behind it.
fn overtakes(code: ReplyCode, started: bool) -> bool {
    match code.get() {
        226 | 250 => false,
        200..=399 => true,
        500..=504 => started,
        _ => false,
    }
}
