//! What reaches the web listener: frames of WebSocket clients, cursors, and bodies and signatures of webhooks.

use claw::core::channel::web::cursor::Cursor;
use claw::core::channel::web::frame::{self, ClientFrame};
use claw::core::channel::web::hook::{self, Hook, HookScheme};
use claw::core::channel::web::same_origin::SameOrigin;

/// A frame of a client; the same bytes as a cursor and as a host.
pub fn web_frame(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match frame::parse(&text) {
        Ok(ClientFrame::Message(message)) => {
            assert!(!message.content.trim().is_empty(), "an empty message");
            let labels = [&message.id, &message.source];
            assert!(
                labels.iter().all(|label| label.as_ref().is_none_or(|label| !label.is_empty() && label.len() <= 128))
            );
        }
        Ok(ClientFrame::Auth { .. }) => {}
        Err(error) => {
            assert!(error.at.is_none_or(|at| at <= text.len()), "{error:?}");
            assert_eq!(error.to_json()["type"], "error");
        }
    }
    if let Some(cursor) = Cursor::parse(&text) {
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
    }
    let own = SameOrigin::new(Some(7171), &["claw.example.org".to_owned()]);
    if own.is_host(&text) {
        let host = text.to_ascii_lowercase();
        assert!(
            ["127.0.0.1:7171", "localhost:7171", "[::1]:7171"].contains(&&*host)
                || host.starts_with("claw.example.org"),
            "{host}"
        );
    }
}

/// A webhook: the first line is the signature, the second a JSON pointer, the rest the body. Nothing is authentic.
pub fn webhook(data: &[u8]) {
    let mut parts = data.splitn(3, |b| *b == b'\n');
    let mut line = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (signature, pointer) = (line(), line());
    let body = parts.next().unwrap_or_default();
    for scheme in [HookScheme::Token, HookScheme::Github, HookScheme::Standard, HookScheme::Hmac] {
        let hook = Hook { scheme, header: Some("x".to_owned()), ..Hook::default() };
        let found = hook::verify(&hook, "a secret of the test", &|_| Some(signature.clone()), body, 0);
        assert!(found.is_err(), "{scheme:?} accepts {signature}");
    }
    for pointer in [None, Some(pointer.as_str())] {
        if let Ok(text) = hook::text(pointer, body) {
            assert!(!text.trim().is_empty(), "an empty message");
        }
    }
}
