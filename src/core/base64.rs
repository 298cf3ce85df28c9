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
}
