//! `ollama`: the native interface of an Ollama server, `POST /api/chat`, streamed as one JSON document per line. Unlike
//! the server's compatible interfaces it accepts the size of the context window, and refuses a request that does not
//! fit instead of dropping its beginning. Source: docs/api.md of Ollama.

mod body;
mod local;
mod piece;

pub use local::find;

use crate::core::fault::Result;
use crate::core::model::tokens;
use crate::core::model::{Message, Reply, Request};
use crate::provider::ModelCall;
use crate::provider::wire::{self, Header, Wire};

pub(super) const WIRE: Wire = Wire {
    url: |base, world| {
        let base = base.map_or_else(|| local::base(world.var("OLLAMA_HOST")), ToOwned::to_owned);
        // The ends of the base URLs of its other interfaces.
        let base = ["/v1", "/api"].iter().find_map(|end| base.strip_suffix(end)).unwrap_or(&base);
        format!("{base}/api/chat")
    },
    list: ("/api/chat", "/api/tags"),
    key: None,
    headers: &[("authorization", Header::Key("Bearer "))],
    body: body::of,
    take: piece::take,
};

pub(super) fn ask(call: &mut ModelCall) -> Result<Reply> {
    let reply = wire::ask(call, &WIRE)?;
    if let Some(warning) = truncation(call.request, &reply, call.chosen.model.num_ctx) {
        call.workspace.world.say(&format!("model {}: {warning}", call.chosen.name));
    }
    Ok(reply)
}

/// A warning if the server seems to have truncated the request, which older servers do silently.
fn truncation(request: &Request, reply: &Reply, window: Option<u32>) -> Option<String> {
    let counted = reply.usage.input;
    if let Some(window) = window.map(u64::from) {
        let is_full = counted > 0 && counted >= window.saturating_sub(1);
        return is_full.then(|| {
            format!(
                "its context window of {window} tokens is full, so the oldest messages may be missing; raise num_ctx"
            )
        });
    }
    let messages: usize = request.messages.iter().map(|message: &Message| tokens::estimate(message.content())).sum();
    let estimate = (tokens::estimate(&request.system) + messages) as u64;
    // The server reads at least half a window of a truncated request, and a window is a power of two.
    let is_short = counted >= 1000 && estimate > 2 * counted;
    is_short.then(|| {
        format!("the server has read {counted} tokens of a request of about {estimate}; set num_ctx to a larger window")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Usage;

    #[test]
    fn full_window_is_a_warning_where_it_can_be_detected() {
        let request = |words: usize| Request {
            model: None,
            system: "word ".repeat(words),
            system_stable: 0,
            messages: Vec::new(),
            tools: Vec::new(),
            must_answer: false,
            temperature: None,
            max_tokens: None,
            schema: None,
        };
        let warning = |words, input, window| {
            let reply = Reply { usage: Usage { input, ..Usage::default() }, ..Reply::default() };
            truncation(&request(words), &reply, window).unwrap_or_default()
        };
        assert!(warning(10, 4096, Some(4096)).contains("window of 4096 tokens is full"));
        assert_eq!(warning(10, 4000, Some(4096)), "");
        assert_eq!(warning(10, 0, Some(4096)), "", "no count");
        assert!(warning(8000, 4096, None).contains("4096 tokens of a request of about 10000"));
        assert_eq!(warning(8000, 9000, None), "");
        assert_eq!(warning(8000, 12, None), "", "old servers do not count cached tokens");
    }
}
