//! The page: one HTML file in this binary. Its policy allows its own script and style by their hashes, connections to its
//! own origin, and nothing else.

use crate::core::base64;
use crate::http::server::{HttpReply, StatusCode, reply};
use hyper::header::HeaderValue;
use ring::digest::{SHA256, digest};
use std::sync::OnceLock;

/// The page.
const PAGE: &str = include_str!("page.html");

/// The response with the page.
pub(super) fn response() -> HttpReply {
    static POLICY: OnceLock<Option<HeaderValue>> = OnceLock::new();
    let mut reply = reply(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    if let Some(policy) = POLICY.get_or_init(|| HeaderValue::from_str(&policy()).ok()) {
        reply.headers_mut().insert("content-security-policy", policy.clone());
    }
    reply.headers_mut().insert("x-frame-options", HeaderValue::from_static("DENY"));
    reply.headers_mut().insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    reply
}

fn policy() -> String {
    let hash = |tag: &str| {
        let (_, after) = PAGE.split_once(&format!("<{tag}>")).unwrap_or_default();
        let (text, _) = after.split_once(&format!("</{tag}>")).unwrap_or_default();
        base64::padded(digest(&SHA256, text.as_bytes()).as_ref())
    };
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src blob:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
        hash("script"),
        hash("style")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_small_and_names_no_other_server() {
        assert!(PAGE.len() <= 60 << 10, "{} bytes", PAGE.len());
        let is_outside = |word: &&str| word.contains("//") && !word.contains("http://www.w3.org/2000/svg");
        let outside: Vec<&str> =
            PAGE.split_whitespace().filter(|word| word.contains("http")).filter(is_outside).collect();
        assert!(outside.is_empty(), "{outside:?}");
        for danger in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            " style=",
            " onclick=",
            "document.cookie",
            "localStorage",
        ] {
            assert!(!PAGE.contains(danger), "{danger}");
        }
        assert_eq!((PAGE.matches("<script>").count(), PAGE.matches("<style>").count()), (1, 1));
        assert!(policy().contains("connect-src 'self'") && !policy().contains("unsafe"), "{}", policy());
    }
}
