//! The status of models, at little cost: a program is looked up, and a server is asked for its list of models, all of
//! them at once. No model is called.

use crate::core::config::OFFLINE;
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::settings::REPLAY;
use crate::http;
use crate::provider::client::{client, failed};
use crate::provider::refusal::Refused;
use crate::provider::response::no_data;
use crate::provider::wire::{self, Wire};
use crate::provider::{anthropic, limit, named, ollama, openai};
use crate::store::agent::secrets;
use crate::store::cassette;
use crate::store::workspace::Workspace;
use jiff::SignedDuration;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest wait for a list.
const LIST_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest list, in bytes; routers list hundreds of models.
const MAX_LIST: usize = 8 << 20;

/// The status of a model.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelStatus {
    /// It is built in, or its program exists.
    Ready,
    /// It answers from a cassette.
    Replay {
        /// The number of exchanges that were played.
        played: usize,
        /// The number of exchanges in the cassette.
        all: usize,
    },
    /// Its server responds.
    Reachable {
        /// The response time in milliseconds.
        ms: u64,
        /// Whether the server lists this model; none if it has no list.
        has_model: Option<bool>,
    },
    /// Its settings are wrong (`Config`), or it cannot be reached.
    Unusable(Fault),
    /// No server may be contacted.
    NotContacted,
}

/// The source of a model's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `$VARIABLE`, a file, or `claw.yaml`.
    pub from: String,
    /// Whether the source has a key.
    pub is_there: bool,
}

/// The protocol of a model over HTTP.
fn wire(chosen: &ResolvedModel) -> Option<&'static Wire> {
    match chosen.model.provider.as_deref()? {
        "openai" => Some(openai::wire_of(&chosen.model)),
        "anthropic" => Some(&anthropic::WIRE),
        "ollama" => Some(&ollama::WIRE),
        _ => None,
    }
}

/// The base URL of a model's server, without a query; none for a model without a server.
#[must_use]
pub fn base(workspace: &Workspace, chosen: &ResolvedModel) -> Option<String> {
    let wire = wire(chosen)?;
    let url = wire::url_of(&workspace.world, &chosen.model, wire);
    let url = url.split('?').next().unwrap_or_default();
    Some(url.strip_suffix(wire.list.0).unwrap_or(url).to_owned())
}

/// The source of a model's key, if it has one.
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

/// The status of these models, in their order. Servers are contacted only if `may_contact`.
///
/// # Errors
/// `Machine` if no request can be run at all.
pub fn statuses(workspace: &Workspace, models: &[ResolvedModel], may_contact: bool) -> Result<Vec<ModelStatus>> {
    let all = models
        .iter()
        .map(|chosen| async move { one(workspace, chosen, may_contact).await.unwrap_or_else(ModelStatus::Unusable) });
    http::block_on(None, async { Ok(http::join_all(all).await) })
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
                return Ok(ModelStatus::Replay { played, all });
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
                return Ok(ModelStatus::NotContacted);
            }
            let began = Instant::now();
            let late = || no_data(&chosen.name, LIST_TIMEOUT);
            let listed = http::within(LIST_TIMEOUT, late, list(workspace, chosen, wire, key.as_deref())).await?;
            let has_model = listed.and_then(|list| has(&list, chosen.model.model.as_deref()));
            Ok(ModelStatus::Reachable { ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX), has_model })
        }
    }
}

/// The names of the models that each server offers, sorted; the model's own `model` may be missing.
///
/// # Errors
/// `Machine` if no request can be run at all.
pub fn available(workspace: &Workspace, models: &[ResolvedModel]) -> Result<Vec<Result<Vec<String>>>> {
    let all = models.iter().map(|chosen| async move {
        let Some(wire) = wire(chosen) else {
            return Err(Fault::data(format!("model {}: it has no server with a list", chosen.name))
                .hint("name a model of a server: claw models --available NAME"));
        };
        let key = wire::key(workspace, chosen, wire)?;
        let late = || no_data(&chosen.name, LIST_TIMEOUT);
        let listed = http::within(LIST_TIMEOUT, late, list(workspace, chosen, wire, key.as_deref())).await?;
        let names = listed.as_ref().and_then(names_in);
        let mut names: Vec<String> = names
            .ok_or_else(|| {
                let message = format!("model {}: its server has no list of models", chosen.name);
                Fault::new(Kind::Unavailable, message)
            })?
            .map(str::to_owned)
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    });
    http::block_on(None, async { Ok(http::join_all(all).await) })
}

/// Requests the list of models; none if the server has no list.
async fn list(workspace: &Workspace, chosen: &ResolvedModel, wire: &Wire, key: Option<&str>) -> Result<Option<Value>> {
    let name = &chosen.name;
    let query = wire::base_and_query(&chosen.model).1;
    let url = format!("{}{}{query}", base(workspace, chosen).unwrap_or_default(), wire.list.1);
    let credentials = wire::credentials(key, &chosen.model, &url);
    let own = chosen.model.connect_timeout;
    let connect_timeout = own.map_or(LIST_TIMEOUT, |own| limit(Some(own), 3).min(LIST_TIMEOUT));
    let mut model = chosen.model.clone();
    model.connect_timeout = SignedDuration::try_from(connect_timeout).ok();
    let get = client(&workspace.world, name, &model, &url)?.get(&url).headers(wire::headers(wire, chosen, key)?);
    let mut response = get.send().await.map_err(|e| failed(name, &e, &credentials))?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failed(name, &e, &credentials))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_LIST {
            return Ok(None);
        }
    }
    match response.status().as_u16() {
        200..=299 => Ok(serde_json::from_slice(&bytes).ok()),
        // The server responds, and has no list.
        404 | 405 | 501 => Ok(None),
        status => {
            let body = String::from_utf8_lossy(&bytes);
            let now = workspace.world.now().timestamp();
            let refused = Refused { url: &url, status, headers: response.headers(), body: &body };
            Err(refused.fault(name, &credentials, now))
        }
    }
}

/// The names in a list: `data` with ids, or `models` with names.
fn names_in(list: &Value) -> Option<impl Iterator<Item = &str>> {
    let (all, field) = match (list["data"].as_array(), list["models"].as_array()) {
        (Some(data), _) => (data, "id"),
        (None, Some(models)) => (models, "name"),
        (None, None) => return None,
    };
    Some(all.iter().filter_map(move |entry| entry[field].as_str()))
}

/// Whether a list has this model; the tag `:latest` is the default.
fn has(list: &Value, model: Option<&str>) -> Option<bool> {
    let mut names = names_in(list)?;
    let wanted = model?.trim_end_matches(":latest");
    Some(names.any(|name| name.trim_end_matches(":latest") == wanted))
}

/// Checks that the program of a `command` model exists, by the search of the system.
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
    let problem = if places.iter().any(|path| path.exists()) { "is not executable" } else { "does not exist" };
    Err(Fault::config(format!("model {}: the program `{program}` {problem}", chosen.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn model_is_found_in_every_shape_of_list() {
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
