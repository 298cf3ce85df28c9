//! `claw setup`: a model of a service, a server or a program, with its key, tried by one call.

mod questions;

use crate::command::Here;
use crate::command::terminal::style::spinner::Spinner;
use crate::command::terminal::{change, dialog, exchange, out};
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::config::{self, FILE, OFFLINE, edit};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::services::{self, COMPATIBLE, OLLAMA, PROGRAM, SERVICES, Service};
use crate::core::model::settings::Model;
use crate::core::text::problem::nearest;
use crate::provider;
use crate::stage::trial;
use crate::store::workspace::{Workspace, key_file, settings_file};
use serde_yaml::Value;

/// Configure a model: choose a provider, give its key, try it, and write it to claw.yaml
///
/// On a terminal the missing values are asked for. The key is not shown while it is typed; it goes into a file that only
/// you can read (.secrets/NAME), or claw.yaml names an environment variable. The model is called once before anything is
/// written, and the change of claw.yaml is shown. A second run changes the same model.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claw setup
  claw setup --provider anthropic --key-env ANTHROPIC_API_KEY
  pass openai | claw setup --provider openai --key-stdin
  claw setup --provider compatible --api-base http://127.0.0.1:8000/v1 --model qwen3
  claw setup --provider program --command ./tools/think --command --quietly")]
pub struct Args {
    /// The provider: openai, anthropic, gemini, openrouter, groq, mistral, deepseek, ollama, compatible, program
    #[arg(short, long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// The provider's name of the model [default: one of the provider's]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
    /// The name of the model in claw.yaml [default: one for each provider]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The base URL of the server, with /v1 [default: the provider's]
    #[arg(long, value_name = "URL")]
    api_base: Option<String>,
    /// The environment variable that holds the key
    #[arg(long, value_name = "VARIABLE", conflicts_with_all = ["key_file", "key_stdin"])]
    key_env: Option<String>,
    /// A file that holds the key; it stays where it is
    #[arg(long, value_name = "FILE", conflicts_with = "key_stdin")]
    key_file: Option<String>,
    /// Read the key from stdin
    #[arg(long)]
    key_stdin: bool,
    /// The program, then its arguments, for --provider program; repeatable
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    command: Vec<String>,
    /// Do not call the model
    #[arg(long)]
    no_test: bool,
    /// Leave the default model as it is
    #[arg(long)]
    no_default: bool,
    /// Ask nothing; missing values are errors
    #[arg(long)]
    non_interactive: bool,
}

/// Where the key of the model is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KeySource {
    /// The model needs none.
    None,
    /// In this environment variable.
    Variable(String),
    /// In this file, which exists.
    File(String),
    /// It was typed, and is written to a key file.
    Typed(String),
}

/// The model to configure.
#[derive(Clone, Debug)]
struct SetupPlan {
    service: &'static Service,
    name: String,
    model: String,
    api_base: Option<String>,
    key: KeySource,
    command: Vec<String>,
}

/// Configures a model.
///
/// # Errors
/// `Usage` for a missing or unknown value, `Data` for a key that cannot be one, the model's fault if it does not answer;
/// then nothing is written.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let asks = dialog::can_ask() && !args.non_interactive && !args.key_stdin;
    let workspace = exchange::open(here)?;
    if !workspace.is_trusted {
        return Err(Fault::config(format!("{} is not trusted, so no model is set up in it", workspace.root.display()))
            .hint("look at it, then run `claw trust` in it"));
    }
    let old = settings_file::read(&workspace)?;
    // A mistake elsewhere in the file must not be found only after all the questions.
    config::parse(&old)?;
    let service = match &args.provider {
        Some(id) => named(id)?,
        None if asks => questions::service(&workspace)?,
        None => return Err(Fault::new(Kind::Usage, "--provider is missing").hint(format!("there are: {}", ids()))),
    };
    let plan =
        if asks { questions::complete(args, &workspace, service)? } else { from_args(args, &workspace, service)? };
    let new = edited(&old, &plan, args.no_default)?;
    if args.no_test {
        out::message("the model was not called, as --no-test demands");
    } else if !is_tried(&workspace, &plan, asks)? {
        return Ok(1);
    }
    let is_wanted = change::confirm(&old, &new, asks)?;
    if !is_wanted && old != new {
        out::message("nothing was changed");
        return Ok(1);
    }
    // The key comes first: claw.yaml never names a file that is not there.
    save_key(&workspace, &plan)?;
    if is_wanted {
        settings_file::replace(&workspace, &old, &new)?;
    }
    out::line(&format!("{} is set up; try it: claw ask hello", plan.name))?;
    Ok(0)
}

fn ids() -> String {
    SERVICES.iter().map(|service| service.id).collect::<Vec<_>>().join(", ")
}

fn named(id: &str) -> Result<&'static Service> {
    Service::named(id).ok_or_else(|| {
        let near = nearest(id, SERVICES.iter().map(|service| service.id));
        let hint = near.map_or_else(|| format!("there are: {}", ids()), |near| format!("did you mean `{near}`?"));
        Fault::new(Kind::Usage, format!("there is no provider `{}`", id.escape_debug())).hint(hint)
    })
}

/// The plan, by the arguments alone.
fn from_args(args: &Args, workspace: &Workspace, service: &'static Service) -> Result<SetupPlan> {
    let missing = |option: &str| Fault::new(Kind::Usage, format!("{option} is missing for --provider {}", service.id));
    let api_base = base(args, workspace, service);
    if service.id == COMPATIBLE && api_base.is_none() {
        return Err(missing("--api-base"));
    }
    if service.id == PROGRAM && args.command.is_empty() {
        return Err(missing("--command"));
    }
    let model = match (&args.model, service.id) {
        (Some(model), _) => model.clone(),
        (None, PROGRAM) => String::new(),
        (None, OLLAMA) => {
            provider::local_ollama(&workspace.world).map(|found| found.1).ok_or_else(|| missing("--model"))?
        }
        (None, _) if service.model.is_empty() => return Err(missing("--model")),
        (None, _) => service.model.to_owned(),
    };
    let key = match (given_key(args)?, service.has_key()) {
        (Some(key), _) => key,
        (None, false) => KeySource::None,
        (None, true) if workspace.world.var(service.key_env).is_some() => {
            KeySource::Variable(service.key_env.to_owned())
        }
        (None, true) => return Err(missing("--key-env, --key-file or --key-stdin")),
    };
    if let KeySource::Typed(key) = &key
        && let Some(doubt) = services::doubt(service, key)
    {
        return Err(Fault::data(format!("this is no key of {}: {doubt}", service.title))
            .hint("--provider names another service; a key file that you write yourself is not checked (--key-file)"));
    }
    plan(args, workspace, service, model, api_base, key)
}

/// The key that the arguments name.
fn given_key(args: &Args) -> Result<Option<KeySource>> {
    if let Some(variable) = &args.key_env {
        return checked_variable(variable).map(|variable| Some(KeySource::Variable(variable)));
    }
    if let Some(file) = &args.key_file {
        return Ok(Some(KeySource::File(file.clone())));
    }
    if args.key_stdin {
        return Ok(Some(KeySource::Typed(services::check_key(&out::stdin()?)?.to_owned())));
    }
    Ok(None)
}

/// The name of an environment variable. A key that was given in its place is not repeated in the error.
fn checked_variable(name: &str) -> Result<String> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let looks_like_a_key =
        name.len() > 60 || SERVICES.iter().any(|s| !s.prefix.is_empty() && name.starts_with(s.prefix));
    if name.is_empty()
        || !name.bytes().all(is_name)
        || name.starts_with(|c: char| c.is_ascii_digit())
        || looks_like_a_key
    {
        return Err(Fault::data("this is no name of an environment variable")
            .hint("name the variable that holds the key, like OPENAI_API_KEY; --key-stdin takes the key itself"));
    }
    Ok(name.to_owned())
}

fn base(args: &Args, workspace: &Workspace, service: &Service) -> Option<String> {
    let own = workspace.world.var(service.base_env).or(service.api_base).map(str::to_owned);
    let found =
        || (service.id == OLLAMA).then(|| provider::local_ollama(&workspace.world)).flatten().map(|found| found.0);
    args.api_base.clone().or(own).or_else(found)
}

fn plan(
    args: &Args,
    workspace: &Workspace,
    service: &'static Service,
    model: String,
    api_base: Option<String>,
    key: KeySource,
) -> Result<SetupPlan> {
    let config = workspace.config()?;
    // A second run changes the model that the first one made.
    let is_same =
        |known: &Model| Service::of(known) == service && (service.id != COMPATIBLE || known.api_base == api_base);
    let known = config.models.iter().find(|(_, known)| is_same(known)).map(|(name, _)| name.clone());
    let name = args.name.clone().or(known).unwrap_or_else(|| service.name.to_owned());
    let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(is_valid) || name == OFFLINE || name.len() > 60 {
        return Err(Fault::new(Kind::Usage, format!("`{}` is no name for a model", name.escape_debug()))
            .hint("at most 60 of A-Z a-z 0-9 - _ ."));
    }
    Ok(SetupPlan { service, name, model, api_base, key, command: args.command.clone() })
}

/// The text of claw.yaml with the model in it.
fn edited(old: &str, plan: &SetupPlan, keeps_default: bool) -> Result<String> {
    let own_file = key_file::file(&plan.name);
    let (variable, file) = match &plan.key {
        KeySource::None => (None, None),
        KeySource::Variable(name) => (Some(name.as_str()), None),
        KeySource::File(file) => (None, Some(file.as_str())),
        KeySource::Typed(_) => (None, Some(own_file.as_str())),
    };
    let command: Vec<Value> = plan.command.iter().map(|word| Value::from(word.as_str())).collect();
    let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    let fields = [
        ("provider", text(plan.service.provider)),
        ("model", text(&plan.model)),
        ("api_base", plan.api_base.as_deref().and_then(text)),
        ("api_key", None),
        ("api_key_env", variable.and_then(text)),
        ("api_key_file", file.and_then(text)),
        ("command", (!command.is_empty()).then_some(Value::Sequence(command))),
    ];
    let at = |key: &str| ["models", &plan.name, key].map(str::to_owned);
    let is_new = edit::get(old, &at("")[..2]).is_none();
    let mut new = old.to_owned();
    if is_new {
        let map = fields.into_iter().filter_map(|(key, value)| Some((Value::from(key), value?))).collect();
        new = edit::set(&new, &at("")[..2], &Value::Mapping(map))?;
    } else {
        for (key, value) in fields {
            new = match value {
                Some(value) => edit::set(&new, &at(key), &value)?,
                None => edit::remove(&new, &at(key))?,
            };
        }
    }
    if keeps_default { Ok(new) } else { edit::set(&new, &["model".to_owned()], &Value::from(plan.name.as_str())) }
}

/// Calls the model. Whether it answers, or the user wants it nevertheless.
fn is_tried(workspace: &Workspace, plan: &SetupPlan, asks: bool) -> Result<bool> {
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut model = Model {
        provider: filled(plan.service.provider),
        model: filled(&plan.model),
        api_base: plan.api_base.clone(),
        command: plan.command.clone(),
        ..Model::default()
    };
    match &plan.key {
        KeySource::None => {}
        KeySource::Variable(name) => model.api_key_env = Some(name.clone()),
        KeySource::File(file) => model.api_key_file = Some(file.clone()),
        KeySource::Typed(key) => model.api_key = Some(key.clone()),
    }
    let chosen = ResolvedModel { name: plan.name.clone(), model };
    out::message(&format!("calling {} once …", if plan.model.is_empty() { &plan.name } else { &plan.model }));
    let spinner = Spinner::start(&workspace.world, "waiting for the model");
    let called = trial::call(workspace, &chosen);
    drop(spinner);
    match called {
        Ok(trial) => {
            let took = trial.took.as_millis();
            let answer = crate::core::text::cut::cut(trial.answer.trim(), 60);
            out::message(&format!(
                "it answers \"{}\" in {}.{} s",
                answer.replace('\n', " "),
                took / 1000,
                took % 1000 / 100
            ));
        }
        Err(fault) if asks => {
            out::print_fault(&fault);
            if !dialog::yes("The model does not answer. Save it nevertheless?", false)? {
                out::message("nothing was changed");
                return Ok(false);
            }
        }
        Err(fault) => return Err(fault),
    }
    Ok(true)
}

fn save_key(workspace: &Workspace, plan: &SetupPlan) -> Result<()> {
    let KeySource::Typed(key) = &plan.key else { return Ok(()) };
    let file = key_file::file(&plan.name);
    key_file::write(workspace, &file, key)?;
    out::message(&format!("the key is in {file}, which only you can read; {FILE} names the file"));
    Ok(())
}
