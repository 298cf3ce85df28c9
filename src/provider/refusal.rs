//! Errors that a service reports itself, by a status or within an answer, as faults: their kind, and the service's own
//! message.

use crate::core::fault::{Cause, Fault, Kind};
use crate::core::model::overflow::is_overflow;
use crate::http::Credentials;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// The longest message of a service in a fault, in characters.
const MAX_MESSAGE: usize = 300;

/// The fault of a response whose status is no success.
pub(super) fn refused(
    name: &str,
    status: u16,
    headers: &HeaderMap,
    body: &str,
    credentials: &Credentials,
    now: Timestamp,
) -> Fault {
    let after = headers.get("retry-after").and_then(|v| v.to_str().ok()).and_then(|text| seconds(text, now));
    let error = serde_json::from_str::<Value>(body).ok();
    let message = error.as_ref().and_then(|error| message(error.get("error").unwrap_or(error)));
    let message = shortened(message.unwrap_or(body).trim(), credentials);
    fault(Some(status), body, format!("model {name}: HTTP {status}: {message}")).after(after)
}

/// The fault of an error that a service reports within an answer that began as a success.
pub(super) fn broken_off(name: &str, error: &Value, credentials: &Credentials) -> Fault {
    let whole = error.to_string();
    let message = shortened(message(error).unwrap_or(&whole), credentials);
    // Routers write the status that they received as a number into `code`; others name the error in `type` or `code`.
    let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let named = ["type", "code"].into_iter().filter_map(|field| error.get(field)?.as_str()).find_map(|name| {
        let (_, status) = ERROR_NAMES.iter().find(|(known, _)| *known == name)?;
        Some(*status)
    });
    let status = status.filter(|status| (400..600).contains(status)).or(named);
    fault(status, &whole, format!("model {name}: {message}"))
}

/// The errors that services report by name within an answer, and the status that they use otherwise.
const ERROR_NAMES: &[(&str, u16)] = &[
    ("authentication_error", 401),
    ("invalid_api_key", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("invalid_request_error", 400),
    ("rate_limit_error", 429),
    ("rate_limit_exceeded", 429),
    (NO_CREDIT, 429),
    ("overloaded_error", 529),
];

/// The error of a service whose credit is used up; its status is that of a rate limit, but it does not end soon.
const NO_CREDIT: &str = "insufficient_quota";

/// The statuses of a service that may answer the same request soon: a rate limit, and overload (529 is Anthropic's).
const BUSY: [u16; 3] = [429, 503, 529];

/// The message of an error, which is an object with a `message`, or a text itself.
fn message(error: &Value) -> Option<&str> {
    error.get("message").unwrap_or(error).as_str()
}

/// A text of the service without credentials, cut to [`MAX_MESSAGE`].
pub(super) fn shortened(text: &str, credentials: &Credentials) -> String {
    credentials.hide(text).chars().take(MAX_MESSAGE).collect()
}

/// The fault for a status; without one the answer was broken off and may succeed the next time. `whole` is the error
/// as it was received, in which services name the overflow of the context window in their own ways.
fn fault(status: Option<u16>, whole: &str, message: String) -> Fault {
    if is_overflow(status, whole) {
        let hint = "the request exceeds the model's context window; begin a new session, or use a larger model";
        return Fault::new(Kind::Failed, message).hint(hint).cause(Cause::Overflow);
    }
    let kind = match status {
        Some(401..=403) => Kind::Config,
        Some(429) => Kind::Later,
        Some(408 | 409 | 425 | 500..) | None => Kind::Unavailable,
        Some(_) => Kind::Failed,
    };
    let fault = Fault::new(kind, message);
    match status {
        Some(401..=403) => fault.hint("check the model's api_key_env or api_key_file").cause(Cause::Refused),
        Some(status) if BUSY.contains(&status) && !whole.contains(NO_CREDIT) => fault.cause(Cause::Busy(status)),
        _ => fault,
    }
}

/// The value of `Retry-After` in seconds: a number, or a date (RFC 9110, 10.2.3). At most a day.
fn seconds(text: &str, now: Timestamp) -> Option<u64> {
    let seconds = text.trim().parse().ok().or_else(|| {
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        u64::try_from(date.duration_since(now).as_secs()).ok()
    });
    seconds.map(|s| s.min(86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
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
    fn key_in_a_refusal_is_hidden() {
        let headers = HeaderMap::new();
        let fault = refused(
            "m",
            401,
            &headers,
            r#"{"error":{"message":"bad key sk-secret"}}"#,
            &Credentials::of(Some("sk-secret")),
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(fault.message, "model m: HTTP 401: bad key [key]");
        assert_eq!(fault.kind, Kind::Config);
    }

    /// The cut falls before, into, and behind the key.
    #[test]
    fn message_that_is_cut_has_no_part_of_the_key() {
        let key = "sk-0123456789";
        let (headers, credentials) = (HeaderMap::new(), Credentials::of(Some(key)));
        for before in MAX_MESSAGE - key.len() - 1..=MAX_MESSAGE {
            let text = format!("{}{key} is bad", "x".repeat(before));
            let object = serde_json::json!({"error": {"message": text}}).to_string();
            let mut messages = vec![shortened(&text, &credentials)];
            messages.extend(
                [&text, &object]
                    .map(|body| refused("m", 400, &headers, body, &credentials, Timestamp::UNIX_EPOCH).message),
            );
            messages.extend(
                [serde_json::json!(text), serde_json::json!({"message": text}), serde_json::json!({"why": text})]
                    .map(|error| broken_off("m", &error, &credentials).message),
            );
            for message in messages {
                assert!(!message.contains("sk-"), "{before} characters before the key: {message}");
                assert!(message.contains('x') && message.chars().count() <= MAX_MESSAGE + 20, "{message}");
            }
        }
    }

    #[test]
    fn status_decides_whether_a_retry_can_help() {
        let headers = HeaderMap::new();
        let kind = |status| refused("m", status, &headers, "x", &Credentials::default(), Timestamp::UNIX_EPOCH).kind;
        assert_eq!(
            [429, 500, 503, 408].map(kind),
            [Kind::Later, Kind::Unavailable, Kind::Unavailable, Kind::Unavailable]
        );
        assert_eq!([400, 404, 422].map(kind), [Kind::Failed; 3]);
    }

    #[test]
    fn busy_service_is_recognised_by_its_status_unless_its_credit_is_used_up() {
        let headers = HeaderMap::new();
        let refused =
            |status, body| refused("m", status, &headers, body, &Credentials::default(), Timestamp::UNIX_EPOCH).cause;
        assert_eq!([429, 503, 529].map(|status| refused(status, "x")), [429, 503, 529].map(|s| Some(Cause::Busy(s))));
        assert_eq!([400, 408, 500, 502].map(|status| refused(status, "x")), [None; 4]);
        assert_eq!(refused(429, r#"{"error": {"code": "insufficient_quota"}}"#), None);
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
