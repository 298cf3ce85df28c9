//! Base32 in lower case, for ids and for hashes in names.

/// Crockford's alphabet: it omits the letters that look like digits (i, l, o) and u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The low `5 * length` bits of `value` as text.
#[must_use]
pub fn base32(value: u64, length: usize) -> String {
    (0..length).rev().map(|i| char::from(ALPHABET[usize::try_from((value >> (5 * i)) & 31).unwrap_or(0)])).collect()
}

/// A hash of `text` (BLAKE3, 5 bits a character), for names that are too long or have unsafe characters.
#[must_use]
pub fn hash32(text: &str, length: usize) -> String {
    let hash = blake3::hash(text.as_bytes());
    hash.as_bytes().iter().take(length).map(|b| char::from(ALPHABET[usize::from(b & 31)])).collect()
}
