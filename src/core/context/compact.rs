//! Planning a compaction, without I/O. First, long tool results that are not recent are shortened. If that is not
//! enough, the oldest whole exchanges (and, within a long turn, its oldest steps) are dropped and replaced by the user's
//! messages in them and a summary. Invariants: the newest part stays whole; a call keeps its results; the result of a
//! plan fits into the room, so that it needs no second plan.

use crate::core::context::{shorten, user_messages};
use crate::core::model::Message;
use crate::core::model::tokens;
use crate::core::session::compaction::{CompactReason, Compacted, CompactedTurn, UserMessage};

/// Tool results longer than this, in bytes, are shortened first.
pub const LONG: usize = 10_000;
/// The number of newest messages that stay, if they fit at all.
const NEWEST: usize = 4;
/// The longest summary, in estimated tokens.
const SUMMARY: usize = 2_000;
/// The fixed texts around user messages and summary, in estimated tokens.
const FRAME: usize = 120;

/// The room for the messages of a request, in tokens as [`tokens`] estimates them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The limit for all messages.
    pub limit: usize,
    /// The size of the newest part that stays whole: a fifth of the context window.
    pub keep: usize,
}

/// A conversation as it would be sent now.
#[derive(Clone, Copy, Debug)]
pub struct Conversation<'a> {
    /// The previous compaction, if any.
    pub compacted: Option<&'a Compacted>,
    /// Finished exchanges, oldest first; each begins with a user message.
    pub history: &'a [Message],
    /// The user's current message; `None` between turns.
    pub question: Option<&'a str>,
    /// The model's answers in this turn so far, each with the results of its calls.
    pub turn: &'a [Message],
    /// The number of answers of this turn, including those compacted earlier.
    pub steps: usize,
}

/// The plan of a compaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The messages to summarise, in order. If empty, no model is needed.
    pub dropped: Vec<Message>,
    /// The user's messages in `dropped` and in the previous compaction.
    pub user_messages: Vec<UserMessage>,
    /// The number of user messages that earlier compactions left out.
    pub left_out: usize,
    /// The previous summary.
    pub earlier: String,
    /// The exchanges that stay.
    pub recent: Vec<Message>,
    /// The unfinished turn, as it is sent from now on.
    pub turn: Option<CompactedTurn>,
    /// The room for the user's messages and for the summary, in estimated tokens.
    pub rooms: [usize; 2],
}

impl Conversation<'_> {
    /// The number of messages, and their estimated tokens.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let past = self.compacted.map(Compacted::messages).into_iter().flatten().collect::<Vec<_>>();
        let question = self.question.map(Message::user);
        let count = past.len() + self.history.len() + usize::from(question.is_some()) + self.turn.len();
        let all = [tokens::messages(&past), tokens::messages(self.history), tokens::messages(self.turn)];
        (count, all.iter().sum::<usize>() + question.as_ref().map_or(0, tokens::message))
    }
}

/// Messages that stay or are dropped together.
struct Unit {
    messages: Vec<Message>,
    /// It is an answer of the unfinished turn, with its tool results.
    is_step: bool,
}

impl Unit {
    fn cost(&self) -> usize {
        tokens::messages(&self.messages)
    }
}

/// The units of a conversation: exchanges begin with a user message, steps with an answer.
fn units(talk: &Conversation) -> Vec<Unit> {
    let exchanges = talk.history.chunk_by(|_, next| !matches!(next, Message::User { .. }));
    let steps = talk.turn.chunk_by(|_, next| matches!(next, Message::Tool { .. }));
    let unit = |messages: &[Message], is_step| Unit { messages: messages.to_vec(), is_step };
    exchanges.map(|messages| unit(messages, false)).chain(steps.map(|messages| unit(messages, true))).collect()
}

/// The plan for a conversation. `None` if it fits, or if a requested compaction would gain nothing.
#[must_use]
pub fn plan(talk: &Conversation, room: Room, why: CompactReason) -> Option<Plan> {
    let (_, before) = talk.size();
    if why != CompactReason::Requested && before <= room.limit {
        return None;
    }
    let mut units = units(talk);
    // A requested compaction may come long before the conversation fills a fifth of the window.
    let keep = if why == CompactReason::Requested { room.keep.min(before / 5) } else { room.keep };
    let long = LONG.min((room.limit / 2).max(200));
    let new = newest(&units, keep, keep);
    for unit in &mut units[..new] {
        unit.messages.iter_mut().for_each(|message| shorten::tool_result(message, long, long / 5));
    }
    let trimmed: usize = units.iter().map(Unit::cost).sum();
    let rest: usize = Conversation { history: &[], turn: &[], ..*talk }.size().1;
    if why != CompactReason::Requested && trimmed + rest <= room.limit / 4 * 3 {
        return Some(trim_only(talk, units));
    }
    drop_oldest(talk, units, room.limit, keep, why)
}

/// The index of the first recent unit. Recent units fit into `keep`; while they have fewer than [`NEWEST`] messages, they
/// may take `most`.
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

fn drop_oldest(
    talk: &Conversation,
    mut units: Vec<Unit>,
    limit: usize,
    keep: usize,
    why: CompactReason,
) -> Option<Plan> {
    let question = talk.question.map(|question| {
        // A message of the size of the window cannot be sent whole.
        let most = limit / 2;
        if tokens::estimate(question) <= most { question.to_owned() } else { shorten::middle(question, most) }
    });
    let asked = question.as_deref().map(Message::user).as_ref().map_or(0, tokens::message);
    let rest = limit.saturating_sub(asked + FRAME);
    let (keep, half) = (keep.min(rest * 3 / 10), rest * 2 / 5);
    if let Some(last) = units.last_mut() {
        // The next step builds on the last one: it stays, shortened as far as necessary.
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
        Message::User { content, .. } if !content.trim().is_empty() => Some(UserMessage::new(content.trim())),
        _ => None,
    });
    let user_messages: Vec<UserMessage> = past.user_messages.iter().cloned().chain(words).collect();
    let (recent, turn) = split_steps(talk, later, question.as_deref());
    let rooms = [rest * 3 / 10, (rest / 8).min(SUMMARY)];
    Some(Plan { dropped, user_messages, left_out: past.left_out, earlier: past.summary, recent, turn, rooms })
}

/// Splits units into the messages of finished exchanges and the unfinished turn.
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
    /// The replacement of the older part, with this summary of the dropped messages.
    #[must_use]
    pub fn compacted(&self, summary: &str) -> Compacted {
        let [words, notes] = self.rooms;
        let (user_messages, left_out) = user_messages::fit(self.user_messages.clone(), words);
        let shown = tokens::cut(summary.trim(), notes);
        Compacted { user_messages, left_out: self.left_out + left_out, summary: shown.trim().to_owned() }
    }

    /// Whether the user's messages do not all fit, so that the summarising model must select.
    #[must_use]
    pub fn must_choose(&self) -> bool {
        self.user_messages.iter().map(user_messages::cost).sum::<usize>() > self.rooms[0]
    }
}

/// Shortens a unit toward `most` tokens, in passes with ever smaller limits.
fn thin(unit: &mut Unit, most: usize) {
    for limit in [4_000, 1_000, 400, 150, 50] {
        if unit.cost() <= most {
            return;
        }
        unit.messages.iter_mut().for_each(|message| shorten::message(message, limit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Call;
    use proptest::prelude::*;
    use serde_json::json;

    const EMPTY: Conversation = Conversation { compacted: None, history: &[], question: None, turn: &[], steps: 0 };

    fn exchange(n: usize, user: &str, agent: &str) -> Vec<Message> {
        vec![
            Message::user(user),
            Message::Assistant { content: format!("{n}: {agent}"), calls: vec![], thinking: vec![] },
        ]
    }

    /// An answer with one call per entry of `results`, and results of these sizes in bytes.
    fn step(n: usize, results: &[usize]) -> Vec<Message> {
        let call = |at: usize| Call { id: format!("c{n}.{at}"), name: "t".into(), arguments: json!({"n": at}) };
        let calls: Vec<Call> = (0..results.len()).map(call).collect();
        let results = calls.iter().zip(results).map(|(call, size)| Message::Tool {
            call: call.id.clone(),
            name: "t".into(),
            content: "r".repeat(*size),
        });
        let results: Vec<Message> = results.collect();
        [Message::Assistant { content: String::new(), calls, thinking: vec![] }].into_iter().chain(results).collect()
    }

    /// The messages that are sent after a plan.
    fn sent(plan: &Plan, summary: &str, question: Option<&str>) -> (Compacted, Vec<Message>) {
        let past = plan.compacted(summary);
        let mut list: Vec<Message> = past.messages().into();
        list.extend(plan.recent.clone());
        let begun = plan.turn.clone().unwrap_or_default();
        list.extend(question.map(|_| Message::user(begun.question)));
        list.extend(begun.messages);
        (past, list)
    }

    /// The first violation of the rules of a message list: every result follows its call and every call has its result,
    /// in order; roles alternate.
    fn violation(list: &[Message]) -> Option<String> {
        let (mut open, mut before) = (Vec::<&str>::new(), "");
        for message in list {
            let now = match message {
                Message::User { content, .. } if open.is_empty() && before != "user" && !content.is_empty() => "user",
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
    fn conversation_that_fits_is_not_compacted() {
        let history = exchange(1, "hello", "hi");
        let talk = Conversation { history: &history, question: Some("and?"), ..EMPTY };
        let size = talk.size().1;
        assert_eq!(plan(&talk, Room { limit: size, keep: 10 }, CompactReason::Threshold), None);
        assert!(plan(&talk, Room { limit: size - 1, keep: 10 }, CompactReason::Threshold).is_some());
    }

    #[test]
    fn shortening_long_old_results_needs_no_model() {
        let mut history = vec![Message::user("read it")];
        history.extend(step(1, &[30_000, 500]));
        history.push(Message::Assistant { content: "Done.".into(), calls: vec![], thinking: vec![] });
        history.extend(exchange(2, "thanks", "you are welcome"));
        let talk = Conversation { history: &history, question: Some("and now?"), ..EMPTY };
        let room = Room { limit: 6_000, keep: 1_000 };
        let plan = plan(&talk, room, CompactReason::Threshold).unwrap();
        assert!(plan.dropped.is_empty() && plan.recent.len() == history.len());
        let Message::Tool { content, .. } = &plan.recent[2] else { panic!() };
        assert!(content.ends_with("\n[shortened: it had 30000 bytes; the session's log has all of it]"), "{content}");
        assert!(content.len() < 2_100);
        // All other messages are unchanged.
        assert!(plan.recent.iter().zip(&history).enumerate().all(|(n, (a, b))| n == 2 || a == b));
    }

    #[test]
    fn oldest_exchanges_are_dropped_and_their_user_messages_stay() {
        let history: Vec<Message> =
            (0..40).flat_map(|n| exchange(n, &format!("My number {n} is {}.", n * n), &"words ".repeat(60))).collect();
        let talk = Conversation { history: &history, question: Some("and now?"), ..EMPTY };
        let plan = plan(&talk, Room { limit: 3_000, keep: 700 }, CompactReason::Threshold).unwrap();
        assert!(plan.recent.len() >= NEWEST && history.ends_with(&plan.recent), "{}", plan.recent.len());
        assert_eq!(plan.dropped, history[..history.len() - plan.recent.len()]);
        assert!(!plan.must_choose());
        let (past, list) = sent(&plan, "Numbers.", Some("and now?"));
        assert_eq!(past.user_messages.len() * 2 + plan.recent.len(), history.len());
        assert!(tokens::messages(&list) <= 3_000 && violation(&list).is_none());
    }

    #[test]
    fn long_turn_loses_its_first_steps_and_keeps_its_last() {
        let turn: Vec<Message> = (0..30).flat_map(|n| step(n, &[600, 600])).collect();
        let talk = Conversation { question: Some("do it"), turn: &turn, steps: 30, ..EMPTY };
        let plan = plan(&talk, Room { limit: 4_000, keep: 800 }, CompactReason::Threshold).unwrap();
        let begun = plan.turn.clone().unwrap();
        assert_eq!((begun.question.as_str(), begun.steps), ("do it", 30));
        assert!(turn.ends_with(&begun.messages) && !begun.messages.is_empty());
        assert!(violation(&sent(&plan, "x", Some("do it")).1).is_none());
    }

    #[test]
    fn message_longer_than_the_window_is_shortened_with_a_mark() {
        let question = format!("Begin. {} End.", "so much text ".repeat(5_000));
        let talk = Conversation { question: Some(&question), ..EMPTY };
        let plan = plan(&talk, Room { limit: 2_000, keep: 400 }, CompactReason::Threshold).unwrap();
        let begun = plan.turn.unwrap();
        assert!(begun.question.starts_with("Begin. ") && begun.question.ends_with(" End."));
        assert!(begun.question.contains("[… shortened: it had 65012 characters …]"), "{}", &begun.question[2000..]);
        assert!(tokens::estimate(&begun.question) <= 1_000);
    }

    #[test]
    fn requested_compaction_happens_unless_it_gains_nothing() {
        let few: Vec<Message> = (0..3).flat_map(|n| exchange(n, "hello", "hi")).collect();
        let many: Vec<Message> = (0..9).flat_map(|n| exchange(n, "hello", "hi")).collect();
        let room = Room { limit: 100_000, keep: 20_000 };
        assert_eq!(plan(&Conversation { history: &few, ..EMPTY }, room, CompactReason::Requested), None);
        let plan = plan(&Conversation { history: &many, ..EMPTY }, room, CompactReason::Requested).unwrap();
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
               /// For any conversation, the result of a plan is a valid message list, fits into the room and needs no second
               /// plan, and the user's messages are verbatim.
        #[test]
               fn plan_always_fits_into_the_room(
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
            prop_assert_eq!(violation(&list), None);
            prop_assert!(tokens::messages(&list) <= limit, "{} > {}", tokens::messages(&list), limit);
                       // Every user message is either dropped or recent, once.
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
