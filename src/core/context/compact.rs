//! How a conversation that no longer fits is made shorter: a plan, made of values alone. First long results of
//! tools that are not new are shortened; if that is not enough, the oldest whole exchanges (and, within a long
//! turn, the oldest steps of it) go, but for what the user said in them, and a summary takes their place. The
//! newest part stays whole, a call is never parted from its results, and what comes of the plan is never longer
//! than the room, so that it is made once and needs no second one.

use crate::core::context::user_messages;
use crate::core::model::tokens;
use crate::core::model::{Call, Message};
use crate::core::session::compaction::{CompactReason, Compacted, CompactedTurn, UserMessage};
use crate::core::text::cut::cut;
use crate::core::text::data_mark;
use serde_json::Value;

/// Results of tools over so many characters are shortened first.
pub const LONG: usize = 10_000;
/// The newest messages that stay, if they fit at all.
const NEWEST: usize = 4;
/// The longest summary, by the estimate.
const SUMMARY: usize = 2_000;
/// What the past takes besides its words and its summary, by the estimate.
const FRAME: usize = 120;

/// The room for the messages of a request, by the estimate of [`tokens`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All of them.
    pub limit: usize,
    /// Those that stay whole: a fifth of the window.
    pub keep: usize,
}

/// A conversation, as it would be sent.
#[derive(Clone, Copy, Debug)]
pub struct Conversation<'a> {
    /// What already stands for its older part.
    pub compacted: Option<&'a Compacted>,
    /// Finished exchanges, oldest first; each begins with the user.
    pub history: &'a [Message],
    /// What the user says now; nothing between turns.
    pub question: Option<&'a str>,
    /// The model's answers to it so far, each with the results of its calls.
    pub turn: &'a [Message],
    /// How many answers these are and stand for.
    pub steps: usize,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is to be summarised, in order; where there is nothing, no model is needed.
    pub dropped: Vec<Message>,
    /// What the user said, in and before it.
    pub user_messages: Vec<UserMessage>,
    /// How many of his messages have been left out before.
    pub left_out: usize,
    /// The summary so far.
    pub earlier: String,
    /// The exchanges that stay.
    pub recent: Vec<Message>,
    /// The turn that has begun, as it is sent from here on.
    pub turn: Option<CompactedTurn>,
    /// The room for the words, and for the summary.
    pub rooms: [usize; 2],
}

impl Conversation<'_> {
    /// How many messages are sent, and what they are by the estimate.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let past = self.compacted.map(Compacted::messages).into_iter().flatten().collect::<Vec<_>>();
        let question = self.question.map(Message::user);
        let count = past.len() + self.history.len() + usize::from(question.is_some()) + self.turn.len();
        let all = [tokens::messages(&past), tokens::messages(self.history), tokens::messages(self.turn)];
        (count, all.iter().sum::<usize>() + question.as_ref().map_or(0, tokens::message))
    }
}

/// What stays or goes in one piece.
struct Unit {
    messages: Vec<Message>,
    /// An answer of the turn that has begun, with its results.
    is_step: bool,
}

impl Unit {
    fn cost(&self) -> usize {
        tokens::messages(&self.messages)
    }
}

/// Exchanges begin with the user, steps with the agent.
fn units(talk: &Conversation) -> Vec<Unit> {
    let exchanges = talk.history.chunk_by(|_, next| !matches!(next, Message::User { .. }));
    let steps = talk.turn.chunk_by(|_, next| matches!(next, Message::Tool { .. }));
    let unit = |messages: &[Message], is_step| Unit { messages: messages.to_vec(), is_step };
    exchanges.map(|messages| unit(messages, false)).chain(steps.map(|messages| unit(messages, true))).collect()
}

/// The plan for a conversation; nothing where it fits, or where it was asked for and there is nothing to gain.
#[must_use]
pub fn plan(talk: &Conversation, room: Room, why: CompactReason) -> Option<Plan> {
    let (_, before) = talk.size();
    if why != CompactReason::Requested && before <= room.limit {
        return None;
    }
    let mut units = units(talk);
    // Where somebody asks for it, there need not be a fifth of the window.
    let keep = if why == CompactReason::Requested { room.keep.min(before / 5) } else { room.keep };
    let long = LONG.min((room.limit / 2).max(200));
    let new = newest(&units, keep, keep);
    for unit in &mut units[..new] {
        unit.messages.iter_mut().for_each(|message| trim(message, long, long / 5));
    }
    let trimmed: usize = units.iter().map(Unit::cost).sum();
    let rest: usize = Conversation { history: &[], turn: &[], ..*talk }.size().1;
    if why != CompactReason::Requested && trimmed + rest <= room.limit / 4 * 3 {
        return Some(trim_only(talk, units));
    }
    summarised(talk, units, room.limit, keep, why)
}

/// From which unit on all are new: within `keep`, and if they have less than four messages within `most`.
fn newest(units: &[Unit], keep: usize, most: usize) -> usize {
    let (mut at, mut cost, mut count) = (units.len(), 0, 0);
    while at > 0 {
        cost += units[at - 1].cost();
        if cost > keep && (count >= NEWEST || cost > most) {
            break;
        }
        count += units[at - 1].messages.len();
        at -= 1;
    }
    at
}

fn trim_only(talk: &Conversation, units: Vec<Unit>) -> Plan {
    let past = talk.compacted.cloned().unwrap_or_default();
    let (recent, turn) = split_steps(talk, units, talk.question);
    let room = past.user_messages.iter().map(user_messages::cost).sum();
    Plan {
        dropped: Vec::new(),
        left_out: past.left_out,
        rooms: [room, tokens::estimate(&past.summary)],
        user_messages: past.user_messages,
        earlier: past.summary,
        recent,
        turn,
    }
}

fn summarised(
    talk: &Conversation,
    mut units: Vec<Unit>,
    limit: usize,
    keep: usize,
    why: CompactReason,
) -> Option<Plan> {
    let question = talk.question.map(|question| {
        // What is as long as the window itself cannot be sent whole.
        let most = limit / 2;
        if tokens::estimate(question) <= most { question.to_owned() } else { middle(question, most) }
    });
    let asked = question.as_deref().map(Message::user).as_ref().map_or(0, tokens::message);
    let rest = limit.saturating_sub(asked + FRAME);
    let (keep, half) = (keep.min(rest * 3 / 10), rest * 2 / 5);
    if let Some(last) = units.last_mut() {
        // The step that the next one builds on stays whatever it takes.
        thin(last, if last.is_step { half } else { keep });
    }
    let pinned = usize::from(units.last().is_some_and(|last| last.is_step));
    let stays = newest(&units, keep, half).min(units.len() - pinned);
    let later = units.split_off(stays);
    let dropped: Vec<Message> = units.into_iter().flat_map(|unit| unit.messages).collect();
    if why == CompactReason::Requested && dropped.len() <= 2 {
        return None;
    }
    let past = talk.compacted.cloned().unwrap_or_default();
    let words = dropped.iter().filter_map(|message| match message {
        Message::User { content } if !content.trim().is_empty() => Some(UserMessage::new(content.trim())),
        _ => None,
    });
    let user_messages: Vec<UserMessage> = past.user_messages.iter().cloned().chain(words).collect();
    let (recent, turn) = split_steps(talk, later, question.as_deref());
    let rooms = [rest * 3 / 10, (rest / 8).min(SUMMARY)];
    Some(Plan { dropped, user_messages, left_out: past.left_out, earlier: past.summary, recent, turn, rooms })
}

/// Finished exchanges, and the turn that has begun.
fn split_steps(talk: &Conversation, units: Vec<Unit>, question: Option<&str>) -> (Vec<Message>, Option<CompactedTurn>) {
    let (steps, exchanges): (Vec<Unit>, Vec<Unit>) = units.into_iter().partition(|unit| unit.is_step);
    let flat = |units: Vec<Unit>| units.into_iter().flat_map(|unit| unit.messages).collect();
    let begun = question.map(|question| CompactedTurn {
        question: question.to_owned(),
        steps: talk.steps,
        messages: flat(steps),
    });
    (flat(exchanges), begun)
}

impl Plan {
    /// What stands for the older part from here on, with this summary of what goes.
    #[must_use]
    pub fn compacted(&self, summary: &str) -> Compacted {
        let [words, notes] = self.rooms;
        let (user_messages, left_out) = user_messages::fit(self.user_messages.clone(), words);
        let shown = tokens::cut(summary.trim(), notes);
        Compacted { user_messages, left_out: self.left_out + left_out, summary: shown.trim().to_owned() }
    }

    /// Whether the user's words do not all fit, so that somebody has to choose.
    #[must_use]
    pub fn must_choose(&self) -> bool {
        self.user_messages.iter().map(user_messages::cost).sum::<usize>() > self.rooms[0]
    }
}

/// Makes a unit smaller until it is within `most`, as far as that goes: what tools told, what they were
/// called with, and at last what the agent said.
fn thin(unit: &mut Unit, most: usize) {
    for limit in [4_000, 1_000, 400, 150, 50] {
        if unit.cost() <= most {
            return;
        }
        for message in &mut unit.messages {
            trim(message, limit, limit);
            if let Message::Assistant { content, calls, .. } = message {
                for call in calls {
                    trim_call(call, limit);
                }
                if limit <= 400 && content.len() > 2 * limit {
                    *content = middle(content, limit / 4);
                }
            }
        }
    }
}

/// Shortens a result over `long` bytes to `shown`, with a mark that says where the whole of it is.
fn trim(message: &mut Message, long: usize, shown: usize) {
    let Message::Tool { content, .. } = message else { return };
    let is_worth_it = content.len() > long && content.len() > shown + 120;
    if !is_worth_it {
        return;
    }
    // The mark of a result that was too long from the start names the file.
    let file = content.rfind("\n[cut: ").map(|at| &content[at..]).filter(|mark| mark.len() < 200);
    let mark = match file {
        Some(mark) => mark.to_owned(),
        None => format!("\n[shortened: it had {} bytes; the session's log has all of it]", content.len()),
    };
    *content = data_mark::shorten(content, shown) + &mark;
}

fn trim_call(call: &mut Call, limit: usize) {
    let trim = |text: &mut String| {
        if text.len() > limit + 60 {
            *text = format!("{} [shortened: it had {} bytes]", cut(text, limit), text.len());
        }
    };
    match &mut call.arguments {
        Value::String(text) => trim(text),
        Value::Object(map) => map.values_mut().for_each(|value| match value {
            Value::String(text) => trim(text),
            Value::Array(_) | Value::Object(_) => {
                let mut text = value.to_string();
                trim(&mut text);
                if text.ends_with(" bytes]") {
                    *value = Value::String(text);
                }
            }
            _ => {}
        }),
        _ => {}
    }
}

/// The beginning and the end of a text, together about `most` tokens.
fn middle(text: &str, most: usize) -> String {
    let room = most.saturating_sub(20);
    let head = tokens::cut(text, room * 2 / 3);
    let back: String = text[head.len()..].chars().rev().collect();
    let tail: String = tokens::cut(&back, room / 3).chars().rev().collect();
    format!("{head}\n[… shortened: it had {} characters …]\n{tail}", text.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOBODY: Conversation = Conversation { compacted: None, history: &[], question: None, turn: &[], steps: 0 };

    fn exchange(n: usize, user: &str, agent: &str) -> Vec<Message> {
        vec![
            Message::user(user),
            Message::Assistant { content: format!("{n}: {agent}"), calls: vec![], thinking: vec![] },
        ]
    }

    /// An answer that calls so many tools, with their results.
    fn step(n: usize, results: &[usize]) -> Vec<Message> {
        let call = |at: usize| Call { id: format!("c{n}.{at}"), name: "t".into(), arguments: json!({"n": at}) };
        let calls: Vec<Call> = (0..results.len()).map(call).collect();
        let told = calls.iter().zip(results).map(|(call, size)| Message::Tool {
            call: call.id.clone(),
            name: "t".into(),
            content: "r".repeat(*size),
        });
        let told: Vec<Message> = told.collect();
        [Message::Assistant { content: String::new(), calls, thinking: vec![] }].into_iter().chain(told).collect()
    }

    /// What is sent after a plan.
    fn sent(plan: &Plan, summary: &str, question: Option<&str>) -> (Compacted, Vec<Message>) {
        let past = plan.compacted(summary);
        let mut list: Vec<Message> = past.messages().into();
        list.extend(plan.recent.clone());
        let begun = plan.turn.clone().unwrap_or_default();
        list.extend(question.map(|_| Message::user(begun.question)));
        list.extend(begun.messages);
        (past, list)
    }

    /// Every result has its call and the reverse, in order, and nobody speaks twice in a row.
    fn wrong(list: &[Message]) -> Option<String> {
        let (mut open, mut before) = (Vec::<&str>::new(), "");
        for message in list {
            let now = match message {
                Message::User { content } if open.is_empty() && before != "user" && !content.is_empty() => "user",
                Message::Assistant { calls, .. } if open.is_empty() && matches!(before, "user" | "tool") => {
                    open = calls.iter().map(|call| call.id.as_str()).collect();
                    if calls.is_empty() { "agent" } else { "tool" }
                }
                Message::Tool { call, .. } if open.first().is_some_and(|first| first == call) => {
                    open.remove(0);
                    "tool"
                }
                other => return Some(format!("{other:?} behind {before}, open: {open:?}")),
            };
            before = now;
        }
        (!open.is_empty()).then(|| format!("open: {open:?}"))
    }

    #[test]
    fn what_fits_is_left_alone() {
        let history = exchange(1, "hello", "hi");
        let talk = Conversation { history: &history, question: Some("and?"), ..NOBODY };
        let size = talk.size().1;
        assert_eq!(plan(&talk, Room { limit: size, keep: 10 }, CompactReason::Threshold), None);
        assert!(plan(&talk, Room { limit: size - 1, keep: 10 }, CompactReason::Threshold).is_some());
    }

    #[test]
    fn long_results_that_are_not_new_are_shortened_first_and_no_model_is_needed() {
        let mut history = vec![Message::user("read it")];
        history.extend(step(1, &[30_000, 500]));
        history.push(Message::Assistant { content: "Done.".into(), calls: vec![], thinking: vec![] });
        history.extend(exchange(2, "thanks", "you are welcome"));
        let talk = Conversation { history: &history, question: Some("and now?"), ..NOBODY };
        let room = Room { limit: 6_000, keep: 1_000 };
        let plan = plan(&talk, room, CompactReason::Threshold).unwrap();
        assert!(plan.dropped.is_empty() && plan.recent.len() == history.len());
        let Message::Tool { content, .. } = &plan.recent[2] else { panic!() };
        assert!(content.ends_with("\n[shortened: it had 30000 bytes; the session's log has all of it]"), "{content}");
        assert!(content.len() < 2_100);
        // All others are as they were.
        assert!(plan.recent.iter().zip(&history).enumerate().all(|(n, (a, b))| n == 2 || a == b));
    }

    #[test]
    fn a_result_that_lies_in_a_file_says_so_when_it_is_shortened_again() {
        let content =
            format!("{}\n[cut: 16384 of 99999 bytes; all of it is in files/results/x-01.txt]", "r".repeat(16_384));
        let mut message = Message::Tool { call: "c".into(), name: "t".into(), content };
        trim(&mut message, LONG, 2_000);
        assert!(message.content().len() < 2_200);
        assert!(message.content().ends_with("all of it is in files/results/x-01.txt]"));
    }

    #[test]
    fn the_oldest_exchanges_go_and_what_the_user_said_in_them_stays() {
        let history: Vec<Message> =
            (0..40).flat_map(|n| exchange(n, &format!("My number {n} is {}.", n * n), &"words ".repeat(60))).collect();
        let talk = Conversation { history: &history, question: Some("and now?"), ..NOBODY };
        let plan = plan(&talk, Room { limit: 3_000, keep: 700 }, CompactReason::Threshold).unwrap();
        assert!(plan.recent.len() >= NEWEST && history.ends_with(&plan.recent), "{}", plan.recent.len());
        assert_eq!(plan.dropped, history[..history.len() - plan.recent.len()]);
        assert!(!plan.must_choose());
        let (past, list) = sent(&plan, "Numbers.", Some("and now?"));
        assert_eq!(past.user_messages.len() * 2 + plan.recent.len(), history.len());
        assert!(tokens::messages(&list) <= 3_000 && wrong(&list).is_none());
    }

    #[test]
    fn a_long_turn_loses_its_first_steps_and_never_its_last() {
        let turn: Vec<Message> = (0..30).flat_map(|n| step(n, &[600, 600])).collect();
        let talk = Conversation { question: Some("do it"), turn: &turn, steps: 30, ..NOBODY };
        let plan = plan(&talk, Room { limit: 4_000, keep: 800 }, CompactReason::Threshold).unwrap();
        let begun = plan.turn.clone().unwrap();
        assert_eq!((begun.question.as_str(), begun.steps), ("do it", 30));
        assert!(turn.ends_with(&begun.messages) && !begun.messages.is_empty());
        assert!(wrong(&sent(&plan, "x", Some("do it")).1).is_none());
    }

    #[test]
    fn a_question_longer_than_the_window_is_sent_with_a_mark() {
        let question = format!("Begin. {} End.", "so much text ".repeat(5_000));
        let talk = Conversation { question: Some(&question), ..NOBODY };
        let plan = plan(&talk, Room { limit: 2_000, keep: 400 }, CompactReason::Threshold).unwrap();
        let begun = plan.turn.unwrap();
        assert!(begun.question.starts_with("Begin. ") && begun.question.ends_with(" End."));
        assert!(begun.question.contains("[… shortened: it had 65012 characters …]"), "{}", &begun.question[2000..]);
        assert!(tokens::estimate(&begun.question) <= 1_000);
    }

    #[test]
    fn who_asks_for_it_gets_it_unless_there_is_nothing_to_gain() {
        let few: Vec<Message> = (0..3).flat_map(|n| exchange(n, "hello", "hi")).collect();
        let many: Vec<Message> = (0..9).flat_map(|n| exchange(n, "hello", "hi")).collect();
        let room = Room { limit: 100_000, keep: 20_000 };
        assert_eq!(plan(&Conversation { history: &few, ..NOBODY }, room, CompactReason::Requested), None);
        let plan = plan(&Conversation { history: &many, ..NOBODY }, room, CompactReason::Requested).unwrap();
        assert_eq!((plan.recent.len(), plan.dropped.len(), plan.turn), (4, 14, None));
    }

    fn arbitrary_exchange() -> impl Strategy<Value = Vec<Message>> {
        let results = proptest::collection::vec(proptest::collection::vec(0usize..9_000, 1..4), 0..3);
        ("[a-z]{1,40}( [a-z]{1,60}){0,8}", results, 0usize..2_000).prop_map(|(user, steps, answer)| {
            let mut messages = vec![Message::user(user)];
            steps.iter().enumerate().for_each(|(n, results)| messages.extend(step(n, results)));
            messages.push(Message::Assistant { content: "a".repeat(answer + 1), calls: vec![], thinking: vec![] });
            messages
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        /// Whatever was said and called: what comes of a plan is valid, shorter, within the room, and needs no
        /// other plan; the newest is as it was, and the user's words are his own.
        #[test]
        fn a_plan_always_makes_room(
            history in proptest::collection::vec(arbitrary_exchange(), 0..25),
            steps in proptest::collection::vec(proptest::collection::vec(0usize..20_000, 1..4), 0..12),
            question in "[a-z ]{1,400}",
            is_begun in proptest::bool::ANY,
            limit in 900usize..20_000,
            summary in "[a-z ]{0,9000}",
            is_asked in proptest::bool::ANY,
        ) {
            let history: Vec<Message> = history.concat();
            let turn: Vec<Message> =
                steps.iter().enumerate().filter(|_| is_begun).flat_map(|(n, sizes)| step(n, sizes)).collect();
            let question = is_begun.then_some(question.as_str());
            let steps = if is_begun { steps.len() } else { 0 };
            let talk = Conversation { compacted: None, history: &history, question, turn: &turn, steps };
            let room = Room { limit, keep: limit / 4 };
            let why = if is_asked && !is_begun { CompactReason::Requested } else { CompactReason::Threshold };
            let Some(first) = plan(&talk, room, why) else {
                prop_assert!(why == CompactReason::Requested || talk.size().1 <= limit);
                return Ok(());
            };
            let (past, list) = sent(&first, &summary, question);
            prop_assert_eq!(wrong(&list), None);
            prop_assert!(tokens::messages(&list) <= limit, "{} > {}", tokens::messages(&list), limit);
            // What goes and what stays is all there was, each once.
            let users = |list: &[Message]| list.iter().filter(|m| matches!(m, Message::User { .. })).count();
            prop_assert_eq!(users(&first.dropped) + users(&first.recent), users(&history));
            prop_assert_eq!(past.user_messages.len() + past.left_out, users(&first.dropped));
            for said in past.user_messages.iter().filter(|said| !said.text.contains("[shortened: ")) {
                prop_assert!(history.iter().any(|message| message.content().trim() == said.text));
            }
            if why == CompactReason::Threshold {
                let begun = first.turn.clone().unwrap_or_default();
                let again =
                    Conversation { compacted: Some(&past), history: &first.recent, turn: &begun.messages, ..talk };
                prop_assert_eq!(plan(&again, room, CompactReason::Threshold), None);
            }
        }
    }
}
