//! `replay`: what was recorded answers again, exchange by exchange, in its order. The provider that was recorded
//! makes the request and reads the answer, as it did then; only whoever was asked is not.

use crate::core::config::resolved_model::ResolvedModel;
use crate::core::fault::{Fault, Result};
use crate::core::model::settings::{Model, REPLAY};
use crate::core::model::{Reply, Request};
use crate::provider::tape::Tape;
use crate::provider::{Charge, ModelCall, named};
use crate::store::cassette;

pub(super) fn ask(call: &mut ModelCall) -> Result<Reply> {
    let chosen = call.chosen;
    let with_name = |fault: Fault| Fault { message: format!("model {}: {}", chosen.name, fault.message), ..fault };
    let Some(cassette) = &chosen.model.cassette else {
        return Err(with_name(Fault::config("`cassette` is missing")));
    };
    let playing = cassette::play(call.workspace, cassette).map_err(with_name)?;
    // As it was set up then; what is said of it now comes first.
    let mut model = playing.exchange.model().map_err(with_name)?;
    model.merge(&Model { provider: None, cassette: None, ..chosen.model.clone() });
    let then = ResolvedModel { name: chosen.name.clone(), model };
    let ask = named(&then)?;
    if then.model.provider.as_deref() == Some(REPLAY) {
        return Err(with_name(Fault::data("a cassette of a cassette answers nothing")));
    }
    let request = Request {
        model: then.model.model.clone(),
        temperature: then.model.temperature,
        max_tokens: then.model.max_tokens,
        ..call.request.clone()
    };
    ask(&mut ModelCall {
        workspace: call.workspace,
        chosen: &then,
        request: &request,
        at: call.at,
        lane: call.lane,
        cancel: call.cancel,
        on_text: &mut *call.on_text,
        charge: Charge::Nothing,
        tape: Tape::playing(playing),
    })
}
