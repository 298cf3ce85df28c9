//! One short call to a model that is being set up, before anything is written.

use crate::core::config::resolved_model::ResolvedModel;
use crate::core::definition::Agent;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::{Message, Request};
use crate::stage::turn::model_call::meter::MeteredCall;
use crate::store::lock::Lane;
use crate::store::session::stop::CancelToken;
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;
use crate::store::workspace::mailbox::Mailbox;
use jiff::SignedDuration;
use std::time::{Duration, Instant};

/// The lane of these calls, and the agent to which the usage counts.
const LANE: &str = "setup";
/// The longest wait for the whole answer.
const TIMEOUT: SignedDuration = SignedDuration::from_secs(60);

/// A call that was answered.
#[derive(Debug)]
pub struct TrialCall {
    /// The answer.
    pub answer: String,
    /// Its duration.
    pub took: Duration,
}

/// Asks the model for one word. The usage counts like that of any call.
///
/// # Errors
/// Why the model does not answer.
pub fn call(workspace: &Workspace, chosen: &ResolvedModel) -> Result<TrialCall> {
    let event = clock::next_id(workspace)?;
    let lane = Lane::attempt(workspace, Mailbox::Inbox, LANE)?;
    let lane = lane.ok_or_else(|| Fault::new(Kind::Later, "another process tries a model; run the command again"))?;
    let mut chosen = chosen.clone();
    chosen.model.timeout.get_or_insert(TIMEOUT);
    chosen.model.first_token_timeout.get_or_insert(TIMEOUT);
    let request = Request {
        model: chosen.model.model.clone(),
        system: "Answer with one word.".to_owned(),
        system_stable: 0,
        messages: vec![Message::user("Answer with the word ready.")],
        tools: Vec::new(),
        must_answer: false,
        temperature: None,
        max_tokens: chosen.model.max_tokens,
        schema: None,
    };
    let agent = Agent::default();
    let metered = MeteredCall {
        workspace,
        event: &event,
        step: 1,
        lane: &lane,
        agent: &agent,
        chosen: &chosen,
        request: &request,
        may_recall: false,
        is_interactive: true,
    };
    let began = Instant::now();
    let (reply, _) = metered.send(&CancelToken::open(workspace, &event, []), &mut |_| {})?;
    lane.release();
    Ok(TrialCall { answer: reply?.content, took: began.elapsed() })
}
