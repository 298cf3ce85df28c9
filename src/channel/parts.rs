//! Sending an answer in parts. The receipt has a line with the ends of the parts, if there are several, before the first
//! one is sent; then `begun N` before each part and `sent N ID` or `not sent N` after it, each synced. A part of which
//! only `begun` is known may have been sent: it is unknown.

use crate::channel::Delivery;
use crate::core::channel::settings::UnknownDelivery;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::markdown;
use crate::store::queue::receipt::Receipt;

/// The receipt's line with the ends of the parts, in bytes of the answer.
const PARTS: &str = "parts";
const BEGUN: &str = "begun";
const SENT: &str = "sent";
const NOT_SENT: &str = "not sent";

/// The result of sending one part.
pub enum PartResult {
    /// The platform's id of the message.
    Sent(String),
    /// It was not sent; the fault decides whether it is tried again.
    NotSent(Fault),
    /// It may have been sent.
    Unknown(Fault),
}

/// Sends what the receipt does not have yet. `fits` says whether the source of a part is accepted; `send` sends one, and
/// is told whether it may be a repetition.
///
/// # Errors
/// The fault of the first part that was not sent; `Failed` for an unknown part with [`UnknownDelivery::Hold`].
pub fn send(
    delivery: &mut Delivery,
    unknown: UnknownDelivery,
    fits: &dyn Fn(&str) -> bool,
    send: &dyn Fn(&str, bool) -> PartResult,
) -> Result<()> {
    let text = &delivery.event.content;
    let ends = match planned(&delivery.receipt).filter(|ends| is_plan_of(ends, text)) {
        Some(ends) => ends,
        None => {
            let ends = markdown::cuts(text, fits);
            if ends.len() > 1 {
                let list: Vec<String> = ends.iter().map(ToString::to_string).collect();
                delivery.receipt.push(&format!("{PARTS} {}", list.join(" ")))?;
            }
            ends
        }
    };
    let mut from = 0;
    for (number, end) in ends.into_iter().enumerate().map(|(n, end)| (n + 1, end)) {
        let source = markdown::part(text, std::mem::replace(&mut from, end)..end);
        let state = state(&delivery.receipt, number);
        if state == PartState::Sent {
            continue;
        }
        let is_unknown = state == PartState::Begun;
        if is_unknown && unknown == UnknownDelivery::Hold {
            let message = format!("part {number} may have been sent before an interruption (`unknown: hold`)");
            return Err(Fault::new(Kind::Failed, message).hint("`claw retry` sends it again"));
        }
        delivery.receipt.push(&format!("{BEGUN} {number}"))?;
        match send(&source, is_unknown) {
            PartResult::Sent(id) => delivery.receipt.push(&format!("{SENT} {number} {id}"))?,
            PartResult::NotSent(fault) => {
                // A part that was unknown before this attempt stays so.
                if !is_unknown {
                    delivery.receipt.push(&format!("{NOT_SENT} {number}"))?;
                }
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
    let count = planned(receipt).map_or(1, |ends| ends.len());
    (1..=count).all(|number| state(receipt, number) == PartState::Sent)
}

/// Whether a part may have been sent of which nothing more is known.
#[must_use]
pub fn has_unknown(receipt: &Receipt) -> bool {
    let count = planned(receipt).map_or(1, |ends| ends.len());
    (1..=count).any(|number| state(receipt, number) == PartState::Begun)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartState {
    New,
    Begun,
    Sent,
}

/// The ends that the receipt has.
fn planned(receipt: &Receipt) -> Option<Vec<usize>> {
    let line = receipt.lines.iter().find_map(|line| line.strip_prefix(PARTS)?.strip_prefix(' '))?;
    line.split(' ').map(|end| end.parse().ok()).collect()
}

fn is_plan_of(ends: &[usize], text: &str) -> bool {
    ends.last() == Some(&text.len()) && ends.is_sorted() && ends.iter().all(|end| text.is_char_boundary(*end))
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
        _ if is(line, NOT_SENT) => PartState::New,
        other => other,
    })
}
