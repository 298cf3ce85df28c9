//! Fetching what was missed: the places of the account, and the messages of a place, oldest first.

use crate::output::Output;
use crate::place::Kind;
use crate::rest::{Failure, Rest};
use crate::wire::{Channel, Message, Snowflake};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Messages of a page; Discord's most.
const PAGE: usize = 100;
/// Servers of a page; Discord's most.
const SERVERS: usize = 200;

/// A page of messages.
#[derive(Debug, Default)]
pub struct Page {
    /// The place's kind, if it was asked for.
    pub kind: Option<Kind>,
    /// The messages, oldest first.
    pub messages: Vec<Message>,
    /// All ids of the page, also of messages that cannot be read.
    pub ids: Vec<Snowflake>,
    /// There may be more.
    pub is_full: bool,
}

/// The channels and active threads of all servers.
///
/// # Errors
/// If one of the requests fails; a server that refuses is left out.
pub async fn list(rest: &Rest, output: &Output) -> Result<Vec<Channel>, Failure> {
    let mut channels = Vec::new();
    let mut after = Snowflake(0);
    loop {
        let servers = rest.get("GET servers", 0, &format!("/users/@me/guilds?limit={SERVERS}&after={after}")).await?;
        let servers: Vec<Snowflake> = ids(&servers);
        for server in &servers {
            for (template, path, key) in [
                ("GET server channels", format!("/guilds/{server}/channels"), None),
                ("GET active threads", format!("/guilds/{server}/threads/active"), Some("threads")),
            ] {
                match rest.get(template, server.0, &path).await {
                    Ok(answer) => channels.extend(each::<Channel>(key.map_or(&answer, |key| &answer[key]))),
                    Err(Failure::Refused(_, why)) => output.say(&format!("server {server}: {why}")),
                    Err(failure) => return Err(failure),
                }
            }
        }
        match servers.iter().max() {
            Some(last) if servers.len() >= SERVERS && *last > after => after = *last,
            _ => break,
        }
    }
    channels.retain(Channel::has_messages);
    Ok(channels)
}

/// The messages of a place after an id.
///
/// # Errors
/// If a request fails.
pub async fn page(
    rest: &Rest,
    output: &Output,
    place: Snowflake,
    after: Snowflake,
    kind: Option<Kind>,
) -> Result<Page, Failure> {
    let mut page = Page { kind, ..Page::default() };
    if kind.is_none() {
        let channel = rest.get("GET channel", place.0, &format!("/channels/{place}")).await?;
        let channel: Option<Channel> = serde_json::from_value(channel).ok();
        page.kind = channel.as_ref().and_then(Kind::of);
    }
    let path = format!("/channels/{place}/messages?limit={PAGE}&after={after}");
    let answer = rest.get("GET messages", place.0, &path).await?;
    page.ids = ids(&answer);
    page.is_full = answer.as_array().is_some_and(|all| all.len() >= PAGE);
    page.messages = each(&answer);
    if page.messages.len() < page.ids.len() {
        output.say(&format!("place {place}: a message cannot be read and is left out"));
    }
    // Discord sorts the newest first.
    page.messages.sort_by_key(|message| message.id);
    Ok(page)
}

/// The elements that can be read: one that cannot does not hide the others.
fn each<T: DeserializeOwned>(list: &Value) -> Vec<T> {
    list.as_array().into_iter().flatten().filter_map(|one| T::deserialize(one).ok()).collect()
}

fn ids(list: &Value) -> Vec<Snowflake> {
    list.as_array().into_iter().flatten().filter_map(|one| one["id"].as_str().and_then(Snowflake::parse)).collect()
}
