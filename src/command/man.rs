//! `claw man`

use crate::command::out;
use crate::core::fault::{Fault, Result};
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
    out::raw(&String::from_utf8_lossy(&page))?;
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
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(page, ".SS claw {}\n{}.", sub.get_name().replace('-', "\\-"), about.replace('-', "\\-"))?;
        for argument in sub.get_arguments().filter(|a| !matches!(a.get_id().as_str(), "help" | "version" | "workspace"))
        {
            let long = argument.get_long().map(|l| format!("\\-\\-{l}"));
            let short = argument.get_short().map(|s| format!("\\-{s}"));
            let flag: Vec<String> = [short, long].into_iter().flatten().collect();
            let value =
                argument.get_value_names().map(|n| n.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
            let value = value.filter(|_| argument.get_action().takes_values()).unwrap_or_default();
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('-', "\\-");
            writeln!(page, ".TP\n{} {value}\n{help}", flag.join(", "))?;
        }
    }
    Ok(())
}
