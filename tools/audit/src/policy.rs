// SPDX-License-Identifier: GPL-2.0

//! `deny.toml`: as much of cargo-deny's format as there is in it.

use crate::lock::Locked;
use anyhow::{Context, Result};
use semver::VersionReq;
use serde::Deserialize;

/// What may be in the lock file. What is not known here is an error, not left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    sources: Sources,
    /// Licences.
    pub licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    #[serde(rename = "unknown-registry")]
    _unknown_registry: Deny,
    #[serde(rename = "unknown-git")]
    _unknown_git: Deny,
    allow_registry: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Deny {
    Deny,
}

/// Licences.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licenses {
    /// Those that a crate may have.
    pub allow: Vec<String>,
    /// Crates that may have others as well.
    #[serde(default)]
    pub exceptions: Vec<Exception>,
}

/// A crate with a licence of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// Its name.
    #[serde(rename = "crate")]
    pub name: String,
    /// The licences.
    pub allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Banned {
    #[serde(rename = "crate")]
    spec: String,
    reason: String,
}

impl Policy {
    /// The policy that this text is.
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).context("deny.toml")
    }

    /// What is wrong with the lock file.
    pub fn check(&self, lock: &[Locked]) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for krate in lock {
            let Some(source) = &krate.source else {
                continue;
            };
            let registry = source.strip_prefix("registry+");
            let is_allowed =
                registry.is_some_and(|url| self.sources.allow_registry.iter().any(|a| a == url));
            if !is_allowed {
                wrong.push(format!("{} {}: from {source}", krate.name, krate.version));
            }
        }
        for banned in &self.bans.deny {
            let (name, versions) = banned.spec.split_once('@').unwrap_or((&banned.spec, "*"));
            let versions = VersionReq::parse(versions).with_context(|| banned.spec.clone())?;
            let found = lock.iter().filter(|krate| {
                krate.source.is_some() && krate.name == name && versions.matches(&krate.version)
            });
            wrong.extend(found.map(|krate| format!("{name} {}: {}", krate.version, banned.reason)));
        }
        Ok(wrong)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::lock::parse;

    const POLICY: &str = r#"
[sources]
unknown-registry = "deny"
unknown-git = "deny"
allow-registry = ["https://example.org/index"]
[licenses]
allow = ["MIT"]
[bans]
deny = [{ crate = "old@<1.2.0", reason = "why" }, { crate = "gone", reason = "left" }]
"#;

    fn wrong(name: &str, version: &str, source: &str) -> Vec<String> {
        let lock = format!(
            "version = 4\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n[[package]]\n\
             name = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\n"
        );
        let policy = Policy::parse(POLICY).unwrap();
        policy.check(&parse(&lock).unwrap()).unwrap()
    }

    #[test]
    fn what_is_denied_is_found() {
        let index = "registry+https://example.org/index";
        assert_eq!(wrong("old", "1.2.0", index), [""; 0]);
        assert_eq!(wrong("old", "1.1.9", index), ["old 1.1.9: why"]);
        assert_eq!(wrong("gone", "7.0.0", index), ["gone 7.0.0: left"]);
        let other = "registry+https://example.org/other";
        assert_eq!(
            wrong("new", "1.0.0", other),
            [format!("new 1.0.0: from {other}")]
        );
        let git = "git+https://example.org/index";
        assert_eq!(
            wrong("new", "1.0.0", git),
            [format!("new 1.0.0: from {git}")]
        );
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        assert!(Policy::parse(&POLICY.replace("allow = ", "deny = ")).is_err());
        assert!(Policy::parse(&format!("{POLICY}[advisories]\nignore = []\n")).is_err());
    }
}
