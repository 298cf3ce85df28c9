//! Recording and replay of a model call: its exchanges are recorded into a cassette, or a cassette answers instead of
//! the server or program. Most calls do neither.

use crate::core::fault::{Fault, Result};
use crate::core::model::cassette::{self, RecordedChunk, RecordedExchange, RecordedRequest, Response, VERSION};
use crate::provider::ModelCall;
use crate::store::agent::secrets::Secrets;
use crate::store::cassette::{Playing, append};
use serde_json::Value;

/// The recorder or the player of a call; neither by default.
#[derive(Debug, Default)]
pub struct Tape(TapeState);

#[derive(Debug, Default)]
enum TapeState {
    #[default]
    Off,
    Recording(Vec<(RecordedRequest, Response)>),
    Playing(Box<Playing>),
}

impl Tape {
    /// Records every exchange.
    pub(super) fn recording() -> Self {
        Self(TapeState::Recording(Vec::new()))
    }

    /// Answers from a cassette.
    pub(super) fn playing(playing: Playing) -> Self {
        Self(TapeState::Playing(Box::new(playing)))
    }

    /// Whether exchanges are recorded.
    pub(super) fn is_recording(&self) -> bool {
        matches!(self.0, TapeState::Recording(_))
    }

    /// Records a request and the head of its response.
    pub(super) fn begin(&mut self, request: &RecordedRequest, response: Response) {
        if let TapeState::Recording(all) = &mut self.0 {
            all.push((request.clone(), response));
        }
    }

    /// Records a chunk of the last response's body.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if let Some(response) = self.last() {
            response.chunks.push(RecordedChunk::new(bytes));
        }
    }

    /// Records the failure that ended the last body early.
    pub(super) fn cut(&mut self, fault: &Fault) {
        if let Some(response) = self.last() {
            response.cut = Some(fault.message.clone());
        }
    }

    fn last(&mut self) -> Option<&mut Response> {
        match &mut self.0 {
            TapeState::Recording(all) => all.last_mut().map(|(_, response)| response),
            _ => None,
        }
    }
}

/// The recorded response to a request; none if no cassette is played.
///
/// # Errors
/// `Failed` if the request differs from the recorded one, with all differences.
pub(super) fn answer(call: &ModelCall, request: &RecordedRequest) -> Result<Option<Response>> {
    let TapeState::Playing(playing) = &call.tape.0 else { return Ok(None) };
    let secrets = Secrets::with(call.workspace, &call.chosen.model)?;
    let body = cassette::redact(without_root(call, request.body.clone()), &|text| secrets.hide(text));
    playing.exchange.check_request(&RecordedRequest { body, ..request.clone() }).map_err(|fault| {
        let (number, all) = playing.position;
        let message = format!("model {}: exchange {number} of {all}: {}", call.chosen.name, fault.message);
        Fault { message, ..fault }
    })?;
    playing.advance()?;
    Ok(Some(playing.exchange.response.clone()))
}

/// A request body with a placeholder for the path of the workspace, so that a cassette can be played in another folder.
fn without_root(call: &ModelCall, body: Value) -> Value {
    let workspace = call.workspace;
    let roots = [workspace.real_root(), workspace.root.clone()].map(|root| root.display().to_string());
    let roots: Vec<String> = roots.into_iter().filter(|root| root.len() > 1).collect();
    cassette::redact(body, &|text| roots.iter().fold(text, |text, root| text.replace(root, "{{workspace}}")))
}

/// Appends the recorded exchanges of a call to the cassette.
///
/// # Errors
/// Those of the disk.
pub(super) fn save(call: &mut ModelCall) -> Result<()> {
    let (TapeState::Recording(all), Some(path)) = (std::mem::take(&mut call.tape.0), &call.workspace.record) else {
        return Ok(());
    };
    let secrets = Secrets::with(call.workspace, &call.chosen.model)?;
    for (request, response) in all {
        let request = RecordedRequest { body: without_root(call, request.body), ..request };
        let exchange = RecordedExchange {
            v: VERSION,
            at: call.workspace.world.now().timestamp(),
            session: call.lane.name.clone(),
            name: call.chosen.name.clone(),
            model: cassette::settings(&call.chosen.model),
            request,
            response,
        };
        append(call.workspace, path, &exchange.redacted(&|text| secrets.hide(text)))?;
    }
    Ok(())
}
