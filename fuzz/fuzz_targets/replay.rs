#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ftp_pinhole_fuzz::bodies::replay(data));
