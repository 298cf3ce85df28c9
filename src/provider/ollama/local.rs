//! Detection of an Ollama server, and the address that `OLLAMA_HOST` names.

use crate::core::model::settings::Model;
use crate::http::{self, Credentials};
use crate::provider::client::{client, failed};
use crate::world::World;
use serde_json::Value;
use std::time::Duration;

const PORT: u16 = 11_434;

/// The base URL of the server that `OLLAMA_HOST` names, by the rules of Ollama's own client: scheme and port are
/// optional, and the wildcard address 0.0.0.0 that a server listens on means this machine.
pub(super) fn base(host: Option<&str>) -> String {
    let host = host.unwrap_or("127.0.0.1").trim_end_matches('/');
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", host));
    let authority = rest.split('/').next().unwrap_or(rest);
    let name = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map(|(name, _)| name);
    let port = if name.is_none() && !host.contains("://") { format!(":{PORT}") } else { String::new() };
    let rest = rest.replacen("0.0.0.0", "127.0.0.1", 1);
    format!("{scheme}://{rest}{port}")
}

/// The base URL of a server that responds within 200 ms, and the name of its first model for text.
#[must_use]
pub fn find(world: &World) -> Option<(String, String)> {
    let base = base(world.var("OLLAMA_HOST"));
    let url = format!("{base}/api/tags");
    let short = Model { connect_timeout: Some(jiff::SignedDuration::from_millis(200)), ..Model::default() };
    let client = client(world, "ollama", &short, &url).ok()?;
    let list = http::block_on(None, async {
        let credentials = Credentials::default().and_url(&url);
        let response = client.get(&url).timeout(Duration::from_millis(200)).send().await;
        let response = response.map_err(|e| failed("ollama", &e, &credentials))?;
        response.json::<Value>().await.map_err(|e| failed("ollama", &e, &credentials))
    });
    first(&list.ok()?).map(|model| (base, model))
}

/// The first model of a list that is not for embeddings.
fn first(list: &Value) -> Option<String> {
    let models = list["models"].as_array()?;
    let is_for_text = |model: &&Value| {
        let is_of = |text: &Value, part: &str| text.as_str().is_some_and(|text| text.contains(part));
        !is_of(&model["name"], "embed") && !is_of(&model["details"]["family"], "bert")
    };
    models.iter().find(is_for_text)?["name"].as_str().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn host_is_parsed_by_the_rules_of_ollama() {
        let cases = [
            (None, "http://127.0.0.1:11434"),
            (Some("127.0.0.1"), "http://127.0.0.1:11434"),
            (Some("0.0.0.0:8080"), "http://127.0.0.1:8080"),
            (Some("box.lan"), "http://box.lan:11434"),
            (Some("https://box.lan/"), "https://box.lan"),
            (Some("http://box.lan:9/ollama"), "http://box.lan:9/ollama"),
        ];
        for (host, url) in cases {
            assert_eq!(base(host), url, "{host:?}");
        }
    }

    #[test]
    fn model_for_embeddings_is_skipped() {
        let list = json!({"models": [
            {"name": "nomic-embed-text:latest"},
            {"name": "all-minilm:22m", "details": {"family": "bert"}},
            {"name": "llama3.2:latest", "details": {"family": "llama"}},
        ]});
        assert_eq!(first(&list).as_deref(), Some("llama3.2:latest"));
        assert_eq!(first(&json!({"models": []})), None);
    }
}
