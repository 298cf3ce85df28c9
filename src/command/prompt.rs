//! `claw prompt AGENT`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::context::prompt::{Layer, join};
use crate::core::event::EventKind;
use crate::core::event::address::Address;
use crate::core::event::origin::SenderClass;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::tokens;
use crate::core::text::problem::nearest;
use crate::stage::turn::prompt::{self, PromptContext};
use crate::store::agent::definitions;
use crate::store::workspace::Workspace;
use crate::tool::{self, Tool};
use crate::world;
use serde_json::{Value, json};

/// Print an agent's system prompt and tools
///
/// Stdout has exactly the text that would be sent now: the prompt, a line `--- tools`, and each tool as a line of JSON.
/// The size of each layer goes to stderr; its tokens are estimated.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent
    agent: String,
    /// The destination of the answer [default: this terminal]
    #[arg(long, value_name = "ADDRESS")]
    reply_to: Option<String>,
    /// The session [default: the one of the destination]
    #[arg(short, long)]
    session: Option<String>,
    /// The kind of event to answer: message, dispatch, cron, heartbeat, …
    #[arg(long, default_value = "message")]
    kind: String,
    /// The class of the sender: owner, known or unknown
    #[arg(long, value_name = "CLASS", default_value = "owner")]
    sender: String,
    /// Print only the size of each layer
    #[arg(long, conflicts_with = "json")]
    layers: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Prints the prompt, the tools and the size of each layer.
///
/// # Errors
/// `Data` if the agent does not exist, `Usage` for an unknown kind.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    let agent = definitions::agent(&workspace, &args.agent)?;
    let class = class(&args.sender)?;
    let kind = kind(&args.kind)?;
    let tools = tool::offered(&workspace, &agent, class, kind)?;
    let reply_to = args.reply_to.as_deref().map_or_else(|| workspace.local_user(), Address::parse)?;
    let session = match &args.session {
        Some(name) => session_name::qualify(name, Some(&agent.id), &agent.id)?,
        None => session_name::at(&agent.id, &reply_to),
    };
    let now = workspace.world.now().timestamp().to_zoned(world::zone());
    let context = PromptContext { now: &now, began: &now, session: &session, kind, reply_to: &reply_to, class };
    let layers = prompt::layers(&workspace, &agent, &tools, &context)?;
    let (system, stable) = join(&layers);
    if args.json {
        out::json(&json!({
            "agent": agent.id,
            "session": session,
            "model": workspace.config()?.resolve_model(&agent, None)?.name,
            "system": system,
            "system_stable": stable,
            "tools": tools.iter().map(|tool| &tool.spec).collect::<Vec<_>>(),
            "layers": rows(&layers, &tools).iter().map(LayerSize::json).collect::<Vec<_>>(),
        }))?;
    } else if args.layers {
        for line in table(&rows(&layers, &tools)) {
            out::line(&line)?;
        }
    } else {
        out::content(&format!("{system}\n"))?;
        if !tools.is_empty() {
            out::line("--- tools")?;
        }
        for tool in &tools {
            out::json(&tool.spec)?;
        }
        for line in table(&rows(&layers, &tools)) {
            out::stderr_line(&line);
        }
        untrusted(&workspace);
    }
    Ok(0)
}

fn untrusted(workspace: &Workspace) {
    if !workspace.is_trusted {
        workspace.world.say("the workspace is not trusted, so it offers no tools (claw trust)");
    }
}

fn kind(text: &str) -> Result<EventKind> {
    EventKind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
        let all = EventKind::ALL.map(EventKind::name);
        let fault = Fault::new(Kind::Usage, format!("unknown kind of event `{}`", text.escape_debug()));
        match nearest(text, all.into_iter()) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.hint(format!("kinds: {}", all.join(", "))),
        }
    })
}

fn class(text: &str) -> Result<SenderClass> {
    SenderClass::ALL.into_iter().find(|class| class.name() == text).ok_or_else(|| {
        let fault = Fault::new(Kind::Usage, format!("unknown class of senders `{}`", text.escape_debug()));
        fault.hint(format!("classes: {}", SenderClass::ALL.map(SenderClass::name).join(", ")))
    })
}

/// The size of one layer.
struct LayerSize {
    name: String,
    is_stable: bool,
    characters: usize,
    tokens: usize,
}

impl LayerSize {
    fn new(name: impl Into<String>, is_stable: bool, text: &str) -> Self {
        Self { name: name.into(), is_stable, characters: text.chars().count(), tokens: tokens::estimate(text) }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "stable": self.is_stable,
            "characters": self.characters,
            "estimated_tokens": self.tokens,
        })
    }
}

fn rows(layers: &[Layer], tools: &[Tool]) -> Vec<LayerSize> {
    let mut rows: Vec<LayerSize> =
        layers.iter().map(|layer| LayerSize::new(layer.name, layer.is_stable, &layer.text)).collect();
    let specs: Vec<String> = tools.iter().filter_map(|tool| serde_json::to_string(&tool.spec).ok()).collect();
    if !specs.is_empty() {
        rows.push(LayerSize::new(format!("{} tools", specs.len()), true, &specs.concat()));
    }
    rows
}

fn table(rows: &[LayerSize]) -> Vec<String> {
    let mut lines = vec![format!("{:<14} {:>10} {:>9}", "layer", "characters", "~tokens")];
    for row in rows {
        let mark = if row.is_stable { "" } else { "  (changes every turn)" };
        lines.push(format!("{:<14} {:>10} {:>9}{mark}", row.name, row.characters, row.tokens));
    }
    let sum = |of: fn(&LayerSize) -> usize| rows.iter().map(of).sum::<usize>();
    lines.push(format!("{:<14} {:>10} {:>9}  (estimated)", "all", sum(|row| row.characters), sum(|row| row.tokens)));
    lines
}
