//! What the user said, within a room. His words are never put into others: what does not fit is shortened with
//! a mark, and then left out whole, and what states something is left out last.
//!
//! What a statement is, is told by its look alone: who speaks of himself or gives a rule, a name, a number. It
//! is a guess, and only the order depends on it; a model that has read the words knows better
//! ([`Said::counts`]).

use crate::core::model::tokens;
use crate::core::session::compaction::UserMessage;
use std::collections::BTreeMap;

/// What one message may take of the room at most, once not all fits.
const SHARE: usize = 6;
/// Words by which somebody speaks of himself, or gives a rule.
const MARKS: &[&str] = &[
    "my",
    "mine",
    "our",
    "ours",
    "i'm",
    "we",
    "we're",
    "am",
    "name",
    "named",
    "called",
    "call",
    "remember",
    "note",
    "always",
    "never",
    "prefer",
    "prefers",
    "favourite",
    "favorite",
    "like",
    "likes",
    "hate",
    "hates",
    "allergic",
    "birthday",
    "born",
    "live",
    "lives",
    "work",
    "works",
    "password",
    "code",
    "pin",
    "deadline",
    "address",
    "phone",
    "email",
    "must",
    "don't",
    "not",
    "only",
    "actually",
    "correction",
    "wrong",
    "instead",
    "important",
    "agreed",
    "decided",
    "chose",
    "fact",
    "mein",
    "meine",
    "meinen",
    "unser",
    "unsere",
    "heiße",
    "heisse",
    "immer",
    "nie",
    "niemals",
    "merke",
    "lieber",
    "nicht",
    "mon",
    "ma",
    "mes",
    "notre",
    "toujours",
    "jamais",
    "mi",
    "mis",
    "nuestro",
    "nuestra",
    "siempre",
    "nunca",
    "recuerda",
];
/// Words between a thing and what it is.
const LINKS: &[&str] =
    &["is", "are", "was", "were", "has", "have", "=", "ist", "sind", "hat", "est", "sont", "es", "son"];
/// Words with which a request begins that is done with once it is answered.
const REQUESTS: &[&str] = &[
    "tell", "give", "show", "explain", "describe", "write", "list", "say", "what", "who", "where", "when", "why",
    "how", "which", "can", "could", "would", "will", "do", "does", "did", "please", "thanks", "ok", "okay", "yes",
    "go", "continue",
];

/// What is kept of the words in so much room, by the estimate of [`tokens`], and how many messages are left out.
#[must_use]
pub fn fit(mut said: Vec<UserMessage>, room: usize) -> (Vec<UserMessage>, usize) {
    let mut all: usize = said.iter().map(cost).sum();
    for one in &mut said {
        if all <= room {
            break;
        }
        all -= cost(one);
        one.text = shortened(&one.text, room / SHARE);
        all += cost(one);
    }
    if all <= room {
        return (said, 0);
    }
    let mut order: Vec<usize> = (0..said.len()).collect();
    let scores = scores(&said);
    order.sort_by_key(|at| std::cmp::Reverse((scores[*at], *at)));
    let (mut left, mut kept) = (room, vec![false; said.len()]);
    for at in order {
        let takes = cost(&said[at]);
        if takes <= left {
            left -= takes;
            kept[at] = true;
        }
    }
    let all = said.len();
    let said: Vec<UserMessage> = said.into_iter().zip(kept).filter_map(|(said, kept)| kept.then_some(said)).collect();
    let left_out = all - said.len();
    (said, left_out)
}

/// What words take in a list.
#[must_use]
pub fn cost(said: &UserMessage) -> usize {
    tokens::estimate(&said.text) + 1
}

/// At most about `most` tokens of a message: its first sentence, and those that state something.
fn shortened(text: &str, most: usize) -> String {
    let (all, mark) = (text.chars().count(), 12);
    if tokens::estimate(text) <= most || most <= mark {
        return text.to_owned();
    }
    let sentences = sentences(text);
    let mut order: Vec<usize> = (1..sentences.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse((score(sentences[*at]), *at)));
    let (mut room, mut kept) = (most - mark, BTreeMap::new());
    for at in [0].into_iter().chain(order) {
        // The first one may not take the room of all others.
        let shown = if at == 0 { tokens::cut(sentences[0], room.div_ceil(2)) } else { sentences[at] };
        let cost = tokens::estimate(shown) + 1;
        if cost <= room {
            room -= cost;
            kept.insert(at, shown);
        }
    }
    let (mut told, mut next) = (String::new(), 0);
    for (at, shown) in kept {
        told += if at > next { " […] " } else { " " };
        told += shown.trim();
        next = if shown.len() == sentences[at].len() { at + 1 } else { at };
    }
    format!("{} [shortened: {all} characters]", told.trim())
}

fn sentences(text: &str) -> Vec<&str> {
    let is_end = |c: char| matches!(c, '\n' | '。' | '！' | '？');
    let mut sentences = Vec::new();
    let (mut begin, mut before) = (0, ' ');
    for (at, c) in text.char_indices() {
        if is_end(c) || c.is_whitespace() && matches!(before, '.' | '!' | '?') {
            sentences.push(&text[begin..at + c.len_utf8()]);
            begin = at + c.len_utf8();
        }
        before = c;
    }
    sentences.push(&text[begin..]);
    sentences.retain(|sentence| !sentence.trim().is_empty());
    if sentences.is_empty() { vec![text] } else { sentences }
}

/// How much each message seems to state; what is said again and again with another number states little.
fn scores(said: &[UserMessage]) -> Vec<i32> {
    let shapes: Vec<String> = said.iter().map(|said| shape(&said.text)).collect();
    let mut often: BTreeMap<&str, usize> = BTreeMap::new();
    for shape in &shapes {
        *often.entry(shape).or_default() += 1;
    }
    let worn = |shape: &str| match often.get(shape) {
        Some(8..) => 5,
        Some(3..) => 3,
        _ => 0,
    };
    let score = |(said, shape): (&UserMessage, &String)| {
        let best = sentences(&said.text).into_iter().map(score).max().unwrap_or_default();
        best - worn(shape) + if said.counts { 100 } else { 0 }
    };
    said.iter().zip(&shapes).map(score).collect()
}

fn shape(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let is_number = word.chars().any(|c| c.is_ascii_digit());
        if is_number { "#".to_owned() } else { word.to_lowercase() }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn score(sentence: &str) -> i32 {
    let sentence = sentence.trim();
    let words: Vec<&str> = sentence.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect();
    let small: Vec<String> = words.iter().map(|word| word.to_lowercase().replace('’', "'")).collect();
    let count = |list: &[&str]| small.iter().filter(|word| list.contains(&word.as_str())).count();
    let has = |is: fn(char) -> bool| words.iter().skip(1).any(|word| word.chars().next().is_some_and(is));
    let mut score = 2 * i32::try_from(count(MARKS).min(3)).unwrap_or(3);
    score += i32::from(count(LINKS) > 0);
    score += i32::from(words.iter().any(|word| word.chars().any(|c| c.is_ascii_digit())));
    score += i32::from(has(char::is_uppercase));
    score -= if sentence.ends_with(['?', '？']) { 6 } else { 0 };
    score - if small.first().is_some_and(|word| REQUESTS.contains(&word.as_str())) { 3 } else { 0 }
}

fn bare(word: &str) -> &str {
    if word == "=" { word } else { word.trim_matches(|c: char| !c.is_alphanumeric()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(said: &[UserMessage]) -> Vec<&str> {
        said.iter().map(|said| said.text.as_str()).collect()
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let said = vec![UserMessage::new("What is the time?"), UserMessage::new("x".repeat(200))];
        assert_eq!(fit(said.clone(), 100), (said, 0));
    }

    #[test]
    fn what_states_something_is_left_out_last() {
        let mut said: Vec<UserMessage> = (0..200)
            .map(|n| UserMessage::new(format!("Turn {n}: tell me something about the rivers of place {n}.")))
            .collect();
        let facts = ["My sister's name is Ottilie.", "We moved the launch to 14 March.", "The vault code is 7788-Q."];
        for (n, fact) in facts.into_iter().enumerate() {
            said.insert(3 + 40 * n, UserMessage::new(fact));
        }
        let (kept, left_out) = fit(said, 60);
        assert_eq!(kept.len() + left_out, 203);
        for fact in facts {
            assert!(texts(&kept).contains(&fact), "{kept:?}");
        }
        // Of the rest, the newest.
        assert!(texts(&kept).last().is_some_and(|text| text.starts_with("Turn 199")), "{kept:?}");
    }

    #[test]
    fn what_a_model_says_that_counts_stays_before_all_others() {
        let mut said: Vec<UserMessage> = (0..50).map(|n| UserMessage::new(format!("My number {n} is {n}."))).collect();
        said[7] = UserMessage { text: "And what of the blue one?".into(), counts: true };
        let (kept, _) = fit(said, 30);
        assert!(kept[0].counts && kept.len() > 2, "{kept:?}");
    }

    #[test]
    fn a_long_message_keeps_its_beginning_and_what_it_states() {
        let text = format!(
            "Have a look at this. {}By the way, my dog is called Biscuit. {}",
            "There may be clouds over hills. ".repeat(40),
            "Nothing much. ".repeat(40)
        );
        let said = vec![UserMessage::new(text.clone()), UserMessage::new("Short.")];
        let (kept, left_out) = fit(said, 300);
        assert_eq!((left_out, kept[1].text.as_str()), (0, "Short."));
        let shown = &kept[0].text;
        assert!(
            shown.starts_with("Have a look at this.") && shown.contains("[…] By the way, my dog is called Biscuit.")
        );
        assert!(shown.ends_with(&format!("[shortened: {} characters]", text.len())), "{shown}");
        assert!(tokens::estimate(shown) <= 50, "{shown}");
    }

    proptest::proptest! {
        #[test]
        fn it_always_fits_and_keeps_the_order(texts in proptest::collection::vec("[a-zé名 .?0-9]{0,120}", 0..20), room in 0usize..400) {
            let said: Vec<UserMessage> = texts.iter().map(UserMessage::new).collect();
            let (kept, left_out) = fit(said.clone(), room);
            proptest::prop_assert!(kept.iter().map(cost).sum::<usize>() <= room);
            proptest::prop_assert_eq!(kept.len() + left_out, said.len());
            proptest::prop_assert_eq!(fit(kept.clone(), room), (kept, 0));
        }
    }
}
