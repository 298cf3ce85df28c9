//! The difference of two texts by lines, for people: removed and added lines with their surroundings.

/// Unchanged lines around a change.
const CONTEXT: usize = 2;
/// The most pairs of lines that are compared; longer texts are shown as one change.
const MAX_PAIRS: usize = 4 << 20;

/// The changed lines: `- ` removed, `+ ` added, two spaces unchanged, `…` for unchanged lines between two changes. At
/// most `most` lines are returned, with a note about the others.
#[must_use]
pub fn lines(old: &str, new: &str, most: usize) -> Vec<String> {
    let all = marked(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
    let near = |at: usize| {
        let around = all.iter().take(at + CONTEXT + 1).skip(at.saturating_sub(CONTEXT));
        around.into_iter().any(|(sign, _)| *sign != ' ')
    };
    let mut shown: Vec<String> = Vec::new();
    let mut last = None;
    for (at, (sign, line)) in all.iter().enumerate().filter(|(at, _)| near(*at)) {
        if last.is_some_and(|last| last + 1 != at) {
            shown.push("…".to_owned());
        }
        last = Some(at);
        shown.push(format!("{sign} {line}").trim_end().to_owned());
    }
    let rest = shown.len().saturating_sub(most);
    shown.truncate(most);
    shown.extend((rest > 0).then(|| format!("… and {rest} more lines")));
    shown
}

/// Every line of both texts with its sign, along a longest common subsequence.
fn marked<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let begin = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let end = old[begin..].iter().rev().zip(new[begin..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (removed, added) = (&old[begin..old.len() - end], &new[begin..new.len() - end]);
    let mut all: Vec<(char, &str)> = old[..begin].iter().map(|line| (' ', *line)).collect();
    if removed.len().saturating_mul(added.len()) > MAX_PAIRS {
        all.extend(removed.iter().map(|line| ('-', *line)));
        all.extend(added.iter().map(|line| ('+', *line)));
    } else {
        all.extend(middle(removed, added));
    }
    all.extend(old[old.len() - end..].iter().map(|line| (' ', *line)));
    all
}

fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let width = new.len() + 1;
    // The length of the longest common subsequence of the rests from (i, j).
    let mut common = vec![0u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            let skipped = common[(i + 1) * width + j].max(common[i * width + j + 1]);
            let both = if old[i] == new[j] { common[(i + 1) * width + j + 1] + 1 } else { 0 };
            common[i * width + j] = both.max(skipped);
        }
    }
    let (mut i, mut j, mut all) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            all.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            all.push(('-', old[i]));
            i += 1;
        } else {
            all.push(('+', new[j]));
            j += 1;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn change_is_shown_with_its_surroundings() {
        assert_eq!(lines("a\nb\nc\nd\ne\n", "a\nb\nc\nX\nY\ne\n", 9), ["  b", "  c", "- d", "+ X", "+ Y", "  e"]);
        assert_eq!(lines("a\n", "a\nb\n", 9), ["  a", "+ b"]);
        assert_eq!(lines("a\na\n", "a\n", 9), ["  a", "- a"]);
        assert_eq!(lines("", "a", 9), ["+ a"]);
        assert_eq!(lines("a\nb\nc", "x\ny\nz", 2), ["- a", "- b", "… and 4 more lines"]);
        assert_eq!(lines("a", "a", 9), [""; 0]);
    }

    #[test]
    fn lines_between_two_changes_are_left_out() {
        let (old, new) = ("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\nx\n3\n4\n5\n6\n7\n8\n9\ny\n");
        assert_eq!(lines(old, new, 99), ["  1", "- 2", "+ x", "  3", "  4", "…", "  8", "  9", "+ y"]);
        assert_eq!(lines("a\nb\nc\n", "b\nc\nd\n", 9), ["- a", "  b", "  c", "+ d"]);
    }

    #[test]
    fn long_texts_are_compared_within_limits() {
        let old: String = (0..5000).map(|n| format!("{n}\n")).collect();
        let new: String = (0..5000).map(|n| format!("x{n}\n")).collect();
        assert_eq!(lines(&old, &new, 1), ["- 0".to_owned(), "… and 9999 more lines".to_owned()]);
    }
}
