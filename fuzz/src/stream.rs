//! The body of a model server: split into any pieces, it has the same meaning, or the same error.

use claw::provider::dissect;

/// Server-sent events, of all protocols that have them.
pub fn events(data: &[u8]) {
    for provider in ["openai", "responses", "anthropic"] {
        means_one_thing(provider, data);
    }
}

/// One document a line.
pub fn lines(data: &[u8]) {
    means_one_thing("ollama", data);
}

fn means_one_thing(provider: &str, data: &[u8]) {
    let whole = dissect(provider, data, usize::MAX);
    for size in [1, 7] {
        assert_eq!(dissect(provider, data, size), whole, "{provider}: pieces of {size} mean something else");
    }
}
