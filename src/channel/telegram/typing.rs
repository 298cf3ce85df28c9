//! The typing sign of the bot, while the answer to an accepted message is not there.

use crate::channel::listening::Listening;
use crate::channel::telegram::api::Api;
use crate::channel::telegram::destination;
use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::fault::Result;
use crate::store::channel::pause;
use crate::store::queue::locate;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use serde_json::json;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

/// Telegram shows the sign for five seconds.
const AGAIN: Duration = Duration::from_secs(4);
/// How often it is shown for one message: five minutes.
const MOST: u32 = 75;
/// The longest time of a request.
const LIMIT: Duration = Duration::from_secs(3);

/// The messages that are being answered.
pub(super) struct Typing(Sender<(Id, String)>);

impl Typing {
    /// A message was accepted; `chat` is the destination of its answer.
    pub(super) fn begin(&self, id: Id, chat: &str) {
        let _ = self.0.send((id, chat.to_owned()));
    }
}

/// Runs `work` with a thread beside it that shows the sign. The thread sleeps while no message is being answered. Its
/// failures are ignored: it is only a courtesy.
pub(super) fn beside(listening: &Listening, api: &Api, work: impl FnOnce(&Typing) -> Result<()>) -> Result<()> {
    let (sender, receiver) = mpsc::channel::<(Id, String)>();
    std::thread::scope(|scope| {
        let show = move || {
            let mut open: Vec<(Id, String, u32)> = Vec::new();
            loop {
                let next = if open.is_empty() {
                    receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
                } else {
                    receiver.recv_timeout(AGAIN)
                };
                match next {
                    Ok((id, chat)) => {
                        open.push((id, chat, 0));
                        if let Some(new) = open.last() {
                            act(listening, api, &new.1);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        open.retain(|(id, _, shown)| *shown < MOST && is_open(listening.workspace, id));
                        for (_, chat, shown) in &mut open {
                            *shown += 1;
                            act(listening, api, chat);
                        }
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        let thread = std::thread::Builder::new().name("typing".to_owned()).spawn_scoped(scope, show);
        let result = work(&Typing(sender));
        drop(thread);
        result
    })
}

fn act(listening: &Listening, api: &Api, chat: &str) {
    if pause::end(listening.workspace, listening.name).is_some() {
        return;
    }
    let Ok((chat, topic)) = Address::parse(&format!("{}:{chat}", listening.name)).and_then(|a| destination(&a)) else {
        return;
    };
    let mut body = json!({"chat_id": chat, "action": "typing"});
    if let Some(topic) = topic {
        body["message_thread_id"] = json!(topic);
    }
    let _ = api.call("sendChatAction", &body, LIMIT, Some(listening.stop));
}

/// Whether the event is still to be answered.
fn is_open(workspace: &Workspace, id: &Id) -> bool {
    locate::of(workspace, Mailbox::Inbox, id)
        .is_ok_and(|places| places.iter().any(|place| matches!(place.state_name(), "new" | "ready" | "run")))
}
