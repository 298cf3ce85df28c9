//! Slash commands: what a person types to the system itself, in any channel. They never reach a model and
//! are no part of a conversation. A command is the first line of a message. A first word of a slash and letters
//! alone is meant for one, also where no line of the table knows it; `/etc/hosts` is text for the agent.

use crate::core::event::address::Address;
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Fault, Result};
use crate::core::text::problem::nearest;

/// A command, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlashCommand {
    /// What commands there are.
    Help,
    /// Who answers here.
    Agent,
    /// From here on that agent answers.
    Bind(String),
    /// From here on that agent answers wherever an address is like the pattern.
    Route(String, String),
    /// Who answers where.
    Bindings,
    /// Which agents there are.
    Agents,
    /// Which skills there are, or one of them.
    Skills(Option<String>),
    /// Which crons there are, or one of them.
    Crons(Option<String>),
    /// Where this conversation is written, and how far it has come.
    Session,
    /// How much of it a model is sent.
    Context,
    /// What the models have taken.
    Usage,
    /// What a model is sent of it is made shorter, with a view to something.
    Compact(Option<String>),
    /// From here on a new conversation.
    New,
    /// The turn that runs is to end.
    Stop,
    /// What waits for the owner's word.
    Pending,
    /// The owner allows a call.
    Approve(String),
    /// The owner refuses a call.
    Deny(String),
}

/// Who may say a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Whoever is answered here at all: it is about the conversation that he takes part in, and loses
    /// nothing.
    Participant,
    /// The owner: it shows his files, or decides what is done in his name.
    Owner,
}

/// What an argument names, so that a terminal can complete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// An agent.
    Agent,
    /// A skill.
    Skill,
    /// A scheduled task.
    Cron,
    /// A call that waits for the owner's word.
    Approval,
    /// Nothing that there is a list of.
    Text,
}

/// A line of the table.
#[derive(Debug)]
pub struct CommandRow {
    /// What it is called by; the first is the one that people are told.
    pub names: &'static [&'static str],
    /// What follows the name, for people.
    pub arguments: &'static str,
    /// What its arguments name, in their order.
    pub argument_kinds: &'static [ArgumentKind],
    /// What it does, in a few words.
    pub help: &'static str,
    read: fn(&[&str]) -> Option<SlashCommand>,
}

/// Every command, in the order of `/help`.
pub const ROWS: &[CommandRow] = &[
    CommandRow {
        names: &["help", "?"],
        arguments: "",
        argument_kinds: &[],
        help: "show the commands",
        read: |a| alone(a, SlashCommand::Help),
    },
    CommandRow {
        names: &["new", "clear"],
        arguments: "",
        argument_kinds: &[],
        help: "begin a new conversation here; the old one is kept",
        read: |a| alone(a, SlashCommand::New),
    },
    CommandRow {
        names: &["stop"],
        arguments: "",
        argument_kinds: &[],
        help: "stop the turn that runs",
        read: |a| alone(a, SlashCommand::Stop),
    },
    CommandRow {
        names: &["session"],
        arguments: "",
        argument_kinds: &[],
        help: "show where this conversation is kept",
        read: |a| alone(a, SlashCommand::Session),
    },
    CommandRow {
        names: &["context"],
        arguments: "",
        argument_kinds: &[],
        help: "show how much of it a model is sent",
        read: |a| alone(a, SlashCommand::Context),
    },
    CommandRow {
        names: &["compact"],
        arguments: "[FOCUS]",
        argument_kinds: &[ArgumentKind::Text],
        help: "summarise its older part now, keeping above all what is about FOCUS; the log keeps everything",
        read: |a| Some(SlashCommand::Compact((!a.is_empty()).then(|| a.join(" ")))),
    },
    CommandRow {
        names: &["usage"],
        arguments: "",
        argument_kinds: &[],
        help: "show what the models have taken, and what is left of the budgets",
        read: |a| alone(a, SlashCommand::Usage),
    },
    CommandRow {
        names: &["agent"],
        arguments: "[ID]",
        argument_kinds: &[ArgumentKind::Agent],
        help: "show who answers here, or let another agent answer from here on",
        read: |a| maybe(a).map(|id| id.map_or(SlashCommand::Agent, SlashCommand::Bind)),
    },
    CommandRow {
        names: &["route"],
        arguments: "PATTERN AGENT",
        argument_kinds: &[ArgumentKind::Text, ArgumentKind::Agent],
        help: "let another agent answer at these addresses from here on",
        read: |a| match a {
            [pattern, agent] => Some(SlashCommand::Route((*pattern).to_owned(), (*agent).to_owned())),
            _ => None,
        },
    },
    CommandRow {
        names: &["bindings"],
        arguments: "",
        argument_kinds: &[],
        help: "list who answers where",
        read: |a| alone(a, SlashCommand::Bindings),
    },
    CommandRow {
        names: &["agents"],
        arguments: "",
        argument_kinds: &[],
        help: "list the agents",
        read: |a| alone(a, SlashCommand::Agents),
    },
    CommandRow {
        names: &["skills"],
        arguments: "[ID]",
        argument_kinds: &[ArgumentKind::Skill],
        help: "list the skills, or show one",
        read: |a| maybe(a).map(SlashCommand::Skills),
    },
    CommandRow {
        names: &["crons"],
        arguments: "[ID]",
        argument_kinds: &[ArgumentKind::Cron],
        help: "list the scheduled tasks, or show one",
        read: |a| maybe(a).map(SlashCommand::Crons),
    },
    CommandRow {
        names: &["approve"],
        arguments: "[ID]",
        argument_kinds: &[ArgumentKind::Approval],
        help: "allow what an agent asks for, or list what waits for your word",
        read: |a| maybe(a).map(|id| id.map_or(SlashCommand::Pending, SlashCommand::Approve)),
    },
    CommandRow {
        names: &["deny"],
        arguments: "ID",
        argument_kinds: &[ArgumentKind::Approval],
        help: "refuse what an agent asks for",
        read: |a| maybe(a).flatten().map(SlashCommand::Deny),
    },
];

fn alone(arguments: &[&str], command: SlashCommand) -> Option<SlashCommand> {
    arguments.is_empty().then_some(command)
}

#[expect(clippy::option_option, reason = "whether the arguments fit, and whether there is one")]
fn maybe(arguments: &[&str]) -> Option<Option<String>> {
    match arguments {
        [] => Some(None),
        [one] => Some(Some((*one).to_owned())),
        _ => None,
    }
}

impl CommandRow {
    /// How it is written.
    #[must_use]
    pub fn usage(&self) -> String {
        format!("/{} {}", self.names[0], self.arguments).trim_end().to_owned()
    }
}

/// The name behind the slash, in lower case, and what follows it. Telegram writes `/help@its_bot` in groups.
fn words(text: &str) -> Option<(String, Vec<&str>)> {
    let line = text.trim_start().lines().next()?.strip_prefix('/')?;
    let mut words = line.split_whitespace();
    // `/ help` is none.
    let name = words.next().filter(|name| line.starts_with(name))?;
    let name = name.split('@').next().unwrap_or(name).to_ascii_lowercase();
    Some((name, words.collect()))
}

fn row(name: &str) -> Option<&'static CommandRow> {
    ROWS.iter().find(|row| row.names.contains(&name))
}

/// Reads a command; nothing where the text is none.
///
/// # Errors
/// `Data`, with a guess, where there is no such command; with how it is written, where what follows the name does
/// not fit.
#[must_use]
pub fn parse(text: &str) -> Option<Result<SlashCommand>> {
    let (name, arguments) = words(text)?;
    match row(&name) {
        Some(row) => Some((row.read)(&arguments).ok_or_else(|| Fault::data(format!("{}: {}", row.usage(), row.help)))),
        None if !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()) => Some(Err(unknown(&name))),
        None => None,
    }
}

fn unknown(name: &str) -> Fault {
    let fault = Fault::data(format!("there is no command `/{name}`"));
    match nearest(name, ROWS.iter().flat_map(|row| row.names).copied()) {
        Some(near) => fault.hint(format!("did you mean `/{near}`? To say it to the agent, put a word before it")),
        None => fault.hint("/help shows what there is; to say it to the agent, put a word before it"),
    }
}

/// Whether an event is a command: whoever says that it is one, and a message that begins with one. What
/// agents say to each other never is.
#[must_use]
pub fn is_command(event: &Event) -> bool {
    match event.kind {
        EventKind::Control => true,
        EventKind::Message => event.from.channel() != "agent" && parse(&event.content).is_some(),
        _ => false,
    }
}

/// What a command that changes what a conversation is sent has in view, where the event is one. It waits for its
/// turn in the session's own lane, as a message does; all others lie beside it.
#[must_use]
pub fn compact_focus(event: &Event) -> Option<Option<String>> {
    match parse_event(event) {
        Ok(SlashCommand::Compact(focus)) if is_command(event) => Some(focus),
        _ => None,
    }
}

/// The command that an event is.
///
/// # Errors
/// `Data`, in words for whoever said it.
pub fn parse_event(event: &Event) -> Result<SlashCommand> {
    parse(&event.content).unwrap_or_else(|| Err(Fault::data("this is no command").hint("/help shows what there is")))
}

/// Who may say it. A turn that runs for a conversation may be stopped, and a conversation begun anew, by
/// whoever takes part in it: nothing is lost by that. Another agent may do more than the one that was
/// bound, so only the owner lets it answer.
#[must_use]
pub fn permission(command: &SlashCommand) -> Permission {
    match command {
        // Of what is not about this conversation only the owner is told.
        SlashCommand::Usage
        | SlashCommand::Help
        | SlashCommand::New
        | SlashCommand::Stop
        | SlashCommand::Session
        | SlashCommand::Context
        | SlashCommand::Compact(_)
        | SlashCommand::Agent => Permission::Participant,
        SlashCommand::Bind(_)
        | SlashCommand::Route(..)
        | SlashCommand::Bindings
        | SlashCommand::Agents
        | SlashCommand::Skills(_)
        | SlashCommand::Crons(_)
        | SlashCommand::Pending
        | SlashCommand::Approve(_)
        | SlashCommand::Deny(_) => Permission::Owner,
    }
}

/// Whether `from` may say it. The owner is whoever sits at the machine, and the addresses that he has named.
/// A place is nobody: that a group is the owner's makes its members no owners.
#[must_use]
pub fn allowed(command: &SlashCommand, from: &Address, owners: &[Address]) -> bool {
    permission(command) == Permission::Participant || is_owner(from, owners)
}

/// Whether `from` is the owner: whoever sits at the machine, or one of the addresses that he has named.
#[must_use]
pub fn is_owner(from: &Address, owners: &[Address]) -> bool {
    from.channel() == "cli" || owners.contains(from)
}

/// What can stand where a line ends so far: where the word begins, in bytes, and what it can become. `ids` says
/// what there is of a kind. Nothing where the line is no command.
#[must_use]
pub fn complete(line: &str, ids: &dyn Fn(ArgumentKind) -> Vec<String>) -> Option<(usize, Vec<String>)> {
    line.trim_start().strip_prefix('/')?;
    let begin =
        line.rfind(char::is_whitespace).map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
    let mut before = line[..begin].split_whitespace();
    let word = &line[begin..];
    let Some(name) = before.next() else {
        let names = ROWS.iter().flat_map(|row| row.names.iter().map(move |name| (row, name)));
        let full = names.map(|(row, name)| format!("/{name}{}", if row.argument_kinds.is_empty() { "" } else { " " }));
        return Some((begin, full.filter(|full| full.starts_with(word)).collect()));
    };
    let kind = row(&name[1..].to_ascii_lowercase())?.argument_kinds.get(before.count())?;
    Some((begin, ids(*kind).into_iter().filter(|id| id.starts_with(word)).collect()))
}

/// What `/help` answers to `from`: what he may say.
#[must_use]
pub fn help(from: &Address, owners: &[Address]) -> String {
    let is_his = |row: &&CommandRow| {
        let forms: [&[&str]; 3] = [&[], &["x"], &["x", "x"]];
        forms.iter().filter_map(|form| (row.read)(form)).any(|command| allowed(&command, from, owners))
    };
    let line = |row: &CommandRow| {
        let others: String = row.names[1..].iter().map(|name| format!(", /{name}")).collect();
        format!("{}{others}: {}", row.usage(), row.help)
    };
    ROWS.iter().filter(is_his).map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Draft;
    use crate::core::event::id::Id;
    use crate::core::event::stamp::Stamp;

    #[test]
    fn a_command_is_the_first_line() {
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
    fn everything_else_is_text() {
        for text in [
            "",
            "help",
            "/",
            "/ help",
            "//help",
            "/etc/hosts",
            "/usr/bin is full",
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
    fn a_mistyped_command_is_answered_with_a_guess() {
        for (text, said) in [
            ("/hepl", "there is no command `/hepl` (did you mean `/help`? "),
            ("/Agnet@claw_bot cookie", "there is no command `/agnet` (did you mean `/agent`? "),
            ("/bye\nx", "there is no command `/bye` (/help shows what there is; "),
        ] {
            let fault = parse(text).unwrap().unwrap_err();
            assert!(fault.to_string().starts_with(said), "{text:?}: {fault}");
        }
    }

    #[test]
    fn every_word_of_a_command_can_be_completed() {
        let ids = |kind| match kind {
            ArgumentKind::Agent => vec!["pickle".to_owned(), "cookie".to_owned()],
            ArgumentKind::Skill => vec!["news".to_owned()],
            _ => vec![],
        };
        let complete =
            |line: &str| complete(line, &ids).map(|(at, words)| format!("{}|{}", &line[..at], words.join(",")));
        for (line, expected) in [
            ("/st", Some("|/stop")),
            ("  /sk", Some("  |/skills ")),
            ("/agent", Some("|/agent ,/agents")),
            ("/x", Some("|")),
            ("/agent ", Some("/agent |pickle,cookie")),
            ("/AGENT  co", Some("/AGENT  |cookie")),
            ("/route cli:x\u{3000}p", Some("/route cli:x\u{3000}|pickle")),
            ("/route cli:", Some("/route |")),
            ("/skills n", Some("/skills |news")),
            ("/agent pickle ", None),
            ("/stop ", None),
            ("/unknown x", None),
            ("say /st", None),
            ("", None),
        ] {
            assert_eq!(complete(line).as_deref(), expected, "{line:?}");
        }
        assert_eq!(
            super::complete("/", &ids).map(|(_, all)| all.len()),
            Some(ROWS.iter().map(|r| r.names.len()).sum())
        );
    }

    #[test]
    fn a_row_takes_what_it_says() {
        for row in ROWS {
            assert_eq!(row.argument_kinds.len(), row.arguments.split_whitespace().count(), "/{}", row.names[0]);
        }
    }

    #[test]
    fn what_does_not_fit_is_answered_with_how_it_is_written() {
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
    fn only_people_give_commands() {
        assert!(is_command(&event(EventKind::Message, "telegram:42", "/stop")));
        assert!(!is_command(&event(EventKind::Message, "agent:pickle", "/stop")));
        for kind in [EventKind::Cron, EventKind::Dispatch, EventKind::Remember, EventKind::Approval] {
            assert!(!is_command(&event(kind, "cli:ann", "/stop")), "{kind:?}");
        }
        let control = event(EventKind::Control, "cli:ann", "/stpo");
        assert!(is_command(&control));
        assert!(parse_event(&control).unwrap_err().message.contains("`/stpo`"));
        assert!(parse_event(&event(EventKind::Control, "cli:ann", "stop")).unwrap_err().message.contains("no command"));
        let compact_focus = |kind, from: &str, text: &str| compact_focus(&event(kind, from, text));
        assert_eq!(compact_focus(EventKind::Control, "cli:ann", "/compact it"), Some(Some("it".into())));
        assert_eq!(compact_focus(EventKind::Message, "cli:ann", "/compact"), Some(None));
        assert_eq!(compact_focus(EventKind::Message, "agent:pickle", "/compact"), None);
        assert_eq!(compact_focus(EventKind::Message, "cli:ann", "/context"), None);
    }

    #[test]
    fn a_member_of_a_group_decides_nothing_for_the_owner() {
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
