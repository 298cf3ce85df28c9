//! `ollama`: the native interface of an Ollama server, `POST /api/chat`, streamed as one JSON document a line. Unlike
//! its imitation of other interfaces it takes the size of the window, and refuses what does not fit instead of
//! leaving the beginning out. Source: docs/api.md of Ollama.

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
        // What its other interfaces are called by.
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
    if let Some(what) = left_out(call.request, &reply, call.chosen.model.num_ctx) {
        call.workspace.world.say(&format!("model {}: {what}", call.chosen.name));
    }
    Ok(reply)
}

/// What is to be said of a request that the server seems to have made shorter, which older ones do without a word.
fn left_out(request: &Request, reply: &Reply, window: Option<u32>) -> Option<String> {
    let counted = reply.usage.input;
    if let Some(window) = window.map(u64::from) {
        let is_full = counted > 0 && counted >= window.saturating_sub(1);
        return is_full.then(|| {
            format!("its window of {window} tokens is full, and what was oldest may be left out; raise num_ctx")
        });
    }
    let said: usize = request.messages.iter().map(|message: &Message| tokens::estimate(message.content())).sum();
    let about = (tokens::estimate(&request.system) + said) as u64;
    // A window is a power of two, half of it or more is what stays of a request that is cut.
    let is_short = counted >= 1000 && about > 2 * counted;
    is_short.then(|| {
        format!("it has read {counted} tokens of a request of about {about}; set num_ctx, its window is smaller")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Usage;

    #[test]
    fn a_window_that_is_full_is_said_where_it_can_be_known() {
        let request = |words: usize| Request {
            model: None,
            system: "word ".repeat(words),
            system_stable: 0,
            messages: Vec::new(),
            tools: Vec::new(),
            must_answer: false,
            temperature: None,
            max_tokens: None,
        };
        let says = |words, input, window| {
            let reply = Reply { usage: Usage { input, ..Usage::default() }, ..Reply::default() };
            left_out(&request(words), &reply, window).unwrap_or_default()
        };
        assert!(says(10, 4096, Some(4096)).contains("window of 4096 tokens is full"));
        assert_eq!(says(10, 4000, Some(4096)), "");
        assert_eq!(says(10, 0, Some(4096)), "", "nobody has counted");
        assert!(says(8000, 4096, None).contains("4096 tokens of a request of about 10000"));
        assert_eq!(says(8000, 9000, None), "");
        assert_eq!(says(8000, 12, None), "", "what is in the cache is not counted by old servers");
    }
}
