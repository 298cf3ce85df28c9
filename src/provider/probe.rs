//! Whether a model is there, found out at little cost: a program is looked for, a server is asked for its list of
//! models, all of them at once. No model is asked anything.

use crate::core::config::OFFLINE;
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::settings::REPLAY;
use crate::provider::wire::{self, Wire};
use crate::provider::{anthropic, http, limit, named, ollama, openai};
use crate::store::agent::secrets;
use crate::store::cassette;
use crate::store::workspace::Workspace;
use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// The longest that a list is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest list, in bytes: the routers' have hundreds of models.
const MAX_LIST: usize = 8 << 20;

/// How a model stands.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelStatus {
    /// It needs nobody, or its program is there.
    Ready,
    /// It answers from a cassette.
    Taped {
        /// How many exchanges it has played.
        played: usize,
        /// How many there are.
        all: usize,
    },
    /// Its server answers.
    Reachable {
        /// How long that took, in milliseconds.
        ms: u64,
        /// Whether it has a model of this name; nothing where it does not say.
        has_model: Option<bool>,
    },
    /// It cannot be used as it is set up (`Config`), or it is not there.
    Unusable(Fault),
    /// Its server was not asked, because nobody may be.
    Unasked,
}

/// Where a model's key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// A variable, a file, or the settings themselves.
    pub from: String,
    /// Whether it is there.
    pub is_there: bool,
}

/// The providers that are servers.
const WIRES: &[(&str, &Wire)] =
    &[("openai", &openai::WIRE), ("anthropic", &anthropic::WIRE), ("ollama", &ollama::WIRE)];

fn wire(chosen: &ResolvedModel) -> Option<&'static Wire> {
    let provider = chosen.model.provider.as_deref()?;
    WIRES.iter().find(|(name, _)| *name == provider).map(|(_, wire)| *wire)
}

/// The base URL of a model's server; nothing where it has none.
#[must_use]
pub fn base(workspace: &Workspace, chosen: &ResolvedModel) -> Option<String> {
    let wire = wire(chosen)?;
    let base = chosen.model.api_base.as_deref().map(|base| base.trim_end_matches('/'));
    let url = (wire.url)(base, &workspace.world);
    Some(url.strip_suffix(wire.list.0).unwrap_or(&url).to_owned())
}

/// Where a model's key comes from, if it is to have one.
#[must_use]
pub fn key(workspace: &Workspace, chosen: &ResolvedModel) -> Option<Key> {
    let model = &chosen.model;
    let wire = wire(chosen);
    let service = wire.and_then(|wire| wire.key).filter(|_| model.api_base.is_none());
    let from = match (&model.api_key_env, &model.api_key_file, &model.api_key, service) {
        (Some(variable), ..) => format!("${variable}"),
        (_, Some(file), ..) => file.clone(),
        (_, _, Some(_), _) => "claw.yaml".to_owned(),
        (.., Some(variable)) => format!("${variable}"),
        _ => return None,
    };
    let key =
        wire.map_or_else(|| secrets::key(workspace, &chosen.name, model), |wire| wire::key(workspace, chosen, wire));
    Some(Key { from, is_there: key.is_ok_and(|key| key.is_some_and(|key| !key.is_empty())) })
}

/// How these models stand, in their order. Servers are contacted only where `may_contact`.
///
/// # Errors
/// `Machine` where there can be no network at all.
pub fn look(workspace: &Workspace, models: &[ResolvedModel], may_contact: bool) -> Result<Vec<ModelStatus>> {
    let all = models
        .iter()
        .map(|chosen| async move { one(workspace, chosen, may_contact).await.unwrap_or_else(ModelStatus::Unusable) });
    http::block_on(None, async { Ok(join_all(all).await) })
}

async fn one(workspace: &Workspace, chosen: &ResolvedModel, may_contact: bool) -> Result<ModelStatus> {
    match chosen.model.provider.as_deref().unwrap_or_default() {
        OFFLINE => Ok(ModelStatus::Ready),
        "command" => program(workspace, chosen).map(|()| ModelStatus::Ready),
        REPLAY => {
            let with_name =
                |fault: Fault| Fault { message: format!("model {}: {}", chosen.name, fault.message), ..fault };
            let cassette = chosen.model.cassette.as_deref().unwrap_or_default();
            let (played, all) = cassette::progress(workspace, cassette).map_err(with_name)?;
            if played < all {
                return Ok(ModelStatus::Taped { played, all });
            }
            Err(with_name(Fault::new(Kind::Unavailable, format!("all {all} exchanges are played"))))
        }
        _ => {
            let Some(wire) = wire(chosen) else { return named(chosen).map(|_| ModelStatus::Ready) };
            let key = wire::key(workspace, chosen, wire)?;
            if chosen.model.model.is_none() {
                return Err(Fault::config(format!("model {}: `model` is missing", chosen.name)));
            }
            if !may_contact {
                return Ok(ModelStatus::Unasked);
            }
            let began = Instant::now();
            let asked = timeout(PATIENCE, list(workspace, chosen, wire, key.as_deref())).await;
            let silent = || {
                let what = format!("model {}: the server said nothing for {PATIENCE:?}", chosen.name);
                Fault::new(Kind::Unavailable, what)
            };
            let has_model = asked.map_err(|_| silent())??;
            Ok(ModelStatus::Reachable { ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX), has_model })
        }
    }
}

/// Asks for the list of models; whether this one is in it, where there is one.
async fn list(workspace: &Workspace, chosen: &ResolvedModel, wire: &Wire, key: Option<&str>) -> Result<Option<bool>> {
    let name = &chosen.name;
    let url = format!("{}{}", base(workspace, chosen).unwrap_or_default(), wire.list.1);
    let retry_policy = chosen.model.connect_timeout.map_or(PATIENCE, |own| limit(Some(own), 3).min(PATIENCE));
    let mut model = chosen.model.clone();
    model.connect_timeout = SignedDuration::try_from(retry_policy).ok();
    let get = http::client(name, &model, &url)?.get(&url).headers(wire::headers(wire, name, key)?);
    let mut answer = get.send().await.map_err(|e| http::failed(name, &e, key))?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| http::failed(name, &e, key))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_LIST {
            return Ok(None);
        }
    }
    match answer.status().as_u16() {
        200..=299 => Ok(has(&serde_json::from_slice(&bytes).unwrap_or_default(), model.model.as_deref())),
        // It is there, and has no list.
        404 | 405 | 501 => Ok(None),
        status => {
            let body = String::from_utf8_lossy(&bytes);
            let now = workspace.world.now().timestamp();
            Err(http::refused(name, status, answer.headers(), &body, key, now))
        }
    }
}

/// Whether a list (`data` with ids, or `models` with names) has this model; `:latest` goes without saying.
fn has(list: &Value, model: Option<&str>) -> Option<bool> {
    let (all, field) = match (list["data"].as_array(), list["models"].as_array()) {
        (Some(data), _) => (data, "id"),
        (None, Some(models)) => (models, "name"),
        (None, None) => return None,
    };
    let wanted = model?.trim_end_matches(":latest");
    let mut names = all.iter().filter_map(|entry| entry[field].as_str());
    Some(names.any(|name| name.trim_end_matches(":latest") == wanted))
}

/// Whether the program of a `command` model is there, as the system would look for it.
fn program(workspace: &Workspace, chosen: &ResolvedModel) -> Result<()> {
    let Some(program) = chosen.model.command.first() else {
        return Err(Fault::config(format!("model {}: `command` is missing", chosen.name)));
    };
    let is_program =
        |path: &Path| path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    let places: Vec<PathBuf> = if program.contains('/') {
        vec![workspace.path(program)]
    } else {
        let path = workspace.world.var("PATH").unwrap_or_default();
        std::env::split_paths(path).map(|dir| workspace.root.join(dir).join(program)).collect()
    };
    if places.iter().any(|path| is_program(path)) {
        return Ok(());
    }
    let what = if places.iter().any(|path| path.exists()) { "cannot be run" } else { "is not there" };
    Err(Fault::config(format!("model {}: the program `{program}` {what}", chosen.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_is_read_in_every_shape_and_says_nothing_where_it_is_none() {
        let openai = json!({"data": [{"id": "a"}, {"id": "b"}]});
        let ollama = json!({"models": [{"name": "a:latest"}, {"name": "b:7b"}]});
        for list in [&openai, &ollama] {
            assert_eq!(has(list, Some("a")), Some(true));
            assert_eq!(has(list, Some("c")), Some(false));
        }
        assert_eq!((has(&ollama, Some("b")), has(&ollama, Some("b:7b"))), (Some(false), Some(true)));
        assert_eq!((has(&json!({}), Some("a")), has(&openai, None)), (None, None));
    }
}
