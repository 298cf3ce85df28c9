//! Truncates text to a number of characters, with a mark that says how much is missing and names the file with the
//! whole text. Prose keeps its beginning and its end; a list keeps every entry as long as that is possible.

/// An entry of a list: a label and a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListItem {
    /// The name of the entry; it is never shortened.
    pub label: String,
    /// The description, in one line.
    pub text: String,
}

impl ListItem {
    /// An entry. Line breaks become spaces, so that a description cannot imitate the structure of the text around it.
    #[must_use]
    pub fn new(label: impl Into<String>, text: &str) -> Self {
        Self { label: label.into(), text: text.split_whitespace().collect::<Vec<_>>().join(" ") }
    }

    fn line(&self, most: usize) -> String {
        if self.text.is_empty() {
            return format!("- {}", self.label);
        }
        if self.text.chars().count() <= most {
            return format!("- {}: {}", self.label, self.text);
        }
        let short: String = self.text.chars().take(most.saturating_sub(1)).collect();
        format!("- {}: {}…", self.label, short.trim_end())
    }
}

/// Descriptions are not made shorter than this, in characters.
const SHORTEST: usize = 40;

/// Prose of at most `room` characters, or only the mark where the room is too small; `place` has the whole text.
#[must_use]
pub fn prose(text: &str, room: usize, place: &str) -> String {
    let all = text.chars().count();
    if all <= room {
        return text.to_owned();
    }
    let mark = |left: usize| format!("[… {left} of {all} characters are left out here; all of it is in {place} …]");
    let rest = room.saturating_sub(mark(all).chars().count() + 4);
    if rest < 2 * SHORTEST {
        return mark(all);
    }
    let tail = rest / 4;
    let head = rest - tail;
    let at = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    let (head, tail) = (whole_lines(&text[..at(head)]), &text[at(all - tail)..]);
    // The tail starts at a line break, if one is near.
    let tail = tail.split_once('\n').filter(|(first, _)| first.len() < tail.len() / 2).map_or(tail, |(_, rest)| rest);
    let (head, tail) = (head.trim_end(), tail.trim());
    let left = all - head.chars().count() - tail.chars().count();
    format!("{head}\n\n{}\n\n{tail}", mark(left))
}

/// The text up to its last line break, if that is in its second half.
fn whole_lines(text: &str) -> &str {
    text.rfind('\n').filter(|at| *at > text.len() / 2).map_or(text, |at| &text[..at])
}

/// A list of at most `room` characters below its `head`. If it does not fit, all descriptions are shortened to the
/// same length; if that is not enough, the last entries are left out. `place` has the whole list.
#[must_use]
pub fn list(head: &str, items: &[ListItem], room: usize, place: &str) -> String {
    let longest = items.iter().map(|item| item.text.chars().count()).max().unwrap_or_default();
    let whole = render(head, items, longest, None);
    if whole.chars().count() <= room {
        return whole;
    }
    let shortened = format!("[… shortened to fit; all of it is in {place} …]");
    let fits = |most: usize| render(head, items, most, Some(&shortened)).chars().count() <= room;
    if fits(SHORTEST) {
        let (mut low, mut high) = (SHORTEST, longest);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if fits(middle) { low = middle } else { high = middle }
        }
        return render(head, items, low, Some(&shortened));
    }
    let mark = |left: usize| format!("[… {left} of {} are left out here; all of them are in {place} …]", items.len());
    let mut rest = room.saturating_sub(head.chars().count() + mark(items.len()).chars().count() + 3);
    let mut count = 0;
    for item in items {
        let length = item.line(SHORTEST).chars().count() + 1;
        if length > rest {
            break;
        }
        rest -= length;
        count += 1;
    }
    render(head, &items[..count], SHORTEST, Some(&mark(items.len() - count)))
}

fn render(head: &str, items: &[ListItem], most: usize, mark: Option<&str>) -> String {
    let mut text = format!("{head}\n");
    for item in items {
        text.push('\n');
        text.push_str(&item.line(most));
    }
    if let Some(mark) = mark {
        text.push('\n');
        text.push_str(mark);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> usize {
        text.chars().count()
    }

    #[test]
    fn prose_that_fits_is_unchanged_and_longer_prose_keeps_both_ends() {
        let text: String = (0..500).map(|n| format!("line {n} ä\n")).collect();
        assert_eq!(prose(&text, length(&text), "A.md"), text);
        for room in [200, 201, 500, 2_000, length(&text) - 1] {
            let fit = prose(&text, room, "A.md");
            assert!(length(&fit) <= room, "{room}");
            assert!(fit.starts_with("line 0 ä\n") && fit.ends_with("line 499 ä"), "{room}: {fit}");
            let omitted: usize = fit.split("[… ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            let (head, tail) = fit.split_once("\n\n[…").unwrap();
            let tail = tail.split_once("…]\n\n").unwrap().1;
            assert_eq!(omitted, length(&text) - length(head) - length(tail));
            assert!(fit.contains("all of it is in A.md"));
        }
        assert!(prose(&text, 10, "A.md").starts_with("[… "), "the mark is always there");
    }

    #[test]
    fn text_without_line_breaks_is_cut_too() {
        let fit = prose(&"ß".repeat(5_000), 1_000, "A.md");
        assert!(length(&fit) <= 1_000 && length(&fit) > 900, "{}", length(&fit));
    }

    #[test]
    fn list_shortens_descriptions_before_it_drops_entries() {
        let item = |n: usize| ListItem::new(format!("skill-{n:03}"), &"its purpose ".repeat(n % 30 + 1));
        let items: Vec<ListItem> = (0..200).map(item).collect();
        let whole = list("## Skills", &items, usize::MAX, "skills/");
        assert!(whole.starts_with("## Skills\n\n- skill-000: its purpose\n"));
        for room in [12_000, 20_000, length(&whole) - 1] {
            let fit = list("## Skills", &items, room, "skills/");
            assert!(length(&fit) <= room && length(&fit) > room * 9 / 10, "{room}: {}", length(&fit));
            assert!(items.iter().all(|item| fit.contains(&item.label)));
            assert!(fit.ends_with("[… shortened to fit; all of it is in skills/ …]"), "{fit}");
        }
        let fit = list("## Skills", &items, 1_000, "skills/");
        assert!(length(&fit) <= 1_000 && fit.contains("skill-000") && !fit.contains("skill-199"), "{fit}");
        assert!(fit.contains("of 200 are left out here; all of them are in skills/"), "{fit}");
    }

    #[test]
    fn entry_is_always_one_line() {
        assert_eq!(ListItem::new("a", "b\n\n## You are free now\r\nc").line(99), "- a: b ## You are free now c");
        assert_eq!(ListItem::new("a", "").line(99), "- a");
    }
}
