//! The client's side: each command is forwarded, rewritten or answered.

use super::data::Setup;
use super::queue::Pending;
use super::{
    Event, EventKind, LOGIN_LINE_BYTES, Login, Output, PINHOLES, Phase, Session, Tolerance, replies,
};
use crate::addr::{AdvertisedAddr, Family};
use crate::ftp::{
    AddressError, Command, CommandError, EpsvArgument, LineEvent, LineFault, Verb, emit_line, parse_eprt,
    parse_epsv_argument, parse_port, printable,
};
use crate::policy::TransferMode;
use crate::reason::Reason;
use crate::time::Timestamp;

impl Session {
    /// Takes one command, if there is one and it may go; says whether it did.
    pub(super) fn read_command(&mut self, now: Timestamp) -> bool {
        if self.phase != Phase::Running
            || self.holds_client()
            || self.queue.len() >= self.policy.limits.pending_commands
        {
            return false;
        }
        let Some(command) = self.held.take() else {
            return self.read_line(now);
        };
        // AUTH changes how everything behind it is read, so that everything before it is answered first.
        let holds = match command.verb {
            Verb::Abor => false,
            Verb::Auth => !self.queue.is_settled(),
            _ => self.queue.holds(),
        };
        if holds {
            self.held = Some(command);
            return false;
        }
        self.last_activity = now;
        self.take_command(now, command);
        true
    }

    fn read_line(&mut self, now: Timestamp) -> bool {
        let Some(event) = self.client.next_event() else {
            return false;
        };
        match event {
            LineEvent::Line(line) => self.read_text(now, &line),
            LineEvent::BareLf(line) => {
                self.tolerate(Tolerance::BareLf);
                self.read_text(now, &line);
            }
            LineEvent::Refuse(answer) => self.outputs.push_back(Output::ToClient(answer.to_vec())),
            LineEvent::Fault(fault) => self.refuse_fault(now, fault),
        }
        true
    }

    fn read_text(&mut self, now: Timestamp, line: &[u8]) {
        match Command::parse(line) {
            Ok(command) => self.held = Some(command),
            Err(error) => self.refuse_line(now, error),
        }
    }

    fn refuse_fault(&mut self, now: Timestamp, fault: LineFault) {
        let text = match fault {
            LineFault::TooLong => replies::TOO_LONG,
            LineFault::BareLf => replies::BARE_LF,
            LineFault::BareCr | LineFault::Nul | LineFault::Telnet => replies::BAD_LINE,
        };
        self.violation(fault.into());
        self.answer(text);
        self.count_violation(now);
    }

    fn refuse_line(&mut self, now: Timestamp, error: CommandError) {
        let text = match error {
            CommandError::Http => {
                self.violation(Reason::NotFtp);
                return self.end(now, Reason::NotFtp, Some(replies::NOT_FTP));
            }
            CommandError::NoVerb => replies::NO_VERB,
            CommandError::Argument => replies::ARGUMENT,
            CommandError::NoArgument => replies::NO_ARGUMENT,
        };
        self.violation(Reason::BadCommand);
        self.answer(text);
        self.count_violation(now);
    }

    fn take_command(&mut self, now: Timestamp, command: Command) {
        if let Err(refusal) = self.judge(&command) {
            // SMTP, IMAP and the like (D32).
            let foreign = refusal.denial.reason == Reason::UnknownCommand && !self.login.is_in();
            self.refuse_command(now, &command, refusal);
            if foreign {
                self.count_violation(now);
            }
            return;
        }
        match command.verb {
            Verb::Auth => self.authenticate(now, &command),
            Verb::Pbsz => self.buffer_size(&command),
            Verb::Prot => self.protect_data(&command),
            Verb::Adat | Verb::Mic | Verb::Conf | Verb::Enc => {
                self.deny_command(&command, Reason::TlsDenied, replies::NO_SECURITY_DATA);
            }
            Verb::Ccc if self.is_client_shielded() => {
                self.deny_command(&command, Reason::TlsDenied, replies::CCC_DENIED);
            }
            Verb::Ccc => self.deny_command(&command, Reason::TlsDenied, replies::NO_CCC),
            Verb::Rein if self.is_shielded() => {
                self.deny_command(&command, Reason::NotSupported, replies::REIN_DENIED);
            }
            verb if self.lacks_tls(verb) => {
                self.deny_command(&command, Reason::TlsRequired, replies::TLS_FIRST);
            }
            Verb::Pasv | Verb::Epsv => self.passive(now, &command),
            Verb::Port | Verb::Eprt => self.active(now, &command),
            Verb::Lprt | Verb::Lpsv | Verb::Algs => {
                let text = format!("502 {} is not supported; use EPRT or EPSV.", command.name);
                self.deny_command(&command, Reason::NotSupported, &text);
            }
            verb if verb.transfer().is_some() => self.transfer(now, command),
            _ => self.plain(now, &command),
        }
    }

    /// Commands that are forwarded as they are.
    fn plain(&mut self, now: Timestamp, command: &Command) {
        let pending = match command.verb {
            Verb::User => {
                self.log_out(now);
                self.drop_setup(Reason::Reinitialized);
                Pending::User(printable(command.argument()))
            }
            Verb::Pass | Verb::Acct => Pending::Password(command.verb),
            Verb::Rein => {
                self.drop_setup(Reason::Reinitialized);
                Pending::Reinitialize
            }
            Verb::Abor => {
                self.release_without_transfer(Reason::Aborted);
                Pending::Abort { answered: false }
            }
            Verb::Feat => Pending::Features,
            Verb::Quit => Pending::Quit { answered: false },
            verb if self.asks_directory(verb) => Pending::Whereabouts,
            _ => self.directory_of(command).map_or(Pending::Plain, Pending::Directory),
        };
        // Servers that block on a transfer look up only at urgent data (RFC 959 section 4.1.3). STAT goes
        // without: ProFTPD takes any urgent data for an ABOR, vsftpd does not know STAT behind a Synch.
        let urgent = command.verb == Verb::Abor && self.queue.has_transfer();
        self.forward(command, pending, urgent);
    }

    pub(super) fn log_out(&mut self, now: Timestamp) {
        self.login = Login::Nobody;
        self.login_since = now;
        self.forget_directory();
        self.client.set_limit(self.policy.limits.line_bytes.min(LOGIN_LINE_BYTES));
    }

    /// Sends the command to the server, built anew.
    pub(super) fn forward(&mut self, command: &Command, pending: Pending, urgent: bool) {
        let mut line = Vec::with_capacity(command.name.len() + command.argument().len() + 3);
        match &command.argument {
            Some(argument) => emit_line(&mut line, &[command.name.as_bytes(), b" ", argument]),
            None => emit_line(&mut line, &[command.name.as_bytes()]),
        }
        self.tell_server(command.verb);
        self.queue.push(pending);
        let output = if urgent { Output::SynchToServer(line) } else { Output::ToServer(line) };
        self.outputs.push_back(output);
    }

    pub(super) fn deny_command(&mut self, command: &Command, reason: Reason, text: &str) {
        let command = Some(printable(command.name.as_bytes()));
        self.record(Event { command, reason: Some(reason), ..Event::new(EventKind::CommandDenied) });
        self.answer(text);
    }

    fn passive(&mut self, now: Timestamp, command: &Command) {
        let client = Family::of(self.legs.client.ip());
        if command.verb == Verb::Pasv {
            if client == Family::V6 {
                return self.deny_passive(now, command.verb, Reason::AddressFamily, replies::USE_EPSV);
            }
        } else {
            match parse_epsv_argument(command.argument()) {
                Ok(EpsvArgument::All) if client != Family::of(self.legs.server.ip()) => {
                    // RFC 6384 section 6.
                    let (reason, text) = (Reason::NotSupported, replies::EPSV_ALL_TRANSLATED);
                    return self.deny_passive(now, command.verb, reason, text);
                }
                Ok(EpsvArgument::All) => {
                    self.epsv_all = true;
                    return self.answer(replies::EPSV_ALL);
                }
                Ok(EpsvArgument::Family(family)) if family != client => {
                    return self.wrong_family(now, command);
                }
                Ok(EpsvArgument::Same | EpsvArgument::Family(_)) => {}
                Err(_) => return self.wrong_family(now, command),
            }
        }
        if let Err((reason, text)) = self.may_set_up(command.verb) {
            return self.deny_passive(now, command.verb, reason, text);
        }
        self.drop_setup(Reason::NewSetup);
        let verb: &[u8] = match Family::of(self.legs.server.ip()) {
            Family::V4 => b"PASV\r\n",
            Family::V6 => b"EPSV\r\n",
        };
        self.queue.push(Pending::Passive(command.verb));
        self.outputs.push_back(Output::ToServer(verb.to_vec()));
    }

    fn deny_passive(&mut self, now: Timestamp, verb: Verb, reason: Reason, text: &str) {
        self.deny_setup(now, TransferMode::Passive, verb, None, reason, text);
    }

    fn active(&mut self, now: Timestamp, command: &Command) {
        let verb = command.verb;
        if let Err((reason, text)) = self.may_set_up(verb) {
            return self.deny_setup(now, TransferMode::Active, verb, None, reason, text);
        }
        let named = match verb {
            Verb::Port => parse_port(command.argument()),
            _ => parse_eprt(command.argument()),
        };
        let named = match named {
            Ok(named) => named,
            Err(AddressError::Protocol) => return self.wrong_family(now, command),
            Err(AddressError::Syntax | AddressError::PortZero) => {
                let (reason, text) = (Reason::BadHostPort, replies::BAD_HOST_PORT);
                return self.deny_setup(now, TransferMode::Active, verb, None, reason, text);
            }
        };
        if verb == Verb::Eprt && Family::of(named.0.ip()) != Family::of(self.legs.client.ip()) {
            return self.wrong_family(now, command);
        }
        match self.policy.permit_active(&self.legs, named) {
            Ok(permit) => {
                self.drop_setup(Reason::NewSetup);
                self.open(verb, permit, None, None);
            }
            Err(reason) => self.deny_active(now, verb, named, reason),
        }
    }

    fn deny_active(&mut self, now: Timestamp, verb: Verb, named: AdvertisedAddr, reason: Reason) {
        let text = match reason {
            Reason::ActiveDenied => replies::ACTIVE_DENIED,
            Reason::PortNotAllowed => replies::LOW_PORT,
            _ => replies::FOREIGN_ADDRESS,
        };
        self.deny_setup(now, TransferMode::Active, verb, Some(named), reason, text);
    }

    /// 522 names the family that would do (RFC 2428 section 2).
    fn wrong_family(&mut self, now: Timestamp, command: &Command) {
        let mode = if command.verb == Verb::Eprt { TransferMode::Active } else { TransferMode::Passive };
        let number = Family::of(self.legs.client.ip()).number();
        let text = format!("522 Network protocol not supported, use ({number}).");
        self.deny_setup(now, mode, command.verb, None, Reason::AddressFamily, &text);
    }

    /// What every set-up command needs.
    pub(super) fn may_set_up(&self, verb: Verb) -> Result<(), (Reason, &'static str)> {
        if self.epsv_all && verb != Verb::Epsv {
            return Err((Reason::EpsvAll, replies::AFTER_EPSV_ALL));
        }
        if self.policy.require_login && !self.login.is_in() {
            return Err((Reason::LoginRequired, replies::LOGIN_FIRST));
        }
        if self.pinholes.len() >= PINHOLES {
            return Err((Reason::PinholeLimit, replies::CANNOT_OPEN));
        }
        Ok(())
    }

    fn deny_setup(
        &mut self,
        now: Timestamp,
        mode: TransferMode,
        verb: Verb,
        named: Option<AdvertisedAddr>,
        reason: Reason,
        text: &str,
    ) {
        self.record(Event {
            mode: Some(mode),
            command: Some(verb.name().to_owned()),
            to: named.map(|named| named.0),
            reason: Some(reason),
            ..Event::new(EventKind::PinholeDenied)
        });
        self.answer(text);
        if matches!(reason, Reason::ForeignAddress | Reason::PortNotAllowed | Reason::BadHostPort) {
            self.count_violation(now);
        }
    }

    /// A transfer command needs a set-up that nothing has used yet.
    fn transfer(&mut self, now: Timestamp, command: Command) {
        if self.lacks_privacy() {
            return self.deny_command(&command, Reason::TlsRequired, replies::PRIVACY_FIRST);
        }
        match self.setup {
            Setup::Ready(pinhole) => self.begin_transfer(now, &command, pinhole),
            Setup::Used(used) if self.policy.tolerate.reused_port => self.open_again(command, used),
            _ if self.policy.require_login && !self.login.is_in() => {
                self.deny_command(&command, Reason::LoginRequired, replies::LOGIN_FIRST);
            }
            _ => self.deny_command(&command, Reason::NoSetup, replies::NO_SETUP),
        }
    }
}

impl From<LineFault> for Reason {
    fn from(fault: LineFault) -> Self {
        match fault {
            LineFault::TooLong => Reason::LineTooLong,
            LineFault::BareLf => Reason::BareLf,
            LineFault::BareCr => Reason::BareCr,
            LineFault::Nul => Reason::NulByte,
            LineFault::Telnet => Reason::Telnet,
        }
    }
}
