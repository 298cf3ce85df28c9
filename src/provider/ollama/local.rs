//! Whether an Ollama server is on this machine, and what it has.

use crate::core::model::settings::Model;
use crate::provider::http::{block_on, client, failed};
use serde_json::Value;
use std::time::Duration;

const PORT: u16 = 11_434;

/// The base URL of the server that `OLLAMA_HOST` names, as Ollama's own client reads it: a scheme and a port may
/// be missing, and the address that a server listens on for everybody is this machine.
pub(super) fn base(host: Option<&str>) -> String {
    let host = host.unwrap_or("127.0.0.1").trim_end_matches('/');
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", host));
    let authority = rest.split('/').next().unwrap_or(rest);
    let name = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map(|(name, _)| name);
    let port = if name.is_none() && !host.contains("://") { format!(":{PORT}") } else { String::new() };
    let rest = rest.replacen("0.0.0.0", "127.0.0.1", 1);
    format!("{scheme}://{rest}{port}")
}

/// The first model that can talk of a server that answers within a fifth of a second: its base URL, and the
/// model's name.
#[must_use]
pub fn find(host: Option<&str>) -> Option<(String, String)> {
    let base = base(host);
    let url = format!("{base}/api/tags");
    let short = Model { connect_timeout: Some(jiff::SignedDuration::from_millis(200)), ..Model::default() };
    let client = client("ollama", &short, &url).ok()?;
    let answer = block_on(None, async {
        let asked = client.get(&url).timeout(Duration::from_millis(200)).send().await;
        let answer = asked.map_err(|e| failed("ollama", &e, None))?;
        answer.json::<Value>().await.map_err(|e| failed("ollama", &e, None))
    });
    first(&answer.ok()?).map(|model| (base, model))
}

/// The first model of a list that is not one for embeddings.
fn first(list: &Value) -> Option<String> {
    let models = list["models"].as_array()?;
    let talks = |model: &&Value| {
        let is_of = |text: &Value, part: &str| text.as_str().is_some_and(|text| text.contains(part));
        !is_of(&model["name"], "embed") && !is_of(&model["details"]["family"], "bert")
    };
    models.iter().find(talks)?["name"].as_str().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_host_is_read_as_ollama_reads_it() {
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
    fn a_model_for_embeddings_is_not_taken() {
        let list = json!({"models": [
            {"name": "nomic-embed-text:latest"},
            {"name": "all-minilm:22m", "details": {"family": "bert"}},
            {"name": "llama3.2:latest", "details": {"family": "llama"}},
        ]});
        assert_eq!(first(&list).as_deref(), Some("llama3.2:latest"));
        assert_eq!(first(&json!({"models": []})), None);
    }
}
