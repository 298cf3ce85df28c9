//! Files that belong to a message of the user: images and PDF documents become parts of the request, text becomes a part
//! of the message. A file is recognised by its content; its name is the sender's choice.

use crate::core::fault::{Fault, Result};
use serde::{Deserialize, Serialize};

/// The folder of all attachments, in the workspace.
pub const FOLDER: &str = "files";
/// The largest image, in bytes: the strictest service accepts 5 MiB in base64. Images are never scaled down.
pub const MAX_IMAGE: u64 = 3_932_160;
/// The largest document, in bytes: with its request it must stay below 32 MB in base64.
pub const MAX_DOCUMENT: u64 = 20 << 20;
/// The longest text, in bytes.
pub const MAX_TEXT: u64 = 256 << 10;
/// The most files of a request.
pub const MAX_COUNT: usize = 20;
/// The most bytes of all files of a request.
pub const MAX_TOTAL: u64 = 20 << 20;
/// The estimate of a part of a request, in tokens: services count a large image as about that many.
pub const TOKENS: usize = 1600;

/// The media types that models read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Media {
    /// PNG.
    #[serde(rename = "image/png")]
    Png,
    /// JPEG.
    #[serde(rename = "image/jpeg")]
    Jpeg,
    /// GIF.
    #[serde(rename = "image/gif")]
    Gif,
    /// WebP.
    #[serde(rename = "image/webp")]
    Webp,
    /// PDF.
    #[serde(rename = "application/pdf")]
    Pdf,
}

impl Media {
    /// The name of the media type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Pdf => "application/pdf",
        }
    }

    /// Whether it is a document, and not an image.
    #[must_use]
    pub fn is_document(self) -> bool {
        self == Self::Pdf
    }
}

/// The content of an attached file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// An image or a document.
    Media(Media),
    /// UTF-8 text without control characters but white space.
    Text,
}

impl Content {
    /// The content that these bytes begin or are; `None` where no model reads it.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let media = match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Media::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Media::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Media::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Media::Webp),
            [b'%', b'P', b'D', b'F', b'-', ..] => Some(Media::Pdf),
            _ => None,
        };
        let is_text = |text: &str| !text.chars().any(|c| c.is_control() && !c.is_ascii_whitespace());
        media
            .map(Self::Media)
            .or_else(|| std::str::from_utf8(bytes).ok().filter(|text| is_text(text)).map(|_| Self::Text))
    }

    /// The most bytes of such a file.
    #[must_use]
    pub fn limit(self) -> u64 {
        match self {
            Self::Media(media) if media.is_document() => MAX_DOCUMENT,
            Self::Media(_) => MAX_IMAGE,
            Self::Text => MAX_TEXT,
        }
    }
}

/// The content of a file named `shown`, if a request may have it.
///
/// # Errors
/// `Data` if it is empty, too large, or nothing that a model reads.
pub fn accepted(shown: &str, bytes: &[u8]) -> Result<Content> {
    if bytes.is_empty() {
        return Err(Fault::data(format!("{shown} is empty")));
    }
    let Some(content) = Content::of(bytes) else {
        return Err(Fault::data(format!("{shown} is neither text nor PNG, JPEG, GIF, WebP or PDF"))
            .hint("convert it, or name its path in the message and let the agent use its tools"));
    };
    let (size, limit) = (bytes.len() as u64, content.limit());
    if size > limit {
        let kind = match content {
            Content::Media(media) if media.is_document() => "a document",
            Content::Media(_) => "an image",
            Content::Text => "a text",
        };
        let message = format!("{shown} has {size} bytes; {kind} may have {limit}");
        return Err(Fault::data(message).hint("make it smaller; it is not changed on the way"));
    }
    Ok(content)
}

/// The room for files in one request.
#[derive(Debug)]
pub struct AttachmentRoom {
    count: usize,
    bytes: u64,
}

impl Default for AttachmentRoom {
    fn default() -> Self {
        Self { count: MAX_COUNT, bytes: MAX_TOTAL }
    }
}

impl AttachmentRoom {
    /// Takes the room of one file of `size` bytes.
    ///
    /// # Errors
    /// `Data` if it does not fit; then nothing is taken.
    pub fn take(&mut self, size: u64) -> Result<()> {
        let count = self.count.checked_sub(1);
        let count = count.ok_or_else(|| Fault::data(format!("a request may have {MAX_COUNT} files")))?;
        let bytes = self.bytes.checked_sub(size);
        let bytes = bytes.ok_or_else(|| Fault::data(format!("the files of a request may have {MAX_TOTAL} bytes")))?;
        (self.count, self.bytes) = (count, bytes);
        Ok(())
    }
}

/// A file of a message. The session's log has only its path; a request has its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The path, relative to the workspace.
    pub path: String,
    /// The media type, once the file was read.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// The content in base64, with its padding.
    #[serde(skip)]
    pub data: String,
}

impl Attachment {
    /// The file at `path`, not read yet.
    #[must_use]
    pub fn at(path: impl Into<String>) -> Self {
        Self { path: path.into(), media: None, data: String::new() }
    }

    /// The last part of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The media type.
    #[must_use]
    pub fn media_name(&self) -> &'static str {
        self.media.map_or("application/octet-stream", Media::name)
    }

    /// Whether it is a document, and not an image.
    #[must_use]
    pub fn is_document(&self) -> bool {
        self.media.is_some_and(Media::is_document)
    }

    /// The content as a `data:` URL (RFC 2397).
    #[must_use]
    pub fn data_url(&self) -> String {
        format!("data:{};base64,{}", self.media_name(), self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

    #[test]
    fn file_is_recognised_by_its_content() {
        let media = |bytes: &[u8]| match Content::of(bytes) {
            Some(Content::Media(media)) => media.name(),
            Some(Content::Text) => "text",
            None => "none",
        };
        assert_eq!(media(b"\x89PNG\r\n\x1a\n\0\0"), "image/png");
        assert_eq!(media(b"\xff\xd8\xff\xe0"), "image/jpeg");
        assert_eq!(media(b"GIF87a.."), "image/gif");
        assert_eq!(media(b"GIF89a.."), "image/gif");
        assert_eq!(media(b"RIFF\x01\x02\x03\x04WEBPVP8 "), "image/webp");
        assert_eq!(media(b"%PDF-1.7\n\xe2"), "application/pdf");
        assert_eq!(media("Käse\r\n\tund Brot".as_bytes()), "text");
        for other in [&b"RIFF\x01\x02\x03\x04WAVE"[..], b"\x89PNG\n", b"\xff\xd8", b"a\0b", b"\xff\xfe", b"\x1b[31m"] {
            assert_eq!(media(other), "none", "{other:?}");
        }
    }

    #[test]
    fn file_of_the_largest_size_is_accepted_and_a_larger_one_is_not() {
        for (begin, limit) in [(PNG, MAX_IMAGE), (b"%PDF-1.4", MAX_DOCUMENT), (b"text", MAX_TEXT)] {
            let of = |size: u64| {
                let mut bytes = begin.to_vec();
                bytes.resize(usize::try_from(size).unwrap(), b'x');
                accepted("a", &bytes)
            };
            assert!(of(limit - 1).is_ok() && of(limit).is_ok());
            let fault = of(limit + 1).unwrap_err();
            assert!(fault.message.starts_with(&format!("a has {} bytes; ", limit + 1)), "{fault}");
        }
        assert_eq!(accepted("a", b"").unwrap_err().message, "a is empty");
        assert!(accepted("a", b"\0").unwrap_err().message.contains("neither text nor PNG"));
    }

    #[test]
    fn room_of_a_request_is_limited_by_count_and_by_bytes() {
        let mut room = AttachmentRoom::default();
        assert!((0..MAX_COUNT).all(|_| room.take(1).is_ok()));
        assert!(room.take(0).unwrap_err().message.contains("20 files"));
        let mut room = AttachmentRoom::default();
        assert!(room.take(MAX_TOTAL + 1).unwrap_err().message.contains("bytes"));
        assert!(room.take(MAX_TOTAL).is_ok() && room.take(1).is_err() && room.take(0).is_ok());
    }

    #[test]
    fn log_has_the_path_and_a_request_for_a_program_also_the_type() {
        let mut file = Attachment::at("files/a.png");
        assert_eq!(serde_json::json!(file), serde_json::json!({"path": "files/a.png"}));
        (file.media, file.data) = (Some(Media::Png), "iVBO".into());
        assert_eq!(serde_json::json!(file), serde_json::json!({"path": "files/a.png", "type": "image/png"}));
        assert_eq!((file.name(), &file.data_url()[..]), ("a.png", "data:image/png;base64,iVBO"));
    }
}
