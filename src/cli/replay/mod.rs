//! `replay`: what the gateway would have done with the connections of captures.

mod progress;
mod text;
mod write;

use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use crate::audit::Record;
use crate::capture::Reader;
use crate::config::Config;
use crate::ftp::printable;
use crate::replay::{Replay, Seen, Summary, suggest};

use progress::Progress;
use write::Transcript;

/// The arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Captures, pcap or pcapng, also compressed with gzip, read one after the other as if they were one;
    /// - is standard input.
    #[arg(value_name = "CAPTURE", required = true)]
    pub captures: Vec<PathBuf>,
    /// What is asked for.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// What `replay` and `monitor` can be asked for.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The rules to go by; without them every control connection goes by the defaults of a rules file.
    #[arg(long, value_name = "RULES.yaml")]
    pub rules: Option<PathBuf>,
    /// Print every audit record and a summary as JSON lines.
    #[arg(long)]
    pub json: bool,
    /// Print a rules file that fits what was seen, instead.
    #[arg(long, conflicts_with = "json")]
    pub suggest: bool,
    /// Write the control connections as the gateway would have sent them.
    #[arg(long, value_name = "OUT.pcapng")]
    pub write: Option<PathBuf>,
}

/// Replays the captures; ends with 1 when the gateway would have denied something.
pub(super) fn replay(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let (mut replay, mut output) = args.report.begin(args.report.config()?)?;
    for path in &args.captures {
        read(path, &mut replay, &mut output)?;
    }
    let last = args.captures.last().map(PathBuf::as_path).unwrap_or(Path::new("-"));
    args.report.end(replay, output, last)
}

impl ReportArgs {
    pub(super) fn config(&self) -> anyhow::Result<Option<Config>> {
        Ok(self.rules.as_deref().map(Config::load).transpose()?)
    }

    pub(super) fn begin(&self, config: Option<Config>) -> anyhow::Result<(Replay, Output)> {
        let transcript = self.write.as_deref().map(Transcript::create).transpose()?;
        let replay = Replay::new(config, transcript.is_some());
        let form = match (self.json, self.suggest) {
            (true, _) => Form::Json,
            (_, true) => Form::Nothing,
            _ => Form::Text,
        };
        Ok((replay, Output { out: BufWriter::new(io::stdout().lock()), form, transcript }))
    }

    /// Ends what still runs and tells the rest; `last` is where the last frame came from.
    pub(super) fn end(
        &self,
        mut replay: Replay,
        mut output: Output,
        last: &Path,
    ) -> anyhow::Result<ExitCode> {
        replay.finish();
        output.take(&mut replay, last)?;
        output.end(replay.summary())?;
        if self.suggest {
            let text = suggest(replay.summary())
                .context("no FTP session was seen, so there is nothing to suggest")?;
            io::stdout().write_all(text.as_bytes()).context(STDOUT)?;
            return Ok(ExitCode::SUCCESS);
        }
        Ok(if replay.summary().has_denials() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn read(path: &Path, replay: &mut Replay, output: &mut Output) -> anyhow::Result<()> {
    let name = || printable(path.as_os_str().as_encoded_bytes());
    let mut reader = Reader::open(path).with_context(name)?;
    let mut progress = Progress::new(reader.size());
    while let Some(frame) = reader.next().with_context(name)? {
        replay.handle_frame(&frame);
        output.take(replay, path)?;
        if progress.is_due(frame.number) {
            progress.show(reader.position());
        }
    }
    progress.clear();
    if reader.is_truncated() {
        eprintln!("warning: {}: the capture ends inside a frame", name());
    }
    Ok(())
}

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Nothing,
}

/// Where records and rewritten lines go.
pub(super) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    form: Form,
    transcript: Option<Transcript>,
}

impl Output {
    /// Prints and writes what the replay has to tell.
    pub(super) fn take(&mut self, replay: &mut Replay, capture: &Path) -> anyhow::Result<()> {
        while let Some(Seen { record, frame }) = replay.poll_record() {
            if let Some(transcript) = &mut self.transcript {
                transcript.note(&record);
            }
            match self.form {
                Form::Json => {
                    self.json(&Line { record: &record, frame, capture: &capture.to_string_lossy() })?
                }
                Form::Text => self.text(&record)?,
                Form::Nothing => {}
            }
        }
        if let Some(transcript) = &mut self.transcript {
            while let Some(sent) = replay.poll_sent() {
                transcript.write(&sent)?;
            }
            transcript.settle();
        }
        Ok(())
    }

    /// Shows what was printed so far.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.out.flush().context(STDOUT)
    }

    fn text(&mut self, record: &Record) -> anyhow::Result<()> {
        match text::line(record) {
            Some(line) => writeln!(self.out, "{line}").context(STDOUT),
            None => Ok(()),
        }
    }

    fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.out, value).context(STDOUT)?;
        self.out.write_all(b"\n").context(STDOUT)
    }

    fn end(&mut self, summary: &Summary) -> anyhow::Result<()> {
        match self.form {
            Form::Json => self.json(&Total { summary })?,
            Form::Text => self.out.write_all(text::summary(summary).as_bytes()).context(STDOUT)?,
            Form::Nothing => {}
        }
        if let Some(transcript) = self.transcript.take() {
            transcript.finish()?;
        }
        self.flush()
    }
}

/// A record of a replay: that of the gateway, and where it comes from.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    record: &'a Record,
    frame: u64,
    capture: &'a str,
}

/// The last line of `--json`.
#[derive(Serialize)]
struct Total<'a> {
    summary: &'a Summary,
}

const STDOUT: &str = "cannot write to standard output";
