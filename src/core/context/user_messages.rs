//! Fitting the user's messages into a room. Messages are never paraphrased: they are shortened with a mark, then left
//! out whole, and those that state something are left out last.
//!
//! Statements are recognised by surface features: first-person words, rules, names, numbers. This is a guess, and only
//! the order depends on it. The selection of a model takes precedence ([`UserMessage::counts`]).

use crate::core::model::tokens;
use crate::core::session::compaction::UserMessage;
use std::collections::BTreeMap;

/// When not everything fits, one message gets at most this fraction of the room (1/6).
const SHARE: usize = 6;
/// Words that mark statements about oneself and rules.
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
/// Verbs that link a subject to a property.
const LINKS: &[&str] =
    &["is", "are", "was", "were", "has", "have", "=", "ist", "sind", "hat", "est", "sont", "es", "son"];
/// First words of requests that need not be remembered once they are answered.
const REQUESTS: &[&str] = &[
    "tell", "give", "show", "explain", "describe", "write", "list", "say", "what", "who", "where", "when", "why",
    "how", "which", "can", "could", "would", "will", "do", "does", "did", "please", "thanks", "ok", "okay", "yes",
    "go", "continue",
];

/// The messages that fit into `room` estimated tokens, in order, and the number of those left out.
#[must_use]
pub fn fit(mut messages: Vec<UserMessage>, room: usize) -> (Vec<UserMessage>, usize) {
    let mut all: usize = messages.iter().map(cost).sum();
    for message in &mut messages {
        if all <= room {
            break;
        }
        all -= cost(message);
        message.text = shortened(&message.text, room / SHARE);
        all += cost(message);
    }
    if all <= room {
        return (messages, 0);
    }
    let mut order: Vec<usize> = (0..messages.len()).collect();
    let scores = scores(&messages);
    order.sort_by_key(|at| std::cmp::Reverse((scores[*at], *at)));
    let (mut left, mut is_kept) = (room, vec![false; messages.len()]);
    for at in order {
        let takes = cost(&messages[at]);
        if takes <= left {
            left -= takes;
            is_kept[at] = true;
        }
    }
    let all = messages.len();
    let messages: Vec<UserMessage> =
        messages.into_iter().zip(is_kept).filter_map(|(message, is_kept)| is_kept.then_some(message)).collect();
    let left_out = all - messages.len();
    (messages, left_out)
}

/// The estimated tokens of a message in a list.
#[must_use]
pub fn cost(message: &UserMessage) -> usize {
    tokens::estimate(&message.text) + 1
}

/// At most about `most` tokens of a message: its first sentence, and the sentences with the best scores.
fn shortened(text: &str, most: usize) -> String {
    let (all, mark) = (text.chars().count(), 12);
    if tokens::estimate(text) <= most || most <= mark {
        return text.to_owned();
    }
    let sentences = sentences(text);
    let mut order: Vec<usize> = (1..sentences.len()).collect();
    order.sort_by_cached_key(|at| std::cmp::Reverse((score(sentences[*at]), *at)));
    let (mut room, mut kept) = (most - mark, BTreeMap::new());
    for at in [0].into_iter().chain(order) {
        // The first sentence may take half of the room.
        let shown = if at == 0 { tokens::cut(sentences[0], room.div_ceil(2)) } else { sentences[at] };
        let cost = tokens::estimate(shown) + 1;
        if cost <= room {
            room -= cost;
            kept.insert(at, shown);
        }
    }
    let (mut joined, mut next) = (String::new(), 0);
    for (at, shown) in kept {
        joined += if at > next { " […] " } else { " " };
        joined += shown.trim();
        next = if shown.len() == sentences[at].len() { at + 1 } else { at };
    }
    format!("{} [shortened: {all} characters]", joined.trim())
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

/// The score of each message. Messages that repeat with only a number changed get less.
fn scores(messages: &[UserMessage]) -> Vec<i32> {
    let shapes: Vec<String> = messages.iter().map(|message| shape(&message.text)).collect();
    let mut often: BTreeMap<&str, usize> = BTreeMap::new();
    for shape in &shapes {
        *often.entry(shape).or_default() += 1;
    }
    let repetition = |shape: &str| match often.get(shape) {
        Some(8..) => 5,
        Some(3..) => 3,
        _ => 0,
    };
    let score = |(message, shape): (&UserMessage, &String)| {
        let best = sentences(&message.text).into_iter().map(score).max().unwrap_or_default();
        best - repetition(shape) + if message.counts { 100 } else { 0 }
    };
    messages.iter().zip(&shapes).map(score).collect()
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

    fn texts(messages: &[UserMessage]) -> Vec<&str> {
        messages.iter().map(|message| message.text.as_str()).collect()
    }

    #[test]
    fn messages_that_fit_are_unchanged() {
        let messages = vec![UserMessage::new("What is the time?"), UserMessage::new("x".repeat(200))];
        assert_eq!(fit(messages.clone(), 100), (messages, 0));
    }

    #[test]
    fn statements_are_left_out_last() {
        let mut messages: Vec<UserMessage> = (0..200)
            .map(|n| UserMessage::new(format!("Turn {n}: tell me something about the rivers of place {n}.")))
            .collect();
        let facts = ["My sister's name is Ottilie.", "We moved the launch to 14 March.", "The vault code is 7788-Q."];
        for (n, fact) in facts.into_iter().enumerate() {
            messages.insert(3 + 40 * n, UserMessage::new(fact));
        }
        let (kept, left_out) = fit(messages, 60);
        assert_eq!(kept.len() + left_out, 203);
        for fact in facts {
            assert!(texts(&kept).contains(&fact), "{kept:?}");
        }
        // Of the rest, the newest stay.
        assert!(texts(&kept).last().is_some_and(|text| text.starts_with("Turn 199")), "{kept:?}");
    }

    #[test]
    fn messages_marked_by_a_model_stay_first() {
        let mut messages: Vec<UserMessage> =
            (0..50).map(|n| UserMessage::new(format!("My number {n} is {n}."))).collect();
        messages[7] = UserMessage { text: "And what of the blue one?".into(), counts: true };
        let (kept, _) = fit(messages, 30);
        assert!(kept[0].counts && kept.len() > 2, "{kept:?}");
    }

    #[test]
    fn long_message_keeps_its_beginning_and_its_statements() {
        let text = format!(
            "Have a look at this. {}By the way, my dog is called Biscuit. {}",
            "There may be clouds over hills. ".repeat(40),
            "Nothing much. ".repeat(40)
        );
        let messages = vec![UserMessage::new(text.clone()), UserMessage::new("Short.")];
        let (kept, left_out) = fit(messages, 300);
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
        fn result_always_fits_and_keeps_the_order(texts in proptest::collection::vec("[a-zé名 .?0-9]{0,120}", 0..20), room in 0usize..400) {
            let messages: Vec<UserMessage> = texts.iter().map(UserMessage::new).collect();
            let (kept, left_out) = fit(messages.clone(), room);
            proptest::prop_assert!(kept.iter().map(cost).sum::<usize>() <= room);
            proptest::prop_assert_eq!(kept.len() + left_out, messages.len());
            proptest::prop_assert_eq!(fit(kept.clone(), room), (kept, 0));
        }
    }
}
