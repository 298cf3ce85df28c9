//! `claw log [ID]… [-f]`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::fs::At;
use crate::store::fs::watch::{Watch, WatchKind, Woken};
use crate::store::queue::locate;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::world;
use clap::builder::PossibleValuesParser;
use jiff::civil::DateTime;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Show the journal: one line for each state change of an event
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keep printing new lines
    #[arg(short, long)]
    follow: bool,
    /// Only lines of this kind
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(journal::KINDS))]
    kind: Option<String>,
    /// Only lines since then: a time (2026-11-21, 2026-11-21T08:30) or a period before now (2h, 3d)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
    /// Only lines about these events, and about the events that they caused
    #[arg(value_name = "ID|PATH")]
    ids: Vec<String>,
}

/// The lines to print.
struct LineFilter {
    kind: Option<String>,
    since: Option<Timestamp>,
    ids: Vec<Id>,
}

impl LineFilter {
    fn of(args: &Args, workspace: &Workspace) -> Result<Self> {
        let since = args.since.as_deref().map(|text| since(text, workspace.world.now().timestamp())).transpose()?;
        let ids = args.ids.iter().map(|text| locate::resolve(workspace, text)).collect::<Result<_>>()?;
        Ok(Self { kind: args.kind.clone(), since, ids })
    }

    fn takes(&self, line: &JournalLine) -> bool {
        let is_about =
            |id: &Id| line.id.strip_prefix(id.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.kind.as_ref().is_none_or(|kind| *kind == line.kind)
            && self.since.is_none_or(|since| line.at >= since)
            && (self.ids.is_empty() || self.ids.iter().any(is_about))
    }
}

/// The instant that a user names: a date or a time in the local zone, or a period before `now`.
fn since(text: &str, now: Timestamp) -> Result<Timestamp> {
    if let Ok(period) = text.parse::<Span>() {
        let at = now.to_zoned(world::zone()).checked_sub(period.abs());
        return at.map(|at| at.timestamp()).map_err(|e| Fault::new(Kind::Usage, format!("--since {text}: {e}")));
    }
    let whole = text.parse::<Timestamp>().ok();
    let local = || text.parse::<DateTime>().ok()?.to_zoned(world::zone()).ok().map(|at| at.timestamp());
    whole.or_else(local).ok_or_else(|| {
        Fault::new(Kind::Usage, format!("--since {} is no time", text.escape_debug()))
            .hint("write it like 2026-11-21, 2026-11-21T08:30, 2h or 3d")
    })
}

/// Prints the journal, oldest line first.
///
/// # Errors
/// If it cannot be read.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = if args.follow { here.open()? } else { here.look()? };
    let folder = workspace.path(".claw/journal");
    let watch = if args.follow { Some(Watch::new(&[(folder, WatchKind::Appends)])?) } else { None };
    let filter = LineFilter::of(args, &workspace)?;
    let mut reader = Tail::default();
    let mut lines = reader.fresh(&workspace, args, &filter)?;
    let skip = lines.len() - args.lines.unwrap_or(usize::MAX).min(lines.len());
    lines.drain(..skip);
    if !args.follow && !args.json {
        out::paged(&workspace.world, &lines)?;
        return Ok(0);
    }
    loop {
        for text in &lines {
            if args.json { out::json_lines(&format!("{text}\n"))? } else { out::line(text)? }
        }
        let Some(watch) = &watch else { return Ok(0) };
        if matches!(watch.wait(&workspace.world, None, None)?, Woken::Lost(_)) {
            return Err(Fault::new(Kind::Machine, "the journal's folder was removed"));
        }
        lines = reader.fresh(&workspace, args, &filter)?;
    }
}

/// A position in the journal: the last file read, and the bytes read of it.
#[derive(Default)]
struct Tail {
    at: Option<(PathBuf, u64)>,
}

impl Tail {
    /// The lines added since the last call, formatted.
    fn fresh(&mut self, workspace: &Workspace, args: &Args, filter: &LineFilter) -> Result<Vec<String>> {
        let mut shown = Vec::new();
        for path in journal::files(workspace) {
            let from = match &self.at {
                Some((last, _)) if path < *last => continue,
                Some((last, at)) if path == *last => *at,
                _ => 0,
            };
            let mut file = File::open(&path).at("read", &path)?;
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut bytes)).at("read", &path)?;
            let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
            for text in String::from_utf8_lossy(&bytes[..whole]).lines() {
                let line = journal::parse(text).filter(|line| filter.takes(line));
                let format = |line: JournalLine| {
                    if args.json { document(&line).to_string() } else { out::row(&describe(&line)) }
                };
                shown.extend(line.map(format));
            }
            self.at = Some((path, from + whole as u64));
        }
        Ok(shown)
    }
}

/// One line of text: time, kind, id, details.
fn describe(line: &JournalLine) -> String {
    let at = line.at.to_zoned(world::zone()).strftime("%Y-%m-%d %H:%M:%S%.3f");
    let short = line.id.split_once('-').map_or(&line.id[..], |(_, short)| short);
    let mut text = format!("{at}  {:<9} {short:<12}", line.kind);
    if !line.lane.is_empty() {
        text.push(' ');
        text += &session_name::short(&line.lane);
    }
    let extra = [
        (!line.why.is_empty()).then(|| line.why.clone()),
        line.ms.map(|ms| format!("{ms} ms")),
        line.tokens.map(|[read, written]| format!("{} tokens", read + written)),
        line.until.map(|until| format!("until {}", world::local(until.into()))),
        line.receipt.clone(),
    ];
    let extra: Vec<String> = extra.into_iter().flatten().collect();
    if extra.is_empty() { text.trim_end().to_owned() } else { format!("{text}  {}", extra.join(", ")) }
}

/// One line as JSON. The keys in the journal's files differ: see [`JournalLine`].
fn document(line: &JournalLine) -> Value {
    let mut document = json!({"at": line.at, "kind": line.kind});
    let texts = [
        ("id", &line.id),
        ("mailbox", &line.mailbox),
        ("from", &line.from),
        ("to", &line.to),
        ("lane", &line.lane),
        ("reason", &line.why),
    ];
    for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        document[key] = json!(text);
    }
    let others = [
        ("due_at", line.until.map(|until| json!(until))),
        ("duration_ms", line.ms.map(|ms| json!(ms))),
        ("tokens", line.tokens.map(|[input, output]| json!({"input": input, "output": output}))),
        ("receipt", line.receipt.as_ref().map(|receipt| json!(receipt))),
    ];
    for (key, value) in others.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        document[key] = value;
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_period() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let at = |text: &str| since(text, now).map(|at| at.to_string());
        assert_eq!(at("2h").unwrap(), "2026-11-21T10:00:00Z");
        assert_eq!(at("2026-11-20T10:00:00Z").unwrap(), "2026-11-20T10:00:00Z");
        assert!(at("3d").is_ok() && at("2026-11-20").is_ok() && at("2026-11-20T10:00").is_ok());
        for wrong in ["", "yesterday", "2026-13-01", "h"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
