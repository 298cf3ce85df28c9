//! Sending a message: in parts, each with a receipt before and after its request, and with a nonce that Discord takes only
//! once.

use crate::cut;
use crate::exit::Exit;
use crate::lines::SendLine;
use crate::output::Output;
use crate::receipt::{Receipt, Step};
use crate::rest::{Failure, Rest};
use crate::store::Store;
use crate::wire::{Channel, Snowflake, now_millis};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The longest wait for a rate limit within one attempt; claw waits longer ones.
const PATIENCE: Duration = Duration::from_secs(20);
/// The time until a part whose fate is unknown is repeated: well within the window of its nonce.
const REPEAT: Duration = Duration::from_secs(2);
/// Discord's flag: no previews of links.
const SUPPRESS_EMBEDS: u64 = 4;

/// Sends messages.
#[derive(Clone)]
pub struct Sender {
    /// The API.
    pub rest: Arc<Rest>,
    /// The receipts.
    pub store: Arc<Store>,
    /// The answers.
    pub output: Output,
}

/// The end of an attempt; the answer is written.
pub struct Attempt {
    /// The destination, as claw named it.
    pub to: String,
    /// The direct conversation with this user that it went to.
    pub opened: Option<(Snowflake, Snowflake)>,
    /// The program must end.
    pub exit: Option<Exit>,
}

/// The reason for which a message is not sent.
enum Trouble {
    Failed(String),
    Later(String, Duration),
    Exit(Exit),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unauthorized => Self::Exit(Exit::wrong_token()),
            Failure::Refused(_, why) => Self::Failed(why),
            Failure::Later(why, wait) => Self::Later(why, wait),
            Failure::Unknown(why) => Self::Later(why, REPEAT),
        }
    }
}

impl Sender {
    /// Sends a message and writes the answer. `known`: the channel, if the destination is a known place.
    pub async fn deliver(self, line: SendLine, known: Option<Snowflake>) -> Attempt {
        let mut attempt = Attempt { to: line.to.clone(), opened: None, exit: None };
        let result = match self.channel(&line.to, known, &mut attempt.opened).await {
            Ok(channel) => self.parts(&line, channel).await,
            Err(trouble) => Err(trouble),
        };
        let why = |why: &str| format!("Discord {}: {}", line.to, self.output.redact(why));
        let answer = match result {
            Ok(ids) => json!({"sent": line.id, "receipt": ids}),
            Err(Trouble::Failed(reason)) => json!({"failed": line.id, "why": why(&reason)}),
            Err(Trouble::Later(reason, wait)) => {
                json!({"failed": line.id, "why": why(&reason), "retry_after": wait.as_secs_f64().ceil().max(1.0)})
            }
            Err(Trouble::Exit(exit)) => {
                attempt.exit = Some(exit.clone());
                json!({"failed": line.id, "why": why(&exit.why), "retry_after": 60.0})
            }
        };
        self.output.line(&answer);
        attempt
    }

    /// The channel of a destination: a channel, `CHANNEL/THREAD`, or a user.
    async fn channel(
        &self,
        to: &str,
        known: Option<Snowflake>,
        opened: &mut Option<(Snowflake, Snowflake)>,
    ) -> Result<Snowflake, Trouble> {
        if let Some(known) = known {
            return Ok(known);
        }
        let id = Snowflake::parse(to.rsplit_once('/').map_or(to, |(_, thread)| thread));
        let id = id.ok_or_else(|| Trouble::Failed("it is neither the id of a user nor of a channel".to_owned()))?;
        match self.rest.get("GET channel", id.0, &format!("/channels/{id}")).await {
            Ok(channel) => {
                let channel: Option<Channel> = serde_json::from_value(channel).ok();
                let user = channel.filter(Channel::is_direct).and_then(|channel| Some(channel.recipients?.first()?.id));
                *opened = user.map(|user| (id, user));
                Ok(id)
            }
            // It is no channel: a user.
            Err(Failure::Refused(404, ..)) if !to.contains('/') => {
                let body = json!({"recipient_id": id.to_string()});
                let channel = self.rest.post("POST direct channel", 0, "/users/@me/channels", &body, PATIENCE).await?;
                let channel: Channel = serde_json::from_value(channel)
                    .map_err(|_| Trouble::Later("Discord's answer is not a channel".to_owned(), REPEAT))?;
                *opened = Some((channel.id, id));
                Ok(channel.id)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Sends the parts that are not sent yet. Returns their ids.
    async fn parts(&self, line: &SendLine, channel: Snowflake) -> Result<String, Trouble> {
        let stored = self.store.receipt(&line.id).as_ref().and_then(Receipt::read);
        let mut receipt = stored.unwrap_or_else(|| Receipt::new(cut::parts(&line.text)));
        if receipt.count() == 0 {
            return Err(Trouble::Failed("it has no text".to_owned()));
        }
        let save = |receipt: &Receipt| self.store.save_receipt(&line.id, &receipt.stored()).map_err(Trouble::Exit);
        loop {
            let step = receipt.next(&line.id, now_millis());
            if !matches!(step, Step::Done(_)) {
                // Before the request: after a kill, `begun` says that it may have been sent.
                save(&receipt)?;
            }
            let (part, text, nonce) = match step {
                Step::Done(ids) => return Ok(ids),
                Step::Hold { part } => {
                    let part = part + 1;
                    let of = receipt.count();
                    return Err(Trouble::Failed(format!(
                        "part {part} of {of} may have been sent, too long ago to ask Discord; look there before you send it again"
                    )));
                }
                Step::Send { part, text, nonce } => (part, text, nonce),
            };
            let body = json!({
                "content": text,
                "nonce": nonce,
                "enforce_nonce": true,
                "allowed_mentions": {"parse": []},
                "flags": SUPPRESS_EMBEDS,
            });
            let path = format!("/channels/{channel}/messages");
            match self
                .rest
                .post("POST message", channel.0, &path, &body, PATIENCE)
                .await
                .and_then(|message| id(&message))
            {
                Ok(id) => {
                    receipt.sent(part, id);
                    save(&receipt)?;
                }
                Err(failure) => {
                    if !matches!(failure, Failure::Unknown(_)) {
                        receipt.not_sent(part);
                        save(&receipt)?;
                    }
                    return Err(failure.into());
                }
            }
        }
    }
}

fn id(message: &Value) -> Result<String, Failure> {
    let id = message["id"].as_str().map(ToOwned::to_owned);
    id.ok_or_else(|| Failure::Unknown("Discord's answer has no id".to_owned()))
}
