//! Telegram: long polling and sending through the Bot API, with claw's own HTTP client.
//!
//! No offset is stored: Telegram keeps what is not acknowledged, and a message is acknowledged by the poll after the one
//! that brought it, once its event is durable. The bot's token is in the URL of every request; no text about a request
//! leaves `api` with it.

mod api;
mod fetch;
mod poll;
mod refusal;
mod send;
mod typing;

use crate::channel::telegram::api::{Api, CallFault};
use crate::channel::telegram::refusal::{Consequence, consequence};
use crate::channel::{self, Channel, Listener, parts};
use crate::core::channel::settings::ChannelSettings;
use crate::core::config::Config;
use crate::core::event::address::Address;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::telegram::update::BotAccount;
use crate::store::agent::secrets;
use crate::store::channel::pairing::{self, ChannelAccount};
use crate::store::fs::At;
use crate::store::workspace::Workspace;
use std::collections::BTreeMap;
use std::fs;

pub(super) const CHANNEL: Channel = Channel {
    name: KIND,
    send: send::send,
    is_sent: |_, _, receipt| parts::is_sent(receipt),
    check: |workspace, address| {
        destination(address)?;
        let config = workspace.config()?;
        config
            .channels
            .get(address.channel())
            .map_or(Ok(()), |(settings, _)| token(workspace, address.channel(), settings).map(drop))
    },
    problems,
    hint: "Your answer is shown in Telegram: short paragraphs, lists, code and links are rendered; tables become plain \
           text; images and headings of several levels are not shown.",
    folder: None,
    listen: Some(Listener { run: poll::run, delivers: false, account, invitation }),
};

/// The type.
pub(super) const KIND: &str = "telegram";

/// A chat, and the topic within it.
fn destination(address: &Address) -> Result<(i64, Option<i64>)> {
    let (chat, topic) = match address.rest().split_once('/') {
        Some((chat, topic)) => (chat, topic.parse().ok().map(Some)),
        None => (address.rest(), Some(None)),
    };
    match (chat.parse(), topic) {
        (Ok(chat), Some(topic)) if chat != 0 => Ok((chat, topic)),
        _ => Err(Fault::data(format!("{address} is not a chat of Telegram"))
            .hint("a chat is a number, a topic follows a slash: telegram:-100123/7")),
    }
}

/// The bot's token.
fn token(workspace: &Workspace, name: &str, settings: &ChannelSettings) -> Result<String> {
    let hint = || format!("set channels.{name}.token_file to a file with the token that @BotFather gave you");
    let Some(token) = secrets::channel_token(workspace, name, settings)? else {
        return Err(Fault::config(format!("channels.{name} has no token")).hint(hint()));
    };
    if let Some(why) = token_problem(&token) {
        return Err(Fault::config(format!("channels.{name}: the token {why}")).hint(hint()));
    }
    match same_bot(workspace, name, &token)? {
        None => Ok(token),
        Some(other) => Err(Fault::config(format!("channels.{name} has the bot of channels.{other}"))
            .hint("one bot is one channel: make another bot with @BotFather")),
    }
}

/// Another channel with the bot of this token: two pollers of one bot disturb each other, and one pairing would count
/// for both.
fn same_bot(workspace: &Workspace, name: &str, token: &str) -> Result<Option<String>> {
    let config = workspace.config()?;
    let mut others =
        config.channels.named.iter().filter(|(other, settings)| *other != name && settings.kind_of(other) == KIND);
    let is_same = |other: &str, settings: &ChannelSettings| {
        let other = secrets::channel_token(workspace, other, settings).ok().flatten();
        other.is_some_and(|other| number_of(&other) == number_of(token))
    };
    Ok(others.find(|(other, settings)| is_same(other, settings)).map(|(other, _)| other.clone()))
}

/// The bot's number, which is the beginning of its token.
fn number_of(token: &str) -> &str {
    token.split_once(':').map_or(token, |(number, _)| number)
}

/// Why a text is no token, without the text.
fn token_problem(token: &str) -> Option<&'static str> {
    let is_secret =
        |text: &str| text.len() >= 20 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    match token.split_once(':') {
        _ if token.is_empty() => Some("is empty"),
        _ if matches!(token, "undefined" | "null" | "None") => Some("is the word for a missing value"),
        _ if token.chars().any(|c| c.is_whitespace() || c.is_control()) => Some("has spaces or several lines"),
        Some((id, secret)) if !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) && is_secret(secret) => None,
        _ => Some("does not look like 123456:ABC…"),
    }
}

/// The account is the bot's number.
fn account(workspace: &Workspace, name: &str, settings: &ChannelSettings) -> Result<String> {
    Ok(number_of(&token(workspace, name, settings)?).to_owned())
}

/// The file with the bot's name, for invitations.
fn name_file(workspace: &Workspace, name: &str) -> std::path::PathBuf {
    workspace.path(crate::store::channel::FOLDER).join(name).join("username")
}

fn invitation(workspace: &Workspace, name: &str, _: &ChannelSettings, code: &str) -> String {
    match fs::read_to_string(name_file(workspace, name)).ok().filter(|bot| !bot.trim().is_empty()) {
        Some(bot) => format!("https://t.me/{}?start={code}", bot.trim()),
        None => format!("/start {code}"),
    }
}

fn connect(workspace: &Workspace, name: &str, settings: &ChannelSettings) -> Result<Api> {
    Ok(Api::new(settings.base_url.as_deref(), &token(workspace, name, settings)?))
}

/// The bot of a token: `@name`. The name is kept for the links of invitations.
pub(super) fn identify(workspace: &Workspace, name: &str, base_url: Option<&str>, token: &str) -> Result<String> {
    if let Some(why) = token_problem(token) {
        return Err(Fault::config(format!("the token {why}")).hint("copy it from the message of @BotFather"));
    }
    let api = Api::new(base_url, token);
    let bot = poll::who_am_i(&api, None).map_err(|fault| match fault {
        CallFault::Refused(refused) if consequence(&refused) == Consequence::WrongToken => {
            Fault::config(format!("Telegram does not know this token ({})", refused.description))
                .hint("ask @BotFather for a new one")
        }
        CallFault::Refused(refused) => Fault::new(Kind::Unavailable, format!("Telegram: {}", refused.description)),
        CallFault::Unsent(fault) | CallFault::Unknown(fault) => fault,
    })?;
    keep_name(workspace, name, &bot)?;
    Ok(format!("@{}", bot.username))
}

/// Marks a paired sender as one that can or cannot be written to. A failure is not the message's.
pub(super) fn mark(workspace: &Workspace, name: &str, chat: &str, is_reachable: bool) {
    let marked = (|| {
        let config = workspace.config()?;
        let Some((_, kind)) = config.channels.get(name) else { return Ok(()) };
        let account = channel::account(workspace, name)?;
        let account = ChannelAccount { channel: name.to_owned(), kind: kind.to_owned(), account };
        pairing::mark(workspace, &account, &Address::parse(&format!("{name}:{chat}"))?, is_reachable)
    })();
    if let Err(fault) = marked {
        workspace.world.say(&fault.to_string());
    }
}

/// Keeps the bot's name for the links of invitations.
fn keep_name(workspace: &Workspace, name: &str, bot: &BotAccount) -> Result<()> {
    let path = name_file(workspace, name);
    workspace.make_dir(path.parent().unwrap_or(&path), 2)?;
    fs::write(&path, &bot.username).at("write", &path)
}

fn is_web_address(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
}

fn problems(config: &Config) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut sources: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, settings) in config.channels.named.iter().filter(|(name, settings)| settings.kind_of(name) == KIND) {
        let key = format!("channels.{name}");
        let source =
            [&settings.token_file, &settings.token_env, &settings.token].into_iter().find_map(|s| s.as_deref());
        match source {
            None => found.push((key.clone(), format!("{key} has no token: set `token_file` or `token_env`"))),
            Some(source) => {
                if let Some(other) = sources.insert(source, name) {
                    found.push((
                        key.clone(),
                        format!("{key} has the token of channels.{other}: one bot is one channel"),
                    ));
                }
            }
        }
        if let Some(why) = settings.token.as_deref().and_then(|token| token_problem(token.trim())) {
            found.push((format!("{key}.token"), format!("{key}.token {why}")));
        }
        if let Some(base) = settings.base_url.as_deref().filter(|base| !is_web_address(base)) {
            found.push((format!("{key}.base_url"), format!("{key}.base_url: `{base}` is not an HTTP URL")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chats_and_topics_are_numbers() {
        let of = |text: &str| destination(&Address::parse(text).unwrap());
        assert_eq!(of("telegram:42"), Ok((42, None)));
        assert_eq!(of("work:-100123/7"), Ok((-100_123, Some(7))));
        for bad in
            ["telegram:ann", "telegram:0", "telegram:1/", "telegram:1/x", "telegram:/7", "telegram:9223372036854775808"]
        {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn token_is_recognised_without_being_shown() {
        assert_eq!(token_problem("123456:ABC-def_ghijklmnopqrstuv"), None);
        for bad in [
            "",
            "undefined",
            "7654321",
            "abc:ABCdefghijklmnopqrstuv",
            "1:short",
            "1:ABCdefghijk lmnopqrstuv",
            "1:ABCdefghij\nklmnopqrstuv",
        ] {
            let why = token_problem(bad).unwrap();
            assert!(bad.is_empty() || !why.contains(bad), "{why}");
        }
    }
}
