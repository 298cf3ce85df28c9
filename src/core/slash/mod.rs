//! Slash commands: commands of a user to the system itself, in any channel. They are not sent to a model and are not
//! part of a conversation. A command is the first line of a message. A slash and letters that the table does not have
//! are a mistyped command if they resemble one, or stand alone; `/etc/hosts` and `/tmp is full` are text for the agent.

pub mod chat_command;
pub mod command;
pub mod completion;
pub mod table;

pub use command::SlashCommand;

use crate::core::event::address::Address;
use crate::core::event::dropped;
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Fault, Result};
use crate::core::slash::command::Permission;
use crate::core::slash::table::{CommandRow, ROWS};
use crate::core::text::problem::nearest;

/// The name after the slash, in lower case, and the arguments. In groups Telegram writes `/help@its_bot`.
fn words(text: &str) -> Option<(String, Vec<&str>)> {
    let line = text.trim_start().lines().next()?.strip_prefix('/')?;
    let mut words = line.split_whitespace();
    // `/ help` is not a command.
    let name = words.next().filter(|name| line.starts_with(name))?;
    let name = name.split('@').next().unwrap_or(name).to_ascii_lowercase();
    Some((name, words.collect()))
}

/// Parses a command; `None` where the text is not a command.
///
/// # Errors
/// `Data` for an unknown command, with a suggestion, and for invalid arguments, with the syntax.
#[must_use]
pub fn parse(text: &str) -> Option<Result<SlashCommand>> {
    let (name, arguments) = words(text)?;
    match table::find(&name) {
        Some(row) => Some((row.parse)(&arguments).ok_or_else(|| Fault::data(format!("{}: {}", row.usage(), row.help)))),
        None if !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()) => {
            mistyped(&name, &arguments).map(Err)
        }
        None => None,
    }
}

/// The fault of an unknown command; `None` if it resembles no command and has words after it: then it is text.
fn mistyped(name: &str, arguments: &[&str]) -> Option<Fault> {
    let fault = Fault::data(format!("unknown command `/{name}`"));
    match nearest(name, ROWS.iter().flat_map(|row| row.names).copied()) {
        Some(near) => {
            Some(fault.hint(format!("did you mean `/{near}`? To send it to the agent, put a word before it")))
        }
        None if arguments.is_empty() => {
            Some(fault.hint("/help lists the commands; to send it to the agent, put a word before it"))
        }
        None => None,
    }
}

/// Whether an event is a command: an event of kind `control`, or a message that begins with a command. Messages between
/// agents are never commands, and neither are dropped messages: with `drops: owner` the drop zone makes a `control` event
/// of a dropped command.
#[must_use]
pub fn is_command(event: &Event) -> bool {
    match event.kind {
        EventKind::Control => true,
        EventKind::Message => {
            !["agent", dropped::CHANNEL].contains(&event.from.channel()) && parse(&event.content).is_some()
        }
        _ => false,
    }
}

/// The focus of a `/compact` event; the outer `None` for every other event. `/compact` changes the conversation, so it
/// waits in the session's own lane as a message does; all other commands have a lane of their own.
#[must_use]
pub fn compact_focus(event: &Event) -> Option<Option<String>> {
    match parse_event(event) {
        Ok(SlashCommand::Compact(focus)) if is_command(event) => Some(focus),
        _ => None,
    }
}

/// The command in an event.
///
/// # Errors
/// `Data`, with a message for the sender.
pub fn parse_event(event: &Event) -> Result<SlashCommand> {
    parse(&event.content)
        .unwrap_or_else(|| Err(Fault::data("this is not a slash command").hint("/help lists the commands")))
}

/// Whether `from` may give the command. Only the sender counts: if the owner has listed the address of a group, the
/// members of that group are not owners.
#[must_use]
pub fn allowed(command: &SlashCommand, from: &Address, owners: &[Address]) -> bool {
    command.permission() == Permission::Participant || commands_as_owner(from, owners)
}

/// Whether the commands of `from` are commands of the owner. Those in dropped files are: without `drops: owner` they are
/// refused when the file is taken in.
#[must_use]
pub fn commands_as_owner(from: &Address, owners: &[Address]) -> bool {
    from.channel() == dropped::CHANNEL || is_owner(from, owners)
}

/// Whether `from` is the owner: a user at this machine (channel `cli`), or one of the addresses that the owner listed.
#[must_use]
pub fn is_owner(from: &Address, owners: &[Address]) -> bool {
    from.channel() == "cli" || owners.contains(from)
}

/// The answer to `/help` for `from`: the commands that `from` may give.
#[must_use]
pub fn help(from: &Address, owners: &[Address]) -> String {
    let is_allowed = |row: &&CommandRow| {
        let forms: [&[&str]; 3] = [&[], &["x"], &["x", "x"]];
        forms.iter().filter_map(|form| (row.parse)(form)).any(|command| allowed(&command, from, owners))
    };
    let line = |row: &CommandRow| {
        let others: String = row.names[1..].iter().map(|name| format!(", /{name}")).collect();
        format!("{}{others}: {}", row.usage(), row.help)
    };
    ROWS.iter().filter(is_allowed).map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Draft;
    use crate::core::event::id::Id;
    use crate::core::event::stamp::Stamp;

    #[test]
    fn command_is_the_first_line() {
        let some = |text: &str| Some(text.to_owned());
        for (text, command) in [
            ("/help", SlashCommand::Help),
            ("  \n /?", SlashCommand::Help),
            ("/Help@claw_bot", SlashCommand::Help),
            ("/new", SlashCommand::New),
            ("/clear \nand more below", SlashCommand::New),
            ("/stop", SlashCommand::Stop),
            ("/session", SlashCommand::Session),
            ("/context", SlashCommand::Context),
            ("/usage", SlashCommand::Usage),
            ("/compact", SlashCommand::Compact(None)),
            ("/compact the boat\nx", SlashCommand::Compact(some("the boat"))),
            ("/agent", SlashCommand::Agent),
            ("/agent cookie", SlashCommand::Bind("cookie".into())),
            ("/route telegram:.* cookie", SlashCommand::Route("telegram:.*".into(), "cookie".into())),
            ("/bindings", SlashCommand::Bindings),
            ("/agents", SlashCommand::Agents),
            ("/skills", SlashCommand::Skills(None)),
            ("/skills x", SlashCommand::Skills(some("x"))),
            ("/crons x", SlashCommand::Crons(some("x"))),
            ("/approve", SlashCommand::Pending),
            ("/approve k7f3q9.a01", SlashCommand::Approve("k7f3q9.a01".into())),
            ("/deny a01", SlashCommand::Deny("a01".into())),
        ] {
            assert_eq!(parse(text), Some(Ok(command)), "{text:?}");
        }
    }

    #[test]
    fn other_text_is_not_a_command() {
        for text in [
            "",
            "help",
            "/",
            "/ help",
            "//help",
            "/etc/hosts",
            "/usr/bin is full",
            "/tmp is full, what now?",
            "/usr/",
            "/tmp.txt",
            "/2",
            "/a,b",
            "say /help",
            "/\u{301}",
            "/@",
            "/tür",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn unknown_command_is_refused_with_a_suggestion() {
        for (text, expected) in [
            ("/hepl", "unknown command `/hepl` (did you mean `/help`? "),
            ("/Agnet@claw_bot cookie", "unknown command `/agnet` (did you mean `/agent`? "),
            ("/bye\nx", "unknown command `/bye` (/help lists the commands; "),
        ] {
            let fault = parse(text).unwrap().unwrap_err();
            assert!(fault.to_string().starts_with(expected), "{text:?}: {fault}");
        }
    }

    #[test]
    fn invalid_arguments_are_refused_with_the_syntax() {
        for (text, usage) in [("/stop it", "/stop: "), ("/agent a b", "/agent [ID]: "), ("/deny", "/deny ID: ")] {
            let fault = parse(text).unwrap().unwrap_err();
            assert!(fault.message.starts_with(usage), "{text}: {fault}");
        }
    }

    fn event(kind: EventKind, from: &str, text: &str) -> Event {
        let from = Address::parse(from).unwrap();
        let draft = Draft { kind, from: Some(from.clone()), ..Draft::message(text) };
        draft.complete(Id::new(Stamp(0), 0), Stamp(0), &from, &from)
    }

    #[test]
    fn only_messages_from_users_are_commands() {
        assert!(is_command(&event(EventKind::Message, "telegram:42", "/stop")));
        assert!(!is_command(&event(EventKind::Message, "agent:pickle", "/stop")));
        assert!(!is_command(&event(EventKind::Message, "drop:q.md", "/stop")));
        assert!(is_command(&event(EventKind::Control, "drop:q.md", "/stop")));
        for kind in [EventKind::Cron, EventKind::Dispatch, EventKind::Remember, EventKind::Approval] {
            assert!(!is_command(&event(kind, "cli:ann", "/stop")), "{kind:?}");
        }
        let control = event(EventKind::Control, "cli:ann", "/stpo");
        assert!(is_command(&control));
        assert!(parse_event(&control).unwrap_err().message.contains("`/stpo`"));
        assert!(
            parse_event(&event(EventKind::Control, "cli:ann", "stop"))
                .unwrap_err()
                .message
                .contains("not a slash command")
        );
        let compact_focus = |kind, from: &str, text: &str| compact_focus(&event(kind, from, text));
        assert_eq!(compact_focus(EventKind::Control, "cli:ann", "/compact it"), Some(Some("it".into())));
        assert_eq!(compact_focus(EventKind::Message, "cli:ann", "/compact"), Some(None));
        assert_eq!(compact_focus(EventKind::Message, "agent:pickle", "/compact"), None);
        assert_eq!(compact_focus(EventKind::Message, "cli:ann", "/context"), None);
    }

    #[test]
    fn participant_may_not_give_owner_commands() {
        let address = |text: &str| Address::parse(text).unwrap();
        let owners = [address("telegram:42"), address("telegram:-100123")];
        let may = |command: &SlashCommand, from: &str| allowed(command, &address(from), &owners);
        for command in [
            SlashCommand::Approve("x".into()),
            SlashCommand::Bind("x".into()),
            SlashCommand::Crons(None),
            SlashCommand::Agents,
        ] {
            assert!(!may(&command, "telegram:7"), "{command:?}");
            assert!(may(&command, "telegram:42") && may(&command, "cli:ann"), "{command:?}");
        }
        assert!(may(&SlashCommand::Stop, "telegram:7") && may(&SlashCommand::New, "telegram:7"));
        let shown = help(&address("telegram:7"), &owners);
        assert!(shown.contains("/stop: ") && shown.contains("/agent [ID]: "), "{shown}");
        assert!(!shown.contains("/approve") && !shown.contains("/crons"), "{shown}");
        assert_eq!(help(&address("cli:ann"), &owners).lines().count(), ROWS.len());
    }
}
