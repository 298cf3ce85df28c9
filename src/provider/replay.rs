//! `replay`: answers from a cassette, exchange by exchange, in the recorded order. The recorded provider builds the request
//! and reads the response as it did then; the server or program is not contacted.

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
    // The recorded settings, overridden by the present ones.
    let mut model = playing.exchange.model().map_err(with_name)?;
    model.merge(&Model { provider: None, cassette: None, ..chosen.model.clone() });
    let recorded = ResolvedModel { name: chosen.name.clone(), model };
    let ask = named(&recorded)?;
    if recorded.model.provider.as_deref() == Some(REPLAY) {
        return Err(with_name(Fault::data("the cassette was recorded from a cassette and has no provider to replay")));
    }
    let request = Request {
        model: recorded.model.model.clone(),
        temperature: recorded.model.temperature,
        max_tokens: recorded.model.max_tokens,
        ..call.request.clone()
    };
    ask(&mut ModelCall {
        workspace: call.workspace,
        chosen: &recorded,
        request: &request,
        at: call.at,
        may_recall: call.may_recall,
        lane: call.lane,
        cancel: call.cancel,
        on_text: &mut *call.on_text,
        charge: Charge::Nothing,
        tape: Tape::playing(playing),
    })
}
