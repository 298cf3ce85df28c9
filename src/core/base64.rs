//! Base64 of the standard alphabet: RFC 4648, section 4.

/// The bytes in base64, without padding.
#[must_use]
pub fn unpadded(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let all = chunk.iter().chain([&0, &0]).take(3).fold(0_usize, |all, byte| all << 8 | usize::from(*byte));
        let digits = [18, 12, 6, 0].map(|shift| char::from(ALPHABET[all >> shift & 63]));
        text.extend(&digits[..=chunk.len()]);
    }
    text
}

/// The bytes in base64, padded to a multiple of four characters.
#[must_use]
pub fn padded(bytes: &[u8]) -> String {
    let mut text = unpadded(bytes);
    text.extend(std::iter::repeat_n('=', text.len().next_multiple_of(4) - text.len()));
    text
}

/// The bytes of a text in base64: the standard or the URL alphabet, with or without padding. `None` for any other text.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        (bits, count) = ((bits << 6 | u32::from(value)) & 0xff_ffff, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    (digits.len() % 4 != 1).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let plain = texts.map(|text| unpadded(text.as_bytes()));
        assert_eq!(plain, ["", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"]);
        let padded = texts.map(|text| padded(text.as_bytes()));
        assert_eq!(padded, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }

    #[test]
    fn decoding_reverses_encoding() {
        for length in 0..20u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37)).collect();
            assert_eq!((decode(&padded(&bytes)), decode(&unpadded(&bytes))), (Some(bytes.clone()), Some(bytes)));
        }
        assert_eq!(
            (decode("-_8"), decode("a b"), decode("a"), decode("ä")),
            (Some(vec![0xfb, 0xff]), None, None, None)
        );
    }
}
