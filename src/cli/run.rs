//! `run`: the gateway in the foreground.

use std::path::Path;

use crate::config::Config;
use crate::proxy;
use crate::telemetry;

/// Loads the rules file and runs the gateway until it is told to stop.
pub(super) fn run(rules: &Path) -> anyhow::Result<()> {
    let config = Config::load(rules)?;
    telemetry::init(&config.gateway.log)?;
    Ok(proxy::run(config)?)
}
