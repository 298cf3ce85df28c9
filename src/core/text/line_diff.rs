//! The difference of two texts by lines, for people: one block of removed and added lines, with its surroundings.

/// Unchanged lines around the change.
const CONTEXT: usize = 2;

/// The lines from the first to the last difference: `- ` removed, `+ ` added, two spaces unchanged. At most `most` lines
/// are returned, with a note about the others.
#[must_use]
pub fn lines(old: &str, new: &str, most: usize) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(a, b)| a == b).count();
    let begin = same(&mut old.iter().zip(&new));
    let end = same(&mut old[begin..].iter().rev().zip(new[begin..].iter().rev()));
    let shown = |sign: &str, lines: &[&str]| lines.iter().map(|line| format!("{sign} {line}")).collect::<Vec<_>>();
    let (removed, added) = (&old[begin..old.len() - end], &new[begin..new.len() - end]);
    let after = &new[new.len() - end..];
    let mut all = shown(" ", &new[begin.saturating_sub(CONTEXT)..begin]);
    all.extend(shown("-", removed));
    all.extend(shown("+", added));
    all.extend(shown(" ", &after[..after.len().min(CONTEXT)]));
    let rest = all.len().saturating_sub(most);
    all.truncate(most);
    all.extend((rest > 0).then(|| format!("… and {rest} more lines")));
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
        assert_eq!(lines("a", "a", 9), ["  a"]);
    }
}
