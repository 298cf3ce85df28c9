//! `claw man [COMMAND]`

use crate::command::terminal::out;
use crate::core::fault::{Fault, Result};
use crate::store::fs::At;
use clap::Arg;
use clap_mangen::Man;
use std::fs;
use std::path::PathBuf;

/// Print the man page, or that of a command
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command [default: all of them, on one page]
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
    /// Write claw.1 and a page for each command, claw-COMMAND.1, into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// The sections that clap does not generate, in roff(7) with the man macros.
const TAIL: &str = r#".SH "EXIT STATUS"
.TP
0
Success, also if there was nothing to do.
.TP
1
Failure: an event is in failed/, or nothing was found.
.TP
2
Usage error: the command line is invalid.
.TP
65
Invalid data: an event, an id, an address, a definition.
.TP
69
A service is not available.
.TP
75
Temporary failure, try again later: another process has the lock, the event is not due, or the machine failed. No
event is lost.
.TP
78
Invalid configuration.
.SH ENVIRONMENT
.TP
CLAW_WORKSPACE
The workspace, unless \-\-workspace is given.
.TP
XDG_DATA_HOME, XDG_STATE_HOME, HOME
The parent folders of the default workspace and of the list of trusted workspaces.
.TP
USER
The part of your address after cli:.
.TP
CLAW_NOW, CLAW_SEED
Fix the clock (RFC 3339) and the randomness (a number), for tests.
.TP
CLAW_CLOCK
A file with an offset of the clock in seconds, like +3600s, for tests. It is read at every look at the clock, so that a
change of the file sets the clock of running processes and of their timers. Replace the file by a rename.
.SH CASSETTES
ask, chat, run\-agent, supervise and tick with \-\-record FILE append every exchange with a model to FILE, one line of
JSON each: the request without headers and keys, and the response in the chunks in which it arrived. A model with
.B provider: replay
and
.B cassette: FILE
(relative to the workspace) replays it in its order, by the recorded protocol, and contacts no server. Each request must
equal the recorded one; otherwise every difference is reported and the turn fails (exit status 1). The position in a
cassette is saved in .claw/replay/; a cassette is replayed once, or again after that file is removed.
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
The saved notes.
.TP
\&.claw/
Locks, learned routes, the journal.
"#;

/// Prints a page, to be read with `claw man | man -l -`, or writes all pages.
///
/// # Errors
/// `Data` if there is no such command; `Closed` if stdout is closed; those of the file system.
pub fn run(args: &Args, mut program: clap::Command) -> Result<u8> {
    program.build();
    if let Some(dir) = &args.dir {
        fs::create_dir_all(dir).at("make", dir)?;
        let pages = program.get_subcommands().filter(|command| is_documented(command));
        let pages = pages.map(|command| (format!("claw-{}.1", command.get_name()), page_of(command)));
        let all = [("claw.1".to_owned(), whole(program.clone()))].into_iter().chain(pages);
        for (name, page) in all {
            let path = dir.join(&name);
            fs::write(&path, page?).at("write", &path)?;
            out::line(&name)?;
        }
        return Ok(0);
    }
    let page = match &args.command {
        None => whole(program)?,
        Some(name) => {
            let found = program.get_subcommands().find(|command| command.get_name() == name);
            let unknown = || Fault::data(format!("there is no command `{name}`")).hint("claw --help lists them");
            page_of(found.ok_or_else(unknown)?)?
        }
    };
    out::raw(&page)?;
    Ok(0)
}

/// The page of the whole program.
fn whole(program: clap::Command) -> Result<String> {
    let mut page = Vec::new();
    write(&mut page, program).map_err(|e| Fault::data(format!("the man page: {e}")))?;
    Ok(ascii(&String::from_utf8_lossy(&page)) + TAIL)
}

/// The page of one command and its subcommands.
fn page_of(command: &clap::Command) -> Result<String> {
    let mut page = Vec::new();
    write_command(&mut page, command).map_err(|e| Fault::data(format!("the man page: {e}")))?;
    Ok(ascii(&String::from_utf8_lossy(&page)))
}

fn write_command(page: &mut Vec<u8>, command: &clap::Command) -> std::io::Result<()> {
    use std::io::Write;
    let name = command.get_name();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    writeln!(page, ".TH claw\\-{} 1 \"\" \"claw {}\"", escaped(name), env!("CARGO_PKG_VERSION"))?;
    writeln!(page, ".SH NAME\nclaw\\-{} \\- {}", escaped(name), escaped(&about))?;
    // The usage has several lines for a command with subcommands.
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    writeln!(page, ".SH SYNOPSIS\n.nf\n{}\n.fi\n.SH DESCRIPTION", escaped(usage))?;
    section(page, "claw", command)?;
    writeln!(page, ".SH \"SEE ALSO\"\nclaw(1): exit codes, environment, files")
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
    command.get_subcommands().filter(|sub| is_documented(sub)).try_for_each(|sub| section(page, "claw", sub))
}

/// Whether a command has a section: hidden commands and clap's own `help` have none.
fn is_documented(command: &clap::Command) -> bool {
    command.get_name() != "help" && !command.is_hide_set()
}

/// Writes the section of a command, then those of its subcommands.
fn section(page: &mut Vec<u8>, above: &str, command: &clap::Command) -> std::io::Result<()> {
    use std::io::Write;
    let name = format!("{above} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    writeln!(page, ".SS {}\n{}.", escaped(&name), escaped(about.trim_end_matches('.')))?;
    let is_own = |argument: &&Arg| {
        !matches!(argument.get_id().as_str(), "help" | "version" | "workspace") && !argument.is_hide_set()
    };
    for argument in command.get_arguments().filter(is_own) {
        writeln!(page, ".TP\n{}\n{}", escaped(&signature(argument)), escaped(&describe(argument)))?;
    }
    if let Some(after) = command.get_after_long_help().or(command.get_after_help()) {
        writeln!(page, ".PP\n.nf\n{}\n.fi", escaped(&after.to_string()))?;
    }
    command.get_subcommands().filter(|sub| is_documented(sub)).try_for_each(|sub| section(page, &name, sub))
}

/// The syntax of an argument.
fn signature(argument: &Arg) -> String {
    let long = argument.get_long().map(|long| format!("--{long}"));
    let short = argument.get_short().map(|short| format!("-{short}"));
    let flag: Vec<String> = [short, long].into_iter().flatten().collect();
    let values = argument.get_value_names().filter(|_| argument.get_action().takes_values()).unwrap_or_default();
    let values = values.iter().map(ToString::to_string);
    [flag.join(", ")].into_iter().chain(values).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The help of an argument, with its default and its possible values.
fn describe(argument: &Arg) -> String {
    let mut text = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    if !argument.get_action().takes_values() {
        return text;
    }
    let list = |names: Vec<String>| names.join(", ");
    let values = argument.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
    let values = list(values.map(|value| value.get_name().to_owned()).collect());
    let defaults = argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned());
    let defaults = list(defaults.collect());
    for (label, names) in [("default", defaults), ("possible values", values)] {
        if !names.is_empty() {
            text += &format!(" [{label}: {names}]");
        }
    }
    text
}

/// Escapes text for roff(7): no line is a request, a hyphen stays a hyphen, and an empty line starts a paragraph.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let line = |line: &str| match line {
        "" => ".PP".to_owned(),
        line if line.starts_with(['.', '\'']) => format!("\\&{line}"),
        line => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The page in ASCII, which formatters read in the same way in every locale.
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
    fn escaped_text_has_no_request_and_the_page_is_ascii() {
        assert_eq!(escaped("a-b\n\n.claw/ \\x\n'q"), "a\\-b\n.PP\n\\&.claw/ \\ex\n\\&'q");
        assert_eq!(ascii("ID… 猫"), "ID\\[u2026] \\[u732B]");
    }
}
