//! Horizontal bars for a terminal.

/// One bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// The text before it.
    pub label: String,
    /// The length, relative to the longest bar.
    pub value: u64,
    /// The text after it.
    pub text: String,
}

/// The characters of bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarStyle {
    /// Block elements, to an eighth of a column.
    Blocks,
    /// `#`, for terminals without UTF-8.
    Ascii,
}

/// An eighth of a column to a whole one.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
/// The narrowest column of bars.
const LEAST: usize = 8;

/// A line for each bar. The lines fit `width` columns, unless the texts leave less than a few columns for the bars. A
/// value that is not 0 has at least the smallest bar.
#[must_use]
pub fn draw(bars: &[Bar], width: usize, style: BarStyle) -> Vec<String> {
    let widest = |part: fn(&Bar) -> &String| bars.iter().map(|bar| part(bar).chars().count()).max().unwrap_or(0);
    let (label, text) = (widest(|bar| &bar.label), widest(|bar| &bar.text));
    let room = width.saturating_sub(label + text + 4).max(LEAST);
    let most = bars.iter().map(|bar| bar.value).max().unwrap_or(0).max(1);
    let line = |bar: &Bar| {
        let steps = if style == BarStyle::Blocks { 8 } else { 1 };
        let length = u128::from(bar.value) * (room * steps) as u128 / u128::from(most);
        let length = usize::try_from(length).unwrap_or(0).max(usize::from(bar.value > 0));
        let drawn = match style {
            BarStyle::Blocks => {
                let rest = (length % 8).checked_sub(1).and_then(|at| EIGHTHS.get(at));
                EIGHTHS[7..].iter().cycle().take(length / 8).chain(rest).collect::<String>()
            }
            BarStyle::Ascii => "#".repeat(length),
        };
        let (name, value) = (&bar.label, &bar.text);
        format!("{name:<label$}  {drawn:<room$}  {value:>text$}").trim_end().to_owned()
    };
    bars.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(value: u64) -> Bar {
        Bar { label: "d".into(), value, text: value.to_string() }
    }

    #[test]
    fn longest_bar_fills_the_width_and_a_small_one_is_seen() {
        let bars = [bar(0), bar(1), bar(50), bar(100)];
        let lines = draw(&bars, 20, BarStyle::Ascii);
        assert_eq!(
            lines,
            ["d                  0", "d  #               1", "d  ######         50", "d  ############  100"]
        );
        let lines = draw(&bars, 20, BarStyle::Blocks);
        assert_eq!(lines[1], "d  ▏               1");
        assert!(lines.iter().all(|line| line.chars().count() == 20), "{lines:?}");
    }

    #[test]
    fn nothing_and_huge_values_are_drawn() {
        assert_eq!(draw(&[], 80, BarStyle::Blocks), [""; 0]);
        assert_eq!(draw(&[bar(0)], 0, BarStyle::Ascii), ["d            0"]);
        assert_eq!(draw(&[bar(u64::MAX)], 40, BarStyle::Ascii).len(), 1);
    }
}
