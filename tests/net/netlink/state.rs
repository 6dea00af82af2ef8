//! The state of the table.

use ftp_pinhole::netlink::Nft;

use crate::unshared::{load, unshared};

const RULESET: &str = "
table inet t {
    chain first {
        accept
        drop
    }
    chain second {
        drop
    }
}
table inet other {
    chain first {
        accept
    }
}
";

#[test]
fn flush_removal_of_a_rule_and_a_new_table_show() {
    unshared(module_path!(), "flush_removal_of_a_rule_and_a_new_table_show", || {
        let mut nft = Nft::connect("t").unwrap();
        assert_eq!(nft.state().unwrap(), None);
        load(RULESET);
        let loaded = nft.state().unwrap().unwrap();
        let mut seen = vec![loaded];
        let mut changes = |change: &str| {
            load(change);
            let state = nft.state().unwrap().unwrap();
            assert!(!seen.contains(&state), "{change} does not show");
            seen.push(state);
        };
        changes("flush chain inet t second\n");
        changes("add rule inet t second counter\n");
        changes("add table inet t { flags dormant; }\n");
        load("flush ruleset\n");
        assert_eq!(nft.state().unwrap(), None);
        load(RULESET);
        let again = nft.state().unwrap().unwrap();
        assert_ne!(again.handle, loaded.handle);
    });
}
