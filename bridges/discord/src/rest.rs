//! Discord's REST API. A request waits for its limits; its failure says whether it may have been carried out.

use crate::exit::Exit;
use crate::limits::{Headers, Limits, Route, TooMany};
use crate::output::Output;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest answer, in bytes.
const MAX_BODY: usize = 16 << 20;
/// Discord requires this form.
const USER_AGENT: &str = concat!("DiscordBot (https://example.org/claw, ", env!("CARGO_PKG_VERSION"), ")");
/// The longest time for a request.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A request that has no answer of success.
#[derive(Debug)]
pub enum Failure {
    /// The token is wrong.
    Unauthorized,
    /// It is refused, now and later: status and reason.
    Refused(u16, String),
    /// It was not carried out, and may be tried again after that time.
    Later(String, Duration),
    /// It may have been carried out.
    Unknown(String),
}

/// The API for one account.
pub struct Rest {
    client: Client,
    api: String,
    limits: Mutex<Limits>,
    output: Output,
}

impl Rest {
    /// A client for the account of a token.
    ///
    /// # Errors
    /// If the token cannot be a header or the machine has no TLS roots.
    pub fn new(api: &str, token: &str, output: &Output) -> Result<Self, Exit> {
        let mut value =
            HeaderValue::from_str(&format!("Bot {token}")).map_err(|_| Exit::config("the token is no token"))?;
        value.set_sensitive(true);
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, value)]))
            // Another server must not get the token.
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .build()
            .map_err(|e| Exit::later(format!("cannot make an HTTP client: {}", causes(&e))))?;
        Ok(Self { client, api: api.to_owned(), limits: Mutex::default(), output: output.clone() })
    }

    /// `GET`, which can always be repeated. It waits for its limits as long as it takes.
    pub async fn get(&self, template: &'static str, resource: u64, path: &str) -> Result<Value, Failure> {
        let failure = self.request(Method::GET, Route { template, resource }, path, None, Duration::MAX).await;
        failure.map_err(|failure| match failure {
            Failure::Unknown(why) => Failure::Later(why, Duration::from_secs(1)),
            failure => failure,
        })
    }

    /// `POST`. It waits for its limits at most for `patience`.
    pub async fn post(
        &self,
        template: &'static str,
        resource: u64,
        path: &str,
        body: &Value,
        patience: Duration,
    ) -> Result<Value, Failure> {
        self.request(Method::POST, Route { template, resource }, path, Some(body), patience).await
    }

    fn limits<T>(&self, change: impl FnOnce(&mut Limits) -> T) -> T {
        change(&mut self.limits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn request(
        &self,
        method: Method,
        route: Route,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Value, Failure> {
        let begun = Instant::now();
        loop {
            while let Err(wait) = self.limits(|limits| limits.take(&route, Instant::now())) {
                if begun.elapsed().saturating_add(wait) > patience {
                    return Err(Failure::Later("Discord's rate limit is used up".to_owned(), wait));
                }
                tokio::time::sleep(wait).await;
            }
            let request = self.client.request(method.clone(), format!("{}{path}", self.api));
            let request = if let Some(body) = body { request.json(body) } else { request };
            let response = request.send().await.map_err(|e| {
                let why = format!("no answer from Discord: {}", causes(&e));
                if e.is_connect() { Failure::Later(why, Duration::from_secs(5)) } else { Failure::Unknown(why) }
            })?;
            let status = response.status().as_u16();
            self.limits(|limits| limits.learn(&route, &headers(response.headers()), Instant::now()));
            let is_shared = text(response.headers(), "x-ratelimit-scope") == Some("shared");
            let after = text(response.headers(), "retry-after").and_then(|text| text.parse().ok());
            let answer = read(response).await;
            match status {
                200..=299 => return answer.map_err(Failure::Unknown),
                429 => self.too_many(&route, &answer.unwrap_or_default(), after, is_shared),
                _ => return Err(self.failure(status, &answer.unwrap_or_default())),
            }
        }
    }

    fn too_many(&self, route: &Route, answer: &Value, after: Option<f64>, is_shared: bool) {
        let retry_after = answer["retry_after"].as_f64().or(after).unwrap_or(5.0);
        let is_global = answer["global"].as_bool().unwrap_or_default();
        self.limits(|limits| limits.too_many(route, TooMany { retry_after, is_global, is_shared }, Instant::now()));
    }

    fn failure(&self, status: u16, answer: &Value) -> Failure {
        let code = answer["code"].as_u64().unwrap_or_default();
        if matches!(status, 401 | 403) && self.limits(|limits| limits.refused(Instant::now())) {
            self.output.say("Discord has refused 1,000 requests within ten minutes: the account pauses");
        }
        match status {
            401 => Failure::Unauthorized,
            408 | 425 => Failure::Unknown(format!("Discord answered {status}")),
            400..=499 => Failure::Refused(status, refusal(status, code, &answer["message"])),
            // A gateway error does not say whether the request has arrived.
            _ => Failure::Unknown(format!("Discord answered {status}")),
        }
    }
}

/// The reason of a refusal, with the way out for the common ones.
fn refusal(status: u16, code: u64, message: &Value) -> String {
    let way_out = match code {
        10_003 => "there is no such channel, or it is deleted",
        10_013 => "there is no such user",
        50_001 => "the bot cannot see the channel; it needs the permission View Channel",
        50_007 => "the user has blocked the bot, closed their direct messages, or shares no server with it",
        50_013 => {
            "the bot lacks a permission there: Send Messages (in a thread: Send Messages in Threads), or Read Message History"
        }
        50_083 | 160_005 => "the thread is archived or locked; the bot needs the permission Manage Threads",
        _ => "",
    };
    let message = message.as_str().unwrap_or("no reason given");
    let colon = if way_out.is_empty() { "" } else { ": " };
    format!("Discord refuses it ({status}, {code}, {message}){colon}{way_out}")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn headers(headers: &HeaderMap) -> Headers {
    Headers {
        bucket: text(headers, "x-ratelimit-bucket").map(ToOwned::to_owned),
        remaining: text(headers, "x-ratelimit-remaining").and_then(|text| text.parse().ok()),
        reset_after: text(headers, "x-ratelimit-reset-after").and_then(|text| text.parse().ok()),
    }
}

async fn read(mut response: Response) -> Result<Value, String> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|e| format!("Discord's answer broke off: {}", causes(&e)))? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_BODY {
            return Err("Discord's answer is too long".to_owned());
        }
    }
    if body.is_empty() {
        return Ok(json!(null));
    }
    serde_json::from_slice(&body).map_err(|_| "Discord's answer is not JSON".to_owned())
}

/// An error with its causes. The URL has no secrets, but says nothing to the owner.
fn causes(error: &reqwest::Error) -> String {
    let mut text = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push(cause.to_string());
        next = cause.source();
    }
    if error.is_timeout() {
        text.insert(0, "timeout".to_owned());
    }
    if text.is_empty() { "the connection failed".to_owned() } else { text.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_names_the_missing_permission() {
        assert_eq!(
            refusal(403, 50_001, &json!("Missing Access")),
            "Discord refuses it (403, 50001, Missing Access): the bot cannot see the channel; it needs the permission View Channel"
        );
        assert_eq!(refusal(400, 7, &json!(null)), "Discord refuses it (400, 7, no reason given)");
    }
}
