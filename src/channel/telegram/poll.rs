//! Long polling. The first poll has no offset; each next one acknowledges the updates whose events are durable.

use crate::channel::accept::Accepted;
use crate::channel::listening::Listening;
use crate::channel::telegram::api::{Api, CallFault, RefusedCall};
use crate::channel::telegram::refusal::{Consequence, consequence};
use crate::channel::telegram::typing::{self, Typing};
use crate::channel::telegram::{connect, fetch, keep_name, mark};
use crate::core::channel::settings::Edits;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::telegram::update::{self, BotAccount};
use crate::store::channel::pause;
use serde_json::{Value, json};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How long Telegram waits for an update, in seconds.
const WAIT: u64 = 50;
/// The longest time of a poll beside that wait.
const BESIDE: Duration = Duration::from_secs(20);
/// The wait after a conflict with another poller, in seconds: longer than most polls.
const CONFLICT: i64 = 35;
/// The longest wait between two attempts, in seconds.
const MAX_BACK_OFF: i64 = 300;
/// The kinds of updates that are asked for.
const KINDS: [&str; 2] = ["message", "edited_message"];

pub(super) fn run(listening: &Listening) -> Result<()> {
    let (workspace, name, settings) = (listening.workspace, listening.name, listening.settings);
    let api = connect(workspace, name, settings)?;
    let mut poller = Poller { listening, api: &api, bot: None, offset: None, failures: 0 };
    typing::beside(listening, &api, |typing| {
        loop {
            match poller.poll(typing) {
                Ok(Polled::Stopped) => return Ok(()),
                Ok(Polled::Updates(0)) if listening.once => return Ok(()),
                Ok(Polled::Updates(_)) => poller.failures = 0,
                Err(Trouble::Fatal(fault)) => return Err(fault),
                Err(Trouble::Passing(fault, _)) if listening.once => return Err(fault),
                Err(Trouble::Passing(fault, wait)) => {
                    poller.failures += 1;
                    let wait = wait.unwrap_or_else(|| (1 << poller.failures.min(9)).min(MAX_BACK_OFF));
                    let next = workspace.world.now().plus_seconds(wait);
                    listening.unreachable(&fault, next);
                    if listening.wait_until(next)? {
                        return Ok(());
                    }
                }
            }
        }
    })
}

/// The fault of a wrong token.
pub(super) fn wrong_token(name: &str, refused: &RefusedCall) -> Fault {
    Fault::config(format!("channels.{name}: Telegram does not know the token ({})", refused.description))
        .hint("ask @BotFather for a new one, and write it to the token's file")
}

/// The bot of this connection.
pub(super) fn who_am_i(api: &Api, stop: Option<BorrowedFd>) -> std::result::Result<BotAccount, CallFault> {
    let me = api.call("getMe", &json!({}), BESIDE, stop)?;
    Ok(BotAccount {
        id: me["id"].as_i64().unwrap_or_default(),
        username: me["username"].as_str().unwrap_or_default().to_owned(),
    })
}

enum Polled {
    /// So many updates have come.
    Updates(usize),
    /// The listener must end.
    Stopped,
}

enum Trouble {
    /// The listener ends.
    Fatal(Fault),
    /// It tries again, after this many seconds or after a back-off.
    Passing(Fault, Option<i64>),
}

impl From<Fault> for Trouble {
    /// A fault of this machine, or of the workspace.
    fn from(fault: Fault) -> Self {
        match fault.kind {
            Kind::Config => Self::Fatal(fault),
            _ => Self::Passing(fault, None),
        }
    }
}

struct Poller<'a> {
    listening: &'a Listening<'a>,
    api: &'a Api,
    bot: Option<BotAccount>,
    /// The number after the last update whose event is durable, or that was skipped.
    offset: Option<i64>,
    /// Failures in a row.
    failures: u32,
}

impl Poller<'_> {
    fn poll(&mut self, typing: &Typing) -> std::result::Result<Polled, Trouble> {
        let listening = self.listening;
        if is_stopped(listening) {
            return Ok(Polled::Stopped);
        }
        let bot = match &self.bot {
            Some(bot) => bot.clone(),
            None => self.identify()?,
        };
        let wait = if listening.once { 0 } else { WAIT };
        let mut body = json!({"timeout": wait, "allowed_updates": KINDS});
        if let Some(offset) = self.offset {
            body["offset"] = json!(offset);
        }
        listening.began_poll();
        let answer = self.api.call("getUpdates", &body, Duration::from_secs(wait) + BESIDE, Some(listening.stop));
        listening.ended_poll();
        let updates = match answer {
            Ok(Value::Array(updates)) => updates,
            Ok(_) => {
                return Err(Trouble::Passing(Fault::new(Kind::Unavailable, "Telegram: the updates are no list"), None));
            }
            Err(_) if is_stopped(listening) => return Ok(Polled::Stopped),
            Err(fault) => return Err(self.trouble(fault)),
        };
        listening.connected();
        // It has done its work. After a quiet week the numbers begin again anywhere: an old offset would acknowledge
        // messages that no poll has brought.
        self.offset = None;
        for update in &updates {
            self.handle(update, &bot, typing)?;
        }
        if !updates.is_empty() && self.offset.is_none() {
            // The same ones would come at once again, without an end.
            let why = "Telegram: no update has a number, so that none can be acknowledged";
            return Err(Trouble::Passing(Fault::new(Kind::Unavailable, why), None));
        }
        Ok(Polled::Updates(updates.len()))
    }

    fn identify(&mut self) -> std::result::Result<BotAccount, Trouble> {
        let bot = who_am_i(self.api, Some(self.listening.stop)).map_err(|fault| self.trouble(fault))?;
        keep_name(self.listening.workspace, self.listening.name, &bot)?;
        self.bot = Some(bot.clone());
        Ok(bot)
    }

    /// Makes an event of an update, and acknowledges it with the next poll.
    fn handle(&mut self, update: &Value, bot: &BotAccount, typing: &Typing) -> std::result::Result<(), Trouble> {
        let listening = self.listening;
        match update::message(update, bot, listening.settings.edits == Edits::New) {
            Some((mut inbound, files)) => {
                if !files.is_empty() {
                    fetch::attach(listening, self.api, &mut inbound, &files)?;
                }
                let (chat, sender) = (inbound.reply_to.clone(), inbound.sender.clone());
                if let Accepted::Published(id) = listening.accept(inbound)? {
                    mark(listening.workspace, listening.name, &sender, true);
                    typing.begin(id, &chat);
                }
            }
            None => listening.skip(0),
        }
        // An update without a number cannot be acknowledged by itself; the next one does it.
        if let Some(number) = update::number(update) {
            let next = number.saturating_add(1);
            self.offset = Some(self.offset.map_or(next, |offset| offset.max(next)));
        }
        Ok(())
    }

    fn trouble(&self, fault: CallFault) -> Trouble {
        let refused = match fault {
            CallFault::Unsent(fault) | CallFault::Unknown(fault) => return fault.into(),
            CallFault::Refused(refused) => refused,
        };
        let name = self.listening.name;
        let passing = |message: String, wait| Trouble::Passing(Fault::new(Kind::Unavailable, message), wait);
        match consequence(&refused) {
            Consequence::WrongToken => Trouble::Fatal(wrong_token(name, &refused)),
            Consequence::Webhook => passing(self.webhook(), Some(CONFLICT)),
            Consequence::OtherPoller => passing(
                "another program polls Telegram with this bot's token: one of the two must end".to_owned(),
                Some(CONFLICT),
            ),
            Consequence::Pause => {
                let seconds = refused.retry_after.unwrap_or(5).clamp(1, 86_400);
                // Deliveries of this account pause, too.
                if let Err(fault) = pause::begin(self.listening.workspace, name, seconds) {
                    return fault.into();
                }
                let seconds = seconds.cast_signed();
                passing(format!("Telegram: {}", refused.description), Some(seconds))
            }
            _ => passing(format!("Telegram: {}", refused.description), None),
        }
    }

    /// The state and the way out while a webhook is set.
    fn webhook(&self) -> String {
        let info = self.api.call("getWebhookInfo", &json!({}), BESIDE, Some(self.listening.stop)).unwrap_or_default();
        let waiting = info["pending_update_count"].as_u64().unwrap_or_default();
        format!(
            "a webhook is set for this bot, so that Telegram answers no poll; {waiting} messages wait. The method \
             deleteWebhook without drop_pending_updates removes it and keeps them"
        )
    }
}

/// Whether the listener must end.
fn is_stopped(listening: &Listening) -> bool {
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(listening.stop, rustix::event::PollFlags::IN)];
    let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&none)).is_ok_and(|ready| ready > 0)
}
