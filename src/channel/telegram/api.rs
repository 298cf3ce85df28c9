//! Calls of Telegram's Bot API: JSON over POST. The bot's token is part of every URL, so each text about a request passes
//! `Credentials`. Source: core.telegram.org/bots/api#making-requests.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::json::lenient;
use crate::http::{self, ClientOptions, Credentials, Proxy};
use serde_json::Value;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// The service.
pub(super) const BASE: &str = "https://api.telegram.org";
/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest answer, in bytes: a poll brings at most 100 messages, of some 100 KiB with their quotes and links.
const MAX_ANSWER: usize = 32 << 20;

/// A bot's connection to the service.
pub(super) struct Api {
    base: String,
    token: String,
    credentials: Credentials,
}

/// The failure of a call.
#[derive(Debug)]
pub(super) enum CallFault {
    /// The service has refused it.
    Refused(RefusedCall),
    /// Nothing of the request has left this machine.
    Unsent(Fault),
    /// It may have been done.
    Unknown(Fault),
}

/// A refusal of the service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RefusedCall {
    /// The field `error_code`, or the HTTP status.
    pub(super) code: u64,
    /// The field `description`, without the token.
    pub(super) description: String,
    /// The wait in seconds.
    pub(super) retry_after: Option<u64>,
    /// The new number of a group that has become a supergroup.
    pub(super) migrate_to: Option<i64>,
}

impl Api {
    /// The bot with this token at this address; `None` is Telegram's own.
    pub(super) fn new(base: Option<&str>, token: &str) -> Self {
        let base = base.unwrap_or(BASE).trim_end_matches('/').to_owned();
        // Parts of the token, and the whole: some texts have only the part behind the colon.
        let secret = token.split_once(':').map_or(token, |(_, secret)| secret);
        let credentials = Credentials::of(Some(token)).and(secret).and_url(&base);
        Self { base, token: token.to_owned(), credentials }
    }

    /// Calls a method; returns the field `result`. `stop` cancels it.
    pub(super) fn call(
        &self,
        method: &str,
        body: &Value,
        limit: Duration,
        stop: Option<BorrowedFd>,
    ) -> std::result::Result<Value, CallFault> {
        let url = format!("{}/bot{}/{method}", self.base, self.token);
        let (status, bytes) = self.exchange(&url, Some(body), limit, stop, MAX_ANSWER, method)?;
        // Half a character in a user's text must not make the whole answer unreadable.
        let answer = lenient::parse(&String::from_utf8_lossy(&bytes)).map(lenient::resolved).unwrap_or_default();
        match answer["ok"].as_bool() {
            Some(true) => return Ok(answer.get("result").cloned().unwrap_or_default()),
            Some(false) => {}
            // A proxy or a gateway answers: the service may have done the call. It has done none of these.
            None if matches!(status, 401 | 403 | 404 | 405 | 407 | 413 | 429) => {}
            None => {
                let message = format!("Telegram, {method}: HTTP {status} without an answer of the service");
                return Err(CallFault::Unknown(Fault::new(Kind::Unavailable, message)));
            }
        }
        let text = answer["description"].as_str().map_or_else(|| format!("HTTP {status}"), ToOwned::to_owned);
        Err(CallFault::Refused(RefusedCall {
            code: answer["error_code"].as_u64().unwrap_or(u64::from(status)),
            description: self.credentials.hide(&text).chars().filter(|c| !c.is_control()).take(400).collect(),
            retry_after: answer["parameters"]["retry_after"].as_u64(),
            migrate_to: answer["parameters"]["migrate_to_chat_id"].as_i64(),
        }))
    }

    /// Fetches a file by the `file_path` that `getFile` has returned; at most `most` bytes.
    pub(super) fn download(&self, path: &str, most: usize, limit: Duration) -> Result<Vec<u8>> {
        let url = format!("{}/file/bot{}/{path}", self.base, self.token);
        match self.exchange(&url, None, limit, None, most, "download") {
            Ok((200, bytes)) => Ok(bytes),
            Ok((status, _)) => Err(Fault::new(Kind::Unavailable, format!("HTTP {status}"))),
            Err(CallFault::Unsent(fault) | CallFault::Unknown(fault)) => Err(fault),
            Err(CallFault::Refused(refused)) => Err(Fault::new(Kind::Unavailable, refused.description)),
        }
    }

    /// Status and body of an exchange.
    fn exchange(
        &self,
        url: &str,
        body: Option<&Value>,
        limit: Duration,
        stop: Option<BorrowedFd>,
        most: usize,
        what: &str,
    ) -> std::result::Result<(u16, Vec<u8>), CallFault> {
        let options = ClientOptions { url, connect_timeout: CONNECT, proxy: Proxy::Environment, resolver: None };
        let subject = format!("Telegram, {what}: ");
        let fault = |e: &reqwest::Error| http::request_fault(&subject, e, &self.credentials);
        let client = http::client(options).map_err(|e| CallFault::Unsent(fault(&e)))?;
        let late = || Fault::new(Kind::Unavailable, format!("{subject}no whole answer within {limit:.0?}"));
        let is_unsent = std::cell::Cell::new(false);
        let exchanged = http::block_on(
            stop,
            http::within(limit, late, async {
                let request = match body {
                    Some(body) => client.post(url).json(body),
                    None => client.get(url),
                };
                let mut response = request.send().await.map_err(|e| {
                    // Name, route, refusal and TLS fail before the request is written.
                    is_unsent.set(e.is_connect() || e.is_builder());
                    fault(&e)
                })?;
                let status = response.status().as_u16();
                let mut bytes = Vec::new();
                while let Some(chunk) = response.chunk().await.map_err(|e| fault(&e))? {
                    bytes.extend_from_slice(&chunk);
                    if bytes.len() > most {
                        return Err(Fault::data(format!("{subject}the answer has more than {most} bytes")));
                    }
                }
                Ok((status, bytes))
            }),
        );
        exchanged.map_err(|fault| {
            if is_unsent.get() || fault.kind == Kind::Machine {
                CallFault::Unsent(fault)
            } else {
                CallFault::Unknown(fault)
            }
        })
    }
}
