//! The data of the page: sessions, conversations, pending approvals, failed deliveries, what is due, and usage. Every
//! function reads files; the only changes are the owner's decisions and the end of a login.

use super::markdown;
use crate::core::budget::ledger_line::{LedgerKind, Sums};
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::attachment::Content;
use crate::core::session::summary::SessionSummary;
use crate::core::session::transcript::{Transcript, TranscriptItem, call_line};
use crate::core::text::visible;
use crate::core::tool::approval::Approval;
use crate::http::server::Method;
use crate::report::crons;
use crate::report::status::StatusReport;
use crate::store::agent::{attachments, definitions};
use crate::store::channel::tokens::{self, Token};
use crate::store::session::approvals::{self, Verdict};
use crate::store::session::{self, log};
use crate::store::usage;
use crate::store::workspace::Workspace;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The most sessions of a list.
const MAX_SESSIONS: usize = 200;
/// The most items of a conversation that are sent at once, the last ones.
const MAX_ITEMS: usize = 300;
/// The longest text of a tool's result on the page, in bytes.
const MAX_RESULT: usize = 16 << 10;
/// The longest search in the texts of sessions.
const SEARCH_TIME: Duration = Duration::from_secs(2);
/// The most days of the charts.
const MAX_DAYS: u32 = 366;
/// The width of a call's line, in characters.
const CALL_WIDTH: usize = 200;

/// A request of a page that is logged in.
pub(super) struct ApiCall {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Value,
    pub(super) token: Token,
}

/// The answer.
pub(super) enum ApiAnswer {
    Document(Value),
    Image(&'static str, Vec<u8>),
    NotFound,
}

/// Answers a request.
///
/// # Errors
/// `Data` for a wrong argument; those of the file system.
pub(super) fn answer(workspace: &Workspace, channel: &str, call: &ApiCall) -> Result<ApiAnswer> {
    let argument = |name: &str| call.query.get(name).map(String::as_str).unwrap_or_default();
    let found = match (&call.method, call.path.as_str()) {
        (&Method::GET, "/api/state") => state(workspace)?,
        (&Method::GET, "/api/sessions") => sessions(workspace, argument("q"))?,
        (&Method::GET, "/api/session") => conversation(workspace, argument("name"))?,
        (&Method::GET, "/api/usage") => spent(workspace, argument("days").parse().unwrap_or(30))?,
        (&Method::GET, "/api/image") => return image(workspace, argument("path")),
        (&Method::POST, "/api/decide") => decide(workspace, &call.body)?,
        (&Method::POST, "/api/logout") => {
            json!({"ended": tokens::log_out(workspace, channel, Some(&call.token.hash))?})
        }
        _ => return Ok(ApiAnswer::NotFound),
    };
    Ok(ApiAnswer::Document(found))
}

fn state(workspace: &Workspace) -> Result<Value> {
    let status = StatusReport::of(workspace)?;
    let pending: Vec<Value> = approvals::pending(workspace)?.iter().map(approval).collect();
    let failed: Vec<Value> = status
        .failed
        .iter()
        .rev()
        .take(50)
        .map(|row| json!({"short": row.id.short(), "mailbox": row.mailbox, "lane": row.lane, "reason": row.reason, "at": row.id.stamp().timestamp()}))
        .collect();
    let waiting: Vec<Value> = status
        .waiting
        .iter()
        .take(50)
        .map(|row| json!({"id": row.id, "mailbox": row.mailbox, "lane": row.lane, "reason": row.reason, "due": row.due_at}))
        .collect();
    let mut due: Vec<_> = crons::all(workspace)?.into_iter().filter_map(|job| Some((job.next?, job))).collect();
    due.sort_by_key(|(at, _)| *at);
    let due: Vec<Value> = due
        .into_iter()
        .take(20)
        .map(|(at, job)| json!({"id": job.id, "at": at, "what": job.description, "agent": job.agent, "schedule": job.schedule}))
        .collect();
    let agents: Vec<String> = definitions::agents(workspace)?.into_iter().map(|(id, _)| id).collect();
    let name = workspace.real_root().file_name().map(|name| visible::plain(&name.to_string_lossy()));
    Ok(json!({
        "workspace": name, "model": status.model, "agents": agents, "approvals": pending, "failed": failed,
        "waiting": waiting, "due": due, "problems": status.problems,
    }))
}

/// An approval as its owner must see it: everything that could deceive is shown.
fn approval(approval: &Approval) -> Value {
    json!({
        "id": approval.id, "agent": session_name::agent(&approval.session), "session": approval.session,
        "lines": approval.exact_lines(), "reason": visible::exact(&approval.reason), "from": approval.from,
        "hash": approval.hash, "expires_at": approval.expires_at,
    })
}

fn decide(workspace: &Workspace, body: &Value) -> Result<Value> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let verdict = match text("verdict") {
        "approve" => Verdict::Approved,
        "deny" => Verdict::Denied,
        _ => return Err(Fault::new(Kind::Usage, "`verdict` must be approve or deny")),
    };
    let id = Id::parse(text("id"))?;
    let shown = approvals::pending(workspace)?.into_iter().find(|approval| approval.id == id);
    if shown.is_some_and(|approval| approval.hash != text("hash")) {
        return Err(Fault::data("the call is not the one that was shown; look at it again"));
    }
    approvals::decide(workspace, &id, verdict)?;
    let refused: Vec<String> =
        approvals::publish_decisions(workspace)?.iter().map(|(_, fault)| fault.to_string()).collect();
    Ok(json!({"event": id, "problems": refused}))
}

fn sessions(workspace: &Workspace, wanted: &str) -> Result<Value> {
    let wanted = wanted.trim().to_lowercase();
    let mut all = session::summaries(workspace)?;
    all.sort_unstable_by(|a, b| b.1.updated.cmp(&a.1.updated).then_with(|| a.0.cmp(&b.0)));
    let end = Instant::now() + SEARCH_TIME;
    let (mut found, mut is_complete) = (Vec::new(), true);
    for (name, summary) in all {
        if found.len() >= MAX_SESSIONS || !wanted.is_empty() && Instant::now() > end {
            is_complete = false;
            break;
        }
        let titles = [name.as_str(), &summary.title, summary.source.as_ref().map_or("", |source| source.as_str())];
        let is_title = wanted.is_empty() || titles.iter().any(|text| text.to_lowercase().contains(&wanted));
        let excerpt = if is_title { None } else { find_text(workspace, &name, &wanted)? };
        if is_title || excerpt.is_some() {
            found.push(session_row(&name, &summary, excerpt.as_deref()));
        }
    }
    Ok(json!({"sessions": found, "complete": is_complete}))
}

fn session_row(name: &str, summary: &SessionSummary, excerpt: Option<&str>) -> Value {
    json!({
        "name": name, "agent": session_name::agent(name), "title": summary.title, "source": summary.source,
        "messages": summary.messages, "tokens": summary.tokens(), "updated": summary.updated, "excerpt": excerpt,
    })
}

/// The surroundings of a text in a conversation.
fn find_text(workspace: &Workspace, session: &str, wanted: &str) -> Result<Option<String>> {
    let (mut found, mut transcript) = (None, Transcript::default());
    log::each(workspace, session, |record| {
        for item in transcript.take(record) {
            let (TranscriptItem::Message { text, .. } | TranscriptItem::Answer { text, .. }) = item else { continue };
            let lower = text.to_lowercase();
            if let Some(at) = lower.find(wanted).filter(|_| found.is_none()) {
                let begin = lower.floor_char_boundary(at.saturating_sub(40));
                let end = lower.floor_char_boundary((at + wanted.len() + 60).min(lower.len()));
                found = Some(lower[begin..end].split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    })?;
    Ok(found)
}

fn conversation(workspace: &Workspace, name: &str) -> Result<Value> {
    let session = session::find(workspace, name)?;
    let (mut items, mut transcript) = (Vec::new(), Transcript::default());
    log::each(workspace, &session, |record| items.extend(transcript.take(record).iter().map(item)))?;
    items.extend(transcript.end().iter().map(item));
    let left_out = items.len().saturating_sub(MAX_ITEMS);
    Ok(
        json!({"name": session, "agent": session_name::agent(&session), "left_out": left_out, "items": items.split_off(left_out)}),
    )
}

fn item(item: &TranscriptItem) -> Value {
    match item {
        TranscriptItem::Message { at, from, text } => {
            json!({"t": "message", "at": at, "from": from, "blocks": markdown::blocks(text)})
        }
        TranscriptItem::Answer { at, model, text } => {
            json!({"t": "answer", "at": at, "model": model, "blocks": markdown::blocks(text)})
        }
        TranscriptItem::ToolCall { call, result } => {
            let shown = |text: &str| visible::plain(&text[..text.floor_char_boundary(MAX_RESULT.min(text.len()))]);
            let line = visible::exact(&call_line(call, CALL_WIDTH));
            json!({
                "t": "call", "line": line, "ms": result.as_ref().map(|(_, ms)| ms),
                "result": result.as_ref().map(|(result, _)| shown(&result.result)),
                "failed": result.as_ref().is_some_and(|(result, _)| result.failed),
                "asks": result.as_ref().is_some_and(|(result, _)| result.asks.is_some()),
            })
        }
        TranscriptItem::Unanswered { id } => json!({"t": "unanswered", "event": id}),
    }
}

fn spent(workspace: &Workspace, days: u32) -> Result<Value> {
    let days = days.clamp(1, MAX_DAYS);
    let today = Stamp::of_day(&usage::today(workspace)).unwrap_or(workspace.world.now());
    let since = today.minus_days(days - 1).day();
    let [mut by_day, mut by_agent, mut by_model]: [BTreeMap<String, Sums>; 3] = Default::default();
    // A call that began before midnight is in the file of its end.
    usage::for_each_since(workspace, &since, &mut |line| {
        if line.kind == LedgerKind::Settled && line.day >= since {
            let sums = line.sums();
            by_day.entry(line.day).or_default().add(&sums);
            by_agent.entry(line.agent).or_default().add(&sums);
            by_model.entry(line.model).or_default().add(&sums);
        }
    })?;
    for day in 0..days {
        by_day.entry(today.minus_days(day).day()).or_default();
    }
    let rows = |sums: BTreeMap<String, Sums>| -> Vec<Value> {
        let row = |(name, sums): (String, Sums)| json!({"name": name, "input": sums.usage.input, "output": sums.usage.output, "cost": sums.money, "calls": sums.calls, "estimated": sums.estimated_calls});
        sums.into_iter().map(row).collect()
    };
    let currency = workspace.config()?.currency.clone();
    Ok(json!({"days": rows(by_day), "agents": rows(by_agent), "models": rows(by_model), "currency": currency}))
}

fn image(workspace: &Workspace, path: &str) -> Result<ApiAnswer> {
    let file = attachments::read(workspace, path)?;
    match file.content {
        Content::Media(media) if !media.is_document() => Ok(ApiAnswer::Image(media.name(), file.bytes)),
        _ => Err(Fault::data("it is no image")),
    }
}
