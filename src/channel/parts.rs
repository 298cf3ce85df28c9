//! Sending an answer in parts. If there are several, they are in the receipt before the first one is sent, each as the
//! platform gets it: a later version of the program, which may render or cut differently, sends the same rest. Around
//! each part the receipt gets `begun N`, then `sent N ID` or `not sent N`, each synced. A part of which only `begun` is
//! known may have been sent: it is unknown.

use crate::channel::Delivery;
use crate::core::channel::settings::UnknownDelivery;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::queue::receipt::Receipt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The receipt's line with the number of parts and a JSON list of them.
const PARTS: &str = "parts";
const BEGUN: &str = "begun";
const SENT: &str = "sent";
const NOT_SENT: &str = "not sent";
/// The part is unknown, and the owner was told.
const HELD: &str = "held";

/// The result of sending one part.
pub enum PartResult {
    /// The platform's id of the message.
    Sent(String),
    /// It was not sent; the fault decides whether it is tried again.
    NotSent(Fault),
    /// It may have been sent.
    Unknown(Fault),
}

/// Sends what the receipt does not have yet. `cut` makes the parts of the answer, at least one; `wait` waits until the
/// account may send one; `send` sends it, and is told whether it may be a repetition.
///
/// # Errors
/// That of `wait`; the fault of the first part that was not sent; `Failed` for an unknown part with
/// [`UnknownDelivery::Hold`], once: the next attempt, which the owner has asked for, sends it.
pub fn send<Part: Serialize + DeserializeOwned>(
    delivery: &mut Delivery,
    unknown: UnknownDelivery,
    cut: &dyn Fn(&str) -> Vec<Part>,
    wait: &dyn Fn() -> Result<()>,
    send: &dyn Fn(Part, bool) -> PartResult,
) -> Result<()> {
    if is_sent(&delivery.receipt) {
        // The worker died between the receipt and the move. This version might cut the answer into more parts.
        return Ok(());
    }
    let parts = if let Some(parts) = planned(&delivery.receipt)? {
        parts
    } else {
        let parts = cut(&delivery.event.content);
        if parts.len() > 1 {
            let list = serde_json::to_string(&parts).map_err(|e| Fault::data(e.to_string()))?;
            delivery.receipt.push(&format!("{PARTS} {} {list}", parts.len()))?;
        }
        parts
    };
    for (number, part) in (1..).zip(parts) {
        let state = state(&delivery.receipt, number);
        let is_unknown = matches!(state, PartState::Begun | PartState::Held);
        match state {
            PartState::Sent => continue,
            PartState::Begun if unknown == UnknownDelivery::Hold => {
                delivery.receipt.push(&format!("{HELD} {number}"))?;
                let message = format!("part {number} may have been sent before an interruption (`unknown: hold`)");
                return Err(Fault::new(Kind::Failed, message).hint("`claw retry` sends it again"));
            }
            PartState::New | PartState::Begun | PartState::Held => {}
        }
        wait()?;
        delivery.receipt.push(&format!("{BEGUN} {number}"))?;
        match send(part, is_unknown) {
            PartResult::Sent(id) => delivery.receipt.push(&format!("{SENT} {number} {id}"))?,
            PartResult::NotSent(fault) => {
                // A part that was unknown before this attempt stays so.
                let result = if is_unknown { HELD } else { NOT_SENT };
                delivery.receipt.push(&format!("{result} {number}"))?;
                return Err(fault);
            }
            PartResult::Unknown(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// Whether every part was sent.
#[must_use]
pub fn is_sent(receipt: &Receipt) -> bool {
    (1..=count(receipt)).all(|number| state(receipt, number) == PartState::Sent)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartState {
    New,
    /// Begun, and nothing more is known.
    Begun,
    /// Unknown, and to be sent again.
    Held,
    Sent,
}

/// The number of parts, and their list, as the receipt has them.
fn plan<'a>(receipt: &'a Receipt) -> Option<(usize, &'a str)> {
    let line = receipt.lines.iter().find_map(|line| line.strip_prefix(PARTS)?.strip_prefix(' '))?;
    let (count, list) = line.split_once(' ')?;
    Some((count.parse().ok()?, list))
}

fn count(receipt: &Receipt) -> usize {
    plan(receipt).map_or(1, |(count, _)| count)
}

fn planned<Part: DeserializeOwned>(receipt: &Receipt) -> Result<Option<Vec<Part>>> {
    let Some((_, list)) = plan(receipt) else { return Ok(None) };
    let unreadable = |e| Fault::data(format!("the parts in its receipt cannot be read: {e}"));
    serde_json::from_str(list).map(Some).map_err(unreadable)
}

fn state(receipt: &Receipt, number: usize) -> PartState {
    let number = number.to_string();
    let is = |line: &str, word: &str| {
        let rest = line.strip_prefix(word).and_then(|rest| rest.strip_prefix(' '));
        rest.is_some_and(|rest| rest.split(' ').next() == Some(&number))
    };
    receipt.lines.iter().fold(PartState::New, |state, line| match state {
        PartState::Sent => PartState::Sent,
        _ if is(line, SENT) => PartState::Sent,
        _ if is(line, BEGUN) => PartState::Begun,
        _ if is(line, HELD) => PartState::Held,
        _ if is(line, NOT_SENT) => PartState::New,
        other => other,
    })
}
