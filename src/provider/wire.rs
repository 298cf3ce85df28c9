//! One exchange over HTTP, shared by every protocol. A protocol is a table of its URL, headers, request body and parser.

use crate::core::config::resolved_model::ResolvedModel;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::Reply;
use crate::core::model::cassette::{RecordedRequest, Response as Recorded};
use crate::core::model::settings::Model;
use crate::http::{self, Credentials};
use crate::provider::client::{client, failed};
use crate::provider::response::{Responding, Take, no_data};
use crate::provider::source::ResponseSource;
use crate::provider::tape;
use crate::provider::{Charge, ModelCall, limit};
use crate::store::agent::secrets;
use crate::store::session::stop::CancelToken;
use crate::store::workspace::Workspace;
use crate::world::World;
use reqwest::RequestBuilder;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// A protocol.
pub(super) struct Wire {
    /// The URL of a model call, by the `api_base` of the settings without its query.
    pub(super) url: fn(Option<&str>, &World) -> String,
    /// The end of that URL, and the end that replaces it in the URL of the list of models.
    pub(super) list: (&'static str, &'static str),
    /// The environment variable with the key of the protocol's own service, which requires one.
    pub(super) key: Option<&'static str>,
    /// The headers beside those of every request.
    pub(super) headers: &'static [(&'static str, Header)],
    /// The body of the request.
    pub(super) body: fn(&ModelCall) -> Result<Value>,
    /// Adds the document of a frame to the answer; true after the last one.
    pub(super) take: Take,
}

/// The value of a header.
pub(super) enum Header {
    /// A constant.
    Is(&'static str),
    /// This prefix and the key; no header without a key.
    Key(&'static str),
}

/// Sends a model call and reads the answer.
pub(super) fn ask(call: &mut ModelCall, wire: &Wire) -> Result<Reply> {
    let chosen = call.chosen;
    let name = &chosen.name;
    check_base(chosen)?;
    let url = url_of(&call.workspace.world, &chosen.model, wire);
    let mut body = (wire.body)(call)?;
    merge(&mut body, &chosen.model.extra_body);
    let request = RecordedRequest { method: "POST".to_owned(), path: path(&url), body };
    let recorded = tape::answer(call, &request)?;
    // A cassette needs no key.
    let key = if recorded.is_some() { None } else { key(call.workspace, chosen, wire)? };
    let credentials = credentials(key.as_deref(), &chosen.model, &url);
    let (stop_fd, whole) = (call.cancel.and_then(CancelToken::stop_fd), limit(chosen.model.timeout, 600));
    let exchange = async {
        let source = if let Some(recorded) = recorded {
            ResponseSource::recorded(&recorded)?
        } else {
            let client = client(&call.workspace.world, name, &chosen.model, &url)?;
            let post = client.post(&url).headers(headers(wire, chosen, key.as_deref())?);
            send(post, &request, call, &credentials).await?
        };
        Responding { source, url: &url, credentials: &credentials }.read(wire.take, call).await
    };
    let late = || Fault::new(Kind::Unavailable, format!("model {name}: no whole answer within {whole:?}"));
    http::block_on(stop_fd, http::within(whole, late, exchange)).map_err(|fault| credentials.hide_in(fault))
}

/// Refuses an `api_base` that could be the name of anything.
fn check_base(chosen: &ResolvedModel) -> Result<()> {
    match chosen.model.api_base.as_deref().map(str::trim) {
        Some(base) if !base.contains("://") => {
            let fault = Fault::config(format!("model {}: the api_base `{base}` has no scheme", chosen.name));
            Err(fault.hint(format!("write http://{base} or https://{base}")))
        }
        _ => Ok(()),
    }
}

/// The URL of a model call. `api_base` may be that URL itself; its query belongs behind the path.
pub(super) fn url_of(world: &World, model: &Model, wire: &Wire) -> String {
    let (base, query) = base_and_query(model);
    let base = base.map(|base| base.strip_suffix(wire.list.0).unwrap_or(base).trim_end_matches('/'));
    (wire.url)(base, world) + query
}

/// The `api_base` of a model, and its query.
pub(super) fn base_and_query(model: &Model) -> (Option<&str>, &str) {
    let Some(base) = model.api_base.as_deref().map(str::trim) else { return (None, "") };
    let (base, query) = base.split_at(base.find('?').unwrap_or(base.len()));
    (Some(base.trim_end_matches('/')), query)
}

/// Merges fields into a request: objects field by field, null removes a field, everything else replaces one.
fn merge(body: &mut Value, extra: &Map<String, Value>) {
    for (name, value) in extra {
        match value {
            Value::Null => drop(body.as_object_mut().and_then(|body| body.remove(name))),
            Value::Object(inner) if body[name].is_object() => merge(&mut body[name], inner),
            other => body[name] = other.clone(),
        }
    }
}

/// The key of a model, by its settings or by the environment variable of the protocol's own service.
pub(super) fn key(workspace: &Workspace, chosen: &ResolvedModel, wire: &Wire) -> Result<Option<String>> {
    let key = secrets::key(workspace, &chosen.name, &chosen.model)?;
    // The key of the service is never sent to another server.
    let service = wire.key.filter(|_| key.is_none() && chosen.model.api_base.is_none());
    let Some(variable) = service else { return Ok(key) };
    let model = &chosen.model;
    let is_set = [&model.api_key, &model.api_key_env, &model.api_key_file].into_iter().any(Option::is_some);
    let key = workspace.world.var(variable).filter(|_| !is_set).and_then(secrets::cleaned);
    let has_header = model.headers.keys().any(|name| secrets::is_secret_header(name));
    if key.is_none() && has_header {
        return Ok(None);
    }
    let missing = if is_set { "its key is empty" } else { "no key" };
    let missing = || Fault::config(format!("model {}: {missing}", chosen.name));
    key.map(Some).ok_or_else(|| missing().hint(format!("set {variable} or api_key_env")))
}

/// The credentials of a model's requests.
pub(super) fn credentials(key: Option<&str>, model: &Model, url: &str) -> Credentials {
    let secret = model.headers.iter().filter(|(name, _)| secrets::is_secret_header(name));
    // The word before a token is no secret.
    let values = secret.map(|(_, value)| value.rsplit(' ').next().unwrap_or(value));
    values.fold(Credentials::of(key).and_url(url), Credentials::and)
}

/// The provider's own name of the model.
pub(super) fn model<'a>(call: &ModelCall<'a>) -> Result<&'a str> {
    let missing = || Fault::config(format!("model {}: `model` is missing", call.chosen.name));
    call.request.model.as_deref().ok_or_else(missing)
}

/// The headers of a request. The key is marked as sensitive, so that no debug output contains it.
pub(super) fn headers(wire: &Wire, chosen: &ResolvedModel, key: Option<&str>) -> Result<HeaderMap> {
    let name = &chosen.name;
    let mut headers = HeaderMap::new();
    // Servers that compress unasked are read all the same.
    headers.insert("accept-encoding", HeaderValue::from_static("identity"));
    for (header, value) in wire.headers {
        let (text, is_key) = match (value, key) {
            (Header::Is(text), _) => ((*text).to_owned(), false),
            (Header::Key(before), Some(key)) => (format!("{before}{key}"), true),
            (Header::Key(_), None) => continue,
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| Fault::config(format!("model {name}: the key has characters that no header can carry")))?;
        value.set_sensitive(is_key);
        headers.insert(*header, value);
    }
    for (header, value) in &chosen.model.headers {
        let bad = || Fault::config(format!("model {name}: the header `{header}` cannot be sent"));
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        value.set_sensitive(secrets::is_secret_header(header));
        headers.insert(HeaderName::try_from(header.as_str()).map_err(|_| bad())?, value);
    }
    Ok(headers)
}

/// The path of a URL: the part of it that is recorded and compared.
fn path(url: &str) -> String {
    url::Url::parse(url).map(|url| url.path().to_owned()).unwrap_or_default()
}

/// Sends the request and waits for the head of the response.
async fn send(
    post: RequestBuilder,
    request: &RecordedRequest,
    call: &mut ModelCall<'_>,
    credentials: &Credentials,
) -> Result<ResponseSource> {
    let name = &call.chosen.name;
    let first = limit(call.chosen.model.first_token_timeout, 120);
    call.charge = Charge::Unknown;
    let sent = async { Ok(post.json(&request.body).send().await) };
    let response = http::within(first, || no_data(name, first), sent).await?.map_err(|e| {
        if e.is_connect() || e.is_builder() {
            call.charge = Charge::Nothing;
        }
        failed(name, &e, credentials)
    })?;
    let headers = response.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    call.tape.begin(request, Recorded::new(response.status().as_u16(), headers));
    Ok(ResponseSource::server(response))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_of_the_base_is_split_off() {
        let model = |base: &str| Model { api_base: Some(base.to_owned()), ..Model::default() };
        assert_eq!(base_and_query(&model("http://h/v1/?key=a/b")), (Some("http://h/v1"), "?key=a/b"));
        assert_eq!(base_and_query(&model("http://h/v1/")), (Some("http://h/v1"), ""));
        assert_eq!(base_and_query(&Model::default()), (None, ""));
    }

    #[test]
    fn whole_url_is_a_base_too_and_its_query_survives() {
        let world = World::real().unwrap();
        let url = |base: &str| {
            let model = Model { api_base: Some(base.to_owned()), ..Model::default() };
            url_of(&world, &model, &crate::provider::openai::WIRE)
        };
        for base in [
            "http://h/v1",
            " http://h/v1/ ",
            "http://h/v1//",
            "http://h/v1/chat/completions",
            "http://h/v1/chat/completions/",
        ] {
            assert_eq!(url(base), "http://h/v1/chat/completions", "{base}");
        }
        assert_eq!(url("http://h/v1?api-version=7"), "http://h/v1/chat/completions?api-version=7");
    }

    #[test]
    fn extra_fields_are_merged_and_null_removes_one() {
        let mut body = serde_json::json!({"model": "m", "temperature": 1, "options": {"a": 1, "b": 2}});
        let extra = serde_json::json!({"temperature": null, "options": {"b": 3, "c": [4]}, "route": "x"});
        merge(&mut body, extra.as_object().unwrap());
        assert_eq!(body, serde_json::json!({"model": "m", "options": {"a": 1, "b": 3, "c": [4]}, "route": "x"}));
    }
}
