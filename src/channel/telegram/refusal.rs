//! Refusals of Telegram's Bot API and what follows from each. Descriptions are matched by their beginnings or parts, as
//! the service has no finer codes. Source: core.telegram.org/bots/api#making-requests, and the descriptions that the
//! service's open-source server (tdlib/telegram-bot-api) returns.

use crate::channel::telegram::api::RefusedCall;

/// The consequence of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    /// The token is wrong or revoked: nothing works until the owner changes it.
    WrongToken,
    /// A webhook is set, so that no poll is answered.
    Webhook,
    /// Another program polls with the same token.
    OtherPoller,
    /// The account must pause.
    Pause,
    /// The place has another number now.
    Moved,
    /// The place cannot be written to: the bot is blocked, was removed, or has no right to.
    Unreachable,
    /// The request is wrong and will stay so.
    Permanent,
    /// The service has a problem.
    Later,
}

/// A code, a part of the description (in lower case; empty for every one), and the consequence. The first row counts.
const TABLE: &[(u64, &str, Consequence)] = &[
    (401, "", Consequence::WrongToken),
    (404, "", Consequence::WrongToken),
    (409, "webhook", Consequence::Webhook),
    (409, "", Consequence::OtherPoller),
    (429, "", Consequence::Pause),
    (420, "", Consequence::Pause),
    (403, "", Consequence::Unreachable),
    (400, "chat not found", Consequence::Unreachable),
    (400, "user not found", Consequence::Unreachable),
    (400, "peer_id_invalid", Consequence::Unreachable),
    (400, "chat_write_forbidden", Consequence::Unreachable),
    (400, "chat_restricted", Consequence::Unreachable),
    (400, "have no rights to send", Consequence::Unreachable),
    (400, "not enough rights", Consequence::Unreachable),
    (400, "need administrator rights", Consequence::Unreachable),
    (400, "user_is_blocked", Consequence::Unreachable),
    (400, "input_user_deactivated", Consequence::Unreachable),
    (400, "group chat was deactivated", Consequence::Unreachable),
    (400, "bot was kicked", Consequence::Unreachable),
    (400, "topic_closed", Consequence::Unreachable),
    (400, "topic_deleted", Consequence::Unreachable),
    (400, "message thread not found", Consequence::Unreachable),
];

/// What follows from a refusal.
pub(super) fn consequence(refused: &RefusedCall) -> Consequence {
    let RefusedCall { code, description, retry_after, migrate_to } = refused;
    if migrate_to.is_some() {
        return Consequence::Moved;
    }
    if retry_after.is_some() {
        return Consequence::Pause;
    }
    let description = description.to_lowercase();
    let row = TABLE.iter().find(|(of, part, _)| of == code && description.contains(part));
    match row {
        Some((.., consequence)) => *consequence,
        None if *code >= 500 || *code < 400 => Consequence::Later,
        None => Consequence::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::Consequence::{Later, Moved, OtherPoller, Pause, Permanent, Unreachable, Webhook, WrongToken};
    use super::*;

    #[test]
    fn refusals_have_their_consequences() {
        let cases = [
            (401, "Unauthorized", WrongToken),
            (404, "Not Found", WrongToken),
            (404, "Not Found: method not found", WrongToken),
            (
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
                Webhook,
            ),
            (
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
                OtherPoller,
            ),
            (409, "Conflict: terminated by setWebhook request", Webhook),
            (429, "Too Many Requests: retry after 5", Pause),
            (420, "FLOOD_WAIT_5", Pause),
            (403, "Forbidden: bot was blocked by the user", Unreachable),
            (403, "Forbidden: user is deactivated", Unreachable),
            (403, "Forbidden: bot can't initiate conversation with a user", Unreachable),
            (403, "Forbidden: bot can't send messages to bots", Unreachable),
            (403, "Forbidden: bot was kicked from the group chat", Unreachable),
            (403, "Forbidden: bot was kicked from the supergroup chat", Unreachable),
            (403, "Forbidden: bot was kicked from the channel chat", Unreachable),
            (403, "Forbidden: bot is not a member of the channel chat", Unreachable),
            (403, "Forbidden: bot is not a member of the supergroup chat", Unreachable),
            (403, "Forbidden: the group chat was deleted", Unreachable),
            (403, "Forbidden: not enough rights to send text messages to the chat", Unreachable),
            (403, "Forbidden: CHAT_WRITE_FORBIDDEN", Unreachable),
            (400, "Bad Request: chat not found", Unreachable),
            (400, "Bad Request: user not found", Unreachable),
            (400, "Bad Request: PEER_ID_INVALID", Unreachable),
            (400, "Bad Request: CHAT_WRITE_FORBIDDEN", Unreachable),
            (400, "Bad Request: CHAT_RESTRICTED", Unreachable),
            (400, "Bad Request: have no rights to send a message", Unreachable),
            (400, "Bad Request: not enough rights to send text messages to the chat", Unreachable),
            (400, "Bad Request: need administrator rights in the channel chat", Unreachable),
            (400, "Bad Request: USER_IS_BLOCKED", Unreachable),
            (400, "Bad Request: INPUT_USER_DEACTIVATED", Unreachable),
            (400, "Bad Request: group chat was deactivated", Unreachable),
            (400, "Bad Request: bot was kicked from the group chat", Unreachable),
            (400, "Bad Request: TOPIC_CLOSED", Unreachable),
            (400, "Bad Request: TOPIC_DELETED", Unreachable),
            (400, "Bad Request: message thread not found", Unreachable),
            (400, "Bad Request: message is too long", Permanent),
            (400, "Bad Request: message text is empty", Permanent),
            (400, "Bad Request: text must be non-empty", Permanent),
            (400, "Bad Request: ENTITIES_TOO_LONG", Permanent),
            (400, "Bad Request: ENTITY_BOUNDS_INVALID", Permanent),
            (
                400,
                "Bad Request: can't parse entities: Can't find end of the entity starting at byte offset 4",
                Permanent,
            ),
            (400, "Bad Request: can't parse message text", Permanent),
            (400, "Bad Request: MESSAGE_TOO_LONG", Permanent),
            (400, "Bad Request: BUTTON_URL_INVALID", Permanent),
            (400, "Bad Request: wrong HTTP URL specified", Permanent),
            (400, "Bad Request: URL host is empty", Permanent),
            (400, "Bad Request: strings must be encoded in UTF-8", Permanent),
            (400, "Bad Request: reply message not found", Permanent),
            (400, "Bad Request: message to be replied not found", Permanent),
            (400, "Bad Request: can't parse JSON object", Permanent),
            (400, "Bad Request: chat_id is empty", Permanent),
            (400, "Bad Request: file is too big", Permanent),
            (400, "Bad Request: wrong file_id or the file is temporarily unavailable", Permanent),
            (400, "Bad Request: invalid file_id", Permanent),
            (400, "Bad Request: the chat is a forum", Permanent),
            (400, "Logged out", Permanent),
            (413, "Request Entity Too Large", Permanent),
            (405, "Method Not Allowed", Permanent),
            (500, "Internal Server Error", Later),
            (500, "Internal Server Error: restart", Later),
            (502, "Bad Gateway", Later),
            (503, "Service Unavailable", Later),
            (504, "Gateway Timeout", Later),
            (599, "", Later),
            (302, "HTTP 302", Later),
        ];
        assert!(cases.len() >= 60);
        for (code, description, expected) in cases {
            let refused = RefusedCall { code, description: description.into(), ..RefusedCall::default() };
            assert_eq!(consequence(&refused), expected, "{code} {description}");
        }
        let pause = RefusedCall { code: 400, retry_after: Some(3), ..RefusedCall::default() };
        let moved = RefusedCall { code: 400, migrate_to: Some(-1001), ..RefusedCall::default() };
        assert_eq!((consequence(&pause), consequence(&moved)), (Pause, Moved));
    }
}
