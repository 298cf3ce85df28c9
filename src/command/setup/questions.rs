//! The questions of `claw setup` on a terminal. Each has a default, and every answer may come from an option instead.

use super::{Args, KeySource, SetupPlan};
use crate::command::terminal::{dialog, out};
use crate::core::fault::Result;
use crate::core::model::services::{self, COMPATIBLE, OLLAMA, PROGRAM, SERVICES, Service};
use crate::core::tool::words;
use crate::provider;
use crate::store::workspace::Workspace;

/// Lets the user choose a service: its number or its id.
pub(super) fn service(workspace: &Workspace) -> Result<&'static Service> {
    out::stderr_line("Which model answers?");
    for (n, service) in SERVICES.iter().enumerate() {
        let is_set = service.has_key() && workspace.world.var(service.key_env).is_some();
        let note = if is_set { format!(" ({} is set)", service.key_env) } else { String::new() };
        out::stderr_line(&format!("{:>3}  {}{note}", n + 1, service.title));
    }
    let set = SERVICES.iter().position(|s| s.has_key() && workspace.world.var(s.key_env).is_some()).unwrap_or(0);
    loop {
        let answer = dialog::need("Number", &(set + 1).to_string())?;
        let by_number = answer.parse::<usize>().ok().and_then(|n| SERVICES.get(n.checked_sub(1)?));
        if let Some(service) = by_number.or_else(|| Service::named(&answer)) {
            return Ok(service);
        }
        out::message(&format!("write a number from 1 to {}", SERVICES.len()));
    }
}

/// Asks for every value of the plan that no option gives.
pub(super) fn complete(args: &Args, workspace: &Workspace, service: &'static Service) -> Result<SetupPlan> {
    if service.id == PROGRAM {
        let mut command = args.command.clone();
        while command.is_empty() {
            command = words::of(&dialog::need("Program and its arguments", "")?);
        }
        let args = Args { command, model: args.model.clone(), name: args.name.clone(), ..bare(args) };
        return super::plan(&args, workspace, service, String::new(), None, KeySource::None);
    }
    let mut api_base = super::base(args, workspace, service);
    let is_url = |base: &str| base.starts_with("http://") || base.starts_with("https://");
    while service.id == COMPATIBLE && api_base.as_deref().is_none_or(|base| !is_url(base)) {
        if api_base.is_some() {
            out::message("a base URL begins with http:// or https://, like http://127.0.0.1:8000/v1");
        }
        api_base = Some(dialog::need("Base URL (it usually ends with /v1)", "")?);
    }
    let found = (service.id == OLLAMA).then(|| provider::local_ollama(&workspace.world)).flatten();
    if service.id == OLLAMA && found.is_none() {
        out::message("no Ollama server answers here; `ollama serve` starts one");
    }
    let first = found.map_or_else(|| service.model.to_owned(), |(_, model)| model);
    let mut model = args.model.clone().unwrap_or_default();
    while model.is_empty() {
        model = dialog::need("Model", &first)?;
    }
    let key = match super::given_key(args)? {
        Some(key) => key,
        None if service.id == OLLAMA => KeySource::None,
        None => key(workspace, service)?,
    };
    super::plan(args, workspace, service, model, api_base, key)
}

/// The options of a program's plan.
fn bare(args: &Args) -> Args {
    Args {
        provider: args.provider.clone(),
        model: None,
        name: None,
        api_base: None,
        key_env: None,
        key_file: None,
        key_stdin: false,
        command: Vec::new(),
        no_test: args.no_test,
        no_default: args.no_default,
        non_interactive: false,
    }
}

/// The key: of the environment, typed, or by the name of a variable.
fn key(workspace: &Workspace, service: &'static Service) -> Result<KeySource> {
    if service.has_key()
        && workspace.world.var(service.key_env).is_some()
        && dialog::yes(&format!("Use the key in {}?", service.key_env), true)?
    {
        return Ok(KeySource::Variable(service.key_env.to_owned()));
    }
    if !service.page.is_empty() {
        out::stderr_line(&format!("Keys are made at {}", service.page));
    }
    let none = if service.has_key() { "Enter alone: name an environment variable" } else { "Enter alone: no key" };
    loop {
        let typed = dialog::secret(&format!("Key, not shown ({none}): "))?;
        if typed.trim().is_empty() {
            if !service.has_key() {
                return Ok(KeySource::None);
            }
            match super::checked_variable(&dialog::need("Environment variable", service.key_env)?) {
                Ok(variable) => return Ok(KeySource::Variable(variable)),
                Err(fault) => out::print_fault(&fault),
            }
            continue;
        }
        match services::check_key(&typed) {
            Err(fault) => out::print_fault(&fault),
            Ok(key) => {
                let doubt = services::doubt(service, key);
                if let Some(doubt) = &doubt {
                    out::message(doubt);
                }
                if doubt.is_none() || dialog::yes("Use this key nevertheless?", false)? {
                    return Ok(KeySource::Typed(key.to_owned()));
                }
            }
        }
    }
}
