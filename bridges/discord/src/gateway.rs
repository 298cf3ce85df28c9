//! Discord's gateway: a task that keeps a connection and reports what it hears. twilight resumes, reconnects, and ends
//! silent connections; this module ends connections that are alive but never ready, waits between attempts, and explains
//! the close codes after which none makes sense.

use crate::exit::Exit;
use crate::output::Output;
use crate::rest::{Failure, Rest};
use crate::settings::Settings;
use crate::wire::{Message, Snowflake};
use futures_core::Stream;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, timeout_at};
use twilight_gateway::queue::InMemoryQueue;
use twilight_gateway::{ConfigBuilder, Intents, Message as Frame, Session, Shard, ShardId, ShardState};

/// Messages in servers and direct ones. Discord gives their text to every bot that is mentioned or written to; no
/// privileged intent is needed.
const INTENTS: Intents = Intents::GUILD_MESSAGES.union(Intents::DIRECT_MESSAGES);
/// The longest wait between two attempts, in seconds.
const LONGEST_WAIT: u64 = 60;

/// A report of the gateway.
#[derive(Debug)]
pub enum News {
    /// The account's own id.
    Me(Snowflake),
    /// From now on messages come live; those before must be fetched.
    Live,
    /// Messages may be missed from now on.
    Lost,
    /// A message.
    Message(Box<Message>),
    /// No attempt makes sense any more.
    End(Exit),
}

/// The gateway for one account.
pub struct Gateway {
    /// The API, for the account and the gateway's URL.
    pub rest: Arc<Rest>,
    /// The settings.
    pub settings: Arc<Settings>,
    /// Reports for the owner.
    pub output: Output,
    /// Where the news go.
    pub news: Sender<News>,
}

/// The reason for which a connection is given up.
enum Ended {
    /// The program ends.
    Program,
    /// Connect anew, with the session if it is still good.
    Anew(Option<(Session, String)>),
}

/// The part of an event that is read.
#[derive(Deserialize)]
struct Event<'a> {
    op: u64,
    t: Option<String>,
    #[serde(borrow)]
    d: Option<&'a RawValue>,
}

impl Gateway {
    /// Runs until the news have no reader or no attempt makes sense.
    pub async fn run(self) {
        if let Err(exit) = self.serve().await {
            let _ = self.news.send(News::End(exit)).await;
        }
    }

    async fn serve(&self) -> Result<(), Exit> {
        let me = self.ask("GET me", "/users/@me").await?;
        let me = me["id"]
            .as_str()
            .and_then(Snowflake::parse)
            .ok_or_else(|| Exit::later("Discord's answer has no account"))?;
        if self.news.send(News::Me(me)).await.is_err() {
            return Ok(());
        }
        if self.settings.once {
            let _ = self.news.send(News::Live).await;
            return Ok(());
        }
        let start = self.ask("GET gateway", "/gateway/bot").await?;
        let url = self
            .settings
            .gateway
            .clone()
            .or_else(|| start["url"].as_str().map(|url| url.trim_end_matches('/').to_owned()));
        let url = url.filter(|url| is_gateway(url)).ok_or_else(|| Exit::later("Discord's answer has no gateway"))?;
        let queue = queue(&start["session_start_limit"]);
        let mut session = None;
        let mut failures = 0;
        loop {
            let mut config =
                ConfigBuilder::new(self.settings.token.clone(), INTENTS).proxy_url(url.clone()).queue(queue.clone());
            if let Some((session, resume_url)) = session.take() {
                config = config.session(session).resume_url(resume_url);
            }
            let shard = Shard::with_config(ShardId::ONE, config.build());
            match self.connection(shard, &mut failures).await? {
                Ended::Program => return Ok(()),
                Ended::Anew(kept) => session = kept,
            }
            if self.news.send(News::Lost).await.is_err() {
                return Ok(());
            }
            self.wait(&mut failures).await;
        }
    }

    /// Follows a shard over its reconnections.
    async fn connection(&self, mut shard: Shard<InMemoryQueue>, failures: &mut u32) -> Result<Ended, Exit> {
        let mut deadline = Some(Instant::now() + self.settings.patience);
        let mut is_greeted = false;
        let mut code = None;
        loop {
            let next = poll_fn(|cx| Pin::new(&mut shard).poll_next(cx));
            let next = match deadline {
                Some(deadline) => timeout_at(deadline, next).await,
                None => Ok(next.await),
            };
            let Ok(next) = next else {
                let seconds = self.settings.patience.as_secs();
                self.output.say(&format!("the gateway was not ready within {seconds} s; connecting anew"));
                return Ok(Ended::Anew(None));
            };
            let news = match next {
                None => return code.and_then(fatal).map_or(Ok(Ended::Anew(None)), Err),
                Some(Ok(Frame::Close(frame))) => {
                    code = frame.as_ref().map(|frame| frame.code);
                    None
                }
                Some(Ok(Frame::Text(text))) => match serde_json::from_str::<Event>(&text) {
                    Ok(Event { op: 10, .. }) if is_greeted => {
                        self.output.say("the gateway greeted twice on one connection; connecting anew");
                        return Ok(Ended::Anew(kept(&shard)));
                    }
                    Ok(event) => {
                        is_greeted |= event.op == 10;
                        // A long replay is progress.
                        deadline = deadline.map(|_| Instant::now() + self.settings.patience);
                        self.read(&event, &mut deadline)
                    }
                    Err(_) => None,
                },
                Some(Err(error)) => {
                    // The event may hold anything, so only the kind of error is reported.
                    self.output.say(&format!("gateway: {error}"));
                    None
                }
            };
            if let Some(news) = news {
                if matches!(news, News::Live) {
                    if shard.resume_url().is_some_and(|url| !is_gateway(url)) {
                        self.output.say("the gateway named an invalid URL for resuming; connecting anew");
                        return Ok(Ended::Anew(None));
                    }
                    *failures = 0;
                }
                if self.news.send(news).await.is_err() {
                    return Ok(Ended::Program);
                }
            }
            if matches!(shard.state(), ShardState::Disconnected { .. }) && is_greeted {
                is_greeted = false;
                let was_live = deadline.is_none();
                if self.news.send(News::Lost).await.is_err() {
                    return Ok(Ended::Program);
                }
                if !was_live {
                    self.wait(failures).await;
                }
                deadline = Some(Instant::now() + self.settings.patience);
            }
        }
    }

    fn read(&self, event: &Event, deadline: &mut Option<Instant>) -> Option<News> {
        match (event.op, event.t.as_deref()) {
            (0, Some("READY" | "RESUMED")) => {
                *deadline = None;
                Some(News::Live)
            }
            (0, Some("MESSAGE_CREATE")) => {
                let message = event.d.and_then(|data| serde_json::from_str(data.get()).ok());
                if message.is_none() {
                    self.output.say("gateway: a message cannot be read and is left out");
                }
                message.map(|message| News::Message(Box::new(message)))
            }
            _ => None,
        }
    }

    /// Asks the API until it answers.
    async fn ask(&self, template: &'static str, path: &str) -> Result<Value, Exit> {
        let mut failures = 0;
        loop {
            match self.rest.get(template, 0, path).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Unauthorized) => return Err(Exit::wrong_token()),
                Err(Failure::Refused(_, why)) => return Err(Exit::config(why)),
                Err(Failure::Later(why, _) | Failure::Unknown(why)) => self.output.say(&why),
            }
            self.wait(&mut failures).await;
        }
    }

    async fn wait(&self, failures: &mut u32) {
        let seconds = 2u64.saturating_pow(*failures).min(LONGEST_WAIT);
        *failures += 1;
        sleep(Duration::from_secs(seconds)).await;
    }
}

/// The order of a session's starts. Discord allows 1,000 a day, and one in five seconds.
fn queue(limit: &Value) -> InMemoryQueue {
    let number = |key: &str, default: u64| limit[key].as_u64().unwrap_or(default);
    let total = u32::try_from(number("total", 1000)).unwrap_or(u32::MAX);
    let remaining = u32::try_from(number("remaining", 1000)).unwrap_or(u32::MAX).min(total);
    let concurrency = u16::try_from(number("max_concurrency", 1)).unwrap_or(1);
    InMemoryQueue::new(concurrency, remaining, Duration::from_millis(number("reset_after", 0)), total)
}

/// The session of a shard, to be resumed by another one.
fn kept(shard: &Shard<InMemoryQueue>) -> Option<(Session, String)> {
    Some((shard.session()?.clone(), shard.resume_url().filter(|url| is_gateway(url))?.to_owned()))
}

/// Whether twilight can connect to a URL.
fn is_gateway(url: &str) -> bool {
    let scheme = reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "ws" | "wss") && url.has_host());
    scheme && !url.contains(['?', '#', ' '])
}

/// The end that a close code means.
fn fatal(code: u16) -> Option<Exit> {
    match code {
        4004 => Some(Exit::wrong_token()),
        4010 | 4011 => Some(Exit::config(
            "Discord wants this bot to be sharded, which claw-discord is not made for; it serves up to 2,500 servers (gateway code 4010 or 4011)",
        )),
        4012 => Some(Exit::config(
            "Discord no longer serves the gateway's version 10; update claw-discord (gateway code 4012)",
        )),
        4013 => Some(Exit::config(
            "Discord does not know the intents GUILD_MESSAGES and DIRECT_MESSAGES; update claw-discord (gateway code 4013)",
        )),
        4014 => Some(Exit::config(
            "Discord does not allow this bot the intents GUILD_MESSAGES and DIRECT_MESSAGES; allow them in the developer portal (Bot, Privileged Gateway Intents) or verify the bot (gateway code 4014)",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_without_a_way_back_end_the_program() {
        let codes: Vec<u16> = (4000..=4020).filter(|code| fatal(*code).is_some()).collect();
        assert_eq!(codes, [4004, 4010, 4011, 4012, 4013, 4014]);
        assert!(codes.iter().all(|code| fatal(*code).is_some_and(|exit| exit.code == 78)));
    }

    #[test]
    fn url_that_twilight_cannot_take_is_refused() {
        assert!(is_gateway("wss://gateway.discord.gg") && is_gateway("ws://127.0.0.1:9"));
        for url in ["", "https://x", "wss://", "wss://a b", "nonsense", "wss://a?b"] {
            assert!(!is_gateway(url), "{url}");
        }
    }
}
