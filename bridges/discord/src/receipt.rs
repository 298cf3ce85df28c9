//! The receipt of a message: its parts, and for each whether it is begun or sent. The parts themselves are stored, so that
//! another version of the program sends the same rest.

use serde_json::{Value, json};

/// Discord remembers a nonce for "a few minutes"; so many milliseconds are certain.
const NONCE_WINDOW: u64 = 120_000;

/// How far a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was sent.
    New,
    /// A request was begun at this instant, Unix milliseconds; its answer is not known.
    Begun(u64),
    /// The owner was told that it may have been sent.
    Held,
    /// Discord's id of it.
    Sent(String),
}

/// A part and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    text: String,
    state: State,
    /// Raised when the owner sends a held part again: Discord must not take it for the first one.
    round: u64,
}

/// The receipt of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    parts: Vec<Part>,
}

/// The next step of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this part with this nonce.
    Send {
        /// Its place among the parts.
        part: usize,
        /// Its text.
        text: String,
        /// The nonce: the same for every try.
        nonce: String,
    },
    /// This part may have been sent, and Discord no longer remembers it.
    Hold {
        /// Its place among the parts.
        part: usize,
    },
    /// All parts are sent: their ids.
    Done(String),
}

impl Receipt {
    /// A new message.
    pub fn new(parts: Vec<String>) -> Self {
        Self { parts: parts.into_iter().map(|text| Part { text, state: State::New, round: 0 }).collect() }
    }

    /// Reads a stored one.
    pub fn read(stored: &Value) -> Option<Self> {
        let part = |part: &Value| {
            let state = match (&part["sent"], &part["begun"], &part["held"]) {
                (Value::String(id), _, _) => State::Sent(id.clone()),
                (_, Value::Number(at), _) => State::Begun(at.as_u64()?),
                (_, _, Value::Bool(true)) => State::Held,
                _ => State::New,
            };
            Some(Part { text: part["text"].as_str()?.to_owned(), state, round: part["round"].as_u64()? })
        };
        Some(Self { parts: stored["parts"].as_array()?.iter().map(part).collect::<Option<_>>()? })
    }

    /// The stored form.
    pub fn stored(&self) -> Value {
        let part = |part: &Part| {
            let mut stored = json!({"text": part.text, "round": part.round});
            match &part.state {
                State::New => {}
                State::Begun(at) => stored["begun"] = json!(at),
                State::Held => stored["held"] = json!(true),
                State::Sent(id) => stored["sent"] = json!(id),
            }
            stored
        };
        json!({"parts": self.parts.iter().map(part).collect::<Vec<_>>()})
    }

    /// The number of parts.
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// The next step of the message of `event`, at `now` in Unix milliseconds. A part to send is begun from now on: the
    /// receipt must be durable before the request.
    pub fn next(&mut self, event: &str, now: u64) -> Step {
        let Some((part, next)) =
            self.parts.iter_mut().enumerate().find(|(_, part)| !matches!(part.state, State::Sent(_)))
        else {
            let id = |part: &Part| if let State::Sent(id) = &part.state { id.clone() } else { String::new() };
            return Step::Done(self.parts.iter().map(id).collect::<Vec<_>>().join(" "));
        };
        match next.state {
            State::New => next.state = State::Begun(now),
            // A clock that was set back says nothing about the window.
            State::Begun(at) if at > now || now - at > NONCE_WINDOW => {
                next.state = State::Held;
                return Step::Hold { part };
            }
            State::Begun(_) | State::Sent(_) => {}
            State::Held => {
                next.round += 1;
                next.state = State::Begun(now);
            }
        }
        let nonce = (hash(event, part, next.round) >> 1).to_string();
        Step::Send { part, text: next.text.clone(), nonce }
    }

    /// A part was sent.
    pub fn sent(&mut self, part: usize, id: String) {
        self.set(part, State::Sent(id));
    }

    /// A part was certainly not sent.
    pub fn not_sent(&mut self, part: usize) {
        self.set(part, State::New);
    }

    fn set(&mut self, part: usize, state: State) {
        if let Some(part) = self.parts.get_mut(part) {
            part.state = state;
        }
    }
}

/// FNV-1a: a nonce must be the same in every version of the program.
pub fn hash(event: &str, part: usize, round: u64) -> u64 {
    let text = format!("{event} {part} {round}");
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(step: &Step) -> &str {
        if let Step::Send { nonce, .. } = step { nonce } else { panic!("{step:?}") }
    }

    #[test]
    fn unknown_part_is_repeated_with_its_nonce_within_the_window() {
        let mut receipt = Receipt::new(vec!["one".into(), "two".into()]);
        let first = receipt.next("e", 1000);
        receipt = Receipt::read(&receipt.stored()).unwrap();
        assert_eq!(receipt.next("e", 1000 + NONCE_WINDOW), first);
        receipt.sent(0, "77".into());
        receipt = Receipt::read(&receipt.stored()).unwrap();
        let second = receipt.next("e", 2000);
        assert_ne!(nonce(&first), nonce(&second));
        assert!(matches!(&second, Step::Send { part: 1, text, .. } if text == "two"));
        receipt.sent(1, "78".into());
        assert_eq!(receipt.next("e", 3000), Step::Done("77 78".into()));
    }

    #[test]
    fn unknown_part_is_held_after_the_window_and_sent_anew_when_asked() {
        for later in [1000 + NONCE_WINDOW + 1, 999] {
            let mut receipt = Receipt::new(vec!["one".into()]);
            let first = receipt.next("e", 1000);
            assert_eq!(receipt.next("e", later), Step::Hold { part: 0 });
            receipt = Receipt::read(&receipt.stored()).unwrap();
            assert_ne!(nonce(&receipt.next("e", later + 5)), nonce(&first));
        }
    }

    #[test]
    fn refused_part_begins_its_window_anew() {
        let mut receipt = Receipt::new(vec!["one".into()]);
        let first = receipt.next("e", 1000);
        receipt.not_sent(0);
        assert_eq!(receipt.next("e", 1000 + 2 * NONCE_WINDOW), first);
    }

    #[test]
    fn nonces_fit_into_25_digits_and_do_not_change() {
        assert_eq!(hash("e", 0, 0), 0xaf7f_265e_d467_1280);
        assert!((u64::MAX >> 1).to_string().len() <= 25);
    }
}
