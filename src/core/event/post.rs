//! Texts that a turn sends to the conversation of another session: a message to deliver, and an event that makes the text
//! a part of that session, so that the agent there knows what an answer like "yes, do it" is about.

use crate::core::event::address::Address;
use crate::core::event::id::Derived;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Event, EventKind};

/// The key in an event's `meta` of the session that has sent the text.
const KEY: &str = "posted_by";

/// The event that makes `message`, which the turn of `session` sends, a part of the recipient's session.
#[must_use]
pub fn of(message: &Event, session: &str, from: &Address, now: Stamp) -> Event {
    let mut post = message.child(Derived::Post, 1, from, message.content.clone(), now);
    post.hops = message.hops;
    post.meta.insert(KEY.to_owned(), session.into());
    post
}

/// Whether the event is a text that its own session has sent, so that it is part of the session already.
#[must_use]
pub fn is_own(event: &Event, session: &str) -> bool {
    event.kind == EventKind::Post && event.meta.get(KEY).is_some_and(|by| by == session)
}

/// The line that stands for the user's message before the text.
#[must_use]
pub fn heading(event: &Event) -> String {
    let by = event.meta.get(KEY).and_then(|by| by.as_str()).unwrap_or("another session");
    format!("[Not a message of a person: your session {by} sent the following text to this conversation.]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Draft;
    use crate::core::event::id::Id;

    #[test]
    fn post_names_its_session_and_is_derived_from_the_message() {
        let place = Address::parse("cli:ann").unwrap();
        let message = Draft::message("Report.").complete(Id::new(Stamp(0), 1), Stamp(0), &place, &place);
        let post = of(&message, "pickle.run-x", &place, Stamp(0));
        assert_eq!((post.kind, post.content.as_str(), post.id.short()), (EventKind::Post, "Report.", "000001.p01"));
        assert!(is_own(&post, "pickle.run-x") && !is_own(&post, "pickle.cli-ann") && !is_own(&message, "pickle.run-x"));
        assert!(heading(&post).contains("pickle.run-x"));
    }
}
