//! A merge of two changes of one text, by lines. Changes that touch each other do not conflict, unlike in `git merge`:
//! a note that is undone is usually followed by the next one.

use std::collections::HashMap;
use std::ops::Range;

/// One changed place: these lines of the old text became these lines of the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hunk {
    old: Range<usize>,
    new: Range<usize>,
}

/// Applies to `ours` what changed from `base` to `theirs`. The result has exactly the bytes of the parts.
///
/// # Errors
/// The lines of `ours`, from 1, that both have changed.
pub fn merge(base: &[u8], ours: &[u8], theirs: &[u8]) -> Result<Vec<u8>, Vec<usize>> {
    if ours == base || ours == theirs {
        return Ok(theirs.to_vec());
    }
    let (base, ours, theirs) = (lines(base), lines(ours), lines(theirs));
    let (own, other) = (hunks(&base, &ours), hunks(&base, &theirs));
    let mut conflicts = Vec::new();
    let mut apply: Vec<(Range<usize>, &[&[u8]])> = Vec::new();
    for hunk in &other {
        let lines = &theirs[hunk.new.clone()];
        let overlapping: Vec<&Hunk> = own.iter().filter(|own| overlaps(&own.old, &hunk.old)).collect();
        match overlapping[..] {
            // Both made the same change.
            [only] if only.old == hunk.old && ours[only.new.clone()] == *lines => {}
            [] => apply.push((hunk.old.clone(), lines)),
            _ => conflicts.extend(overlapping.iter().flat_map(|own| own.new.start..own.new.end.max(own.new.start + 1))),
        }
    }
    if !conflicts.is_empty() {
        conflicts.dedup();
        return Err(conflicts.into_iter().map(|line| line + 1).collect());
    }
    let own = own.iter().map(|hunk| (hunk.old.clone(), &ours[hunk.new.clone()]));
    apply.extend(own);
    // An insertion at the start of a replaced range goes before it.
    apply.sort_by_key(|(range, _)| (range.start, range.end));
    let (mut merged, mut at) = (Vec::new(), 0);
    for (range, lines) in apply {
        merged.extend_from_slice(&base[at..range.start]);
        merged.extend_from_slice(lines);
        at = range.end;
    }
    merged.extend_from_slice(&base[at..]);
    Ok(merged.concat())
}

/// Whether `text` contains already what changed from `base` to `theirs`: the added lines, and not the removed ones.
#[must_use]
pub fn contains(text: &[u8], base: &[u8], theirs: &[u8]) -> bool {
    let count = |text| {
        let mut counts: HashMap<&[u8], i64> = HashMap::new();
        for line in lines(text) {
            *counts.entry(line).or_default() += 1;
        }
        counts
    };
    let (has, before, after) = (count(text), count(base), count(theirs));
    let of = |counts: &HashMap<&[u8], i64>, line: &[u8]| counts.get(line).copied().unwrap_or_default();
    after.keys().chain(before.keys()).all(|line| match of(&after, line) - of(&before, line) {
        0 => true,
        added if added > 0 => of(&has, line) >= of(&after, line),
        _ => of(&has, line) <= of(&after, line),
    })
}

/// Whether two changed ranges of the old text exclude each other. Two insertions at one place do: their order is
/// unknown.
fn overlaps(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end || a.is_empty() && b.is_empty() && a.start == b.start
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// The changed places, in order: unchanged lines are found by those that occur once in both texts.
fn hunks(old: &[&[u8]], new: &[&[u8]]) -> Vec<Hunk> {
    let mut found = Vec::new();
    let mut rest = vec![(0..old.len(), 0..new.len())];
    while let Some((mut a, mut b)) = rest.pop() {
        while !a.is_empty() && !b.is_empty() && old[a.start] == new[b.start] {
            (a.start, b.start) = (a.start + 1, b.start + 1);
        }
        while !a.is_empty() && !b.is_empty() && old[a.end - 1] == new[b.end - 1] {
            (a.end, b.end) = (a.end - 1, b.end - 1);
        }
        if a.is_empty() && b.is_empty() {
            continue;
        }
        let anchors = anchors(&old[a.clone()], &new[b.clone()]);
        if anchors.is_empty() {
            found.push(Hunk { old: a, new: b });
            continue;
        }
        let (mut above_a, mut above_b) = (a.start, b.start);
        for (in_a, in_b) in anchors {
            rest.push((above_a..a.start + in_a, above_b..b.start + in_b));
            (above_a, above_b) = (a.start + in_a + 1, b.start + in_b + 1);
        }
        rest.push((above_a..a.end, above_b..b.end));
    }
    found.sort_by_key(|hunk| (hunk.old.start, hunk.new.start));
    found
}

/// Pairs of equal lines that occur once in each text, in an order that both have (the longest increasing sequence).
fn anchors(old: &[&[u8]], new: &[&[u8]]) -> Vec<(usize, usize)> {
    let mut places: HashMap<&[u8], [(usize, usize); 2]> = HashMap::new();
    for (side, lines) in [old, new].into_iter().enumerate() {
        for (at, line) in lines.iter().enumerate() {
            let place = &mut places.entry(line).or_default()[side];
            *place = (place.0 + 1, at);
        }
    }
    let unique = places.values().filter(|[old, new]| old.0 == 1 && new.0 == 1);
    let mut pairs: Vec<(usize, usize)> = unique.map(|[old, new]| (old.1, new.1)).collect();
    pairs.sort_unstable();
    // Patience sorting: `piles` holds for each length the pair with the smallest end, `before` links to the previous.
    let mut piles: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; pairs.len()];
    for at in 0..pairs.len() {
        let pile = piles.partition_point(|top| pairs[*top].1 < pairs[at].1);
        before[at] = pile.checked_sub(1).map(|below| piles[below]);
        if pile == piles.len() {
            piles.push(at);
        } else {
            piles[pile] = at;
        }
    }
    let mut sequence: Vec<(usize, usize)> =
        std::iter::successors(piles.last().copied(), |at| before[*at]).map(|at| pairs[at]).collect();
    sequence.reverse();
    sequence
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn merged(base: &str, ours: &str, theirs: &str) -> Result<String, Vec<usize>> {
        merge(base.as_bytes(), ours.as_bytes(), theirs.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn changes_that_touch_each_other_are_both_kept() {
        // A note is undone, and another one follows it.
        assert_eq!(merged("a\nb\n", "a\nb\nc\n", "a\n"), Ok("a\nc\n".into()));
        assert_eq!(merged("a\nb\nc\n", "X\nb\nc\n", "a\nb\nY\n"), Ok("X\nb\nY\n".into()));
        assert_eq!(merged("a\nb\n", "new\na\nb\n", "a\n"), Ok("new\na\n".into()));
        assert_eq!(merged("a\n", "a\nb", "a\n"), Ok("a\nb".into()));
        assert_eq!(merged("a\n", "b\n", "b\n"), Ok("b\n".into()));
    }

    #[test]
    fn conflict_names_the_lines() {
        assert_eq!(merged("a\nb\nc\n", "a\nB\nc\n", "a\nX\nc\n"), Err(vec![2]));
        assert_eq!(merged("a\nb\nc\n", "a\nc\n", "a\nX\nc\n"), Err(vec![2]));
        assert_eq!(merged("a\n", "a\nb\n", "a\nc\n"), Err(vec![2]));
        assert_eq!(merged("a\nb\nc\nd\n", "1\n2\n3\nd\n", "a\nX\nc\nd\n"), Err(vec![1, 2, 3]));
    }

    #[test]
    fn contained_change_is_recognised_beside_other_lines() {
        assert!(contains(b"a\nnote\nmine\n", b"a\n", b"a\nnote\n"));
        assert!(!contains(b"a\nmine\n", b"a\n", b"a\nnote\n"));
        assert!(contains(b"b\n", b"a\nb\n", b"b\n") && !contains(b"a\nb\nc\n", b"a\nb\n", b"b\n"));
    }

    proptest! {
        /// A change is taken back exactly, whatever the texts are.
        #[test]
        fn undone_change_gives_the_old_bytes(old in "([ab]?\n?){0,12}", new in "([ab]?\n?){0,12}") {
            prop_assert_eq!(merged(&new, &new, &old), Ok(old));
        }

        /// An unrelated line at either end survives, byte for byte.
        #[test]
        fn lines_of_others_survive(old in "([abc]\n){0,12}", new in "([abc]\n){0,12}") {
            let with = |text: &str| format!("first\nsecond\n{text}last but one\nlast\n");
            let ours = format!("FIRST\nsecond\n{new}last but one\nLAST");
            let expected = format!("FIRST\nsecond\n{old}last but one\nLAST");
            prop_assert_eq!(merged(&with(&new), &ours, &with(&old)), Ok(expected));
        }
    }
}
