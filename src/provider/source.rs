//! Where an answer comes from: a server, or a cassette that says what one said. Whoever reads it cannot tell.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::cassette::{RecordedChunk, Response as Recorded};
use crate::provider::http;
use crate::provider::tape::Tape;
use reqwest::Response;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::VecDeque;

/// An answer that is read as it comes.
pub(super) struct Source {
    /// The HTTP status.
    pub(super) status: u16,
    /// The headers; of a recorded answer those that count.
    pub(super) headers: HeaderMap,
    body: Body,
}

enum Body {
    Server(Response),
    Cassette(VecDeque<Vec<u8>>, Option<String>),
}

impl Source {
    /// An answer that a server gives.
    pub(super) fn server(response: Response) -> Self {
        Self { status: response.status().as_u16(), headers: response.headers().clone(), body: Body::Server(response) }
    }

    /// An answer that one gave.
    pub(super) fn recorded(recorded: &Recorded) -> Result<Self> {
        let headers = recorded.headers.iter().filter_map(|(name, value)| {
            Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::from_str(value).ok()?))
        });
        let headers = headers.collect();
        let chunks = recorded.chunks.iter().map(RecordedChunk::bytes).collect::<Result<_>>()?;
        Ok(Self { status: recorded.status, headers, body: Body::Cassette(chunks, recorded.cut.clone()) })
    }

    /// The next piece of its body; nothing behind the last one. What a server says is written down where that is
    /// wanted.
    pub(super) async fn next(&mut self, tape: &mut Tape, name: &str, key: Option<&str>) -> Result<Option<Vec<u8>>> {
        match &mut self.body {
            Body::Server(response) => {
                let bytes = response.chunk().await.map_err(|e| http::failed(name, &e, key));
                let bytes = bytes.inspect_err(|fault| tape.cut(fault))?.map(|bytes| bytes.to_vec());
                if let Some(bytes) = &bytes {
                    tape.take(bytes);
                }
                Ok(bytes)
            }
            Body::Cassette(chunks, cut) => match (chunks.pop_front(), cut.take()) {
                (None, Some(why)) => Err(Fault::new(Kind::Unavailable, why)),
                (chunk, why) => {
                    *cut = why;
                    Ok(chunk)
                }
            },
        }
    }
}
