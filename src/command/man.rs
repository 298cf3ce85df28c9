//! `claw man`

use crate::command::terminal::out;
use crate::core::fault::{Fault, Result};
use clap::Arg;
use clap_mangen::Man;

/// Print the man page
#[derive(Debug, clap::Args)]
pub struct Args {}

/// What clap does not know. roff(7), man macros.
const TAIL: &str = r#".SH "EXIT STATUS"
.TP
0
Fine, also where there was nothing to do.
.TP
1
Something failed: an event is in failed/, or nothing was found.
.TP
2
The command line is wrong.
.TP
65
Bad data: an event, an id, an address, a definition.
.TP
69
A service is not available.
.TP
75
Try again later: somebody holds it, it is not due, or the machine is in trouble. Nothing is lost.
.TP
78
The configuration is bad.
.SH ENVIRONMENT
.TP
CLAW_WORKSPACE
The workspace, where \-\-workspace does not say.
.TP
XDG_DATA_HOME, XDG_STATE_HOME, HOME
Where the default workspace and the list of trusted workspaces are.
.TP
USER
The name behind cli: in your address.
.TP
CLAW_NOW, CLAW_SEED
Fix the clock (RFC 3339) and the randomness (a number), for tests.
.SH CASSETTES
ask, chat, run\-agent, supervise and tick with \-\-record FILE write every exchange with a model into FILE, a line of JSON
each: what was asked, without headers and keys, and what came back, in the pieces that it came in. A model with
.B provider: replay
and
.B cassette: FILE
(relative to the workspace) answers from it, in its order, by the protocol that was recorded, and asks nobody. What it
is asked must be what was recorded; where it is not, every place that differs is told, and nothing is answered (exit
status 1). How far a cassette is played stands in .claw/replay/; it is played once, or again when that is removed.
CLAW_NOW, CLAW_SEED and a session with a name make requests the same from run to run.
.SH FILES
.TP
claw.yaml
The settings. The program never rewrites them.
.TP
inbox/, outbox/
Drop zones; below them new, ready, run, wait, done, failed.
.TP
sessions/NAME/log.jsonl
One conversation.
.TP
memories/
What is remembered.
.TP
\&.claw/
Locks, learned routes, the journal.
"#;

/// Prints the man page: `claw man | man -l -`.
///
/// # Errors
/// `Closed` where nobody reads it.
pub fn run(program: clap::Command) -> Result<u8> {
    let mut page = Vec::new();
    write(&mut page, program).map_err(|e| Fault::data(format!("the man page: {e}")))?;
    out::raw(&ascii(&String::from_utf8_lossy(&page)))?;
    out::raw(TAIL)?;
    Ok(0)
}

fn write(page: &mut Vec<u8>, mut command: clap::Command) -> std::io::Result<()> {
    use std::io::Write;
    command.build();
    let man = Man::new(command.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    writeln!(page, ".SH COMMANDS")?;
    command.get_subcommands().filter(|sub| is_told(sub)).try_for_each(|sub| section(page, "claw", sub))
}

/// What clap adds by itself is not told, and what is hidden neither.
fn is_told(command: &clap::Command) -> bool {
    command.get_name() != "help" && !command.is_hide_set()
}

/// One command, and then those below it.
fn section(page: &mut Vec<u8>, above: &str, command: &clap::Command) -> std::io::Result<()> {
    use std::io::Write;
    let name = format!("{above} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    writeln!(page, ".SS {}\n{}.", escaped(&name), escaped(about.trim_end_matches('.')))?;
    let is_own = |argument: &&Arg| {
        !matches!(argument.get_id().as_str(), "help" | "version" | "workspace") && !argument.is_hide_set()
    };
    for argument in command.get_arguments().filter(is_own) {
        writeln!(page, ".TP\n{}\n{}", escaped(&signature(argument)), escaped(&told(argument)))?;
    }
    if let Some(after) = command.get_after_long_help().or(command.get_after_help()) {
        writeln!(page, ".PP\n.nf\n{}\n.fi", escaped(&after.to_string()))?;
    }
    command.get_subcommands().filter(|sub| is_told(sub)).try_for_each(|sub| section(page, &name, sub))
}

/// How an argument is written.
fn signature(argument: &Arg) -> String {
    let long = argument.get_long().map(|long| format!("--{long}"));
    let short = argument.get_short().map(|short| format!("-{short}"));
    let flag: Vec<String> = [short, long].into_iter().flatten().collect();
    let values = argument.get_value_names().filter(|_| argument.get_action().takes_values()).unwrap_or_default();
    let values = values.iter().map(ToString::to_string);
    [flag.join(", ")].into_iter().chain(values).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What an argument is for, what it may be, and what it is where nobody says.
fn told(argument: &Arg) -> String {
    let mut text = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    if !argument.get_action().takes_values() {
        return text;
    }
    let list = |names: Vec<String>| names.join(", ");
    let values = argument.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
    let values = list(values.map(|value| value.get_name().to_owned()).collect());
    let defaults = argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned());
    let defaults = list(defaults.collect());
    for (what, which) in [("default", defaults), ("possible values", values)] {
        if !which.is_empty() {
            text += &format!(" [{what}: {which}]");
        }
    }
    text
}

/// Text in roff(7): nothing in it is a request, a hyphen is one, and an empty line begins a paragraph.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let line = |line: &str| match line {
        "" => ".PP".to_owned(),
        line if line.starts_with(['.', '\'']) => format!("\\&{line}"),
        line => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The page in ASCII, which every formatter reads alike, whatever the locale.
fn ascii(page: &str) -> String {
    let mut shown = String::with_capacity(page.len());
    for c in page.chars() {
        if c.is_ascii() { shown.push(c) } else { shown += &format!("\\[u{:04X}]", u32::from(c)) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_request_and_the_page_is_ascii() {
        assert_eq!(escaped("a-b\n\n.claw/ \\x\n'q"), "a\\-b\n.PP\n\\&.claw/ \\ex\n\\&'q");
        assert_eq!(ascii("ID… 猫"), "ID\\[u2026] \\[u732B]");
    }
}
