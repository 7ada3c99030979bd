// SPDX-License-Identifier: GPL-2.0

//! Licences of the crates that are built, as `cargo metadata` tells them.

use crate::policy::Licenses;
use anyhow::{Context, Result};
use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
}

/// What is wrong with the crates of `metadata`.
pub fn check(metadata: &str, policy: &Licenses) -> Result<Vec<String>> {
    let metadata: Metadata = serde_json::from_str(metadata).context("cargo metadata")?;
    let mut wrong = Vec::new();
    for package in metadata.packages {
        let licence = package.license.unwrap_or_default();
        let mut allowed = policy.allow.clone();
        let own = policy.exceptions.iter();
        for exception in own.filter(|exception| exception.name == package.name) {
            allowed.extend_from_slice(&exception.allow);
        }
        if !is_allowed(&licence, &allowed) {
            wrong.push(format!(
                "{} {}: licence \"{licence}\"",
                package.name, package.version
            ));
        }
    }
    Ok(wrong)
}

/// Whether `allowed` meets an expression of SPDX: all of its terms with AND, of each one of
/// its alternatives with OR.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    // The older way to write OR.
    let expression = expression.replace('/', " OR ");
    let terms = flat(&expression);
    terms.iter().all(|term| {
        let mut ways = term.split(" OR ").map(str::trim);
        ways.any(|way| allowed.iter().any(|licence| licence == way))
    })
}

/// The terms that AND joins, without the brackets around alternatives. AND within
/// alternatives is in no crate's licence here; it is not split, and allowed nowhere.
fn flat(expression: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut depth = 0;
    for word in expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .split_whitespace()
    {
        match word {
            "(" => depth += 1,
            ")" => depth -= 1,
            "AND" if depth == 0 => terms.push(String::new()),
            word => {
                if let Some(term) = terms.last_mut() {
                    if !term.is_empty() {
                        term.push(' ');
                    }
                    term.push_str(word);
                }
            }
        }
    }
    terms
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::policy::Exception;

    #[test]
    fn expressions() {
        let allowed = ["MIT".to_owned(), "Unicode-3.0".to_owned()];
        for licence in [
            "MIT",
            "MIT OR Apache-2.0",
            "Apache-2.0/MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
        ] {
            assert!(is_allowed(licence, &allowed), "{licence}");
        }
        for licence in [
            "",
            "Apache-2.0",
            "MIT AND Apache-2.0",
            "(MIT OR Apache-2.0) AND Zlib",
            "Apache-2.0 OR (MIT AND Zlib)",
            "MIT WITH exception",
        ] {
            assert!(!is_allowed(licence, &allowed), "{licence}");
        }
    }

    #[test]
    fn crates_without_a_licence_are_named() {
        let metadata = r#"{"packages": [
            {"name": "good", "version": "1.0.0", "license": "MIT"},
            {"name": "other", "version": "1.0.0", "license": "Zlib"},
            {"name": "own", "version": "1.0.0", "license": "Zlib"},
            {"name": "bad", "version": "2.0.0", "license": null}]}"#;
        let policy = Licenses {
            allow: vec!["MIT".to_owned()],
            exceptions: vec![Exception {
                name: "own".to_owned(),
                allow: vec!["Zlib".to_owned()],
            }],
        };
        assert_eq!(
            check(metadata, &policy).unwrap(),
            ["other 1.0.0: licence \"Zlib\"", "bad 2.0.0: licence \"\""]
        );
    }
}
