//! `monitor`: what the gateway would do with the connections of a network interface, while they are there.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use super::replay::{Output, ReportArgs};
use crate::addr::CONTROL_PORT;
use crate::config::Config;
use crate::host::give_up_privileges;
use crate::live::{Live, Wanted, since_epoch};
use crate::replay::Replay;

/// The arguments of `monitor`.
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// The network interface to listen to.
    #[arg(long, value_name = "IF")]
    pub interface: String,
    /// Listen to frames for other hosts as well, which a mirror port of a switch sends here.
    #[arg(long)]
    pub promiscuous: bool,
    /// End after this time, such as 60s or 2h; otherwise SIGINT or SIGTERM ends it.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub time: Option<Duration>,
    /// End after so many frames.
    #[arg(long, value_name = "N")]
    pub frames: Option<u64>,
    /// What is asked for.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// Listens until it is told to stop; ends with 1 when the gateway would have denied something.
pub(super) fn monitor(args: &MonitorArgs) -> anyhow::Result<ExitCode> {
    let config = args.report.config()?;
    let mut live = Live::open(&args.interface, args.promiscuous, &wanted(config.as_ref()))?;
    let (mut replay, mut output) = args.report.begin(config)?;
    let signals = signals().context(SET_UP)?;
    give_up_privileges()?;
    eprintln!("listening to {}", args.interface);
    let watched = watch(args, &mut live, &signals, &mut replay, &mut output);
    // What was seen is told all the same.
    let code = args.report.end(replay, output, Path::new(&args.interface))?;
    watched.map(|()| code)
}

/// The control ports of the rules; without rules any port may be one.
fn wanted(config: Option<&Config>) -> Wanted {
    let services = config.iter().flat_map(|config| &config.services);
    let servers = services.flat_map(|service| service.listen.iter().chain(&service.upstream));
    let ports = servers.map(|server| server.port()).chain([CONTROL_PORT]).collect();
    Wanted { ports, any_port: config.is_none() }
}

fn watch(
    args: &MonitorArgs,
    live: &mut Live,
    signals: &SignalFd,
    replay: &mut Replay,
    output: &mut Output,
) -> anyhow::Result<()> {
    let end = args.time.and_then(|time| Instant::now().checked_add(time));
    loop {
        let left = end.map_or(TICK, |end| end.saturating_duration_since(Instant::now()));
        let stop = wait(live, signals, left.min(TICK)).context(SET_UP)? || left.is_zero();
        let read = read(live, args.frames, replay)?;
        replay.handle_dropped(live.dropped());
        if read == Read::All {
            replay.handle_time(since_epoch());
        }
        output.take(replay, Path::new(&args.interface))?;
        output.flush()?;
        if stop || read == Read::Enough {
            return Ok(());
        }
    }
}

/// Waits for a frame, a signal or the end of `time`; whether a signal came.
fn wait(live: &Live, signals: &SignalFd, time: Duration) -> rustix::io::Result<bool> {
    let mut events = [PollFd::new(live, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
    let time = Timespec::try_from(time).ok();
    retry_on_intr(|| poll(&mut events, time.as_ref()))?;
    let [_, signal] = events;
    Ok(!signal.revents().is_empty())
}

/// From here on SIGINT and SIGTERM do nothing but to be told.
fn signals() -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGINT);
    set.add(Signal::SIGTERM);
    set.thread_block()?;
    SignalFd::new(&set)
}

/// How far frames have been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    /// None waits.
    All,
    /// More may wait.
    Some,
    /// No more are asked for.
    Enough,
}

/// Reads the frames that wait, up to a batch of them.
fn read(live: &mut Live, most: Option<u64>, replay: &mut Replay) -> anyhow::Result<Read> {
    for _ in 0..BATCH {
        let Some(frame) = live.next()? else { return Ok(Read::All) };
        replay.handle_frame(&frame);
        if most.is_some_and(|most| frame.number >= most) {
            return Ok(Read::Enough);
        }
    }
    Ok(Read::Some)
}

/// How often timers are looked at when no frame comes.
const TICK: Duration = Duration::from_secs(1);

/// Frames that are read before records are printed.
const BATCH: usize = 256;

const SET_UP: &str = "the process cannot be set up";
