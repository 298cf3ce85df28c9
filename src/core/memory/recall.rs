//! Full-text search in notes, in one pass and without an index. A line is ranked by its own words (BM25), by the
//! headings above it, by its two neighbours on each side, and by the rest of its section. A line that contains the whole
//! query, in upper or lower case, comes first: the search finds every line that `grep -i` finds.

use crate::core::memory::query::{MAX_WORDS, Query, each_word, fold};
use crate::core::memory::{facts, note_mark, passage};
use jiff::civil::Date;
use std::cmp::Ordering;
use std::ops::Range;

/// The part of a word's weight that counts if the line and the headings above it lack the word, but a neighbour has it,
/// or another line of the section.
const NEIGHBOUR: f32 = 0.5;
const SECTION: f32 = 0.3;
/// The factor of a heading's own score: the lines below it say more.
const OWN_HEADING: f32 = 0.5;
/// The factor of a fact that is struck out: the one that has replaced it comes first.
const STRUCK: f32 = 0.25;
/// The distance of the farthest neighbour, in lines with text.
const REACH: usize = 2;
/// BM25's parameters: saturation of repeated words, and normalisation by length (Robertson and Zaragoza, 2009).
const K1: f32 = 1.2;
const B: f32 = 0.75;
/// The days after which a daily note has half its weight.
const HALF_LIFE: f32 = 90.0;

/// A file to search.
#[derive(Clone, Debug)]
pub struct SearchedFile {
    /// Its path, relative to the workspace.
    pub path: String,
    /// The day of a daily note.
    pub day: Option<Date>,
    /// The day of its last change.
    pub changed: Option<Date>,
}

/// A line that matches.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedLine {
    /// The number of its file, in the order of [`NoteSearch::add`].
    pub file: usize,
    /// The line's number, from 1.
    pub line: usize,
    /// It contains the whole query, or its file's name does.
    pub is_exact: bool,
    /// The score.
    pub score: f32,
    /// The part of the score that the age of a daily note has left, from 0 to 1.
    pub freshness: f32,
    /// The words of the query, by their places in it: how often the line and its headings have each, or, below 1, the
    /// part that counts of a word nearby.
    pub frequencies: Vec<(usize, f32)>,
}

/// A search in progress.
pub struct NoteSearch {
    query: Query,
    since: Option<Date>,
    files: Vec<SearchedFile>,
    candidates: Vec<Candidate>,
    /// Frequencies of all candidates, as in [`RankedLine`].
    frequencies: Vec<(u8, f32)>,
    /// Lines that contain each word.
    lines_with: [u32; MAX_WORDS],
    lines: u32,
    words: u32,
}

struct Candidate {
    file: u32,
    line: u32,
    /// The words of the line.
    length: u16,
    is_exact: bool,
    is_heading: bool,
    is_struck: bool,
    /// Its part of the frequencies.
    from: u32,
}

/// A line with text.
struct Row {
    line: u32,
    length: u16,
    /// The level of a heading, from 1.
    heading: Option<u8>,
    is_exact: bool,
    is_struck: bool,
    /// Its part of the hits.
    hits: Range<usize>,
}

impl NoteSearch {
    /// A search for lines that are not older than `since`.
    #[must_use]
    pub fn new(query: Query, since: Option<Date>) -> Self {
        Self {
            query,
            since,
            files: Vec::new(),
            candidates: Vec::new(),
            frequencies: Vec::new(),
            lines_with: [0; MAX_WORDS],
            lines: 0,
            words: 0,
        }
    }

    /// Searches one file.
    pub fn add(&mut self, file: SearchedFile, text: &str) {
        let (rows, hits) = self.rows(&file.path, text);
        let old: Vec<&str> = if self.since.is_some() { text.lines().collect() } else { Vec::new() };
        let number = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let mut above: Vec<(u8, &Row)> = Vec::new();
        let mut start = 0;
        while start < rows.len() {
            let rest = &rows[start + 1..];
            let end = start + 1 + rest.iter().position(|row| row.heading.is_some()).unwrap_or(rest.len());
            if let Some(level) = rows[start].heading {
                above.retain(|(own, _)| *own < level);
            }
            let section = Section::new(&rows[start..end], &hits, &above);
            for (at, row) in section.rows.iter().enumerate() {
                let from = u32::try_from(self.frequencies.len()).unwrap_or(u32::MAX);
                if !section.frequencies(at, &mut self.frequencies) && !row.is_exact {
                    continue;
                }
                let is_young = self.since.is_none_or(|since| {
                    let line = old.get(row.line as usize).copied().unwrap_or_default();
                    note_mark::day_in(line).or(file.day).or(file.changed).is_some_and(|day| day >= since)
                });
                if is_young {
                    let Row { line, length, is_exact, is_struck, .. } = *row;
                    let is_heading = row.heading.is_some();
                    self.candidates.push(Candidate {
                        file: number,
                        line,
                        length,
                        is_exact,
                        is_heading,
                        is_struck,
                        from,
                    });
                } else {
                    self.frequencies.truncate(from as usize);
                }
            }
            if let Some(level) = rows[start].heading {
                above.push((level, &rows[start]));
            }
            start = end;
        }
        self.files.push(file);
    }

    /// The lines with text of a file, and the words of the query in them.
    fn rows(&mut self, path: &str, text: &str) -> (Vec<Row>, Vec<(u8, u8)>) {
        let folded = fold(text);
        let mut exact = lines_with(&folded, &self.query.whole);
        if !text.is_ascii() {
            // A sign that joins the letter before it is there all the same.
            exact.extend(lines_with(text, &self.query.typed));
        }
        if !self.query.whole.is_empty() && fold(path).contains(&self.query.whole) {
            exact.push(0);
        }
        exact.sort_unstable();
        let (mut rows, mut hits) = (Vec::new(), Vec::new());
        let mut is_code = false;
        for (number, line) in folded.split('\n').enumerate() {
            let is_exact = exact.binary_search(&number).is_ok();
            let line = line.trim();
            if line.is_empty() && !is_exact {
                continue;
            }
            is_code ^= line.starts_with("```");
            let (first, mut length, mut found) = (hits.len(), 0u16, 0u32);
            each_word(without_marks(line), |word, is_wide| {
                length = length.saturating_add(1);
                let mut bits = self.query.matching(word, is_wide);
                found |= bits;
                while bits != 0 {
                    let word = u8::try_from(bits.trailing_zeros()).unwrap_or_default();
                    bits &= bits - 1;
                    let known = hits[first..].iter_mut().find(|(own, _): &&mut (u8, u8)| *own == word);
                    match known {
                        Some((_, count)) => *count = count.saturating_add(1),
                        None => hits.push((word, 1)),
                    }
                }
            });
            self.lines += 1;
            self.words = self.words.saturating_add(length.into());
            (0..MAX_WORDS).filter(|word| found & 1 << word != 0).for_each(|word| self.lines_with[word] += 1);
            let heading = if is_code { None } else { passage::level(line).and_then(|level| u8::try_from(level).ok()) };
            // Only a line with a word of the query can be found, and few lines are struck out.
            let is_struck = hits.len() > first && line.contains("~~") && facts::is_struck(line);
            let line = u32::try_from(number).unwrap_or(u32::MAX);
            rows.push(Row { line, length, heading, is_exact, is_struck, hits: first..hits.len() });
        }
        (rows, hits)
    }

    /// At most `limit` lines, best first. `today` decides how old daily notes are.
    #[must_use]
    pub fn finish(self, limit: usize, today: Date) -> (Vec<SearchedFile>, Vec<RankedLine>) {
        let average = float(self.words) / float(self.lines.max(1));
        let weight = |word: usize| {
            let (lines, with) = (float(self.lines), float(self.lines_with[word]));
            (1.0 + (lines - with + 0.5) / (with + 0.5)).ln()
        };
        let weights: Vec<f32> = (0..MAX_WORDS).map(weight).collect();
        let ends = self.candidates.iter().skip(1).map(|next| next.from as usize).chain([self.frequencies.len()]);
        let mut ranked: Vec<Ranked> = Vec::with_capacity(self.candidates.len());
        for (candidate, end) in self.candidates.iter().zip(ends) {
            let frequencies = &self.frequencies[candidate.from as usize..end];
            let norm = K1 * (1.0 - B + B * f32::from(candidate.length) / average.max(1.0));
            let score: f32 = frequencies
                .iter()
                .map(|(word, frequency)| {
                    let part =
                        if is_own(*frequency) { frequency * (K1 + 1.0) / (frequency + norm) } else { *frequency };
                    weights[usize::from(*word)] * part
                })
                .sum();
            let score = if candidate.is_heading { score * OWN_HEADING } else { score };
            let score = if candidate.is_struck { score * STRUCK } else { score };
            ranked.push(Ranked { candidate, frequencies, score, freshness: 1.0 });
        }
        age(&mut ranked, &self.files, today);
        let best = |a: &Ranked, b: &Ranked| {
            let place = |ranked: &Ranked| (&self.files[ranked.candidate.file as usize].path, ranked.candidate.line);
            let by_score = b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal);
            // Of equal scores the newest comes first: daily notes sort by date, and later lines are newer.
            b.candidate.is_exact.cmp(&a.candidate.is_exact).then(by_score).then_with(|| place(b).cmp(&place(a)))
        };
        if ranked.len() > limit {
            if limit > 0 {
                ranked.select_nth_unstable_by(limit - 1, best);
            }
            ranked.truncate(limit);
        }
        ranked.sort_by(best);
        let lines = ranked.into_iter().map(|ranked| RankedLine {
            file: ranked.candidate.file as usize,
            line: ranked.candidate.line as usize + 1,
            is_exact: ranked.candidate.is_exact,
            score: ranked.score,
            freshness: ranked.freshness,
            frequencies: ranked.frequencies.iter().map(|(word, count)| (usize::from(*word), *count)).collect(),
        });
        let lines = lines.collect();
        (self.files, lines)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rank needs no more than 23 bits")]
fn float(number: u32) -> f32 {
    number as f32
}

/// Whether a line or its headings have the word of this frequency.
fn is_own(frequency: f32) -> bool {
    frequency >= 1.0
}

struct Ranked<'a> {
    candidate: &'a Candidate,
    frequencies: &'a [(u8, f32)],
    score: f32,
    freshness: f32,
}

impl Ranked<'_> {
    /// The number of words of the query that the line and its headings have.
    fn words(&self) -> usize {
        self.frequencies.iter().filter(|(_, frequency)| is_own(*frequency)).count()
    }
}

/// Lowers the scores of daily notes by their age, but never below a line with fewer matching words that they were above.
fn age(ranked: &mut [Ranked], files: &[SearchedFile], today: Date) {
    let days = |ranked: &Ranked| {
        files[ranked.candidate.file as usize].day.map(|day| u32::try_from((today - day).get_days()).unwrap_or_default())
    };
    if !ranked.iter().any(|ranked| days(ranked).is_some_and(|days| days > 0)) {
        return;
    }
    // The scores of lines with fewer words than each number, sorted.
    let most = ranked.iter().map(Ranked::words).max().unwrap_or_default();
    let mut below: Vec<Vec<f32>> = vec![Vec::new(); most + 1];
    for own in ranked.iter() {
        below.iter_mut().skip(own.words() + 1).for_each(|scores| scores.push(own.score));
    }
    for scores in &mut below {
        scores.sort_by(f32::total_cmp);
    }
    for own in ranked {
        let Some(days) = days(own) else { continue };
        let lower = &below[own.words()];
        let floor = lower[..lower.partition_point(|score| *score < own.score)].last().copied().unwrap_or_default();
        let freshness = 0.5f32.powf(float(days) / HALF_LIFE);
        let aged = (own.score * freshness).max(floor);
        own.freshness = if own.score > 0.0 { aged / own.score } else { 1.0 };
        own.score = aged;
    }
}

/// A heading, or the start of the file, with the lines up to the next heading.
struct Section<'a> {
    rows: &'a [Row],
    hits: &'a [(u8, u8)],
    /// Counts of the words in the headings above all lines, and in the own heading, which is above all but itself.
    above: Counts,
    own_heading: Counts,
    /// Counts of the words in all lines.
    all: Counts,
}

/// Counts by a word's place in the query.
type Counts = [f32; MAX_WORDS];

impl<'a> Section<'a> {
    fn new(rows: &'a [Row], hits: &'a [(u8, u8)], headings: &[(u8, &Row)]) -> Self {
        let none = [0.0; MAX_WORDS];
        let mut section = Self { rows, hits, above: none, own_heading: none, all: none };
        for (_, heading) in headings {
            add(&mut section.above, &hits[heading.hits.clone()]);
        }
        if let Some(first) = rows.first().filter(|first| first.heading.is_some()) {
            add(&mut section.own_heading, &hits[first.hits.clone()]);
        }
        for row in rows {
            add(&mut section.all, &hits[row.hits.clone()]);
        }
        section
    }

    /// Adds the frequencies of the words in and around a line to `all`, if the line or a heading above it has one of
    /// them; false otherwise.
    fn frequencies(&self, at: usize, all: &mut Vec<(u8, f32)>) -> bool {
        let is_any = |counts: &Counts| counts.iter().any(|count| *count > 0.0);
        if self.rows[at].hits.is_empty() && !is_any(&self.above) && (at == 0 || !is_any(&self.own_heading)) {
            return false;
        }
        let (mut own, mut near) = ([0.0; MAX_WORDS], [0.0; MAX_WORDS]);
        for other in at.saturating_sub(REACH)..(at + REACH + 1).min(self.rows.len()) {
            let counts = if other == at { &mut own } else { &mut near };
            add(counts, &self.hits[self.rows[other].hits.clone()]);
        }
        for (word, own) in (0u8..).zip(own) {
            let place = usize::from(word);
            let heading = self.above[place] + if at == 0 { 0.0 } else { self.own_heading[place] };
            let frequency = match own + heading {
                0.0 if near[place] > 0.0 => NEIGHBOUR,
                0.0 if self.all[place] > 0.0 => SECTION,
                frequency => frequency,
            };
            if frequency > 0.0 {
                all.push((word, frequency));
            }
        }
        true
    }
}

fn add(counts: &mut Counts, hits: &[(u8, u8)]) {
    for (word, count) in hits {
        counts[usize::from(*word)] += f32::from(*count);
    }
}

/// The numbers, from 0, of the lines that contain a text.
fn lines_with(text: &str, wanted: &str) -> Vec<usize> {
    let (mut lines, mut number, mut counted) = (Vec::new(), 0, 0);
    if !wanted.is_empty() {
        for at in memchr::memmem::find_iter(text.as_bytes(), wanted) {
            number += memchr::memchr_iter(b'\n', &text.as_bytes()[counted..at]).count();
            counted = at;
            lines.push(number);
        }
    }
    lines.dedup();
    lines
}

/// A line without the mark of its note, whose id is no text.
fn without_marks(line: &str) -> &str {
    line.rfind("<!-- ").filter(|_| line.ends_with("-->")).map_or(line, |mark| &line[..mark])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TODAY: Date = Date::constant(2026, 12, 1);

    fn file(path: &str, day: Option<Date>) -> SearchedFile {
        SearchedFile { path: path.to_owned(), day, changed: None }
    }

    /// The lines found in one file.
    fn found(text: &str, query: &str) -> Vec<usize> {
        let mut search = NoteSearch::new(Query::new(query, &["en".to_owned()]), None);
        search.add(file("memories/x.md", None), text);
        search.finish(9, TODAY).1.into_iter().map(|line| line.line).collect()
    }

    #[test]
    fn lines_with_words_of_the_query_are_found_newest_first() {
        let notes = "the NAS is 10.0.0.7\nthe printer is upstairs\nmilk, bread\n";
        assert_eq!(found(notes, "where is the NAS?")[0], 1);
        assert_eq!(found(notes, "bread"), [3]);
        assert!(found(notes, "submarine").is_empty());
        assert_eq!(found(notes, "x.md"), [1], "the file's name");
        assert_eq!(found("the code is 1\n\nx y z\n\na b c\n\nthe code is 2", "code")[..2], [7, 1]);
        assert!(found("", "y").is_empty() && found("x", "").is_empty());
    }

    #[test]
    fn headings_and_neighbours_count_and_sections_end_at_headings() {
        let notes = "# House\n\n## Router\n- the address is 10.0.0.1\n\n## Printer\n- the address is 10.0.0.9\n";
        assert_eq!(found(notes, "router address")[0], 4);
        assert_eq!(found(notes, "printer address")[0], 7);
        assert_eq!(found(notes, "router"), [3, 4], "the heading has the word, and the line below it is about it");
        let notes = "- Anna has a dog\n- it is called Rex\n- far\n- away\n- lines\n- a cat is called Tom\n";
        assert_eq!(found(notes, "dog called")[..2], [1, 2]);
        assert_eq!(found("```\n# not a heading\n```\nx\n", "heading"), [2]);
    }

    #[test]
    fn struck_fact_comes_after_the_one_that_replaced_it() {
        assert_eq!(
            found("the NAS has 10.0.0.7\n- ~~the NAS has 10.0.0.5~~ <!-- x -->\n", "address of the NAS")[..2],
            [1, 2]
        );
    }

    #[test]
    fn daily_notes_lose_weight_but_not_to_lines_with_fewer_words() {
        let mut search = NoteSearch::new(Query::new("blue bicycle", &[]), None);
        search.add(file("a", Some(Date::constant(2024, 1, 1))), "the blue bicycle\n");
        search.add(file("b", Some(Date::constant(2026, 12, 1))), "the blue bicycle\n");
        search.add(file("c", None), "a bicycle\n");
        let lines = search.finish(9, TODAY).1;
        assert_eq!(lines.iter().map(|line| line.file).collect::<Vec<_>>(), [1, 0, 2]);
        assert!(lines[1].freshness < 1.0 && lines[0].freshness > 0.99);
    }

    #[test]
    fn only_lines_that_are_not_older_are_found() {
        let day = Date::constant(2026, 11, 30);
        let text = "old tea <!-- 20261101T000000.000000Z-k7f3q9 -->\nnew tea <!-- 20261130T000000.000000Z-k7f3q9 -->\n";
        let mut search = NoteSearch::new(Query::new("tea", &[]), Some(day));
        search.add(file("topics/tea.md", None), text);
        search.add(file("daily-notes/2026-11-29.md", Some(Date::constant(2026, 11, 29))), "tea");
        let lines = search.finish(9, TODAY).1;
        assert_eq!(lines.iter().map(|line| (line.file, line.line)).collect::<Vec<_>>(), [(0, 2)]);
    }

    /// Letters of nine scripts, composed and decomposed, and characters between words.
    fn notes() -> impl Strategy<Value = String> {
        let letters = "aZ9_éйΩعש漢かक한\u{e01}\u{301}ßİ#|`*-<!> \n\n\t.:/";
        proptest::collection::vec(proptest::sample::select(letters.chars().collect::<Vec<_>>()), 1..80)
            .prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn every_line_that_grep_finds_is_found(text in notes(), from in 0usize..80, length in 1usize..9) {
            let query: String = text.chars().skip(from).take(length).take_while(|c| *c != '\n').collect();
            let query = query.trim();
            prop_assume!(!query.is_empty());
            let mut search = NoteSearch::new(Query::new(query, &[]), None);
            search.add(file("x", None), &text);
            let lines: Vec<usize> =
                search.finish(usize::MAX, TODAY).1.iter().filter(|line| line.is_exact).map(|line| line.line).collect();
            for (number, line) in text.split('\n').enumerate() {
                prop_assert!(!line.contains(query) || lines.contains(&(number + 1)), "{query:?} in {line:?}: {lines:?}");
            }
        }
    }
}
