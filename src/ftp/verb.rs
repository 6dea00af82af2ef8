//! The verbs: the registry of RFC 5797, RFC 3659, and what clients send besides.

/// What a command needs of a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Part of every session.
    Session,
    /// Reads files, listings or what is known of them.
    Read,
    /// Changes files.
    Write,
    /// Only where everything passes.
    Any,
}

/// Whether a verb takes an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// None.
    None,
    /// With or without.
    Optional,
    /// One that is not empty.
    Required,
}

/// Which way a transfer command moves its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// From the server to the client: RETR, LIST, NLST, MLSD.
    Retrieve,
    /// From the client to the server: STOR, STOU, APPE.
    Store,
}

/// Makes the enum and its look-ups from one table.
macro_rules! verbs {
    ($($verb:ident $name:literal $access:ident $argument:ident $doc:literal,)+) => {
        /// A verb that the gateway knows, or [`Unknown`](Verb::Unknown).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Verb {
            $(#[doc = $doc] $verb,)+
            /// Any other.
            Unknown,
        }

        impl Verb {
            /// Every verb that the gateway knows.
            pub const ALL: &'static [Verb] = &[$(Verb::$verb,)+];

            /// The verb called `name`, in upper case.
            pub fn from_name(name: &str) -> Self {
                match name {
                    $($name => Verb::$verb,)+
                    _ => Verb::Unknown,
                }
            }

            /// Its name, in upper case; `?` for the unknown.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Verb::$verb => $name,)+
                    Verb::Unknown => "?",
                }
            }

            /// What it needs of a preset.
            pub const fn access(self) -> Access {
                match self {
                    $(Verb::$verb => Access::$access,)+
                    Verb::Unknown => Access::Any,
                }
            }

            /// Whether it takes an argument.
            pub const fn argument(self) -> Argument {
                match self {
                    $(Verb::$verb => Argument::$argument,)+
                    Verb::Unknown => Argument::Optional,
                }
            }
        }
    };
}

verbs! {
    // RFC 959
    Abor "ABOR" Session None "Abort the transfer.",
    Acct "ACCT" Session Required "Account.",
    Allo "ALLO" Session Optional "Allocate space.",
    Appe "APPE" Write Required "Append to a file.",
    Cdup "CDUP" Session None "Go to the parent directory.",
    Cwd "CWD" Session Optional "Change the directory.",
    Dele "DELE" Write Required "Delete a file.",
    Help "HELP" Session Optional "Help.",
    List "LIST" Read Optional "List for people.",
    Mkd "MKD" Write Required "Make a directory.",
    Mode "MODE" Session Required "Transfer mode.",
    Nlst "NLST" Read Optional "List names.",
    Noop "NOOP" Session Optional "Nothing.",
    Pass "PASS" Session Optional "Password.",
    Pasv "PASV" Session None "The server shall listen (IPv4).",
    Port "PORT" Session Required "The server shall dial (IPv4).",
    Pwd "PWD" Session None "Print the directory.",
    Quit "QUIT" Session None "Log out.",
    Rein "REIN" Session None "Begin anew.",
    Rest "REST" Session Required "Restart at an offset.",
    Retr "RETR" Read Required "Retrieve a file.",
    Rmd "RMD" Write Required "Remove a directory.",
    Rnfr "RNFR" Write Required "Rename from.",
    Rnto "RNTO" Write Required "Rename to.",
    Site "SITE" Write Required "Something of this server's own.",
    Smnt "SMNT" Any Required "Mount.",
    Stat "STAT" Session Optional "Status, or a listing in the reply.",
    Stor "STOR" Write Required "Store a file.",
    Stou "STOU" Write Optional "Store under a unique name.",
    Stru "STRU" Session Required "File structure.",
    Syst "SYST" Session None "The server's system.",
    Type "TYPE" Session Required "Representation.",
    User "USER" Session Required "User name.",
    // RFC 1123, RFC 775: the older spellings
    Xcup "XCUP" Session None "CDUP of old.",
    Xcwd "XCWD" Session Optional "CWD of old.",
    Xmkd "XMKD" Write Required "MKD of old.",
    Xpwd "XPWD" Session None "PWD of old.",
    Xrmd "XRMD" Write Required "RMD of old.",
    // RFC 1639
    Lprt "LPRT" Session Optional "PORT for any network protocol.",
    Lpsv "LPSV" Session Optional "PASV for any network protocol.",
    // RFC 2228, RFC 4217
    Adat "ADAT" Session Optional "Security data.",
    Auth "AUTH" Session Required "Begin security.",
    Ccc "CCC" Session None "Clear the control connection.",
    Conf "CONF" Session Optional "Confidential command.",
    Enc "ENC" Session Optional "Encrypted command.",
    Mic "MIC" Session Optional "Command with integrity.",
    Pbsz "PBSZ" Session Optional "Protection buffer size.",
    Prot "PROT" Session Optional "Data protection level.",
    // RFC 2389, RFC 2428, RFC 2640, RFC 3659, RFC 6384, RFC 7151
    Algs "ALGS" Session Optional "Command of application-layer gateways.",
    Eprt "EPRT" Session Required "The server shall dial.",
    Epsv "EPSV" Session Optional "The server shall listen.",
    Feat "FEAT" Session None "Features.",
    Host "HOST" Session Required "Virtual host.",
    Lang "LANG" Session Optional "Language of replies.",
    Mdtm "MDTM" Read Required "Time of modification.",
    Mlsd "MLSD" Read Optional "List for machines.",
    Mlst "MLST" Read Optional "Facts about one file.",
    Opts "OPTS" Session Required "Options.",
    Size "SIZE" Read Required "Size of a file.",
    // Widely used, in no RFC
    Avbl "AVBL" Read Optional "Space left.",
    Clnt "CLNT" Session Required "Name of the client program.",
    Csid "CSID" Session Required "Name of the client program.",
    Dsiz "DSIZ" Read Optional "Size of a directory.",
    Hash "HASH" Read Required "Hash of a file.",
    Mff "MFF" Write Required "Change facts.",
    Mfct "MFCT" Write Required "Change the time of creation.",
    Mfmt "MFMT" Write Required "Change the time of modification.",
    Pret "PRET" Session Required "Announce the transfer before PASV.",
    Xcrc "XCRC" Read Required "Checksum of a file.",
    Xmd5 "XMD5" Read Required "MD5 of a file.",
    Xsha "XSHA" Read Required "SHA-1 of a file.",
    Xsha1 "XSHA1" Read Required "SHA-1 of a file.",
    Xsha256 "XSHA256" Read Required "SHA-256 of a file.",
    Xsha512 "XSHA512" Read Required "SHA-512 of a file.",
}

impl Verb {
    /// Which way the data goes, for a transfer command.
    pub const fn transfer(self) -> Option<Transfer> {
        match self {
            Verb::Retr | Verb::List | Verb::Nlst | Verb::Mlsd => Some(Transfer::Retrieve),
            Verb::Stor | Verb::Stou | Verb::Appe => Some(Transfer::Store),
            _ => None,
        }
    }

    /// Whether its argument is a secret.
    pub const fn is_secret(self) -> bool {
        matches!(self, Verb::Pass | Verb::Acct | Verb::Adat | Verb::Enc | Verb::Mic | Verb::Conf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_found_by_its_name() {
        for &verb in Verb::ALL {
            assert_eq!(Verb::from_name(verb.name()), verb);
        }
        assert_eq!(Verb::from_name("XYZZY"), Verb::Unknown);
    }
}
