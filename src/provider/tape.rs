//! What stands between a question and whoever answers it: nothing, somebody who writes everything down, or a
//! cassette that answers in their place.

use crate::core::fault::{Fault, Result};
use crate::core::model::cassette::{self, RecordedChunk, RecordedExchange, RecordedRequest, Response, VERSION};
use crate::provider::ModelCall;
use crate::store::agent::secrets::Secrets;
use crate::store::cassette::{Playing, append};
use serde_json::Value;

/// Nothing, a recorder, or a cassette that plays.
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
    /// Writes everything down.
    pub(super) fn recording() -> Self {
        Self(TapeState::Recording(Vec::new()))
    }

    /// Answers from a cassette.
    pub(super) fn playing(playing: Playing) -> Self {
        Self(TapeState::Playing(Box::new(playing)))
    }

    /// Everything is written down.
    pub(super) fn is_recording(&self) -> bool {
        matches!(self.0, TapeState::Recording(_))
    }

    /// Something is asked that was answered so.
    pub(super) fn begin(&mut self, asked: &RecordedRequest, answered: Response) {
        if let TapeState::Recording(all) = &mut self.0 {
            all.push((asked.clone(), answered));
        }
    }

    /// A piece of the answer's body.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if let Some(answered) = self.last() {
            answered.chunks.push(RecordedChunk::new(bytes));
        }
    }

    /// The body ends before its end.
    pub(super) fn cut(&mut self, why: &Fault) {
        if let Some(answered) = self.last() {
            answered.cut = Some(why.message.clone());
        }
    }

    fn last(&mut self) -> Option<&mut Response> {
        match &mut self.0 {
            TapeState::Recording(all) => all.last_mut().map(|(_, answered)| answered),
            _ => None,
        }
    }
}

/// What a cassette answers in place of whoever would be asked; nothing where none plays.
///
/// # Errors
/// `Failed` where something else is asked than what was recorded, with all that differs.
pub(super) fn answer(question: &ModelCall, asked: &RecordedRequest) -> Result<Option<Response>> {
    let TapeState::Playing(playing) = &question.tape.0 else { return Ok(None) };
    let secrets = Secrets::with(question.workspace, &question.chosen.model)?;
    let body = cassette::hidden(homeless(question, asked.body.clone()), &|text| secrets.hide(text));
    playing.exchange.is_asked(&RecordedRequest { body, ..asked.clone() }).map_err(|fault| {
        let (number, all) = playing.position;
        let what = format!("model {}: exchange {number} of {all}: {}", question.chosen.name, fault.message);
        Fault { message: what, ..fault }
    })?;
    playing.advance()?;
    Ok(Some(playing.exchange.response.clone()))
}

/// What is asked, without where the workspace lies: in another folder the same is asked.
fn homeless(question: &ModelCall, body: Value) -> Value {
    let workspace = question.workspace;
    let roots = [workspace.real_root(), workspace.root.clone()].map(|root| root.display().to_string());
    let roots: Vec<String> = roots.into_iter().filter(|root| root.len() > 1).collect();
    cassette::hidden(body, &|text| roots.iter().fold(text, |text, root| text.replace(root, "{{workspace}}")))
}

/// Writes down what was recorded while a question was asked.
///
/// # Errors
/// Where the disk cannot.
pub(super) fn save(question: &mut ModelCall) -> Result<()> {
    let (TapeState::Recording(all), Some(path)) = (std::mem::take(&mut question.tape.0), &question.workspace.record)
    else {
        return Ok(());
    };
    let secrets = Secrets::with(question.workspace, &question.chosen.model)?;
    for (request, response) in all {
        let request = RecordedRequest { body: homeless(question, request.body), ..request };
        let exchange = RecordedExchange {
            v: VERSION,
            at: question.workspace.world.now().timestamp(),
            session: question.lane.name.clone(),
            name: question.chosen.name.clone(),
            model: cassette::settings(&question.chosen.model),
            request,
            response,
        };
        append(question.workspace, path, &exchange.hidden(&|text| secrets.hide(text)))?;
    }
    Ok(())
}
