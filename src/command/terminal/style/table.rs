//! Tables that fit the terminal: cells wrap between words, never inside of one. A terminal that is too narrow for the
//! columns gets each row as a block of lines.

use super::{columns, wrapped};

/// The gap between two columns.
const GAP: usize = 2;
/// A column that is wider than this may be wrapped.
const WRAPPED: usize = 12;

/// A table.
#[derive(Debug, Default)]
pub(crate) struct TextTable<'a> {
    pub(crate) head: &'a [&'a str],
    pub(crate) rows: Vec<Vec<String>>,
    /// The columns that are aligned to the right.
    pub(crate) right: &'a [usize],
    /// The columns whose cells are never wrapped, like times.
    pub(crate) whole: &'a [usize],
}

impl TextTable<'_> {
    /// The lines of the table for this width; without one, every row is one line.
    #[must_use]
    pub(crate) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let head = self.head.iter().map(|cell| (*cell).to_owned()).collect();
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(self.rows.iter().cloned()).collect();
        match fitted(&rows, width, self.whole) {
            Some(widths) => rows.iter().flat_map(|row| self.row(row, &widths)).collect(),
            None => self.blocks(width.unwrap_or(80)),
        }
    }

    fn row(&self, row: &[String], widths: &[usize]) -> Vec<String> {
        let cells: Vec<Vec<String>> = row.iter().zip(widths).map(|(cell, width)| cell_lines(cell, *width)).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        let line = |n: usize| {
            let mut line = String::new();
            for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
                let text = cell.get(n).map_or("", String::as_str);
                let pad = " ".repeat(width.saturating_sub(columns(text)));
                line += &if self.right.contains(&at) { pad + text } else { text.to_owned() + &pad };
                line += &" ".repeat(GAP);
            }
            line.trim_end().to_owned()
        };
        (0..height).map(line).collect()
    }

    /// Each row as lines `name: value`, with an empty line between rows.
    fn blocks(&self, width: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for (n, row) in self.rows.iter().enumerate() {
            lines.extend((n > 0).then(String::new));
            let shown = self.head.iter().zip(row).filter(|(_, cell)| !["", "-"].contains(&cell.trim()));
            for (name, cell) in shown {
                let text = wrapped(&format!("{}: {}", name.trim(), cell.trim()), width.saturating_sub(GAP));
                lines.extend(
                    text.into_iter().enumerate().map(|(n, line)| if n == 0 { line } else { format!("  {line}") }),
                );
            }
        }
        lines
    }
}

/// The lines of a cell. Spaces at its beginning are kept: they are marks.
fn cell_lines(cell: &str, width: usize) -> Vec<String> {
    if columns(cell) <= width {
        return vec![cell.to_owned()];
    }
    let indent = " ".repeat(cell.len() - cell.trim_start_matches(' ').len());
    let inner = width.saturating_sub(indent.len());
    wrapped(cell, inner).into_iter().map(|line| format!("{indent}{line}")).collect()
}

/// The widths of the columns; `None` if they do not fit without breaking a word.
fn fitted(rows: &[Vec<String>], width: Option<usize>, whole: &[usize]) -> Option<Vec<usize>> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let most = |measure: &dyn Fn(&str) -> usize| -> Vec<usize> {
        (0..count)
            .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|cell| measure(cell)).max().unwrap_or(0))
            .collect()
    };
    let mut widths = most(&|cell| columns(cell));
    let Some(width) = width else { return Some(widths) };
    let longest_word = |cell: &str| cell.split(' ').map(columns).max().unwrap_or(0);
    let least = most(&longest_word);
    let room = width.saturating_sub(GAP * count.saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        let can_shrink = |at: &usize| widths[*at] > least[*at] && widths[*at] > WRAPPED && !whole.contains(at);
        let widest = (0..count).filter(can_shrink).max_by_key(|at| widths[*at])?;
        widths[widest] -= 1;
    }
    Some(widths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Option<usize>) -> Vec<String> {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = vec![row(["gpt", "7", "a long text with several words"]), row(["日本", "12", "-"])];
        TextTable { head: &["name", "n", "note"], rows, right: &[1], whole: &[] }.lines(width)
    }

    #[test]
    fn columns_are_aligned_and_wrapped_between_words() {
        let wide = ["name   n  note", "gpt    7  a long text with several words", "日本  12  -"];
        assert_eq!(table(None), wide);
        assert_eq!(table(Some(80)), wide);
        let narrow =
            ["name   n  note", "gpt    7  a long text", "          with several", "          words", "日本  12  -"];
        assert_eq!(table(Some(24)), narrow);
    }

    #[test]
    fn column_of_times_is_not_wrapped() {
        let rows = vec![vec!["2026-12-01 17:24:15".to_owned(), "a title of several words".to_owned()]];
        let lines = TextTable { head: &["at", "title"], rows, whole: &[0], ..TextTable::default() }.lines(Some(34));
        assert_eq!(lines[1..], ["2026-12-01 17:24:15  a title of", "                     several words"]);
    }

    #[test]
    fn narrow_terminal_gets_blocks() {
        let blocks =
            ["name: gpt", "n: 7", "note: a long", "  text with", "  several", "  words", "", "name: 日本", "n: 12"];
        assert_eq!(table(Some(14)), blocks);
    }
}
