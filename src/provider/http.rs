//! The HTTP client for models: one request, on a runtime of its own.

use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::core::model::overflow::is_overflow;
use crate::core::model::settings::Model;
use crate::provider::limit;
use futures_util::future::{Either, select};
use jiff::Timestamp;
use reqwest::Client;
use serde_json::Value;
use std::error::Error;
use std::os::fd::BorrowedFd;
use std::pin::pin;
use tokio::net::unix::pipe::Receiver;

/// Runs one exchange, until `stop`, which is a pipe, is readable.
pub(super) fn block_on<T>(stop: Option<BorrowedFd>, work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let cannot = |e: std::io::Error| Fault::new(Kind::Machine, format!("cannot start the network: {e}"));
    let runtime = runtime.map_err(cannot)?;
    let result = runtime.block_on(async {
        let Some(stop) = stop else { return work.await };
        let stop = stop.try_clone_to_owned().and_then(Receiver::from_owned_fd).map_err(cannot)?;
        match select(pin!(work), pin!(stop.readable())).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(Fault::new(Kind::Failed, "it was stopped")),
        }
    });
    // A thread that looks a name up knows no limits, and is not waited for.
    runtime.shutdown_background();
    result
}

/// A client for one model's server.
pub(super) fn client(name: &str, model: &Model, url: &str) -> Result<Client> {
    let bad = |e: reqwest::Error| Fault::config(format!("model {name}: {e}"));
    let mut builder = Client::builder()
        .connect_timeout(limit(model.connect_timeout, 10))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("claw/", env!("CARGO_PKG_VERSION")));
    if is_loopback(url) {
        // A proxy of the environment is for the world outside; `NO_PROXY` says what else is not for it.
        builder = builder.no_proxy();
    }
    if url.starts_with("http://") {
        // Without TLS nobody needs the certificates of the machine, which take longer to read than
        // most requests.
        builder = builder.tls_certs_only([]);
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder.build().map_err(bad)
}

/// Whether this is a server on this machine.
fn is_loopback(url: &str) -> bool {
    match url::Url::parse(url).as_ref().map(url::Url::host) {
        Ok(Some(url::Host::Ipv4(address))) => address.is_loopback(),
        Ok(Some(url::Host::Ipv6(address))) => address.is_loopback(),
        Ok(Some(url::Host::Domain(name))) => name == "localhost" || name.ends_with(".localhost"),
        _ => false,
    }
}

/// What a failed request means. The key never enters the text.
pub(super) fn failed(name: &str, error: &reqwest::Error, key: Option<&str>) -> Fault {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    // The number says nothing that the words do not.
    let text = text.split(" (os error").next().unwrap_or(&text);
    let url = error.url().map(|url| format!("{url}: ")).unwrap_or_default();
    let kind = if error.is_builder() { Kind::Config } else { Kind::Unavailable };
    Fault::new(kind, hide(&format!("model {name}: {url}{text}"), key))
}

/// What a status that is no success means, with the server's own words.
pub(super) fn refused(
    name: &str,
    status: u16,
    headers: &reqwest::header::HeaderMap,
    body: &str,
    key: Option<&str>,
    now: Timestamp,
) -> Fault {
    let after = headers.get("retry-after").and_then(|v| v.to_str().ok()).and_then(|text| seconds(text, now));
    let error = serde_json::from_str::<Value>(body).ok();
    let words = error.as_ref().and_then(|error| message(error.get("error").unwrap_or(error)));
    // Hidden before it is cut: half a key is a secret too.
    let words: String = hide(words.unwrap_or(body).trim(), key).chars().take(300).collect();
    meant(Some(status), body, format!("model {name}: HTTP {status}: {words}")).after(after)
}

/// What an error means that stands in an answer which had begun as a success.
pub(super) fn broken_off(name: &str, error: &Value, key: Option<&str>) -> Fault {
    let whole = error.to_string();
    let words: String = hide(message(error).unwrap_or(&whole), key).chars().take(300).collect();
    // Routers put the status there that they were answered with themselves; others have a word for it.
    let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let word = ["type", "code"].into_iter().filter_map(|field| error.get(field)?.as_str()).find_map(|word| {
        let (_, status) = WORDS.iter().find(|(known, _)| *known == word)?;
        Some(*status)
    });
    let status = status.filter(|status| (400..600).contains(status)).or(word);
    meant(status, &whole, format!("model {name}: {words}"))
}

/// What services call what they would say with a status, if they had not begun with another one.
const WORDS: &[(&str, u16)] = &[
    ("authentication_error", 401),
    ("invalid_api_key", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("invalid_request_error", 400),
    ("rate_limit_error", 429),
    ("rate_limit_exceeded", 429),
    ("insufficient_quota", 429),
];

/// The words of an error, whether it is an object or a text itself.
fn message(error: &Value) -> Option<&str> {
    error.get("message").unwrap_or(error).as_str()
}

/// The failure that a refusal with this status is; without one, what was broken off may go well the next time.
fn meant(status: Option<u16>, whole: &str, message: String) -> Fault {
    if is_overflow(status, whole) {
        let hint = "the request is longer than the model's window; begin a new session, or use a larger model";
        return Fault::new(Kind::Failed, message).hint(hint).cause(Cause::Overflow);
    }
    let kind = match status {
        Some(401..=403) => Kind::Config,
        Some(429) => Kind::Later,
        Some(408 | 409 | 425 | 500..) | None => Kind::Unavailable,
        Some(_) => Kind::Failed,
    };
    let fault = Fault::new(kind, message);
    match kind {
        Kind::Config => fault.hint("check the model's api_key_env or api_key_file").cause(Cause::Refused),
        _ => fault,
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3). At most a day.
fn seconds(text: &str, now: Timestamp) -> Option<u64> {
    let seconds = text.trim().parse().ok().or_else(|| {
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        u64::try_from(date.duration_since(now).as_secs()).ok()
    });
    seconds.map(|s| s.min(86_400))
}

/// `text` without the key.
pub(super) fn hide(text: &str, key: Option<&str>) -> String {
    match key.filter(|k| !k.is_empty()) {
        Some(key) => text.replace(key, "[key]"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_stands_before_this_machine() {
        for url in ["http://127.0.0.1:1/v1", "http://127.9.9.9", "http://[::1]:8/", "http://localhost:11434/api"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["http://10.0.0.7", "https://localhost.example.com", "http://128.0.0.1", "x"] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::UNIX_EPOCH;
        let seconds = |text| seconds(text, now);
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds("99999999"), Some(86_400));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("Wed, 21 Oct 2099 07:28:00 GMT"), Some(86_400));
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:09 GMT"), Some(9));
        assert_eq!(seconds("Wed, 31 Dec 1969 23:59:00 GMT"), None);
    }

    #[test]
    fn a_key_never_enters_an_error() {
        let headers = reqwest::header::HeaderMap::new();
        let fault = refused(
            "m",
            401,
            &headers,
            r#"{"error":{"message":"bad key sk-secret"}}"#,
            Some("sk-secret"),
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(fault.message, "model m: HTTP 401: bad key [key]");
        assert_eq!(fault.kind, Kind::Config);
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let headers = reqwest::header::HeaderMap::new();
        let kind = |status| refused("m", status, &headers, "x", None, Timestamp::UNIX_EPOCH).kind;
        assert_eq!(
            [429, 500, 503, 408].map(kind),
            [Kind::Later, Kind::Unavailable, Kind::Unavailable, Kind::Unavailable]
        );
        assert_eq!([400, 404, 422].map(kind), [Kind::Failed; 3]);
    }

    #[test]
    fn an_error_within_an_answer_means_what_it_says_and_may_pass_where_it_says_nothing() {
        let fault = |error: Value| broken_off("m", &error, Some("sk-secret"));
        let cases = [
            (serde_json::json!({"message": "overloaded"}), Kind::Unavailable, None),
            (serde_json::json!("boom"), Kind::Unavailable, None),
            (serde_json::json!({"code": 429, "message": "slow down"}), Kind::Later, None),
            (serde_json::json!({"code": 401, "message": "no"}), Kind::Config, Some(Cause::Refused)),
            (serde_json::json!({"type": "overloaded_error", "message": "Overloaded"}), Kind::Unavailable, None),
            (serde_json::json!({"type": "rate_limit_error", "message": "slow down"}), Kind::Later, None),
            (serde_json::json!({"type": "invalid_request_error", "message": "no"}), Kind::Failed, None),
            (serde_json::json!({"code": 7, "message": "no"}), Kind::Unavailable, None),
            (serde_json::json!({"message": "prompt is too long: 9 > 8"}), Kind::Failed, Some(Cause::Overflow)),
            (
                serde_json::json!({"code": "context_length_exceeded", "message": "no"}),
                Kind::Failed,
                Some(Cause::Overflow),
            ),
        ];
        for (error, kind, cause) in cases {
            let fault = fault(error.clone());
            assert_eq!((fault.kind, fault.cause), (kind, cause), "{error}");
        }
        assert_eq!(fault(serde_json::json!("sk-secret is bad")).message, "model m: [key] is bad");
    }
}
