//! Proofs: kills, errors, power cuts and load. Each prints its row of the table in docs/reliability.md;
//! `CLAW_PROOF=full` runs them in full.

#[path = "../common/mod.rs"]
mod common;

mod budget;
mod compact_sweep;
mod cron_stress;
mod cron_sweep;
mod demo;
mod disk_images;
mod dispatch_sweep;
mod end_sweep;
mod fuzz;
mod history_sweep;
mod hostile;
mod kill_sweep;
mod listen_sweep;
mod model;
mod model_check;
mod oracle;
mod power_cut;
mod slash_sweep;
mod store_model;
mod stress;
mod telegram_sweep;
mod turn_sweep;
mod web_sweep;
