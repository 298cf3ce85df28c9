//! Session names: `<agent>.<place>`. The first word is always the agent that owns the session, so the name alone
//! determines the agent that answers.

use crate::core::event::address::{Address, safe_name};
use crate::core::event::id::{Id, is_name_byte};
use crate::core::fault::{Fault, Result};
use crate::core::text::base32::hash32;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The lane of all `remember` events; not a session.
pub const MEMORIES: &str = "memories";
/// The suffix of the lane of a session's commands. No session has it: names from addresses end with `+` and ten
/// characters of a hash, and [`qualify`] refuses it.
const CONTROL: &str = "+control";
/// The prefix, after the agent and the dot, of a session made by `claw ask`.
const ASK: &str = "ask-";
/// The prefix, after the agent and the dot, of a session made by `claw chat`.
const CHAT: &str = "chat-";
/// The prefix, after the agent and the dot, of the session of a dispatch.
const DISPATCH: &str = "sub-";
/// The prefix, after the agent and the dot, of the session of one run of a scheduled job.
const RUN: &str = "run-";
/// The longest session name (and lane) in bytes.
pub const MAX: usize = 90;

/// The session of `agent` for a conversation at `place`: a pure function of both.
#[must_use]
pub fn at(agent: &str, place: &Address) -> String {
    format!("{agent}.{}", place.slug())
}

/// A new session of `agent` at `place` that starts with event `id`; the earlier session is not continued.
#[must_use]
pub fn fresh(agent: &str, place: &Address, id: &Id) -> String {
    let tail = format!("+{}-{}", id.stamp().day(), hash32(id.as_str(), 8));
    let (slug, room) = (place.slug(), MAX.saturating_sub(agent.len() + 1 + tail.len()));
    let slug = if slug.len() <= room { slug } else { safe_name(&slug, room) };
    format!("{agent}.{slug}{tail}")
}

/// The session of the `claw ask` event `id`, if the user has named none.
#[must_use]
pub fn for_ask(agent: &str, id: &Id) -> String {
    format!("{agent}.{ASK}{id}")
}

/// The session of the run `id` of a scheduled job that has no other session.
#[must_use]
pub fn for_run(agent: &str, id: &Id) -> String {
    format!("{agent}.{RUN}{id}")
}

/// Whether a session belongs to a single `claw ask`, a single dispatch or a single run of a job. A session that the user
/// named `ask-the-doctor` does not.
#[must_use]
pub fn is_one_off(session: &str) -> bool {
    let name = session.split_once('.').map(|(_, name)| name);
    let id = name.and_then(|name| [ASK, DISPATCH, RUN].into_iter().find_map(|prefix| name.strip_prefix(prefix)));
    id.is_some_and(|id| Id::parse(id).is_ok())
}

/// The name that users see and type: of a session that is named after an event, the agent and the end of the event's id,
/// `pickle.ask-k7f3q9`; every other name is short enough.
#[must_use]
pub fn short(session: &str) -> String {
    let Some((agent, name)) = session.split_once('.') else { return session.to_owned() };
    let found = [ASK, CHAT, DISPATCH, RUN].into_iter().find_map(|prefix| Some((prefix, name.strip_prefix(prefix)?)));
    match found.and_then(|(prefix, id)| Some((prefix, Id::parse(id).ok()?))) {
        Some((prefix, id)) => format!("{agent}.{prefix}{}", id.short()),
        None => session.to_owned(),
    }
}

/// The name of a session by the clock of a time zone, `pickle.ask-0931`, and its day; `None` if it is not named after an
/// event.
#[must_use]
pub fn clock(session: &str, zone: &TimeZone) -> Option<(String, Date)> {
    let (agent, name) = session.split_once('.')?;
    let (prefix, id) =
        [ASK, CHAT, DISPATCH, RUN].iter().find_map(|prefix| Some((prefix, name.strip_prefix(prefix)?)))?;
    let at = Id::parse(id).ok()?.stamp().timestamp().to_zoned(zone.clone());
    Some((format!("{agent}.{prefix}{}", at.strftime("%H%M")), at.date()))
}

/// Whether a user may mean a session by the end of its short name: `ask-k7f3q9`, `pickle.chat-k7f3q9`.
#[must_use]
pub fn is_short(text: &str) -> bool {
    let name = text.split_once('.').map_or(text, |(_, name)| name);
    [ASK, CHAT, DISPATCH, RUN].iter().any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| rest.len() >= 4))
}

/// A new session of `agent` for the chat that starts with event `id`.
#[must_use]
pub fn for_chat(agent: &str, id: &Id) -> String {
    format!("{agent}.{CHAT}{id}")
}

/// The session in which `agent` works on dispatch `id`.
#[must_use]
pub fn for_dispatch(agent: &str, id: &Id) -> String {
    format!("{agent}.{}", safe_name(&format!("{DISPATCH}{id}"), MAX.saturating_sub(agent.len() + 1)))
}

/// The lane of the commands about `session`: a separate lane, so that commands do not wait for its turns.
#[must_use]
pub fn control(session: &str) -> String {
    if session.len() + CONTROL.len() <= MAX {
        return format!("{session}{CONTROL}");
    }
    let head: String = session.chars().take(MAX - CONTROL.len() - 11).collect();
    format!("{head}+{}{CONTROL}", hash32(session, 10))
}

/// Whether a lane is a lane of commands.
#[must_use]
pub fn is_control(lane: &str) -> bool {
    lane.ends_with(CONTROL)
}

/// The agent that owns `session`.
#[must_use]
pub fn agent(session: &str) -> &str {
    session.split_once('.').map_or(session, |(agent, _)| agent)
}

/// The full name of the session that a user calls `name` in a conversation with `agent`: `work` is `pickle.work`, and
/// `pickle.work` is unchanged.
///
/// # Errors
/// `Data` where the name is not valid for a folder, or belongs to another agent than `agent`.
pub fn qualify(name: &str, agent: Option<&str>, default_agent: &str) -> Result<String> {
    let is_valid = name.bytes().all(is_name_byte) && !name.starts_with('.') && !name.ends_with('.');
    if name.is_empty() || !is_valid {
        return Err(Fault::data(format!("`{}` is not a session name", name.escape_debug()))
            .hint("use A-Z a-z 0-9 . _ + -, like work or pickle.work"));
    }
    if is_control(name) {
        return Err(Fault::data(format!("a session name must not end with {CONTROL}")));
    }
    let full = match (name.split_once('.'), agent) {
        (Some((owner, _)), Some(agent)) if owner != agent => {
            return Err(Fault::data(format!("session {name} belongs to agent {owner}, not to {agent}")));
        }
        (Some(_), _) => name.to_owned(),
        (None, agent) => format!("{}.{name}", agent.unwrap_or(default_agent)),
    };
    if full.len() > MAX {
        return Err(Fault::data(format!("session name {full} is longer than {MAX} bytes")));
    }
    check_agent(self::agent(&full))?;
    Ok(full)
}

/// Checks that `id` is a valid agent id: it names a folder and is the first word of session names.
///
/// # Errors
/// `Data`, with the rule.
pub fn check_agent(id: &str) -> Result<()> {
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if id.is_empty() || id.len() > 32 || id.starts_with('-') || !id.bytes().all(is_valid) {
        return Err(
            Fault::data(format!("`{}` is not an agent id", id.escape_debug())).hint("at most 32 of A-Z a-z 0-9 _ -")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_qualified_once() {
        assert_eq!(qualify("work", None, "pickle").unwrap(), "pickle.work");
        assert_eq!(qualify("work", Some("cookie"), "pickle").unwrap(), "cookie.work");
        assert_eq!(qualify("pickle.work", None, "cookie").unwrap(), "pickle.work");
        assert!(qualify("pickle.work", Some("cookie"), "pickle").is_err());
    }

    #[test]
    fn name_that_is_not_valid_for_a_folder_is_refused() {
        for bad in ["", ".", "..", "../x", "a/b", "a~b", "a\0", "🥒", ".hidden", "a.", "-x.y"] {
            assert!(qualify(bad, None, "pickle").is_err(), "{bad:?}");
        }
        assert!(qualify(&"x".repeat(300), None, "pickle").is_err());
    }

    #[test]
    fn agent_id_has_letters_digits_and_marks_within_a_length() {
        for id in ["a", "pickle", "A_b-9", "_", &"x".repeat(32)] {
            assert_eq!(check_agent(id), Ok(()), "{id}");
        }
        for id in ["", "-a", "a.b", "a b", "ü", "a/b", &"x".repeat(33)] {
            assert!(check_agent(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn length_of_a_session_name_has_a_limit() {
        let rest = MAX - "pickle.".len();
        for (length, is_valid) in [(rest - 1, true), (rest, true), (rest + 1, false)] {
            assert_eq!(qualify(&"x".repeat(length), None, "pickle").is_ok(), is_valid, "{length}");
        }
    }

    #[test]
    fn control_lane_is_not_a_session() {
        assert_eq!(control("pickle.work"), "pickle.work+control");
        assert!(qualify("work+control", None, "pickle").is_err());
        for place in ["cli:ann", "cli:ann+control", "cli:ann.control", "telegram:-100123/7"] {
            assert!(!is_control(&at("pickle", &Address::parse(place).unwrap())), "{place}");
        }
        // Two long sessions have two different control lanes.
        let [a, b] = ["a", "b"].map(|end| control(&format!("pickle.{}{end}", "x".repeat(MAX - 8))));
        assert!(a != b && a.len() <= MAX && is_control(&a) && agent(&a) == "pickle", "{a}");
    }

    #[test]
    fn fresh_session_has_a_new_name_and_the_same_agent() {
        let [first, second] = [1, 2].map(|n| Id::new(crate::core::event::stamp::Stamp(0), n));
        let place = Address::parse("cli:ann").unwrap();
        let name = fresh("pickle", &place, &first);
        assert!(name.starts_with("pickle.cli-ann+1970-01-01-"), "{name}");
        assert!(name != fresh("pickle", &place, &second) && qualify(&name, None, "cookie") == Ok(name.clone()));
        let long = Address::parse(&format!("{}:{}", "c".repeat(24), "/x".repeat(99))).unwrap();
        let name = fresh(&"a".repeat(32), &long, &first);
        assert!(name.len() <= MAX && name.bytes().all(is_name_byte), "{name}");
    }

    #[test]
    fn every_dispatch_has_its_own_session() {
        let mut id =
            Id::new(crate::core::event::stamp::Stamp(0), 1).derive(crate::core::event::id::Derived::Dispatch, 1);
        assert_eq!(for_dispatch("cookie", &id), "cookie.sub-19700101T000000.000000Z-000001.d01");
        let mut known = std::collections::HashSet::new();
        for _ in 0..30 {
            let name = for_dispatch(&"a".repeat(32), &id);
            assert!(known.insert(name.clone()) && qualify(&name, None, "pickle") == Ok(name.clone()), "{name}");
            assert!(is_one_off(&name), "{name}");
            id = id.derive(crate::core::event::id::Derived::Dispatch, 1);
        }
    }

    #[test]
    fn session_named_by_a_user_is_not_one_off() {
        let id = Id::new(crate::core::event::stamp::Stamp(0), 1);
        assert_eq!(for_ask("pickle", &id), "pickle.ask-19700101T000000.000000Z-000001");
        assert!(is_one_off(&for_ask("pickle", &id)));
        assert_eq!(short(&for_ask("pickle", &id)), "pickle.ask-000001");
        assert_eq!(short("pickle.ask-the-doctor"), "pickle.ask-the-doctor");
        assert!(is_short("ask-000001") && is_short("pickle.chat-000001") && !is_short("work") && !is_short("ask-"));
        let clock = clock(&for_ask("pickle", &id), &TimeZone::UTC);
        assert_eq!(clock, Some(("pickle.ask-0000".to_owned(), Date::constant(1970, 1, 1))));
        assert_eq!(super::clock("pickle.ask-the-doctor", &TimeZone::UTC), None);
        for name in ["ask-the-doctor", "sub-letting", "ask-", "sub-19700101", "asked-19700101T000000.000000Z-000001"] {
            assert!(!is_one_off(&qualify(name, None, "pickle").unwrap()), "{name}");
        }
    }

    #[test]
    fn agent_is_the_first_word() {
        let place = Address::parse("telegram:-100123/7").unwrap();
        let session = at("pickle", &place);
        assert_eq!(agent(&session), "pickle");
        assert!(session.len() <= MAX);
        assert_eq!(at("pickle", &Address::parse("cli:ann").unwrap()), "pickle.cli-ann");
    }
}
