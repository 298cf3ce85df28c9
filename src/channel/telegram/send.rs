//! Sending an answer: each part is one `sendMessage` with its entities.

use crate::channel::parts::{self, PartResult};
use crate::channel::telegram::api::{Api, CallFault, RefusedCall};
use crate::channel::telegram::refusal::{Consequence, consequence};
use crate::channel::telegram::{connect, destination};
use crate::channel::{Delivery, telegram};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::telegram::cut::cut;
use crate::core::telegram::formatted::{FormattedText, MAX_UNITS, units};
use crate::core::telegram::render::render;
use crate::store::channel::pace::{self, Rate};
use crate::store::channel::{FOLDER, pause};
use crate::store::fs::At;
use crate::store::workspace::Workspace;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The longest time of one request.
const LIMIT: Duration = Duration::from_secs(30);
/// The line before a part that may be a repetition.
const REPEATED: &str = "(possibly repeated)";
/// The message for an answer without visible text.
const NOTHING: &str = "(no text)";
/// The pause in seconds where the service gives none.
const PAUSE: u64 = 5;

/// Messages of one bot that the service takes, over all chats.
const ACCOUNT: Rate = Rate { count: 30, seconds: 1 };
/// Messages to one chat: one each second, with short bursts.
const CHAT: Rate = Rate { count: 10, seconds: 10 };
/// Messages to one group. Source: core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this.
const GROUP: Rate = Rate { count: 20, seconds: 60 };

pub(super) fn send(delivery: &mut Delivery) -> Result<()> {
    let (workspace, address) = (delivery.workspace, delivery.event.reply_to.clone());
    let name = address.channel();
    let config = workspace.config()?;
    let Some((settings, _)) = config.channels.get(name) else {
        return Err(Fault::data(format!("claw.yaml has no channel `{name}`")));
    };
    if !workspace.is_trusted {
        return Err(
            Fault::config("channels are not used: this workspace is not trusted").hint("run `claw trust` in it")
        );
    }
    let (chat, topic) = destination(&address)?;
    let api = connect(workspace, name, settings)?;
    // Every part has room for the mark.
    let most = MAX_UNITS - units(REPEATED) - 1;
    let messages = |text: &str| {
        let parts = cut(&render(text), most);
        if parts.is_empty() {
            vec![FormattedText { text: NOTHING.to_owned(), ..FormattedText::default() }]
        } else {
            parts
        }
    };
    let destination = Destination { workspace, name, chat, topic };
    let one = |part: FormattedText, is_repeated: bool| {
        destination.send(&api, &if is_repeated { part.behind(REPEATED) } else { part })
    };
    parts::send(delivery, settings.unknown, &messages, &|| destination.wait(), &one)
}

struct Destination<'a> {
    workspace: &'a Workspace,
    name: &'a str,
    chat: i64,
    topic: Option<i64>,
}

impl Destination<'_> {
    /// Waits for the chat's turn: a refusal for haste would pause the whole account.
    fn wait(&self) -> Result<()> {
        pause::check(self.workspace, self.name)?;
        let own: &[Rate] = if self.chat < 0 { &[CHAT, GROUP] } else { &[CHAT] };
        pace::keep(self.workspace, self.name, ACCOUNT, &self.chat.to_string(), own)?;
        // A pause may have begun meanwhile.
        pause::check(self.workspace, self.name)
    }

    fn send(&self, api: &Api, part: &FormattedText) -> PartResult {
        let mut body = json!({
            "chat_id": self.moved_to().unwrap_or(self.chat),
            "text": part.text,
            "entities": part.entities,
            "link_preview_options": {"is_disabled": true},
        });
        if let Some(topic) = self.topic {
            body["message_thread_id"] = json!(topic);
        }
        let mut sent = api.call("sendMessage", &body, LIMIT, None);
        // A group that has become a supergroup has another number.
        if let Err(CallFault::Refused(RefusedCall { migrate_to: Some(chat), .. })) = sent {
            if let Err(fault) = self.remember_move(chat) {
                return PartResult::NotSent(fault);
            }
            body["chat_id"] = json!(chat);
            sent = api.call("sendMessage", &body, LIMIT, None);
        }
        match sent {
            Ok(message) => PartResult::Sent(message_id(&message)),
            Err(CallFault::Unsent(fault)) => PartResult::NotSent(fault),
            Err(CallFault::Unknown(fault)) => PartResult::Unknown(fault),
            // The service has failed on its way, perhaps behind the message.
            Err(CallFault::Refused(refused)) if refused.code >= 500 => {
                PartResult::Unknown(Fault::new(Kind::Unavailable, format!("Telegram: {}", refused.description)))
            }
            Err(CallFault::Refused(refused)) => PartResult::NotSent(self.refused(&refused)),
        }
    }

    fn refused(&self, refused: &RefusedCall) -> Fault {
        let message = format!("Telegram: {}", refused.description);
        match consequence(refused) {
            Consequence::WrongToken => telegram::poll::wrong_token(self.name, refused),
            Consequence::Pause => {
                let seconds = refused.retry_after.unwrap_or(PAUSE).max(1);
                if let Err(fault) = pause::begin(self.workspace, self.name, seconds) {
                    return fault;
                }
                Fault::new(Kind::Later, message).after(Some(seconds))
            }
            Consequence::Unreachable => {
                telegram::mark(self.workspace, self.name, &self.chat.to_string(), false);
                Fault::new(Kind::Failed, message).hint(format!(
                    "{}:{} cannot be written to: it has blocked the bot, or the bot may not write there",
                    self.name, self.chat
                ))
            }
            Consequence::Permanent | Consequence::Moved => Fault::new(Kind::Failed, message),
            Consequence::Later | Consequence::Webhook | Consequence::OtherPoller => {
                Fault::new(Kind::Unavailable, message)
            }
        }
    }

    /// The file with the new number of the chat.
    fn move_file(&self) -> PathBuf {
        self.workspace.path(FOLDER).join(self.name).join(format!("moved{}", self.chat))
    }

    fn moved_to(&self) -> Option<i64> {
        fs::read_to_string(self.move_file()).ok()?.trim().parse().ok()
    }

    fn remember_move(&self, chat: i64) -> Result<()> {
        let path = self.move_file();
        self.workspace.make_dir(path.parent().unwrap_or(&path), 2)?;
        fs::write(&path, format!("{chat}\n")).at("write", &path)
    }
}

fn message_id(message: &Value) -> String {
    message["message_id"].as_i64().map_or_else(|| "?".to_owned(), |id| id.to_string())
}
