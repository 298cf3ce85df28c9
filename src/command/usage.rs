//! `claw usage`

use crate::command::Here;
use crate::command::terminal::{out, style};
use crate::core::budget::bars::{self, Bar, BarStyle};
use crate::core::budget::ledger::Ledger;
use crate::core::budget::ledger_line::{LedgerLine, Sums};
use crate::core::event::session_name;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::money::Money;
use crate::report::budget;
use crate::store::usage;
use crate::store::workspace::Workspace;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Show the usage of models, and the rest of the budgets
///
/// A number with ~ includes calls whose tokens the provider has not counted: they are estimated from the length of the
/// text, or not settled yet. `cached` is a part of `input`. Money is in the currency of claw.yaml.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rows of the table
    #[arg(long, value_name = "ROWS", value_enum, default_value = "day")]
    by: By,
    /// Only this day and later ones
    #[arg(long, value_name = "DATE")]
    since: Option<String>,
    /// Draw a bar for each day, the last 30 or those since --since: money if models have prices, else tokens
    #[arg(long, conflicts_with_all = ["by", "json", "csv"])]
    plot: bool,
    /// Print CSV (RFC 4180) with a header
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
}

/// The columns of a plot that goes into a pipe.
const COLUMNS: usize = 80;
/// The days of a plot.
const DAYS: i32 = 30;
/// The most days of a plot.
const MOST_DAYS: i32 = 366;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// One row for each day in the owner's time zone, newest first
    Day,
    /// One row for each agent
    Agent,
    /// One row for each session
    Session,
    /// One row for each model
    Model,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Agent => "agent",
            Self::Session => "session",
            Self::Model => "model",
        }
    }

    /// A label as a table shows it.
    fn shown(self, label: &str) -> String {
        if self == Self::Session { session_name::short(label) } else { label.to_owned() }
    }

    fn of(self, line: &LedgerLine) -> String {
        match self {
            Self::Day => line.day.clone(),
            Self::Agent => line.agent.clone(),
            Self::Session => line.session.clone(),
            Self::Model => line.model.clone(),
        }
    }
}

/// Prints today's usage, the rest of each limit, then the table.
///
/// # Errors
/// `Usage` for an invalid date; if the ledger cannot be read.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    if args.plot {
        return plot(&workspace, args.since.as_deref());
    }
    let since = args.since.as_deref().map(date).transpose()?.unwrap_or_default();
    let mut ledger = Ledger::default();
    usage::for_each_since(&workspace, &since, &mut |line| {
        let label = args.by.of(&line);
        ledger.add(line, &label);
    })?;
    let mut rows: BTreeMap<&str, Sums> = BTreeMap::new();
    for (_, label, sums) in ledger.days().filter(|(day, ..)| *day >= &since[..]) {
        rows.entry(label).or_default().add(sums);
    }
    let mut rows: Vec<(&str, Sums)> = rows.into_iter().filter(|(_, sums)| *sums != Sums::default()).collect();
    match args.by {
        By::Day => rows.reverse(),
        _ => rows.sort_by_key(|(_, sums)| std::cmp::Reverse((sums.money, sums.tokens()))),
    }
    let currency = &workspace.config()?.currency;
    if args.json {
        for (label, sums) in &rows {
            out::json(&document(args.by.name(), label, sums, currency))?;
        }
        return Ok(0);
    }
    if args.csv {
        out::raw(&csv(args.by.name(), &rows, currency))?;
        return Ok(0);
    }
    let short: Vec<String> = rows.iter().map(|(label, _)| args.by.shown(label)).collect();
    let rows: Vec<(&str, Sums)> = short.iter().zip(&rows).map(|(label, (_, sums))| (&label[..], *sums)).collect();
    let today = usage::today(&workspace);
    print(&workspace, &ledger.used(Some(&today), None), currency)?;
    table(args.by.name(), &rows, currency)?;
    Ok(0)
}

fn date(text: &str) -> Result<String> {
    let day = text.parse::<Date>().map_err(|_| Fault::new(Kind::Usage, format!("`{text}` is not a date")));
    Ok(day.map_err(|fault| fault.hint("for example 2026-11-25"))?.to_string())
}

/// Draws the days up to today, the oldest first.
fn plot(workspace: &Workspace, since: Option<&str>) -> Result<u8> {
    let today: Date = usage::today(workspace).parse().map_err(|_| Fault::data("today is not a date"))?;
    let first = match since {
        Some(text) => date(text)?.parse().unwrap_or(today),
        None => today.saturating_sub((DAYS - 1).days()),
    };
    let first = first.clamp(today.saturating_sub((MOST_DAYS - 1).days()), today);
    let mut days: BTreeMap<String, Sums> = BTreeMap::new();
    let mut ledger = Ledger::default();
    usage::for_each_since(workspace, &first.to_string(), &mut |line| ledger.add(line, ""))?;
    for (day, _, sums) in ledger.days() {
        days.entry(day.to_owned()).or_default().add(sums);
    }
    let has_money = days.values().any(|sums| sums.money > 0);
    let currency = &workspace.config()?.currency;
    let unit = if has_money { currency.as_str() } else { "tokens" };
    let rows = first.series(1.day()).take_while(|day| *day <= today).map(|day| {
        let sums = days.get(&day.to_string()).copied().unwrap_or_default();
        let guess = if sums.estimated_calls > 0 { "~" } else { "" };
        let (value, text) = if has_money {
            (sums.money, Money(sums.money).to_string())
        } else {
            (sums.tokens(), sums.tokens().to_string())
        };
        Bar { label: day.strftime("%m-%d %a").to_string(), value, text: format!("{guess}{text} {unit}") }
    });
    let rows: Vec<Bar> = rows.collect();
    let style = if style::is_unicode(&workspace.world) { BarStyle::Blocks } else { BarStyle::Ascii };
    for line in bars::draw(&rows, style::width(&workspace.world).unwrap_or(COLUMNS), style) {
        out::line(&line)?;
    }
    Ok(0)
}

/// The rows as CSV, with every column.
fn csv(by: &str, rows: &[(&str, Sums)], currency: &str) -> String {
    let quoted = |text: &str| {
        if text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let mut text = format!("{by},calls,input,cached,output,money,currency,estimated_calls\r\n");
    for (label, sums) in rows {
        let Sums { calls, usage, money, estimated_calls, .. } = sums;
        let (money, label, currency) = (Money(*money), quoted(label), quoted(currency));
        let tokens = format!("{},{},{}", usage.input, usage.cached, usage.output);
        text += &format!("{label},{calls},{tokens},{money},{currency},{estimated_calls}\r\n");
    }
    text
}

fn document(by: &str, label: &str, sums: &Sums, currency: &str) -> Value {
    json!({
        by: label, "calls": sums.calls, "input": sums.usage.input, "cached": sums.usage.cached,
        "output": sums.usage.output, "money": number(sums.money), "currency": currency, "estimated_calls": sums.estimated_calls,
    })
}

/// An amount of money as a JSON number.
fn number(money: u64) -> Value {
    serde_json::from_str(&Money(money).to_string()).unwrap_or_default()
}

/// Prints today's line, and one line for each limit.
fn print(workspace: &Workspace, today: &Sums, currency: &str) -> Result<()> {
    out::line(&format!("today   {}", today.describe(currency)))?;
    for (limit, used) in budget::limits(workspace)? {
        out::line(&format!("left    {}", limit.left(used, currency)))?;
    }
    Ok(())
}

fn table(by: &str, rows: &[(&str, Sums)], currency: &str) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut all = Sums::default();
    for (_, sums) in rows {
        all.add(sums);
    }
    let has_money = all.money > 0;
    let cells = |label: &str, sums: &Sums| {
        let guess = if sums.estimated_calls > 0 { "~" } else { "" };
        let counted = [sums.usage.input, sums.usage.cached, sums.usage.output].map(|n| format!("{guess}{n}"));
        let money = has_money.then(|| format!("{guess}{}", Money(sums.money)));
        [label.to_owned(), sums.calls.to_string()].into_iter().chain(counted).chain(money).collect::<Vec<_>>()
    };
    let money = if currency.is_empty() { "money" } else { currency };
    let heads = [by, "calls", "input", "cached", "output", money].into_iter().take(if has_money { 6 } else { 5 });
    let mut lines = vec![heads.map(ToOwned::to_owned).collect()];
    lines.extend(rows.iter().map(|(label, sums)| cells(label, sums)));
    lines.push(cells("total", &all));
    let widths: Vec<usize> =
        (0..lines[0].len()).map(|n| lines.iter().map(|line| line[n].chars().count()).max().unwrap_or(0)).collect();
    out::line("")?;
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate();
        let cells =
            cells.map(|(n, (cell, width))| if n == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        out::line(&cells.collect::<Vec<_>>().join("  "))?;
    }
    Ok(())
}
