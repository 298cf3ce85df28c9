//! Decompression of bodies: some gateways compress although nothing was asked for, refusals above all.

use crate::provider::MAX_ANSWER;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::Write;

/// The part of a chunk that is decompressed at once, in bytes; it can become a thousand times as long.
const PART: usize = 4 << 10;

/// Decompresses a body chunk by chunk.
pub(in crate::provider) enum Decoder {
    /// Nothing has arrived; holds the value of `Content-Encoding`.
    Unknown(String),
    /// It is not compressed.
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
    /// `deflate` without the header that the standard requires.
    Deflate(Box<DeflateDecoder<Vec<u8>>>),
}

impl Decoder {
    /// A decoder for a body with this `Content-Encoding`.
    pub(in crate::provider) fn new(encoding: &str) -> Self {
        Self::Unknown(encoding.trim().to_ascii_lowercase())
    }

    /// The bytes of the next chunk.
    ///
    /// # Errors
    /// The problem, as the end of a sentence whose subject is the response.
    pub(in crate::provider) fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, String> {
        if let (Self::Unknown(encoding), Some(first)) = (&*self, chunk.first()) {
            *self = match (encoding.as_str(), first) {
                ("gzip" | "x-gzip", _) | (_, 0x1f) => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
                ("deflate", first) if first & 0x0f == 8 => Self::Zlib(Box::new(ZlibDecoder::new(Vec::new()))),
                ("deflate", _) => Self::Deflate(Box::new(DeflateDecoder::new(Vec::new()))),
                // Text, whatever the header says.
                (_, b'{' | b'[' | b'<' | b' ' | b'\n' | b'd' | b':') | ("" | "identity", _) => Self::Plain,
                (other, _) => return Err(format!("is compressed with `{other}`, which was not asked for")),
            };
        }
        match self {
            Self::Unknown(_) | Self::Plain => Ok(chunk.to_vec()),
            Self::Gzip(decoder) => decompress(chunk, &mut **decoder, |decoder| decoder.get_mut()),
            Self::Zlib(decoder) => decompress(chunk, &mut **decoder, |decoder| decoder.get_mut()),
            Self::Deflate(decoder) => decompress(chunk, &mut **decoder, |decoder| decoder.get_mut()),
        }
    }
}

fn decompress<D: Write>(chunk: &[u8], decoder: &mut D, output: fn(&mut D) -> &mut Vec<u8>) -> Result<Vec<u8>, String> {
    for part in chunk.chunks(PART) {
        decoder.write_all(part).and_then(|()| decoder.flush()).map_err(|e| format!("cannot be decompressed: {e}"))?;
        if output(decoder).len() as u64 > MAX_ANSWER {
            return Err(format!("has over {MAX_ANSWER} bytes when it is decompressed"));
        }
    }
    Ok(std::mem::take(output(decoder)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    const TEXT: &[u8] = b"{\"error\": {\"message\": \"the reason, the reason, the reason\"}}";

    fn read(encoding: &str, body: &[u8], size: usize) -> Result<Vec<u8>, String> {
        let mut decoder = Decoder::new(encoding);
        let parts: Result<Vec<Vec<u8>>, String> = body.chunks(size).map(|chunk| decoder.push(chunk)).collect();
        parts.map(|parts| parts.concat())
    }

    fn written<E: Write>(mut encoder: E, finish: fn(E) -> std::io::Result<Vec<u8>>) -> Vec<u8> {
        encoder.write_all(TEXT).unwrap();
        finish(encoder).unwrap()
    }

    #[test]
    fn every_compression_is_read_in_any_pieces() {
        let gzip = written(GzEncoder::new(Vec::new(), Compression::best()), GzEncoder::finish);
        let zlib = written(ZlibEncoder::new(Vec::new(), Compression::best()), ZlibEncoder::finish);
        let raw = written(DeflateEncoder::new(Vec::new(), Compression::best()), DeflateEncoder::finish);
        for size in [1, 7, 9999] {
            for (encoding, body) in
                [("gzip", &gzip), ("X-GZIP", &gzip), ("", &gzip), ("deflate", &zlib), ("deflate", &raw)]
            {
                assert_eq!(read(encoding, body, size).as_deref(), Ok(TEXT), "{encoding} {size}");
            }
            for encoding in ["", "identity", "br", "gzipped"] {
                assert_eq!(read(encoding, TEXT, size).as_deref(), Ok(TEXT), "{encoding}");
            }
        }
    }

    #[test]
    fn unknown_compression_damage_and_a_bomb_are_named() {
        assert_eq!(read("br", &[0x8b, 2], 9), Err("is compressed with `br`, which was not asked for".to_owned()));
        let damaged = read("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff\xff", 99);
        assert!(damaged.as_ref().unwrap_err().starts_with("cannot be decompressed"), "{damaged:?}");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; 64 << 20]).unwrap();
        let bomb = read("gzip", &encoder.finish().unwrap(), 1 << 20);
        assert!(bomb.unwrap_err().contains("when it is decompressed"));
    }
}
