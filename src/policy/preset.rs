//! Presets: which commands pass when no rule says otherwise.

use super::Policy;
use crate::ftp::{Access, Command, Verb};
use crate::reason::Reason;

/// Which commands may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Reading, by the users `anonymous` and `ftp`.
    AnonymousRo,
    /// Reading.
    Ro,
    /// Reading and writing, and the harmless SITE commands.
    Rw,
    /// Everything, known or not.
    Any,
}

/// A command that does not pass: the gateway answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The audit code.
    pub reason: Reason,
    /// The reply to the client, without its line end.
    pub reply: String,
}

impl Policy {
    /// Whether `command` may pass.
    ///
    /// # Errors
    /// The denial, with the reply that the client gets.
    pub fn decide(&self, command: &Command) -> Result<(), Denial> {
        if self.preset == Preset::AnonymousRo && command.verb == Verb::User && !is_guest(command.argument()) {
            return Err(Denial {
                reason: Reason::Preset,
                reply: "530 Only anonymous logins are allowed here.".into(),
            });
        }
        if self.preset.allows(command) {
            return Ok(());
        }
        Err(denial(command))
    }
}

impl Preset {
    fn allows(self, command: &Command) -> bool {
        match command.verb.access() {
            Access::Session | Access::Read => true,
            Access::Write if command.verb == Verb::Site => {
                self == Preset::Any || self == Preset::Rw && harmless(command)
            }
            Access::Write => matches!(self, Preset::Rw | Preset::Any),
            Access::Any => self == Preset::Any,
        }
    }
}

fn is_guest(user: &[u8]) -> bool {
    user.eq_ignore_ascii_case(b"anonymous") || user.eq_ignore_ascii_case(b"ftp")
}

/// SITE commands that change no more than STOR and RNFR could; SITE EXEC is not among them (RFC 2577
/// section 7).
fn harmless(command: &Command) -> bool {
    const SUBCOMMANDS: [&[u8]; 5] = [b"CHMOD", b"HELP", b"IDLE", b"UMASK", b"UTIME"];
    let word = command.argument().split(|&byte| byte == b' ').next().unwrap_or_default();
    SUBCOMMANDS.iter().any(|allowed| word.eq_ignore_ascii_case(allowed))
}

fn denial(command: &Command) -> Denial {
    let name = &command.name;
    match command.verb {
        Verb::Unknown => {
            Denial { reason: Reason::UnknownCommand, reply: format!("500 {name} is not understood.") }
        }
        Verb::Site | Verb::Smnt => {
            Denial { reason: Reason::Preset, reply: format!("502 This {name} command is not allowed here.") }
        }
        _ => Denial { reason: Reason::Preset, reply: format!("550 {name} is not allowed here.") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(preset: Preset, line: &str) -> Option<String> {
        let policy = Policy { preset, ..Policy::default() };
        policy.decide(&Command::parse(line.as_bytes()).unwrap()).err().map(|denial| denial.reply)
    }

    #[test]
    fn each_preset_adds_to_the_one_before() {
        for (line, from) in [
            ("RETR x", Preset::AnonymousRo),
            ("USER ftp", Preset::AnonymousRo),
            ("USER bob", Preset::Ro),
            ("STOR x", Preset::Rw),
            ("SITE CHMOD 644 x", Preset::Rw),
            ("SITE EXEC x", Preset::Any),
            ("XYZZY", Preset::Any),
        ] {
            let order = [Preset::AnonymousRo, Preset::Ro, Preset::Rw, Preset::Any];
            let first = order.iter().position(|&preset| preset == from).unwrap();
            for (i, &preset) in order.iter().enumerate() {
                assert_eq!(decide(preset, line).is_none(), i >= first, "{line} in {preset:?}");
            }
        }
    }

    #[test]
    fn a_denial_says_what_is_denied() {
        assert_eq!(decide(Preset::Ro, "STOR x").unwrap(), "550 STOR is not allowed here.");
        assert_eq!(decide(Preset::Rw, "XYZZY").unwrap(), "500 XYZZY is not understood.");
    }
}
