//! JSON of models and servers: strict documents mean what they say, others are read or refused.

use claw::core::json::lenient;
use claw::core::model::Call;
use serde_json::Value;

/// A document, or the arguments of a call.
pub fn json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = lenient::parse(text);
    if let Ok(strict) = serde_json::from_str::<Value>(text) {
        assert_eq!(read, Some(strict), "a strict document means something else");
    }
    if let Some(value) = read {
        let whole = lenient::resolved(value);
        assert_eq!(lenient::resolved(whole.clone()), whole, "halves are joined once");
        let written = whole.to_string();
        assert!(lenient::parse(&written).is_some(), "it is not read back: {written}");
    }
    let arguments = Call::parse_arguments(text);
    assert!(arguments.is_object() || arguments.as_str() == Some(text), "arguments are an object or the text");
}
