// SPDX-License-Identifier: GPL-2.0

//! A checkout of the RustSec database: a directory for each crate, in it a file for each
//! advisory, which begins with TOML.

use crate::lock::Locked;
use anyhow::{bail, Context, Result};
use semver::VersionReq;
use serde::Deserialize;
use std::fs;
use std::path::Path;

#[derive(Deserialize)]
struct File {
    advisory: Advisory,
    versions: Versions,
}

#[derive(Deserialize)]
struct Advisory {
    id: String,
    informational: Option<String>,
    withdrawn: Option<String>,
}

#[derive(Deserialize)]
struct Versions {
    patched: Vec<VersionReq>,
    #[serde(default)]
    unaffected: Vec<VersionReq>,
}

/// What the database in `dir` says of the crates in the lock file.
pub fn check(dir: &Path, lock: &[Locked]) -> Result<Vec<String>> {
    let crates = dir.join("crates");
    if !crates.is_dir() {
        bail!("{}: no checkout of the advisories", dir.display());
    }
    let mut wrong = Vec::new();
    for krate in lock.iter().filter(|krate| krate.source.is_some()) {
        let Ok(entries) = fs::read_dir(crates.join(&krate.name)) else {
            continue; // no advisory of it
        };
        for entry in entries {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            let told = told(krate, &text).with_context(|| path.display().to_string())?;
            wrong.extend(told);
        }
    }
    wrong.sort();
    Ok(wrong)
}

/// What the advisory says of the crate, if it concerns that version.
fn told(krate: &Locked, text: &str) -> Result<Option<String>> {
    let front = text.split_once("```toml").map(|(_, rest)| rest);
    let front = front.and_then(|rest| rest.split_once("```"));
    let (front, _) = front.context("an advisory begins with TOML")?;
    let file: File = toml::from_str(front)?;
    let versions = file.versions.patched.iter();
    let mut versions = versions.chain(&file.versions.unaffected);
    if file.advisory.withdrawn.is_some() || versions.any(|range| range.matches(&krate.version)) {
        return Ok(None);
    }
    let kind = file.advisory.informational;
    let kind = kind.as_deref().unwrap_or("vulnerability");
    Ok(Some(format!(
        "{} {}: {}, {kind}",
        krate.name, krate.version, file.advisory.id
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use semver::Version;

    fn say(version: &str, text: &str) -> Option<String> {
        let krate = Locked {
            name: "some".to_owned(),
            version: Version::parse(version).unwrap(),
            source: Some(String::new()),
        };
        told(&krate, text).unwrap()
    }

    #[test]
    fn affected_versions() {
        let text = "```toml\n[advisory]\nid = \"X-1\"\npackage = \"some\"\ndate = \"2026-01-01\"\n\
                    informational = \"unsound\"\n[versions]\npatched = [\">= 0.9.11\"]\n\
                    unaffected = [\"< 0.5\"]\n```\n\n# Title\n";
        let found = say("0.9.10", text);
        assert_eq!(found.as_deref(), Some("some 0.9.10: X-1, unsound"));
        assert_eq!(say("0.9.11", text), None);
        assert_eq!(say("0.4.0", text), None);
        let withdrawn = text.replace("[versions]", "withdrawn = \"2026-01-02\"\n[versions]");
        assert_eq!(say("0.9.10", &withdrawn), None);
    }
}
