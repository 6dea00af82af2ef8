//! FTPS with real clients and servers, the gateway ending the clients' TLS and speaking TLS to servers.
//!
//! Servers that can ask for it demand that data connections resume the session of the control connection;
//! so does the gateway, by default.

// Whatever a test unwraps or indexes fails that test, helpers included.
#![allow(clippy::indexing_slicing)]

mod matrix;
mod mishaps;
mod pki;
mod reuse;
mod rig;
mod secure;
mod trust;

use rig::Upstream::{Explicit, Implicit, Plain};

use crate::client::Version::{V1_2, V1_3};
use crate::client::{CURL, FTPLIB, LFTP};
use crate::namespace::isolated;
use crate::server::Kind::{Proftpd, PureFtpd, Pyftpdlib, Vsftpd};

/// One test for each line, in a namespace of its own.
macro_rules! tests {
    ($($name:ident: $run:expr;)+) => {
        $(
            #[test]
            fn $name() {
                isolated(concat!("ftps::", stringify!($name)), || $run);
            }
        )+
    };
}

tests! {
    curl_works_with_plain_vsftpd: matrix::run(&CURL, Plain(Vsftpd));
    curl_works_with_vsftpd: matrix::run(&CURL, Explicit(Vsftpd));
    curl_works_with_implicit_vsftpd: matrix::run(&CURL, Implicit(Vsftpd));
    curl_works_with_proftpd: matrix::run(&CURL, Explicit(Proftpd));
    curl_works_with_pure_ftpd: matrix::run(&CURL, Explicit(PureFtpd));
    lftp_works_with_plain_vsftpd: matrix::run(&LFTP, Plain(Vsftpd));
    lftp_works_with_vsftpd: matrix::run(&LFTP, Explicit(Vsftpd));
    lftp_works_with_implicit_vsftpd: matrix::run(&LFTP, Implicit(Vsftpd));
    lftp_works_with_proftpd: matrix::run(&LFTP, Explicit(Proftpd));
    lftp_works_with_pure_ftpd: matrix::run(&LFTP, Explicit(PureFtpd));
    ftplib_works_with_plain_vsftpd: matrix::run(&FTPLIB, Plain(Vsftpd));
    ftplib_works_with_vsftpd: matrix::run(&FTPLIB, Explicit(Vsftpd));
    ftplib_works_with_implicit_vsftpd: matrix::run(&FTPLIB, Implicit(Vsftpd));
    ftplib_works_with_proftpd: matrix::run(&FTPLIB, Explicit(Proftpd));
    ftplib_works_with_pure_ftpd: matrix::run(&FTPLIB, Explicit(PureFtpd));

    vsftpd_demands_reuse: reuse::the_server_demands_it(Vsftpd);
    proftpd_demands_reuse: reuse::the_server_demands_it(Proftpd);
    twelve_downloads_from_vsftpd_over_tls_1_2: reuse::downloads(Vsftpd, V1_2);
    twelve_downloads_from_vsftpd_over_tls_1_3: reuse::downloads(Vsftpd, V1_3);
    twelve_downloads_from_proftpd_over_tls_1_2: reuse::downloads(Proftpd, V1_2);
    twelve_downloads_from_proftpd_over_tls_1_3: reuse::downloads(Proftpd, V1_3);
    twelve_uploads_to_vsftpd_over_tls_1_2: reuse::uploads(Vsftpd, V1_2);
    twelve_uploads_to_vsftpd_over_tls_1_3: reuse::uploads(Vsftpd, V1_3);
    twelve_uploads_to_proftpd_over_tls_1_2: reuse::uploads(Proftpd, V1_2);
    uploads_to_proftpd_over_tls_1_3_run_out_of_tickets: reuse::uploads_run_out(Proftpd);
    curl_uploads_twelve_files_in_one_session: reuse::a_program_uploads(&CURL, &[V1_2]);
    lftp_uploads_twelve_files_in_one_session: reuse::a_program_uploads(&LFTP, &[V1_2, V1_3]);
    ftplib_uploads_twelve_files_in_one_session: reuse::a_program_uploads(&FTPLIB, &[V1_2, V1_3]);
    an_upload_is_whole_though_the_client_reads_nothing: reuse::an_upload_needs_no_reading();
    uploads_of_a_client_that_uses_tickets_once_run_out: reuse::a_client_may_run_out();

    a_plain_client_reaches_vsftpd: trust::a_plain_client_reaches_a_tls_server(Vsftpd);
    a_plain_client_reaches_proftpd: trust::a_plain_client_reaches_a_tls_server(Proftpd);
    a_plain_client_reaches_pure_ftpd: trust::a_plain_client_reaches_a_tls_server(PureFtpd);
    as_client_serves_both_kinds: trust::as_client_serves_both_kinds();
    as_client_protects_nobody_who_did_not_ask: trust::as_client_protects_nobody_who_did_not_ask();
    as_client_offers_what_the_server_has: trust::as_client_offers_what_the_server_has();
    a_server_that_is_not_the_one_meant_is_not_used: trust::a_server_that_is_not_the_one_meant_is_not_used();
    clients_show_certificates: trust::clients_show_certificates();
    data_has_the_session_or_the_certificate: trust::data_has_the_session_or_the_certificate();
    a_reload_shows_the_new_certificate: trust::a_reload_shows_the_new_certificate();

    abor_cuts_a_protected_transfer_from_vsftpd: mishaps::abor_cuts(Vsftpd);
    abor_cuts_a_protected_transfer_from_pyftpdlib: mishaps::abor_cuts(Pyftpdlib);
    abor_leaves_a_working_session_on_vsftpd: mishaps::abor_is_answered(Vsftpd);
    abor_leaves_a_working_session_on_proftpd: mishaps::abor_is_answered(Proftpd);
    a_client_dies_before_plain_vsftpd: mishaps::a_client_dies(Plain(Vsftpd));
    a_client_dies_before_vsftpd: mishaps::a_client_dies(Explicit(Vsftpd));
    a_client_dies_before_proftpd: mishaps::a_client_dies(Explicit(Proftpd));
    vsftpd_dies_under_tls: mishaps::a_server_dies(Explicit(Vsftpd));
    proftpd_dies_under_tls: mishaps::a_server_dies(Explicit(Proftpd));
    an_upload_without_its_end_is_not_reported_stored: mishaps::an_upload_without_its_end_is_not_reported_stored();
    thirty_sessions_at_once_work_with_plain_vsftpd: mishaps::many_sessions_at_once(Plain(Vsftpd));
    thirty_sessions_at_once_work_with_vsftpd: mishaps::many_sessions_at_once(Explicit(Vsftpd));
    thirty_sessions_at_once_work_with_proftpd: mishaps::many_sessions_at_once(Explicit(Proftpd));
}
