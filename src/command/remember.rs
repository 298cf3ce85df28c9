//! `claw remember [TEXT|-]`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::event::{Draft, EventKind, MAX_BYTES};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::memory::facts;
use crate::stage::outcome::{EventOutcome, Outcome, failures};
use crate::stage::remember::Remember;
use crate::stage::worker::pool;
use crate::stage::{follow, route};
use crate::store::memory::replace::Replaced;
use crate::store::memory::{NotePlace, admit};
use crate::store::queue::publish;
use crate::store::workspace::clock;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most facts of the files of one command.
const MAX_FACTS: usize = 1_000;

/// Save a note in the memories
///
/// Prints FILE:LINE of the note, or `already at FILE:LINE` if the fact is noted already. A text with a secret, such as a
/// key or a password, is refused.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Save it in memories/topics/NAME.md [default: today's daily note]
    #[arg(long, value_name = "NAME", conflicts_with = "project")]
    topic: Option<String>,
    /// Save it in memories/projects/NAME.md
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Strike out the fact at this line of a note, which the new one replaces
    #[arg(long, value_name = "FILE:LINE", requires = "text")]
    replaces: Option<String>,
    /// Save every fact in this file: each item of a list and each paragraph is a note
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    file: Vec<PathBuf>,
    /// Save it although it has a secret
    #[arg(long)]
    anyway: bool,
    /// The note; `-` reads it from stdin. Without it, pending notes are saved
    #[arg(value_name = "TEXT|-")]
    text: Vec<String>,
}

/// Saves notes, and prints the place of each.
///
/// # Errors
/// `Data` for an invalid name and for a text that may not be noted; `Machine` if the machine fails.
pub fn run(args: Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let work = Remember { workspace: &workspace };
    let mut code = 0;
    let mut closed = Ok(());
    let mut report = |outcome: Outcome| {
        code = code.max(out::report_outcome(&outcome));
        if let EventOutcome::Done(places) = &outcome.state {
            for place in places {
                closed = closed.clone().and_then(|()| out::line(place));
            }
        }
    };
    if args.text.is_empty() && args.file.is_empty() {
        failures(route::all(&workspace)?.failed).for_each(&mut report);
        pool::drain(&workspace, &work, 1, &mut report)?;
        return closed.map(|()| code);
    }
    NotePlace::named(args.topic.as_deref(), args.project.as_deref())?;
    let texts = if args.file.is_empty() { vec![out::text(&args.text)?] } else { facts_of(&args.file)? };
    // Nothing is saved if one of the texts may not be.
    texts.iter().try_for_each(|text| admit::check(&workspace, text, args.anyway))?;
    let mut meta = serde_json::Map::new();
    for (key, name) in [("topic", args.topic), ("project", args.project)] {
        meta.extend(name.map(|name| (key.to_owned(), Value::from(name))));
    }
    meta.extend(args.anyway.then(|| (admit::ANYWAY.to_owned(), true.into())));
    if let (Some(named), [text]) = (&args.replaces, &texts[..]) {
        Replaced::at(&workspace, named, text)?.write(&mut meta)?;
    }
    let mut ids = Vec::new();
    for text in texts {
        let draft = Draft { kind: EventKind::Remember, meta: meta.clone(), ..Draft::message(text) };
        let id = clock::next_id(&workspace)?;
        publish::inbox(&workspace, &publish::complete(&workspace, draft, id.clone())?)?;
        ids.push(id);
    }
    failures(route::published(&workspace)?.failed).for_each(&mut report);
    for id in ids {
        follow::run_until_done(&workspace, &[&work], &id).map(&mut report)?;
    }
    closed.map(|()| code)
}

fn facts_of(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for file in files {
        texts.extend(facts::texts(&read(file)?));
    }
    match texts.len() {
        0 => Err(Fault::data("the files have no facts: list items or paragraphs")),
        1..=MAX_FACTS => Ok(texts),
        some => Err(Fault::data(format!("the files have {some} facts; at most {MAX_FACTS} are saved at once"))
            .hint("copy them into a file below memories/ instead")),
    }
}

fn read(file: &Path) -> Result<String> {
    let most = MAX_BYTES;
    let mut bytes = Vec::new();
    let opened = File::open(file).and_then(|opened| opened.take(most + 1).read_to_end(&mut bytes));
    opened.map_err(|e| Fault::new(Kind::Failed, format!("cannot read {}: {e}", file.display())))?;
    if bytes.len() as u64 > most {
        return Err(Fault::data(format!("{} has more than {most} bytes", file.display())));
    }
    String::from_utf8(bytes).map_err(|_| Fault::data(format!("{} is not UTF-8 text", file.display())))
}
