//! Decoding bytes from the web. Servers, pages and editors contradict each other about the encoding: an encoding in which
//! every byte is valid takes precedence over one that is only declared.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use std::borrow::Cow;

/// The bytes of a page searched for its own declaration: the HTML standard's 1,024, and more for pages with long
/// comments.
const HEAD: usize = 4096;

/// The text of `bytes`; `label` is the server's label of their encoding.
#[must_use]
pub fn text<'a>(bytes: &'a [u8], label: Option<&str>) -> Cow<'a, str> {
    // A byte order mark takes precedence over everything (HTML standard, 13.2.3.2).
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0;
    }
    let server = label.and_then(|label| Encoding::for_label(label.trim().as_bytes()));
    let own = claimed(&bytes[..bytes.len().min(HEAD)]);
    let claims = [server, own, Some(UTF_8)];
    // Every byte is valid in Windows-1252, so that its validity proves nothing; other text is valid UTF-8 by chance only
    // if it is ASCII.
    let proof = claims.into_iter().flatten().filter(|claim| *claim != WINDOWS_1252);
    let is_sloppy = server.or(own) == Some(WINDOWS_1252);
    let fits = if is_sloppy { fit(UTF_8, bytes) } else { proof.into_iter().find_map(|claim| fit(claim, bytes)) };
    fits.unwrap_or_else(|| server.or(own).unwrap_or(WINDOWS_1252).decode_without_bom_handling(bytes).0)
}

fn fit<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
    encoding.decode_without_bom_handling_and_without_replacement(bytes)
}

/// The encoding that a page declares: `<meta charset=x>`, `<meta http-equiv=… content="…; charset=x">`, or
/// `<?xml encoding="x"?>`.
fn claimed(head: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let in_tag = |tag: &str, key: &str| {
        head.split(tag).skip(1).find_map(|rest| {
            let tag = &rest[..rest.find('>').unwrap_or(rest.len())];
            let value = tag.split_once(key)?.1.trim_start().strip_prefix('=')?.trim_start();
            let value = value.trim_start_matches(['"', '\'']);
            let end = value.find(|c: char| !(c.is_ascii_alphanumeric() || "-_:.".contains(c)));
            Encoding::for_label(&value.as_bytes()[..end.unwrap_or(value.len())])
        })
    };
    let found = in_tag("<meta", "charset").or_else(|| in_tag("<?xml", "encoding"))?;
    // A declaration that is readable as ASCII is not in UTF-16 (HTML standard, 13.2.3.2).
    Some(if found == encoding_rs::UTF_16LE || found == encoding_rs::UTF_16BE { UTF_8 } else { found })
}

#[cfg(test)]
mod tests {
    use super::text;

    /// "Grüße, 日本" cannot be written in all of them.
    const GERMAN: &str = "Grüße – „Ärger“";
    const JAPANESE: &str = "日本語のページ、カタカナ";

    fn encoded(label: &str, text: &str) -> Vec<u8> {
        encoding_rs::Encoding::for_label(label.as_bytes()).unwrap().encode(text).0.into_owned()
    }

    #[test]
    fn label_of_the_server_is_used_if_every_byte_is_valid() {
        assert_eq!(text(&encoded("windows-1252", GERMAN), Some("ISO-8859-1")), GERMAN);
        assert_eq!(text(&encoded("shift_jis", JAPANESE), Some("shift_jis")), JAPANESE);
        assert_eq!(text(&encoded("euc-kr", "한국어"), Some(" EUC-KR ")), "한국어");
        assert_eq!(text(GERMAN.as_bytes(), Some("utf-8")), GERMAN);
    }

    #[test]
    fn declaration_in_the_page_is_used() {
        for meta in [
            "<meta charset=shift_jis>",
            "<META CHARSET = 'Shift_JIS' />",
            "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=x-sjis\">",
            "<?xml version=\"1.0\" encoding=\"Shift_JIS\"?>",
        ] {
            let page = format!("{meta}<p>{JAPANESE}");
            assert_eq!(text(&encoded("shift_jis", &page), None), page);
            assert_eq!(text(&encoded("shift_jis", &page), Some("no-such")), page, "an unknown label is ignored");
            assert_eq!(text(&encoded("shift_jis", &page), Some("utf-8")), page, "a wrong label is detected");
        }
        let page = format!("<meta charset=utf-16>{GERMAN}");
        assert_eq!(text(page.as_bytes(), None), page);
    }

    #[test]
    fn undeclared_text_is_utf_8_or_else_windows_1252() {
        assert_eq!(text(JAPANESE.as_bytes(), None), JAPANESE);
        assert_eq!(text(&encoded("windows-1252", GERMAN), None), GERMAN);
        assert_eq!(text(b"", None), "");
    }

    #[test]
    fn utf_8_labelled_as_latin_1_is_read_as_utf_8() {
        assert_eq!(text(GERMAN.as_bytes(), Some("iso-8859-1")), GERMAN);
        assert_eq!(text(GERMAN.as_bytes(), Some("windows-1252")), GERMAN);
    }

    #[test]
    fn byte_order_mark_takes_precedence() {
        let utf16: Vec<u8> = [0xfeff].into_iter().chain(JAPANESE.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(text(&utf16, Some("utf-8")), JAPANESE);
        assert_eq!(text(format!("\u{feff}{GERMAN}").as_bytes(), Some("iso-8859-1")), GERMAN);
    }

    #[test]
    fn invalid_bytes_become_replacement_characters_of_the_declared_encoding() {
        assert_eq!(text(b"a\xffb", Some("utf-8")), "a\u{fffd}b");
    }
}
