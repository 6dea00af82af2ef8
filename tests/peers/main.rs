//! Real FTP clients against real FTP servers, with the gateway between them.
//!
//! Each test runs in a network namespace of its own where the machine allows that (see [`namespace`]), so
//! that tests may run side by side. The peers are ordinary distribution packages:
//!
//! - `FTP_PINHOLE_PEERS`: a directory with unpacked packages, searched before `PATH`;
//! - `FTP_PINHOLE_PYTHON`: a Python that has pyftpdlib (default: `python3`);
//! - `FTP_PINHOLE_REQUIRE_PEERS=1`: a peer that is missing fails its tests instead of printing `SKIP`;
//! - `FTP_PINHOLE_VIA=direct`: leave the gateway out, which proves clients, servers and this harness.

mod audit;
mod blind;
mod bulk;
mod client;
mod ftps;
mod gateway;
mod matrix;
mod namespace;
mod operation;
mod process;
mod raw;
mod replay;
mod route;
mod server;
mod sessions;

use gateway::Via;
use namespace::isolated;
use server::Kind::{Proftpd, PureFtpd, Pyftpdlib, Vsftpd};

/// One test for each client and server; each runs every operation over every set-up and route.
macro_rules! pairs {
    ($($name:ident: $client:ident with $server:ident via $via:expr;)+) => {
        $(
            #[test]
            fn $name() {
                isolated(stringify!($name), || matrix::run(&client::$client, $server, $via));
            }
        )+
    };
}

pairs! {
    curl_works_with_vsftpd: CURL with Vsftpd via Via::chosen();
    curl_works_with_proftpd: CURL with Proftpd via Via::chosen();
    curl_works_with_pure_ftpd: CURL with PureFtpd via Via::chosen();
    curl_works_with_pyftpdlib: CURL with Pyftpdlib via Via::chosen();
    lftp_works_with_vsftpd: LFTP with Vsftpd via Via::chosen();
    lftp_works_with_proftpd: LFTP with Proftpd via Via::chosen();
    lftp_works_with_pure_ftpd: LFTP with PureFtpd via Via::chosen();
    lftp_works_with_pyftpdlib: LFTP with Pyftpdlib via Via::chosen();
    wget_works_with_vsftpd: WGET with Vsftpd via Via::chosen();
    wget_works_with_proftpd: WGET with Proftpd via Via::chosen();
    wget_works_with_pure_ftpd: WGET with PureFtpd via Via::chosen();
    wget_works_with_pyftpdlib: WGET with Pyftpdlib via Via::chosen();
    ncftp_works_with_vsftpd: NCFTP with Vsftpd via Via::chosen();
    ncftp_works_with_proftpd: NCFTP with Proftpd via Via::chosen();
    ncftp_works_with_pure_ftpd: NCFTP with PureFtpd via Via::chosen();
    ncftp_works_with_pyftpdlib: NCFTP with Pyftpdlib via Via::chosen();
    inetutils_works_with_vsftpd: INETUTILS with Vsftpd via Via::chosen();
    inetutils_works_with_proftpd: INETUTILS with Proftpd via Via::chosen();
    inetutils_works_with_pure_ftpd: INETUTILS with PureFtpd via Via::chosen();
    inetutils_works_with_pyftpdlib: INETUTILS with Pyftpdlib via Via::chosen();
    ftplib_works_with_vsftpd: FTPLIB with Vsftpd via Via::chosen();
    ftplib_works_with_proftpd: FTPLIB with Proftpd via Via::chosen();
    ftplib_works_with_pure_ftpd: FTPLIB with PureFtpd via Via::chosen();
    ftplib_works_with_pyftpdlib: FTPLIB with Pyftpdlib via Via::chosen();
    // What fails here fails in the harness or in a peer, not in the gateway.
    harness_works_without_gateway_on_vsftpd: CURL with Vsftpd via Via::Direct;
    harness_works_without_gateway_on_proftpd: CURL with Proftpd via Via::Direct;
    harness_works_without_gateway_on_pure_ftpd: CURL with PureFtpd via Via::Direct;
    harness_works_without_gateway_on_pyftpdlib: CURL with Pyftpdlib via Via::Direct;
}

/// One test for each topic and server, driven by the raw client of [`raw`].
macro_rules! topics {
    ($($name:ident: $topic:path, $server:ident;)+) => {
        $(
            #[test]
            fn $name() {
                isolated(stringify!($name), || $topic($server));
            }
        )+
    };
}

topics! {
    urgent_abor_cuts_a_transfer_from_vsftpd: sessions::urgent_abor_cuts, Vsftpd;
    urgent_abor_cuts_a_transfer_from_proftpd: sessions::urgent_abor_cuts, Proftpd;
    urgent_abor_cuts_a_transfer_from_pyftpdlib: sessions::urgent_abor_cuts, Pyftpdlib;
    plain_abor_leaves_a_working_session_on_vsftpd: sessions::plain_abor_is_answered, Vsftpd;
    plain_abor_leaves_a_working_session_on_proftpd: sessions::plain_abor_is_answered, Proftpd;
    plain_abor_cuts_a_transfer_from_pyftpdlib: sessions::plain_abor_cuts, Pyftpdlib;
    stat_in_mid_transfer_cuts_nothing_from_vsftpd: sessions::stat_cuts_nothing, Vsftpd;
    stat_in_mid_transfer_cuts_nothing_from_proftpd: sessions::stat_cuts_nothing, Proftpd;
    stat_in_mid_transfer_cuts_nothing_from_pyftpdlib: sessions::stat_cuts_nothing, Pyftpdlib;
    commands_byte_by_byte_reach_vsftpd: sessions::bytes_one_by_one, Vsftpd;
    commands_byte_by_byte_reach_proftpd: sessions::bytes_one_by_one, Proftpd;
    commands_byte_by_byte_reach_pure_ftpd: sessions::bytes_one_by_one, PureFtpd;
    commands_byte_by_byte_reach_pyftpdlib: sessions::bytes_one_by_one, Pyftpdlib;
    one_gibibyte_comes_down_whole: bulk::comes_down_whole, Vsftpd;
    one_gibibyte_goes_up_whole: bulk::goes_up_whole, Vsftpd;
}
