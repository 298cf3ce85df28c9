//! Prints a conversation: as plain text, or as a Markdown document.

use crate::command::terminal::out;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Result};
use crate::core::session::transcript::{Transcript, TranscriptItem, call_line, one_line};
use crate::store::session::log;
use crate::store::workspace::Workspace;
use crate::world;
use jiff::Timestamp;

/// The length of a call and of its result in a one-line display, in bytes.
pub(crate) const STEP: usize = 100;

/// The format.
#[derive(Clone, Copy)]
pub(crate) enum TranscriptFormat {
    /// For a terminal or a pager.
    Plain {
        /// Headers and steps are dimmed.
        is_dimmed: bool,
    },
    /// A Markdown document.
    Markdown,
}

/// Prints the conversation of a session.
///
/// # Errors
/// `Data` if the session has no messages.
pub(crate) fn print(workspace: &Workspace, session: &str, form: TranscriptFormat) -> Result<()> {
    let mut transcript = Transcript::default();
    let mut pieces = Vec::new();
    log::each(workspace, session, |record| pieces.extend(transcript.take(record)))?;
    pieces.extend(transcript.end());
    if pieces.is_empty() {
        return Err(Fault::data(format!("session {session} has no messages")).hint("`claw sessions` lists the others"));
    }
    let agent = session_name::agent(session);
    match form {
        TranscriptFormat::Plain { is_dimmed } => out::raw(&plain(agent, &pieces, is_dimmed)),
        TranscriptFormat::Markdown => out::content(&(format!("# {session}\n\n") + &markdown(agent, &pieces))),
    }
}

fn plain(agent: &str, pieces: &[TranscriptItem], is_dimmed: bool) -> String {
    let mut text = String::new();
    for (at, piece) in pieces.iter().enumerate() {
        let is_step = matches!(piece, TranscriptItem::ToolCall { .. });
        // There is no empty line between steps.
        if at > 0 && !(is_step && matches!(pieces.get(at - 1), Some(TranscriptItem::ToolCall { .. }))) {
            text.push('\n');
        }
        match piece {
            TranscriptItem::Message { at, from, text: content } => {
                text += &message(&from.to_string(), *at, None, content, is_dimmed);
            }
            TranscriptItem::Answer { at, model, text: content } => {
                text += &message(agent, *at, model.as_deref(), content, is_dimmed);
            }
            TranscriptItem::ToolCall { call, result } => {
                let result = result.as_ref().map_or("the result is unknown", |(outcome, _)| &outcome.result);
                text += &dim(&format!("  {}", step(&call_line(call, STEP))), is_dimmed);
                text += &dim(&format!("    {}", step(&one_line(result, STEP))), is_dimmed);
            }
            TranscriptItem::Unanswered { id } => {
                text += &dim(&format!("(not answered: claw why {})", id.short()), is_dimmed);
            }
        }
    }
    text
}

fn step(line: &str) -> String {
    out::plain(line)
}

fn message(sender: &str, at: Timestamp, model: Option<&str>, content: &str, is_dimmed: bool) -> String {
    let model = model.map(|model| format!(", {model}")).unwrap_or_default();
    let head = dim(&format!("{sender}  {}{model}", world::local(at.into())), is_dimmed);
    format!("{head}{}\n", out::plain(content.trim_end()))
}

/// A line, dimmed if `is_dimmed`.
fn dim(line: &str, is_dimmed: bool) -> String {
    if is_dimmed { format!("{}{line}{}\n", out::DIM, out::BRIGHT) } else { format!("{line}\n") }
}

fn markdown(agent: &str, pieces: &[TranscriptItem]) -> String {
    let head =
        |sender: &str, at: &Timestamp, more: &str| format!("## {sender}, {}{more}\n\n", world::local((*at).into()));
    let block = |piece: &TranscriptItem| match piece {
        TranscriptItem::Message { at, from, text } => format!("{}{}", head(&from.to_string(), at, ""), text.trim_end()),
        TranscriptItem::Answer { at, model, text } => {
            let model = model.as_ref().map(|model| format!(" ({model})")).unwrap_or_default();
            format!("{}{}", head(agent, at, &model), text.trim_end())
        }
        TranscriptItem::ToolCall { call, result } => {
            let arguments = fenced(&serde_json::to_string_pretty(&call.arguments).unwrap_or_default(), "json");
            let result = result
                .as_ref()
                .map_or_else(|| "The result is unknown.".to_owned(), |(outcome, _)| fenced(&outcome.result, ""));
            format!("### {}\n\n{arguments}\n\n{result}", call.name)
        }
        TranscriptItem::Unanswered { id } => format!("*not answered yet ({id})*"),
    };
    pieces.iter().map(|piece| block(piece) + "\n\n").collect::<String>().trim_end().to_owned() + "\n"
}

/// A code block whose fence is longer than any in its text.
fn fenced(text: &str, language: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::fenced;

    #[test]
    fn text_with_fences_does_not_end_the_block() {
        assert_eq!(fenced("a\n", "json"), "```json\na\n```");
        assert_eq!(fenced("````\nb\n````", ""), "`````\n````\nb\n````\n`````");
    }
}
