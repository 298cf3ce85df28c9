//! Markdown as one tree, without I/O. Telegram, the terminal and the web page render it; the parser is pulldown-cmark
//! (`CommonMark` with tables, strikethrough and task lists). Raw HTML is text: no renderer may pass it on as HTML.

mod build;

pub use build::parse;

/// The deepest nesting of quotes and lists; the content of deeper ones belongs to the last allowed one. It bounds the
/// recursion of every renderer.
pub const MAX_DEPTH: usize = 16;

/// A block of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A paragraph. A line break is `\n` within its text.
    Paragraph(Vec<Span>),
    /// A heading of level 1 to 6.
    Heading(u8, Vec<Span>),
    /// A block of code; its text ends without a newline.
    Code {
        /// The first word after the fence; may be empty.
        language: String,
        /// The code.
        text: String,
    },
    /// A quotation.
    Quote(Vec<Block>),
    /// A list.
    List {
        /// The number of the first item of an ordered list.
        first: Option<u64>,
        /// Its items.
        items: Vec<Item>,
    },
    /// A table. Rows may have fewer cells than the head.
    Table {
        /// The cells of the head.
        head: Vec<Cell>,
        /// The other rows.
        rows: Vec<Vec<Cell>>,
        /// The columns that are aligned to the right.
        right: Vec<usize>,
    },
    /// A thematic break.
    Rule,
}

/// A cell of a table.
pub type Cell = Vec<Span>;

/// An item of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// The box of a task: whether it is checked.
    pub checked: Option<bool>,
    /// Its content.
    pub blocks: Vec<Block>,
}

/// Text of one style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The text; it is not empty.
    pub text: String,
    /// Its style.
    pub style: Style,
}

/// The style of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the four styles are independent of each other")]
pub struct Style {
    /// Strong emphasis.
    pub bold: bool,
    /// Emphasis.
    pub italic: bool,
    /// Struck through.
    pub strike: bool,
    /// Code within a text.
    pub code: bool,
    /// The destination of a link or of an image, as it is written: a renderer checks its scheme.
    pub link: Option<String>,
}

/// The text of spans without their styles.
#[must_use]
pub fn plain(spans: &[Span]) -> String {
    spans.iter().map(|span| span.text.as_str()).collect()
}
