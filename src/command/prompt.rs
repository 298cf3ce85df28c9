//! `claw prompt AGENT`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::context::prompt::{Layer, join};
use crate::core::event::EventKind;
use crate::core::event::address::Address;
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

/// Print what an agent is told before the conversation: system prompt and tools
///
/// On stdout stands exactly what would be sent now: the prompt, a line `--- tools`, and each tool as a
/// line of JSON. What each layer costs goes to stderr; tokens are estimated, only the provider knows.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Who is told
    agent: String,
    /// Where the answer would go [default: this terminal]
    #[arg(long, value_name = "ADDRESS")]
    reply_to: Option<String>,
    /// In which session [default: the one of that place]
    #[arg(short, long)]
    session: Option<String>,
    /// What would be answered: message, dispatch, cron, heartbeat, …
    #[arg(long, default_value = "message")]
    kind: String,
    /// Print only what each layer costs
    #[arg(long, conflicts_with = "json")]
    layers: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Prints what would be sent, and what each layer costs.
///
/// # Errors
/// `Data` where there is no such agent, `Usage` where there is no such kind.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    let agent = definitions::agent(&workspace, &args.agent)?;
    let tools = tool::offered(&workspace, &agent)?;
    let reply_to = args.reply_to.as_deref().map_or_else(|| workspace.local_user(), Address::parse)?;
    let session = match &args.session {
        Some(name) => session_name::named(name, Some(&agent.id), &agent.id)?,
        None => session_name::at(&agent.id, &reply_to),
    };
    let now = workspace.world.now().timestamp().to_zoned(world::zone());
    let moment = PromptContext { now: &now, session: &session, kind: kind(&args.kind)?, reply_to: &reply_to };
    let layers = prompt::layers(&workspace, &agent, &tools, &moment)?;
    let (system, stable) = join(&layers);
    if args.json {
        out::json(&json!({
            "agent": agent.id,
            "session": session,
            "model": workspace.config()?.resolve_model(&agent, None)?.name,
            "system": system,
            "system_stable": stable,
            "tools": tools.iter().map(|tool| &tool.spec).collect::<Vec<_>>(),
            "layers": rows(&layers, &tools).iter().map(LayerCost::json).collect::<Vec<_>>(),
        }))?;
    } else if args.layers {
        for line in table(&rows(&layers, &tools)) {
            out::line(&line)?;
        }
    } else {
        out::line(&system)?;
        if !tools.is_empty() {
            out::line("--- tools")?;
        }
        for tool in &tools {
            out::json(&tool.spec)?;
        }
        for line in table(&rows(&layers, &tools)) {
            out::aside(&line);
        }
        untrusted(&workspace);
    }
    Ok(0)
}

fn untrusted(workspace: &Workspace) {
    if !workspace.is_trusted {
        workspace.world.say("the workspace is not trusted, so no tools are offered in it (claw trust)");
    }
}

fn kind(text: &str) -> Result<EventKind> {
    EventKind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
        let all = EventKind::ALL.map(EventKind::name);
        let fault = Fault::new(Kind::Usage, format!("there is no kind `{}` of event", text.escape_debug()));
        match nearest(text, all.into_iter()) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.hint(format!("there are: {}", all.join(", "))),
        }
    })
}

/// What one layer costs.
struct LayerCost {
    name: String,
    is_stable: bool,
    characters: usize,
    tokens: usize,
}

impl LayerCost {
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

fn rows(layers: &[Layer], tools: &[Tool]) -> Vec<LayerCost> {
    let mut rows: Vec<LayerCost> =
        layers.iter().map(|layer| LayerCost::new(layer.name, layer.is_stable, &layer.text)).collect();
    let specs: Vec<String> = tools.iter().filter_map(|tool| serde_json::to_string(&tool.spec).ok()).collect();
    if !specs.is_empty() {
        rows.push(LayerCost::new(format!("{} tools", specs.len()), true, &specs.concat()));
    }
    rows
}

fn table(rows: &[LayerCost]) -> Vec<String> {
    let mut lines = vec![format!("{:<14} {:>10} {:>9}", "layer", "characters", "~tokens")];
    for row in rows {
        let mark = if row.is_stable { "" } else { "  (new in every turn)" };
        lines.push(format!("{:<14} {:>10} {:>9}{mark}", row.name, row.characters, row.tokens));
    }
    let sum = |of: fn(&LayerCost) -> usize| rows.iter().map(of).sum::<usize>();
    lines.push(format!("{:<14} {:>10} {:>9}  (estimated)", "all", sum(|row| row.characters), sum(|row| row.tokens)));
    lines
}
