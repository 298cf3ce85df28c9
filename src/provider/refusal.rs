//! Errors that a service reports itself, by a status or within an answer, as faults: their kind, the service's own
//! words, and the way out.

use crate::core::fault::{Cause, Fault, Kind};
use crate::core::json::lenient;
use crate::core::model::refusal::{self, Meaning};
use crate::http::Credentials;
use crate::provider::reading::answer::shortened;
use crate::provider::reading::reported;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;
use url::Url;

/// The longest wait that a service may ask for, in seconds.
const MAX_AFTER: u64 = 86_400;

/// A response whose status is no success.
pub(super) struct Refused<'a> {
    /// The URL of the request.
    pub(super) url: &'a str,
    pub(super) status: u16,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a str,
}

impl Refused<'_> {
    /// The fault of this response from the server of the model `name`.
    pub(super) fn fault(&self, name: &str, credentials: &Credentials, now: Timestamp) -> Fault {
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(place) = header("location").filter(|_| (300..400).contains(&self.status)) {
            return self.moved(name, place);
        }
        let error = lenient::parse(self.body.trim()).unwrap_or_default();
        let milliseconds = header("retry-after-ms").and_then(|text| text.trim().parse::<f64>().ok());
        let after = milliseconds.map(|ms| ms / 1000.0).or_else(|| seconds(header("retry-after")?, now));
        let after = after.or_else(|| reported::retry_delay(&error)).and_then(whole_seconds);
        let words = shortened(&reported::words_of_body(self.body), credentials);
        let status = self.status;
        let fault = fault(Some(status), self.body, format!("model {name}: HTTP {status}: {words}")).after(after);
        match status {
            404 | 405 if fault.hint.is_none() => fault.hint(format!("{} was asked: check api_base", self.url)),
            _ => fault,
        }
    }

    /// The fault of a redirect. Requests with a key do not follow it.
    fn moved(&self, name: &str, place: &str) -> Fault {
        let place = Url::parse(self.url).and_then(|url| url.join(place)).map_or_else(|_| place.to_owned(), Into::into);
        let message = format!("model {name}: HTTP {}: the server refers from {} to {place}", self.status, self.url);
        Fault::config(message).hint("set api_base to the new address").cause(Cause::Unreadable)
    }
}

/// The fault of a web page in place of an answer: the URL is that of something else.
pub(super) fn page(name: &str, url: &str, page: &str, credentials: &Credentials) -> Fault {
    let title = shortened(&reported::page_words(page), credentials);
    let message = format!("model {name}: {url} is a web page, not a model's interface: {title:?}");
    Fault::config(message).hint("check api_base; for most servers it ends with /v1").cause(Cause::Unreadable)
}

/// The fault of an error that a service reports within an answer that began as a success.
pub(super) fn broken_off(name: &str, error: &Value, credentials: &Credentials) -> Fault {
    let names = reported::names(error);
    // Routers write the status that they received as a number into `code`; others name the error.
    let number = names.iter().filter_map(|name| name.parse().ok()).find(|status| (400..600).contains(status));
    let by_name = names.iter().find_map(|one| {
        let (_, status) = ERROR_NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(one))?;
        Some(*status)
    });
    let words = reported::words(error);
    let message = format!("model {name}: {}", shortened(&words, credentials));
    fault(number.or(by_name), &format!("{words} {}", names.join(" ")), message)
}

/// The errors that services report by name within an answer, and the status that they use otherwise.
const ERROR_NAMES: &[(&str, u16)] = &[
    ("authentication_error", 401),
    ("invalid_api_key", 401),
    ("unauthenticated", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("permission_denied", 403),
    ("not_found_error", 404),
    ("not_found", 404),
    ("invalid_request_error", 400),
    ("invalid_argument", 400),
    ("invalid_prompt", 400),
    ("rate_limit_error", 429),
    ("rate_limit_exceeded", 429),
    ("resource_exhausted", 429),
    ("insufficient_quota", 429),
    ("server_error", 500),
    ("api_error", 500),
    ("internal", 500),
    ("unavailable", 503),
    ("overloaded_error", 529),
];

/// The statuses of a service that may answer the same request soon: a rate limit, and overload (529 is Anthropic's).
const BUSY: [u16; 3] = [429, 503, 529];

/// The fault for a status; without one the answer was broken off and may succeed the next time. `whole` is the error
/// as it was received, in which services name its reason in their own ways.
fn fault(status: Option<u16>, whole: &str, message: String) -> Fault {
    let failed = |hint: &str| Fault::new(Kind::Failed, message.clone()).hint(hint);
    let refused = |hint: &str| Fault::config(message.clone()).hint(hint).cause(Cause::Refused);
    match refusal::meaning(status, whole) {
        Meaning::Overflow => {
            return failed(
                "the request exceeds the model's context window; begin a new session, or use a larger model",
            )
            .cause(Cause::Overflow);
        }
        Meaning::PerhapsOverflow => return Fault::new(Kind::Failed, message).cause(Cause::PerhapsOverflow),
        Meaning::Credit => {
            return refused("the account has no credit left: add some, or list another model under `fallback`");
        }
        Meaning::Key if status.is_none_or(|status| status < 500) => {
            return refused("check the model's api_key_env or api_key_file");
        }
        Meaning::Tools => return failed("set `tools: false` for this model, or use another one"),
        Meaning::Thinking => return failed("set `thinking: off` for this model, or remove `thinking`"),
        Meaning::Responses => return failed("set `wire: responses` for this model"),
        Meaning::MalformedCall => return Fault::new(Kind::Unavailable, message).cause(Cause::Unreadable),
        Meaning::Model if matches!(status, Some(400 | 404)) => {
            return failed("check the model's `model`; claw models tests it");
        }
        Meaning::Key | Meaning::Model | Meaning::Other => {}
    }
    let kind = match status {
        Some(401..=403) => return refused("check the model's api_key_env or api_key_file"),
        Some(429) => Kind::Later,
        Some(408 | 409 | 425 | 500..) | None => Kind::Unavailable,
        Some(_) => Kind::Failed,
    };
    let fault = Fault::new(kind, message);
    match status {
        Some(status) if BUSY.contains(&status) => fault.cause(Cause::Busy(status)),
        _ => fault,
    }
}

/// The value of `Retry-After` in seconds: a number, or a date (RFC 9110, 10.2.3).
fn seconds(text: &str, now: Timestamp) -> Option<f64> {
    text.trim().parse().ok().or_else(|| {
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Some(date.duration_since(now).as_secs_f64())
    })
}

/// Seconds rounded up; none if they are in the past. At most a day.
fn whole_seconds(seconds: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates; it is not negative")]
    (seconds >= 0.0).then(|| (seconds.ceil() as u64).min(MAX_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::reading::answer::MAX_WORDS;
    /// The fault of a refusal with these headers and this body.
    fn refusal(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Fault {
        let headers = headers.iter().map(|(name, value)| {
            (reqwest::header::HeaderName::from_static(name), reqwest::header::HeaderValue::from_static(value))
        });
        let refused = Refused { url: "https://h/v1/chat/completions", status, headers: &headers.collect(), body };
        refused.fault("m", &Credentials::of(Some("sk-secret")), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let now = Timestamp::UNIX_EPOCH;
        let seconds = |text| seconds(text, now).and_then(whole_seconds);
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds("1.2"), Some(2));
        assert_eq!(refusal(429, &[("retry-after-ms", "1500")], "x").after, Some(2));
        let google = r#"[{"error": {"code": 429, "message": "x", "details": [{"retryDelay": "35.2s"}]}}]"#;
        assert_eq!(refusal(429, &[], google).after, Some(36));
        assert_eq!(seconds("99999999"), Some(86_400));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("Wed, 21 Oct 2099 07:28:00 GMT"), Some(86_400));
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:09 GMT"), Some(9));
        assert_eq!(seconds("Wed, 31 Dec 1969 23:59:00 GMT"), None);
    }

    #[test]
    fn key_in_a_refusal_is_hidden() {
        let fault = refusal(401, &[], r#"{"error":{"message":"bad key sk-secret"}}"#);
        assert_eq!(fault.message, "model m: HTTP 401: bad key [key]");
        assert_eq!(fault.kind, Kind::Config);
    }

    /// The cut falls before, into, and behind the key.
    #[test]
    fn message_that_is_cut_has_no_part_of_the_key() {
        let key = "sk-0123456789";
        let (headers, credentials) = (HeaderMap::new(), Credentials::of(Some(key)));
        let refused = |body: &str| {
            let refused = Refused { url: "https://h/v1", status: 400, headers: &headers, body };
            refused.fault("m", &credentials, Timestamp::UNIX_EPOCH).message
        };
        for before in MAX_WORDS - key.len() - 1..=MAX_WORDS {
            let text = format!("{}{key} is bad", "x".repeat(before));
            let object = serde_json::json!({"error": {"message": text}}).to_string();
            let mut messages = vec![shortened(&text, &credentials)];
            messages.extend([&text, &object].map(|body| refused(body)));
            messages.extend(
                [serde_json::json!(text), serde_json::json!({"message": text}), serde_json::json!({"why": text})]
                    .map(|error| broken_off("m", &error, &credentials).message),
            );
            for message in messages {
                assert!(!message.contains("sk-"), "{before} characters before the key: {message}");
                assert!(message.contains('x') && message.chars().count() <= MAX_WORDS + 20, "{message}");
            }
        }
    }

    #[test]
    fn status_decides_whether_a_retry_can_help() {
        let kind = |status| refusal(status, &[], "x").kind;
        assert_eq!(
            [429, 500, 503, 408].map(kind),
            [Kind::Later, Kind::Unavailable, Kind::Unavailable, Kind::Unavailable]
        );
        assert_eq!([400, 404, 422].map(kind), [Kind::Failed; 3]);
    }

    #[test]
    fn busy_service_is_recognised_by_its_status_unless_its_credit_is_used_up() {
        let cause = |status, body| refusal(status, &[], body).cause;
        assert_eq!([429, 503, 529].map(|status| cause(status, "x")), [429, 503, 529].map(|s| Some(Cause::Busy(s))));
        assert_eq!([400, 408, 500, 502].map(|status| cause(status, "x")), [None; 4]);
        assert_eq!(cause(429, r#"{"error": {"code": "insufficient_quota"}}"#), Some(Cause::Refused));
    }

    #[test]
    fn credit_and_keys_are_permanent_whatever_their_status() {
        for (status, body, hint) in [
            (429, r#"{"error": {"code": "insufficient_quota", "message": "no"}}"#, "no credit left"),
            (400, r#"{"error": {"message": "Your credit balance is too low"}}"#, "no credit left"),
            (402, r#"{"error": {"message": "Insufficient Balance"}}"#, "no credit left"),
            (400, r#"{"code": "Client error", "error": "Incorrect API key provided: x"}"#, "api_key_env"),
            (
                400,
                r#"[{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]"#,
                "api_key_env",
            ),
            (403, "{}", "api_key_env"),
        ] {
            let fault = refusal(status, &[], body);
            assert_eq!((fault.kind, fault.cause), (Kind::Config, Some(Cause::Refused)), "{body}");
            assert!(fault.hint.as_ref().unwrap().contains(hint), "{fault}");
        }
    }

    #[test]
    fn permanent_refusals_have_a_way_out() {
        for (status, body, hint) in [
            (400, r#"{"error": "gemma does not support tools"}"#, "tools: false"),
            (500, r#"{"error": {"code": 500, "message": "tools param requires --jinja flag"}}"#, "tools: false"),
            (404, r#"{"error": {"message": "This model is only supported in v1/responses"}}"#, "wire: responses"),
            (404, r#"{"error": "model 'llama9' not found"}"#, "`model`"),
            (404, r#"{"detail": "Not Found"}"#, "https://h/v1/chat/completions was asked: check api_base"),
        ] {
            let fault = refusal(status, &[], body);
            assert_eq!(fault.kind, Kind::Failed, "{body}");
            assert!(fault.hint.as_ref().unwrap().contains(hint), "{fault}");
        }
    }

    #[test]
    fn redirect_and_page_name_the_addresses() {
        let moved = refusal(308, &[("location", "/v2/chat/completions")], "");
        assert!(moved.message.ends_with("to https://h/v2/chat/completions"), "{moved}");
        let page = page("m", "https://h/v1/chat/completions", "<title>Open Chat</title>", &Credentials::default());
        assert!(
            page.to_string().contains("https://h/v1/chat/completions") && page.to_string().contains("api_base"),
            "{page}"
        );
        assert_eq!((moved.kind, page.kind), (Kind::Config, Kind::Config));
        assert_eq!(
            refusal(502, &[], "<html><title>502 Bad Gateway</title>").message,
            "model m: HTTP 502: 502 Bad Gateway"
        );
    }

    #[test]
    fn error_within_an_answer_is_temporary_unless_its_code_or_name_says_otherwise() {
        let fault = |error: Value| broken_off("m", &error, &Credentials::of(Some("sk-secret")));
        let cases = [
            (serde_json::json!({"message": "overloaded"}), Kind::Unavailable, None),
            (serde_json::json!("boom"), Kind::Unavailable, None),
            (serde_json::json!({"code": 429, "message": "slow down"}), Kind::Later, Some(Cause::Busy(429))),
            (serde_json::json!({"code": 401, "message": "no"}), Kind::Config, Some(Cause::Refused)),
            (
                serde_json::json!({"type": "overloaded_error", "message": "Overloaded"}),
                Kind::Unavailable,
                Some(Cause::Busy(529)),
            ),
            (
                serde_json::json!({"type": "rate_limit_error", "message": "slow down"}),
                Kind::Later,
                Some(Cause::Busy(429)),
            ),
            (serde_json::json!({"type": "invalid_request_error", "message": "no"}), Kind::Failed, None),
            (serde_json::json!({"code": 7, "message": "no"}), Kind::Unavailable, None),
            (
                serde_json::json!({"error": {"code": 503, "status": "UNAVAILABLE"}}),
                Kind::Unavailable,
                Some(Cause::Busy(503)),
            ),
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
