//! The workspace of the stress tests: many agents with a limit each, many lanes, and a model that records when it
//! was running.

use crate::common::Fixture;
use std::time::{Duration, Instant};

/// A turn records its begin, its life and its end in one append-only file, so the order of the lines is the order of
/// the events. A killed turn has no last line: it ran from its first line to its last one, and nothing beyond that is
/// claimed. Every tenth one leaves a process behind that writes without end.
/// (A worker killed during its request leaves half a request, which does not
/// count.)
const MODEL: &str = r#"IFS= read -r request
case $request in *"n="*) ;; *) exit ;; esac
rest=${request#*Session: } && session=${rest%%\\n*}
rest=${request##*n=} && n=${rest%%[!0-9]*}
me="$session $n $$"
echo "+ $me" >>turns
case $n in
*3) (setsid sh -c "while [ -e turns ]; do echo '. $me' >>turns; sleep 0.002; done" >/dev/null 2>&1 &) ;;
esac
case $n in
*[05]) ;;
*[168]) sleep 0.004 ;;
*) sleep 0.015 ;;
esac
echo ". $me" >>turns
echo "- $me" >>turns
echo "answer $n $$"
"#;

pub struct Town {
    pub ws: Fixture,
    pub agents: usize,
    pub lanes: usize,
    /// Concurrent turns, over all agents.
    pub limit: usize,
    /// The agent of each lane by `claw route --explain`, if its events name none.
    pub explained: Vec<String>,
}

impl Town {
    pub fn new(agents: usize, lanes: usize, limit: usize) -> Self {
        let ws = Fixture::new();
        // Git outlives its killed parent for a moment, and would keep the running one from the notes.
        ws.write("claw.yaml", &ws.read("claw.yaml").replace("git: true", "git: false"));
        ws.config(&format!("max_concurrency: {limit}\n"));
        ws.model("noted", "provider: command, command: [sh, model.sh]");
        ws.write("model.sh", MODEL);
        ws.write("AGENTS.md", "Be brief.\n");
        let town = Self { ws, agents, lanes, limit, explained: Vec::new() };
        for agent in 0..agents {
            town.ws.write(&format!("agents/{}/AGENT.md", town.agent(agent)), &town.definition(agent, 0));
        }
        town
    }

    /// A town whose events name no agent: bindings of every tier decide, more than one for several lanes.
    pub fn bound(agents: usize, lanes: usize, limit: usize) -> Self {
        let mut town = Self::new(agents, lanes, limit);
        let wide = (agents - 1).to_string().len();
        let ends = (0..agents).map(|agent| (format!("file:l[0-9]*{agent:0wide$}"), agent));
        let exact = (0..lanes).step_by(7).map(|lane| (format!("file:l{lane}"), lane * 3 + 1));
        let any = [("file:l.*1".to_owned(), 2), ("file:l.*".to_owned(), 1)];
        let bindings = any.into_iter().chain(ends).chain(exact);
        let given: Vec<String> = bindings
            .map(|(pattern, agent)| format!("    - {{pattern: '{pattern}', agent: {}}}\n", town.agent(agent)))
            .collect();
        town.ws.config(&format!("routing:\n  bindings:\n{}", given.concat()));
        let explain = |lane: usize| {
            let said = town.ws.claw(&["route", "--explain", &format!("file:l{lane}"), "--json"]).ok();
            serde_json::from_str::<serde_json::Value>(&said).unwrap()["agent"].as_str().unwrap().to_owned()
        };
        town.explained = (0..lanes).map(explain).collect();
        town
    }

    /// The agent that an event of a lane names, if any.
    pub fn named(&self, lane: usize) -> Option<String> {
        self.explained.is_empty().then(|| self.agent(lane))
    }

    /// The session of a lane.
    pub fn session(&self, lane: usize) -> String {
        let agent = self.explained.get(lane).cloned().unwrap_or_else(|| self.agent(lane));
        format!("{agent}.file-l{lane}")
    }

    /// The agent of a lane, if its events name it.
    pub fn agent(&self, lane: usize) -> String {
        format!("a{:02}", lane % self.agents)
    }

    /// How many turns of an agent may run at once.
    pub fn allows(&self, agent: usize) -> usize {
        1 + agent % self.agents % 3
    }

    /// An agent's file; every edition has another text, and the same limits.
    pub fn definition(&self, agent: usize, edition: usize) -> String {
        let name = self.agent(agent);
        format!("---\nname: {name}\nmax_concurrency: {}\n---\nEdition {edition}.\n", self.allows(agent))
    }

    /// File names of events in a failed folder.
    pub fn failed(&self, side: &str) -> Vec<String> {
        self.ws.list(&format!("{side}/failed")).into_iter().filter(|name| name.ends_with(".json")).collect()
    }

    /// Ticks until nothing is pending, without waiting for due times. Failed events stay in failed.
    #[track_caller]
    pub fn drain(&self) {
        let end = Instant::now() + Duration::from_mins(5);
        loop {
            self.ws.claw(&["tick"]);
            let pending = self.ws.pending();
            if pending.is_empty() && self.ws.list("inbox").iter().all(|name| !name.ends_with("md")) {
                return;
            }
            assert!(Instant::now() < end, "it does not come to an end: {pending:#?}");
            let waiting =
                pending.iter().filter(|name| name.contains("/wait/")).filter_map(|name| name.split('~').nth(1));
            self.retry(&waiting.map(ToOwned::to_owned).collect::<Vec<_>>());
        }
    }

    pub fn retry(&self, ids: &[String]) {
        if !ids.is_empty() {
            self.ws.piped(&["retry", "-"], &(ids.join("\n") + "\n"));
        }
    }
}
