//! Text from the web: pages, their encodings, and the URLs in them.

use claw::core::web::charset;
use claw::core::web::page::{self, PageKind};
use claw::core::web::url_policy::Target;
use std::net::IpAddr;

/// A page: the first line is its content type, the rest its bytes.
pub fn page(data: &[u8]) {
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (first, body) = (String::from_utf8_lossy(&data[..end]), data.get(end + 1..).unwrap_or_default());
    let _ = (page::kind(&first), page::sniff(body));
    let label = page::label(&first);
    let whole = charset::text(body, label);
    if let Ok(text) = std::str::from_utf8(body) {
        // A claimed encoding may misread UTF-8, but not lose it.
        assert_eq!(text.is_empty(), whole.is_empty() && !text.starts_with('\u{feff}'), "text is lost");
    }
    for is_whole in [false, true] {
        let text = page::text(PageKind::Html, body, label, "https://example.org/a/b", is_whole).unwrap();
        let odd = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(odd, None, "a character that no text has");
        // Without brackets and entities in the page, those of Markdown come from the converter.
        assert!(whole.contains(['&', '(']) || !text.contains("](javascript:"), "{text}");
    }
}

/// A URL that an agent requests, and one from a redirect.
pub fn place(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (first, second) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(place) = Target::parse(first) else { return };
    is_guarded(&place);
    if let Ok(next) = place.next(second) {
        is_guarded(&next);
        assert!(place.url.scheme() == "http" || next.url.scheme() == "https", "{next:?}");
    }
}

fn is_guarded(place: &Target) {
    assert_eq!(Target::parse(place.url.as_str()).as_ref(), Ok(place), "what is asked for is not what was judged");
    assert!(matches!(place.url.scheme(), "http" | "https") && place.url.username().is_empty(), "{place:?}");
    // Text that the machine would take for an address must be one for the policy too.
    if let Ok(ip) = place.host.parse::<IpAddr>() {
        assert_eq!(place.ip, Some(ip), "{place:?}");
    }
    let local = place.ip.is_some_and(|ip| ip.is_loopback() || ip.is_unspecified());
    assert!(!local || place.check_addresses(place.ip.as_slice(), &[]).is_err(), "{place:?}");
}
