//! What a turn begins with: the layers of the system prompt, made of the workspace's files as they are now.
//! `claw prompt` shows the same that a model is sent.

use crate::channel;
use crate::core::context::prompt::{self, Layer, Sources};
use crate::core::definition::Agent;
use crate::core::event::EventKind;
use crate::core::event::address::Address;
use crate::core::fault::Result;
use crate::core::text::truncate::ListItem;
use crate::store::agent::definitions;
use crate::store::skills;
use crate::store::skills::SkillStatus;
use crate::store::workspace::Workspace;
use crate::tool::{self, Tool};
use jiff::Zoned;

/// The turn that a prompt is for.
#[derive(Clone, Copy, Debug)]
pub struct PromptContext<'a> {
    /// The present, in the owner's zone.
    pub now: &'a Zoned,
    /// The session's name.
    pub session: &'a str,
    /// What kind of event is answered.
    pub kind: EventKind,
    /// Where the answer goes.
    pub reply_to: &'a Address,
}

/// The layers for `agent` with these tools. Skills are shown to whom the tool for them is offered; one whose file
/// is wrong is passed over, with a word.
///
/// # Errors
/// `Config` where `claw.yaml` is bad or the guide cannot be read; where the machine cannot read what there is.
pub fn layers(workspace: &Workspace, agent: &Agent, tools: &[Tool], moment: &PromptContext) -> Result<Vec<Layer>> {
    let learns = tools.iter().any(|tool| tool.spec.name == tool::SKILL);
    Ok(prompt::layers(&Sources {
        agent,
        guide: &definitions::guide(workspace)?,
        agents: &agents(workspace, agent)?,
        skills: &if learns { offered(workspace)? } else { Vec::new() },
        crons: &crons(workspace)?,
        now: moment.now,
        session: moment.session,
        kind: moment.kind,
        reply_to: moment.reply_to,
        channel_hint: channel::hint(moment.reply_to),
        root: &workspace.real_root().display().to_string(),
        limits: workspace.config()?.prompt,
    }))
}

fn agents(workspace: &Workspace, own: &Agent) -> Result<Vec<ListItem>> {
    let others = definitions::agents(workspace)?.into_iter().filter_map(|(_, read)| read.ok());
    let item = |agent: &Agent| {
        let own = if agent.id == own.id { " (you)" } else { "" };
        ListItem::new(format!("{}{own}", agent.id), &agent.description)
    };
    Ok(others.map(|agent| item(&agent)).collect())
}

fn offered(workspace: &Workspace) -> Result<Vec<ListItem>> {
    let item = |standing: SkillStatus| {
        if let Err(problem) = &standing.read {
            workspace.world.say(&format!("skill `{}` is not offered: {problem}", standing.id));
        }
        standing.offered().map(|skill| ListItem::new(skill.id.clone(), &skill.description))
    };
    Ok(skills::all(workspace)?.into_iter().filter_map(item).collect())
}

fn crons(workspace: &Workspace) -> Result<Vec<ListItem>> {
    let mut items = Vec::new();
    for id in definitions::folders(workspace, "crons")? {
        // What is wrong with its file `claw check` says.
        let Ok(cron) = definitions::cron(workspace, &id)? else { continue };
        items.push(ListItem::new(format!("{id} ({}, {})", cron.schedule, cron.agent), &cron.description));
    }
    Ok(items)
}
