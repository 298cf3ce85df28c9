//! The source of an answer: the response of a server, or a recorded one from a cassette. Its reader is the same for both.

use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::core::model::cassette::{RecordedChunk, Response as Recorded};
use crate::http::Credentials;
use crate::provider::client::failed;
use crate::provider::reading::decode::Decoder;
use crate::provider::tape::Tape;
use reqwest::Response;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::VecDeque;

/// A response whose body is read in chunks.
pub(super) struct ResponseSource {
    /// The HTTP status.
    pub(super) status: u16,
    /// The headers; of a recorded response only those that are recorded.
    pub(super) headers: HeaderMap,
    body: Body,
}

enum Body {
    Server(Response, Decoder),
    /// The remaining chunks, and the failure that ends the body.
    Cassette(VecDeque<Vec<u8>>, Option<String>),
}

impl ResponseSource {
    /// The response of a server.
    pub(super) fn server(response: Response) -> Self {
        let headers = response.headers().clone();
        let encoding = headers.get("content-encoding").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let decoder = Decoder::new(encoding);
        Self { status: response.status().as_u16(), headers, body: Body::Server(response, decoder) }
    }

    /// A response from a cassette.
    pub(super) fn recorded(recorded: &Recorded) -> Result<Self> {
        let headers = recorded.headers.iter().filter_map(|(name, value)| {
            Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::from_str(value).ok()?))
        });
        let headers = headers.collect();
        let chunks = recorded.chunks.iter().map(RecordedChunk::bytes).collect::<Result<_>>()?;
        Ok(Self { status: recorded.status, headers, body: Body::Cassette(chunks, recorded.cut.clone()) })
    }

    /// The next chunk of the body, decompressed; none after the last one. `tape` records the chunks and the failure of a server.
    pub(super) async fn next(
        &mut self,
        tape: &mut Tape,
        name: &str,
        credentials: &Credentials,
    ) -> Result<Option<Vec<u8>>> {
        match &mut self.body {
            Body::Server(response, decoder) => loop {
                let bytes = response.chunk().await.map_err(|e| failed(name, &e, credentials));
                let Some(bytes) = bytes.inspect_err(|fault| tape.cut(fault))? else { return Ok(None) };
                let unreadable = |problem| {
                    let message = format!("model {name}: the response {problem}");
                    Fault::new(Kind::Unavailable, message).cause(Cause::Unreadable)
                };
                let bytes = decoder.push(&bytes).map_err(unreadable).inspect_err(|fault| tape.cut(fault))?;
                if !bytes.is_empty() {
                    tape.take(&bytes);
                    return Ok(Some(bytes));
                }
            },
            Body::Cassette(chunks, cut) => match (chunks.pop_front(), cut.take()) {
                (None, Some(failure)) => Err(Fault::new(Kind::Unavailable, failure)),
                (chunk, failure) => {
                    *cut = failure;
                    Ok(chunk)
                }
            },
        }
    }
}
