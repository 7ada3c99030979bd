// SPDX-License-Identifier: GPL-2.0
//! The module's tracepoints, as tracefs shows them.

use crate::lab::Lab;
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::Cmd;
use std::collections::HashMap;

const ROOT: &str = "/sys/kernel/tracing";

/// One line of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    fields: HashMap<String, String>,
}

impl Event {
    /// From a line like `cp-77 [001] ..... 1.5: bytelog_full: dev 259,0 tid 4`, if
    /// it is of one of the module's tracepoints.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once(": bytelog_")?;
        let (name, rest) = rest.split_once(": ")?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let pairs = words.chunks_exact(2);
        Some(Self {
            name: name.into(),
            fields: pairs.map(|pair| (pair[0].into(), pair[1].into())).collect(),
        })
    }

    pub fn text(&self, field: &str) -> Result<&str> {
        let value = self.fields.get(field);
        Ok(value.with_context(|| format!("no {field} in {self:?}"))?)
    }

    pub fn number(&self, field: &str) -> Result<u64> {
        let text = self.text(field)?;
        text.parse()
            .with_context(|| format!("{field} {text} in {self:?}"))
    }
}

impl Lab {
    /// Empties the trace and switches all tracepoints of the module on.
    pub fn start_tracing(&mut self) -> Result<()> {
        for (file, data) in [
            ("trace", ""),
            ("events/ext4_bytelog/enable", "1"),
            ("tracing_on", "1"),
        ] {
            self.call::<()>(Cmd::Write {
                path: format!("{ROOT}/{file}"),
                data: data.into(),
            })?;
        }
        Ok(())
    }

    /// Switches them off. Returns what was traced of a device ("259,0").
    pub fn stop_tracing(&mut self, dev: &str) -> Result<Vec<Event>> {
        self.call::<()>(Cmd::Write {
            path: format!("{ROOT}/events/ext4_bytelog/enable"),
            data: "0".into(),
        })?;
        let text: String = self.call(Cmd::Read {
            path: format!("{ROOT}/trace"),
        })?;
        // "# entries-in-buffer/entries-written: 12/12   #P:2"
        let entries = text.lines().find_map(|line| line.split_once("written: "));
        let counts = entries.and_then(|(_, rest)| rest.split_whitespace().next());
        let (kept, written) = counts
            .and_then(|counts| counts.split_once('/'))
            .context("no number of entries in the trace")?;
        ensure!(kept == written, "{kept} events of {written} are left");
        let events = text.lines().filter_map(Event::parse);
        Ok(events
            .filter(|event| event.text("dev").is_ok_and(|on| on == dev))
            .collect())
    }
}

impl Lab {
    /// How often the kernel calls one of its functions ("ext4:ext4_find_extent") during
    /// some work.
    pub fn count_calls(
        &mut self,
        function: &str,
        work: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<u64> {
        let put = |lab: &mut Self, file: &str, data: String| {
            let path = format!("{ROOT}/{file}");
            lab.call::<()>(Cmd::Write { path, data })
        };
        let enable = "events/bytelog/counted/enable";
        put(
            self,
            "kprobe_events",
            format!("p:bytelog/counted {function}\n"),
        )?;
        put(self, enable, "1".into())?;
        let done = work(self);
        let profile: String = self.call(Cmd::Read {
            path: format!("{ROOT}/kprobe_profile"),
        })?;
        put(self, enable, "0".into())?;
        // A probe keeps its module.
        put(self, "kprobe_events", "\n".into())?;
        done?;
        let words: Vec<&str> = profile.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "counted");
        let calls = at.and_then(|at| words.get(at + 1)?.parse().ok());
        calls.with_context(|| format!("no count of {function} in {profile:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line =
            " cp-77 [001] ..... 1.5: bytelog_abort: dev 259,0 tid 4 reason log_full error -28";
        let event = Event::parse(line).unwrap();
        assert_eq!(event.name, "abort");
        assert_eq!(event.text("reason").unwrap(), "log_full");
        assert_eq!(event.number("tid").unwrap(), 4);
        assert!(event.number("error").is_err());
        assert_eq!(Event::parse("# tracer: nop"), None);
    }
}
