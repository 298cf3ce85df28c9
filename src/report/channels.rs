//! The state of the channels, as `claw channels` prints it.

use crate::core::channel::policy::Policy;
use crate::core::channel::settings::ChannelSettings;
use crate::core::event::address::Address;
use crate::core::fault::Result;
use crate::store::channel::listener_state::{self, ListenerCondition, ListenerState};
use crate::store::queue::listing;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use jiff::Timestamp;
use serde::Serialize;
use std::fs;

/// The state of a channel that only delivers.
const DELIVERS: &str = "delivers";

/// The state of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelReport {
    /// Its name: the part of an address before the colon. `exec:NAME` for a program that only delivers.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who may talk; missing if it only delivers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<&'static str>,
    /// The condition of its listener, or `delivers`.
    pub state: &'static str,
    /// The reason, if it does not listen.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Since when it is in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When its listener tries again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
    /// When the last message was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_in: Option<Timestamp>,
    /// When the last message was sent by its listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_out: Option<Timestamp>,
    /// Accepted messages.
    pub accepted: u64,
    /// Refused and skipped messages, of which nothing but the length is kept.
    pub refused: u64,
    /// Messages that wait to be sent.
    pub waiting: usize,
    /// Those of them that may have been sent already.
    pub unknown: usize,
    /// Messages that could not be sent, until they are retried or discarded.
    pub failed: usize,
}

impl ChannelReport {
    /// Whether the owner should look at it.
    #[must_use]
    pub fn is_troubled(&self) -> bool {
        let conditions = [
            ListenerCondition::Unreachable,
            ListenerCondition::Failed,
            ListenerCondition::CrashLoop,
            ListenerCondition::Misconfigured,
        ];
        conditions.iter().any(|condition| condition.name() == self.state) || self.unknown > 0
    }
}

/// The channels of the settings, by name, then the programs that only deliver.
///
/// # Errors
/// If `claw.yaml` is invalid or the outbox cannot be listed.
pub fn all(workspace: &Workspace) -> Result<Vec<ChannelReport>> {
    let config = workspace.config()?;
    let mut reports = Vec::new();
    for (name, settings) in &config.channels.named {
        reports.push(named(workspace, name, settings)?);
    }
    for name in config.channels.exec.keys() {
        let lane = Address::parse(&format!("exec:{name}")).map(|address| address.slug())?;
        let report = ChannelReport {
            name: format!("exec:{name}"),
            kind: "exec".to_owned(),
            policy: None,
            state: DELIVERS,
            ..counted(workspace, &|own| own == lane)?
        };
        reports.push(report);
    }
    Ok(reports)
}

fn named(workspace: &Workspace, name: &str, settings: &ChannelSettings) -> Result<ChannelReport> {
    let state = listener_state::read(workspace, name);
    let is_running = listener_state::has_process(workspace, name);
    let condition = if is_running { state.condition } else { state.condition.without_process() };
    let ListenerState { why, since, next_try, last_in, last_out, accepted, refused, .. } = state;
    let prefix = format!("{name}-");
    let policy = match settings.policy {
        Policy::Pairing => "pairing",
        Policy::Allow => "allow",
        Policy::Open => "open",
    };
    Ok(ChannelReport {
        name: name.to_owned(),
        kind: settings.kind_of(name).to_owned(),
        policy: Some(policy),
        state: condition.name(),
        why,
        since,
        next_try,
        last_in,
        last_out,
        accepted,
        refused,
        ..counted(workspace, &|lane| lane.starts_with(&prefix))?
    })
}

/// The messages of some lanes.
fn counted(workspace: &Workspace, is_own: &dyn Fn(&str) -> bool) -> Result<ChannelReport> {
    let (mut waiting, mut unknown, mut failed) = (0, 0, 0);
    for state in [State::Ready, State::Wait, State::Run, State::Failed] {
        for entry in listing::list(workspace, Mailbox::Outbox, state)?.iter().filter(|entry| is_own(&entry.lane)) {
            if state == State::Failed {
                failed += 1;
                continue;
            }
            waiting += 1;
            let receipt = fs::read_to_string(Mailbox::Outbox.receipt(workspace, &entry.id)).unwrap_or_default();
            let is_unknown = |line: &str| line.starts_with("begun") || line.starts_with("held");
            unknown += usize::from(receipt.lines().last().is_some_and(is_unknown));
        }
    }
    Ok(ChannelReport {
        name: String::new(),
        kind: String::new(),
        policy: None,
        state: DELIVERS,
        why: String::new(),
        since: None,
        next_try: None,
        last_in: None,
        last_out: None,
        accepted: 0,
        refused: 0,
        waiting,
        unknown,
        failed,
    })
}
