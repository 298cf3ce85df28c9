//! A client's place in the journal: `DAY.OFFSET.CHECK.BOOT`. The offset is in bytes, after the last line that the client
//! has received; the check is a hash of that line, so that a journal that a power cut has shortened and that has grown
//! again is not taken for the same one. The boot tells whether the machine was restarted since.

use std::fmt;

/// A place in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The file's day, as in its name.
    pub day: String,
    /// The offset after the line, in bytes.
    pub offset: u64,
    /// The hash of the line; 0 at the beginning of a file.
    pub check: u32,
    /// The hash of the machine's boot id.
    pub boot: u32,
}

impl Cursor {
    /// Parses the text of a cursor. `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (day, offset, check, boot) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_day = day.len() == 10 && day.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        if !is_day || parts.next().is_some() || text.len() > 60 {
            return None;
        }
        let hex = |text| u32::from_str_radix(text, 16).ok();
        Some(Self { day: day.to_owned(), offset: offset.parse().ok()?, check: hex(check)?, boot: hex(boot)? })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{:08x}.{:08x}", self.day, self.offset, self.check, self.boot)
    }
}

/// The hash of a line, without its newline.
#[must_use]
pub fn check_of(line: &[u8]) -> u32 {
    let hash = blake3::hash(line);
    hash.as_bytes().iter().take(4).fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_reads_what_it_writes_and_nothing_else() {
        let cursor = Cursor { day: "2026-12-01".into(), offset: 1234, check: check_of(b"x"), boot: 7 };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        for bad in [
            "",
            "x",
            "2026-12-01",
            "2026-12-01.1.2",
            "2026-12-01.-1.0.0",
            "../../etc/x.1.0.0",
            "2026-12-01.1.0.0.0",
            "2026-12-01.1.g.0",
        ] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
        assert_ne!(check_of(b"a"), check_of(b"b"));
    }
}
